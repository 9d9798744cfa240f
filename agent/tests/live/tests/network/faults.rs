//! Too little room for the entries of the network programs: entries without room are counted, the rest is right, and no
//! connection fails by it.

use agent_common::NETWORK_OWNERS;

use super::{Endpoint, await_exact, carry, check_books, connect, is_counted, payload, start};
use crate::agent::Agent;
use crate::bpf_calls::Verdict;
use crate::exposition::Samples;
use crate::guest::kernel_version;
use crate::procfs::anonymous_bytes;
use crate::runner::table;
use crate::tests::refused::judging;
use crate::tests::refused::maps::making;
use crate::tier::{ITERATOR, TYPED, Tier};

table![
    owners_beyond_the_map_are_unattributed for &[&ITERATOR],
    connection_without_storage_is_reported_and_gets_it_at_a_later_look for TYPED,
    listener_whose_storage_cannot_be_copied_accepts_later for TYPED,
];

/// Entries of the map of owners beyond those that this machine's processes have, and processes that want two each.
const ENTRIES: u32 = 32;
const PROCESSES: usize = 48;
/// Payload of each of them, sent and received.
const BYTES: u64 = 1000;
/// Bytes by which the agent may grow from one round of as many processes to the next.
const BYTES_OF_A_ROUND: u64 = 1 << 20;

/// All that the kernel gives by default.
const OPTMEM: u64 = 131_072;

/// Sent and received, of all the node or of a part.
fn of_node(samples: &Samples, part: &str) -> [f64; 2] {
    let name = format!("headcount_network_{part}bytes_total");
    super::DIRECTIONS.map(|direction| samples.the(&name, &[("direction", direction)]))
}

/// Entries of the map of owners that are in use. The agent does not know that it has fewer than it asked for.
fn used(samples: &Samples) -> f64 {
    let labels = [("map", "network_owners")];
    (samples.the("headcount_map_fill_ratio", &labels) * f64::from(NETWORK_OWNERS)).round()
}

/// A connection of the endpoint with itself; its numbers.
fn connect_to_itself(end: &mut Endpoint) -> [u64; 2] {
    let port = end.ask("listen 4 16", "port");
    let connection = end.ask(&format!("connect 4 {port}"), "connection");
    [connection, end.ask("accept", "connection")]
}

/// So many bytes from one connection of the endpoint to the other.
fn carry_to_itself(end: &mut Endpoint, [from, to]: [u64; 2], bytes: u64) {
    end.sent += end.ask(&format!("send {from} {bytes}"), "sent");
    end.received += end.ask(&format!("receive {to} {bytes}"), "received");
    end.ask(&format!("flush {from}"), "unacknowledged");
}

/// Their payload belongs to no group, and is all there. When processes have ended, others find room.
fn owners_beyond_the_map_are_unattributed(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let others = used(&agent.scrape());
    drop(agent);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of entries"
    )]
    let entries = ENTRIES + others as u32;
    let shrinking = judging(making("OWNERS"), Verdict::Entries(entries));
    let agent = Agent::start_in(shrinking, &[]);
    let held = [(); 3].map(|()| too_many_owners(&agent, entries.into()));
    let grown = held[2].saturating_sub(held[1]);
    assert!(grown < BYTES_OF_A_ROUND, "{held:?}");
    await_room(&agent, entries.into());
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 4 16", "port");
    let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
    carry((&mut client, of_client), (&mut server, of_server), BYTES);
    await_exact(&agent, &[&client, &server]);
}

/// Waits until the entries of the processes that have ended are removed.
fn await_room(agent: &Agent, entries: f64) -> Samples {
    agent.await_that(|samples| match used(samples) {
        used if used <= entries - f64::from(ENTRIES) / 2.0 => Ok(()),
        used => Err(format!("{used} of {entries} entries are used")),
    })
}

