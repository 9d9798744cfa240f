//! Selects the address at which a process can be asked, by its listeners. Pure.
//!
//! | the process is in | bound to | asked at |
//! | --- | --- | --- |
//! | the agent's network namespace | an address | it |
//! | | all addresses | 127.0.0.1 |
//! | another one | an address that is not forbidden | it |
//! | | all addresses | the lowest IPv4 address of the namespace that is not forbidden, else the lowest such IPv6 address |
//!
//! Any user can create a network namespace and own any address there. So these addresses are forbidden in another namespace:
//! loopback, link-local and multicast addresses, and those of the agent's own namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

/// The address at which a process is asked, and the listener that accepts the connection.
///
/// # Errors
/// The reason why it cannot be asked.
pub(super) fn reached(
    listeners: &[TcpListening],
    port: ScrapePort,
    namespace: ListenerNamespace<'_>,
) -> Result<(SocketAddr, TcpListening), NotAnInstance> {
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
        let ip = ip(one.address.ip(), namespace)?;
        Some((SocketAddr::new(ip, one.address.port()), *one))
    });
    reached.ok_or(NotAnInstance::NoAddress)
}

fn ip(bound: IpAddr, namespace: ListenerNamespace<'_>) -> Option<IpAddr> {
    match namespace {
        ListenerNamespace::Own if bound.is_unspecified() => Some(Ipv4Addr::LOCALHOST.into()),
        // A link-local IPv6 address needs an interface, which is not known.
        ListenerNamespace::Own => Some(bound).filter(|ip| !is_link_local_ipv6(*ip)),
        ListenerNamespace::Other { its, own } => {
            let may_be_asked = |ip: &IpAddr| !is_forbidden(*ip) && !own.contains(ip);
            match bound {
                IpAddr::V4(any) if any.is_unspecified() => its
                    .iter()
                    .copied()
                    .find(|ip| ip.is_ipv4() && may_be_asked(ip)),
                IpAddr::V6(any) if any.is_unspecified() => its.iter().copied().find(may_be_asked),
                bound => Some(bound).filter(|ip| its.contains(ip) && may_be_asked(ip)),
            }
        }
    }
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

    /// The address that is asked, and the number of the listener.
    fn reach(
        addresses: &[&str],
        port: ScrapePort,
        namespace: ListenerNamespace<'_>,
    ) -> Result<(String, u64), NotAnInstance> {
        let found = reached(&listeners(addresses), port, namespace);
        found.map(|(address, listener)| (address.to_string(), listener.inode))
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
        assert_eq!(auto(&["10.0.0.1:80", "[::]:80"]), at("127.0.0.1:80", 2));
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
        assert_eq!(reach(&["[::]:80"], &its), at("10.0.0.9:80", 1));
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
            if let Ok((address, listener)) = reached(&listeners, ScrapePort::Auto, namespace) {
                prop_assert!(!is_forbidden(address.ip()) && !own.contains(&address.ip()) && its.contains(&address.ip()));
                prop_assert!(listeners.contains(&listener) && listener.address.port() == address.port());
            }
        }
    }
}
