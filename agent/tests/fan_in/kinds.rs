//! One application with an instance of every kind. A router that requires a password lists the instances.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};

use serde_json::json;

use crate::instance::{Instance, OPEN_METRICS, answer, packed};
use crate::support::agent::until;
use crate::{ID, PATH, Site, endpoint, error, labels, scrape, up};

const CALLER: &str = "Authorization: Basic dXNlcjpwYXNz\r\n";

/// An instance that answers a head with this line (in lower case), and any other with 401.
fn protected(line: &'static str, headers: &'static str, body: String) -> Instance {
    Instance::start(move |head, stream| {
        let answer = match head.contains(&format!("\r\n{line}\r\n")) {
            true => answer("200 OK", headers, body.as_bytes()),
            false => answer("401 Unauthorized", "", b"no"),
        };
        drop(stream.write_all(&answer));
    })
}

/// An instance that answers when it is released, and the sender that releases it.
fn slow() -> (Instance, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let instance = Instance::start(move |_, stream| {
        // An error means that the test has ended.
        let _ = released.lock().unwrap().recv();
        drop(stream.write_all(&answer("200 OK", "", b"slow 1\n")));
    });
    (instance, release)
}

/// An instance, and the series that it adds, or the reason why it adds none.
type Case = (Instance, Result<&'static str, &'static str>);

fn instances(outside: SocketAddr, slow: Instance) -> Vec<Case> {
    let open = format!("Content-Type: {OPEN_METRICS}\r\n");
    let gzip = "Content-Encoding: gzip\r\n";
    let inside = Instance::start(|head, stream| {
        let answer = match head.starts_with("get /metrics ") {
            true => answer("302 Found", "Location: /moved\r\n", b""),
            false => answer("200 OK", "", b"inside 1\n"),
        };
        drop(stream.write_all(&answer));
    });
    let to_outside = format!("Location: http://{outside}/metrics\r\n");
    let caller = "authorization: basic dxnlcjpwyxnz";
    vec![
        (
            Instance::text("# TYPE good counter\ngood{a=\"\\\"x\\\"\"} 1\n"),
            Ok("good{a=\"\\\"x\\\"\",LABELS} 1"),
        ),
        (
            protected(caller, "", "private 1\n".to_owned()),
            Ok("private{LABELS} 1"),
        ),
        (
            Instance::answering("404 Not Found", "", b"no"),
            Err("status"),
        ),
        (
            Instance::answering("500 Internal Server Error", "", b"no"),
            Err("status"),
        ),
        (slow, Ok("slow{LABELS} 1")),
        (Instance::hanging(""), Err("timeout")),
        (
            Instance::answering("200 OK", gzip, &packed(b"gzip 1\n")),
            Ok("gzip{LABELS} 1"),
        ),
        (
            Instance::answering(
                "200 OK",
                &open,
                b"# TYPE open counter\nopen_total 1 # {a=\"b\"} 1\n# EOF\n",
            ),
            Ok("open_total{LABELS} 1"),
        ),
        (Instance::text("<html>rubbish</html>\n"), Err("malformed")),
        (inside, Ok("inside{LABELS} 1")),
        (
            Instance::answering("302 Found", &to_outside, b""),
            Err("redirected"),
        ),
        (
            Instance::text("# TYPE good gauge\ngood 2\n"),
            Ok("good{LABELS} 2"),
        ),
        (
            Instance::text("own{instance=\"own\"} 1\n"),
            Ok("own{LABELS} 1"),
        ),
    ]
}

#[test]
fn instances_of_every_kind_named_by_a_router_are_in_one_answer() {
    let outside = Instance::text("outside 1\n");
    let (slow, release) = slow();
    let cases = instances(outside.address, slow);
    let mut addresses: Vec<SocketAddr> = cases.iter().map(|(one, _)| one.address).collect();
    addresses.push(Instance::gone());
    let endpoints = addresses.iter().enumerate();
    let endpoints: Vec<_> = endpoints.map(|(index, at)| endpoint(*at, index)).collect();
    // The same instances, under two routes.
    let routes = json!({"app.example.com": endpoints, "other.example.com/path": endpoints});
    // "u:secret" in base64, in lower case.
    let password = "authorization: basic dtpzzwnyzxq=";
    let router = protected(
        password,
        "Content-Type: application/json\r\n",
        routes.to_string(),
    );

    let site = Site::of(&[]);
    let file = site.routes().with_file_name("password");
    std::fs::write(&file, "secret\n").unwrap();
    let agent = site
        .launch(&format!(
            "  gorouters: [{{url: 'http://{}/routes', username: u, password_file: '{}'}}]\n  forward_authorization: [{ID}]\n",
            router.address,
            file.display()
        ))
        .start();
    let ask = |nth: usize, caller: &str| {
        let headers = format!("X-Prometheus-Scrape-Timeout-Seconds: 5\r\n{caller}");
        let asked = agent.begin(PATH, &headers);
        until("all are asked", || {
            cases.iter().all(|(one, _)| one.heads().len() >= nth)
        });
        release.send(()).unwrap();
        scrape(asked.answer())
    };
    let known = ask(1, CALLER);
    let refused = (addresses[addresses.len() - 1], Err("refused"));
    let expected = addresses
        .iter()
        .copied()
        .zip(cases.iter().map(|(_, found)| *found));
    for (index, (address, found)) in expected.chain([refused]).enumerate() {
        let reason = error(&known, address);
        match found {
            Ok(series) => {
                let series = series.replace("LABELS", &labels(address, index));
                let count = known.body.lines().filter(|line| *line == series).count();
                assert_eq!((count, reason), (1, None), "{series}: {}", known.body);
            }
            Err(expected) => assert_eq!(reason.as_deref(), Some(expected), "{}", known.body),
        }
        assert_eq!(
            up(&known, address),
            Some(f64::from(u8::from(found.is_ok())))
        );
    }
    assert!(
        known.body.contains("# TYPE good untyped\n"),
        "{}",
        known.body
    );
    assert_eq!(outside.heads(), [""; 0]);

    // A caller without credentials gets all instances but the private one.
    let unknown = ask(2, "");
    let private = addresses[1];
    assert_eq!(error(&unknown, private).as_deref(), Some("denied"));
    for address in addresses.iter().filter(|address| **address != private) {
        assert_eq!(up(&unknown, *address), up(&known, *address), "{address}");
    }
}
