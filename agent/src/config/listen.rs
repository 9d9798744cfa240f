//! Listen addresses: `host:port` in Go's syntax, or `unix:/path/of/a/socket`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::{fmt, io};

/// The prefix of a socket's path.
const UNIX: &str = "unix:";
/// Longest path of a socket that the kernel accepts, in bytes.
const PATH_BYTES: usize = 107;

/// The host of a listen address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenHost {
    /// No host given: every interface, IPv4 and IPv6.
    Any,
    /// An IP address.
    Address(IpAddr),
    /// A name that has not been looked up yet.
    Name(String),
}

/// An address to listen on, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(TcpAddress),
    /// A Unix stream socket at this absolute path.
    Unix(PathBuf),
}

/// A TCP address to listen on, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpAddress {
    /// The interface.
    pub host: ListenHost,
    /// The port; with 0 the kernel chooses one.
    pub port: u16,
}

impl TcpAddress {
    /// The addresses to try, in order; the first that can be bound is used. For every interface these are `[::]`,
    /// which also accepts IPv4, then `0.0.0.0` for a kernel without IPv6. Looks up names.
    ///
    /// # Errors
    /// The name cannot be looked up.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.port;
        match &self.host {
            ListenHost::Any => Ok(vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ]),
            ListenHost::Address(address) => Ok(vec![(*address, port).into()]),
            ListenHost::Name(name) => Ok((name.as_str(), port).to_socket_addrs()?.collect()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::Any => write!(f, ":{}", self.port),
            ListenHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            ListenHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why a listen address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// There is no `:port`.
    #[error("no port, expected host:port or :port")]
    NoPort,
    /// The port is not a number.
    #[error("port {0:?}, expected a number from 0 to 65535")]
    Port(String),
    /// An IPv6 address without brackets, or another host with colons.
    #[error("host {0:?}, expected a name, an ipv4 address or an ipv6 address in brackets")]
    Host(String),
    /// The path of the socket is relative, or longer than the kernel accepts.
    #[error("path {0:?}, expected an absolute path of at most {PATH_BYTES} bytes")]
    Path(String),
}

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match text.strip_prefix(UNIX) {
            None => text.parse().map(Self::Tcp),
            Some(path) if path.starts_with('/') && path.len() <= PATH_BYTES => {
                Ok(Self::Unix(path.into()))
            }
            Some(path) => Err(ListenError::Path(path.to_owned())),
        }
    }
}

impl FromStr for TcpAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenError::NoPort)?;
        // `[::1]` without a port is split inside the address.
        if port.ends_with(']') {
            return Err(ListenError::NoPort);
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = Some(port)
            .filter(|_| digits)
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| ListenError::Port(port.to_owned()))?;
        Ok(TcpAddress {
            host: parse_host(host)?,
            port,
        })
    }
}

fn parse_host(host: &str) -> Result<ListenHost, ListenError> {
    let refused = || ListenError::Host(host.to_owned());
    if host.is_empty() {
        return Ok(ListenHost::Any);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| ListenHost::Address(address.into()))
            .ok_or_else(refused);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(ListenHost::Address(address.into()));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match host.chars().all(name) {
        true => Ok(ListenHost::Name(host.to_owned())),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_go_are_parsed() {
        let cases = [
            (":9256", ListenHost::Any, 9256),
            (
                "0.0.0.0:0",
                ListenHost::Address(Ipv4Addr::UNSPECIFIED.into()),
                0,
            ),
            (
                "127.0.0.1:80",
                ListenHost::Address(Ipv4Addr::LOCALHOST.into()),
                80,
            ),
            (
                "[::1]:9256",
                ListenHost::Address(Ipv6Addr::LOCALHOST.into()),
                9256,
            ),
            (
                "[::]:65535",
                ListenHost::Address(Ipv6Addr::UNSPECIFIED.into()),
                65535,
            ),
            (
                "localhost:9256",
                ListenHost::Name("localhost".to_owned()),
                9256,
            ),
        ];
        for (text, host, port) in cases {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(
                address,
                ListenAddress::Tcp(TcpAddress { host, port }),
                "{text}"
            );
            assert_eq!(address.to_string(), text);
        }
        let any: TcpAddress = ":1".parse().unwrap();
        assert_eq!(any.resolve().unwrap().len(), 2);
    }

    #[test]
    fn parses_the_path_of_a_socket() {
        let text = "unix:/run/headcount/headcount.sock";
        let address: ListenAddress = text.parse().unwrap();
        let path = "/run/headcount/headcount.sock".into();
        assert_eq!(address, ListenAddress::Unix(path));
        assert_eq!(address.to_string(), text);
        let longest = format!("unix:/{}", "x".repeat(PATH_BYTES - 1));
        assert!(longest.parse::<ListenAddress>().is_ok());
        for path in ["", "a.sock", "@abstract", &format!("{}x", &longest[5..])] {
            let error = format!("unix:{path}").parse::<ListenAddress>().unwrap_err();
            assert_eq!(error, ListenError::Path(path.to_owned()));
        }
    }

    #[test]
    fn impossible_values_are_refused() {
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
