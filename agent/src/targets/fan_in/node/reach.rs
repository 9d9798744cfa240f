//! Selects the address at which a process can be asked, by its listeners. Pure.
//!
//! | the process is in | bound to | asked at |
//! | --- | --- | --- |
//! | the agent's network namespace | an address | it |
//! | | all addresses | 127.0.0.1, then ::1 |
//! | another one | an address that is not forbidden | it |
//! | | all addresses | the lowest IPv4 address of the namespace that is not forbidden, then the lowest such IPv6 address |
//!
//! A listener on all IPv4 addresses is asked at IPv4 only. One on all IPv6 addresses may accept IPv6 only, which the tables of `/proc`
//! do not show.
//!
//! Any user can create a network namespace and own any address there. So these addresses are forbidden in another namespace:
//! loopback, link-local and multicast addresses, and those of the agent's own namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ScrapePort;

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TcpListening {
    /// Where it is bound.
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

/// The network namespace of a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum ListenerNamespace<'a> {
    /// The agent's own.
    Own,
    /// Another one, with its addresses, and those of the agent's own namespace. Both lists have IPv4 first, each family sorted.
    Other {
        its: &'a [IpAddr],
        own: &'a [IpAddr],
    },
}

/// Where a process is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReachedListener {
    /// The first address.
    pub(super) address: SocketAddr,
    /// The second one, of IPv6, if the first one is of IPv4 and may not lead to the listener.
    pub(super) ipv6: Option<SocketAddr>,
    /// The listener that accepts the connection.
    pub(super) listening: TcpListening,
}

/// Why a process is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAnInstance {
    /// It does not listen, or not on the wanted port.
    NoListener,
    /// It listens on several ports, and the configuration names none of them.
    SeveralPorts,
    /// Its address is forbidden, or its network namespace has none at which it can be asked.
    NoAddress,
}

/// Where a process is asked.
///
/// # Errors
/// The reason why it cannot be asked.
pub(super) fn reached(
    listeners: &[TcpListening],
    port: ScrapePort,
    namespace: ListenerNamespace<'_>,
) -> Result<ReachedListener, NotAnInstance> {
    let is_wanted = |one: &&TcpListening| match port {
        ScrapePort::Auto => true,
        ScrapePort::Number(number) => one.address.port() == number,
    };
    let mut wanted: Vec<TcpListening> = listeners.iter().filter(is_wanted).copied().collect();
    // Listeners on all addresses first, so that the choice among several listeners of one port stays the same when a listener on
    // one address closes.
    wanted.sort_by_key(|one| (!one.address.ip().is_unspecified(), *one));
    let first = wanted.first().ok_or(NotAnInstance::NoListener)?;
    if wanted
        .iter()
        .any(|one| one.address.port() != first.address.port())
    {
        return Err(NotAnInstance::SeveralPorts);
    }
    let reached = wanted.iter().find_map(|one| {
        let (bound, port) = (one.address.ip(), one.address.port());
        let mut addresses = ips(bound, namespace).map(|ip| SocketAddr::new(ip, port));
        Some(ReachedListener {
            address: addresses.next()?,
            ipv6: addresses.next(),
            listening: *one,
        })
    });
    reached.ok_or(NotAnInstance::NoAddress)
}

/// The addresses that may lead to a listener: at most one of each family, IPv4 first.
fn ips(bound: IpAddr, namespace: ListenerNamespace<'_>) -> impl Iterator<Item = IpAddr> {
    const LOOPBACK: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let may_be_asked = |ip: &IpAddr| match namespace {
        // A link-local IPv6 address needs an interface, which is not known.
        ListenerNamespace::Own => !is_link_local_ipv6(*ip),
        ListenerNamespace::Other { own, .. } => !is_forbidden(*ip) && !own.contains(ip),
    };
    let ips = match namespace {
        _ if bound.is_unspecified() => {
            let all = match namespace {
                ListenerNamespace::Own => &LOOPBACK,
                ListenerNamespace::Other { its, .. } => its,
            };
            let lowest = |is_of_family: fn(&IpAddr) -> bool| {
                let mut all = all.iter().copied();
                all.find(|ip| is_of_family(ip) && may_be_asked(ip))
            };
            let ipv6 = bound.is_ipv6().then(|| lowest(IpAddr::is_ipv6));
            [lowest(IpAddr::is_ipv4), ipv6.flatten()]
        }
        ListenerNamespace::Other { its, .. } if !its.contains(&bound) => [None, None],
        _ => [Some(bound).filter(may_be_asked), None],
    };
    ips.into_iter().flatten()
}

pub(super) fn is_forbidden(ip: IpAddr) -> bool {
    let is_special = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(_) => is_link_local_ipv6(ip),
    };
    is_special || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified()
}

