//! TLS and passwords.

use super::attack::{hold, swarm};
use super::siege::{Siege, count, descriptors, timeouts};
use super::site::{Site, TLS};
use super::support::agent::until;
use super::support::client::{Authority, Client, ask_plainly};

const FAILURES: &str = "headcount_http_tls_handshake_failures_total";
/// The beginning of a greeting of 512 bytes.
const GREETING: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// `alice:wonder` and `mallory:wonder`.
const RIGHT: &str = "authorization: Basic YWxpY2U6d29uZGVy\r\n";
const UNKNOWN: &[u8] =
    b"GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Basic bWFsbG9yeTp3b25kZXI=\r\n\r\n";

/// Sixty hashes of this cost take longer than a request may.
const COSTLY: u32 = 11;

#[test]
fn invalid_tls_greetings_hold_up_no_scrape() {
    let authority = Authority::new();
    let site = Site::secure(TLS, &authority);
    let client = Client::new(&authority);
    let scrape = move |address| client.ask(address, "/metrics").unwrap();
    let siege = Siege::scraped(|launch| launch.arg(site.flag()), Box::new(scrape));
    let to = siege.agent.address;
    let attack = async move {
        tokio::join!(
            swarm(30, move || hold(to, b"GET /metrics HTTP/1.1\r\n\r\n", b"")),
            swarm(30, move || hold(to, GREETING, b"\0")),
            swarm(60, move || hold(to, GREETING, b"")),
        );
    };
    siege.withstand(attack, |scrape| count(scrape, FAILURES) >= 500.0);
}

/// One at a time, and more of them wait than there is time for: still a Prometheus that was never let in before has its turn.
#[test]
fn wrong_passwords_keep_no_client_with_a_right_one_out() {
    let web = |cost| {
        let hash = |password, cost| bcrypt::hash(password, cost).unwrap();
        let (alice, bob) = (hash("wonder", cost), hash("other", COSTLY));
        format!("basic_auth_users:\n  alice: {alice}\n  bob: {bob}\n")
    };
    let site = Site::new(&web(4));
    let scrape = |address| ask_plainly(address, "/metrics", RIGHT);
    let siege = Siege::scraped(|launch| launch.arg(site.flag()), Box::new(scrape));
    // No user is known any more.
    site.write("web.yml", &web(5));
    let is_read = |line: &String| line.ends_with("web.yml: read again");
    until("the new hashes", || {
        ask_plainly(siege.agent.address, "/", "");
        siege.agent.messages("info").iter().any(is_read)
    });
    let before = descriptors(&siege.agent);
    let to = siege.agent.address;
    let attack = swarm(60, move || hold(to, UNKNOWN, b""));
    siege.withstand_after(
        attack,
        || descriptors(&siege.agent) >= before + 50,
        |scrape| timeouts(scrape, "header") >= 40.0,
    );
}
