//! The client against real sockets whose servers refuse, lie, hang and flood.

use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream as Peer};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread::{self, JoinHandle};

use super::super::exchange::MOST_HEAD;
use super::*;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A socket file in a directory of its own.
struct SocketPlace {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SocketPlace {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("core_api"),
            _directory: directory,
        }
    }

    /// Serves one connection.
    fn serve<T: Send + 'static>(
        &self,
        serve: impl FnOnce(&mut Peer) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        serve_one(UnixListener::bind(&self.path).unwrap(), serve)
    }
}

fn serve_one<T: Send + 'static>(
    listener: UnixListener,
    serve: impl FnOnce(&mut Peer) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.set_write_timeout(Some(PATIENCE)).unwrap();
        serve(&mut peer)
    })
}

/// Opens a file as the finders do.
fn o_path(path: &Path) -> OwnedFd {
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW);
    options.open(path).unwrap().into()
}

/// Reads one request; empty at the end of the connection.
fn head(peer: &mut Peer) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\r\n\r\n") && peer.read(&mut byte).unwrap() == 1 {
        heard.extend(byte);
    }
    String::from_utf8(heard).unwrap()
}

/// Reads a request, and answers with `said`.
fn say(said: impl AsRef<[u8]>) -> impl FnOnce(&mut Peer) {
    move |peer| {
        head(peer);
        // The client may close the connection before it has read all.
        let _ = peer.write_all(said.as_ref());
    }
}

/// Sends `text` again and again until the client closes the connection.
fn flood(peer: &mut Peer, text: &str) {
    let block = text.repeat(1 + 65_536 / text.len());
    while peer.write_all(block.as_bytes()).is_ok() {}
}

/// Runs a question as the targets thread does.
fn run<T>(question: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, question).await.unwrap() })
}

/// One question on a connection of its own.
fn question(path: &Path) -> Result<TargetAnswer, Failure> {
    run(ask_once(&o_path(path)))
}

async fn open(socket: &OwnedFd) -> Result<Connection, Failure> {
    Connection::open(async || connect(socket.as_fd())).await
}

async fn ask_once(socket: &OwnedFd) -> Result<TargetAnswer, Failure> {
    let mut connection = open(socket).await?;
    connection.get("/pool.xml", None).await
}

/// The result of the client for a server that sends `said` and closes the connection.
fn answer_to(said: impl AsRef<[u8]> + Send + 'static) -> Result<TargetAnswer, Failure> {
    answer_of(say(said))
}

/// The result of the client for a server.
fn answer_of(serve: impl FnOnce(&mut Peer) + Send + 'static) -> Result<TargetAnswer, Failure> {
    let place = SocketPlace::new();
    let server = place.serve(serve);
    let answer = question(&place.path);
    server.join().unwrap();
    answer
}

fn document(text: &str) -> Result<TargetAnswer, Failure> {
    Ok(TargetAnswer::Document(text.as_bytes().to_vec()))
}

#[test]
fn questions_share_a_connection() {
    let place = SocketPlace::new();
    let server = place.serve(|peer| {
        let first = head(peer);
        let said = format!("{OK}Status: 200 OK\r\nContent-Length: 3\r\n\r\none");
        peer.write_all(said.as_bytes()).unwrap();
        let second = head(peer);
        let said = format!("{CHUNKED}2\r\ntw\r\n1\r\no\r\n0\r\n\r\n");
        peer.write_all(said.as_bytes()).unwrap();
        (first, second, head(peer))
    });
    let socket = o_path(&place.path);
    let authorization = basic_authorization("ro_admin", "abcdefghijklmnopqrstuvwx").unwrap();
    let answers = run(async {
        let mut connection = open(&socket).await.unwrap();
        assert_eq!(connection.peer_uid(), rustix::process::geteuid().as_raw());
        assert_eq!(connection.peer_pid(), Some(std::process::id()));
        let first = connection.get("/pool.xml", Some(&authorization)).await;
        (first, connection.get("/server.json", None).await)
    });
    assert_eq!(answers, (document("one"), document("two")));

    let (first, second, end) = server.join().unwrap();
    let agent = format!("user-agent: headcount/{}\r\n", env!("CARGO_PKG_VERSION"));
    let headers = format!("HTTP/1.1\r\nhost: localhost\r\n{agent}");
    let credentials = "authorization: Basic cm9fYWRtaW46YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4";
    assert_eq!(
        first,
        format!("GET /pool.xml {headers}{credentials}\r\n\r\n")
    );
    assert_eq!(second, format!("GET /server.json {headers}\r\n"));
    assert_eq!(end, "", "the connection ends with the last question");
}

