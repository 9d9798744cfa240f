//! The HTTP side over real sockets: routes, limits, and clients that behave badly.
//!
//! Each test waits for the result that it expects; the limits are short, so waiting is too.

// Functions beside the tests are tests too: they fail by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod hosts;
mod owner;
mod page;
mod secured;
mod server;

use std::io::Read as _;
use std::time::Duration;

use headcount::http::Limits;
use headcount::state::handle::Question;
use server::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn each_path_has_its_answer() {
    let server = start_answering(Limits::default(), "a 1\n").await;

    let metrics = server.ask_path("GET", "/metrics").await;
    assert_scraped(&metrics);
    assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_scraped(&server.ask_path("POST", "/metrics?collect=x").await);

    let health = server.ask_path("GET", "/health").await;
    assert!(health.starts_with("HTTP/1.1 200 ") && health.contains("application/json"));
    assert!(
        health.ends_with("{\"status\":\"degraded\",\"reasons\":[\"a \\\"reason\\\"\"]}\n"),
        "{health}"
    );

    let landing = server.ask_path("GET", "/").await;
    assert!(landing.starts_with("HTTP/1.1 200 "));
    assert!(landing.contains("href=\"./metrics\"") && landing.contains("href=\"./health\""));

    for path in ["/metrics/", "/foo", "/debug/pprof/", "//", "/-/healthy"] {
        assert!(
            server
                .ask_path("GET", path)
                .await
                .starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
    let refused = server.ask_path("POST", "/health").await;
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"));

    for method in ["POST", "PUT"] {
        let failed = server.ask_path(method, "/-/reload").await;
        assert!(failed.starts_with("HTTP/1.1 500 ") && failed.ends_with(": x.yml:3: no\n"));
    }
    let refused = server.ask_path("GET", "/-/reload").await;
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: POST, PUT\r\n"));

    assert_eq!(
        (
            server.requests("200"),
            server.requests("404"),
            server.requests("405"),
            server.requests("500")
        ),
        (4, 5, 2, 2)
    );
}

#[tokio::test]
async fn client_that_accepts_gzip_gets_gzip() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: br, gzip\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(
        head.contains("content-encoding: gzip") && head.contains("vary: Accept-Encoding"),
        "{head}"
    );
    let mut body = String::new();
    flate2::read::GzDecoder::new(&answer[end + 4..])
        .read_to_string(&mut body)
        .unwrap();
    assert_eq!(body, "a 1\n");
}

#[tokio::test]
async fn head_request_gets_the_header_alone() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    for path in ["/", "/health", "/metrics"] {
        let answer = server.ask_path("HEAD", path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
    let metrics = server.ask_path("HEAD", "/metrics").await;
    assert!(metrics.contains("content-length: 4\r\n"), "{metrics}");
}

#[tokio::test]
async fn a_connection_is_kept_until_it_was_idle_too_long() {
    let limits = Limits {
        // Long enough for the second request on a busy machine.
        idle: 5 * SHORT,
        ..Limits::default()
    };
    let server = start_answering(limits, "a 1\n").await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"a 1\n") {
            assert_ne!(
                stream.read_buf(&mut answer).await.unwrap(),
                0,
                "closed too early"
            );
        }
    }
    assert_eq!(read_to_end(&mut stream).await, "");
    until("the connection's end", || {
        server.counters.read().connections == 0
    })
    .await;
    assert_eq!(server.timeouts("header"), 0, "idle is no fault");
}

#[tokio::test]
async fn a_header_that_does_not_arrive_ends_the_connection() {
    let limits = Limits {
        header: SHORT,
        ..Limits::default()
    };
    let server = start_answering(limits, "a 1\n").await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /metrics HTTP/1.1\r\nho")
        .await
        .unwrap();
    assert_eq!(read_to_end(&mut slow).await, "");
    assert_eq!(read_to_end(&mut silent).await, "");
    until("both timeouts", || server.timeouts("header") == 2).await;
    until("both ends", || server.counters.read().connections == 0).await;
}

#[tokio::test]
async fn a_header_that_trickles_does_not_win_time() {
    let limits = Limits {
        header: SHORT,
        ..Limits::default()
    };
    let server = start_answering(limits, "a 1\n").await;
    let mut slow = server.connect().await;
    let trickle = async {
        loop {
            if slow.write_all(b"G").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, trickle).await.is_ok());
    assert_eq!(server.timeouts("header"), 1);
}

