//! The payload that processes send and receive over UDP equals the sum of the results of their calls, to the byte.

use std::collections::BTreeMap;

use super::{DIRECTIONS, attached, check_books, families, is_counted, start};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::{has_call_tracepoints, has_fexit, kernel_version};
use crate::kernel_objects::Objects;
use crate::program::{Program, Running};
use crate::runner::table;
use crate::tier::{ITERATOR, PROCFS, SOCKETS, TYPED, Tier};

table![
    each_call_counts_its_result for SOCKETS,
    datagram_in_the_queue_or_the_error_queue_is_not_received for TYPED,
    a_cut_datagram_counts_the_result_of_the_call for TYPED,
    scope_is_that_of_the_socket for TYPED,
    one_datagram_of_a_process_that_ends_at_once_is_counted for TYPED,
    nothing_of_udp_is_loaded_unless_asked_for,
    procfs_tier_reports_udp_as_absent,
];

const FLAG: &str = "--collector.network.udp";
const SCOPES: [&str; 3] = ["loopback", "remote", "unknown"];
/// Payload of a datagram: one byte, less and more than a packet of the loopback device.
const SIZES: [u64; 3] = [1, 1000, 65_000];

/// Whether an agent with the flag counts UDP. Where the kernel cannot, the agent must say so, and show nothing.
fn is_udp_counted(agent: &Agent) -> bool {
    let samples = agent.scrape();
    let source = |source| {
        let labels = [("fact", "network_udp"), ("source", source)];
        samples.value("headcount_source_info", &labels) == Some(1.0)
    };
    if source("bpf") {
        return true;
    }
    assert!(source("absent"), "{}", agent.log());
    let is_tcp_counted = is_counted(agent);
    let can_count = is_tcp_counted && (has_fexit() || has_call_tracepoints());
    assert!(!can_count, "{}", agent.log());
    assert!(!families(&samples).iter().any(|name| name.contains("udp")));
    let warnings = agent.log().matches("--collector.network.udp: ").count();
    assert_eq!(warnings, usize::from(is_tcp_counted), "{}", agent.log());
    false
}

/// An agent that counts UDP; `None` where it cannot.
fn counting(tier: &Tier) -> Option<Agent> {
    let agent = start(tier, &[FLAG]);
    is_udp_counted(&agent).then_some(agent)
}

/// The scenario `datagrams` in a group of its own, and its counts by direction and scope.
#[derive(Debug)]
struct Peer {
    program: Program,
    running: Running,
    counted: BTreeMap<(&'static str, &'static str), u64>,
}

impl Peer {
    fn start(tag: &str) -> Self {
        let program = Program::new(tag);
        let mut running = program.start("datagrams", &[]);
        assert_eq!(running.await_line("ready"), 0);
        Self {
            program,
            running,
            counted: BTreeMap::new(),
        }
    }

    /// Has it obey a command, whose answer is about `key`.
    fn ask(&mut self, command: &str, key: &str) -> u64 {
        self.running.tell(command);
        self.running.await_line(key)
    }

    /// A socket with this address; its number and its port.
    fn open(&mut self, address: &str) -> (u64, u64) {
        let nth = self.ask(&format!("open {address}:0"), "socket");
        (nth, self.ask(&format!("port {nth}"), "port"))
    }

    /// `what`: the number of the socket, how to send, to which address, and bytes and number of the datagrams.
    fn send(&mut self, scope: &'static str, what: &str) -> u64 {
        let sent = self.ask(&format!("send {what}"), "sent");
        *self.counted.entry(("sent", scope)).or_default() += sent;
        sent
    }

    /// `what`: the number of the socket, how to receive, the room, and the number of datagrams.
    fn receive(&mut self, scope: &'static str, what: &str) -> u64 {
        let received = self.ask(&format!("receive {what}"), "received");
        *self.counted.entry(("received", scope)).or_default() += received;
        received
    }

    /// The shown payload is the sum of the results of its calls. More is never right.
    fn check(&self, samples: &Samples) -> Result<(), String> {
        check_udp(samples, &self.program.name, &self.counted)
    }
}

fn check_udp(
    samples: &Samples,
    name: &str,
    counted: &BTreeMap<(&'static str, &'static str), u64>,
) -> Result<(), String> {
    check_books(samples);
    for direction in DIRECTIONS {
        let family = format!("namedprocess_namegroup_udp_{direction}_bytes_total");
        for scope in SCOPES {
            let labels = [("groupname", name), ("scope", scope)];
            let shown = samples.value(&family, &labels).unwrap_or_default();
            let counted = counted.get(&(direction, scope)).copied();
            let counted = counted.unwrap_or_default() as f64;
            let text = format!("{name} {direction} {scope}: {shown} of {counted} bytes");
            assert!(shown <= counted, "{text}");
            if shown < counted {
                return Err(text);
            }
        }
    }
    Ok(())
}

