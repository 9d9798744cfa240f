//! Requests without a response: aborted once, whichever end closes or ends.

use super::exchanges::{GET, OK, on_each_path};
use super::{Pair, Path, is_counted, shown, start};
use crate::runner::table;
use crate::tier::{ITERATOR, Tier};

table![
    requests_without_a_response_are_aborted for &[&ITERATOR],
    requests_of_a_process_that_ends_are_aborted for &[&ITERATOR],
    a_request_whose_receiver_has_ended_counts_once for &[&ITERATOR],
    abandoned_unix_sockets_are_each_counted for &[&ITERATOR],
];

fn requests_without_a_response_are_aborted(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.exchange("GET", 200);
        pair.expect("GET 2xx");
        pair.ask("recv", 8192, b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
        let in_flight = "requests_in_flight".to_owned();
        pair.expected.insert(in_flight.clone(), 1.0);
        for _ in 0..3 {
            pair.check(agent);
        }
        pair.tell("close");
        pair.expected.remove(&in_flight);
        pair.expect("DELETE aborted");
        pair.await_shown(agent);
        pair.connect();
        pair.ask("recv", 8192, GET);
        pair.expect("GET aborted");
        // A Unix socket has no end but its own.
        match pair.path {
            Path::Tcp | Path::Tcp6 | Path::Mptcp => pair.reset_client(),
            Path::Unix => pair.close_client(),
        }
        pair.tell("close");
        pair.await_shown(agent);
        pair.connect();
    });
}

/// The end of the process ends its exchanges in flight.
fn requests_of_a_process_that_ends_are_aborted(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        pair.ask("recv", 8192, GET);
        let path = pair.path;
        let ended = std::mem::replace(pair, Pair::start("http", path));
        let name = ended.program.name.clone();
        ended.finish();
        agent.await_that(|samples| {
            let shown = shown(samples, &name);
            let is_aborted = shown.get("GET aborted") == Some(&1.0) && shown.len() == 1;
            is_aborted.then_some(()).ok_or(format!("{shown:?}"))
        });
        pair.connect();
    });
}

/// Another process has the socket, too: it may answer, or close.
fn a_request_whose_receiver_has_ended_counts_once(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for is_answered in [true, false] {
            let client = pair.client.as_mut().unwrap();
            std::io::Write::write_all(client, GET).unwrap();
            pair.tell(&format!("orphan {}", GET.len()));
            let in_flight = "requests_in_flight".to_owned();
            pair.expected.insert(in_flight.clone(), 1.0);
            pair.await_shown(agent);
            // More than it takes to find that a socket is gone.
            for _ in 0..5 {
                pair.check(agent);
            }
            pair.expected.remove(&in_flight);
            if is_answered {
                pair.answer("send", &[OK]);
                pair.expect("GET 2xx");
                pair.check(agent);
            } else {
                pair.tell("close");
                pair.expect("GET aborted");
                pair.await_shown(agent);
            }
            for _ in 0..5 {
                pair.check(agent);
            }
        }
        pair.connect();
    });
}

/// Each of these sockets is gone before the agent can look, and the kernel may have used its memory for the next one.
fn abandoned_unix_sockets_are_each_counted(tier: &Tier) {
    const SOCKETS: usize = 300;
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("http", Path::Unix);
    for _ in 0..SOCKETS {
        pair.connect();
        pair.ask("recv", 8192, GET);
        pair.close_client();
        pair.tell("close");
        pair.expect("GET aborted");
    }
    pair.connect();
    pair.ask("recv", 8192, GET);
    pair.expected.insert("requests_in_flight".to_owned(), 1.0);
    // Two looks find that they are gone, and count them.
    agent.scrape();
    agent.scrape();
    pair.check(&agent);
    pair.answer("send", &[OK]);
    pair.expected.remove("requests_in_flight");
    pair.expect("GET 2xx");
    pair.check(&agent);
    pair.finish();
}
