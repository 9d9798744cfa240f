//! The names thread: its filter refuses all calls that it does not need, and the resolver still works.

use std::net::{ToSocketAddrs as _, UdpSocket};

use super::targets::{REFUSED, error_of};
use super::*;

/// Runs `test` on a thread that is confined as the names thread.
fn resolving<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    confined(|| {
        Sandbox::default().confine_names();
        test()
    })
}

#[test]
fn names_thread_opens_sockets_for_tcp_and_udp_and_no_others() {
    const FLAGS: libc::c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    resolving(|| {
        for (family, kind, protocol) in [
            (libc::AF_INET, libc::SOCK_DGRAM, 0),
            (libc::AF_INET6, libc::SOCK_DGRAM | FLAGS, libc::IPPROTO_UDP),
            (libc::AF_INET, libc::SOCK_STREAM | FLAGS, 0),
            (libc::AF_UNIX, libc::SOCK_STREAM, 0),
        ] {
            let found = error_of(libc::SYS_socket, [family, kind, protocol]);
            assert_ne!(found, REFUSED, "{family} {kind:#x} {protocol}");
        }
        for (family, kind, protocol) in [
            (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
            (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
            (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
            (libc::AF_NETLINK, libc::SOCK_RAW, 0),
            (libc::AF_PACKET, libc::SOCK_DGRAM, 0),
        ] {
            let found = error_of(libc::SYS_socket, [family, kind, protocol]);
            assert_eq!(found, REFUSED, "{family} {kind:#x} {protocol}");
        }
    });
}

#[test]
fn names_thread_can_neither_listen_nor_start_nor_write() {
    let directory = tempfile::tempdir().unwrap();
    resolving(|| {
        for (call, number) in [
            (libc::SYS_listen, 0),
            (libc::SYS_accept4, 0),
            (libc::SYS_bpf, 1), // BPF_MAP_LOOKUP_ELEM
            (libc::SYS_execve, 0),
            (libc::SYS_ptrace, 0),
            (libc::SYS_unshare, 0),
            (libc::SYS_kill, 0),
            (libc::SYS_clone, libc::SIGCHLD),
        ] {
            assert_eq!(error_of(call, [number, 0, 0]), REFUSED, "{call}");
        }
        assert!(File::create(directory.path().join("made")).is_err());
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("CapPrm:\t0000000000000000\n"), "{status}");
    });
}

#[test]
fn resolver_works_on_the_names_thread_and_those_that_it_starts() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    resolving(|| {
        let found = thread::spawn(|| ("localhost", 0).to_socket_addrs().unwrap().count());
        assert!(found.join().unwrap() > 0);
        let asked = UdpSocket::bind("0.0.0.0:0").unwrap();
        asked.connect(address).unwrap();
        asked.send(b"?").unwrap();
    });
    let mut question = [0];
    server.recv(&mut question).unwrap();
    assert_eq!(&question, b"?");
}
