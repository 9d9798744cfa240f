//! The built-in programs, with calls of functions that only some kernels have.
//!
//! In: the ids of `bpf_preempt_disable` and `bpf_local_irq_save` and what ends both in the kernel's type information (since 6.14). Out:
//! the object. A program that keeps its CPU does not make the kernel leave out its runs for others; see `agent-ebpf/src/undisturbed.rs`.

use super::{btf::Btf, load};
use agent_common::FUNCTIONS;
use aya::programs::ProgramError;

/// Kernel: `struct bpf_insn`, up to its immediate value: `BPF_JMP | BPF_CALL` of a helper, and of a function
/// (`BPF_PSEUDO_KFUNC_CALL` in the source register).
const CALL_OF_HELPER: [u8; 4] = [0x85, 0, 0, 0];
const CALL_OF_FUNCTION: [u8; 4] = [0x85, 0x20, 0, 0];
/// A jump to the next instruction.
const NOTHING: [u8; 8] = [0x05, 0, 0, 0, 0, 0, 0, 0];

/// The numbers of [`FUNCTIONS`], in their order.
pub(super) type Functions = [u32; FUNCTIONS.len()];

/// As the kernel's type information numbers them; `None`: some are not there.
pub(super) fn functions(btf: &Btf<'_>) -> Option<Functions> {
    let ids: Option<Vec<u32>> = FUNCTIONS
        .iter()
        .map(|(_, name)| btf.function(name))
        .collect();
    ids?.try_into().ok()
}

/// The object for a kernel with these functions, or without any. In words: ELF files are read in place.
pub(super) fn object(functions: Option<Functions>) -> Vec<u64> {
    let markers = markers();
    let replacements = match functions {
        Some(ids) => ids.map(|id| call(CALL_OF_FUNCTION, id)),
        None => [u64::from_ne_bytes(NOTHING); FUNCTIONS.len()],
    };
    let words = load::OBJECT.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_ne_bytes(bytes);
        let marker = markers.iter().position(|marker| *marker == word);
        marker.map_or(word, |marker| replacements[marker])
    });
    words.collect()
}

fn markers() -> [u64; FUNCTIONS.len()] {
    FUNCTIONS.map(|(marker, _)| call(CALL_OF_HELPER, marker.cast_unsigned()))
}

fn call(of: [u8; 4], immediate: u32) -> u64 {
    let [a, b, c, d] = immediate.to_ne_bytes();
    u64::from_ne_bytes([of[0], of[1], of[2], of[3], a, b, c, d])
}

/// Whether the kernel refused a program for these calls: it has no compiler for its machine, or does not allow them here.
pub(super) fn is_refused(error: &load::Error) -> bool {
    let load::Error::Refused(_, ProgramError::LoadError { verifier_log, .. }) = error else {
        return false;
    };
    let log = verifier_log.to_string();
    let names = FUNCTIONS.iter().map(|(_, name)| *name);
    ["kernel function"]
        .into_iter()
        .chain(names)
        .any(|word| log.contains(word))
}

#[cfg(all(test, has_ebpf))]
mod tests {
    use super::*;

    fn count(object: &[u64], instruction: u64) -> usize {
        object.iter().filter(|word| **word == instruction).count()
    }

    #[test]
    fn each_marker_is_replaced() {
        let kept = object(Some([7, 8, 9, 10]));
        let plain = object(None);
        for (marker, id) in markers().into_iter().zip([7, 8, 9, 10]) {
            assert_eq!(count(&kept, marker) + count(&plain, marker), 0);
            // Fork, exec, exit, and both hooks for final totals.
            assert!(count(&kept, call(CALL_OF_FUNCTION, id)) >= 5, "{id}");
        }
        let differ = kept
            .iter()
            .zip(&plain)
            .filter(|(kept, plain)| kept != plain);
        assert!(differ.count() >= 20);
    }
}
