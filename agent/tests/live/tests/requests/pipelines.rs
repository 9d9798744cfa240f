//! Pipelined requests, and several responses in one send, over TCP and Unix sockets.

use super::Pair;
use super::exchanges::{GET, OK, on_each_path};
use crate::agent::Agent;
use crate::guest::kernel_version;
use crate::runner::table;
use crate::tier::{ITERATOR, Tier};

table![
    pipelined_requests_are_counted_by_their_responses for &[&ITERATOR],
    responses_in_one_send_are_each_counted for &[&ITERATOR],
    chunks_of_pipelined_responses_are_passed_over for &[&ITERATOR],
    a_walk_that_takes_too_many_steps_is_unreadable for &[&ITERATOR],
    bodies_of_pipelined_responses_are_no_heads for &[&ITERATOR],
];

/// The oldest kernel on which each response of a send is counted, of those that were tried.
const WALKED_FROM: (u32, u32) = (6, 12);

/// Runs a test over each kind of sockets, if the agent counts each response of a send; of kernels whose verifier does not accept
/// that, the agent says so.
fn on_each_walk(tier: &Tier, test: impl Fn(&Agent, &mut Pair)) {
    on_each_path(tier, |agent, pair| {
        let source = |source| {
            let labels = [("fact", "http_pipelines"), ("source", source)];
            agent.scrape().value("headcount_source_info", &labels) == Some(1.0)
        };
        if source("bpf") {
            return test(agent, pair);
        }
        assert!(source("absent"), "{}", agent.log());
        assert!(kernel_version() < WALKED_FROM, "{}", agent.log());
        pair.ask("recv", 8192, &GET.repeat(2));
        pair.answer("send", &[&OK.repeat(2)]);
        pair.expect("GET 2xx");
        pair.check(agent);
    });
}

fn pipelined_requests_are_counted_by_their_responses(tier: &Tier) {
    on_each_path(tier, |agent, pair| {
        for count in [2, 10] {
            pair.ask("recv", 8192, &GET.repeat(count));
            for _ in 0..count {
                pair.answer("send", &[OK]);
                pair.expect("GET 2xx");
            }
            pair.check(agent);
        }
        pair.exchange("GET", 200);
        pair.expect("GET 2xx");
    });
}

fn responses_in_one_send_are_each_counted(tier: &Tier) {
    let response = |status: &str, fields: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nServer: x\r\n{fields}\r\n{body}").into_bytes()
    };
    on_each_walk(tier, |agent, pair| {
        for call in ["send", "writev"] {
            pair.ask("recv", 8192, &GET.repeat(10));
            pair.answer(call, &[&OK.repeat(10)]);
            for _ in 0..10 {
                pair.expect("GET 2xx");
            }
            pair.check(agent);
        }
        // Heads and bodies in pieces of their own, more than are looked at in one step.
        pair.ask("recv", 8192, &GET.repeat(20));
        let (head, body) = OK.split_at(OK.len() - 2);
        for call in ["writev", "sendmsg"] {
            pair.answer(call, &[head, body].repeat(10));
            for _ in 0..10 {
                pair.expect("GET 2xx");
            }
            pair.check(agent);
        }
        // Each way in which a head states how long the body is, or that there is none.
        let long = "x".repeat(5000);
        let responses = [
            response("204 No Content", "", ""),
            response("304 Not Modified", "Content-Length: 700\r\n", ""),
            response("103 Early Hints", "Link: x\r\n", ""),
            response("404 Not Found", "content-length:3\r\n", "abc"),
            response(
                "500 Oops",
                "X-Content-Length: 9\r\nCONTENT-LENGTH: 5000\r\n",
                &long,
            ),
            response(
                "302 Found",
                &format!("Cookie: {long}\r\nContent-Length: 0\r\n"),
                "",
            ),
            response(
                "200 OK",
                &format!("Content-Length: 2\r\nCookie: {long}\r\n"),
                "hi",
            ),
            response("400 Bad Request", "Content-Length: 1\r\n", "x"),
        ];
        pair.ask("recv", 8192, &GET.repeat(7));
        pair.answer("write", &[&responses.concat()]);
        for class in [2, 3, 4, 5, 3, 2, 4] {
            pair.expect(&format!("GET {class}xx"));
        }
        pair.check(agent);
        // A response to HEAD has no body, even if it states a length.
        pair.ask(
            "recv",
            8192,
            &b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3),
        );
        let head = response("200 OK", "Content-Length: 5000\r\n", "");
        pair.answer("send", &[&head.repeat(3)]);
        for _ in 0..3 {
            pair.expect("HEAD 2xx");
        }
        pair.check(agent);
        pair.exchange("GET", 200);
        pair.expect("GET 2xx");
    });
}

