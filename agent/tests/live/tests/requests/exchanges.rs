//! Shapes of exchanges, over TCP and Unix sockets: each is checked by itself, in the scrape that follows.

use super::{Pair, Path, hex, is_counted, shown, start};
use crate::agent::Agent;
use crate::runner::table;
use crate::scenario::handed::has_mptcp;
use crate::tier::{ITERATOR, TYPED, Tier};

// The programs of requests are the same in each tier; where counts of processes matter, both are tried.
table![
    exchanges_of_a_connection_are_counted_by_method_and_status for TYPED,
    every_call_that_sends_and_receives_is_seen for &[&ITERATOR],
    a_receive_at_the_end_of_another_call_is_not_read_from_its_buffer for &[&ITERATOR],
    bodies_are_no_heads for &[&ITERATOR],
    the_rest_of_a_body_that_was_answered_early_is_no_request for &[&ITERATOR],
    headers_of_the_proxy_protocol_are_no_requests for &[&ITERATOR],
    interim_responses_and_tunnels_are_distinguished for &[&ITERATOR],
    bytes_that_are_no_http_are_unparsed for &[&ITERATOR],
    a_worker_that_ends_at_once_counts for TYPED,
    connections_of_clients_are_not_counted for &[&ITERATOR],
    requests_over_ipv6_are_counted for &[&ITERATOR],
    only_clients_of_tcp_are_counted_at_a_listener_of_mptcp for &[&ITERATOR],
];

pub(super) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Runs a test over each kind of sockets, if the agent counts requests.
pub(super) fn on_each_path(tier: &Tier, test: impl Fn(&Agent, &mut Pair)) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    for path in [Path::Tcp, Path::Unix] {
        let mut pair = Pair::start("http", path);
        pair.connect();
        test(&agent, &mut pair);
        pair.check(&agent);
        pair.close_client();
        pair.finish();
    }
}

fn exchanges_of_a_connection_are_counted_by_method_and_status(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for (method, status, shown) in [
            ("GET", 200, "GET 2xx"),
            ("GET", 304, "GET 3xx"),
            ("HEAD", 204, "HEAD 2xx"),
            ("POST", 201, "POST 2xx"),
            ("PUT", 302, "PUT 3xx"),
            ("DELETE", 404, "DELETE 4xx"),
            ("PATCH", 503, "PATCH 5xx"),
            ("OPTIONS", 200, "OPTIONS 2xx"),
            ("PROPFIND", 207, "other 2xx"),
        ] {
            for _ in 0..3 {
                pair.exchange(method, status);
                pair.expect(shown);
            }
            pair.check(agent);
        }
        for _ in 0..20 {
            pair.connect();
            pair.exchange("GET", 200);
            pair.expect("GET 2xx");
        }
    });
}

fn every_call_that_sends_and_receives_is_seen(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for receive in ["read", "readv", "recv", "recvmsg", "peek"] {
            for send in ["write", "writev", "send", "sendmsg"] {
                pair.ask(receive, 8192, GET);
                pair.answer(send, &[OK]);
                pair.expect("GET 2xx");
            }
            pair.check(agent);
        }
        // Byte by byte, and in pieces within the first word of the status line.
        pair.ask("recv", 1, GET);
        let bytes: Vec<&[u8]> = OK.chunks(1).collect();
        pair.answer("send", &bytes);
        pair.expect("GET 2xx");
        pair.check(agent);
        for send in ["writev", "sendmsg"] {
            pair.ask("recv", 8192, GET);
            pair.answer(send, &[b"HT", b"TP/1.1 40", b"4 Not Found\r\nA: b\r\n\r\n"]);
            pair.expect("GET 4xx");
        }
        // An empty line before a request, and a head of 64 KB.
        pair.ask("recv", 8192, &[b"\r\n", GET].concat());
        pair.answer("send", &[OK]);
        pair.expect("GET 2xx");
        let field = format!("Cookie: {}\r\n\r\n", "x".repeat(65_536));
        let head = [&GET[..GET.len() - 2], field.as_bytes()].concat();
        pair.ask("recv", 8192, &head);
        pair.answer("send", &[OK]);
        pair.expect("GET 2xx");
    });
}

/// The other call is the read of the next command: no request is in its buffer. The answer counts for a request of unknown
/// method.
fn a_receive_at_the_end_of_another_call_is_not_read_from_its_buffer(tier: &Tier) {
    on_each_path(tier, |_, pair| {
        pair.server.tell("arm");
        if pair.server.await_line("done") == 0 {
            // This kernel has no `io_uring`.
            return;
        }
        std::io::Write::write_all(pair.client.as_mut().unwrap(), GET).unwrap();
        pair.tell(&format!("armed {}", GET.len()));
        pair.answer("send", &[OK]);
        pair.expect("other 2xx");
    });
}

fn bodies_are_no_heads(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        // Of a response: each send of the body is a whole head.
        pair.ask("recv", 8192, GET);
        let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        pair.answer("send", &[head]);
        for _ in 0..10 {
            pair.answer("send", &[b"HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n"]);
        }
        pair.expect("GET 2xx");
        pair.check(agent);
        // Of a request: each receive of the body is a whole request.
        let body = GET.repeat(1000);
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        pair.ask("recv", 8192, head.as_bytes());
        pair.ask("recv", GET.len(), &body);
        pair.answer("send", &[OK]);
        pair.expect("POST 2xx");
    });
}

