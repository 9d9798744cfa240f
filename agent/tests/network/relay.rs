//! A relay between a client and a server, which counts the bytes: the true number where programs report less than they carry.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::support::agent::until;
use super::traffic::Traffic;

/// It serves until the process of the tests ends; a connection through it has two threads.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    /// Directions of connections that have ended.
    ended: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Relay {
    /// To a port of 127.0.0.1.
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let ends = [&client, &server].map(|end| end.try_clone().unwrap());
                let up = Arc::clone(&shared);
                thread::spawn(move || up.pass(client, server, &up.up));
                let down = Arc::clone(&shared);
                let [client, server] = ends;
                thread::spawn(move || down.pass(server, client, &down.down));
            }
        });
        Self { port, counts }
    }

    /// The payload of the client and of the server, when all connections have ended.
    pub(crate) fn carried(&self) -> [Traffic; 2] {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let Counts {
            connections,
            ended,
            up,
            down,
        } = &*self.counts;
        until("the end of all connections", || {
            of(ended) == 2 * of(connections)
        });
        let client = Traffic::ended(of(connections), of(up), of(down));
        [client, client.mirrored()]
    }
}

impl Counts {
    /// Passes bytes on, up to their end.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
        let mut buffer = vec![0; 65_536];
        loop {
            let bytes = from.read(&mut buffer).unwrap();
            if bytes == 0 {
                break;
            }
            to.write_all(&buffer[..bytes]).unwrap();
            count.fetch_add(bytes as u64, Ordering::SeqCst);
        }
        // The peer may have closed both directions.
        let _ = to.shutdown(Shutdown::Write);
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}
