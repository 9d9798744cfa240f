use std::future::Future;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream as Peer};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const ROOM: usize = 64 << 20;
const MOST_BODY: usize = 1 << 20;

/// Serves a connection for each of `answers`; returns the requests.
fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let heads = answers.iter().map(|answer| {
            let mut peer = listener.accept().unwrap().0;
            let head = head_of(&mut peer);
            // The client may close the connection before it has read all.
            let _ = peer.write_all(answer);
            head
        });
        heads.collect()
    })
}

fn head_of(peer: &mut Peer) -> String {
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\r\n\r\n") && peer.read(&mut byte).unwrap() == 1 {
        heard.extend(byte);
    }
    String::from_utf8(heard).unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn request(address: SocketAddr) -> InstanceRequest {
    InstanceRequest {
        target: address.into(),
        addresses: vec![address],
        tls: None,
        host: None,
        path: PathAndQuery::from_static("/metrics"),
        accept: HeaderValue::from_static("text/plain"),
        authorization: None,
        deadline: Instant::now() + PATIENCE,
        most_bytes: MOST_BODY,
    }
}

/// Runs a question as the targets thread does.
fn run<T>(question: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, question).await.unwrap() })
}

/// The result of the client for a server that sends `answer` and closes the connection.
fn answer_to(answer: impl Into<Vec<u8>>) -> Result<InstanceReply, NoReply> {
    let (listener, address) = listener();
    let server = serve(listener, vec![answer.into()]);
    let said = run(get(request(address), &BodyRoom::of(ROOM), any));
    server.join().unwrap();
    said
}

