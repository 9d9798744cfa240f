//! Certificates made on the spot, and a client that has them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::agent::{Answer, PATIENCE};

/// A certificate and its key, as a client and a server show each other.
pub struct Identity {
    pub cert: String,
    pub key: String,
}

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL takes a certificate whose subject is its issuer for one that signed itself.
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "authority");
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its own certificate.
    pub fn cert(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name`.
    pub fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Speaks TLS with a server called `localhost`.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    headers: String,
}

impl Client {
    /// One that trusts `authority`.
    pub fn new(authority: &Authority) -> Self {
        Self::with(authority, None, ALL_VERSIONS)
    }

    /// One that shows `identity` when it is asked.
    pub fn identified(authority: &Authority, identity: &Identity) -> Self {
        Self::with(authority, Some(identity), ALL_VERSIONS)
    }

    /// One that trusts any of `authorities`.
    pub fn trusting(authorities: &[&Authority]) -> Self {
        Self::of(authorities, None, ALL_VERSIONS)
    }

    /// One that speaks these versions only.
    pub fn with(
        authority: &Authority,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::of(&[authority], identity, versions)
    }

    fn of(
        authorities: &[&Authority],
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            let root = CertificateDer::from_pem_slice(authority.cert().as_bytes()).unwrap();
            roots.add(root).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        // As Prometheus does.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            config: Arc::new(config),
            headers: String::new(),
        }
    }

    /// The same with a header line.
    pub fn header(mut self, line: &str) -> Self {
        self.headers += line;
        self.headers += "\r\n";
        self
    }

    /// One GET on a connection of its own.
    pub fn ask(&self, address: SocketAddr, path: &str) -> io::Result<Answer> {
        let text = exchange(&mut self.stream(address), path, &self.headers)?;
        Ok(answer(&text))
    }

    /// A connection that stays open between requests.
    pub fn connect(&self, address: SocketAddr) -> Connection {
        Connection {
            stream: self.stream(address),
            headers: self.headers.clone(),
        }
    }

    fn stream(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let server = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), server).unwrap();
        StreamOwned::new(connection, connect(address))
    }
}

/// A secured connection for one request after the other.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    headers: String,
}

impl Connection {
    /// One GET.
    pub fn ask(&mut self, path: &str) -> io::Result<Answer> {
        let headers = &self.headers;
        write!(
            self.stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
        )?;
        let mut heard = Vec::new();
        let mut some = vec![0; 16 * 1024];
        while !is_complete(&heard) {
            let count = self.stream.read(&mut some)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            heard.extend_from_slice(&some[..count]);
        }
        Ok(answer(&String::from_utf8_lossy(&heard)))
    }
}

/// Whether a head and as much as it announces are there.
pub fn is_complete(heard: &[u8]) -> bool {
    let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    heard.len() >= end + 4 + length
}

/// One GET in plain HTTP.
pub fn ask_plainly(address: SocketAddr, path: &str, headers: &str) -> Answer {
    answer(&exchange(&mut connect(address), path, headers).unwrap())
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request, reads to the end.
pub fn exchange(stream: &mut (impl Read + Write), path: &str, headers: &str) -> io::Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn answer(text: &str) -> Answer {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        panic!("no answer: {text:?}")
    };
    Answer {
        code: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}
