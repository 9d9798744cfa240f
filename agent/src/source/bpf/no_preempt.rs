//! Replaces the markers in the object of the programs by calls of kernel functions that only some kernels have.
//!
//! In: the type ids of `bpf_preempt_disable`, `bpf_local_irq_save` and the two functions that undo them (since 6.14). Out: the
//! object. A program that disables preemption cannot be preempted by another process whose records the kernel would then
//! leave out. On kernels without these functions each marker becomes a jump to the next instruction.

use agent_common::FUNCTIONS;
use aya::programs::ProgramError;

use super::btf::Btf;

/// Kernel: `struct bpf_insn` up to its immediate value: `BPF_JMP | BPF_CALL` of a helper, and of a kernel function
/// (`BPF_PSEUDO_KFUNC_CALL` in the source register).
const CALL_OF_HELPER: [u8; 4] = [0x85, 0, 0, 0];
const CALL_OF_FUNCTION: [u8; 4] = [0x85, 0x20, 0, 0];
/// A jump to the next instruction.
const NOTHING: [u8; 8] = [0x05, 0, 0, 0, 0, 0, 0, 0];

/// The type ids of [`FUNCTIONS`], in their order.
pub(super) type Functions = [u32; FUNCTIONS.len()];

/// The ids of the functions in the kernel's type information; `None` if one is missing.
pub(super) fn functions(btf: &Btf<'_>) -> Option<Functions> {
    let ids: Option<Vec<u32>> = FUNCTIONS
        .iter()
        .map(|(_, name)| btf.function(name))
        .collect();
    ids?.try_into().ok()
}

/// The object `built` for a kernel with these functions, or for one without. It is a vector of words, because aya reads the ELF
/// file in place and needs its alignment.
pub(super) fn object(built: &[u8], functions: Option<Functions>) -> Vec<u64> {
    let markers = markers();
    let replacements = match functions {
        Some(ids) => ids.map(|id| call(CALL_OF_FUNCTION, id)),
        None => [u64::from_ne_bytes(NOTHING); FUNCTIONS.len()],
    };
    let words = built.chunks(8).map(|chunk| {
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

/// Whether the kernel refused a program because of these calls: it has no JIT compiler for this machine, or does not allow
/// them in such a program.
pub(super) fn is_refused(error: &ProgramError) -> bool {
    let ProgramError::LoadError { verifier_log, .. } = error else {
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
    use super::super::load::OBJECT;
    use super::*;

    fn count(object: &[u64], instruction: u64) -> usize {
        object.iter().filter(|word| **word == instruction).count()
    }

    #[test]
    fn each_marker_is_replaced() {
        let kept = object(OBJECT, Some([7, 8, 9, 10]));
        let plain = object(OBJECT, None);
        for (marker, id) in markers().into_iter().zip([7, 8, 9, 10]) {
            assert_eq!(count(&kept, marker) + count(&plain, marker), 0);
            // The programs for fork, exec and exit, and both for final totals.
            assert!(count(&kept, call(CALL_OF_FUNCTION, id)) >= 5, "{id}");
        }
        let differ = kept
            .iter()
            .zip(&plain)
            .filter(|(kept, plain)| kept != plain);
        assert!(differ.count() >= 20);
    }
}
