//! Attackers: tasks without an end, which hold their connections until they are dropped.

use std::future::{Future, pending};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// The address of attackers, which is not the scraper's.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A connection from another address than the scraper's.
pub(crate) async fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    connect_from(ELSEWHERE, to).await
}

pub(crate) async fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// `count` attackers, each of which begins again when it is thrown out.
pub(crate) async fn swarm<F>(count: usize, attacker: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut swarm = JoinSet::new();
    for _ in 0..count {
        let attacker = attacker.clone();
        swarm.spawn(async move {
            loop {
                attacker().await;
                // One that cannot even connect does not keep the others from it.
                tokio::task::yield_now().await;
            }
        });
    }
    swarm.join_next().await;
}

/// Reads to the end.
pub(crate) async fn drain(mut stream: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// A request whose head never ends.
pub(crate) async fn trickle(to: SocketAddr) {
    let Ok(mut stream) = connect(to).await else {
        return;
    };
    let mut head = b"GET /metrics HTTP/1.1\r\nhost: x\r\n"
        .iter()
        .chain(b"x-a: b\r\n".iter().cycle());
    while let Some(byte) = head.next()
        && stream.write_all(&[*byte]).await.is_ok()
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

/// Scrapes that are not taken: more than the buffers of a socket hold.
pub(crate) async fn never_read(to: SocketAddr) {
    let Ok(socket) = TcpSocket::new_v4() else {
        return;
    };
    let _ = socket.set_recv_buffer_size(4096);
    let _ = socket.bind(SocketAddr::new(ELSEWHERE, 0));
    let Ok(mut stream) = socket.connect(to).await else {
        return;
    };
    let _ = stream.write_all(&SCRAPE.repeat(6)).await;
    until_closed(&stream).await;
}

/// Waits for the other side's end or reset without reading.
async fn until_closed(stream: &TcpStream) {
    // A reset leaves an error; data that waits there is none.
    let _ = stream.ready(tokio::io::Interest::ERROR).await;
}

/// Connects and resets at once.
pub(crate) async fn reset(to: SocketAddr) {
    if let Ok(mut stream) = connect(to).await {
        let _ = stream.write_all(SCRAPE).await;
        let _ = stream.set_zero_linger();
    }
}

/// Connections that say nothing, as many as the system gives.
pub(crate) async fn silence(to: SocketAddr) {
    let Ok(stream) = connect(to).await else {
        return pending().await;
    };
    drain(stream).await;
}

/// Sends `head`, and `more` again and again, until that is not taken any more; or waits for the end if there is no more to send.
pub(crate) async fn hold(to: SocketAddr, head: &'static [u8], more: &'static [u8]) {
    let Ok(mut stream) = connect(to).await else {
        return;
    };
    if stream.write_all(head).await.is_err() || more.is_empty() {
        return drain(stream).await;
    }
    while stream.write_all(more).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
