//! A stop while many scrape.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::siege::Siege;
use super::support::agent::until;
use super::support::client::{connect, is_complete};

const SCRAPERS: u32 = 16;

/// One answer on a connection that stays open; `None`: the other side has ended it instead, before the first byte.
fn scrape(stream: &mut TcpStream) -> Option<Vec<u8>> {
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .ok()?;
    let mut heard = Vec::new();
    let mut some = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut some).unwrap_or(0);
        heard.extend_from_slice(&some[..count]);
        if is_complete(&heard) {
            assert!(heard.starts_with(b"HTTP/1.1 200 "));
            return Some(heard);
        }
        if count == 0 {
            assert!(
                heard.is_empty(),
                "an answer was cut off after {} bytes",
                heard.len()
            );
            return None;
        }
    }
}

/// Scrapes until the agent ends.
fn scrape_on(address: SocketAddr, scrapes: &AtomicU32) {
    let mut stream = connect(address);
    while scrape(&mut stream).is_some() {
        scrapes.fetch_add(1, Relaxed);
    }
}

#[test]
fn stop_cuts_off_no_answer() {
    let siege = Siege::new();
    let address = siege.agent.address;
    let scrapes = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..SCRAPERS {
            scope.spawn(|| scrape_on(address, &scrapes));
        }
        until("scrapes", || scrapes.load(Relaxed) > 2 * SCRAPERS);
        let (status, log) = siege.agent.stop(libc::SIGTERM);
        assert_eq!(status.code(), Some(0), "{log:#?}");
        assert!(
            !log.iter().any(|line| line.contains("still open")),
            "{log:#?}"
        );
    });
}
