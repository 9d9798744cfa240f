//! The shapes of requests that a client can send. Each is one function, in the table [`SHAPES`]; the row of a server names those
//! that it cannot take.

use std::time::Duration;

use super::client::{Client, Request};

/// A client sends it so many rounds.
type Shape = fn(&mut Client, usize);

pub(crate) const SHAPES: &[(&str, Shape)] = &[
    ("statuses", statuses),
    ("a connection each", a_connection_each),
    ("kept connections", kept_connections),
    ("HTTP/1.0", old_version),
    ("byte by byte", byte_by_byte),
    ("large heads", large_heads),
    ("continue", continues),
    ("bodies like heads", bodies_like_heads),
    ("large bodies", large_bodies),
    ("files", files),
    ("slow", slow),
    ("errors", errors),
    (PIPELINED, pipelined),
];

pub(crate) const PIPELINED: &str = "pipelined";
const HEAD_64K: usize = 65_000;

fn ok(method: &'static str) -> Request {
    Request::new(method, "/status/200")
}

/// The response must have this status.
fn get(client: &mut Client, request: &Request, status: u16) {
    assert_eq!(client.exchange(request), Some(status), "{}", request.path);
}

/// Every method with every class.
fn statuses(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND",
        ] {
            for status in [200, 201, 204, 302, 304, 404, 500, 503] {
                let request = Request::new(method, format!("/status/{status}"));
                get(client, &request, status);
            }
        }
        client.close();
    }
}

fn a_connection_each(client: &mut Client, rounds: usize) {
    for _ in 0..50 * rounds {
        get(client, &ok("GET").field("Connection: close"), 200);
        client.close();
    }
}

fn kept_connections(client: &mut Client, rounds: usize) {
    for _ in 0..2 * rounds {
        for _ in 0..50 {
            get(client, &ok("GET"), 200);
        }
        client.close();
    }
}

fn old_version(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        for field in ["Connection: close", "Connection: keep-alive"] {
            for method in ["GET", "HEAD"] {
                let mut request = ok(method).field(field);
                request.version = "1.0";
                get(client, &request, 200);
                get(client, &request, 200);
            }
            client.close();
        }
    }
}

fn byte_by_byte(client: &mut Client, rounds: usize) {
    for _ in 0..3 * rounds {
        for request in [ok("GET"), ok("POST").body(b"body".to_vec())] {
            assert_eq!(client.exchange_in_pieces(&request, 1), Some(200));
        }
    }
    client.close();
}

fn large_heads(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        let field = format!("X-Long: {}", "x".repeat(HEAD_64K));
        get(client, &ok("GET").field(&field), 200);
        // Its end comes in a segment of its own.
        let request = ok("GET").field(&field);
        assert_eq!(client.exchange_in_pieces(&request, HEAD_64K), Some(200));
        get(client, &ok("GET"), 200);
        client.close();
    }
}

fn continues(client: &mut Client, rounds: usize) {
    for _ in 0..5 * rounds {
        let request = Request::new("PUT", "/echo").body(vec![b'y'; 100_000]);
        let status = client.exchange_expecting(&request).unwrap();
        assert_eq!(status / 100, 2);
    }
    client.close();
}

fn bodies_like_heads(client: &mut Client, rounds: usize) {
    let head = b"GET /status/500 HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 * rounds {
        get(client, &Request::new("GET", "/heads"), 200);
        let request = Request::new("PUT", "/echo").body(head.repeat(20));
        let begin = std::time::Instant::now();
        // Each piece of the body is a whole request, as the server receives it.
        client.send(&request.head());
        for _ in 0..20 {
            client.send(head);
        }
        let status = client.receive(&request, begin);
        assert_eq!(status.map(|status| status / 100), Some(2));
    }
    client.close();
}

fn large_bodies(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        get(client, &Request::new("GET", "/large"), 200);
        get(client, &Request::new("HEAD", "/large"), 200);
        let request = Request::new("PUT", "/echo").body(vec![b'y'; 1_000_000]);
        let status = client.exchange(&request);
        assert_eq!(status.map(|status| status / 100), Some(2));
    }
    client.close();
}

/// Sent by sendfile, if the server does so.
fn files(client: &mut Client, rounds: usize) {
    for _ in 0..5 * rounds {
        get(client, &Request::new("GET", "/file"), 200);
    }
    client.close();
}

fn slow(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        for milliseconds in [1, 20, 70, 300] {
            let mut request = Request::new("GET", format!("/slow/{milliseconds}"));
            request.least = Duration::from_millis(milliseconds);
            get(client, &request, 200);
        }
    }
    client.close();
}

/// The application answers with an error, does not know the path, or raises an exception.
fn errors(client: &mut Client, rounds: usize) {
    for _ in 0..3 * rounds {
        get(client, &Request::new("GET", "/unknown"), 404);
        get(client, &Request::new("GET", "/raise"), 500);
    }
    client.close();
}

fn pipelined(client: &mut Client, rounds: usize) {
    for _ in 0..3 * rounds {
        for number in [2, 10] {
            client.pipeline(&vec![ok("GET"); number]);
        }
        client.close();
    }
}
