//! Requests that are none, or two in one.

use std::io::{Read as _, Write as _};

use super::attack::{hold, swarm};
use super::siege::{Siege, answered};
use super::support::agent::Launch;
use super::support::client::connect;

/// The bytes behind some of them: an answer of 404 says that the agent took them for a request.
const SECOND: &str = "GET /second HTTP/1.1\r\nhost: x\r\n\r\n";

/// Codes of all answers to `bytes`, after which the client says no more.
fn codes(to: std::net::SocketAddr, bytes: &[u8]) -> Vec<String> {
    let mut stream = connect(to);
    // It may be closed before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    let heard = String::from_utf8_lossy(&heard);
    let answers = heard.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].to_owned()).collect()
}

#[test]
fn malformed_requests_are_refused_and_counted() {
    let agent = Launch::new().arg("-accounting=procfs").start();
    let get = |line: &str| format!("GET /nowhere HTTP/1.1\r\nhost: x\r\n{line}\r\n\r\n{SECOND}");
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            &["400"],
        ),
        (vec![0; 1000], &["400"]),
        (vec![b'\n'; 1000], &[]),
        (b"GET /\r\n".to_vec(), &["400"]),
        (b"GET / HTTP/0.9\r\n\r\n".to_vec(), &["400"]),
        (b"GET / HTTP/3.0\r\n\r\n".to_vec(), &["400"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(15_000)).into(),
            &["404"],
        ),
        (
            get("content-length: 5\r\ncontent-length: 0").into(),
            &["400"],
        ),
        (get("content-length: 18446744073709551616").into(), &["400"]),
        (get("content-length: -1").into(), &["400"]),
        (get("content-length: +0").into(), &["400"]),
        (get("content-length : 0").into(), &["400"]),
        (get("x: a\0b").into(), &["400"]),
        (get("x: a\rb").into(), &["400"]),
        (get("x: a\r\n folded").into(), &["400"]),
        (get("transfer-encoding: chunked, identity").into(), &["400"]),
        (get("transfer-encoding: gzip").into(), &["400"]),
        (get("expect: 100-continue").into(), &["404", "404"]),
        (
            get("upgrade: h2c\r\nconnection: upgrade").into(),
            &["404", "404"],
        ),
        (get("connection: close").into(), &["404"]),
        (get("content-length: 999999999999999").into(), &["404"]),
        (
            get("content-length: 5\r\ntransfer-encoding: chunked").into(),
            &["404"],
        ),
        (
            get("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0").into(),
            &["404"],
        ),
        (
            get("transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0").into(),
            &["404"],
        ),
        (
            get("transfer-encoding: chunked\r\n\r\n0").into(),
            &["404", "404"],
        ),
        (
            get("transfer-encoding: chunked\r\ntransfer-encoding: chunked").into(),
            &["404"],
        ),
        (get("transfer-encoding: xchunked").into(), &["400"]),
        (
            b"GET /nowhere HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            &["400"],
        ),
        (SECOND.repeat(300).into(), &["404"; 300]),
    ];
    let mut wrong = Vec::new();
    for (bytes, expected) in &cases {
        let found = codes(agent.address, bytes);
        if found != *expected {
            wrong.push(format!(
                "{}: {found:?}, not {expected:?}",
                bytes[..bytes.len().min(90)].escape_ascii()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let refused = cases.iter().filter(|(_, codes)| *codes == ["400"]).count();
    // HTTP/2 gets no answer in the words of HTTP/1.1, but is counted.
    assert_eq!(answered(&agent.scrape(), "400"), (refused + 1) as f64);
}

/// Bodies without an end, and such as never come.
#[test]
fn endless_request_bodies_hold_up_no_scrape() {
    let siege = Siege::new();
    let to = siege.agent.address;
    let attack = async move {
        tokio::join!(
            swarm(30, move || hold(
                to,
                b"POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
                b"5\r\nhello\r\n"
            )),
            swarm(30, move || {
                hold(to, b"PUT /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n", b"")
            }),
            swarm(30, move || hold(
                to,
                b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
                b"hello"
            )),
        );
    };
    siege.withstand(attack, |scrape| answered(scrape, "404") >= 500.0);
}
