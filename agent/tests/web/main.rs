//! `--web.config.file` with the real binary: TLS, certificates of clients, passwords, headers, and files that change.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod passwords;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use support::agent::{Agent, Ended, Launch, until};
use support::client::{Authority, Client, ask_plainly, connect, exchange};
use support::fake_proc::FakeProc;
use support::scrape::Scrape;
use support::site::TLS;
use tokio_rustls::rustls::version;

const RELOAD_FAILURES: &str = "headcount_web_config_reload_failures_total";

/// The files, and a tree with one process.
struct Site {
    files: support::site::Site,
    tree: FakeProc,
}

impl std::ops::Deref for Site {
    type Target = support::site::Site;

    fn deref(&self) -> &Self::Target {
        &self.files
    }
}

impl Site {
    fn new(web: &str) -> Self {
        Self::of(support::site::Site::new(web))
    }

    fn secure(web: &str, authority: &Authority) -> Self {
        Self::of(support::site::Site::secure(web, authority))
    }

    fn of(files: support::site::Site) -> Self {
        let tree = FakeProc::new(1_508_450_329);
        tree.process(5).write();
        Self { files, tree }
    }

    fn launch(&self) -> Launch {
        Launch::on(&self.tree)
            .arg("-accounting=procfs")
            .arg(self.flag())
    }

    fn start(&self) -> Agent {
        self.launch().listen()
    }

    fn refused(&self) -> String {
        let ended: Ended = self.launch().run();
        let directory = self.directory.path().to_str().unwrap();
        ended.one_error().replace(directory, "DIR")
    }
}

fn value(metrics: String, family: &str) -> f64 {
    Scrape::parse(metrics).value(family, &[]).unwrap()
}

#[test]
fn an_empty_configuration_changes_nothing() {
    let site = Site::new("");
    let agent = site.launch().start();
    assert_eq!(agent.ask("/metrics").code, 200);
    let agent = Launch::on(&Site::new("").tree)
        .args(&["-accounting=procfs", "-web.config.file="])
        .start();
    assert_eq!(agent.ask("/metrics").code, 200);
}

#[test]
fn metrics_are_served_over_tls() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    let agent = site.start();
    let serving = agent.messages("info").into_iter().next().unwrap();
    assert!(
        serving.starts_with("serving https://127.0.0.1:"),
        "{serving}"
    );
    for versions in [&[&version::TLS12], &[&version::TLS13]] {
        let client = Client::with(&authority, None, versions);
        let answer = client.ask(agent.address, "/metrics").unwrap();
        assert_eq!(answer.code, 200);
        assert!(answer.body.contains("namedprocess_namegroup_num_procs"));
    }
    assert!(
        Client::new(&Authority::new())
            .ask(agent.address, "/")
            .is_err()
    );
}

#[test]
fn plain_http_at_a_tls_port_is_told_so_and_learns_nothing_else() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    let agent = site.start();
    let heard = exchange(&mut connect(agent.address), "/metrics", "").unwrap();
    assert_eq!(
        heard,
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    );
    let client = Client::new(&authority);
    let metrics = client.ask(agent.address, "/metrics").unwrap().body;
    let metrics = Scrape::parse(metrics);
    let refused = metrics.value("headcount_http_requests_total", &[("code", "400")]);
    assert_eq!(refused, Some(1.0));
}

#[test]
fn client_that_ends_the_tls_handshake_is_counted() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    let agent = site.start();
    assert!(
        Client::new(&Authority::new())
            .ask(agent.address, "/")
            .is_err()
    );
    let client = Client::new(&authority);
    until("the count of the handshake", || {
        let metrics = client.ask(agent.address, "/metrics").unwrap().body;
        value(metrics, "headcount_http_tls_handshake_failures_total") >= 1.0
    });
}

#[test]
fn oldest_tls_version_follows_the_configuration() {
    let authority = Authority::new();
    let site = Site::secure(&format!("{TLS}  min_version: TLS13\n"), &authority);
    let agent = site.start();
    let old = Client::with(&authority, None, &[&version::TLS12]);
    assert!(old.ask(agent.address, "/").is_err());
    assert!(Client::new(&authority).ask(agent.address, "/").is_ok());
}

/// Whether clients are let in that have no certificate, one that is signed by the right authority, one by another.
#[test]
fn client_auth_types_are_those_of_go() {
    let cases = [
        ("NoClientCert", [true, true, true]),
        ("RequestClientCert", [true, true, true]),
        ("RequireAnyClientCert", [false, true, true]),
        ("VerifyClientCertIfGiven", [true, true, false]),
        ("RequireAndVerifyClientCert", [false, true, false]),
    ];
    let (authority, signing, other) = (Authority::new(), Authority::new(), Authority::new());
    let clients = [
        Client::new(&authority),
        Client::identified(&authority, &signing.issue("prometheus")),
        Client::identified(&authority, &other.issue("prometheus")),
    ];
    for (word, expected) in cases {
        let ca = match word {
            "NoClientCert" => "",
            _ => "  client_ca_file: ca.pem\n",
        };
        let site = Site::secure(
            &format!("{TLS}  client_auth_type: {word}\n{ca}"),
            &authority,
        );
        site.write("ca.pem", &signing.cert());
        let agent = site.start();
        let found = clients
            .each_ref()
            .map(|client| client.ask(agent.address, "/").is_ok());
        assert_eq!(found, expected, "{word}");
    }
}