/// Waits until the shown payload of the ends equals their counts, and no program missed a call; it must stay so.
fn await_exact(agent: &Agent, peers: &[&Peer]) {
    agent.await_settled(|samples| {
        assert_eq!(samples.the("headcount_network_udp_missed_total", &[]), 0.0);
        peers.iter().try_for_each(|peer| peer.check(samples))
    });
}

/// Without and with a connected peer, one by one and several at once, over IPv4, IPv6, and IPv4 from a socket of IPv6.
fn each_call_counts_its_result(tier: &'static Tier) {
    let Some(agent) = counting(tier) else {
        return;
    };
    let addresses = [
        ("127.0.0.1", "0.0.0.0"),
        ("[::1]", "[::]"),
        ("[::ffff:127.0.0.1]", "[::]"),
    ];
    for (loopback, any) in addresses {
        let (mut one, mut other) = (Peer::start("udpA"), Peer::start("udpB"));
        let (to, port) = other.open(loopback);
        let (from, _) = one.open(any);
        let (connected, _) = one.open(any);
        let peer = format!("{loopback}:{port}");
        one.ask(&format!("connect {connected} {peer}"), "connected");
        let mut carry = |send: &str, receive: &str, size: u64, count: u64| {
            let counted = format!("{size} {count}");
            let room = format!("{to} {receive} {size} {count}");
            let sent = one.send("unknown", &format!("{from} {send} {peer} {counted}"));
            assert_eq!(other.receive("loopback", &room), sent);
            let sent = one.send("loopback", &format!("{connected} {send} - {counted}"));
            assert_eq!(other.receive("loopback", &room), sent);
        };
        for size in SIZES {
            carry("sendto", "recvfrom", size, 1);
            carry("sendmsg", "recvmsg", size, 1);
        }
        carry("sendmmsg", "recvmmsg", 900, 5);
        carry("sendto", "recvfrom", 0, 1);
        carry("sendto", "read", 55, 1);
        carry("sendto", "splice", 77, 1);
        // Before 5.12 a worker is a thread of the kernel.
        let has_workers = kernel_version() >= (5, 12);
        for ring in ["uring", "uring-worker"] {
            if ring == "uring" || has_workers {
                one.send("loopback", &format!("{connected} {ring} - 1200 3"));
                other.receive("loopback", &format!("{to} {ring} 1200 3"));
            }
        }
        // Before 6.5 these reach the socket by another way, which the programs do not see, or see twice.
        if kernel_version() >= (6, 5) {
            for way in ["splice", "sendfile"] {
                one.send("loopback", &format!("{connected} {way} - 3000 1"));
                other.receive("loopback", &format!("{to} recvfrom 4000 1"));
            }
        }
        await_exact(&agent, &[&one, &other]);
    }
}

fn datagram_in_the_queue_or_the_error_queue_is_not_received(tier: &'static Tier) {
    let Some(agent) = counting(tier) else {
        return;
    };
    let mut own = Peer::start("udpA");
    let (nth, port) = own.open("127.0.0.1");
    own.send("loopback", &format!("{nth} sendto 127.0.0.1:{port} 500 1"));
    for _ in 0..3 {
        assert_eq!(
            own.ask(&format!("receive {nth} peek 500 1"), "received"),
            500
        );
    }
    own.receive("loopback", &format!("{nth} recvfrom 500 1"));
    await_exact(&agent, &[&own]);
    let returned = own.ask(&format!("refused {nth} 127.0.0.1:1 300"), "returned");
    assert_eq!(returned, 300);
    *own.counted.entry(("sent", "loopback")).or_default() += 300;
    await_exact(&agent, &[&own]);
}

/// The rest of it is lost. With MSG_TRUNC the call returns the length of the datagram.
fn a_cut_datagram_counts_the_result_of_the_call(tier: &'static Tier) {
    let Some(agent) = counting(tier) else {
        return;
    };
    let mut own = Peer::start("udpA");
    let (nth, port) = own.open("127.0.0.1");
    for (way, expected) in [("recvfrom", 100), ("recvmsg", 100), ("length", 500)] {
        own.send("loopback", &format!("{nth} sendto 127.0.0.1:{port} 500 1"));
        let received = own.receive("loopback", &format!("{nth} {way} 100 1"));
        assert_eq!(received, expected, "{way}");
    }
    await_exact(&agent, &[&own]);
}

