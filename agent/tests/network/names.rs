//! Instances of fan-in whose names only a name server knows. The test is that name server, in a network namespace of its own.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use super::namespace::Namespace;
use super::pods::{instance, tree};
use super::support::agent::Launch;
use super::support::scrape::Scrape;

/// A shell script that runs the rest of its arguments with this file as the configuration of the resolver.
const RESOLVING: &str = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
/// The type of a question for IPv4 addresses.
const A: u16 = 1;

/// The addresses of `app.test`. No process listens at the first one.
const APP: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 9), Ipv4Addr::LOCALHOST];

/// The reaction of the name server to a question for IPv4 addresses; questions for other types get an empty answer.
enum Names {
    Has(&'static [Ipv4Addr]),
    None,
    Silent,
}

fn named(name: &str) -> Names {
    match name {
        "app.test" => Names::Has(&APP),
        "hangs.test" => Names::Silent,
        _ => Names::None,
    }
}

/// Answers questions on this socket.
fn serve(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut question) {
        let question = &question[..length];
        let mut name = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            name.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
            at = end;
        }
        let name = name.join(".");
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let (code, addresses) = match named(&name) {
            Names::Silent => continue,
            Names::None => (3, &[][..]),
            Names::Has(addresses) if kind == A => (0, addresses),
            Names::Has(_) => (0, &[][..]),
        };
        let count = u8::try_from(addresses.len()).unwrap();
        // An answer; recursion is available; one question.
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(&question[12..at + 5]);
        for address in addresses {
            // The name of the question, A, IN, a minute.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address.octets());
        }
        socket.send_to(&answer, client).unwrap();
    }
}

#[test]
fn hanging_name_leaves_the_other_names_of_the_name_server_answered() {
    let namespace = Namespace::new();
    namespace.enter();
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    // The thread ends with the test process.
    thread::spawn(move || serve(&socket));
    let tree = tree();
    let shop = instance(&tree, "127.0.0.1:9256", "shop");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let resolver = write(
        "resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n",
    );
    let targets = ["app", "none", "hangs"].map(|name| format!("{name}.test:9256"));
    let groups = serde_json::json!([{"targets": targets, "labels": {"app": "shop"}}]);
    let file_sd = write("targets.json", &groups.to_string());
    let yaml = format!("process_names: [{{comm: [x]}}]\nfan_in: {{file_sd: ['{file_sd}']}}\n");
    let flags = ["-accounting=procfs", "--no-collector.passenger"];
    let mounting = ["unshare", "--mount", "--propagation", "private"];
    let running = ["sh", "-c", RESOLVING, "sh", &resolver];
    let agent = Launch::new()
        .args(&flags)
        .config(&yaml)
        .under(&[&mounting[..], &running].concat())
        .start();
    let timeout = "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n";
    let answer = agent.begin("/v1/apps/shop/metrics", timeout).answer();
    assert_eq!(answer.code, 200, "{answer:?}");
    let scrape = Scrape::parse(answer.body);
    let up = targets.each_ref().map(|target| {
        let labels = [("kind", "fan_in"), ("target", target.as_str())];
        scrape.value("headcount_target_up", &labels)
    });
    assert_eq!(up, [Some(1.0), Some(0.0), Some(0.0)], "{}", scrape.body);
    for target in &targets[1..] {
        let error = format!("error=\"unresolved\",instance=\"{target}\"}} 1\n");
        assert!(scrape.body.contains(&error), "{}", scrape.body);
    }
    drop(shop);
}
