//! Tests with real type information, cut and damaged at every position. It is that of the kernel programs themselves, which
//! contains in 8 KB every form that a kernel's has. Bytes that our parser accepts go to aya's parser, which must accept them or
//! return an error.

use aya::{Btf, Endianness};
use aya_obj::btf::BtfKind;

use super::support::Support;
use super::{btf, load};

/// Bytes of the header, and the offsets of the lengths in it. Types follow the header.
const HEADER: usize = 24;
const TYPES_LEN: usize = 12;
const STRINGS_AT: usize = 16;
const STRINGS_LEN: usize = 20;

fn word(raw: &[u8], at: usize) -> usize {
    usize::try_from(u32::from_ne_bytes(raw[at..at + 4].try_into().unwrap())).unwrap()
}

fn set_word(raw: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).unwrap();
    raw[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// The section `.BTF` of the object: magic, version, flags, and the length of the header.
fn real() -> Vec<u8> {
    let start = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    let object = load::OBJECT;
    let at = object.windows(8).position(|bytes| bytes == start).unwrap();
    let raw = &object[at..];
    let length = HEADER + word(raw, STRINGS_AT) + word(raw, STRINGS_LEN);
    raw[..length].to_vec()
}

/// Parses it as the agent does at its start. Returns whether it is accepted.
fn is_taken(raw: &[u8]) -> bool {
    let Ok(found) = btf::Btf::parse(raw) else {
        return false;
    };
    Support::of(&found);
    if let Ok(found) = Btf::parse(raw, Endianness::default()) {
        // aya compares the name of each type of that kind. An error is acceptable, a panic is not.
        for kind in [BtfKind::Func, BtfKind::Typedef] {
            let _ = found.id_by_type_name_kind("sched_process_fork", kind);
        }
    }
    true
}

#[test]
fn type_information_cut_at_any_byte_is_refused() {
    let raw = real();
    assert!(is_taken(&raw));
    for length in 0..raw.len() {
        assert!(!is_taken(&raw[..length]), "{length} bytes were taken");
    }
}

/// Shortens the types, corrects the header and lets the strings follow, so that the last type may be cut.
#[test]
fn cut_types_are_refused_or_fewer() {
    let raw = real();
    let (types_len, strings) = (
        word(&raw, TYPES_LEN),
        &raw[HEADER + word(&raw, STRINGS_AT)..],
    );
    let mut taken = 0;
    for length in 0..types_len {
        let mut cut = [&raw[..HEADER + length], strings].concat();
        set_word(&mut cut, TYPES_LEN, length);
        set_word(&mut cut, STRINGS_AT, length);
        taken += usize::from(is_taken(&cut));
    }
    // Accepted only if cut between two types; most types have 12 bytes or more.
    assert!((1..types_len / 12).contains(&taken), "{taken} were taken");
}

#[test]
fn any_damaged_byte_is_survived() {
    let raw = real();
    let mut refused = 0;
    for at in 0..raw.len() {
        let mut damaged = raw.clone();
        damaged[at] ^= 0xff;
        refused += usize::from(!is_taken(&damaged));
    }
    assert!(refused > 0);
}
