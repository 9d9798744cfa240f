//! The fake instance itself: tests with it are only as good as it is.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Node;
use crate::support::passenger::FakePassenger;
use crate::support::passenger::core::Behaviour;
use crate::support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};

/// Asks on a connection of its own, and reads to the end or the timeout.
fn ask(instance: &FakePassenger, path: &str) -> String {
    let mut stream = UnixStream::connect(instance.path("agents.s/core_api")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut heard);
    heard.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn fake_instance_answers_counts_and_ends_as_set() {
    let node = Node::new();
    let mut instance = node.instance("honestly");
    let blog = FakeApplication::new("/srv/caf\u{e9} (production)").with([FakeWorker::new(7)]);
    let counts = FakeCounts {
        accepted: 5,
        ..FakeCounts::default()
    };
    instance.show(&FakePool::new().with(blog), counts);

    let pool = ask(&instance, "/pool.xml");
    assert!(pool.starts_with("HTTP/1.1 200 OK\r\n"), "{pool}");
    assert!(
        pool.contains("<name>/srv/caf\u{e9} &#40;production&#41;</name>"),
        "{pool}"
    );
    assert!(pool.ends_with("</info>"), "{pool}");
    let server = ask(&instance, "/server.json");
    assert!(server.contains("\"total_clients_accepted\":3"), "{server}");
    assert!(ask(&instance, "/other").starts_with("HTTP/1.1 404 "));

    instance.core.behave(Behaviour::HangBeforeHead);
    assert_eq!(ask(&instance, "/pool.xml"), "");
    instance.core.behave(Behaviour::HangInBody);
    let half = ask(&instance, "/pool.xml");
    assert!(
        half.contains("<info") && !half.contains("</info>"),
        "{half}"
    );
    instance.core.behave(Behaviour::PoolEmpty);
    assert!(ask(&instance, "/pool.xml").contains("Pool-Empty: true\r\n"));
    instance.core.behave(Behaviour::Endless);
    assert_eq!(ask(&instance, "/pool.xml").len(), 1 << 20);

    let seen = instance.core.seen();
    assert_eq!((seen.connections, seen.requests.len()), (7, 7));
    let lock = File::open(instance.path("lock")).unwrap();
    lock.try_lock_shared().unwrap_err();
    instance.kill();
    lock.try_lock_shared().unwrap();
    UnixStream::connect(instance.path("agents.s/core_api")).unwrap_err();
    instance.core.listen();
    instance.core.behave(Behaviour::Answer);
    assert!(ask(&instance, "/pool.xml").ends_with("</info>"));
}

#[test]
fn the_fake_of_another_user_is_his_in_files_and_credentials() {
    const UID: u32 = 1000;
    let node = Node::new();
    let instance = FakePassenger::of(&node.registry(), "strange1", UID);
    let files = [
        "lock",
        "agents.s",
        "agents.s/core_api",
        "read_only_admin_password.txt",
    ];
    for file in files {
        assert_eq!(instance.path(file).metadata().unwrap().uid(), UID, "{file}");
    }
    let stream = UnixStream::connect(instance.path("agents.s/core_api")).unwrap();
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of_val(&peer)).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&stream);
    // SAFETY: writes at most `length` bytes, into `peer`, which outlives the call.
    let code = unsafe {
        let peer = (&raw mut peer).cast();
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            peer,
            &raw mut length,
        )
    };
    assert_eq!((code, peer.uid), (0, UID));
}
