//! The fuzz target for the tables of sockets and addresses in `/proc`: any bytes.

use std::net::IpAddr;

use super::reach::{ListenerNamespace, TcpListening, is_forbidden, reached};
use super::sockets::{Ipv4Leaves, TcpState, ipv6_address, socket_inode, tcp_socket};
use crate::config::ScrapePort;

/// Reads each line as a line of every table. Asserts that a process is asked only at an address of its own namespace that is not
/// forbidden, and on a port on which it listens.
pub(crate) fn fan_in_network(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (mut leaves, mut ipv6, mut listeners) = (Ipv4Leaves::default(), Vec::new(), Vec::new());
    for line in text.lines() {
        let _ = socket_inode(line.as_bytes());
        leaves.note(line);
        ipv6.extend(ipv6_address(line));
        let socket = tcp_socket(line).filter(|socket| socket.state == TcpState::Listens);
        listeners.extend(socket.map(|socket| TcpListening {
            address: socket.local,
            inode: socket.inode,
        }));
    }
    let ipv4 = leaves.found.into_iter().map(IpAddr::from);
    let its: Vec<IpAddr> = ipv4.chain(ipv6.into_iter().map(IpAddr::from)).collect();
    let own = &its[..its.len() / 2];
    let namespace = ListenerNamespace::Other { its: &its, own };
    if let Ok(reached) = reached(&listeners, ScrapePort::Auto, namespace) {
        assert!(listeners.contains(&reached.listening));
        for address in [reached.address].into_iter().chain(reached.ipv6) {
            assert!(its.contains(&address.ip()) && !own.contains(&address.ip()));
            assert!(!is_forbidden(address.ip()));
            assert_eq!(address.port(), reached.listening.address.port());
        }
    }
}