fn chunks_of_pipelined_responses_are_passed_over(tier: &Tier) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const BODY: &[u8] = b"HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n";
    on_each_walk(tier, |agent, pair| {
        let size = format!("{:X}\r\n", BODY.len()).into_bytes();
        let chunk = [&size, BODY, b"\r\n"].concat();
        let whole = [HEAD, &chunk, b"5\r\nhello\r\n0\r\n\r\n"].concat();
        let check = |pair: &mut Pair, count| {
            for _ in 0..count {
                pair.expect("GET 2xx");
            }
            pair.check(agent);
        };
        // All in one send, by one buffer and by pieces.
        pair.ask("recv", 8192, &GET.repeat(6));
        pair.answer("send", &[&[&whole, OK].concat().repeat(2)]);
        check(pair, 4);
        pair.answer("writev", &[HEAD, &size, BODY, b"\r\n0\r\n\r\n", OK]);
        check(pair, 2);
        // A chunk for each send, the size apart from the data, and a send that ends within a chunk.
        pair.ask("recv", 8192, &GET.repeat(4));
        pair.answer(
            "send",
            &[HEAD, &chunk, &chunk, b"0\r\n\r\n", HEAD, &size, BODY],
        );
        pair.answer("send", &[b"\r\n", &chunk[..10]]);
        pair.answer(
            "send",
            &[&[&chunk[10..], b"0\r\n\r\n", &whole, OK].concat()],
        );
        check(pair, 4);
        // The next request comes before the end of the body.
        pair.ask("recv", 8192, &GET.repeat(2));
        pair.answer("send", &[&[&whole, HEAD, &chunk[..10]].concat()]);
        check(pair, 2);
        pair.ask("recv", 8192, GET);
        pair.answer("send", &[&[&chunk[10..], b"0\r\n\r\n", OK].concat()]);
        check(pair, 1);
        // A head without a body, as to HEAD, before another one; a body that ends with the connection.
        pair.ask("recv", 8192, &GET.repeat(2));
        pair.answer("send", &[&[HEAD, OK].concat()]);
        check(pair, 2);
        pair.ask("recv", 8192, &GET.repeat(2));
        pair.answer(
            "send",
            &[b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", b"12", b"34\r\n"],
        );
        check(pair, 1);
        assert_eq!(unreadable(agent), 0.0);
    });
}

fn unreadable(agent: &Agent) -> f64 {
    let labels = [("reason", "unreadable")];
    agent.scrape().the("headcount_http_unseen_total", &labels)
}

fn a_walk_that_takes_too_many_steps_is_unreadable(tier: &Tier) {
    const STEPS: usize = 256;
    on_each_walk(tier, |agent, pair| {
        let before = unreadable(agent);
        for (count, missed) in [(STEPS, 0.0), (STEPS + 1, 1.0)] {
            pair.ask("recv", 8192, &GET.repeat(count));
            pair.answer("send", &[&OK.repeat(count)]);
            for _ in 0..STEPS {
                pair.expect("GET 2xx");
            }
            pair.check(agent);
            assert_eq!(unreadable(agent) - before, missed);
        }
    });
}

fn bodies_of_pipelined_responses_are_no_heads(tier: &Tier) {
    const BODY: &[u8] = b"HTTP/1.1 500 Oops\r\nServer: x\r\nContent-Length: 0\r\n\r\n";
    on_each_walk(tier, |agent, pair| {
        let head = |bodies: usize| {
            let length = bodies * BODY.len();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
        };
        pair.ask("recv", 8192, &GET.repeat(5));
        // In the send of its head.
        let whole = [head(1), BODY.to_vec()].concat();
        pair.answer("send", &[&whole.repeat(2)]);
        pair.expect("GET 2xx");
        pair.expect("GET 2xx");
        pair.check(agent);
        // In sends of its own, the last of which has another head behind the body.
        pair.answer("send", &[&head(4), BODY, BODY]);
        let rest = [BODY, &BODY[..10]].concat();
        pair.answer("writev", &[&rest]);
        let rest = [&BODY[10..], &whole, OK].concat();
        pair.answer("send", &[&rest]);
        for _ in 0..3 {
            pair.expect("GET 2xx");
        }
        pair.check(agent);
        // The next request comes before the end of the body.
        pair.ask("recv", 8192, &GET.repeat(2));
        pair.answer("send", &[&whole, &head(1), &BODY[..10]]);
        pair.expect("GET 2xx");
        pair.expect("GET 2xx");
        pair.ask("recv", 8192, GET);
        let rest = [&BODY[15..], OK].concat();
        pair.answer("send", &[&BODY[10..15], &rest]);
        pair.expect("GET 2xx");
    });
}