fn the_rest_of_a_body_that_was_answered_early_is_no_request(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for rest in [
            "INSERT INTO a",
            "DELETE FROM a",
            "GET",
            "GET x",
            "A B",
            "UPDATE a",
        ] {
            let head = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
            pair.ask("recv", 8192, head);
            pair.answer("send", &[b"HTTP/1.1 413 Too Large\r\nServer: x\r\n\r\n"]);
            pair.expect("POST 4xx");
            let rest = format!("{rest:<1000}");
            pair.ask("recv", 500, rest.as_bytes());
            pair.check(agent);
        }
        for target in ["/", "*", "http://x/", "HTTP://x/"] {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            for piece in [8192, 8] {
                pair.ask("recv", piece, head.as_bytes());
                pair.answer("send", &[OK]);
                pair.expect("OPTIONS 2xx");
            }
        }
    });
}

fn headers_of_the_proxy_protocol_are_no_requests(tier: &Tier) {
    let address = [127, 0, 0, 1, 127, 0, 0, 1, 4, 0, 4, 1];
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    let second = [&start[..], &address].concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    on_each_path(tier, |agent, pair| {
        for header in [
            &b"PROXY TCP4 127.0.0.1 127.0.0.1 1024 1025\r\n"[..],
            b"PROXY UNKNOWN\r\n",
            &second,
            local,
        ] {
            // Alone, as from a load balancer that only looks whether the server is there.
            pair.connect();
            pair.ask("recv", 8192, header);
            pair.check(agent);
            pair.exchange("GET", 200);
            pair.expect("GET 2xx");
            pair.check(agent);
            pair.connect();
            pair.ask(
                "recv",
                8192,
                &[header, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
            );
            pair.answer("send", &[OK]);
            pair.expect("POST 2xx");
            pair.exchange("GET", 404);
            pair.expect("GET 4xx");
            pair.check(agent);
        }
    });
}

fn interim_responses_and_tunnels_are_distinguished(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        pair.ask("recv", 8192, head);
        pair.answer("send", &[b"HTTP/1.1 100 Continue\r\n\r\n"]);
        pair.ask("recv", 8192, b"body");
        pair.answer("send", &[b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]);
        pair.expected.insert("requests_in_flight".to_owned(), 1.0);
        pair.check(agent);
        pair.expected.clear();
        pair.answer("send", &[OK]);
        pair.expect("POST 2xx");
        pair.check(agent);
        pair.ask("recv", 8192, GET);
        let both = [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK].concat();
        pair.answer("send", &[&both]);
        pair.expect("GET 2xx");
        pair.check(agent);
        for (request, response, shown) in [
            (
                GET,
                &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"[..],
                "GET 1xx",
            ),
            (
                b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
                "other 2xx",
            ),
        ] {
            pair.connect();
            pair.ask("recv", 8192, request);
            pair.answer("send", &[response]);
            pair.expect(shown);
            // The following bytes belong to another protocol.
            pair.exchange("GET", 200);
            pair.check(agent);
        }
    });
}

fn bytes_that_are_no_http_are_unparsed(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for (first, reason) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00"[..], "tls"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
            (b"\x00\x01\x02\x03", "other"),
            (b"hello", "other"),
        ] {
            pair.connect();
            pair.ask("recv", 8192, first);
            pair.expect(reason);
            // Nothing of such a connection counts any more.
            pair.exchange("GET", 200);
            pair.check(agent);
        }
        pair.connect();
        pair.ask("recv", 8192, b"EHLO client\r\n");
        pair.answer("send", &[b"250 server\r\n"]);
        pair.expect("other");
        pair.check(agent);
    });
}

fn a_worker_that_ends_at_once_counts(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        let work = format!("worker {} {}", GET.len(), hex(&[OK]));
        for _ in 0..20 {
            pair.dial();
            let client = pair.client.as_mut().unwrap();
            std::io::Write::write_all(client, GET).unwrap();
            pair.tell(&work);
            pair.expect("GET 2xx");
        }
        // Their records may come later than their counts.
        pair.await_shown(agent);
        pair.connect();
    });
}

/// Of clients with an address of IPv6, and of IPv4.
fn requests_over_ipv6_are_counted(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut pair = Pair::start("http6", Path::Tcp6);
    for client in [Path::Tcp6, Path::Tcp] {
        pair.path = client;
        pair.connect();
        pair.exchange("GET", 200);
        pair.expect("GET 2xx");
        pair.check(&agent);
        pair.exchange("POST", 404);
        pair.expect("POST 4xx");
        pair.check(&agent);
    }
    pair.finish();
}

fn only_clients_of_tcp_are_counted_at_a_listener_of_mptcp(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) || !has_mptcp() {
        return;
    }
    let mut pair = Pair::start("httpm", Path::Mptcp);
    for client in [Path::Mptcp, Path::Tcp, Path::Mptcp] {
        pair.path = client;
        pair.connect();
        for (method, status) in [("GET", 200), ("POST", 404)] {
            pair.exchange(method, status);
            if client == Path::Tcp {
                pair.expect(&format!("{method} {}xx", status / 100));
            }
            pair.check(&agent);
        }
        pair.close_client();
        pair.tell("close");
        pair.check(&agent);
    }
    pair.finish();
}

/// The scenario `endpoint` connects to a server that speaks first, and to one that answers: both of its connections are a client's.
fn connections_of_clients_are_not_counted(tier: &Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let program = crate::program::Program::new("httpc");
    let mut client = program.start("endpoint", &[]);
    client.await_line("ready");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for nth in 0..2 {
        client.tell(&format!("connect 4 {port}"));
        client.await_line("connection");
        let (mut server, _) = listener.accept().unwrap();
        if nth == 1 {
            client.tell("send 1 100");
            client.await_line("sent");
        }
        std::io::Write::write_all(&mut server, OK).unwrap();
        client.tell(&format!("receive {nth} {}", OK.len()));
        client.await_line("received");
    }
    let samples = agent.scrape();
    assert!(shown(&samples, &program.name).is_empty());
    client.finish();
}
