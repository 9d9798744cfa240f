//! The origin of a client. Eviction and the queue of passwords count all connections of one origin together.

use std::net::{IpAddr, Ipv6Addr};

/// Clients that may be the same one: all of an IPv4 address, all of an IPv6 /64 network (a client that has one
/// address of it usually has all), or all that use a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum ClientOrigin {
    Network(IpAddr),
    Local,
}

impl<A: Into<IpAddr>> From<A> for ClientOrigin {
    fn from(address: A) -> Self {
        match address.into().to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Network(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address @ IpAddr::V4(_) => Self::Network(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_origin() {
        let of = |text: &str| ClientOrigin::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
