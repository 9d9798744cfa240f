//! The protocol of the control socket: frames of a 4-byte big-endian length and JSON.
//!
//! In: a connection and one of two commands. Out: the JSON of the answer, or a failure. The arbiter is hostile until it has shown
//! the opposite: lengths and the pieces in which an answer comes are bounded, and memory grows only as bytes arrive. Left to
//! others: the deadline, and the meaning of the answer.

use std::io::ErrorKind;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::targets::client::of_io;
use crate::targets::failure::Failure;

/// Most bytes of an answer: that of some 1,000 workers.
pub(super) const MOST_ANSWER: usize = 128 << 10;
/// Most pieces in which an answer may come.
const MOST_PIECES: usize = 1024;
/// Bytes that one call reads.
const PIECE: usize = 4096;

/// All that the agent ever says to an arbiter. Neither changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlCommand {
    ShowStats,
    ShowWorkers,
}

impl ControlCommand {
    /// The number of the question, which the answer repeats.
    pub(super) const fn id(self) -> u64 {
        match self {
            Self::ShowStats => 1,
            Self::ShowWorkers => 2,
        }
    }

    /// The whole frame.
    const fn frame(self) -> &'static [u8] {
        match self {
            Self::ShowStats => b"\0\0\0\x29{\"id\":1,\"command\":\"show stats\",\"args\":[]}",
            Self::ShowWorkers => b"\0\0\0\x2b{\"id\":2,\"command\":\"show workers\",\"args\":[]}",
        }
    }
}

/// Asks one question.
///
/// # Errors
/// [`Failure::Refused`]: the connection was closed before the answer. [`Failure::TooLarge`]: the answer is longer than it may be,
/// or comes in too many pieces. [`Failure::Malformed`]: the connection was closed within the answer.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    command: ControlCommand,
) -> Result<Vec<u8>, Failure> {
    let sent = stream.write_all(command.frame()).await;
    sent.map_err(|error| of_io(&error))?;
    let length = stream
        .read_u32()
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Failure::Refused,
            _ => of_io(&error),
        })?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MOST_ANSWER {
        return Err(Failure::TooLarge);
    }
    let (mut answer, mut piece) = (Vec::new(), [0; PIECE]);
    for _ in 0..MOST_PIECES {
        let left = length - answer.len();
        if left == 0 {
            return Ok(answer);
        }
        let read = stream.read(&mut piece[..left.min(PIECE)]).await;
        match read.map_err(|error| of_io(&error))? {
            0 => return Err(Failure::Malformed),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    Err(Failure::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.build().unwrap().block_on(test)
    }

    /// The result of a question to a server that sends `answer`, then closes.
    fn answered(answer: &[u8]) -> Result<Vec<u8>, Failure> {
        run(async {
            let (mut agent, mut server) = tokio::io::duplex(1 << 20);
            server.write_all(answer).await.unwrap();
            server.shutdown().await.unwrap();
            ask(&mut agent, ControlCommand::ShowStats).await
        })
    }

    #[test]
    fn frames_are_a_length_and_a_show_command() {
        for command in [ControlCommand::ShowStats, ControlCommand::ShowWorkers] {
            let (length, json) = command.frame().split_at(4);
            let length = u32::from_be_bytes(length.try_into().unwrap());
            assert_eq!(length as usize, json.len());
            let json: serde_json::Value = serde_json::from_slice(json).unwrap();
            assert_eq!(json["id"], command.id());
            let words = json["command"].as_str().unwrap();
            assert!(matches!(words, "show stats" | "show workers"), "{words}");
            assert_eq!(json["args"], serde_json::json!([]));
        }
    }

    #[test]
    fn only_the_frame_is_sent() {
        run(async {
            let (mut agent, mut server) = tokio::io::duplex(1 << 20);
            server.write_all(b"\0\0\0\x02{}").await.unwrap();
            let said = ask(&mut agent, ControlCommand::ShowWorkers).await;
            assert_eq!(said, Ok(b"{}".to_vec()));
            drop(agent);
            let mut sent = Vec::new();
            server.read_to_end(&mut sent).await.unwrap();
            assert_eq!(sent, ControlCommand::ShowWorkers.frame());
        });
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(answered(b""), Err(Failure::Refused));
        assert_eq!(answered(b"\0\0\0"), Err(Failure::Refused));
        assert_eq!(answered(b"\0\0\0\x03{}"), Err(Failure::Malformed));
        let most = u32::try_from(MOST_ANSWER).unwrap();
        assert_eq!(answered(&(most + 1).to_be_bytes()), Err(Failure::TooLarge));
        assert_eq!(answered(&[0xff; 99]), Err(Failure::TooLarge));
        assert_eq!(answered(&most.to_be_bytes()), Err(Failure::Malformed));
        let whole = [&most.to_be_bytes()[..], &vec![b' '; MOST_ANSWER]].concat();
        assert_eq!(answered(&whole).map(|answer| answer.len()), Ok(MOST_ANSWER));
    }

    #[test]
    fn answer_in_single_bytes_is_too_large() {
        let of = |bytes: usize| {
            run(async {
                let (mut agent, mut server) = tokio::io::duplex(1);
                let serve = async move {
                    server.read_exact(&mut [0; 45]).await.unwrap();
                    let length = u32::try_from(bytes).unwrap().to_be_bytes();
                    let answer = [&length[..], &vec![b' '; bytes]].concat();
                    // The agent closes before the end.
                    let _ = server.write_all(&answer).await;
                };
                let (said, ()) = tokio::join!(
                    async {
                        let said = ask(&mut agent, ControlCommand::ShowStats).await;
                        drop(agent);
                        said.map(|answer| answer.len())
                    },
                    serve
                );
                said
            })
        };
        assert_eq!(of(MOST_PIECES - 1), Ok(MOST_PIECES - 1));
        assert_eq!(of(MOST_PIECES + 1), Err(Failure::TooLarge));
    }

    proptest! {
        #[test]
        fn any_answer_is_taken_whole_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..310) {
            let length = u32::try_from(bytes.len()).unwrap();
            let mut sent = [&length.to_be_bytes()[..], &bytes].concat();
            let is_whole = cut >= sent.len();
            sent.truncate(cut);
            prop_assert_eq!(answered(&sent).ok(), is_whole.then_some(bytes));
        }
    }
}
