//! The HTTP requests of a group are exactly those that its clients counted.

pub(super) mod ends;
pub(super) mod exchanges;
pub(super) mod gunicorn;
pub(super) mod pipelines;
pub(super) mod settings;
pub(super) mod times;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::{has_call_tracepoints, has_fexit, kernel_version};
use crate::program::{self, Program, Running};
use crate::scenario::handed::connect;
use crate::tier::Tier;

/// The first kernel that has the helpers.
const NEEDED_FROM: (u32, u32) = (5, 16);

/// The configuration of an agent that puts the programs of the tests into groups, and counts their requests if `http`.
fn configuration(http: bool) -> String {
    let folder = program::folder().display();
    format!("process_names: [{{name: '{{{{.Comm}}}}', cmdline: ['^{folder}/'], http: {http}}}]")
}

fn start(tier: &Tier, flags: &[&str]) -> Agent {
    Agent::start_with(tier, flags, Some(&configuration(true)))
}

/// Whether the agent counts requests. Where an older kernel cannot, the agent must say so, and show nothing.
fn is_counted(agent: &Agent) -> bool {
    let samples = agent.scrape();
    let source = |source| {
        let labels = [("fact", "http"), ("source", source)];
        samples.value("headcount_source_info", &labels) == Some(1.0)
    };
    if source("bpf") {
        return true;
    }
    assert!(source("absent"), "{}", agent.log());
    let has_hooks = has_fexit() || has_call_tracepoints();
    let can_count = has_hooks && kernel_version() >= NEEDED_FROM;
    assert!(!can_count, "{}", agent.log());
    if kernel_version() < NEEDED_FROM {
        let reason = "this kernel has no function bpf_";
        assert!(agent.log().contains(reason), "{}", agent.log());
    }
    assert_eq!(families(&samples), Vec::<String>::new());
    let warnings = agent.log().matches("msg=\"http: ").count();
    assert_eq!(warnings, 1, "{}", agent.log());
    false
}

/// Names of the series that are about requests of groups.
fn families(samples: &Samples) -> Vec<String> {
    let names = samples.names();
    let is_meant = |name: &&str| {
        name.starts_with("headcount_http_unseen")
            || name.starts_with("namedprocess_namegroup_http_")
    };
    names.filter(is_meant).map(str::to_owned).collect()
}

/// The sockets between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Tcp,
    /// The server's socket is one of IPv6, which takes clients of IPv4, too.
    Tcp6,
    /// The server's socket is one of MPTCP, which takes clients of TCP, too.
    Mptcp,
    Unix,
}

/// A server in a group of its own, a client that is in no group, and the client's count of the requests that the server served.
struct Pair {
    path: Path,
    program: Program,
    server: Running,
    port: u16,
    file: PathBuf,
    client: Option<File>,
    expected: BTreeMap<String, f64>,
}

impl Pair {
    fn start(tag: &str, path: Path) -> Self {
        let program = Program::new(tag);
        let file = program::folder().join(format!("{}.sock", program.name));
        let arguments = match path {
            Path::Tcp => vec![],
            Path::Tcp6 => vec!["6"],
            Path::Mptcp => vec!["mptcp"],
            Path::Unix => vec![file.to_str().unwrap()],
        };
        let mut server = program.start("served", &arguments);
        let port = u16::try_from(server.await_line("port")).unwrap();
        Self {
            path,
            program,
            server,
            port,
            file,
            client: None,
            expected: BTreeMap::new(),
        }
    }

    fn tell(&mut self, command: &str) {
        self.server.tell(command);
        self.server.await_line("done");
    }

