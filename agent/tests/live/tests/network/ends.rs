//! Ends of connections: FIN from either side, half a close, RST, unread bytes, connections that no process accepted or that were
//! refused. Each counts all that the kernel has carried, and how it ended.

use super::{Endpoint, await_exact, carry, check_payload, connect, is_counted, start};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::runner::table;
use crate::tier::{SOCKETS, Tier};

table![
    a_fin_is_no_payload for SOCKETS,
    a_reset_loses_nothing for SOCKETS,
    unread_bytes_count_as_received for SOCKETS,
    unaccepted_connection_belongs_to_the_listener for SOCKETS,
    a_refused_connection_is_a_failure for SOCKETS,
];

/// How the connections of a group ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ends {
    opened: f64,
    closed: f64,
    refused: f64,
    reset: f64,
    /// By any other reason.
    failed: f64,
    /// Sockets that still close.
    closing: f64,
}

impl Ends {
    fn of(samples: &Samples, name: &str) -> Self {
        let sum = |family: &str, label: &str, is_meant: &dyn Fn(&str) -> bool| {
            let family = format!("namedprocess_namegroup_tcp_{family}");
            let rows = samples.series(&family);
            let meant = rows.filter(|(labels, _)| {
                labels["groupname"] == name && labels.get(label).is_some_and(|word| is_meant(word))
            });
            meant.map(|(_, value)| value).sum()
        };
        let failures =
            |is_meant: &dyn Fn(&str) -> bool| sum("connection_failures_total", "reason", is_meant);
        Self {
            opened: sum("connections_opened_total", "role", &|_| true),
            closed: sum("connections_closed_total", "scope", &|_| true),
            refused: failures(&|reason| reason == "refused"),
            reset: failures(&|reason| reason == "reset"),
            failed: failures(&|reason| !["refused", "reset"].contains(&reason)),
            closing: sum("sockets", "state", &|state| state == "closing"),
        }
    }

    /// So many connections that ended well.
    fn good(count: u32) -> Self {
        Self {
            opened: count.into(),
            closed: count.into(),
            ..Self::default()
        }
    }
}

/// Waits until it is shown that the connections of both ended so, and with the bytes that both have counted; it must stay so.
fn await_ends(agent: &Agent, ends: [(&Endpoint, Ends); 2]) {
    agent.await_settled(|samples| {
        for (end, expected) in ends {
            end.check(samples)?;
            let found = Ends::of(samples, end.name());
            if found != expected {
                return Err(format!("{}: {found:?}, expected {expected:?}", end.name()));
            }
        }
        Ok(())
    });
}

/// A client and a server, with the port of the server, and the agent that counts for them; `None` where it cannot.
fn scene(tier: &Tier, family: &str) -> Option<(Agent, Endpoint, Endpoint, u64)> {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return None;
    }
    let (client, mut server) = (Endpoint::start("endC"), Endpoint::start("endS"));
    let port = server.ask(&format!("listen {family} 16"), "port");
    Some((agent, client, server, port))
}

/// From the client's side, from the server's, and with a while between both in which data flow the other way.
fn a_fin_is_no_payload(tier: &'static Tier) {
    let Some((agent, mut client, mut server, port)) = scene(tier, "4") else {
        return;
    };
    for nth in 0..4_u32 {
        let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
        carry((&mut client, of_client), (&mut server, of_server), 10_000);
        carry((&mut server, of_server), (&mut client, of_client), 70_000);
        let mut pair = [(&mut client, of_client), (&mut server, of_server)];
        if nth % 2 == 1 {
            pair.reverse();
        }
        let [(first, of_first), (second, of_second)] = pair;
        let is_half = nth < 2;
        if is_half {
            first.ask(&format!("finish {of_first}"), "finished");
            assert_eq!(second.ask(&format!("end {of_second}"), "left"), 0);
            await_exact(&agent, &[first, second]);
            carry((second, of_second), (first, of_first), 3_333);
            let samples = await_exact(&agent, &[first, second]);
            for end in [&*first, &*second] {
                assert_eq!(Ends::of(&samples, end.name()).closing, 1.0);
            }
            second.ask(&format!("close {of_second}"), "closed");
            assert_eq!(first.ask(&format!("end {of_first}"), "left"), 0);
            first.ask(&format!("close {of_first}"), "closed");
        } else {
            first.ask(&format!("close {of_first}"), "closed");
            assert_eq!(second.ask(&format!("end {of_second}"), "left"), 0);
            second.ask(&format!("close {of_second}"), "closed");
        }
        let good = Ends::good(nth + 1);
        await_ends(&agent, [(&client, good), (&server, good)]);
    }
}