#[test]
fn status_is_a_document_an_empty_pool_or_a_failure() {
    let said = |status: u16, header: &str| {
        let rest = format!("{header}Content-Length: 2\r\n\r\nhi");
        answer_to(format!("HTTP/1.1 {status} Words\r\n{rest}"))
    };
    assert_eq!(said(200, ""), document("hi"));
    let challenge = "WWW-Authenticate: Basic realm=\"api\"\r\n";
    assert_eq!(said(401, challenge), Err(Failure::Denied));
    let empty = "Pool-Empty: true\r\n";
    assert_eq!(said(401, empty), Ok(TargetAnswer::EmptyPool));
    let full = "Pool-Empty: false\r\n";
    assert_eq!(said(401, full), Err(Failure::Denied));
    assert_eq!(said(403, empty), Err(Failure::Denied));
    for status in [101, 204, 206, 302, 404, 500, 999] {
        let header = "Upgrade: x\r\nLocation: /other\r\n";
        assert_eq!(said(status, header), Err(Failure::Status), "{status}");
    }
}

#[test]
fn answer_ends_with_its_length_its_chunks_or_the_connection() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    for (said, text) in [
        (format!("{OK}\r\nto the end"), "to the end"),
        ("HTTP/1.0 200 OK\r\n\r\nold".to_owned(), "old"),
        (format!("{OK}Content-Length: 0\r\n\r\n"), ""),
        (format!("{OK}Content-Encoding: identity\r\n\r\nhi"), "hi"),
        (format!("{CHUNKED}2\r\nhi\r\n0\r\nx: y\r\n\r\n"), "hi"),
        (format!("{interim}{OK}Content-Length: 2\r\n\r\nhi"), "hi"),
    ] {
        assert_eq!(answer_to(said.clone()), document(text), "{said:?}");
    }
}

#[test]
fn answer_that_violates_http_is_malformed() {
    let bad = [
        "".to_owned(),
        "garbage\r\n\r\n".to_owned(),
        "\0\x01\x02".to_owned(),
        "<info version=\"3\"></info>".to_owned(),
        "HTTP/1.1 2".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        format!("{OK}Content-Length: 10\r\n"),
        format!("{OK}Content-Length: 10\r\n\r\n"),
        format!("{OK}Content-Length: 10\r\n\r\nhalf"),
        format!("{OK}Content-Length: -1\r\n\r\n"),
        format!("{OK}Content-Length: 99999999999999999999999\r\n\r\n"),
        format!("{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi"),
        format!("{CHUNKED}5\r\nhal"),
        format!("{CHUNKED}2\r\nhi\r\n"),
        format!("{CHUNKED}long\r\nhi\r\n"),
        format!("{CHUNKED}ffffffffffffffffffff\r\nhi\r\n"),
        format!("{OK}Content-Encoding: gzip\r\n\r\nhi"),
        format!("{OK}Content-Encoding: identity, gzip\r\n\r\nhi"),
        format!("{OK}Content-Encoding: identity\r\nContent-Encoding: br\r\n\r\nhi"),
    ];
    for said in bad {
        assert_eq!(answer_to(said.clone()), Err(Failure::Malformed), "{said:?}");
    }
}

