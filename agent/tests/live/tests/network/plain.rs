//! Connections that live and rest, that are older than the agent, that outlive an image; and many of them in any order.

use super::{
    Endpoint, attached, await_exact, carry, check_books, check_payload, check_waiting, connect,
    families, is_counted, payload, source_rows, start,
};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::Group;
use crate::kernel_objects::Objects;
use crate::program::Program;
use crate::runner::table;
use crate::tests::rise;
use crate::tier::{ITERATOR, PROCFS, SOCKETS, TYPED, Tier};

table![
    bytes_are_what_both_ends_counted for SOCKETS,
    a_scraper_takes_nothing_away for SOCKETS,
    a_scrape_looks_at_files_only_if_no_program_notes_handovers for &[&ITERATOR],
    connections_that_wait_to_be_accepted_are_shown for TYPED,
    only_payload_after_the_start_counts for SOCKETS,
    an_image_leaves_its_connection_to_the_next for TYPED,
    counters_never_fall_in_any_order for SOCKETS,
    nothing_is_loaded_if_it_is_off,
    procfs_tier_reports_the_network_as_absent,
];

const FAMILIES: [&str; 2] = ["4", "6"];
/// Payload: nothing, one byte, less and more than a segment, and more than the buffers of both ends.
const SIZES: [u64; 6] = [0, 1, 1000, 65_536, 300_001, 20_000_000];

fn opened(samples: &Samples, name: &str) -> [f64; 2] {
    ["client", "server"].map(|role| {
        let labels = [("role", role), ("scope", "loopback")];
        samples
            .group(name)
            .labelled("tcp_connections_opened_total", &labels)
    })
}

fn of_loopback(group: &Group<'_>, family: &str) -> f64 {
    group.labelled(family, &[("scope", "loopback")])
}

fn sockets(samples: &Samples, name: &str, state: &str) -> f64 {
    let group = samples.group(name);
    match state {
        "listen" => group.labelled("tcp_sockets", &[("state", state)]),
        _ => group.labelled("tcp_sockets", &[("scope", "loopback"), ("state", state)]),
    }
}

/// Two connections of each family, both ways: while they live, and when both ends are gone.
fn bytes_are_what_both_ends_counted(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    for family in FAMILIES {
        let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
        let port = server.ask(&format!("listen {family} 16"), "port");
        let pairs = [(); 2].map(|()| connect(&mut client, family, port, &mut server));
        for size in SIZES {
            for (of_client, of_server) in pairs {
                carry((&mut client, of_client), (&mut server, of_server), size);
                carry((&mut server, of_server), (&mut client, of_client), size / 3);
            }
            let samples = await_exact(&agent, &[&client, &server]);
            assert_eq!(sockets(&samples, client.name(), "established"), 2.0);
            assert_eq!(sockets(&samples, server.name(), "established"), 2.0);
            assert_eq!(sockets(&samples, server.name(), "listen"), 1.0);
        }
        let samples = agent.scrape();
        assert_eq!(opened(&samples, client.name()), [2.0, 0.0]);
        assert_eq!(opened(&samples, server.name()), [0.0, 2.0]);
        await_gone(&agent, client, server, 2.0);
    }
}

/// Ends both, and waits until their sockets are gone.
fn await_gone(agent: &Agent, client: Endpoint, server: Endpoint, connections: f64) {
    let names = [&client, &server].map(|end| end.name().to_owned());
    let counted = [&client, &server].map(|end| [end.sent, end.received]);
    client.finish();
    server.finish();
    let check = |samples: &Samples| {
        for (name, counted) in names.iter().zip(counted) {
            check_payload(samples, name, counted)?;
            let group = samples.group(name);
            let closed = of_loopback(&group, "tcp_connections_closed_total");
            let observed = of_loopback(&group, "tcp_rtt_seconds_count");
            let living = sockets(samples, name, "established") + sockets(samples, name, "closing");
            if [closed, observed, living] != [connections, connections, 0.0] {
                return Err(format!(
                    "{name}: {closed} closed, {observed} observed, {living} living"
                ));
            }
            assert!(of_loopback(&group, "tcp_rtt_seconds_sum") > 0.0);
            assert_eq!(sockets(samples, name, "listen"), 0.0);
        }
        Ok(())
    };
    agent.await_settled(check);
    agent.await_that(check_waiting);
}

