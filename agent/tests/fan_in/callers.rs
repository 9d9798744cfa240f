//! Statuses for invalid and unauthorized requests, and the headers of callers that reach instances.

use crate::instance::Instance;
use crate::{ID, PATH, Site, merged, scrape, total, up};

const BASIC: &str = "Authorization: Basic dXNlcjpwYXNz\r\n";

/// An instance that answers only with credentials.
fn protected() -> Instance {
    Instance::start(|head, stream| {
        let status = match head.contains("\r\nauthorization: basic dxnlcjpwyxnz\r\n") {
            true => "200 OK",
            false => "401 Unauthorized",
        };
        let answer = crate::instance::answer(status, "", b"a 1\n");
        drop(std::io::Write::write_all(stream, &answer));
    })
}

#[test]
fn invalid_request_gets_the_status_of_promfetcher() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let agent = site.launch("").start();
    let answer = agent.ask("/v1/apps/metrics");
    assert_eq!(
        (answer.code, answer.body.as_str()),
        (400, "400 Bad Request: You must set app id or path")
    );
    assert_eq!(agent.ask("/v1/apps/a%2/metrics").code, 400);
    assert_eq!(
        agent.ask("/v1/apps/metrics?app=a&metric_path=/a%3Fb").code,
        400
    );
    for unknown in [
        "/v1/apps/myorg/dev/other/metrics",
        "/v1/apps/other.example.com/metrics",
        "/v1/apps/a/b",
    ] {
        assert_eq!(agent.ask(unknown).code, 404, "{unknown}");
    }
    for method in ["POST", "HEAD", "DELETE"] {
        let answer = agent.request(method, PATH);
        assert_eq!(answer.code, 405, "{answer:?}");
        assert!(answer.head.contains("\r\nallow: get\r\n"), "{answer:?}");
    }
    assert_eq!(instance.heads(), [""; 0]);
    assert_eq!(
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "not_found")]
        ),
        2.0
    );
}

#[test]
fn paths_do_not_exist_without_a_source() {
    let site = Site::of(&[]);
    let agent = site.plain().start();
    let answer = agent.ask(PATH);
    assert_eq!((answer.code, answer.body.as_str()), (404, "not found\n"));
    assert!(!agent.scrape().body.contains("fan_in"));
}

#[test]
fn status_is_406_only_if_every_instance_refuses() {
    let (first, second) = (protected(), Instance::answering("404 Not Found", "", b""));
    let site = Site::of(&[first.address, second.address]);
    let agent = site.launch("").start();
    let answer = agent.ask(PATH);
    assert_eq!(answer.code, 406, "{answer:?}");
    assert_eq!(
        total(
            &agent,
            "headcount_fan_in_answers_total",
            &[("outcome", "all_refuse")]
        ),
        1.0
    );
    let gone = Instance::gone();
    site.write(&[first.address, second.address, gone]);
    crate::support::agent::until("an instance that does not refuse", || {
        agent.ask(PATH).code == 200
    });
    assert_eq!(up(&merged(&agent, PATH), first.address), Some(0.0));
}

#[test]
fn credentials_go_only_to_applications_that_may_receive_them() {
    let instance = protected();
    let site = Site::of(&[instance.address]);
    let ask = |agent: &crate::Agent| agent.begin(PATH, BASIC).answer();
    assert_eq!(ask(&site.launch("").start()).code, 406);
    assert_eq!(
        ask(&site
            .launch("  forward_authorization: [app, other]\n")
            .start())
        .code,
        406
    );
    let heads = instance.heads();
    assert!(
        heads.iter().all(|head| !head.contains("authorization")),
        "{heads:?}"
    );
    let agent = site
        .launch(&format!("  forward_authorization: [{ID}]\n"))
        .start();
    assert_eq!(up(&scrape(ask(&agent)), instance.address), Some(1.0));
    assert_eq!(agent.ask(PATH).code, 406, "another caller");
}

#[test]
fn caller_must_authenticate_if_the_web_configuration_says_so() {
    let instance = Instance::text("a 1\n");
    let site = Site::of(&[instance.address]);
    let web = site.routes().with_file_name("web.yml");
    // The hash of `pass`, with the lowest cost.
    let hash = bcrypt::hash("pass", 4).unwrap();
    std::fs::write(&web, format!("basic_auth_users: {{user: {hash}}}\n")).unwrap();
    let agent = site
        .launch("")
        .arg(format!("--web.config.file={}", web.display()))
        .listen();
    assert_eq!(agent.ask(PATH).code, 401);
    assert_eq!(instance.heads(), [""; 0]);
    assert_eq!(agent.begin(PATH, BASIC).answer().code, 200);
    let heads = instance.heads();
    assert!(
        heads.len() == 1 && !heads[0].contains("authorization"),
        "{heads:?}"
    );
}
