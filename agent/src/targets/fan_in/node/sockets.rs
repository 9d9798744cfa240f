//! Parsers of TCP sockets and addresses in `/proc/<pid>/net` and `/proc/<pid>/fd`. Pure.
//!
//! In: single lines. Out: sockets and addresses. A line in another form than the kernel's is skipped.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The states of a socket that matter here, as the kernel writes them.
const ESTABLISHED: &str = "01";
const SYN_RECEIVED: &str = "03";
const LISTENS: &str = "0A";
/// The scope of a global address in `if_inet6`.
const GLOBAL: &str = "00";

/// A socket: one line of `net/tcp` or `net/tcp6`. IPv4-mapped IPv6 addresses are converted to IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpSocket {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: TcpState,
    /// 0 until a process has accepted the connection.
    pub(super) inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TcpState {
    Listens,
    /// An established connection, or one that the kernel is about to establish.
    Connected,
    Other,
}

/// The socket of a line; `None` for the header of the file and for an invalid line.
pub(super) fn tcp_socket(line: &str) -> Option<TcpSocket> {
    let mut words = line.split_ascii_whitespace();
    let (local, remote) = (words.nth(1)?, words.next()?);
    let state = match words.next()? {
        LISTENS => TcpState::Listens,
        ESTABLISHED | SYN_RECEIVED => TcpState::Connected,
        _ => TcpState::Other,
    };
    Some(TcpSocket {
        local: address(local)?,
        remote: address(remote)?,
        state,
        inode: words.nth(5)?.parse().ok()?,
    })
}

/// An address and a port: words of 32 bits in the order of the machine, each in hexadecimal digits.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = match ip.len() {
        8 => IpAddr::from(word(ip)?),
        32 => {
            let mut bytes = [0; 16];
            for (at, bytes) in bytes.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(ip.get(8 * at..8 * at + 8)?)?);
            }
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn word(digits: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
}

/// The inode of the socket that the link of a descriptor names; `None` if it is no socket.
pub(super) fn socket_inode(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Collects the IPv4 addresses of a network namespace from the lines of its `net/fib_trie`: the leaves that are local to the
/// host.
#[derive(Debug, Default)]
pub(super) struct Ipv4Leaves {
    leaf: Option<Ipv4Addr>,
    pub(super) found: BTreeSet<Ipv4Addr>,
}

impl Ipv4Leaves {
    pub(super) fn note(&mut self, line: &str) {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            self.leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            self.found.extend(self.leaf);
        }
    }
}

/// The address of a line of `net/if_inet6`; `None` if it is not global.
pub(super) fn ipv6_address(line: &str) -> Option<Ipv6Addr> {
    let mut words = line.split_ascii_whitespace();
    let digits = words.next().filter(|digits| digits.len() == 32)?;
    let address = u128::from_str_radix(digits, 16).ok()?;
    (words.nth(2)? == GLOBAL).then(|| Ipv6Addr::from(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line as the kernel writes it.
    fn line(local: SocketAddr, remote: SocketAddr, state: u8, inode: u64) -> String {
        let text = |address: SocketAddr| {
            let words: Vec<String> = match address.ip() {
                IpAddr::V4(ip) => vec![format!("{:08X}", u32::from_ne_bytes(ip.octets()))],
                IpAddr::V6(ip) => {
                    let words = ip.octets();
                    let words = words.as_chunks::<4>().0.iter();
                    words
                        .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
                        .collect()
                }
            };
            format!("{}:{:04X}", words.concat(), address.port())
        };
        format!(
            "   3: {} {} {state:02X} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0000000000000000 100 0 0 10 0",
            text(local),
            text(remote),
        )
    }

    fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    proptest! {
        #[test]
        fn socket_lines_are_parsed_back(
            local: SocketAddr,
            remote: SocketAddr,
            state in 1_u8..13,
            inode: u64,
        ) {
            let socket = tcp_socket(&line(local, remote, state, inode)).unwrap();
            let state = match state {
                10 => TcpState::Listens,
                1 | 3 => TcpState::Connected,
                _ => TcpState::Other,
            };
            let expected = TcpSocket { local: canonical(local), remote: canonical(remote), state, inode };
            prop_assert_eq!(socket, expected);
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC*") {
            let _ = (tcp_socket(&text), socket_inode(text.as_bytes()));
            let _ = ipv6_address(&text);
            Ipv4Leaves::default().note(&text);
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_parsed() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(tcp_socket(head), None);
        let line = "   1: 0100007F:977B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17266941 1 00 100 0 0 10 0";
        let socket = tcp_socket(line).unwrap();
        assert_eq!(socket.local, "127.0.0.1:38779".parse().unwrap());
        assert_eq!(
            (socket.state, socket.inode),
            (TcpState::Listens, 17_266_941)
        );
        let mapped = "  0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:C001 01 0:0 0:0 0 0 0 5 1";
        let socket = tcp_socket(mapped).unwrap();
        assert_eq!(socket.local, "127.0.0.1:80".parse().unwrap());
        assert_eq!((socket.state, socket.inode), (TcpState::Connected, 5));
    }

    #[test]
    fn socket_inode_is_parsed_from_the_link_of_a_descriptor() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        for link in [
            &b"pipe:[4711]"[..],
            b"/tmp/socket:[1]",
            b"socket:[-1]",
            b"socket:[1",
            b"\xff",
        ] {
            assert_eq!(socket_inode(link), None);
        }
    }

    #[test]
    fn local_addresses_are_collected_once_from_both_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        \
                    /32 host LOCAL\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.0\n        /8 host LOCAL\n     \
                    |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        let mut leaves = Ipv4Leaves::default();
        trie.lines().for_each(|line| leaves.note(line));
        assert!(
            leaves
                .found
                .into_iter()
                .eq([[10, 0, 0, 7], [127, 0, 0, 1]].map(Ipv4Addr::from))
        );
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe8000000000000000fc00fffe000001 04 40 20 80     eth0\nfd000000000000000000000000000002 04 40 00 82     eth0\n";
        let found = table.lines().filter_map(ipv6_address);
        assert!(found.eq(["fd00::2".parse::<Ipv6Addr>().unwrap()]));
    }
}