#[tokio::test]
async fn a_client_may_vanish_in_the_middle_of_a_response() {
    let server = start_answering(Limits::default(), &large_body()).await;
    let mut client = server.connect().await;
    client.write_all(SCRAPE.as_bytes()).await.unwrap();
    let mut some = [0; 1000];
    client.read_exact(&mut some).await.unwrap();
    drop(client);
    until("the connection's end", || {
        server.counters.read().connections == 0
    })
    .await;
    assert!(
        server
            .ask_path("GET", "/")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_client_may_vanish_before_its_answer() {
    let (server, mut inbox) = start(Limits::default()).await;
    let mut client = server.connect().await;
    client.write_all(SCRAPE.as_bytes()).await.unwrap();
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    drop(client);
    let _ = reply.send(part("a 1\n"));
    until("the connection's end", || {
        server.counters.read().connections == 0
    })
    .await;

    let answering = async {
        let Question::Metrics(reply) = next(&mut inbox).await else {
            panic!("not a scrape")
        };
        reply.send(part("a 1\n")).unwrap();
    };
    let (answer, ()) = tokio::join!(server.ask(SCRAPE), answering);
    assert_scraped(&answer);
}

#[tokio::test]
async fn a_client_that_stops_sending_still_gets_its_answer() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    let mut client = server.connect().await;
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    assert_scraped(&read_to_end(&mut client).await);
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped() {
    let limits = Limits {
        write: SHORT,
        ..Limits::default()
    };
    let server = start_answering(limits, &large_body()).await;
    let mut client = server.connect().await;
    client.write_all(SCRAPE.as_bytes()).await.unwrap();
    until("the timeout", || server.timeouts("write") == 1).await;
    until("the connection's end", || {
        server.counters.read().connections == 0
    })
    .await;
    assert!(
        server
            .ask_path("GET", "/")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn more_connections_than_allowed_do_not_keep_a_scrape_out() {
    let limits = Limits {
        connections: 4,
        ..Limits::default()
    };
    let server = start_answering(limits, "a 1\n").await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect().await;
        client
            .write_all(b"GET /metrics HTTP/1.1\r\n")
            .await
            .unwrap();
        idle.push(client);
        assert_scraped(&server.ask(SCRAPE).await);
        assert!(server.counters.read().connections <= 4);
    }
    assert!(
        server.counters.read().evicted >= 16,
        "{:?}",
        server.counters
    );
    assert_eq!(server.counters.read().rejected, 0);
    // The first gave way, the last is still there.
    assert_eq!(read_to_end(&mut idle[0]).await, "");
    let last = idle.last_mut().unwrap();
    last.write_all(b"host: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_scraped(&read_to_end(last).await);
}

#[tokio::test]
async fn when_all_wait_for_the_owner_a_new_connection_is_closed() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (server, mut inbox) = start(limits).await;
    let mut one = server.connect().await;
    one.write_all(SCRAPE.as_bytes()).await.unwrap();
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    let mut two = server.connect().await;
    two.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let _health = next(&mut inbox).await;

    let mut third = server.connect().await;
    assert_eq!(read_to_end(&mut third).await, "");
    assert_eq!(
        (
            server.counters.read().rejected,
            server.counters.read().evicted
        ),
        (1, 0)
    );
    reply.send(part("a 1\n")).unwrap();
    assert_scraped(&read_to_end(&mut one).await);
}

#[tokio::test]
async fn garbage_and_oversized_headers_are_refused() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    let garbage = server.ask("\u{1}\u{2}\u{3} nonsense\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    until("the count", || server.requests("400") == 1).await;

    let mut client = server.connect().await;
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let _ = client.write_all(long.as_bytes()).await;
    until("the count", || server.requests("431") == 1).await;
    let many = "x: y\r\n".repeat(100);
    let mut client = server.connect().await;
    let _ = client
        .write_all(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes())
        .await;
    until("the count", || server.requests("431") == 2).await;
    assert_scraped(&server.ask(SCRAPE).await);
}

#[tokio::test]
async fn a_stop_lets_open_requests_finish() {
    let (server, mut inbox) = start(Limits::default()).await;
    let mut idle = server.connect().await;
    let mut client = server.connect().await;
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let Question::Metrics(reply) = next(&mut inbox).await else {
        panic!("not a scrape")
    };
    server.stop.send(()).unwrap();
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    assert!(
        tokio::time::timeout(PATIENCE, refused).await.is_ok(),
        "still listening"
    );

    assert_eq!(
        read_to_end(&mut idle).await,
        "",
        "an idle connection is not waited for"
    );
    reply.send(part("a 1\n")).unwrap();
    assert_scraped(&read_to_end(&mut client).await);
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let limits = Limits {
        drain: SHORT,
        ..Limits::default()
    };
    let (server, mut inbox) = start(limits).await;
    let mut client = server.connect().await;
    client.write_all(SCRAPE.as_bytes()).await.unwrap();
    let _question = next(&mut inbox).await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}
