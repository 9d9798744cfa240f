//! Connections that pass from process to process, and payload that takes other ways than `send` and `recv`. The programs count
//! the true numbers; the agent may differ by no byte, while the connections rest and when their sockets are gone.

use super::is_counted;
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::guest::{kernel_version, scaled};
use crate::program::{Program, Running};
use crate::runner::table;
use crate::scenario::handed::{UNKNOWN, has_mptcp};
use crate::tier::{ITERATOR, SOCKETS, TYPED, Tier};

table![
    a_prefork_server_serves for SOCKETS,
    a_child_serves_what_its_parent_accepted for SOCKETS,
    a_program_accepts_from_a_listener_that_it_was_given for SOCKETS,
    a_program_serves_the_connections_it_was_sent for SOCKETS,
    payload_after_a_late_handover_belongs_to_the_next_process for SOCKETS,
    an_inherited_descriptor_takes_nothing for TYPED,
    mptcp_is_counted for TYPED,
    mptcp_of_both_ends_is_counted_as_tcp_carries_it for TYPED,
    other_calls_than_send_are_counted for TYPED,
    a_network_of_their_own_is_counted for SOCKETS,
    brief_connections_are_counted for SOCKETS,
    brief_connections_are_counted_while_a_scraper_looks for SOCKETS,
    readers_of_descriptors_take_nothing for TYPED,
    a_process_for_each_connection_is_counted for &[&ITERATOR],
];

/// Payload of a connection, without its head of 16 bytes.
const UP: u64 = 1_000_003;
const DOWN: u64 = 300_001;
const BRIEF: u64 = 10_000;

/// The way in which a connection passes, and the group that its payload belongs to.
struct Shape {
    /// How the server serves, and the client carries.
    server: &'static str,
    client: &'static str,
    connections: u64,
    /// Whether the group that serves is the one of the program that was handed the connection.
    by_next: bool,
}

/// A shape in which the listening program's group serves.
fn plain(server: &'static str, client: &'static str, connections: u64) -> Shape {
    Shape {
        server,
        client,
        connections,
        by_next: false,
    }
}

fn a_prefork_server_serves(tier: &'static Tier) {
    run(tier, &[plain("prefork", "write", 4)]);
}

fn a_child_serves_what_its_parent_accepted(tier: &'static Tier) {
    let by_next = Shape {
        by_next: true,
        ..plain("fork-exec", "write", 3)
    };
    run(tier, &[plain("fork", "write", 3), by_next]);
}

fn a_program_accepts_from_a_listener_that_it_was_given(tier: &'static Tier) {
    run(
        tier,
        &[Shape {
            by_next: true,
            ..plain("activate", "write", 3)
        }],
    );
}

fn a_program_serves_the_connections_it_was_sent(tier: &'static Tier) {
    run(
        tier,
        &[Shape {
            by_next: true,
            ..plain("pass", "write", 3)
        }],
    );
}

/// The connection rests at scrapes before it is handed over, and only then carries more.
fn payload_after_a_late_handover_belongs_to_the_next_process(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if !is_counted(&agent) {
        return;
    }
    for how in ["late-fork-exec", "late-pass"] {
        println!("  {how}");
        hand_over_late(&agent, how);
    }
}

fn hand_over_late(agent: &Agent, how: &'static str) {
    let shape = plain(how, "twice", 1);
    let [listener, next, from] = ["hndL", "hndN", "hndC"].map(Program::new);
    let mut server = listener.start("handed", &[how, "1", next.path_text()]);
    let port = server.await_line("port");
    let mut client = start_client(&from, &shape, port, &server, [UP, DOWN]);
    client.await_line("connected");
    let mut exchange = |server: &mut Running| {
        client.tell("go");
        let [of_client, of_server] = [&mut client, server].map(|running| Carried::by(running, 1));
        assert_eq!(
            [of_client.sent, of_client.received],
            [of_server.received, of_server.sent]
        );
        [of_server.sent, of_server.received].map(|bytes| bytes as f64)
    };
    let check = |samples: &Samples, expected: [[f64; 2]; 2]| {
        let shown = [&listener, &next].map(|program| payload(samples, &program.name));
        match shown == expected {
            true => Ok(()),
            false => Err(format!("{shown:?}, expected {expected:?}")),
        }
    };
    let before = exchange(&mut server);
    for _ in 0..3 {
        agent.await_that(|samples| check(samples, [before, [0.0; 2]]));
    }
    server.tell("on");
    server.await_line("ready");
    let after = exchange(&mut server);
    agent.await_that(|samples| check(samples, [before, after]));
    for _ in 0..2 {
        check(&agent.scrape(), [before, after]).unwrap();
    }
    client.finish();
    server.finish();
    agent.await_settled(|samples| check(samples, [before, after]));
}

