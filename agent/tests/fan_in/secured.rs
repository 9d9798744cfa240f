//! Instances with TLS.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::instance::{Instance, answer};
use crate::support::client::{Authority, Identity};
use crate::{PATH, Site, endpoint, error, merged, up};

/// An instance with TLS and this certificate.
pub(crate) fn secured(identity: &Identity) -> Instance {
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder
        .with_no_client_auth()
        .with_single_cert(vec![cert], key);
    let config = Arc::new(config.unwrap());
    Instance::raw(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut secured = StreamOwned::new(connection, stream);
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(b"\r\n\r\n") && secured.read(&mut byte).is_ok_and(|count| count == 1)
        {
            heard.extend(byte);
        }
        let _ = secured.write_all(&answer("200 OK", "", b"a 1\n"));
        secured.conn.send_close_notify();
        let _ = secured.flush();
    })
}

#[test]
fn instance_with_tls_must_show_a_certificate_of_its_name() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let instances = [
        secured(&trusted.issue("instance.internal")),
        secured(&trusted.issue("127.0.0.1")),
        secured(&trusted.issue("another.internal")),
        secured(&other.issue("instance.internal")),
        Instance::raw(|mut stream| drop(stream.write_all(&answer("400 Bad Request", "", b"")))),
    ];
    let site = Site::of(&[]);
    let of = |address: SocketAddr, index: usize| {
        let mut endpoint = endpoint(address, index);
        endpoint["tls"] = true.into();
        if index != 1 {
            endpoint["server_cert_domain_san"] = "instance.internal".into();
        }
        endpoint
    };
    let endpoints = instances.iter().enumerate();
    let endpoints: Vec<_> = endpoints
        .map(|(index, one)| of(one.address, index))
        .collect();
    site.write_all(&endpoints);
    let ca = site.routes().with_file_name("ca.pem");
    std::fs::write(&ca, trusted.cert()).unwrap();
    let agent = site
        .launch(&format!("  ca_file: {}\n", ca.display()))
        .start();
    let scrape = merged(&agent, PATH);
    let found = instances
        .each_ref()
        .map(|one| (up(&scrape, one.address), error(&scrape, one.address)));
    let bad = (Some(0.0), Some("tls".to_owned()));
    let expected = [
        (Some(1.0), None),
        (Some(1.0), None),
        bad.clone(),
        bad.clone(),
        bad,
    ];
    assert_eq!(found, expected, "{}", scrape.body);
}
