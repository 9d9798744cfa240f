//! Where it listens.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::support::agent::{Agent, Asked, Launch};
use crate::support::log::message;
use crate::support::scrape::{Scrape, groups};
use crate::{launch, tree};

/// Names the process that LISTEN_FDS are for, as systemd does.
const TO_ITSELF: &[&str] = &["sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""];

fn assert_scraped(path: &Path) {
    let answer = Asked::of(UnixStream::connect(path).unwrap(), "/metrics", "").answer();
    assert_eq!(answer.code, 200);
    let scrape = Scrape::parse(answer.body);
    assert_eq!(scrape.groups(), groups(&[("fake", 1)]));
}

/// Where it says that it listens.
fn addresses(agent: &Agent) -> Vec<String> {
    let lines = agent.log();
    let lines = lines.iter().filter(|line| line.contains(" msg=\"serving "));
    lines
        .map(|line| {
            let message = message(line);
            let (_, address) = message.rsplit_once("(listening on ").unwrap();
            address.strip_suffix(')').unwrap().to_owned()
        })
        .collect()
}

#[test]
fn all_addresses_are_served_and_the_socket_goes_with_the_agent() {
    let (tree, directory) = (tree(), tempfile::tempdir().unwrap());
    let path = directory.path().join("headcount.sock");
    let unix = format!("unix:{}", path.display());
    let agent = launch(&tree)
        .args(&["-web.listen-address=127.0.0.1:0", "-web.listen-address"])
        .arg(&unix)
        .start();
    let listening = addresses(&agent);
    assert_eq!(listening.len(), 3, "{listening:?}");
    assert_eq!(listening[2], unix);
    let second: SocketAddr = listening[1].parse().unwrap();
    assert_ne!(second, agent.address);
    assert_eq!(agent.scrape().groups(), groups(&[("fake", 1)]));
    let answer = Asked::of(TcpStream::connect(second).unwrap(), "/ready", "").answer();
    assert_eq!(answer.code, 200);
    assert_scraped(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );

    agent.stop(libc::SIGTERM);
    assert!(!path.exists());
}

#[test]
fn a_dead_agent_s_socket_is_replaced_and_a_live_one_s_is_not() {
    let (tree, directory) = (tree(), tempfile::tempdir().unwrap());
    let path = directory.path().join("s");
    let flag = format!("-web.listen-address=unix:{}", path.display());
    launch(&tree).arg(&flag).start().stop(libc::SIGKILL);
    assert!(path.exists(), "it stays");

    let _agent = launch(&tree).arg(&flag).start();
    let error = launch(&tree).arg(&flag).run().one_error();
    let flag = flag.replacen("-web.listen-address=", "--web.listen-address ", 1);
    let expected = "another program listens there; stop it or choose another path";
    assert_eq!(error, format!("{flag}: {expected}"));
    assert_scraped(&path);
}

#[test]
fn a_start_that_fails_leaves_no_socket_behind() {
    let (tree, directory) = (tree(), tempfile::tempdir().unwrap());
    let path = directory.path().join("s");
    let flag = format!("-web.listen-address=unix:{}", path.display());
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("-web.listen-address={}", busy.local_addr().unwrap());
    launch(&tree).arg(&flag).arg(busy).run().one_error();
    assert!(!path.exists());
    // No kernel tier works on a tree of files; this is found later.
    let failing = Launch::on(&tree).arg("-accounting=iterator").arg(&flag);
    let error = failing.run().one_error();
    assert!(error.starts_with("--accounting=iterator: "), "{error}");
    assert!(!path.exists());
}

#[test]
fn sockets_that_systemd_passes_are_served() {
    let (tree, directory) = (tree(), tempfile::tempdir().unwrap());
    let path = directory.path().join("s");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let agent = launch(&tree)
        .arg("-web.systemd-socket")
        .under(TO_ITSELF)
        .env("LISTEN_FDS", "2")
        .passing(tcp)
        .passing(UnixListener::bind(&path).unwrap())
        .start();
    let expected = [address.to_string(), format!("unix:{}", path.display())];
    assert_eq!(addresses(&agent), expected);
    assert_eq!(agent.scrape().groups(), groups(&[("fake", 1)]));
    assert_scraped(&path);
    agent.stop(libc::SIGTERM);
    assert!(path.exists(), "it belongs to the .socket unit");
}

#[test]
fn without_a_socket_from_systemd_the_error_names_the_remedy() {
    let tree = tree();
    let error = |launch: Launch| launch.arg("-web.systemd-socket").run().one_error();
    let expected = "--web.systemd-socket: no socket was passed (LISTEN_FDS, LISTEN_PID); start the agent by a .socket \
                    unit with ListenStream=, or leave the flag out";
    assert_eq!(error(launch(&tree)), expected);
    // For another process, though the descriptor is there.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = launch(&tree).env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    assert_eq!(error(other.passing(tcp)), expected);

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let odd = launch(&tree).under(TO_ITSELF).env("LISTEN_FDS", "1");
    assert_eq!(
        error(odd.passing(connected)),
        "--web.systemd-socket: descriptor 3: not a listening stream socket; its .socket unit needs ListenStream= and \
         Accept=no"
    );
}