/// Returns the memory of the agent meanwhile.
fn too_many_owners(agent: &Agent, entries: f64) -> u64 {
    let before = await_room(agent, entries);
    let rises = |samples: &Samples, part: &str| {
        let (now, before) = (of_node(samples, part), of_node(&before, part));
        [now[0] - before[0], now[1] - before[1]]
    };
    let mut ends: Vec<Endpoint> = (0..PROCESSES).map(|_| Endpoint::start("many")).collect();
    for end in &mut ends {
        let pair = connect_to_itself(end);
        carry_to_itself(end, pair, BYTES);
    }
    let all = PROCESSES as f64 * BYTES as f64;
    agent.await_that(|samples| {
        check_books(samples);
        let mut shown = [0.0; 2];
        for end in &ends {
            let own = payload(samples, end.name());
            assert!(own == [0.0; 2] || own == [BYTES as f64; 2], "{own:?}");
            shown = [shown[0] + own[0], shown[1] + own[1]];
        }
        let (node, unattributed) = (rises(samples, ""), rises(samples, "unattributed_"));
        let is_all_counted = node.iter().all(|bytes| *bytes >= all)
            && (0..2).all(|way| shown[way] < all && shown[way] + unattributed[way] >= all);
        match is_all_counted && samples.the("headcount_network_owners_full_total", &[]) > 0.0 {
            true => Ok(()),
            false => Err(format!(
                "{node:?}: {shown:?} shown, {unattributed:?} unattributed"
            )),
        }
    });
    let held = anonymous_bytes(agent.pid());
    ends.into_iter().for_each(Endpoint::finish);
    held
}

/// Its payload counts from the moment when there is room.
fn connection_without_storage_is_reported_and_gets_it_at_a_later_look(tier: &'static Tier) {
    let Some((agent, mut end)) = scene(tier) else {
        return;
    };
    let full = |samples: &Samples| samples.the("headcount_network_storage_full_total", &[]);
    assert_eq!(full(&agent.scrape()), 0.0);
    end.ask("optmem 0", "optmem");
    let pair = connect_to_itself(&mut end);
    carry_to_itself(&mut end, pair, BYTES);
    let samples = agent.scrape();
    check_books(&samples);
    // The listener and both ends.
    assert!(full(&samples) >= 3.0, "{}", samples.own_counts());
    assert_eq!(payload(&samples, end.name()), [0.0; 2]);
    // A look at files gives them storage. Their payload up to then is left out.
    end.ask(&format!("optmem {OPTMEM}"), "optmem");
    (end.sent, end.received) = (0, 0);
    agent.await_that(|samples| {
        let labels = [("scope", "loopback"), ("state", "established")];
        match samples.group(end.name()).labelled("tcp_sockets", &labels) {
            2.0 => Ok(()),
            sockets => Err(format!("{sockets} sockets")),
        }
    });
    carry_to_itself(&mut end, pair, 500);
    await_exact(&agent, &[&end]);
}

/// The kernel drops the segment that would make a connection, as when too many wait to be accepted; the client tries again.
fn listener_whose_storage_cannot_be_copied_accepts_later(tier: &'static Tier) {
    let Some((agent, mut end)) = scene(tier) else {
        return;
    };
    let port = end.ask("listen 4 16", "port");
    agent.scrape();
    end.ask("optmem 0", "optmem");
    let of_client = end.ask(&format!("connect 4 {port}"), "connection");
    end.ask(&format!("optmem {OPTMEM}"), "optmem");
    // The client has no storage either, until the next look. Its payload up to then is left out.
    end.ask(&format!("send {of_client} {BYTES}"), "sent");
    let of_server = end.ask("accept", "connection");
    end.received += end.ask(&format!("receive {of_server} {BYTES}"), "received");
    end.ask(&format!("flush {of_client}"), "unacknowledged");
    let samples = await_exact(&agent, &[&end]);
    let drops = samples.group(end.name()).value("tcp_listen_drops_total");
    assert!(drops >= 1.0, "{drops} drops");
}

/// An endpoint in a network of its own, and the agent that counts for it; `None` where it cannot, and before Linux 6.8, where
/// `optmem_max` is one for all network namespaces of the machine.
fn scene(tier: &Tier) -> Option<(Agent, Endpoint)> {
    let agent = start(tier, &[]);
    if !is_counted(&agent) || kernel_version() < (6, 8) {
        return None;
    }
    let mut end = Endpoint::start("full");
    end.ask("leave", "left");
    Some((agent, end))
}
