use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::*;
use crate::config::{ScrapeConfig, ScrapePort};
use crate::process::ProcessId;
use crate::targets::board::GroupIdentity;

/// This machine.
pub(in super::super) fn host() -> Host {
    Host::detect("/proc", "/").unwrap()
}

/// This process, asked at `port`.
pub(in super::super) fn this(host: &Host, port: ScrapePort) -> ScrapedProcess {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let ticks: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    let group = GroupIdentity {
        name: "tests".to_owned(),
        labels: Vec::new(),
    };
    ScrapedProcess {
        id: ProcessId {
            tgid: std::process::id(),
            start_ns: ticks * host.tick_ns,
        },
        group: Arc::new(group),
        scrape: Arc::new(ScrapeConfig {
            port,
            ..ScrapeConfig::default()
        }),
        may_receive_credentials: false,
    }
}

pub(in super::super) fn looked(processes: Vec<ScrapedProcess>) -> NodeLook {
    let scraped = ScrapedProcesses {
        all: Arc::new(processes),
        left_out: 7,
        at: None,
    };
    look(&host(), &scraped, Instant::now() + Duration::from_secs(60))
}

fn count(look: &NodeLook, outcome: ProcessOutcome) -> u64 {
    look.outcomes[outcome as usize]
}

pub(in super::super) fn number(address: SocketAddr) -> ScrapePort {
    ScrapePort::Number(address.port())
}

#[test]
fn processes_that_share_a_listener_are_one_instance() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = number(listener.local_addr().unwrap());
    let host = host();
    let found = looked(vec![this(&host, port), this(&host, port)]);
    let at = |one: &ScrapedInstance| (one.address, one.listener.is_own);
    let expected = SocketAddr::new(
        Ipv4Addr::LOCALHOST.into(),
        listener.local_addr().unwrap().port(),
    );
    assert_eq!(
        found.instances.iter().map(at).collect::<Vec<_>>(),
        [(expected, true)]
    );
    let counts = [
        ProcessOutcome::Instance,
        ProcessOutcome::Shared,
        ProcessOutcome::Limit,
    ];
    assert_eq!(counts.map(|outcome| count(&found, outcome)), [1, 1, 7]);
}

#[test]
fn process_without_one_wanted_listener_is_counted_by_the_reason() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let host = host();
    let mut ended = this(&host, number(listeners[0].local_addr().unwrap()));
    ended.id.start_ns += host.tick_ns;
    // No listener has port 0.
    let found = looked(vec![
        this(&host, ScrapePort::Auto),
        this(&host, ScrapePort::Number(0)),
        ended,
    ]);
    assert_eq!(found.instances.len(), 0);
    let counts = [
        ProcessOutcome::SeveralPorts,
        ProcessOutcome::NoListener,
        ProcessOutcome::Gone,
    ];
    assert_eq!(counts.map(|outcome| count(&found, outcome)), [1, 1, 1]);
}
