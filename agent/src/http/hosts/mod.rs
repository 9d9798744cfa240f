//! The check of `Host`: requests for data must name this machine.
//!
//! A page of another site can make its own name resolve to this machine (DNS rebinding). The browser then takes the
//! agent for that site and lets the page read every answer. The header `Host` still carries the site's name, so
//! requests for data must carry a name of this machine. A page can also send a request here without reading the
//! answer; [`is_foreign`] checks the headers in which the browser names the page's origin.
//!
//! In: the names of `--web.allowed-host` and the names of the machine. Out: whether a request is answered, or the
//! [`Refusal`].

mod machine;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::{HeaderMap, Request, StatusCode, Version};

use crate::config::host_name::normalized;

/// The names that requests may carry in `Host`, in addition to IP addresses and `localhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(BTreeSet<String>);

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not exactly one `Host` header, which HTTP/1.1 requires.
    NotOneHost,
    /// The name is not allowed; `None` if it cannot be a host name.
    Name(Option<String>),
}

impl Hosts {
    /// Allows `names`, in any case, with or without a trailing dot.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = names.into_iter();
        Self(names.filter_map(|name| normalized(name.as_ref())).collect())
    }

    /// Allows `names` and the names of this machine: those of the kernel and of the files of `rootfs`. DNS is not
    /// asked, because other parties may control its answers.
    pub fn of_machine<'a>(names: impl Iterator<Item = &'a str>, rootfs: &Path) -> Self {
        let machine = machine::names(rootfs);
        Self::new(names.map(str::to_owned).chain(machine))
    }

    /// Refuses a request whose target or `Host` header names a host that is not allowed. A request of HTTP/1.0 may
    /// have no `Host`; browsers always send one.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        if let Some(authority) = request.uri().authority() {
            self.check_name(authority.as_str())?;
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => self.check_name(host.to_str().unwrap_or_default()),
            (None, _) if request.version() < Version::HTTP_11 => Ok(()),
            _ => Err(Refusal::NotOneHost),
        }
    }

    fn check_name(&self, authority: &str) -> Result<(), Refusal> {
        let Some(host) = host_of(authority.trim()) else {
            return Err(Refusal::Name(None));
        };
        let RequestedHost::Name(name) = host else {
            return Ok(());
        };
        let is_allowed = name == "localhost" || self.0.contains(&name);
        is_allowed.then_some(()).ok_or(Refusal::Name(Some(name)))
    }
}

impl Refusal {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NotOneHost => StatusCode::BAD_REQUEST,
            Self::Name(_) => StatusCode::FORBIDDEN,
        }
    }

    /// The mistake, and how to fix it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::NotOneHost => "expected exactly one Host header".to_owned(),
            Self::Name(Some(name)) => format!(
                "host {name} is not one of this machine's names; start the agent with --web.allowed-host={name} to allow it"
            ),
            Self::Name(None) => "the header Host has no valid host name; expected an IP address, localhost, a name of this machine, or one \
                 that the flag --web.allowed-host allows"
                .to_owned(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum RequestedHost {
    Address,
    /// In lower case, without a trailing dot.
    Name(String),
}

/// The host of `host`, `host:port`, `[address]` or `[address]:port`.
fn host_of(authority: &str) -> Option<RequestedHost> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return is_port(port).then_some(RequestedHost::Address);
    }
    // An IPv6 address without brackets is not valid here and has no port, but it cannot be a name either.
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Some(RequestedHost::Address);
    }
    let name = match authority.find(':') {
        Some(at) => is_port(&authority[at..]).then_some(&authority[..at])?,
        None => authority,
    };
    let name = normalized(name)?;
    match name.parse::<Ipv4Addr>() {
        Ok(_) => Some(RequestedHost::Address),
        Err(_) => Some(RequestedHost::Name(name)),
    }
}

/// Whether `text` is empty or a colon with digits; a colon alone means the default port.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a page of another site sent the request. The browser says so: by an `Origin` that is not the requested
/// host, or by a `Sec-Fetch-Site` other than `same-origin` and `none` (the user's own action). Programs send neither
/// header.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let mut origins = headers.get_all(ORIGIN).iter();
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    origins.any(|origin| !is_own(origin.to_str().unwrap_or_default(), host))
        || sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// Whether `origin`, such as `https://host:port`, is the requested host. Behind a proxy that ends TLS the real scheme
