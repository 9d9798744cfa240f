//! The page for people: its paths, its headers, and the order of requests that wait.

use std::sync::Arc;

use headcount::state::handle::{GroupRow, GunicornRow, Health, Overview, Processes, Shown, Status};

use super::*;

const FILES: [(&str, &str); 3] = [
    ("/page.css", "text/css"),
    ("/page.js", "text/javascript"),
    ("/icon.svg", "image/svg+xml"),
];

fn overview() -> Arc<Overview> {
    let group = GroupRow {
        id: 7,
        name: Shown::of("<b>\u{202e}"),
        labels: Shown::of(""),
        processes: 1,
        threads: 1,
        cpu_seconds: 1.5,
        resident_bytes: 4096,
        read_bytes: None,
        write_bytes: Some(1),
        forks: Some(2),
        execs: Some(3),
        sent_bytes: Some(4),
        received_bytes: Some(5),
        tcp_connections: None,
        requests: Some(7),
        failed_requests: None,
    };
    Arc::new(Overview {
        time: 20.0,
        since: 10.0,
        boot_time: 1.0,
        tier: "procfs",
        exit_hook: None,
        health: Health {
            status: Status::Ok,
            reasons: Vec::new(),
        },
        processes: 3,
        shows_cmdline: false,
        groups: vec![group],
        groups_omitted: 0,
        gunicorn: vec![GunicornRow {
            name: Shown::of("a\"b"),
            workers: 2,
            busy: None,
            cpu_percent: 1.5,
            resident_bytes: 8,
            starts: Some(3),
            bad_ends: Some(4),
        }],
    })
}

/// A server whose owner knows one group, of number 7.
pub(crate) async fn start_page(limits: Limits) -> Server {
    let (server, mut inbox) = start_with_page(limits).await;
    tokio::spawn(async move {
        while let Some(question) = inbox.recv().await {
            match question {
                Question::Overview(reply) => drop(reply.send(overview())),
                Question::Processes(group, reply) => drop(reply.send((group == 7).then(empty))),
                other => panic!("{other:?}"),
            }
        }
    });
    server
}

fn empty() -> Processes {
    Processes {
        group: 7,
        time: 20.0,
        processes: Vec::new(),
        omitted: 4,
    }
}