fn an_inherited_descriptor_takes_nothing(tier: &'static Tier) {
    run(tier, &[plain("leak", "write", 3)]);
}

/// One end of a connection speaks it and the other does not, as with the listeners of Go 1.24 by default.
fn mptcp_is_counted(tier: &'static Tier) {
    if !has_mptcp() {
        return run(tier, &[plain("itself", "write", 2)]);
    }
    run(
        tier,
        &[
            plain("mptcp-itself", "write", 2),
            plain("itself", "mptcp", 2),
        ],
    );
}

/// Bytes that MPTCP sends again are new payload for the TCP connection that carries them; from 6.5 on the kernel counts them.
fn mptcp_of_both_ends_is_counted_as_tcp_carries_it(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if !has_mptcp() || !is_counted(&agent) {
        return;
    }
    let (mut client, mut server) = carried(&plain("mptcp-itself", "mptcp", 2));
    let again = std::cell::RefCell::new([0; 2]);
    let sides = std::cell::RefCell::new([&mut client, &mut server]);
    let is_right = |samples: &Samples, closed: u64| {
        let sides = sides.borrow();
        let shown = sides.each_ref().map(|side| payload(samples, &side.name));
        let [of_client, of_server] = again.borrow().map(|bytes| bytes as f64);
        let [client, server] = sides.each_ref().map(|side| side.sums);
        let up = client.sent as f64 + of_client;
        let down = server.sent as f64 + of_server;
        let ends = sides.each_ref().map(|side| closed_of(samples, &side.name));
        let is_known = !again.borrow().contains(&UNKNOWN);
        let is_same = shown[0][0] == shown[1][1] && shown[0][1] == shown[1][0];
        let is_exact = shown == [[up, down], [down, up]];
        let is_enough = shown[0][0] >= client.sent as f64 && shown[1][0] >= server.sent as f64;
        let is_closed = ends == [closed * client.connections; 2].map(|number| number as f64);
        match is_closed
            && if is_known {
                is_exact
            } else {
                is_same && is_enough
            } {
            true => Ok(()),
            false => Err(format!(
                "{shown:?}, closed {ends:?}; expected {up} up, {down} down"
            )),
        }
    };
    agent.await_that(|samples| {
        for (side, bytes) in sides
            .borrow_mut()
            .iter_mut()
            .zip(again.borrow_mut().iter_mut())
        {
            side.running.tell("again");
            *bytes = side.running.await_line("again");
        }
        is_right(samples, 0)
    });
    for side in sides.borrow_mut().iter_mut() {
        side.running.close_input();
    }
    agent.await_settled(|samples| is_right(samples, 1));
}

/// Sent and received.
fn payload(samples: &Samples, name: &str) -> [f64; 2] {
    ["tcp_sent_bytes_total", "tcp_received_bytes_total"].map(|family| {
        samples
            .group(name)
            .labelled(family, &[("scope", "loopback")])
    })
}

fn closed_of(samples: &Samples, name: &str) -> f64 {
    let labels = [("scope", "loopback")];
    samples
        .group(name)
        .labelled("tcp_connections_closed_total", &labels)
}

/// Where the kernel has no `io_uring`, the client writes.
fn other_calls_than_send_are_counted(tier: &'static Tier) {
    run(
        tier,
        &["sendfile", "splice", "uring"].map(|client| plain("itself", client, 2)),
    );
}

