use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::*;
use crate::config::{ScrapeConfig, ScrapePort};
use crate::process::ProcessId;
use crate::targets::board::GroupIdentity;

fn host() -> Host {
    Host::detect("/proc", "/").unwrap()
}

/// This process, asked at `port`.
fn this(host: &Host, port: ScrapePort) -> ScrapedProcess {
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

fn looked(processes: Vec<ScrapedProcess>) -> NodeLook {
    let scraped = ScrapedProcesses {
        all: Arc::new(processes),
        left_out: 7,
        at: None,
    };
    look(&host(), &scraped)
}

fn count(look: &NodeLook, outcome: ProcessOutcome) -> u64 {
    look.outcomes[outcome as usize]
}

fn number(address: SocketAddr) -> ScrapePort {
    ScrapePort::Number(address.port())
}

#[test]
fn listener_is_one_instance_whichever_processes_have_it() {
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
    // No listener can have port 0.
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

#[test]
fn connection_is_confirmed_while_its_listener_is_there() {
    let host = host();
    for bound in ["127.0.0.1:0", "[::]:0"] {
        let listener = TcpListener::bind(bound).unwrap();
        let port = number(listener.local_addr().unwrap());
        let mut found = looked(vec![this(&host, port)]);
        let instance = found.instances.pop().unwrap();
        let connection = TcpStream::connect(instance.address).unwrap();
        let own = connection.local_addr().unwrap();
        // As if in another network namespace: there the connection is looked for, too.
        for is_own in [true, false] {
            let expected = NodeListener {
                is_own,
                ..*instance.listener
            };
            let confirmed = confirm(&host, &expected, instance.address, own);
            assert_eq!(confirmed, Ok(()), "{bound} {is_own}");
        }
        let elsewhere = NodeListener {
            is_own: false,
            ..*instance.listener
        };
        let other = SocketAddr::new(own.ip(), instance.address.port());
        let confirmed = confirm(&host, &elsewhere, instance.address, other);
        assert_eq!(confirmed, Err(Failure::NotTheTarget), "{bound}");
        drop(listener);
        let confirmed = confirm(&host, &instance.listener, instance.address, own);
        assert_eq!(confirmed, Err(Failure::NotTheTarget), "{bound}");
    }
}

#[test]
fn listener_that_is_nearer_to_the_address_takes_the_connection() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let asked = address("127.0.0.1:80");
    for (other, bound, expected) in [
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("127.0.0.1:80", "[::]:80", true),
        ("0.0.0.0:80", "[::]:80", true),
        ("0.0.0.0:80", "0.0.0.0:80", false),
        ("127.0.0.1:80", "127.0.0.1:80", false),
        ("10.0.0.1:80", "[::]:80", false),
        ("127.0.0.1:81", "[::]:80", false),
        ("[::1]:80", "[::]:80", false),
    ] {
        let found = is_nearer(address(other), address(bound), asked);
        assert_eq!(found, expected, "{other} {bound}");
    }
}

#[test]
fn process_that_takes_ipv6_only_is_not_asked_at_the_listener_of_another_one() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(true).unwrap();
    socket
        .bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(1).unwrap();
    let port = socket
        .local_addr()
        .unwrap()
        .as_socket_ipv6()
        .unwrap()
        .port();
    let impostor = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let connection = TcpStream::connect(impostor.local_addr().unwrap()).unwrap();
    let host = host();
    let own = this(&host, ScrapePort::Number(port));
    let found = looked(vec![own.clone()]);
    // Both listeners are this process's here, so the nearer one is asked. As if it had the other one alone:
    let tables = Place::trusted(Path::new("/proc/self")).unwrap();
    let all = listening(&tables).unwrap();
    let (inode, _) = all
        .iter()
        .find(|(_, local)| local.port() == port && local.is_ipv6())
        .unwrap();
    assert_eq!(found.instances.len(), 1);
    let listener = NodeListener {
        id: own.id,
        inode: *inode,
        is_own: true,
    };
    let asked = impostor.local_addr().unwrap();
    let confirmed = confirm(&host, &listener, asked, connection.local_addr().unwrap());
    assert_eq!(confirmed, Err(Failure::NotTheTarget));
}