#[test]
fn answer_beyond_a_bound_is_too_large() {
    // Announced.
    for length in [MOST_BODY as u64 + 1, u64::MAX - 2] {
        let said = format!("{OK}Content-Length: {length}\r\n\r\nhi");
        assert_eq!(answer_to(said), Err(Failure::TooLarge), "{length}");
    }
    let endless = |start: &'static str, more: &str| {
        let more = more.to_owned();
        answer_of(move |peer| {
            head(peer);
            let _ = peer.write_all(start.as_bytes());
            flood(peer, &more);
        })
    };
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for (start, more) in [
        // A body to the end of the connection, and one in chunks.
        ("HTTP/1.1 200 OK\r\n\r\n", "x"),
        (CHUNKED, chunk.as_str()),
        // More bytes around a body than in it: tiny chunks, and an endless chunk length.
        (CHUNKED, "1\r\nx\r\n"),
        (CHUNKED, "0"),
        // An endless head: one header, many headers, interim answers.
        ("HTTP/1.1 200 OK\r\nx: ", "x"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        assert_eq!(
            endless(start, more),
            Err(Failure::TooLarge),
            "{start:?} {more:.9}"
        );
    }
    // Complete heads that are too long together.
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let said = format!("{interim}{OK}Content-Length: 2\r\n\r\nhi");
    assert!((MOST_HEAD..MOST_FRAMED).contains(&interim.len()));
    assert_eq!(answer_to(said), Err(Failure::TooLarge));
    // Which of the two faults is found first depends on how much arrives at once.
    let rubbish = endless("HTTP/1.1 ", "1");
    let reasons = [Err(Failure::Malformed), Err(Failure::TooLarge)];
    assert!(reasons.contains(&rubbish), "{rubbish:?}");
}

#[test]
fn largest_head_and_body_are_read() {
    for filling in [0, MOST_HEAD - 200] {
        let filling = "y".repeat(filling);
        let head = format!("{OK}x: {filling}\r\nContent-Length: {MOST_BODY}\r\n\r\n");
        let said = [head.as_bytes(), &[b'x'; MOST_BODY]].concat();
        let Ok(TargetAnswer::Document(body)) = answer_to(said) else {
            panic!("with a head of {} bytes", head.len());
        };
        assert_eq!(body.len(), MOST_BODY);
    }
}

#[test]
fn closed_connection_answers_no_second_question() {
    for said in [
        format!("{OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi"),
        format!("{OK}Content-Length: 2\r\n\r\nhi"),
        format!("{OK}\r\nhi"),
        // The bytes after the first answer must not answer a question that was not asked yet.
        format!("{OK}Content-Length: 2\r\n\r\nhi{OK}Content-Length: 2\r\n\r\nno"),
    ] {
        let place = SocketPlace::new();
        let server = place.serve(say(said.clone()));
        let socket = o_path(&place.path);
        let (first, second) = run(async {
            let mut connection = open(&socket).await.unwrap();
            let first = connection.get("/pool.xml", None).await;
            server.join().unwrap();
            (first, connection.get("/server.json", None).await)
        });
        assert_eq!(first, document("hi"), "{said:?}");
        let failures = [Err(Failure::Refused), Err(Failure::Malformed)];
        assert!(failures.contains(&second), "{said:?} {second:?}");
    }
}

#[test]
fn reset_connection_is_refused() {
    let place = SocketPlace::new();
    // The request is not read, so closing the socket resets the connection.
    let server = place.serve(|peer| await_request(peer));
    assert_eq!(question(&place.path), Err(Failure::Refused));
    server.join().unwrap();
}

/// Waits until a request arrives, and does not read it.
fn await_request(peer: &Peer) {
    let mut byte = 0_u8;
    // SAFETY: writes at most one byte, into `byte`, which outlives the call.
    let count = unsafe { libc::recv(peer.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK) };
    assert_eq!(count, 1);
}

#[test]
fn socket_without_a_listener_is_refused() {
    let place = SocketPlace::new();
    drop(UnixListener::bind(&place.path).unwrap());
    assert_eq!(question(&place.path), Err(Failure::Refused));
}

