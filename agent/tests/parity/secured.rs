//! A real Prometheus with TLS, a certificate of its own and a password; and its error when one of them is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use super::server::Prometheus;
use super::support::agent::{Launch, until};
use super::support::client::{Authority, Identity};
use super::support::site::{Site, TLS};

const PASSWORD: &str = "basic_auth: {username: prometheus, password: wonder}";

/// An agent that asks for everything; its folder has the files of Prometheus, too.
pub(super) fn site(authority: &Authority) -> Site {
    let hash = bcrypt::hash("wonder", 4).unwrap();
    let web = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n\
         basic_auth_users: {{prometheus: '{hash}'}}\n"
    );
    let site = Site::secure(&web, authority);
    let Identity { cert, key } = authority.issue("prometheus");
    let other = Authority::new();
    let Identity {
        cert: foreign,
        key: foreign_key,
    } = other.issue("prometheus");
    for (name, text) in [
        ("ca.pem", &authority.cert()),
        ("client.pem", &cert),
        ("client-key.pem", &key),
        ("other-ca.pem", &other.cert()),
        ("foreign.pem", &foreign),
        ("foreign-key.pem", &foreign_key),
    ] {
        site.write(name, text);
    }
    site
}

/// `tls_config` with a trusted authority, a certificate, and `more`.
fn tls(folder: &Path, authority: &str, client: &str, more: &str) -> String {
    let folder = folder.display();
    let client = match client {
        "" => String::new(),
        name => format!("cert_file: {folder}/{name}.pem, key_file: {folder}/{name}-key.pem, "),
    };
    format!(
        "tls_config: {{ca_file: {folder}/{authority}.pem, server_name: localhost, {client}{more}}}"
    )
}

/// Health and last error of each target, by job.
fn targets(prometheus: &Prometheus) -> BTreeMap<String, (String, String)> {
    let body = prometheus.get("/api/v1/targets").unwrap();
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let targets = json["data"]["activeTargets"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    targets
        .map(|target| {
            let state = (text(&target["health"]), text(&target["lastError"]));
            (text(&target["labels"]["job"]), state)
        })
        .collect()
}

#[test]
fn prometheus_is_let_in_by_certificate_and_password() {
    let authority = Authority::new();
    let site = site(&authority);
    let agent = Launch::new()
        .args(&["-accounting=procfs"])
        .arg(site.flag())
        .listen();
    let folder = site.directory.path();
    let right = tls(folder, "ca", "client", "");
    // Name, settings, and a part of the last error; nothing: it is up.
    let cases = [
        ("right", format!("{right}, {PASSWORD}"), ""),
        (
            "tls12",
            format!(
                "{}, {PASSWORD}",
                tls(folder, "ca", "client", "max_version: TLS12")
            ),
            "",
        ),
        (
            "tls13",
            format!(
                "{}, {PASSWORD}",
                tls(folder, "ca", "client", "min_version: TLS13")
            ),
            "",
        ),
        (
            "wrong-password",
            format!("{right}, basic_auth: {{username: prometheus, password: wrong}}"),
            "server returned HTTP status 401 Unauthorized",
        ),
        (
            "no-password",
            right.clone(),
            "server returned HTTP status 401 Unauthorized",
        ),
        (
            "no-certificate",
            format!("{}, {PASSWORD}", tls(folder, "ca", "", "")),
            "tls: certificate required",
        ),
        (
            "foreign-certificate",
            format!("{}, {PASSWORD}", tls(folder, "ca", "foreign", "")),
            "tls: ",
        ),
        (
            "untrusted",
            format!("{}, {PASSWORD}", tls(folder, "other-ca", "client", "")),
            "x509: certificate signed by unknown authority",
        ),
    ];
    let target = agent.address;
    let jobs: Vec<String> = cases
        .iter()
        .map(|(name, settings, _)| {
            format!(
                "{{job_name: {name}, scheme: https, static_configs: [{{targets: ['{target}']}}], {settings}}}"
            )
        })
        .collect();
    let prometheus = Prometheus::scraping(&jobs.join(", "));
    let mut found = BTreeMap::new();
    until("a scrape of each", || {
        found = targets(&prometheus);
        found.len() == cases.len() && found.values().all(|(health, _)| health != "unknown")
    });
    for (name, _, expected) in &cases {
        let (health, error) = &found[*name];
        let is_expected = match expected.is_empty() {
            true => health == "up" && error.is_empty(),
            false => health == "down" && error.contains(expected),
        };
        assert!(is_expected, "{name}: {health}, {error:?}");
    }
    // Prometheus reports a target as up before its samples can be queried.
    until("the samples of those that are let in", || {
        let groups = "namedprocess_namegroup_num_procs{job=\"right\"}";
        prometheus.query("up == 1").len() == 3 && !prometheus.query(groups).is_empty()
    });
}
