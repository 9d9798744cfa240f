//! The answers of an arbiter about itself and its workers. Pure.
//!
//! In: the JSON of an answer. Out: the values that are shown. Unknown fields are skipped: later versions add some.

use std::borrow::Cow;

use serde::Deserialize;

use super::control::ControlCommand;
use crate::targets::failure::Failure;

/// The values of an arbiter that are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ControlAnswer {
    pub(super) stats: ControlStats,
    /// The longest time since a worker's last heartbeat, seconds; `None` if no worker has sent one.
    pub(super) oldest_heartbeat: Option<f64>,
}

/// Of the answer to `show stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct ControlStats {
    /// Workers that the arbiter shall have.
    pub(super) workers_target: u64,
    /// Reloads (HUP) since its start.
    pub(super) reloads: u64,
}

#[derive(Deserialize)]
struct WorkerList {
    workers: Vec<Heartbeat>,
}

#[derive(Deserialize)]
struct Heartbeat {
    last_heartbeat: Option<f64>,
}

#[derive(Deserialize)]
struct Envelope<'a, T> {
    id: u64,
    #[serde(borrow)]
    status: Cow<'a, str>,
    data: Option<T>,
}

/// Reads the answer to `show stats`.
///
/// # Errors
/// [`Failure::Malformed`] if it is an error, or none of the protocol.
pub(super) fn stats(json: &[u8]) -> Result<ControlStats, Failure> {
    data(json, ControlCommand::ShowStats)
}

/// Reads the answer to `show workers`: the longest time since a heartbeat.
///
/// # Errors
/// As [`stats`].
pub(super) fn oldest_heartbeat(json: &[u8]) -> Result<Option<f64>, Failure> {
    let list: WorkerList = data(json, ControlCommand::ShowWorkers)?;
    let ages = list.workers.iter().filter_map(|one| one.last_heartbeat);
    // The time of a worker that has sent none is that of its file, by another clock, and lies in the future.
    Ok(ages.filter(|age| *age >= 0.0).reduce(f64::max))
}

fn data<'a, T: Deserialize<'a>>(json: &'a [u8], command: ControlCommand) -> Result<T, Failure> {
    let envelope: Envelope<'a, T> = serde_json::from_slice(json).map_err(|_| Failure::Malformed)?;
    let is_good = envelope.id == command.id() && envelope.status == "ok";
    let data = envelope.data.filter(|_| is_good);
    data.ok_or(Failure::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Gunicorn 27.0.1 after HUP and TTIN.
    const STATS: &[u8] = include_bytes!("recorded/stats.json");
    const WORKERS: &[u8] = include_bytes!("recorded/workers.json");
    /// Of a command that it does not know.
    const ERROR: &[u8] = include_bytes!("recorded/error.json");

    #[test]
    fn recorded_answers_have_their_values() {
        let expected = ControlStats {
            workers_target: 3,
            reloads: 1,
        };
        assert_eq!(stats(STATS), Ok(expected));
        assert_eq!(oldest_heartbeat(WORKERS), Ok(Some(4.11)));
    }

    #[test]
    fn errors_and_answers_to_another_question_are_malformed() {
        let text = std::str::from_utf8(ERROR).unwrap();
        let error = |id| text.replacen('3', id, 1).into_bytes();
        for bad in [
            ERROR,
            &error("1"),
            &error("2"),
            WORKERS,
            b"",
            b"{}",
            b"[]",
            b"null",
        ] {
            assert_eq!(stats(bad), Err(Failure::Malformed));
        }
        for bad in [ERROR, &error("1"), &error("2"), STATS] {
            assert_eq!(oldest_heartbeat(bad), Err(Failure::Malformed));
        }
    }

    #[test]
    fn answer_cut_at_any_byte_is_refused() {
        for end in 0..STATS.len() {
            assert_eq!(stats(&STATS[..end]), Err(Failure::Malformed));
        }
        for end in 0..WORKERS.len() {
            assert_eq!(oldest_heartbeat(&WORKERS[..end]), Err(Failure::Malformed));
        }
    }

    #[test]
    fn numbers_of_another_kind_are_refused() {
        let with = |value: &str| {
            let data = format!(r#"{{"workers_target":{value},"reloads":0,"new":[{{}}]}}"#);
            stats(format!(r#"{{"id":1,"status":"ok","data":{data}}}"#).as_bytes())
        };
        assert_eq!(with("7").map(|stats| stats.workers_target), Ok(7));
        let most = u64::MAX.to_string();
        assert_eq!(with(&most).map(|stats| stats.workers_target), Ok(u64::MAX));
        for bad in ["-1", "1.5", "\"7\"", "null", "18446744073709551616"] {
            assert_eq!(with(bad), Err(Failure::Malformed), "{bad}");
        }
    }

    #[test]
    fn workers_without_a_heartbeat_have_no_age() {
        let of = |ages: &[&str]| {
            let workers = ages
                .iter()
                .map(|age| format!(r#"{{"last_heartbeat":{age}}}"#));
            let workers: Vec<_> = workers.collect();
            let workers = workers.join(",");
            let data = format!(r#"{{"id":2,"status":"ok","data":{{"workers":[{workers}]}}}}"#);
            oldest_heartbeat(data.as_bytes())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["null", "-1790000000.5"]), Ok(None));
        assert_eq!(of(&["0.5", "-1790000000.5", "3", "null"]), Ok(Some(3.0)));
        assert_eq!(of(&["1e999"]), Err(Failure::Malformed));
    }
}
