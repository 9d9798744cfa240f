//! Connections that are to be secured, and requests that are to be checked, have no more time than others.

use std::fs;

use headcount::http::Web;

use super::*;

fn web(text: &str) -> Web {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    file("cert.pem", &made.cert.pem());
    file("key.pem", &made.signing_key.serialize_pem());
    file("web.yml", text);
    Web::load(&directory.path().join("web.yml")).unwrap()
}

fn secure() -> Web {
    web("tls_server_config: {cert_file: cert.pem, key_file: key.pem}")
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_header() {
    let limits = Limits {
        header: SHORT,
        ..Limits::default()
    };
    let (server, _inbox) = start_with(limits, Some(secure())).await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    until("the timeout", || server.timeouts("header") == 1).await;
    until("the end", || server.counters.read().connections == 0).await;
    assert_eq!(server.counters.read().handshake_failures, 0);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_keeps_no_connection_out() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (server, _inbox) = start_with(limits, Some(secure())).await;
    let mut first = server.connect().await;
    let _others = [server.connect().await, server.connect().await];
    assert_eq!(read_to_end(&mut first).await, "");
    assert_eq!(server.counters.read().evicted, 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let (server, _inbox) = start_with(Limits::default(), Some(secure())).await;
    let mut silent = server.connect().await;
    until("the connection", || server.counters.read().connections == 1).await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE / 2, server.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_password_has_the_time_of_a_header() {
    let limits = Limits {
        header: SHORT,
        ..Limits::default()
    };
    let costly = bcrypt::hash("x", 4).unwrap().replace("$04$", "$12$");
    let web = web(&format!("basic_auth_users: {{a: {costly}}}"));
    let (server, _inbox) = start_with(limits, Some(web)).await;
    let request = SCRAPE.replace("host", "authorization: Basic YTp5\r\nhost");
    assert_eq!(server.ask(&request).await, "");
    assert_eq!(server.timeouts("header"), 1);
}
