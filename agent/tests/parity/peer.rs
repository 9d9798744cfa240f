//! The real process-exporter as a child.

use super::support::{agent::until, fake_proc::FakeProc};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// See the module. It is killed when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Peer {
    /// Starts it on `tree`, and waits until its first pass is done: it binds its port after that.
    pub fn start(tree: &FakeProc, flags: &[&str], yaml: &str) -> Self {
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
        let child = Command::new(binary)
            .arg("-procfs")
            .arg(tree.procfs())
            .arg("-config.path")
            .arg(path)
            .arg(format!("-web.listen-address=127.0.0.1:{port}"))
            .arg("-gather-smaps=false")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut peer = Self {
            child,
            port,
            _files: files,
        };
        until("process-exporter", || {
            assert!(peer.child.try_wait().unwrap().is_none(), "process-exporter ended: {yaml}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        peer
    }

    /// The body of one scrape.
    pub fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
