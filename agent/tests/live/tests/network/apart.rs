//! Peers that are another host by their address, and connections that fail on the way. Both ends are on this machine, in a
//! network of their own whose loopback device has further addresses: an emulated machine has no other device.

use super::{DIRECTIONS, Endpoint, carry, check_books, is_counted, start};
use crate::exposition::Samples;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{TYPED, Tier};

table![
    a_peer_with_another_address_is_remote for TYPED,
    connections_fail_for_the_reason_that_the_kernel_has for TYPED,
];

/// Addresses that the loopback device gets: all of 10/8, and two of IPv6.
const ADDRESSES: &str = "10.0.0.1 fd00::1 fd00::2";
const SCOPES: [&str; 2] = ["loopback", "remote"];
/// Address of the listener, those that the client connects to and from, and the scope.
const PEERS: [(&str, &str, &str, &str); 8] = [
    ("127.0.0.2", "127.0.0.2", "127.0.0.3", "loopback"),
    ("10.0.0.2", "10.0.0.2", "10.0.0.2", "loopback"),
    ("10.0.0.2", "10.0.0.2", "10.0.0.3", "remote"),
    ("6", "6", "6", "loopback"),
    ("fd00::1", "fd00::1", "fd00::1", "loopback"),
    ("fd00::1", "fd00::1", "fd00::2", "remote"),
    ("4", "::ffff:127.0.0.1", "::ffff:127.0.0.1", "loopback"),
    ("10.0.0.2", "::ffff:10.0.0.2", "::ffff:10.0.0.3", "remote"),
];

/// The values of a group in a scope: bytes sent and received, connections opened, closed, and living.
fn of_scope(samples: &Samples, name: &str, scope: &str) -> [f64; 5] {
    let sum = |family: &str| {
        let family = format!("namedprocess_namegroup_tcp_{family}");
        let rows = samples.series(&family);
        let own = rows.filter(|(labels, _)| {
            labels["groupname"] == name && labels.get("scope").is_some_and(|of| of == scope)
        });
        own.map(|(_, value)| value).sum::<f64>()
    };
    let [sent, received] = DIRECTIONS.map(|direction| sum(&format!("{direction}_bytes_total")));
    let ends = ["opened_total", "closed_total"].map(|end| sum(&format!("connections_{end}")));
    [sent, received, ends[0], ends[1], sum("sockets")]
}

/// Over both families, and by IPv4 addresses in IPv6 sockets.
fn a_peer_with_another_address_is_remote(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let (mut client, mut server) = (Endpoint::start("aprC"), Endpoint::start("aprS"));
    server.ask(&format!("alone {ADDRESSES}"), "alone");
    let pid = server.running.pid();
    client.ask(&format!("enter {pid}"), "entered");
    let mut expected = [[0.0; 3]; 2];
    for (nth, (listener, to, from, scope)) in (0..).zip(PEERS) {
        let port = server.ask(&format!("listen {listener} 16"), "port");
        let of_client = client.ask(&format!("connect {to} {port} {from}"), "connection");
        let of_server = server.ask("accept", "connection");
        let (up, down) = (100_000 + nth, 1000 + nth);
        carry((&mut client, of_client), (&mut server, of_server), up);
        carry((&mut server, of_server), (&mut client, of_client), down);
        let at = SCOPES.iter().position(|of| *of == scope).unwrap();
        let sums = &mut expected[at];
        sums[0] += up as f64;
        sums[1] += down as f64;
        sums[2] += 1.0;
        agent.await_that(|samples| check([&client, &server], &expected, samples, false));
    }
    for end in [&mut client, &mut server] {
        end.running.close_input();
    }
    agent.await_settled(|samples| check([&client, &server], &expected, samples, true));
}

/// Whether client and server have that by scope: bytes up and down, connections.
fn check(
    [client, server]: [&Endpoint; 2],
    expected: &[[f64; 3]; 2],
    samples: &Samples,
    have_ended: bool,
) -> Result<(), String> {
    check_books(samples);
    for (scope, [up, down, count]) in SCOPES.into_iter().zip(*expected) {
        let [closed, living] = match have_ended {
            true => [count, 0.0],
            false => [0.0, count],
        };
        for (end, sent, received) in [(client, up, down), (server, down, up)] {
            let expected = [sent, received, count, closed, living];
            let found = of_scope(samples, end.name(), scope);
            if found != expected {
                let name = end.name();
                return Err(format!("{name}, {scope}: {found:?}, expected {expected:?}"));
            }
        }
    }
    Ok(())
}

/// Of the scenario `failing`: refused, timeout, unreachable, reset, other.
const FAILURES: [(&str, f64); 5] = [
    ("refused", 1.0),
    ("timeout", 1.0),
    ("unreachable", 5.0),
    ("reset", 0.0),
    ("other", 2.0),
];

/// The listener that drops the SYNs counts them.
fn connections_fail_for_the_reason_that_the_kernel_has(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut server = Endpoint::start("aprS");
    server.ask(&format!("alone {ADDRESSES}"), "alone");
    let port = server.ask("listen 10.0.0.2 0", "port");
    server.ask(&format!("connect 10.0.0.2 {port} 10.0.0.2"), "connection");
    let client = Program::new("aprC");
    let words = [server.running.pid().to_string(), port.to_string()];
    let report = client.run("failing", &[&words[0], "10.0.0.3", "10.0.0.2", &words[1]]);
    assert_eq!(report.of("failed"), 1);
    let drops = server.ask("drops", "drops") as f64;
    agent.await_settled(|samples| {
        let group = samples.group(&client.name);
        let failures = FAILURES.map(|(reason, expected)| {
            let labels = [("reason", reason), ("scope", "remote")];
            let found = group.labelled("tcp_connection_failures_total", &labels);
            (reason, found, expected)
        });
        let listener = samples.group(server.name());
        let dropped = listener.value("tcp_listen_drops_total");
        let carried = of_scope(samples, &client.name, "remote");
        let is_right = failures
            .iter()
            .all(|(_, found, expected)| found == expected);
        match is_right && dropped == drops && carried == [0.0; 5] {
            true => Ok(()),
            false => Err(format!(
                "{failures:?}, {dropped} of {drops} dropped, {carried:?}"
            )),
        }
    });
}