fn failure(answer: impl Into<Vec<u8>>) -> (Failure, Option<u16>) {
    let failed = answer_to(answer).unwrap_err();
    (failed.reason, failed.status.map(|status| status.as_u16()))
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn request_has_the_headers_of_a_scrape() {
    let (listener, address) = listener();
    let server = serve(listener, vec![ok("", b"a 1\n")]);
    let asked = InstanceRequest {
        host: Some(HeaderValue::from_static("app.example.com")),
        authorization: Some(HeaderValue::from_static("Bearer x")),
        ..request(address)
    };
    let reply = run(get(asked, &BodyRoom::of(ROOM), any)).unwrap();
    assert_eq!(
        (&*reply.body, reply.is_open_metrics),
        (&b"a 1\n"[..], false)
    );
    let heads = server.join().unwrap();
    let seconds = heads[0]
        .lines()
        .find_map(|line| line.strip_prefix("x-prometheus-scrape-timeout-seconds: "));
    let left: f64 = seconds.unwrap().parse().unwrap();
    assert!(left > 0.0 && left <= PATIENCE.as_secs_f64(), "{left}");
    let rest = heads[0].lines().filter(|line| !line.contains("-timeout-"));
    let expected = [
        "GET /metrics HTTP/1.1",
        "host: app.example.com",
        concat!("user-agent: headcount/", env!("CARGO_PKG_VERSION")),
        "accept: text/plain",
        "accept-encoding: gzip",
        "x-forwarded-proto: http",
        "x-forwarded-for: 127.0.0.1",
        "x-promfetcher-scrapping: true",
        "connection: close",
        "authorization: Bearer x",
        "",
    ];
    assert!(rest.eq(expected), "{heads:?}");
}

#[test]
fn body_is_decompressed_and_its_format_known() {
    let gzip =
        "Content-Encoding: gzip\r\nContent-Type: Application/OpenMetrics-Text; version=1.0.0\r\n";
    let reply = answer_to(ok(gzip, &packed(b"a 1\n# EOF\n"))).unwrap();
    assert_eq!(
        (&*reply.body, reply.is_open_metrics),
        (&b"a 1\n# EOF\n"[..], true)
    );
    let until_close = "HTTP/1.0 200 OK\r\nContent-Type: application/openmetrics\r\n\r\nb 2\n";
    let reply = answer_to(until_close).unwrap();
    assert_eq!(
        (&*reply.body, reply.is_open_metrics),
        (&b"b 2\n"[..], false)
    );
}

#[test]
fn failed_answer_has_a_reason_and_a_status() {
    let status = |status: &str| failure(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(status("401 No"), (Failure::Denied, Some(401)));
    assert_eq!(status("404 No"), (Failure::Status, Some(404)));
    assert_eq!(status("500 No"), (Failure::Status, Some(500)));
    assert_eq!(status("204 No"), (Failure::Status, Some(204)));
    assert_eq!(failure("SSH-2.0-x\r\n"), (Failure::Malformed, None));
    assert_eq!(
        failure("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"),
        (Failure::Malformed, None)
    );
    assert_eq!(
        failure(ok("Content-Encoding: br\r\n", b"a")),
        (Failure::Malformed, None)
    );
    assert_eq!(
        failure(ok("Content-Encoding: gzip\r\n", b"a 1\n")),
        (Failure::Malformed, None)
    );
    let cut = packed(b"a 1\n");
    assert_eq!(
        failure(ok("Content-Encoding: gzip\r\n", &cut[..cut.len() - 1])),
        (Failure::Malformed, None)
    );
    let (listener, address) = listener();
    drop(listener);
    let refused = run(get(request(address), &BodyRoom::of(ROOM), any)).unwrap_err();
    assert_eq!(refused.reason, Failure::Refused);
}

#[test]
fn redirect_is_followed_to_the_same_address_only() {
    let redirect = |to: &str| {
        let to = to.to_owned();
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    for (to, path) in [
        ("/other?a=b", "/other?a=b"),
        ("http://HERE/x", "/x"),
        ("http://app.example.com", "/"),
        ("HTTP://HERE/x#y", "/x"),
        ("//HERE/x", "/x"),
        ("//app.example.com/x", "/x"),
        ("other", "/other"),
        ("../other", "/other"),
        ("?a=b", "/metrics?a=b"),
    ] {
        let (listener, address) = listener();
        let first = redirect(&to.replace("HERE", &address.to_string()));
        let server = serve(listener, vec![first, ok("", b"a 1\n")]);
        let asked = InstanceRequest {
            host: Some(HeaderValue::from_static("app.example.com")),
            ..request(address)
        };
        assert!(run(get(asked, &BodyRoom::of(ROOM), any)).is_ok(), "{to}");
        let heads = server.join().unwrap();
        assert!(
            heads[1].starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{heads:?}"
        );
    }
    let others = [
        "http://127.0.0.1:1/",
        "http://example.com/",
        "//127.0.0.1:1/",
        "https://127.0.0.1/",
        "",
        "ftp://x/",
        "http:other",
        "http:///",
        "//",
    ];
    for to in others {
        assert_eq!(failure(redirect(to)), (Failure::Redirected, None), "{to}");
    }
    let (listener, address) = listener();
    let server = serve(listener, vec![redirect("/metrics"); MOST_REDIRECTS + 1]);
    let failed = run(get(request(address), &BodyRoom::of(ROOM), any)).unwrap_err();
    assert_eq!(failed.reason, Failure::Redirected);
    server.join().unwrap();
}

#[test]
fn body_beyond_its_bound_fails_whether_compressed_or_not() {
    let large = vec![b'a'; MOST_BODY];
    assert_eq!(answer_to(ok("", &large)).unwrap().body.len(), MOST_BODY);
    let larger = vec![b'a'; MOST_BODY + 1];
    assert_eq!(failure(ok("", &larger)), (Failure::TooLarge, None));
    let bomb = packed(&larger);
    assert!(bomb.len() < MOST_BODY / 50);
    assert_eq!(
        failure(ok("Content-Encoding: gzip\r\n", &bomb)),
        (Failure::TooLarge, None)
    );
}

#[test]
fn endless_head_body_or_chunk_fails() {
    let cases = [
        ("", "x-header: endless\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n", "endless 1\n"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\na\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            "extension",
        ),
    ];
    for (first, more) in cases {
        let (listener, address) = listener();
        let first = if first.is_empty() && more.starts_with('x') {
            "HTTP/1.1 200 OK\r\n"
        } else {
            first
        };
        let server = thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            head_of(&mut peer);
            let block = more.repeat(1 + 65_536 / more.len());
            let mut next = peer.write_all(first.as_bytes());
            while next.is_ok() {
                next = peer.write_all(block.as_bytes());
            }
        });
        let failed = run(get(request(address), &BodyRoom::of(ROOM), any)).unwrap_err();
        assert!(
            matches!(failed.reason, Failure::TooLarge | Failure::Malformed),
            "{more:?}: {failed:?}"
        );
        server.join().unwrap();
    }
}

#[test]
fn body_in_small_chunks_is_read_and_one_in_single_bytes_is_not() {
    let chunks = |bytes: &str, count| {
        let chunk = format!("{:x}\r\n{bytes}\r\n", bytes.len());
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", chunk.repeat(count))
    };
    let (listener, address) = listener();
    let most_bytes = 2 << 20;
    let lines = chunks("m{a=\"\"} ", most_bytes / 8);
    let server = serve(listener, vec![lines.into_bytes()]);
    let asked = InstanceRequest {
        most_bytes,
        ..request(address)
    };
    let reply = run(get(asked, &BodyRoom::of(ROOM), any)).unwrap();
    assert_eq!(reply.body.len(), most_bytes);
    server.join().unwrap();
    let bytes = chunks("a", 2 * LEAST_PIECES);
    assert_eq!(failure(bytes), (Failure::TooLarge, None));
}

/// The body that the client keeps of a server that answers with `body`.
fn kept(room: &BodyRoom, body: Vec<u8>) -> Result<Bytes, Failure> {
    let (listener, address) = listener();
    let server = serve(listener, vec![ok("", &body)]);
    let said = run(get(request(address), room, any));
    server.join().unwrap();
    said.map(|reply| reply.body).map_err(|failed| failed.reason)
}

#[test]
fn bodies_share_a_room_until_they_are_dropped() {
    let room = BodyRoom::of(30);
    let first = kept(&room, vec![b'1'; 10]).unwrap();
    assert_eq!(kept(&room, vec![b'2'; 6]), Err(Failure::Limit));
    let second = kept(&room, vec![b'2'; 3]).unwrap();
    let part = first.slice(2..);
    drop(first);
    assert_eq!(kept(&room, vec![b'3'; 3]), Err(Failure::Limit));
    drop((part, second));
    assert!(kept(&room, vec![b'1'; 10]).is_ok());
}

#[test]
fn application_leaves_room_for_others_whatever_it_sends() {
    let room = BodyRoom::of(1 << 20);
    let mut held = Vec::new();
    for _ in 0..2 {
        let share = room.share();
        assert!(!share.is_in_use());
        // As many bodies as the application may have, larger ones first.
        for size in (10..18).rev() {
            while let Ok(body) = kept(&share, vec![b'a'; 1 << size]) {
                held.push(body);
            }
        }
        assert!(share.is_in_use());
    }
    let all: usize = held.iter().map(Bytes::len).sum();
    assert!(all > 700_000, "{all}");
    assert!(kept(&room.share(), vec![b'a'; 50_000]).is_ok(), "{all}");
}

#[test]
fn other_tasks_run_while_a_body_is_decompressed() {
    let bomb = ok("Content-Encoding: gzip\r\n", &packed(&vec![b'a'; 8 << 20]));
    assert!(bomb.len() < 10_000, "it arrives in a few pieces");
    let (listener, address) = listener();
    let server = serve(listener, vec![bomb]);
    let asked = InstanceRequest {
        most_bytes: 8 << 20,
        ..request(address)
    };
    let turns = std::cell::Cell::new(0);
    let other = std::future::poll_fn(|_| {
        turns.set(turns.get() + 1);
        std::task::Poll::<()>::Pending
    });
    let room = BodyRoom::of(ROOM);
    let said = run(async {
        tokio::select! {
            biased;
            () = other => unreachable!(),
            said = get(asked, &room, any) => said,
        }
    });
    assert_eq!(said.unwrap().body.len(), 8 << 20);
    server.join().unwrap();
    assert!(turns.get() >= 20, "{}", turns.get());
}

/// Confirms every connection.
async fn any(_: (SocketAddr, SocketAddr)) -> Result<(), Failure> {
    Ok(())
}

#[test]
fn address_is_tried_after_one_that_refuses_or_is_not_confirmed() {
    let (impostor, not_the_target) = listener();
    let (refusing, refused) = listener();
    drop(refusing);
    let (instance, address) = listener();
    let server = serve(instance, vec![ok("", b"a 1\n")]);
    let ask = |addresses: &[SocketAddr]| {
        let asked = InstanceRequest {
            addresses: addresses.to_vec(),
            ..request(address)
        };
        let confirm = async |(there, _)| match there == not_the_target {
            true => Err(Failure::NotTheTarget),
            false => Ok(()),
        };
        run(get(asked, &BodyRoom::of(ROOM), confirm)).map_err(|failed| failed.reason)
    };
    assert!(ask(&[refused, not_the_target, address]).is_ok());
    server.join().unwrap();
    assert_eq!(
        ask(&[not_the_target, refused]).unwrap_err(),
        Failure::NotTheTarget
    );
    assert_eq!(ask(&[refused]).unwrap_err(), Failure::Refused);
    assert_eq!(ask(&[]).unwrap_err(), Failure::Unresolved);
    drop(impostor);
}

#[test]
fn unconfirmed_connection_carries_no_byte() {
    let (listener, address) = listener();
    let asked = request(address);
    let refuse = async |_| Err(Failure::NotTheTarget);
    let failed = run(get(asked, &BodyRoom::of(ROOM), refuse)).unwrap_err();
    assert_eq!(failed.reason, Failure::NotTheTarget);
    let (mut connection, _) = listener.accept().unwrap();
    assert_eq!(
        connection.read(&mut [0]).unwrap(),
        0,
        "closed without a byte"
    );
}