/// By the client, and by the server; only the other one sees a failure.
fn a_reset_loses_nothing(tier: &'static Tier) {
    let Some((agent, mut client, mut server, port)) = scene(tier, "6") else {
        return;
    };
    let reset = Ends {
        reset: 1.0,
        ..Ends::good(1)
    };
    let (of_client, of_server) = connect(&mut client, "6", port, &mut server);
    carry((&mut client, of_client), (&mut server, of_server), 100_000);
    carry((&mut server, of_server), (&mut client, of_client), 7);
    client.ask(&format!("abort {of_client}"), "aborted");
    assert_eq!(server.ask(&format!("reset {of_server}"), "reset"), 1);
    server.ask(&format!("close {of_server}"), "closed");
    await_ends(&agent, [(&client, Ends::good(1)), (&server, reset)]);
    let (of_client, of_server) = connect(&mut client, "6", port, &mut server);
    carry((&mut client, of_client), (&mut server, of_server), 50_000);
    server.ask(&format!("abort {of_server}"), "aborted");
    assert_eq!(client.ask(&format!("reset {of_client}"), "reset"), 1);
    client.ask(&format!("close {of_client}"), "closed");
    let both = Ends {
        reset: 1.0,
        ..Ends::good(2)
    };
    await_ends(&agent, [(&client, both), (&server, both)]);
}

/// The server reads a part, and closes: the kernel resets the connection then.
fn unread_bytes_count_as_received(tier: &'static Tier) {
    let Some((agent, mut client, mut server, port)) = scene(tier, "4") else {
        return;
    };
    let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
    carry((&mut client, of_client), (&mut server, of_server), 1000);
    client.sent += client.ask(&format!("send {of_client} 20000"), "sent");
    let queued = server.ask(&format!("queued {of_server} 21000"), "queued");
    server.received = queued;
    client.ask(&format!("flush {of_client}"), "unacknowledged");
    await_exact(&agent, &[&client, &server]);
    server.ask(&format!("close {of_server}"), "closed");
    assert_eq!(client.ask(&format!("reset {of_client}"), "reset"), 1);
    client.ask(&format!("close {of_client}"), "closed");
    let reset = Ends {
        reset: 1.0,
        ..Ends::good(1)
    };
    await_ends(&agent, [(&client, reset), (&server, Ends::good(1))]);
}

/// The listening process owns it, and has received the bytes that the client sent.
fn unaccepted_connection_belongs_to_the_listener(tier: &'static Tier) {
    let Some((agent, mut client, mut server, port)) = scene(tier, "6") else {
        return;
    };
    let [one, other] = [(); 2].map(|()| client.ask(&format!("connect 6 {port}"), "connection"));
    for connection in [one, other] {
        client.sent += client.ask(&format!("send {connection} 9000"), "sent");
        client.ask(&format!("flush {connection}"), "unacknowledged");
    }
    server.received = client.sent;
    let samples = await_exact(&agent, &[&client, &server]);
    assert_eq!(samples.group(server.name()).value("tcp_listen_queue"), 2.0);
    server.ask("unlisten", "unlistened");
    for connection in [one, other] {
        assert_eq!(client.ask(&format!("reset {connection}"), "reset"), 1);
        client.ask(&format!("close {connection}"), "closed");
    }
    let reset = Ends {
        reset: 2.0,
        ..Ends::good(2)
    };
    await_ends(&agent, [(&client, reset), (&server, Ends::good(2))]);
    // And one whose listener goes before a scrape.
    let mut server = Endpoint::start("endS");
    let port = server.ask("listen 6 16", "port");
    let connection = client.ask(&format!("connect 6 {port}"), "connection");
    client.sent += client.ask(&format!("send {connection} 777"), "sent");
    client.ask(&format!("flush {connection}"), "unacknowledged");
    let name = server.name().to_owned();
    server.finish();
    assert_eq!(client.ask(&format!("reset {connection}"), "reset"), 1);
    agent.await_settled(|samples| {
        client.check(samples)?;
        check_payload(samples, &name, [0, 777])
    });
}

fn a_refused_connection_is_a_failure(tier: &'static Tier) {
    let Some((agent, mut client, mut server, port)) = scene(tier, "6") else {
        return;
    };
    server.ask("unlisten", "unlistened");
    for _ in 0..3 {
        client.ask(&format!("refused 6 {port}"), "refused");
    }
    let refused = Ends {
        refused: 3.0,
        ..Ends::default()
    };
    await_ends(&agent, [(&client, refused), (&server, Ends::default())]);
}
