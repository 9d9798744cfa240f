//! A proxy in front of agents, as many sites have: it serves an agent below a path that the agent does not know.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The path.
pub(crate) const PREFIX: &str = "/node-7";

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
}

impl Proxy {
    /// Before the agent at `target`. Its threads end with the test's process.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let shared = Arc::clone(&target);
        thread::spawn(move || {
            for client in listener.incoming() {
                let target = *shared.lock().unwrap();
                // A browser takes connections back whenever it likes.
                thread::spawn(move || client.and_then(|client| forward(client, target)));
            }
        });
        Self { address, target }
    }

    /// Another agent from now on.
    pub(crate) fn turn_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }
}

/// One request without a body, and its answer.
fn forward(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut server = TcpStream::connect(target)?;
    let stripped = head.replacen(&format!(" {PREFIX}/"), " /", 1);
    if stripped == head {
        return client
            .write_all(b"HTTP/1.1 418 not here\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let lines = stripped.trim_end().lines();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let kept: Vec<_> = kept.collect();
    write!(server, "{}\r\nconnection: close\r\n\r\n", kept.join("\r\n"))?;
    io::copy(&mut server, &mut client)?;
    Ok(())
}
