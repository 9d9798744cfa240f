//! Fuzz target: the bytes that a client sends on one connection. It covers the agent's limits and routes, and hyper's
//! parser.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use super::admission::{ClientOrigin, ConnectionSlots};
use super::connection::drive;
use super::{Answers, Hosts, HttpCounters, Limits, Service};
use crate::exposition::Part;
use crate::scrape::Joiner;
use crate::state::handle::{Health, Question, Status, channel};
use crate::targets::fan_in;

/// Longest time that one connection may take here; no part of it has to wait.
const HANG: Duration = Duration::from_secs(20);
const BODY: &[u8] = b"# HELP up Up.\n# TYPE up gauge\nup 1\n";

/// A state thread that has no data to answer with.
async fn answer(mut inbox: mpsc::Receiver<Question>) {
    while let Some(question) = inbox.recv().await {
        // The request may have ended already.
        match question {
            Question::Metrics(reply) => drop(reply.send(Part::default().into())),
            Question::Health(reply) => drop(reply.send(Health {
                status: Status::Ok,
                reasons: Vec::new(),
            })),
            Question::Reload(reply) => drop(reply.send(Err("no".to_owned()))),
            // There is no node to look at: dropping the reply makes the request unavailable.
            Question::Overview(reply) => drop(reply),
            Question::Processes(_, reply) => drop(reply.send(None)),
        }
    }
}

/// The first byte of the input sets the size of the pieces in which the rest arrives. Asserts that every request is
/// answered with a code that is counted, that every answer is HTTP, and that the connection ends when its client has
/// sent everything.
pub(crate) fn http(input: &[u8]) {
    let Some((size, request)) = input.split_first() else {
        return;
    };
    let runtime: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (answered, counters) = runtime.block_on(async {
        let talk = talk(usize::from(*size) + 1, request);
        tokio::time::timeout(HANG, talk).await.expect("an end")
    });
    let text = String::from_utf8_lossy(&answered);
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
    let counts = counters.read();
    let counted: u64 = counts.requests.iter().map(|(_, count)| count).sum();
    let seen = counts.requests.iter().map(|(code, _)| {
        text.matches(&format!("HTTP/1.1 {code} ")).count()
            + text.matches(&format!("HTTP/1.0 {code} ")).count()
    });
    let seen = seen.sum::<usize>() as u64;
    // The client may not have read the last answer.
    assert!(
        seen <= counted && counted <= seen + 1,
        "{counted} counted, {seen} seen: {text}"
    );
    assert_eq!(counts.connections, 0);
    assert_eq!(
        counts.timeouts.iter().map(|(_, count)| count).sum::<u64>(),
        0
    );
}

async fn talk(size: usize, request: &[u8]) -> (Vec<u8>, Arc<HttpCounters>) {
    let limits = Limits::default();
    let counters = Arc::new(HttpCounters::new(limits.clone()));
    let (state, inbox) = channel();
    let joiner = Joiner::made_by(|_, _| BODY.to_vec());
    let answers = Answers::new(state, None, joiner, &counters, || Duration::ZERO);
    let slots = ConnectionSlots::new(limits.clone(), Arc::clone(&counters));
    let slot = slots.take(ClientOrigin::Local).expect("a free place");
    // Nothing reads its questions, so none has an answer.
    let (unanswered, _) = fan_in::handle::channel(None);
    let service = Arc::new(Service {
        telemetry_path: "/metrics".to_owned(),
        can_reload: true,
        has_page: true,
        hosts: Hosts::default(),
        answers,
        fan_in: Some(unanswered),
        broker: None,
        limits,
        counters: Arc::clone(&counters),
        web: None,
    });
    let (client, server) = tokio::io::duplex(64 << 10);
    let (mut from, mut to) = tokio::io::split(client);
    let (_running, stop) = watch::channel(false);
    let mut answered = Vec::new();
    let say = async {
        for piece in request.chunks(size) {
            // After an error response the agent stops reading, so writing fails.
            if to.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    let serve = async {
        drive(server, slot, service, stop).await;
    };
    let answering = tokio::spawn(answer(inbox));
    let read = from.read_to_end(&mut answered);
    let _ = tokio::join!(say, serve, read);
    answering.abort();
    (answered, counters)
}