/// Bytes that flow during a scrape are counted once.
fn a_scraper_takes_nothing_away(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let scraper = Program::new("scrap").start("scraper", &[&agent.port().to_string()]);
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 4 16", "port");
    let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
    for _ in 0..10 {
        carry(
            (&mut client, of_client),
            (&mut server, of_server),
            30_000_000,
        );
        carry(
            (&mut server, of_server),
            (&mut client, of_client),
            1_000_003,
        );
    }
    await_exact(&agent, &[&client, &server]);
    await_gone(&agent, client, server, 1.0);
    assert!(scraper.finish().of("scrapes") > 0);
}

/// So many scrapes in a row must look at no file, of so many at most: other processes of the machine may make some looks
/// necessary.
const QUIET_SCRAPES: u32 = 20;
const MOST_SCRAPES: u32 = 500;

/// The kernel counts the runs of programs while this lives.
struct RunCounts(String);

impl RunCounts {
    const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn keep() -> Self {
        let before = std::fs::read_to_string(Self::SETTING).unwrap();
        std::fs::write(Self::SETTING, "1").unwrap();
        Self(before)
    }
}

impl Drop for RunCounts {
    fn drop(&mut self) {
        std::fs::write(Self::SETTING, &self.0).unwrap();
    }
}

/// Connections that carry and stay where they are.
fn a_scrape_looks_at_files_only_if_no_program_notes_handovers(tier: &'static Tier) {
    let _counts = RunCounts::keep();
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 4 16", "port");
    let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
    let files = |samples: &Samples| {
        samples.the(
            "headcount_program_runs_total",
            &[("program", "iter/task_file")],
        )
    };
    let mut before = files(&agent.scrape());
    if attached(&agent.scrape(), &HANDOVER) == 0 {
        agent.await_that(|samples| match files(samples) > before {
            true => Ok(()),
            false => Err(format!("{before} files seen")),
        });
        return;
    }
    let mut in_a_row = 0;
    for _ in 0..MOST_SCRAPES {
        carry((&mut client, of_client), (&mut server, of_server), 1000);
        let samples = agent.scrape();
        let now = files(&samples);
        let is_exact = [&client, &server]
            .iter()
            .all(|end| end.check(&samples).is_ok());
        in_a_row = if now == before && is_exact {
            in_a_row + 1
        } else {
            0
        };
        before = now;
        if in_a_row == QUIET_SCRAPES {
            return;
        }
    }
    panic!("{before} files seen; {in_a_row} scrapes in a row without");
}

/// The listening socket's queue, and the round trip time of the living.
fn connections_that_wait_to_be_accepted_are_shown(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 4 17", "port");
    for waiting in 1..=3_u32 {
        client.ask(&format!("connect 4 {port}"), "connection");
        agent.await_that(|samples| {
            let group = samples.group(server.name());
            let queue =
                ["tcp_listen_queue", "tcp_listen_queue_limit"].map(|family| group.value(family));
            let drops = group.value("tcp_listen_drops_total");
            match (queue, drops) == ([f64::from(waiting), 17.0], 0.0) {
                true => Ok(()),
                false => Err(format!("{queue:?}, {drops} drops")),
            }
        });
    }
    let of_server = [(); 3].map(|()| server.ask("accept", "connection"));
    carry((&mut client, 0), (&mut server, of_server[0]), 5000);
    let samples = await_exact(&agent, &[&client, &server]);
    assert_eq!(samples.group(server.name()).value("tcp_listen_queue"), 0.0);
    let times_us = [0, 1, 2].map(|nth| client.ask(&format!("rtt {nth}"), "rtt_us") as f64);
    let shown = ["mean", "max"].map(|stat| {
        let labels = [("scope", "loopback"), ("stat", stat)];
        samples
            .group(client.name())
            .labelled("tcp_established_rtt_seconds", &labels)
            * 1e6
    });
    let expected = [
        times_us.iter().sum::<f64>() / 3.0,
        times_us.into_iter().fold(0.0, f64::max),
    ];
    let is_same = shown
        .iter()
        .zip(expected)
        .all(|(shown, expected)| (shown - expected).abs() < 0.01);
    assert!(is_same, "{shown:?} us, the kernel says {expected:?}");
}

