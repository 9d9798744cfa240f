//! Two hosts: network namespaces with a cable between them. The peer is remote, over IPv4 and IPv6.

use super::namespace::{Namespace, within};
use super::nginx::{LARGE, Logged, NGINX, Nginx};
use super::support::place::Place;
use super::traffic::{Scope, Traffic, settle_at, watch};
use super::web::{CURL, Reported, body, curl};

#[test]
fn bytes_to_another_host_are_remote() {
    let place = Place::new();
    let [near, far] = [(); 2].map(|()| Namespace::new());
    near.ip(&[
        "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &far.name,
    ]);
    for (host, nth) in [(&near, 1), (&far, 2)] {
        host.ip(&[
            "address",
            "add",
            &format!("10.77.0.{nth}/24"),
            "dev",
            "cable",
        ]);
        host.ip(&[
            "address",
            "add",
            &format!("fd77::{nth}/64"),
            "dev",
            "cable",
            "nodad",
        ]);
        host.ip(&["link", "set", "cable", "up"]);
    }
    let agent = watch(place.path());
    let nginx = Nginx::start(&place, Some(&far));
    let body = body(&place);
    let mut logged = Logged::default();
    for address in ["10.77.0.2", "[fd77::2]"] {
        let site = format!("http://{address}:{}", nginx.port);
        let before = agent.scrape();
        let mut sum = Reported::default();
        for words in [
            &[format!("{site}/{}?[1-3]", LARGE.0)][..],
            &[
                "--upload-file".to_owned(),
                body.clone(),
                format!("{site}/up/file"),
            ],
        ] {
            let mut curl = curl(&place);
            curl.args(words);
            let reported = Reported::by(&mut within(curl, &near));
            sum.transfers += reported.transfers;
            sum.sent += reported.sent;
            sum.received += reported.received;
        }
        let now = nginx.logged(logged.requests + sum.transfers);
        assert_eq!(now.since(logged), sum.as_logged());
        logged = now;
        let expected = Traffic::ended(2, sum.sent, sum.received);
        let both = [(CURL, expected), (NGINX, expected.mirrored())];
        settle_at(&agent, &before, Scope::Remote, &both);
        println!("curl to {address}: {sum:?}, difference 0");
    }
}
