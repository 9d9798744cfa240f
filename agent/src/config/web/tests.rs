//! The accepted web configuration files, and the exact text of every error.

use super::*;

fn parse(text: &str) -> Result<WebConfig, ConfigError> {
    parse::parse(Path::new("/etc/h/web.yml"), text)
}

fn tls(text: &str) -> Tls {
    parse(&format!("tls_server_config: {{{text}}}"))
        .unwrap()
        .tls
        .unwrap()
}

#[test]
fn empty_file_has_no_tls_no_headers_and_no_users() {
    for text in [
        "",
        "{}",
        "tls_server_config:\n",
        "tls_server_config: {min_version: TLS13}",
        "basic_auth_users: {}",
    ] {
        let config = parse(text).unwrap();
        assert_eq!(
            (config.tls, config.headers.len(), config.users.len()),
            (None, 0, 0),
            "{text}"
        );
    }
}

#[test]
fn paths_are_relative_to_the_file_and_win_over_text() {
    let found = tls("cert_file: a.pem, cert: x, key_file: /b/c.pem");
    assert_eq!(found.cert, Pem::File("cert_file", "/etc/h/a.pem".into(), 1));
    assert_eq!(found.key, Pem::File("key_file", "/b/c.pem".into(), 1));
    assert_eq!(tls("cert: x, key: secret").key.key(), "key");
    assert!(!format!("{:?}", tls("cert: x, key: secret")).contains("secret"));
}

#[test]
fn defaults_are_those_of_the_toolkit() {
    let found = tls("cert: x, key: y");
    assert_eq!(
        (found.min_version, found.max_version),
        (TlsVersion::Tls12, TlsVersion::Tls13)
    );
    assert_eq!(
        (found.client_auth, found.prefers_own_order),
        (ClientAuth::NoClientCert, true)
    );
}

#[test]
fn every_word_of_go_is_known() {
    for (word, expected) in [
        ("NoClientCert", ClientAuth::NoClientCert),
        ("RequestClientCert", ClientAuth::RequestClientCert),
        ("RequireClientCert", ClientAuth::RequireAnyClientCert),
        ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    ] {
        assert_eq!(
            tls(&format!("cert: x, key: y, client_auth_type: {word}")).client_auth,
            expected
        );
    }
    for (word, expected) in [
        (
            "VerifyClientCertIfGiven",
            ClientAuth::VerifyClientCertIfGiven,
        ),
        (
            "RequireAndVerifyClientCert",
            ClientAuth::RequireAndVerifyClientCert,
        ),
    ] {
        let text = format!("cert: x, key: y, client_ca: z, client_auth_type: {word}");
        assert_eq!(tls(&text).client_auth, expected);
    }
}

#[test]
fn headers_and_users_keep_their_lines() {
    let config = parse(
        "http_server_config:\n  http2: no\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n\
         basic_auth_users:\n  alice: hash\n  7: hash\n",
    )
    .unwrap();
    let text = |text: &str, line| Text {
        text: text.to_owned(),
        line,
    };
    assert_eq!(config.headers, [("X-Frame-Options", text("deny", 4))]);
    let users = [
        ("alice".to_owned(), text("hash", 7)),
        ("7".to_owned(), text("hash", 8)),
    ];
    assert_eq!(config.users, users);
}

#[test]
fn mistakes_name_the_line_and_the_expected_value() {
    let cases = [
        (
            "tls_config: {}\n",
            "1: top level: unknown key \"tls_config\", expected tls_server_config, http_server_config, basic_auth_users",
        ),
        (
            "tls_server_config:\n  cert_file: a\n  key_fiel: b\n",
            "3: tls_server_config: unknown key \"key_fiel\", did you mean key_file?",
        ),
        (
            "basic_auth_users:\n  a: x\n  a: y\n",
            "3: basic_auth_users: key \"a\" is repeated",
        ),
        ("- a\n", "1: top level: expected a map"),
        (
            "basic_auth_users: [a]\n",
            "1: basic_auth_users: expected a map",
        ),
        ("basic_auth_users:\n  a: [x]\n", "2: a: expected a string"),
        (
            "tls_server_config:\n  cert_file: a\n",
            "2: tls_server_config: neither key_file nor key, expected one of them",
        ),
        (
            "tls_server_config:\n  key: a\n",
            "2: tls_server_config: neither cert_file nor cert, expected one of them",
        ),
        (
            "tls_server_config:\n  min_version: TLS10\n",
            "2: min_version: found \"TLS10\", expected TLS12 or TLS13",
        ),
        (
            "tls_server_config: {cert: a, key: b, min_version: TLS13, max_version: TLS12}",
            "1: tls_server_config: min_version is newer than max_version",
        ),
        (
            "tls_server_config:\n  client_auth_type: Require\n",
            "2: client_auth_type: found \"Require\", expected NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_ca: c}",
            "1: tls_server_config: client_ca_file or client_ca needs a client_auth_type that requests certificates",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_auth_type: RequireAndVerifyClientCert}",
            "1: tls_server_config: client_auth_type verifies certificates, but neither client_ca_file nor client_ca names the signing authorities",
        ),
        (
            "tls_server_config: {cert: a, key: b, client_allowed_sans: [x]}",
            "1: tls_server_config: client_allowed_sans needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert",
        ),
        (
            "tls_server_config:\n  cipher_suites: X\n",
            "2: cipher_suites: expected a list of strings",
        ),
        (
            "http_server_config:\n  http2: maybe\n",
            "2: http2: found \"maybe\", expected true or false",
        ),
        (
            "http_server_config:\n  headers:\n    Server: x\n",
            "3: headers: unknown key \"Server\", expected Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection, Content-Security-Policy",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
            "3: X-Frame-Options: found \"allow\", expected deny or sameorigin",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("/etc/h/web.yml:{expected}"),
            "{text}"
        );
    }
    let error = parse("a: [\n").unwrap_err().to_string();
    assert!(
        error.starts_with("/etc/h/web.yml:1: not valid yaml: "),
        "{error}"
    );
}