/// is unknown, so the scheme only sets the default port.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (usual, authority) = match origin.split_once("://") {
        Some(("http", authority)) => (":80", authority),
        Some(("https", authority)) => (":443", authority),
        _ => return false,
    };
    let plain = |text: &str| {
        text.strip_suffix(usual)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    host.is_some_and(|host| plain(host.trim()) == plain(authority))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn request(version: Version, target: &str, hosts: &[&'static str]) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().unwrap();
        *request.version_mut() = version;
        for host in hosts {
            request
                .headers_mut()
                .append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        request
    }

    fn check(host: &'static str) -> Result<(), Refusal> {
        let hosts = Hosts::new(["Node-7", "node-7.example.org.", "not a name"]);
        hosts.check(&request(Version::HTTP_11, "/api/groups", &[host]))
    }

    #[test]
    fn addresses_localhost_and_own_names_are_allowed_with_any_port_case_and_dot() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9256",
            "10.1.2.3",
            "[::1]",
            "[::1]:9256",
            "[2001:db8::7]:",
            "::1",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "localhost.:9256",
            "node-7",
            "NODE-7:9256",
            "node-7.example.org",
            "Node-7.Example.org.:80",
            " localhost ",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused_and_the_flag_is_named() {
        for (host, name) in [
            ("evil.example", "evil.example"),
            ("evil.example:9256", "evil.example"),
            ("EVIL.example.", "evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("localhost.evil.example", "localhost.evil.example"),
            ("node-7.evil.example", "node-7.evil.example"),
            ("xlocalhost", "xlocalhost"),
            ("127.1", "127.1"),
            ("0x7f000001", "0x7f000001"),
        ] {
            let refusal = check(host).unwrap_err();
            assert_eq!(refusal, Refusal::Name(Some(name.to_owned())), "{host}");
            assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
            assert!(
                refusal
                    .text()
                    .contains(&format!("--web.allowed-host={name} ")),
                "{}",
                refusal.text()
            );
        }
        for host in [
            "",
            ":9256",
            ".",
            "[::1",
            "[localhost]",
            "[::1]x",
            "[::1%eth0]",
            "localhost:port",
            "localhost:1:2",
            "a b",
            "a@localhost",
            "localhost/x",
            "caf\u{e9}",
            "<script>",
        ] {
            let refusal = check(host).unwrap_err();
            assert_eq!(refusal, Refusal::Name(None), "{host}");
            assert!(refusal.text().contains("--web.allowed-host"));
        }
        let long: &'static str = String::leak("a".repeat(254));
        assert_eq!(check(long), Err(Refusal::Name(None)));
    }

    #[test]
    fn exactly_one_host_header_is_required_except_in_http_1_0() {
        let hosts = Hosts::default();
        let check =
            |version, target, names: &[&'static str]| hosts.check(&request(version, target, names));
        assert_eq!(check(Version::HTTP_10, "/", &[]), Ok(()));
        assert_eq!(check(Version::HTTP_11, "/", &[]), Err(Refusal::NotOneHost));
        assert_eq!(Refusal::NotOneHost.status(), StatusCode::BAD_REQUEST);
        for version in [Version::HTTP_10, Version::HTTP_11] {
            let twice = ["localhost", "localhost"];
            assert_eq!(check(version, "/", &twice), Err(Refusal::NotOneHost));
            let evil = Err(Refusal::Name(Some("evil.example".to_owned())));
            assert_eq!(check(version, "/", &["evil.example"]), evil);
            // An absolute target is checked as well as the header.
            assert_eq!(check(version, "http://evil.example/", &["localhost"]), evil);
            assert_eq!(check(version, "http://localhost/", &["evil.example"]), evil);
            assert_eq!(check(version, "http://localhost/", &["localhost"]), Ok(()));
        }
    }

    fn foreign(lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        is_foreign(&headers)
    }

    #[test]
    fn requests_of_programs_and_of_the_agents_own_page_are_not_foreign() {
        for lines in [
            &[("host", "a:1")][..],
            &[("host", "a:1"), ("origin", "http://a:1")],
            &[("host", "A"), ("origin", "https://a")],
            &[("host", "a:443"), ("origin", "https://a")],
            &[("host", "a:80"), ("origin", "http://a")],
            &[("host", "[::1]:1"), ("origin", "http://[::1]:1")],
            &[("host", "a"), ("sec-fetch-site", "same-origin")],
            &[("host", "a"), ("sec-fetch-site", "none")],
        ] {
            assert!(!foreign(lines), "{lines:?}");
        }
    }

    #[test]
    fn requests_of_other_sites_are_foreign() {
        for lines in [
            &[("host", "a:1"), ("origin", "http://b:1")][..],
            &[("host", "a:1"), ("origin", "http://a:2")],
            &[("host", "a"), ("origin", "http://a:443")],
            &[("host", "a"), ("origin", "null")],
            &[("host", "a"), ("origin", "")],
            &[("host", "a"), ("origin", "a")],
            &[("host", "a"), ("origin", "ftp://a")],
            &[("origin", "http://a")],
            &[
                ("host", "a"),
                ("origin", "http://a"),
                ("origin", "http://b"),
            ],
            &[
                ("host", "a"),
                ("origin", "http://a"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("host", "a"), ("sec-fetch-site", "same-site")],
            &[
                ("host", "a"),
                ("sec-fetch-site", "none"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("host", "a"), ("sec-fetch-site", "")],
        ] {
            assert!(foreign(lines), "{lines:?}");
        }
    }
}
