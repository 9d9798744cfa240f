//! Requests to applications, as their visitors send them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::support::agent::PATIENCE;

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Visit(JoinHandle<u16>);

impl Visit {
    /// Sends a GET for `path` to the virtual host `host`, and does not wait.
    pub(crate) fn begin(port: u16, host: &str, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Self(std::thread::spawn(move || {
            let answer = exchange(port, &request);
            let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
            status.unwrap_or_default()
        }))
    }

    /// The status of the answer; 0 if the connection ended without one.
    pub(crate) fn status(self) -> u16 {
        self.0.join().unwrap()
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.0.is_finished()
    }
}

/// The answer, as far as it came: a server may be killed meanwhile.
fn exchange(port: u16, request: &str) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether a server accepts connections there.
pub(crate) fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
