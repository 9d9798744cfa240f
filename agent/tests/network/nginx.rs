//! nginx, which writes for each request how many bytes of its connection it took and gave.

use std::fs;
use std::process::Stdio;

use super::namespace::{Namespace, within};
use super::support::agent::until;
use super::support::client::Authority;
use super::support::place::{Place, Server, free_port};

pub(crate) const NGINX: &str = "nginx";
/// Files in its root, and their bytes.
pub(crate) const SMALL: (&str, usize) = ("small", 1000);
pub(crate) const LARGE: (&str, usize) = ("large", 8_000_000);

#[derive(Debug)]
pub(crate) struct Nginx<'a> {
    place: &'a Place,
    _server: Server,
    pub(crate) port: u16,
    /// Where it speaks HTTP/2 with TLS; `ca.pem` in the place has signed its certificate for `localhost`.
    pub(crate) tls_port: u16,
}

/// Sums of its log since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Logged {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests - earlier.requests,
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
        }
    }
}

impl<'a> Nginx<'a> {
    /// On all addresses of the namespace, or of 127.0.0.1 without one.
    pub(crate) fn start(place: &'a Place, namespace: Option<&Namespace>) -> Self {
        let root = place.file("root");
        fs::create_dir_all(root.join("up")).unwrap();
        for (name, bytes) in [SMALL, LARGE] {
            fs::write(root.join(name), vec![b'x'; bytes]).unwrap();
        }
        let authority = Authority::new();
        let identity = authority.issue("localhost");
        fs::write(place.file("ca.pem"), authority.cert()).unwrap();
        fs::write(place.file("cert.pem"), &identity.cert).unwrap();
        fs::write(place.file("key.pem"), &identity.key).unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let addresses = match namespace {
            Some(_) => ["0.0.0.0", "[::]"].as_slice(),
            None => &["127.0.0.1"],
        };
        let listens: String = addresses
            .iter()
            .map(|at| format!("listen {at}:{port};\nlisten {at}:{tls_port} ssl http2;\n"))
            .collect();
        fs::write(place.file("nginx.conf"), configuration(place, &listens)).unwrap();
        let mut command = place.program(NGINX, "/usr/sbin/nginx".as_ref());
        command
            .arg("-p")
            .arg(place.path())
            .arg("-e")
            .arg(place.file("error.log"))
            .arg("-c")
            .arg(place.file("nginx.conf"))
            .stdout(Stdio::null());
        if let Some(namespace) = namespace {
            command = within(command, namespace);
        }
        Self {
            place,
            _server: Server::start(command, libc::SIGTERM, &[port, tls_port]),
            port,
            tls_port,
        }
    }

    /// Sums of the log, when it has so many lines in all.
    pub(crate) fn logged(&self, requests: u64) -> Logged {
        let mut logged = Logged::default();
        until("the log of nginx", || {
            let text = fs::read_to_string(self.place.file("access.log")).unwrap();
            logged = Logged::default();
            for line in text.lines() {
                let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
                let &[sent, received, status] = words.as_slice() else {
                    panic!("{line}");
                };
                assert!((200..300).contains(&status), "{line}");
                logged.requests += 1;
                logged.sent += sent;
                logged.received += received;
            }
            logged.requests == requests
        });
        logged
    }
}

fn configuration(place: &Place, listens: &str) -> String {
    let folder = place.path().display();
    format!(
        "user root;
        worker_processes 2;
        daemon off;
        pid {folder}/nginx.pid;
        events {{ worker_connections 4096; }}
        http {{
            log_format counted '$bytes_sent $request_length $status';
            access_log {folder}/access.log counted;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            sendfile on;
            client_max_body_size 0;
            keepalive_requests 1000000;
            server {{
                {listens}
                ssl_protocols TLSv1.3;
                ssl_certificate {folder}/cert.pem;
                ssl_certificate_key {folder}/key.pem;
                root {folder}/root;
                location /up/ {{ dav_methods PUT; }}
            }}
        }}
        "
    )
}
