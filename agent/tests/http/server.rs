//! A server on a socket of its own, and the requests of the tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headcount::collector::CollectedPart;
use headcount::exposition::{Part, assemble};
use headcount::http::{self, Answers, Hosts, HttpCounters, Limits, Service, Web};
use headcount::scrape::Joiner;
use headcount::state::handle::{Health, Question, Status, channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Longer than any test takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<HttpCounters>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

/// A server with an owner that answers no question yet.
pub(crate) async fn start(limits: Limits) -> (Server, mpsc::Receiver<Question>) {
    start_with(limits, None).await
}

/// The same with a web configuration.
pub(crate) async fn start_with(
    limits: Limits,
    web: Option<Web>,
) -> (Server, mpsc::Receiver<Question>) {
    start_service(limits, web, false).await
}

/// The same with the page for people.
pub(crate) async fn start_with_page(limits: Limits) -> (Server, mpsc::Receiver<Question>) {
    start_service(limits, None, true).await
}

async fn start_service(
    limits: Limits,
    web: Option<Web>,
    has_page: bool,
) -> (Server, mpsc::Receiver<Question>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counters = Arc::new(HttpCounters::new(limits.clone()));
    let (state, inbox) = channel();
    let joiner = Joiner::made_by(|state, _| match state {
        Some(state) => assemble(&[state.part()]),
        None => b"no_state 1\n".to_vec(),
    });
    let answers = Answers::new(state, None, joiner, &counters, || Duration::ZERO);
    let service = Service {
        telemetry_path: "/metrics".to_owned(),
        can_reload: true,
        has_page,
        // The name that most tests use for the server.
        hosts: Hosts::new(["x"]),
        answers,
        fan_in: None,
        broker: None,
        limits,
        counters: Arc::clone(&counters),
        web: web.map(Arc::new),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(http::serve(
        vec![listener.into()],
        Arc::new(service),
        async {
            let _ = stopped.await;
        },
    ));
    (
        Server {
            address,
            counters,
            stop,
            task,
        },
        inbox,
    )
}

/// A server whose owner answers every scrape with `body`.
pub(crate) async fn start_answering(limits: Limits, body: &str) -> Server {
    let body = body.to_owned();
    let (server, mut inbox) = start(limits).await;
    tokio::spawn(async move {
        while let Some(question) = inbox.recv().await {
            match question {
                Question::Reload(reply) => drop(reply.send(Err("x.yml:3: no".to_owned()))),
                Question::Metrics(reply) => drop(reply.send(part(&body))),
                Question::Health(reply) => {
                    let reasons = vec!["a \"reason\"".to_owned()];
                    drop(reply.send(Health {
                        status: Status::Degraded,
                        reasons,
                    }));
                }
                // Dropped: no answer.
                Question::Overview(_) | Question::Processes(..) => {}
            }
        }
    });
    server
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and reads until the server closes.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub(crate) async fn ask_path(&self, method: &str, path: &str) -> String {
        self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    pub(crate) fn requests(&self, code: &str) -> u64 {
        let requests = self.counters.read().requests;
        requests
            .into_iter()
            .find(|(known, _)| *known == code)
            .unwrap()
            .1
    }

    pub(crate) fn timeouts(&self, phase: &str) -> u64 {
        let timeouts = self.counters.read().timeouts;
        timeouts
            .into_iter()
            .find(|(known, _)| *known == phase)
            .unwrap()
            .1
    }
}

/// All until the end, however the connection ends.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "waited in vain for: {what}"
    );
}

pub(crate) async fn next(inbox: &mut mpsc::Receiver<Question>) -> Question {
    tokio::time::timeout(PATIENCE, inbox.recv())
        .await
        .unwrap()
        .unwrap()
}

/// The state's part of a scrape, which has this text.
pub(crate) fn part(text: &str) -> CollectedPart {
    Part::verbatim(text.to_owned()).into()
}

/// More than the socket buffers of both sides hold.
pub(crate) fn large_body() -> String {
    "a".repeat(64 << 20)
}

#[track_caller]
pub(crate) fn assert_scraped(answer: &str) {
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\na 1\n"),
        "{answer}"
    );
}
