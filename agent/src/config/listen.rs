//! Where to listen: `host:port` as Go writes it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

/// The host of a listen address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Left out: every interface, IPv4 and IPv6.
    Any,
    /// An address.
    Address(IpAddr),
    /// A name, still to be looked up.
    Name(String),
}

/// A TCP address to listen on, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Which interface.
    pub host: Host,
    /// Which port; 0 lets the kernel choose.
    pub port: u16,
}

impl ListenAddress {
    /// Addresses to try in this order: the first that can be bound is the one. For every interface that is `[::]`,
    /// which takes IPv4 too, then `0.0.0.0` for a kernel without IPv6. Looks up a name.
    ///
    /// # Errors
    /// The name cannot be looked up.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.port;
        match &self.host {
            Host::Any => Ok(vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ]),
            Host::Address(address) => Ok(vec![(*address, port).into()]),
            Host::Name(name) => Ok((name.as_str(), port).to_socket_addrs()?.collect()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => write!(f, ":{}", self.port),
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why a listen address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// There is no `:port`.
    #[error("no port, expected host:port or :port")]
    NoPort,
    /// The port is no number.
    #[error("port {0:?}, expected a number from 0 to 65535")]
    Port(String),
    /// An IPv6 address without its brackets, or something else with colons.
    #[error("host {0:?}, expected a name, an ipv4 address or an ipv6 address in brackets")]
    Host(String),
}

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenError::NoPort)?;
        // `[::1]` without a port splits inside the address.
        if port.ends_with(']') {
            return Err(ListenError::NoPort);
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = Some(port)
            .filter(|_| digits)
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| ListenError::Port(port.to_owned()))?;
        Ok(ListenAddress {
            host: parse_host(host)?,
            port,
        })
    }
}

fn parse_host(host: &str) -> Result<Host, ListenError> {
    let refused = || ListenError::Host(host.to_owned());
    if host.is_empty() {
        return Ok(Host::Any);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| Host::Address(address.into()))
            .ok_or_else(refused);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match host.chars().all(name) {
        true => Ok(Host::Name(host.to_owned())),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_go_listens_on() {
        let cases = [
            (":9256", Host::Any, 9256),
            ("0.0.0.0:0", Host::Address(Ipv4Addr::UNSPECIFIED.into()), 0),
            (
                "127.0.0.1:80",
                Host::Address(Ipv4Addr::LOCALHOST.into()),
                80,
            ),
            (
                "[::1]:9256",
                Host::Address(Ipv6Addr::LOCALHOST.into()),
                9256,
            ),
            (
                "[::]:65535",
                Host::Address(Ipv6Addr::UNSPECIFIED.into()),
                65535,
            ),
            ("localhost:9256", Host::Name("localhost".to_owned()), 9256),
        ];
        for (text, host, port) in cases {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address, ListenAddress { host, port }, "{text}");
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(
            ":1".parse::<ListenAddress>()
                .unwrap()
                .resolve()
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn refuses_what_cannot_work() {
        let cases = [
            ("9256", "no port"),
            ("", "no port"),
            ("[::1]", "no port"),
            (":", "port \"\""),
            (":http", "port \"http\""),
            (":65536", "port \"65536\""),
            (":+1", "port \"+1\""),
            ("::1:9256", "host \"::1\""),
            ("[127.0.0.1]:1", "host \"[127.0.0.1]\""),
            ("a b:1", "host \"a b\""),
            ("http://x:1", "host \"http://x\""),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