#[test]
fn file_that_is_no_stream_socket_is_malformed_or_refused() {
    let place = SocketPlace::new();
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&place.path).unwrap();
    assert_eq!(question(&place.path), Err(Failure::Malformed));
    let place = SocketPlace::new();
    fs::write(&place.path, "no socket").unwrap();
    assert_eq!(question(&place.path), Err(Failure::Refused));
}

#[test]
fn errors_of_sockets_have_fixed_reasons() {
    let of = |code| of_io(&io::Error::from_raw_os_error(code));
    assert_eq!(of(libc::ENOENT), Failure::Gone);
    assert_eq!(of(libc::EACCES), Failure::Denied);
    assert_eq!(of(libc::EPERM), Failure::Denied);
    assert_eq!(of(libc::ECONNREFUSED), Failure::Refused);
    assert_eq!(of(libc::EPIPE), Failure::Refused);
    assert_eq!(of(libc::EMFILE), Failure::Limit);
    assert_eq!(of(libc::EPROTOTYPE), Failure::Malformed);
}

#[test]
fn path_longer_than_a_socket_address_is_connected() {
    let place = SocketPlace::new();
    let server = place.serve(say(format!("{OK}\r\nfar")));
    let far = place.path.with_file_name("d".repeat(200));
    fs::create_dir(&far).unwrap();
    let path = far.join("core_api");
    fs::rename(&place.path, &path).unwrap();
    assert!(Peer::connect(&path).is_err());
    assert_eq!(question(&path), document("far"));
    server.join().unwrap();
}

#[test]
fn socket_file_replaced_after_it_was_opened_is_not_asked() {
    let place = SocketPlace::new();
    let server = place.serve(say(format!("{OK}\r\nthe first")));
    let socket = o_path(&place.path);
    fs::remove_file(&place.path).unwrap();
    let other = UnixListener::bind(&place.path).unwrap();
    other.set_nonblocking(true).unwrap();
    let answer = run(ask_once(&socket));
    assert_eq!(answer, document("the first"));
    server.join().unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn dropped_question_closes_its_connection() {
    for said in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let place = SocketPlace::new();
        let (hangs, hung) = tokio::sync::oneshot::channel();
        let server = place.serve(move |peer| {
            say(said)(peer);
            hangs.send(()).unwrap();
            peer.read(&mut [0])
        });
        let socket = o_path(&place.path);
        run(async {
            tokio::select! {
                answer = ask_once(&socket) => panic!("{said:?}: {answer:?}"),
                _ = hung => (),
            }
            // The server sees the end of the connection while the runtime still runs; it is a reset if the client has not read
            // all.
            let end = server.join().unwrap().map_err(|error| error.kind());
            let is_end = matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset));
            assert!(is_end, "{said:?}: {end:?}");
            let tasks = tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks();
            assert_eq!(tasks, 0, "{said:?}");
        });
    }
}

#[test]
fn full_listen_queue_is_waited_for_without_blocking_the_thread() {
    let place = SocketPlace::new();
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(&place.path).unwrap();
    socket.bind(&address).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(socket));
    let path = o_path(&place.path);
    run(async {
        // A backlog of 0 holds one connection.
        let first = open(&path).await.unwrap();
        let mut second = pin!(open(&path));
        // A timer of the same thread fires: the thread is not blocked.
        let early = tokio::time::timeout(4 * PAUSE, &mut second).await;
        assert!(early.is_err(), "{early:?}");
        drop(listener.accept().unwrap());
        let server = serve_one(listener, say(format!("{OK}\r\nat last")));
        let answer = second.await.unwrap().get("/pool.xml", None).await;
        assert_eq!(answer, document("at last"));
        server.join().unwrap();
        drop(first);
    });
}

#[test]
fn debug_output_has_no_secrets() {
    let authorization = basic_authorization("ro_admin", "abcdefghijklmnopqrstuvwx").unwrap();
    assert_eq!(format!("{authorization:?}"), "Sensitive");
    let answer = TargetAnswer::Document(b"<api_key>secret</api_key>".to_vec());
    assert_eq!(format!("{answer:?}"), "Document(25 bytes)");
}
