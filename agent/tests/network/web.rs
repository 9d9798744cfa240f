//! curl and nginx: each byte of HTTP is in the report of both, so the groups may differ from them by none. With TLS, nginx
//! reports the bytes inside, and a relay counts those on the wire.

use std::fs;
use std::process::Command;

use super::nginx::{LARGE, Logged, NGINX, Nginx, SMALL};
use super::relay::Relay;
use super::support::place::{Place, run};
use super::traffic::{Scope, Traffic, settle_at, watch};

pub(crate) const CURL: &str = "curl";
/// For each transfer: bytes of the request's head and body, of the answer's head and body.
const REPORT: &str = "%{size_request} %{size_upload} %{size_header} %{size_download}\n";
/// Bytes that HTTP/2 and TLS 1.3 may add to those that nginx reports: 9 bytes for each frame and 22 for each record, of at least
/// 4 KiB in the middle of a transfer and two more a request; and 8 KiB a connection for handshake, settings and windows.
const RECORD: u64 = 4096;
const PER_RECORD: u64 = 9 + 22;
const PER_CONNECTION: u64 = 8192;

/// The report of curl about all its transfers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) transfers: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Reported {
    pub(crate) fn by(curl: &mut Command) -> Self {
        let mut reported = Self::default();
        for line in run(curl).lines() {
            let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            reported.transfers += 1;
            reported.sent += words[0] + words[1];
            reported.received += words[2] + words[3];
        }
        reported
    }

    /// The numbers that nginx should report for it.
    pub(crate) fn as_logged(self) -> Logged {
        Logged {
            requests: self.transfers,
            sent: self.received,
            received: self.sent,
        }
    }
}

pub(crate) fn curl(place: &Place) -> Command {
    let mut curl = place.program(CURL, "/usr/bin/curl".as_ref());
    curl.args(["-q", "--silent", "--show-error", "--fail"])
        .args(["--output", "/dev/null", "--write-out", REPORT]);
    curl
}

/// A file for curl to send.
pub(crate) fn body(place: &Place) -> String {
    let path = place.file("upload");
    fs::write(&path, vec![b'y'; LARGE.1]).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs curl with these words on an nginx of its own; `connections` carry all that both report.
fn assert_exact(connections: u64, words: impl Fn(&Place, u16) -> Vec<String>) {
    let place = Place::new();
    let agent = watch(place.path());
    let nginx = Nginx::start(&place, None);
    let before = agent.scrape();
    let reported = Reported::by(curl(&place).args(words(&place, nginx.port)));
    assert_eq!(nginx.logged(reported.transfers), reported.as_logged());
    let expected = Traffic::ended(connections, reported.sent, reported.received);
    let both = [(CURL, expected), (NGINX, expected.mirrored())];
    settle_at(&agent, &before, Scope::Loopback, &both);
    println!("curl and nginx: {reported:?} on {connections} connections, difference 0");
}

#[test]
fn a_connection_for_each_request_agrees_with_both_reports() {
    assert_exact(300, |_, port| {
        let url = format!("http://127.0.0.1:{port}/{}?[1-300]", SMALL.0);
        ["--header", "Connection: close", &url]
            .map(str::to_owned)
            .to_vec()
    });
}

#[test]
fn a_connection_of_a_thousand_requests_agrees_with_both_reports() {
    assert_exact(1, |_, port| {
        vec![format!("http://127.0.0.1:{port}/{}?[1-1000]", SMALL.0)]
    });
}

/// nginx calls sendfile; curl waits for `100 Continue` before it sends.
#[test]
fn large_files_in_both_directions_agree_with_both_reports() {
    assert_exact(1, |place, port| {
        let (down, up) = (
            format!("http://127.0.0.1:{port}/{}?[1-5]", LARGE.0),
            format!("http://127.0.0.1:{port}/up/file"),
        );
        let next = ["--next", "--fail", "--silent", "--show-error"];
        let report = ["--write-out", REPORT, "--upload-file", &body(place), &up];
        let words = [down.as_str()].into_iter().chain(next).chain(report);
        words.map(str::to_owned).collect()
    });
}

#[test]
fn http2_with_tls_is_counted_as_it_is_on_the_wire() {
    let place = Place::new();
    let agent = watch(place.path());
    let nginx = Nginx::start(&place, None);
    let relay = Relay::start(nginx.tls_port);
    let before = agent.scrape();
    let site = format!("https://localhost:{}", relay.port);
    let secure = || {
        let mut curl = curl(&place);
        let to = format!("localhost:{}:127.0.0.1", relay.port);
        curl.args(["--http2", "--resolve", &to]);
        curl.arg("--cacert").arg(place.file("ca.pem"));
        curl
    };
    let (small, large) = (SMALL.0, LARGE.0);
    let calls: [&[String]; 3] = [
        &[format!("{site}/{small}?[1-1000]")],
        &[format!("{site}/{large}?[1-5]")],
        &[
            "--upload-file".to_owned(),
            body(&place),
            format!("{site}/up/file"),
        ],
    ];
    let transfers: Vec<Reported> = calls
        .iter()
        .map(|words| Reported::by(secure().args(*words)))
        .collect();
    let requests = transfers.iter().map(|one| one.transfers).sum();
    let logged = nginx.logged(requests);
    let [of_curl, of_nginx] = relay.carried();
    assert_eq!(of_curl.opened, calls.len() as u64);
    let both = [(CURL, of_curl), (NGINX, of_nginx)];
    settle_at(&agent, &before, Scope::Loopback, &both);
    for (carried, inside) in [
        (of_nginx.sent, logged.sent),
        (of_nginx.received, logged.received),
    ] {
        let records = inside / RECORD + 2 * logged.requests;
        let most = records * PER_RECORD + of_nginx.opened * PER_CONNECTION;
        println!(
            "HTTP/2 with TLS: {carried} bytes for {inside}, {} more of at most {most}",
            carried as i64 - inside as i64
        );
        assert!((inside..=inside + most).contains(&carried));
    }
}