/// Of a connection and of a listening socket that were there before the agent.
fn only_payload_after_the_start_counts(tier: &'static Tier) {
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let port = server.ask("listen 6 16", "port");
    let old = connect(&mut client, "6", port, &mut server);
    carry((&mut client, old.0), (&mut server, old.1), 123_456);
    carry((&mut server, old.1), (&mut client, old.0), 65_432);
    (client.sent, client.received, server.sent, server.received) = (0, 0, 0, 0);
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let samples = await_exact(&agent, &[&client, &server]);
    assert_eq!(sockets(&samples, client.name(), "established"), 1.0);
    assert_eq!(sockets(&samples, server.name(), "listen"), 1.0);
    carry((&mut client, old.0), (&mut server, old.1), 1111);
    carry((&mut server, old.1), (&mut client, old.0), 2222);
    await_exact(&agent, &[&client, &server]);
    let new = connect(&mut client, "6", port, &mut server);
    carry((&mut client, new.0), (&mut server, new.1), 7777);
    carry((&mut client, old.0), (&mut server, old.1), 44_444);
    let samples = await_exact(&agent, &[&client, &server]);
    assert_eq!(opened(&samples, client.name()), [1.0, 0.0]);
    assert_eq!(opened(&samples, server.name()), [0.0, 1.0]);
    await_gone(&agent, client, server, 2.0);
}

/// The bytes belong to the group that the process is in when they are read.
fn an_image_leaves_its_connection_to_the_next(tier: &'static Tier) {
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let (mut client, mut server) = (Endpoint::start("netC"), Endpoint::start("netS"));
    let next = Program::new("netN");
    let port = server.ask("listen 4 16", "port");
    let (of_client, of_server) = connect(&mut client, "4", port, &mut server);
    carry((&mut client, of_client), (&mut server, of_server), 1000);
    await_exact(&agent, &[&client, &server]);
    carry((&mut client, of_client), (&mut server, of_server), 500);
    let left = client.ask(&format!("exec {}", next.path_text()), "ready");
    assert_eq!(left, 1);
    carry((&mut client, 0), (&mut server, of_server), 200);
    carry((&mut server, of_server), (&mut client, 0), 3);
    let [first, of_peer] = [&client, &server].map(|end| end.name().to_owned());
    let counted = [server.sent, server.received];
    let check = |samples: &Samples| {
        check_payload(samples, &of_peer, counted)?;
        let shown = [&first, &next.name].map(|name| payload(samples, name));
        let [[before, nothing], [after, received]] = shown;
        // A look between the two was in time for the payload before the exec.
        let is_right = [1000.0, 1500.0].contains(&before) && before + after == 1700.0;
        match is_right && nothing == 0.0 && received == 3.0 {
            true => Ok(()),
            false => Err(format!("{shown:?}")),
        }
    };
    agent.await_that(check);
    client.finish();
    // Else a timer acknowledges the client's FIN 40 ms later, and the connection ends in whatever process it interrupts. On the
    // kernel of some sandboxes programs do not run in process 1.
    server.ask(&format!("close {of_server}"), "closed");
    agent.await_settled(|samples| {
        check(samples)?;
        match of_loopback(&samples.group(&next.name), "tcp_connections_closed_total") {
            1.0 => Ok(()),
            closed => Err(format!("{closed} closed")),
        }
    });
}

