//! A real curl: the versions and settings that it agrees on with the agent.

use std::process::{Command, Stdio};

use super::secured::site;
use super::support::agent::{Agent, Launch};
use super::support::client::Authority;
use super::support::site::Site;

/// curl's number for a handshake that came to nothing.
const NO_HANDSHAKE: i32 = 35;

struct Curl {
    agent: Agent,
    site: Site,
}

impl Curl {
    /// Exit code, and the output of `--write-out`: code, version of HTTP, headers.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let file = |name: &str| self.site.directory.path().join(name);
        let port = self.agent.address.port();
        let output = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--dump-header", "-"])
            .args(["--write-out", "code=%{http_code} version=%{http_version}"])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(file("ca.pem"))
            .arg("--cert")
            .arg(file("client.pem"))
            .arg("--key")
            .arg(file("client-key.pem"))
            .args(words)
            .arg(format!("https://localhost:{port}/metrics"))
            .stdin(Stdio::null())
            .output()
            .expect("curl, which `cargo xtask parity` installs");
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), said.to_ascii_lowercase())
    }
}

#[test]
fn curl_agrees_on_each_version_and_setting() {
    let authority = Authority::new();
    let site = site(&authority);
    let agent = Launch::new()
        .args(&["-accounting=procfs"])
        .arg(site.flag())
        .listen();
    let curl = Curl { agent, site };
    let password = ["--user", "prometheus:wonder"];
    let with = |words: &[&'static str]| curl.run(&[&password[..], words].concat());

    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let (status, said) = with(version);
        assert_eq!(status, 0, "{version:?}: {said}");
        assert!(
            said.ends_with("code=200 version=1.1"),
            "{version:?}: {said}"
        );
        assert!(!said.contains("content-encoding"), "{said}");
    }
    let (status, said) = with(&["--tls-max", "1.1"]);
    assert_eq!(status, NO_HANDSHAKE, "{said}");

    let (status, said) = with(&["--http2"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("code=200 version=1.1"), "offered 2: {said}");
    let (status, said) = with(&["--compressed"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("\r\ncontent-encoding: gzip\r\n"), "{said}");

    let (_, said) = curl.run(&["--user", "prometheus:wrong"]);
    assert!(said.contains("code=401"), "{said}");
    assert!(
        said.contains("www-authenticate: basic realm=\"headcount\""),
        "{said}"
    );
    // The agent takes no body, but answers the request.
    let (status, said) = curl.run(&["--user", "prometheus:wonder", "--data", "x=y"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("code=200 version=1.1"), "{said}");
}
