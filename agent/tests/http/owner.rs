//! One answer for all clients that ask at a time, and none from an owner that hangs.

use headcount::http::Limits;
use headcount::state::handle::{Health, Question, Status};
use tokio::io::AsyncWriteExt as _;

use super::SHORT;
use super::server::*;

#[tokio::test]
async fn scrapes_that_arrive_during_a_pass_share_the_next() {
    let (server, mut inbox) = start(Limits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write_all(SCRAPE.as_bytes()).await.unwrap();
        clients.push(client);
    }
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    until("three connections", || {
        server.counters.read().connections == 3
    })
    .await;
    // The requests of all three were there before this page was asked for.
    assert!(
        server
            .ask_path("GET", "/")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(inbox.try_recv().is_err(), "one pass at a time");
    // Which of the three came first is not known; it alone gets this.
    reply.send(part("old 1\n")).unwrap();
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    reply.send(part("a 1\n")).unwrap();
    let mut old = 0;
    for mut client in clients {
        let answer = read_to_end(&mut client).await;
        match answer.ends_with("\r\n\r\nold 1\n") {
            true => old += 1,
            false => assert_scraped(&answer),
        }
    }
    assert_eq!(old, 1, "no other was there when that pass began");
    assert!(inbox.try_recv().is_err(), "two passes only");
}

#[tokio::test]
async fn hanging_state_thread_makes_health_and_ready_unavailable() {
    let limits = Limits {
        scrape: SHORT,
        health: SHORT,
        ..Limits::default()
    };
    let (server, inbox) = start(limits).await;
    let metrics = server.ask(SCRAPE).await;
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    assert!(metrics.ends_with("\r\n\r\nno_state 1\n"), "{metrics}");
    for path in ["/health", "/ready"] {
        let health = server.ask_path("GET", path).await;
        assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
        assert!(
            health.ends_with(
                "{\"reasons\":[\"the state thread did not answer within 0.1 s\"],\"status\":\"unavailable\"}\n"
            ),
            "{health}"
        );
    }
    assert!(
        server
            .ask_path("GET", "/")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!((server.timeouts("owner"), server.requests("503")), (3, 2));

    drop(inbox);
    let metrics = server.ask(SCRAPE).await;
    assert!(
        metrics.starts_with("HTTP/1.1 503 ")
            && metrics.ends_with("the state thread does not answer\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn expired_request_gets_the_families_without_state_and_causes_no_pass() {
    let (server, mut inbox) = start(Limits::default()).await;
    let with_timeout = |seconds: &str| {
        SCRAPE.replace(
            "host",
            &format!("x-prometheus-scrape-timeout-seconds: {seconds}\r\nhost"),
        )
    };
    let mut patient = server.connect().await;
    patient
        .write_all(with_timeout("nonsense").as_bytes())
        .await
        .unwrap();
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    let hasty = server.ask(&with_timeout("0.2")).await;
    assert!(hasty.starts_with("HTTP/1.1 200 "), "{hasty}");
    assert!(hasty.ends_with("\r\n\r\nno_state 1\n"), "{hasty}");
    assert_eq!(server.timeouts("owner"), 1);

    reply.send(part("a 1\n")).unwrap();
    assert_scraped(&read_to_end(&mut patient).await);
    assert!(inbox.try_recv().is_err(), "the other one waits no more");
}

#[tokio::test]
async fn server_is_ready_when_the_first_pass_is_done() {
    let (server, mut inbox) = start(Limits::default()).await;
    for (status, code) in [
        (Status::Starting, "503"),
        (Status::Ok, "200"),
        (Status::Degraded, "200"),
    ] {
        for (path, code) in [("/ready", code), ("/health", "200")] {
            let answering = async {
                let Question::Health(reply) = next(&mut inbox).await else {
                    panic!("not about health")
                };
                let reasons = Vec::new();
                reply.send(Health { status, reasons }).unwrap();
            };
            let (answer, ()) = tokio::join!(server.ask_path("GET", path), answering);
            let expected = format!("HTTP/1.1 {code} ");
            assert!(answer.starts_with(&expected), "{status:?} {path}: {answer}");
            let expected = serde_json::to_string(&status).unwrap();
            let expected = format!("{{\"status\":{expected},\"reasons\":[]}}\n");
            assert!(answer.ends_with(&expected), "{answer}");
        }
    }
    let refused = server.ask_path("POST", "/ready").await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
}