#[test]
fn certificate_of_any_signer_may_be_required_and_checked_by_name() {
    let (authority, anybody) = (Authority::new(), Authority::new());
    let web = format!(
        "{TLS}  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [prometheus, 10.0.0.1]\n"
    );
    let site = Site::secure(&web, &authority);
    let agent = site.start();
    let ask = |client: Client| client.ask(agent.address, "/").map(|answer| answer.code);
    assert!(ask(Client::new(&authority)).is_err());
    for (name, is_allowed) in [("prometheus", true), ("10.0.0.1", true), ("grafana", false)] {
        let client = Client::identified(&authority, &anybody.issue(name));
        assert_eq!(ask(client).is_ok(), is_allowed, "{name}");
    }
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::secure(TLS, &old);
    let agent = site.start();
    let is_served = |authority: &Authority| Client::new(authority).ask(agent.address, "/").is_ok();
    assert!(is_served(&old) && !is_served(&new));

    site.write("cert.pem", "nonsense");
    let metrics = || {
        Client::new(&old)
            .ask(agent.address, "/metrics")
            .unwrap()
            .body
    };
    until("the count", || value(metrics(), RELOAD_FAILURES) == 1.0);
    let warnings = agent.messages("warn").join("\n");
    let expected = "cert.pem: has no certificate in PEM; the former configuration still applies";
    assert!(
        warnings.contains("web.yml:2: cert_file: ") && warnings.ends_with(expected),
        "{warnings}"
    );

    site.install(&new.issue("localhost"));
    until("the new certificate", || is_served(&new));
    assert!(!is_served(&old));
}

#[test]
fn tls_is_not_turned_off_by_a_change() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    let agent = site.start();
    site.write("web.yml", "");
    let metrics = || {
        Client::new(&authority)
            .ask(agent.address, "/metrics")
            .unwrap()
            .body
    };
    until("the count", || value(metrics(), RELOAD_FAILURES) == 1.0);
    let warnings = agent.messages("warn").join("\n");
    assert!(
        warnings.contains("turns TLS on or off, which needs a restart"),
        "{warnings}"
    );
}

#[test]
fn headers_are_in_every_answer() {
    let web = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n";
    let site = Site::new(web);
    let agent = site.start();
    for path in ["/", "/nowhere"] {
        let answer = ask_plainly(agent.address, path, "");
        for expected in [
            "\r\nx-frame-options: deny",
            "\r\nstrict-transport-security: max-age=1",
        ] {
            assert!(answer.head.contains(expected), "{answer:?}");
        }
    }
}

#[test]
fn unusable_web_configuration_ends_the_agent_before_it_serves() {
    let missing = "DIR/web.yml:2: cert_file: DIR/cert.pem: cannot be read: No such file or directory (os error 2)";
    let cases = [
        (
            "tls_server_config:\n  cert_file: a\n  cert_fiel: b\n",
            "DIR/web.yml:3: tls_server_config: unknown key \"cert_fiel\", did you mean cert_file?",
        ),
        (
            "users: {}\n",
            "DIR/web.yml:1: top level: unknown key \"users\", expected tls_server_config, http_server_config, basic_auth_users",
        ),
        (TLS, missing),
        (
            "basic_auth_users:\n  bob: secret\n",
            "DIR/web.yml:2: bob: expected a bcrypt hash like $2y$10$...",
        ),
        (
            "http_server_config:\n  headers:\n    X-XSS-Protection: \"\\n\"\n",
            "DIR/web.yml:3: X-XSS-Protection: found a character that no header can have",
        ),
    ];
    for (web, expected) in cases {
        assert_eq!(
            Site::new(web).refused(),
            format!("--web.config.file: {expected}")
        );
    }
    let site = Site::new("");
    fs::remove_file(site.directory.path().join("web.yml")).unwrap();
    assert_eq!(
        site.refused(),
        "--web.config.file: DIR/web.yml: cannot read the configuration file: No such file or directory (os error 2)"
    );
}

#[test]
fn certificate_and_key_must_belong_together() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    site.write("key.pem", &authority.issue("localhost").key);
    let refused = site.refused();
    let expected = "--web.config.file: DIR/web.yml:2: cert_file: certificate and key do not work: ";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn key_that_cannot_be_used_is_refused_with_a_remedy() {
    let encrypted = "encrypted keys are not supported; decrypt it with `openssl pkey ";
    let unsupported =
        "no key that is supported; expected RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519";
    let p521 = "-----BEGIN PRIVATE KEY-----\n\
        MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBJCNOk6oUfi6W0UBZ\n\
        wmyqo58zXQJTCMtLkQlq3CJd3ipfv5uWdu3CAor9VT0GBS6MvRcIqkaUO62ncZf9\n\
        51sRGQmhgYkDgYYABAGXuCG1OANs9GzJq5GRU8mcNZJPTjakptmA68VBIRYdiDir\n\
        9ne+jdPh5fWYvD7cM/CMsd5yKwrUyXIWzwscQq5WWwB4xGqP6dEBJkZ5jSoJ0QHw\n\
        JbmmZTe1OQdpRlgByzorzsC9S59vCAHXGjQPgEhgV3Uaiz6IdZlo3oaARceVg8WO\n\
        GQ==\n\
        -----END PRIVATE KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123\n\n\
        AAAA\n-----END RSA PRIVATE KEY-----\n";
    let pkcs8 =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (key, expected) in [
        (older, encrypted),
        (pkcs8, encrypted),
        (p521, unsupported),
        ("", "has no private key in PEM"),
    ] {
        let site = Site::secure(TLS, &Authority::new());
        site.write("key.pem", key);
        let refused = site.refused();
        let place = "--web.config.file: DIR/web.yml:3: key_file: DIR/key.pem: ";
        assert!(
            refused.starts_with(&format!("{place}{expected}")),
            "{refused}"
        );
    }
}