fn a_network_of_their_own_is_counted(tier: &'static Tier) {
    let by_next = Shape {
        by_next: true,
        ..plain("alone-activate", "write", 2)
    };
    run(tier, &[plain("alone-itself", "write", 2), by_next]);
}

/// All shapes with one agent.
fn run(tier: &Tier, shapes: &[Shape]) {
    let agent = Agent::start(tier);
    if !is_counted(&agent) {
        return;
    }
    for shape in shapes {
        let what = format!("{} to {}", shape.client, shape.server);
        println!("  {what}");
        carry(&agent, shape);
    }
}

fn carry(agent: &Agent, shape: &Shape) {
    let (client, server) = carried(shape);
    let is_right = |samples: &Samples, closed: u64| {
        client.sums.check(samples, &client.name, closed)?;
        server.sums.check(samples, &server.name, closed)?;
        let nothing = Carried::default();
        server
            .other
            .iter()
            .try_for_each(|name| nothing.check(samples, name, closed))
    };
    agent.await_that(|samples| is_right(samples, 0));
    for _ in 0..2 {
        is_right(&agent.scrape(), 0).unwrap();
    }
    client.running.finish();
    server.running.finish();
    agent.await_settled(|samples| is_right(samples, 1));
}

/// One side of living connections that have carried all.
struct Side {
    running: Running,
    /// The group whose process has the connections, and one that has nothing of them any more.
    name: String,
    other: Option<String>,
    sums: Carried,
}

fn carried(shape: &Shape) -> (Side, Side) {
    let [listener, next, from] = ["hndL", "hndN", "hndC"].map(Program::new);
    let count = shape.connections;
    let words = [shape.server, &count.to_string(), next.path_text()];
    let mut server = listener.start("handed", &words);
    let port = server.await_line("port");
    let mut client = start_client(&from, shape, port, &server, [UP, DOWN]);
    client.await_line("connected");
    for _ in 0..count {
        server.await_line("ready");
    }
    client.tell("go");
    let of_client = Carried::by(&mut client, count);
    let of_server = Carried::by(&mut server, count);
    let received = [of_server.received, of_server.sent];
    assert_eq!([of_client.sent, of_client.received], received);
    let (name, other) = match shape.by_next {
        true => (next.name, Some(listener.name)),
        false => (listener.name, None),
    };
    let client = Side {
        running: client,
        name: from.name,
        other: None,
        sums: of_client,
    };
    let server = Side {
        running: server,
        name,
        other,
        sums: of_server,
    };
    (client, server)
}

fn start_client(
    from: &Program,
    shape: &Shape,
    port: u64,
    server: &Running,
    bytes: [u64; 2],
) -> Running {
    let mut words = [port, shape.connections]
        .map(|number| number.to_string())
        .to_vec();
    words.push(shape.client.to_owned());
    words.extend(bytes.map(|number| number.to_string()));
    if shape.server.starts_with("alone-") {
        words.push(server.pid().to_string());
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    from.start("handed-client", &words)
}

fn brief_connections_are_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if is_counted(&agent) {
        brief(&agent, &[]);
    }
}

/// Sockets end while a look is at them.
fn brief_connections_are_counted_while_a_scraper_looks(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if !is_counted(&agent) {
        return;
    }
    let scraper = Program::new("scrap").start("scraper", &[&agent.port().to_string()]);
    brief(&agent, &[]);
    assert!(scraper.finish().of("scrapes") > 0);
}

/// A process that reads `/proc/PID/fd` in the moment of a close is the last to hold the file. From Linux 5.15 on, the programs can
/// read the system call that it is in.
fn readers_of_descriptors_take_nothing(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if is_counted(&agent) && kernel_version() >= (5, 15) {
        brief(&agent, &[Program::new("readS"), Program::new("readC")]);
    }
}

