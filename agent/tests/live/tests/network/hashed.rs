//! The hash that takes the place of socket storage: it is too small, the kernel refuses one of its maps, or two listeners share a
//! port.

use super::{Endpoint, await_exact, check_books, connect, families, is_counted, payload, start};
use crate::agent::Agent;
use crate::bpf_calls::{Call, Verdict};
use crate::exposition::Samples;
use crate::guest;
use crate::runner::table;
use crate::surroundings::{STORAGES, Surroundings};
use crate::tier::{HASHED, ITERATOR, Tier};

table![
    a_socket_beyond_the_hash_is_counted_as_lost for NEEDED,
    without_a_map_of_the_hash_the_network_is_absent for NEEDED,
    each_child_belongs_to_its_own_listener for &[&ITERATOR, &HASHED],
];

/// These tests hide tracefs, as those of `refused` do.
const NEEDED: &[&Tier] = &[&ITERATOR];

/// Where the kernel gives no socket storage, and this verdict on one other map.
fn judging(map: &'static str, verdict: Verdict) -> Surroundings {
    Surroundings {
        judge: Some(Box::new(move |call| match call {
            Call::Map { name, .. } if name == map => verdict,
            Call::Map { name, .. } if name == STORAGES => Verdict::Refuse(libc::EINVAL),
            _ => Verdict::Allow,
        })),
        ..Surroundings::only_for(&ITERATOR)
    }
}

fn source(samples: &Samples, source: &str) -> Option<f64> {
    let labels = [("fact", "network"), ("source", source)];
    samples.value("headcount_source_info", &labels)
}

/// The connections themselves are unharmed, and the books are right.
fn a_socket_beyond_the_hash_is_counted_as_lost(_: &'static Tier) {
    let agent = Agent::start_in(judging("SOCKETS", Verdict::Entries(1)), &[]);
    if guest::is_locked_down() {
        return assert_eq!(source(&agent.scrape(), "absent"), Some(1.0));
    }
    assert_eq!(source(&agent.scrape(), "bpf_hash"), Some(1.0));
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 4 16", "port");
    for _ in 0..4 {
        let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
        client.running.tell(&format!("send {of_client} 1000"));
        server.running.tell(&format!("receive {of_server} 1000"));
        assert_eq!(client.running.await_line("sent"), 1000);
        assert_eq!(server.running.await_line("received"), 1000);
    }
    agent.await_that(|samples| {
        check_books(samples);
        // Of nine sockets, one at most has a place; each that has none is counted when it begins, at least.
        let lost = samples.the("headcount_network_storage_full_total", &[]);
        match lost >= 8.0 {
            true => Ok(()),
            false => Err(format!("{lost} lost")),
        }
    });
    client.finish();
    server.finish();
    check_books(&agent.scrape());
}

fn without_a_map_of_the_hash_the_network_is_absent(_: &'static Tier) {
    for map in ["SOCKETS", "CLAIMS", "ENDS"] {
        let agent = Agent::start_in(judging(map, Verdict::Refuse(libc::ENOMEM)), &[]);
        let samples = agent.scrape();
        let log = agent.log();
        assert_eq!(source(&samples, "absent"), Some(1.0), "{map}: {log}");
        assert_eq!(families(&samples), Vec::<String>::new(), "{map}");
        let warnings = agent.warnings();
        let is_told = |line: &&String| line.contains("--collector.network: ") && line.contains(map);
        assert_eq!(warnings.iter().filter(is_told).count(), 1, "{log}");
    }
}

/// Two processes listen at one port. A connection belongs to the one whose listener has it, before that one has accepted it.
fn each_child_belongs_to_its_own_listener(tier: &'static Tier) {
    const BYTES: u64 = 100;
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut client = Endpoint::start("netC");
    let mut servers = ["netA", "netB"].map(Endpoint::start);
    let port = servers[0].ask("share 4 0", "port");
    servers[1].ask(&format!("share 4 {port}"), "port");
    // The kernel chooses a listener by the ports.
    for nth in 0..32 {
        let connection = client.ask(&format!("connect 4 {port}"), "connection");
        assert_eq!(connection, nth);
        client.sent += client.ask(&format!("send {nth} {BYTES}"), "sent");
        client.ask(&format!("flush {nth}"), "unacknowledged");
    }
    let of_both = |samples: &Samples| {
        servers
            .each_ref()
            .map(|server| payload(samples, server.name()))
            .map(|[_, received]| received)
    };
    let samples = agent.await_that(|samples| {
        check_books(samples);
        let found = of_both(samples);
        match found.iter().sum::<f64>() == client.sent as f64 {
            true => Ok(()),
            false => Err(format!("{found:?} of {} bytes", client.sent)),
        }
    });
    let shown = of_both(&samples);
    for (server, shown) in servers.iter_mut().zip(shown) {
        server.received = BYTES * server.ask("take", "taken");
        assert_eq!(shown, server.received as f64, "{}", server.name());
        assert_ne!(server.received, 0, "{}", server.name());
    }
    await_exact(&agent, &[&client, &servers[0], &servers[1]]);
}
