//! How it ends.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;

use crate::held::Held;
use crate::support::agent::{Agent, until};
use crate::support::log::message;
use crate::{launch, tree};

fn no_longer_listens(agent: &Agent) {
    until("a closed door", || {
        TcpStream::connect(agent.address).is_err()
    });
}

#[test]
fn a_request_that_is_open_at_the_stop_is_finished() {
    let tree = tree();
    let agent = launch(&tree).start();
    let held = Held::new(&tree);
    let open = agent.begin("/metrics", "");
    let reading = held.once_read();
    agent.signal(libc::SIGTERM);
    no_longer_listens(&agent);

    reading.release();
    let answer = open.answer();
    assert_eq!(answer.code, 200);
    assert!(
        answer
            .body
            .contains("\nnamedprocess_namegroup_num_procs{groupname=\"fake\"} 1\n")
    );
    let (status, log) = agent.end();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    assert_eq!(message(log.last().unwrap()), "SIGTERM: stopping");
}

#[test]
fn second_signal_ends_the_agent_at_once() {
    for (second, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")] {
        let tree = tree();
        let agent = launch(&tree).start();
        let held = Held::new(&tree);
        let _open = agent.begin("/metrics", "");
        // The pipe is never released.
        let _reading = held.once_read();
        agent.signal(libc::SIGTERM);
        no_longer_listens(&agent);
        let (status, log) = agent.stop(second);
        assert_eq!(status.signal(), Some(second), "{status} {log:#?}");
        let expected = format!("{name} while stopping: exiting with open requests unanswered");
        assert_eq!(message(log.last().unwrap()), expected);
    }
}
