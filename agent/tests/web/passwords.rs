//! `basic_auth_users`.

use std::io::{Read, Write};

use super::*;

/// `alice:wonder` and `alice:wrong`, `mallory:wonder`.
const RIGHT: &str = "authorization: Basic YWxpY2U6d29uZGVy\r\n";
const WRONG: &str = "authorization: Basic YWxpY2U6d3Jvbmc=\r\n";
const UNKNOWN: &str = "authorization: Basic bWFsbG9yeTp3b25kZXI=\r\n";

fn users(password: &str) -> String {
    let hash = bcrypt::hash(password, 4).unwrap();
    format!("basic_auth_users:\n  alice: {hash}\n")
}

#[test]
fn request_without_a_valid_password_gets_401() {
    let site = Site::new(&users("wonder"));
    let agent = site.start();
    let pages = [
        "/",
        "/metrics",
        "/health",
        "/nowhere",
        "/api/groups",
        "/api/processes?group=1",
        "/api/applications",
    ];
    for path in pages {
        for headers in ["", WRONG, UNKNOWN] {
            let answer = ask_plainly(agent.address, path, headers);
            assert_eq!(answer.code, 401, "{path} {headers}");
            assert!(
                answer
                    .head
                    .contains("\r\nwww-authenticate: basic realm=\"headcount\"")
            );
            assert_eq!(
                answer.body,
                "authentication required: send a user name and password\n"
            );
        }
    }
    for _ in 0..2 {
        let answer = ask_plainly(agent.address, "/metrics", RIGHT);
        assert_eq!(answer.code, 200, "{answer:?}");
    }
    let refused = agent.request("POST", "/-/reload");
    assert_eq!(refused.code, 401, "{refused:?}");
    let scrape = Scrape::parse(ask_plainly(agent.address, "/metrics", RIGHT).body);
    let refused = scrape.value("headcount_http_requests_total", &[("code", "401")]);
    assert_eq!(refused, Some(22.0));
}

#[test]
fn tls_and_passwords_go_together() {
    let authority = Authority::new();
    let site = Site::secure(&(TLS.to_owned() + &users("wonder")), &authority);
    let agent = site.start();
    let client = Client::new(&authority);
    assert_eq!(client.ask(agent.address, "/").unwrap().code, 401);
    let client = client.header(RIGHT.trim_end());
    assert_eq!(client.ask(agent.address, "/").unwrap().code, 200);
}

#[test]
fn a_changed_password_counts_at_once_on_connections_that_were_open() {
    let site = Site::new(&users("wonder"));
    let agent = site.start();
    let mut stream = connect(agent.address);
    let mut code = || {
        write!(stream, "GET /nowhere HTTP/1.1\r\nhost: x\r\n{RIGHT}\r\n").unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        // Both answers end so.
        while !text.ends_with(b"found\n") && !text.ends_with(b"password\n") {
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        String::from_utf8(text[9..12].to_vec()).unwrap()
    };
    assert_eq!(code(), "404");
    site.write("web.yml", &users("other"));
    until("the new password", || code() == "401");
}

/// Each of the wrong passwords takes seconds to check, one after the other.
#[test]
fn a_flood_of_wrong_passwords_does_not_hold_up_a_scrape() {
    let costly = bcrypt::hash("x", 4).unwrap().replace("$04$", "$17$");
    let site = Site::new(&format!("{}  bob: {costly}\n", users("wonder")));
    let agent = site.start();
    assert_eq!(ask_plainly(agent.address, "/metrics", RIGHT).code, 200);
    let flood = || {
        let mut stream = connect(agent.address);
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\n{UNKNOWN}\r\n").unwrap();
        stream
    };
    // More than there may be connections.
    let flood: Vec<_> = (0..100).map(|_| flood()).collect();
    let metrics = ask_plainly(agent.address, "/metrics", RIGHT);
    assert_eq!(metrics.code, 200, "{metrics:?}");
    let evicted = value(metrics.body, "headcount_http_connections_evicted_total");
    assert!(evicted >= 36.0, "{evicted}");
    drop(flood);
    // The end waits for them no longer than for headers.
    let (status, log) = agent.stop(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log:#?}");
}
