//! iperf3: four streams for ten seconds, forward and reverse.
//!
//! The sender reports the bytes that it wrote, the receiver those that it read. The end of the test finds some of that in the
//! buffers of both sockets: written and never sent, received and never read. So the payload that the kernel carried is between
//! the two reports.

use std::process::Stdio;

use super::support::place::{Place, Server, free_port, run};
use super::traffic::{settle_ended, watch};

const CLIENT: &str = "iperf3-client";
const SERVER: &str = "iperf3-server";
const STREAMS: u64 = 4;
/// Bytes of the control connection in one direction, with the cookies that begin the streams: 1 KiB was seen.
const CONTROL: u64 = 4096;

fn carry(direction: &[&str]) {
    let place = Place::new();
    let agent = watch(place.path());
    let port = free_port();
    let words = ["-p", &port.to_string(), "-B", "127.0.0.1"];
    let mut server = place.program(SERVER, "/usr/bin/iperf3".as_ref());
    server
        .arg("-s")
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Server::start(server, libc::SIGTERM, &[port]);
    let before = agent.scrape();
    let mut client = place.program(CLIENT, "/usr/bin/iperf3".as_ref());
    client
        .args(["-c", "127.0.0.1", "-p", &port.to_string(), "-J"])
        .args(["-t", "10", "-P", &STREAMS.to_string()])
        .args(direction);
    let report: serde_json::Value = serde_json::from_str(&run(&mut client)).unwrap();
    let bytes = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap();
    let (written, read) = (bytes("sum_sent"), bytes("sum_received"));
    let mut ends = settle_ended(&agent, &before, [CLIENT, SERVER]);
    if direction == ["-R"] {
        ends.reverse();
    }
    let [sender, receiver] = ends;
    assert_eq!(sender.opened, STREAMS + 1);
    println!(
        "iperf3 {direction:?}: written {written}, sent {}, received {}, read {read}; control {} and {}",
        sender.sent, receiver.received, receiver.sent, sender.received
    );
    let in_order = [read, receiver.received, sender.sent, written + CONTROL];
    assert!(in_order.is_sorted(), "{in_order:?}");
    assert_eq!(receiver.sent, sender.received);
    assert!(receiver.sent <= CONTROL);
}

#[test]
fn ten_seconds_forward() {
    carry(&[]);
}

#[test]
fn ten_seconds_reverse() {
    carry(&["-R"]);
}