#[tokio::test]
async fn each_path_of_the_page_answers_and_may_do_nothing_but_its_own() {
    let server = start_page(Limits::default()).await;
    let mut pages = vec![
        ("/", "text/html", 200),
        ("/api/groups", "application/json", 200),
        ("/api/processes?group=7", "application/json", 200),
        ("/api/processes?group=8", "application/json", 404),
        ("/api/processes?group=x", "application/json", 400),
        ("/api/processes", "application/json", 400),
        ("/api/applications", "application/json", 200),
    ];
    pages.extend(FILES.map(|(path, content_type)| (path, content_type, 200)));
    for (path, content_type, code) in pages {
        let answer = server.ask_path("GET", path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        for header in [
            &format!("content-type: {content_type}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(answer.contains(header), "{path} {header}: {answer}");
        }
        let refused = server.ask_path("POST", path).await;
        assert!(refused.starts_with("HTTP/1.1 405 "), "{path}: {refused}");
    }
    for path in [
        "/api",
        "/api/",
        "/api/groups/",
        "/page.html",
        "/favicon.ico",
    ] {
        let answer = server.ask_path("GET", path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}");
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_is_documented() {
    let server = start_page(Limits::default()).await;
    let body = |answer: String| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let groups = body(server.ask_path("GET", "/api/groups").await);
    let expected = r#"{"time":20.0,"since":10.0,"boot_time":1.0,"tier":"procfs","exit_hook":null,"health":{"status":"ok","reasons":[]},"processes":3,"shows_cmdline":false,"groups":[{"id":7,"name":"<b>\\u{202e}","labels":"","processes":1,"threads":1,"cpu_seconds":1.5,"resident_bytes":4096,"read_bytes":null,"write_bytes":1,"forks":2,"execs":3,"sent_bytes":4,"received_bytes":5,"tcp_connections":null,"requests":7,"failed_requests":null}],"groups_omitted":0,"gunicorn":[{"name":"a\"b","workers":2,"busy":null,"cpu_percent":1.5,"resident_bytes":8,"starts":3,"bad_ends":4}]}"#;
    assert_eq!(groups.trim_end(), expected);
    let processes = body(server.ask_path("GET", "/api/processes?group=7").await);
    let expected = r#"{"group":7,"time":20.0,"processes":[],"omitted":4}"#;
    assert_eq!(processes.trim_end(), expected);
    let page = body(server.ask_path("GET", "/").await);
    assert!(page.contains("&lt;b>\\u{202e}</bdi>"), "{page}");
    // Without targets.
    let applications = body(server.ask_path("GET", "/api/applications").await);
    let expected = r#"{"time":0.0,"instances":0,"applications":[],"omitted":0}"#;
    assert_eq!(applications.trim_end(), expected);
    assert!(
        page.contains(r#"aria-label="Applications" hidden>"#),
        "{page}"
    );
}

#[tokio::test]
async fn without_the_page_there_are_links_only() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    let landing = server.ask_path("GET", "/").await;
    assert!(landing.starts_with("HTTP/1.1 200 ") && !landing.contains("<script"));
    let paths = FILES.map(|(path, _)| path);
    for path in
        paths
            .into_iter()
            .chain(["/api/groups", "/api/processes?group=7", "/api/applications"])
    {
        let answer = server.ask_path("GET", path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn viewers_share_looks_and_hold_up_a_scrape_for_a_few_questions_at_most() {
    let (server, mut inbox) = start_with_page(Limits::default()).await;
    let asks = [
        "/api/groups",
        "/",
        "/api/groups",
        "/api/processes?group=7",
        "/api/processes?group=8",
        "/api/groups",
    ];
    let mut viewers = Vec::new();
    for path in asks {
        let mut client = server.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        viewers.push(client);
    }
    let mut question = next(&mut inbox).await;
    // The requests of all of them were there before this was asked for.
    assert!(
        server
            .ask_path("GET", "/nowhere")
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    assert!(inbox.try_recv().is_err(), "one question at a time");
    let mut scrape = server.connect().await;
    scrape.write_all(SCRAPE.as_bytes()).await.unwrap();
    assert!(
        server
            .ask_path("GET", "/nowhere")
            .await
            .starts_with("HTTP/1.1 404 ")
    );

    let (mut looks, mut lists, mut before) = (0, Vec::new(), None);
    for n in 0.. {
        match question {
            Question::Overview(reply) => {
                looks += 1;
                reply.send(overview()).unwrap();
            }
            Question::Processes(group, reply) => {
                lists.push(group);
                reply.send(Some(empty())).unwrap();
            }
            Question::Metrics(reply) => {
                before = Some(n);
                reply.send(part("a 1\n")).unwrap();
            }
            other => panic!("{other:?}"),
        }
        if before.is_some() && lists.len() == 2 && looks == 2 {
            break;
        }
        question = next(&mut inbox).await;
    }
    lists.sort_unstable();
    assert_eq!(lists, [7, 8]);
    // The one under way, the next look and one list.
    assert!(before <= Some(3), "{before:?}");
    assert_scraped(&read_to_end(&mut scrape).await);
    for client in &mut viewers {
        let answer = read_to_end(client).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(inbox.try_recv().is_err());
}

#[tokio::test]
async fn page_reports_an_owner_that_hangs() {
    let limits = Limits {
        scrape: SHORT,
        ..Limits::default()
    };
    let (server, _inbox) = start_with_page(limits).await;
    for path in ["/", "/api/groups", "/api/processes?group=7"] {
        let answer = server.ask_path("GET", path).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("did not answer within 0.1 s"), "{answer}");
    }
}

#[tokio::test]
async fn page_is_compressed_for_clients_that_accept_gzip() {
    let server = start_page(Limits::default()).await;
    for path in ["/", "/page.js", "/api/groups"] {
        let mut stream = server.connect().await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut body = String::new();
        flate2::read::GzDecoder::new(&answer[end + 4..])
            .read_to_string(&mut body)
            .unwrap();
        assert!(body.len() > 100, "{body}");
    }
}