const fn is_link_local_ipv6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn listeners(addresses: &[&str]) -> Vec<TcpListening> {
        let all = (1..).zip(addresses);
        all.map(|(inode, address)| TcpListening {
            address: address.parse().unwrap(),
            inode,
        })
        .collect()
    }

    /// The addresses that are tried, and the number of the listener.
    fn reach(
        addresses: &[&str],
        port: ScrapePort,
        namespace: ListenerNamespace<'_>,
    ) -> Result<(String, u64), NotAnInstance> {
        let found = reached(&listeners(addresses), port, namespace);
        found.map(|found| {
            let addresses = [found.address].into_iter().chain(found.ipv6);
            let addresses: Vec<String> = addresses.map(|one| one.to_string()).collect();
            (addresses.join(" "), found.listening.inode)
        })
    }

    fn at(address: &str, inode: u64) -> Result<(String, u64), NotAnInstance> {
        Ok((address.to_owned(), inode))
    }

    #[test]
    fn only_port_is_asked_and_of_several_ports_the_configured_one() {
        let auto = |addresses: &[&str]| reach(addresses, ScrapePort::Auto, ListenerNamespace::Own);
        assert_eq!(auto(&[]), Err(NotAnInstance::NoListener));
        assert_eq!(auto(&["10.0.0.1:80"]), at("10.0.0.1:80", 1));
        assert_eq!(auto(&["[::]:80", "0.0.0.0:80"]), at("127.0.0.1:80", 2));
        let both = at("127.0.0.1:80 [::1]:80", 2);
        assert_eq!(auto(&["10.0.0.1:80", "[::]:80"]), both);
        assert_eq!(auto(&["[::1]:80"]), at("[::1]:80", 1));
        assert_eq!(auto(&["[fe80::1]:80"]), Err(NotAnInstance::NoAddress));
        let two = ["0.0.0.0:80", "127.0.0.1:81"];
        assert_eq!(auto(&two), Err(NotAnInstance::SeveralPorts));
        let port = |number| reach(&two, ScrapePort::Number(number), ListenerNamespace::Own);
        assert_eq!(port(81), at("127.0.0.1:81", 2));
        assert_eq!(port(82), Err(NotAnInstance::NoListener));
    }

    #[test]
    fn another_namespace_is_asked_only_at_its_own_unshared_addresses() {
        let own = ["10.0.0.1", "127.0.0.1", "fd00::1"].map(ip);
        let its = [
            "10.0.0.1",
            "10.0.0.9",
            "127.0.0.1",
            "169.254.1.1",
            "fd00::1",
            "fd00::9",
        ]
        .map(ip);
        let reach = |addresses: &[&str], its: &[IpAddr]| {
            reach(
                addresses,
                ScrapePort::Auto,
                ListenerNamespace::Other { its, own: &own },
            )
        };
        assert_eq!(reach(&["0.0.0.0:80"], &its), at("10.0.0.9:80", 1));
        let both = at("10.0.0.9:80 [fd00::9]:80", 1);
        assert_eq!(reach(&["[::]:80"], &its), both);
        assert_eq!(reach(&["[::]:80"], &its[..4]), at("10.0.0.9:80", 1));
        assert_eq!(reach(&["[::]:80"], &its[3..]), at("[fd00::9]:80", 1));
        assert_eq!(reach(&["[fd00::9]:80"], &its), at("[fd00::9]:80", 1));
        assert_eq!(
            reach(&["127.0.0.1:80", "10.0.0.9:80"], &its),
            at("10.0.0.9:80", 2)
        );
        for hostile in [
            "10.0.0.1:80",
            "127.0.0.1:80",
            "169.254.1.1:80",
            "10.0.0.8:80",
            "224.0.0.1:80",
            "[::1]:80",
        ] {
            assert_eq!(
                reach(&[hostile], &its),
                Err(NotAnInstance::NoAddress),
                "{hostile}"
            );
        }
        assert_eq!(
            reach(&["0.0.0.0:80"], &its[2..]),
            Err(NotAnInstance::NoAddress)
        );
    }

    proptest! {
        #[test]
        fn forbidden_address_is_never_asked_in_another_namespace(
            bound in prop::collection::vec(any::<(SocketAddr, u64)>(), 0..4),
            mut its in prop::collection::vec(any::<IpAddr>(), 0..6),
            own in prop::collection::vec(any::<IpAddr>(), 0..3),
        ) {
            its.extend(bound.iter().map(|(address, _)| address.ip()).chain(own.iter().copied()));
            let listeners = bound.iter().map(|(address, inode)| TcpListening { address: *address, inode: *inode });
            let listeners: Vec<TcpListening> = listeners.collect();
            let namespace = ListenerNamespace::Other { its: &its, own: &own };
            if let Ok(reached) = reached(&listeners, ScrapePort::Auto, namespace) {
                prop_assert!(listeners.contains(&reached.listening));
                for address in [reached.address].into_iter().chain(reached.ipv6) {
                    prop_assert!(!is_forbidden(address.ip()) && !own.contains(&address.ip()) && its.contains(&address.ip()));
                    prop_assert_eq!(reached.listening.address.port(), address.port());
                }
            }
        }
    }
}