/// In a network of their own: the machine keeps the ports that others need. The first of `readers` reads descriptors of the
/// server, and the second those of the client.
fn brief(agent: &Agent, readers: &[Program]) {
    let shape = plain("alone-brief", "brief", scaled(BRIEF));
    let (listener, from) = (Program::new("hndL"), Program::new("hndC"));
    let mut server = listener.start(
        "handed",
        &[shape.server, &shape.connections.to_string(), "none"],
    );
    let port = server.await_line("port");
    let mut client = start_client(&from, &shape, port, &server, [100, 1000]);
    client.await_line("connected");
    let reading: Vec<Running> = readers
        .iter()
        .zip([&server, &client])
        .map(|(reader, read)| {
            let mut running = reader.start("reader", &[&read.pid().to_string()]);
            running.await_line("reading");
            running
        })
        .collect();
    client.tell("go");
    let sums = [Carried::by(&mut client, 1), Carried::by(&mut server, 1)];
    let [of_client, of_server] = sums.map(|carried| Carried {
        connections: shape.connections,
        ..carried
    });
    drop(reading);
    client.finish();
    server.finish();
    agent.await_settled(|samples| {
        of_client.check(samples, &from.name, 1)?;
        of_server.check(samples, &listener.name, 1)
    });
}

/// More processes than the map of owners has entries, between two scrapes.
fn a_process_for_each_connection_is_counted(tier: &'static Tier) {
    let agent = Agent::start(tier);
    if !is_counted(&agent) {
        return;
    }
    let shape = plain("alone-process-each", "brief", scaled(2 * BRIEF));
    let (listener, from) = (Program::new("hndL"), Program::new("hndC"));
    let count = shape.connections.to_string();
    let mut server = listener.start("handed", &[shape.server, &count, "none"]);
    let port = server.await_line("port");
    let mut client = start_client(&from, &shape, port, &server, [100, 1000]);
    client.await_line("connected");
    client.tell("go");
    let of_client = Carried {
        connections: shape.connections,
        ..Carried::by(&mut client, 1)
    };
    let of_server = Carried {
        sent: of_client.received,
        received: of_client.sent,
        ..of_client
    };
    assert_eq!(server.await_line("served"), shape.connections);
    client.finish();
    server.finish();
    agent.await_settled(|samples| {
        of_client.check(samples, &from.name, 1)?;
        of_server.check(samples, &listener.name, 1)
    });
}

/// The numbers that a program reported for all its connections.
#[derive(Debug, Clone, Copy, Default)]
struct Carried {
    connections: u64,
    sent: u64,
    received: u64,
}

impl Carried {
    fn by(running: &mut Running, connections: u64) -> Self {
        let mut all = Self {
            connections,
            ..Self::default()
        };
        for _ in 0..connections {
            all.sent += running.await_line("sent");
            all.received += running.await_line("received");
        }
        all
    }

    /// Whether the group shows just that. `closed`: how often each connection was.
    fn check(self, samples: &Samples, name: &str, closed: u64) -> Result<(), String> {
        let group = samples.group(name);
        let value = |family: &str, scope: &str| group.labelled(family, &[("scope", scope)]);
        let families = [
            "tcp_sent_bytes_total",
            "tcp_received_bytes_total",
            "tcp_connections_closed_total",
        ];
        let found = families.map(|family| value(family, "loopback"));
        let opened: f64 = ["client", "server"]
            .map(|role| {
                let labels = [("role", role), ("scope", "loopback")];
                group.labelled("tcp_connections_opened_total", &labels)
            })
            .iter()
            .sum();
        let expected =
            [self.sent, self.received, closed * self.connections].map(|number| number as f64);
        let remote = families.map(|family| value(family, "remote"));
        if found == expected && opened == self.connections as f64 && remote == [0.0; 3] {
            return Ok(());
        }
        // Bytes that are missing here may be there.
        let all: Vec<String> = samples
            .series("namedprocess_namegroup_tcp_connections_closed_total")
            .map(|(labels, value)| format!("{} {value}", labels["groupname"]))
            .collect();
        Err(format!(
            "{name}: sent, received, closed {found:?}, {opened} opened, remote {remote:?}; expected {expected:?} of {}; \
             closed by group: {all:?}",
            self.connections
        ))
    }
}
