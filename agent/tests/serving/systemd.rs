//! The messages to the service manager.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::held::Held;
use crate::support::agent::{Agent, Launch, PATIENCE};
use crate::{launch, tree};

/// The socket on which the manager listens.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    fn starts(&self, launch: Launch) -> Launch {
        launch.env("NOTIFY_SOCKET", self.directory.path().join("notify"))
    }

    /// The next message.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// All messages that are there.
    fn waiting(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut messages = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(length) => messages.push(String::from_utf8_lossy(&bytes[..length]).into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.socket.set_nonblocking(false).unwrap();
        messages
    }
}

const READY: &str =
    "READY=1\nSTATUS=accounting: /proc only; processes that live between two scrapes are not seen";

#[test]
fn manager_hears_of_the_first_pass_and_of_the_stop() {
    let (tree, manager) = (tree(), Manager::new());
    let held = Held::new(&tree);
    let agent = manager.starts(launch(&tree)).listen();
    let reading = held.once_read();
    assert_eq!(agent.ask("/ready").code, 503);
    assert_eq!(manager.waiting(), [""; 0]);
    reading.release();
    assert_eq!(manager.next(), READY);
    assert_eq!(agent.ask("/ready").code, 200);

    agent.stop(libc::SIGTERM);
    assert_eq!(
        manager.waiting(),
        ["STOPPING=1"],
        "no watchdog was asked for"
    );
}

#[test]
fn manager_on_an_abstract_socket_hears_of_a_reload() {
    let tree = tree();
    let name = format!("headcount-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager {
        socket,
        directory: tempfile::tempdir().unwrap(),
    };
    let launch = launch(&tree).env("NOTIFY_SOCKET", format!("@{name}"));
    let agent = launch.listen();
    assert_eq!(manager.next(), READY);
    agent.signal(libc::SIGHUP);
    let begun = manager.next();
    let since_boot = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(since_boot.unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next(), "READY=1");
}

/// Past all messages that the agent was about to send, and a second further.
fn some_time_later(agent: &Agent) {
    let answer = agent.begin("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n");
    assert_eq!(answer.answer().code, 200);
}

#[test]
fn the_watchdog_is_fed_as_long_as_the_owner_of_the_state_answers() {
    let (tree, manager) = (tree(), Manager::new());
    let agent = manager
        .starts(launch(&tree))
        .env("WATCHDOG_USEC", "200000")
        .listen();
    assert_eq!(manager.next(), READY);
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    let held = Held::new(&tree);
    let open = agent.begin("/metrics", "");
    let reading = held.once_read();
    some_time_later(&agent);
    manager.waiting();
    some_time_later(&agent);
    assert_eq!(manager.waiting(), [""; 0], "the owner hangs");

    reading.release();
    assert_eq!(open.answer().code, 200);
    assert_eq!(manager.next(), "WATCHDOG=1");
}

#[test]
fn manager_that_does_not_read_delays_no_request() {
    let (tree, manager) = (tree(), Manager::new());
    // As many messages as it takes before the kernel lets the next one wait.
    let other = UnixDatagram::unbound().unwrap();
    other
        .connect(manager.directory.path().join("notify"))
        .unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send(b"of another service").is_ok() {}

    let agent = manager.starts(launch(&tree)).start();
    assert_eq!(agent.ask("/ready").code, 200);
    assert_eq!(agent.scrape().groups().len(), 1);
    // It listens again.
    while manager.next() != READY {}
    while other.send(b"of another service").is_ok() {}
    let (status, log) = agent.stop(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log:#?}");
}

#[test]
fn unreachable_manager_is_logged_and_ignored() {
    let tree = tree();
    let agent = launch(&tree)
        .env("NOTIFY_SOCKET", "/nonexistent/notify")
        .start();
    assert_eq!(agent.scrape().groups().len(), 1);
    let (status, log) = agent.stop(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let warned = |line: &&String| line.contains(" level=warn ") && line.contains("NOTIFY_SOCKET");
    assert_eq!(log.iter().filter(warned).count(), 1, "{log:#?}");
}
