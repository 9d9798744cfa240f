//! Fuzz target for the bytes of a NATS server: any bytes.

use super::said::{MOST_LINE, MOST_MESSAGE, NatsSaid, said};

/// Parses the input as bytes of a server. Asserts that each [`NatsSaid`] lies within the bytes, does not depend on the bytes
/// after it, and that no more than one message and its line must be kept.
pub(crate) fn nats_server(input: &[u8]) {
    let mut bytes = input;
    while let Ok(Some((heard, length))) = said(bytes) {
        assert!(length > 0);
        if let NatsSaid::Message(_, at) = &heard {
            assert!(at.start <= at.end && at.end < length && at.end - at.start <= MOST_MESSAGE);
        }
        let Some(rest) = bytes.get(length..) else {
            assert_eq!(heard, NatsSaid::TooLarge);
            return;
        };
        assert_eq!(said(&bytes[..length]), Ok(Some((heard, length))));
        bytes = rest;
    }
    if said(bytes) == Ok(None) {
        assert!(bytes.len() < MOST_LINE + MOST_MESSAGE + 4);
    }
}