/// In a network with two addresses beside that of the loopback device.
fn scope_is_that_of_the_socket(tier: &'static Tier) {
    let Some(agent) = counting(tier) else {
        return;
    };
    let mut own = Peer::start("udpA");
    own.ask("leave", "left");
    let (one, one_port) = own.open("192.0.2.1");
    let (other, other_port) = own.open("192.0.2.2");
    let peer = format!("192.0.2.2:{other_port}");
    // Bound to an address of the machine, which other machines know.
    own.send("unknown", &format!("{one} sendto {peer} 10 1"));
    own.receive("unknown", &format!("{other} recvfrom 100 1"));
    // Connected to an address that is not its own.
    own.ask(&format!("connect {one} {peer}"), "connected");
    own.send("remote", &format!("{one} sendto - 20 1"));
    own.receive("unknown", &format!("{other} recvfrom 100 1"));
    own.send(
        "unknown",
        &format!("{other} sendto 192.0.2.1:{one_port} 30 1"),
    );
    own.receive("remote", &format!("{one} recvfrom 100 1"));
    // Connected to its own address.
    let (local, _) = own.open("192.0.2.2");
    own.ask(&format!("connect {local} {peer}"), "connected");
    own.send("loopback", &format!("{local} sendto - 40 1"));
    own.receive("unknown", &format!("{other} recvfrom 100 1"));
    // Bound to an address that only this machine has.
    let (bound, _) = own.open("127.0.0.1");
    let (six, _) = own.open("[::ffff:127.0.0.2]");
    let (any, port) = own.open("0.0.0.0");
    own.send("loopback", &format!("{bound} sendto 127.0.0.1:{port} 50 1"));
    own.receive("unknown", &format!("{any} recvfrom 100 1"));
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    own.send("loopback", &format!("{six} sendto {mapped} 60 1"));
    own.receive("unknown", &format!("{any} recvfrom 100 1"));
    await_exact(&agent, &[&own]);
}

/// A question and its answer, and a question that does not wait for one.
fn one_datagram_of_a_process_that_ends_at_once_is_counted(tier: &'static Tier) {
    let Some(agent) = counting(tier) else {
        return;
    };
    let mut server = Peer::start("udpS");
    let (nth, port) = server.open("127.0.0.1");
    let client = Program::new("udpC");
    let peer = format!("127.0.0.1:{port}");
    for _ in 0..30 {
        client.run("datagram-once", &[&peer, "41", "0"]);
        server.receive("loopback", &format!("{nth} recvfrom 512 1"));
        let mut running = client.start("datagram-once", &[&peer, "42", "512"]);
        let client_port = running.await_line("port");
        server.receive("loopback", &format!("{nth} recvfrom 512 1"));
        let answer = format!("{nth} sendto 127.0.0.1:{client_port} 120 1");
        server.send("loopback", &answer);
        running.finish();
    }
    let counted = [("sent", 30 * (41 + 42)), ("received", 30 * 120)];
    let counted = counted.map(|(direction, bytes)| ((direction, "unknown"), bytes));
    agent.await_settled(|samples| {
        server.check(samples)?;
        check_udp(samples, &client.name, &counted.into())
    });
}

/// The hooks of the programs of UDP, by either way.
const PROGRAMS: [&str; 6] = [
    "sock_send_length",
    "sock_recv_length",
    "inet_sendmsg",
    "inet6_sendmsg",
    "inet_recvmsg",
    "inet6_recvmsg",
];

fn nothing_of_udp_is_loaded_unless_asked_for() {
    if !ITERATOR.can_work() {
        return;
    }
    let Some(on) = counting(&ITERATOR) else {
        return;
    };
    let off = start(&ITERATOR, &[]);
    let samples = off.scrape();
    assert!(!families(&samples).iter().any(|name| name.contains("udp")));
    let facts = samples.series("headcount_source_info");
    let rows = facts.filter(|(labels, _)| labels["fact"] == "network_udp");
    assert_eq!(rows.count(), 0);
    let expected = if has_call_tracepoints() { 2 } else { 4 };
    assert_eq!(attached(&on.scrape(), &PROGRAMS), expected);
    assert_eq!(attached(&samples, &PROGRAMS), 0);
    let [more, less] = [&on, &off].map(|agent| Objects::of_process(agent.pid()));
    assert_eq!(more.programs.len(), less.programs.len() + expected);
    assert_eq!(more.maps.len(), less.maps.len());
}

fn procfs_tier_reports_udp_as_absent() {
    let samples = start(&PROCFS, &[FLAG]).scrape();
    let labels = [("fact", "network_udp"), ("source", "absent")];
    assert_eq!(samples.the("headcount_source_info", &labels), 1.0);
    assert_eq!(families(&samples), Vec::<String>::new());
}
