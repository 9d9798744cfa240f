//! Reads the tables of a network namespace line by line: its TCP sockets and its addresses.
//!
//! In: the directory of a process that is in the namespace. Out: each socket as soon as its line is read, and the addresses.
//! Blocks.
//!
//! The users of the namespace decide how long its tables are. So this module keeps no line, and a reading that takes more than
//! [`MOST_CPU`] ends with [`Failure::TooLarge`]. The bound is on CPU time, so that a busy machine does not make a namespace
//! unreadable.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::sockets::{Ipv4Leaves, TcpSocket, ipv6_address, tcp_socket};
use crate::host::thread_cpu_ns;
use crate::targets::failure::Failure;
use crate::targets::files::{FileKey, Place};

/// Most CPU time for the sockets of a namespace: enough for some 500,000. The more sockets listen at one address, the longer the
/// kernel takes for each line: 60,000 such sockets take about a second.
pub(super) const MOST_CPU: Duration = Duration::from_secs(1);
/// Lines between two looks at the clock.
const LINES: u32 = 256;
/// Most bytes of a table of sockets: some 1,700,000 of IPv4.
const MOST_SOCKETS: u64 = 256 << 20;
/// Most bytes of a table of addresses.
const MOST_ADDRESSES: u64 = 16 << 20;
/// The tables of sockets. A kernel without IPv6 has only the first one.
const IPV4: &str = "net/tcp";
const IPV6: &str = "net/tcp6";

/// The network namespace that a process is in.
pub(super) fn namespace(process: &Place) -> Result<FileKey, Failure> {
    process.key_behind(Path::new("ns/net"))
}

/// Calls `seen` with each socket of the tables of IPv4 and IPv6. When `seen` returns false, skips the rest of that table. The
/// kernel lists the listening sockets first.
///
/// # Errors
/// [`Failure::TooLarge`]: a table is too long. Others: a table cannot be read. The caller must check that the process has not
/// ended meanwhile and is still in the namespace.
pub(super) fn sockets(
    process: &Place,
    mut seen: impl FnMut(&TcpSocket) -> bool,
) -> Result<(), Failure> {
    let most_ns = u64::try_from(MOST_CPU.as_nanos()).unwrap_or(u64::MAX);
    let end = thread_cpu_ns().saturating_add(most_ns);
    let mut lines: u32 = 0;
    for name in [IPV4, IPV6] {
        let table = match process.regular(name) {
            Err(Failure::Gone) if name == IPV6 => continue,
            table => table?,
        };
        let mut is_late = false;
        table.lines(MOST_SOCKETS, |line| {
            lines = lines.wrapping_add(1);
            is_late = lines.is_multiple_of(LINES) && thread_cpu_ns() > end;
            !is_late && tcp_socket(line).is_none_or(|socket| seen(&socket))
        })?;
        if is_late {
            return Err(Failure::TooLarge);
        }
    }
    Ok(())
}

/// The addresses of the namespace: IPv4 first, each sorted.
///
/// # Errors
/// The reason.
pub(super) fn addresses(process: &Place) -> Result<Vec<IpAddr>, Failure> {
    let mut leaves = Ipv4Leaves::default();
    let trie = process.regular("net/fib_trie")?;
    trie.lines(MOST_ADDRESSES, |line| {
        leaves.note(line);
        true
    })?;
    let mut ipv6 = BTreeSet::new();
    match process.regular("net/if_inet6") {
        Err(Failure::Gone) => {}
        table => table?.lines(MOST_ADDRESSES, |line| {
            ipv6.extend(ipv6_address(line));
            true
        })?,
    }
    let ipv4 = leaves.found.into_iter().map(IpAddr::from);
    Ok(ipv4.chain(ipv6.into_iter().map(IpAddr::from)).collect())
}