/// Connections of two ends that open, carry, half close, close and break by chance.
fn counters_never_fall_in_any_order(tier: &'static Tier) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let agent = start(tier, &[]);
    if !is_counted(&agent) {
        return;
    }
    let mut ends = [Endpoint::start("netC"), Endpoint::start("netS")];
    let port = ends[1].ask("listen 4 16", "port");
    let mut living: Vec<(u64, u64)> = Vec::new();
    let mut count = 0.0;
    let mut before = agent.scrape();
    for step in 0..200 {
        let [client, server] = &mut ends;
        match random.u32(..8) {
            0 | 1 => {
                living.push(connect(client, "4", port, server));
                count += 1.0;
            }
            chance if !living.is_empty() => {
                let nth = random.usize(..living.len());
                let (of_client, of_server) = living[nth];
                let bytes = random.u64(..200_000);
                let mut pair = [(client, of_client), (server, of_server)];
                if random.bool() {
                    pair.reverse();
                }
                let [(one, of_one), (other, of_other)] = pair;
                match chance {
                    2 => {
                        one.ask(&format!("close {of_one}"), "closed");
                        assert_eq!(other.ask(&format!("end {of_other}"), "left"), 0);
                        other.ask(&format!("close {of_other}"), "closed");
                        living.swap_remove(nth);
                    }
                    3 => {
                        one.ask(&format!("abort {of_one}"), "aborted");
                        assert_eq!(other.ask(&format!("reset {of_other}"), "reset"), 1);
                        other.ask(&format!("close {of_other}"), "closed");
                        living.swap_remove(nth);
                    }
                    _ => carry((one, of_one), (other, of_other), bytes),
                }
            }
            _ => (),
        }
        if step % 4 == 0 {
            let now = agent.scrape();
            check_books(&now);
            rise::check(&before, &now);
            before = now;
        }
    }
    await_exact(&agent, &[&ends[0], &ends[1]]);
    let [client, server] = ends;
    await_gone(&agent, client, server, count);
    rise::check(&before, &agent.scrape());
}

fn nothing_is_loaded_if_it_is_off() {
    if !ITERATOR.can_work() {
        return;
    }
    let on = start(&ITERATOR, &[]);
    let is_counted = is_counted(&on);
    let off = start(&ITERATOR, &["--no-collector.network"]);
    let samples = off.scrape();
    assert_eq!(families(&samples), Vec::<String>::new());
    assert_eq!(source_rows(&samples), 0);
    assert!(!off.log().contains("network"), "{}", off.log());
    let handover = attached(&on.scrape(), &HANDOVER);
    assert!([0, HANDOVER.len()].contains(&handover), "all or none");
    let needed = if is_counted { PROGRAMS.len() - 1 } else { 0 };
    let expected = needed + handover;
    assert_eq!(attached(&on.scrape(), &PROGRAMS), needed);
    assert_eq!(attached(&samples, &PROGRAMS), 0);
    assert_eq!(attached(&samples, &HANDOVER), 0);
    let [more, less] = [&on, &off].map(|agent| {
        let objects = Objects::of_process(agent.pid());
        [objects.programs.len(), objects.maps.len()]
    });
    assert_eq!(more[0], less[0] + expected, "programs");
    assert_eq!(more[1] > less[1], is_counted, "maps: {less:?}, {more:?}");
}

/// The hooks of the network programs: one of the last two.
const PROGRAMS: [&str; 5] = [
    "inet_sock_set_state",
    "tcp_destroy_sock",
    "iter/task_file",
    "iter/bpf_sk_storage_map",
    "iter/bpf_map_elem",
];

/// The programs that note when a socket may have changed hands, on kernels that run programs at the entry of functions.
const HANDOVER: [&str; 3] = [
    "security_sock_graft",
    "sched_process_fork/network",
    "security_file_receive",
];

fn procfs_tier_reports_the_network_as_absent() {
    let agent = start(&PROCFS, &[]);
    let samples = agent.scrape();
    let labels = [("fact", "network"), ("source", "absent")];
    assert_eq!(samples.the("headcount_source_info", &labels), 1.0);
    assert_eq!(families(&samples), Vec::<String>::new());
}
