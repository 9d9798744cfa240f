//! Sends one GET as a measurement needs it: the connection is not kept, redirects are not followed, the body is returned
//! unchanged.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Time limit of an answer: a scrape of process-exporter on 10,000 processes takes seconds.
const ANSWER: Duration = Duration::from_secs(60);

/// The body of an answer of status 200. The request is HTTP/1.0, so the body ends with the connection. `headers` are whole lines,
/// each with its line end.
pub fn get(address: impl ToSocketAddrs, path: &str, headers: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let mark = b"\r\n\r\n";
    let end = answer.windows(mark.len()).position(|part| part == mark);
    let end = end.context("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "{path}: {status}");
    Ok(answer.split_off(end + mark.len()))
}
