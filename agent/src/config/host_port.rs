//! The host and port of a server: an address or a host name, with a port. Pure.
//!
//! Names are checked here without a look-up; the agent resolves them when it asks the server (`targets/client/names.rs`). Numbers
//! that the resolver would take for addresses (`127.1`, `0x7f.1`) are not accepted as names.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Longest name, bytes.
const MOST_NAME: usize = 253;
/// Longest part of a name between two dots, bytes.
const MOST_LABEL: usize = 63;

/// An address, or a name and a port. Two names are equal only if their texts are equal. In Prometheus, too, differently written
/// targets are different targets, each with a label `instance` of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPort {
    /// An address and port of one host.
    Address(SocketAddr),
    /// A host name and a port.
    Name {
        /// The name of the host.
        name: Arc<str>,
        /// The port, not 0.
        port: u16,
    },
}

impl HostPort {
    /// Parses `host:port`.
    ///
    /// # Errors
    /// The expected form.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expected host:port, with an address or a name in ASCII as host";
        if let Ok(address) = text.parse::<SocketAddr>() {
            let ip = address.ip();
            return match address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
                true => Err("expected the address of one instance, with a port"),
                false => Ok(Self::Address(address)),
            };
        }
        let (name, port) = text.rsplit_once(':').ok_or(expected)?;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_number && *port > 0);
        match port {
            Some(port) if is_name(name) => Ok(Self::Name {
                name: name.into(),
                port,
            }),
            _ => Err(expected),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Name { name, .. } => Some(name),
        }
    }

    /// The host in the form of a URL.
    pub fn host(&self) -> String {
        match self {
            Self::Address(SocketAddr::V4(address)) => address.ip().to_string(),
            Self::Address(SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            Self::Name { name, .. } => name.to_string(),
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name { name, port } => write!(formatter, "{name}:{port}"),
        }
    }
}

/// Whether the text is a host name. The resolver would take a name whose last part is a number for an address.
fn is_name(text: &str) -> bool {
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=MOST_LABEL).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| {
        let digits = label.strip_prefix("0x").or(label.strip_prefix("0X"));
        label.bytes().all(|byte| byte.is_ascii_digit())
            || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    text.len() <= MOST_NAME
        && labels.clone().all(is_label)
        && !labels.next_back().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_kept_as_they_are_written() {
        for text in [
            "10.0.0.1:80",
            "[::1]:80",
            "db:80",
            "Router.example.com:8443",
            "a_b.svc.cluster.local.:1",
            "xn--bcher-kva.example:65535",
            "1.2.3.4.example:80",
        ] {
            let parsed = HostPort::parse(text).unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(text, format!("{}:{}", parsed.host(), parsed.port()));
            assert_eq!(
                parsed.name().is_some(),
                text.parse::<SocketAddr>().is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_host_and_port_is_refused() {
        let long_label = format!("{}:80", "a".repeat(64));
        let long = format!("{}:80", "a.".repeat(127));
        for text in [
            "",
            "db",
            ":80",
            "db:",
            "db:0",
            "db:65536",
            "db:+1",
            "db:http",
            "a..b:80",
            ".:80",
            "-a:80",
            "a-:80",
            "a b:80",
            "u@db:80",
            "db/x:80",
            "b\u{fc}cher:80",
            "::1:80",
            "10.0.0.1",
            // The resolver takes these for addresses.
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "0x7f.1:80",
            "10.0.0.300:80",
            "1.2.3.4.:80",
            &long_label,
            &long,
        ] {
            let error = HostPort::parse(text).unwrap_err();
            assert!(error.starts_with("expected host:port"), "{text}: {error}");
        }
        for text in ["0.0.0.0:80", "[::]:80", "224.0.0.1:80", "10.0.0.1:0"] {
            let error = HostPort::parse(text).unwrap_err();
            assert!(error.contains("the address of one instance"), "{text}");
        }
    }
}