    fn dial(&mut self) {
        let loopback: IpAddr = match self.path {
            Path::Tcp => Ipv4Addr::LOCALHOST.into(),
            Path::Tcp6 => Ipv6Addr::LOCALHOST.into(),
            Path::Mptcp => {
                let stream = connect(libc::IPPROTO_MPTCP, self.port).unwrap();
                self.client = Some(OwnedFd::from(stream).into());
                return;
            }
            Path::Unix => {
                let stream = UnixStream::connect(&self.file).unwrap();
                self.client = Some(OwnedFd::from(stream).into());
                return;
            }
        };
        let stream = TcpStream::connect((loopback, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        self.client = Some(OwnedFd::from(stream).into());
    }

    /// A new connection, in the place of the one before.
    fn connect(&mut self) {
        self.dial();
        self.tell("accept");
    }

    /// The client sends, and the server receives it by this call, so many bytes at a time.
    fn ask(&mut self, call: &str, piece: usize, text: &[u8]) {
        self.client.as_mut().unwrap().write_all(text).unwrap();
        self.tell(&format!("receive {call} {piece} {}", text.len()));
    }

    /// The server sends, and the client receives it.
    fn answer(&mut self, call: &str, pieces: &[&[u8]]) {
        self.tell(&format!("send {call} {}", hex(pieces)));
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut received = vec![0; bytes];
        let client = self.client.as_mut().unwrap();
        client.read_exact(&mut received).unwrap();
    }

    /// One more of these is to be shown.
    fn expect(&mut self, what: &str) {
        *self.expected.entry(what.to_owned()).or_default() += 1.0;
    }

    /// One request by this method, answered with this status.
    fn exchange(&mut self, method: &str, status: u32) {
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
        self.ask("recv", 8192, head.as_bytes());
        let response = format!("HTTP/1.1 {status} Reason\r\nServer: x\r\n\r\n");
        self.answer("send", &[response.as_bytes()]);
    }

    fn close_client(&mut self) {
        self.client = None;
    }

    /// The client closes and resets the connection.
    fn reset_client(&mut self) {
        let client = self.client.take().unwrap();
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the pointer is valid for the length.
        let code = unsafe {
            libc::setsockopt(
                client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap(),
            )
        };
        assert_eq!(code, 0);
    }

    /// The shown requests of the server are those that the client counted.
    fn check(&self, agent: &Agent) {
        let samples = agent.scrape();
        let shown = shown(&samples, &self.program.name);
        assert_eq!(
            shown,
            self.expected,
            "{:?}\n{}",
            self.path,
            samples.own_counts()
        );
    }

    /// The same, sooner or later.
    fn await_shown(&self, agent: &Agent) {
        agent.await_that(|samples| {
            let shown = shown(samples, &self.program.name);
            match shown == self.expected {
                true => Ok(()),
                false => Err(format!("{shown:?}")),
            }
        });
    }

    /// Ends the server.
    fn finish(self) {
        self.server.finish();
    }
}

fn hex(pieces: &[&[u8]]) -> String {
    let hex = |piece: &&[u8]| piece.iter().map(|byte| format!("{byte:02x}")).collect();
    pieces.iter().map(hex).collect::<Vec<String>>().join(",")
}

/// All values of a group that are not 0. The histogram must count the answered requests.
fn shown(samples: &Samples, group: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut answered = 0.0;
    let mut take = |family: &str, keys: &[&str]| {
        let name = format!("namedprocess_namegroup_http_{family}");
        for (labels, value) in samples.series(&name) {
            if labels["groupname"] != group {
                continue;
            }
            let words = keys.iter().map(|key| labels[*key].as_str());
            let key = words.collect::<Vec<_>>().join(" ");
            if !key.is_empty() && keys.contains(&"status") && !key.ends_with("aborted") {
                answered += value;
            }
            let key = if key.is_empty() {
                family.to_owned()
            } else {
                key
            };
            if value > 0.0 {
                found.insert(key, value);
            }
        }
    };
    take("requests_total", &["method", "status"]);
    take("requests_in_flight", &[]);
    take("unparsed_connections_total", &["reason"]);
    let labels = [("groupname", group)];
    let observed = samples.the(
        "namedprocess_namegroup_http_request_duration_seconds_count",
        &labels,
    );
    assert_eq!(observed, answered, "{group}");
    found
}
