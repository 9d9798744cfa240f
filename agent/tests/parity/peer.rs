//! The real process-exporter as a child.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::agent::until;
use super::support::fake_proc::FakeProc;

/// See the module. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    port: u16,
    files: tempfile::TempDir,
}

impl Peer {
    /// Starts it on `tree`, and waits until its first pass is done: it binds its port after that.
    pub(crate) fn start(tree: &FakeProc, flags: &[&str], yaml: &str) -> Self {
        Self::on(&tree.procfs(), flags, yaml)
    }

    /// The same on any procfs.
    pub(crate) fn on(procfs: &Path, flags: &[&str], yaml: &str) -> Self {
        let binary = std::env::var_os("HEADCOUNT_PEER")
            .expect("HEADCOUNT_PEER names no binary; `cargo xtask parity` fetches one");
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("config.yml");
        std::fs::write(&path, yaml).unwrap();
        // Free now; another program could take it before this one does, and then nothing here would agree.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let log = std::fs::File::create(files.path().join("log")).unwrap();
        let child = Command::new(binary)
            .arg("-procfs")
            .arg(procfs)
            .args(config(&path, yaml))
            .arg(format!("-web.listen-address=127.0.0.1:{port}"))
            .arg("-gather-smaps=false")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut peer = Self { child, port, files };
        until("process-exporter", || {
            let ended = peer.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "process-exporter ended: {}\n{yaml}",
                peer.log()
            );
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        peer
    }

    /// The body of one scrape.
    pub(crate) fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => body.to_owned(),
            _ => panic!("process-exporter says {answer:?}: {}", self.log()),
        }
    }

    /// The beginning of its standard error.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.files.path().join("log")).unwrap_or_default();
        text.chars().take(2000).collect()
    }
}

/// Without a text the flags select the processes.
fn config(path: &Path, yaml: &str) -> Vec<String> {
    match yaml {
        "" => Vec::new(),
        _ => vec!["-config.path".to_owned(), path.display().to_string()],
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
