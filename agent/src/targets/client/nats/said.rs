//! Parses the protocol of a NATS server, as far as a client that only listens needs it. Pure.
//!
//! In: the bytes that have arrived. Out: the first operation among them, and its length. A message longer than the bound is
//! reported before it has arrived, so that its bytes need not be kept.
//!
//! ```text
//! INFO {"tls_required":true,...}   PING   PONG   +OK   -ERR 'Authorization Violation'
//! MSG router.register 1 11
//! {"host":""}
//! ```

use std::ops::Range;

use serde::Deserialize;

/// Most bytes of a line.
pub(super) const MOST_LINE: usize = 32 << 10;
/// Most bytes of a message that is kept.
pub(super) const MOST_MESSAGE: usize = 64 << 10;
/// Most bytes of a message that is skipped: more than any server accepts.
const MOST_SKIPPED: usize = 1 << 30;
const END: &[u8] = b"\r\n";

/// An operation of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NatsSaid {
    Info(NatsInfo),
    Ping,
    Pong,
    /// `+OK`.
    Fine,
    /// The text of `-ERR`.
    Error(String),
    /// A message of the subscription with this number, and its place in the bytes.
    Message(usize, Range<usize>),
    /// A message longer than [`MOST_MESSAGE`].
    TooLarge,
}

/// The fields of INFO that the client needs.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct NatsInfo {
    pub(super) tls_required: bool,
    pub(super) tls_available: bool,
}

/// The operation at the beginning of `bytes`, and its length. Only for [`NatsSaid::TooLarge`], the length may exceed `bytes`.
/// `None`: the end of the operation has not arrived.
///
/// # Errors
/// The bytes violate the protocol; the error quotes them.
pub(super) fn said(bytes: &[u8]) -> Result<Option<(NatsSaid, usize)>, String> {
    let start = &bytes[..bytes.len().min(MOST_LINE)];
    let Some(line_end) = start.windows(END.len()).position(|pair| pair == END) else {
        return match bytes.len() < MOST_LINE {
            true => Ok(None),
            false => Err(format!("a line of more than {MOST_LINE} bytes")),
        };
    };
    let (line, after) = (&bytes[..line_end], line_end + END.len());
    let line = str::from_utf8(line).map_err(|_| "a line that is not UTF-8".to_owned())?;
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    let said = match word {
        _ if is("MSG") => return message(rest, after, bytes),
        _ if is("INFO") => {
            let info = serde_json::from_str(rest.trim());
            NatsSaid::Info(info.map_err(|error| format!("INFO: {error}"))?)
        }
        _ if is("PING") => NatsSaid::Ping,
        _ if is("PONG") => NatsSaid::Pong,
        _ if is("+OK") => NatsSaid::Fine,
        _ if is("-ERR") => NatsSaid::Error(rest.trim().trim_matches('\'').to_owned()),
        _ => return Err(unknown(line)),
    };
    Ok(Some((said, after)))
}

/// A message whose line ends before `after`. The line has the subject, the number of the subscription, optionally a subject for
/// replies, and the length.
fn message(
    arguments: &str,
    after: usize,
    bytes: &[u8],
) -> Result<Option<(NatsSaid, usize)>, String> {
    let parts: Vec<&str> = arguments.split_ascii_whitespace().take(5).collect();
    let ([_, number, length] | [_, number, _, length]) = parts[..] else {
        return Err(unknown(arguments));
    };
    let number = number.parse().ok();
    let length: Option<usize> = length.parse().ok();
    let length = length.filter(|length| *length <= MOST_SKIPPED);
    let (Some(number), Some(length)) = (number, length) else {
        return Err(unknown(arguments));
    };
    let (end, whole) = (after + length, after + length + END.len());
    if length > MOST_MESSAGE {
        return Ok(Some((NatsSaid::TooLarge, whole)));
    }
    match bytes.get(end..whole) {
        None => Ok(None),
        Some(END) => Ok(Some((NatsSaid::Message(number, after..end), whole))),
        Some(_) => Err("a message that does not end where it says".to_owned()),
    }
}

fn unknown(line: &str) -> String {
    let line: String = line.chars().take(60).collect();
    format!("the line {line:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Result<Vec<(NatsSaid, &[u8])>, String> {
        let mut heard = Vec::new();
        while let Some((said, length)) = said(bytes)? {
            let message = match &said {
                NatsSaid::Message(_, at) => &bytes[at.clone()],
                _ => b"",
            };
            heard.push((said, message));
            bytes = &bytes[length..];
        }
        Ok(heard)
    }

    #[test]
    fn operation_is_parsed_once_its_end_has_arrived() {
        let bytes = b"INFO {\"server_id\":\"x\",\"tls_required\":true,\"max_payload\":1048576} \r\n+OK\r\nPING\r\npong\r\n\
                      -ERR 'Authorization Violation'\r\nMSG a.b 1 5\r\na\r\nbc\r\nMSG a.b 2 reply 0\r\n\r\n";
        let info = NatsInfo {
            tls_required: true,
            tls_available: false,
        };
        let expected: [(NatsSaid, &[u8]); 7] = [
            (NatsSaid::Info(info), b""),
            (NatsSaid::Fine, b""),
            (NatsSaid::Ping, b""),
            (NatsSaid::Pong, b""),
            (NatsSaid::Error("Authorization Violation".to_owned()), b""),
            (NatsSaid::Message(1, 13..18), b"a\r\nbc"),
            (NatsSaid::Message(2, 19..19), b""),
        ];
        assert_eq!(all(bytes).unwrap(), expected);
        for end in 0..bytes.len() {
            let heard = all(&bytes[..end]).unwrap();
            assert!(heard.len() < expected.len());
            assert_eq!(heard, expected[..heard.len()]);
        }
    }

    #[test]
    fn message_beyond_its_bound_is_reported_before_it_arrives() {
        let line = format!("MSG a 1 {MOST_MESSAGE}\r\n");
        assert_eq!(said(line.as_bytes()), Ok(None));
        let line = format!("MSG a 1 {}\r\n", MOST_MESSAGE + 1);
        let whole = line.len() + MOST_MESSAGE + 1 + END.len();
        assert_eq!(said(line.as_bytes()), Ok(Some((NatsSaid::TooLarge, whole))));
    }

    #[test]
    fn bytes_that_violate_the_protocol_are_an_error() {
        let endless = "x".repeat(MOST_LINE);
        for bytes in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "INFO\r\n",
            "INFO {\r\n",
            "MSG a 1\r\n",
            "MSG a x 1\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 99999999999999999999\r\n",
            "MSG a 1 1073741825\r\n",
            "MSG a b c 1 1\r\n",
            "MSG a 1 1\r\nabc",
            &endless,
        ] {
            assert!(said(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(said(b"\xff\r\n").is_err());
        assert_eq!(said(&endless.as_bytes()[1..]), Ok(None));
    }
}
