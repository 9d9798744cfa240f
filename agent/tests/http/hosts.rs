//! Answers to requests of pages of other sites.

use headcount::http::Limits;

use super::page::start_page;
use super::server::*;

const EVIL: &str = "host: evil.example:9256\r\n";

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n")
}

#[track_caller]
fn assert_code(answer: &str, code: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
}

#[tokio::test]
async fn data_of_the_page_under_a_foreign_host_name_is_refused_and_the_flag_is_named() {
    let server = start_page(Limits::default()).await;
    for path in [
        "/",
        "/api/groups",
        "/api/processes?group=7",
        "/api/applications",
    ] {
        for headers in [EVIL, "host: localhost.evil.example\r\n", "host:\r\n"] {
            let answer = server.ask(&request("GET", path, headers)).await;
            assert_code(&answer, 403);
            assert!(answer.contains("--web.allowed-host"), "{answer}");
        }
        for headers in ["", "host: x\r\nhost: x\r\n"] {
            assert_code(&server.ask(&request("GET", path, headers)).await, 400);
        }
        for headers in [
            "host: x\r\n",
            "host: X.:9256\r\n",
            "host: LocalHost\r\n",
            "host: 127.0.0.1:1\r\n",
            "host: [::1]:1\r\n",
        ] {
            assert_code(&server.ask(&request("GET", path, headers)).await, 200);
        }
        let old = format!("GET {path} HTTP/1.0\r\n\r\n");
        assert!(server.ask(&old).await.starts_with("HTTP/1.0 200 "));
        let old = format!("GET {path} HTTP/1.0\r\n{EVIL}\r\n");
        assert!(server.ask(&old).await.starts_with("HTTP/1.0 403 "));
        let absolute = format!("http://evil.example{path}");
        let answer = server.ask(&request("GET", &absolute, "host: x\r\n")).await;
        assert_code(&answer, 403);
    }
    let answer = server.ask(&request("GET", "/api/groups", EVIL)).await;
    assert!(
        answer.contains("application/json") && answer.contains("--web.allowed-host=evil.example "),
        "{answer}"
    );
    // These show nothing of the node.
    for path in ["/page.js", "/page.css", "/icon.svg"] {
        assert_code(&server.ask(&request("GET", path, EVIL)).await, 200);
    }
}

#[tokio::test]
async fn metrics_and_health_answer_under_any_host_name() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    for path in ["/metrics", "/health", "/ready", "/"] {
        assert_code(&server.ask(&request("GET", path, EVIL)).await, 200);
    }
}

#[tokio::test]
async fn reload_that_a_page_of_another_site_asks_for_is_refused() {
    let server = start_answering(Limits::default(), "a 1\n").await;
    for headers in [
        "host: x:1\r\norigin: http://evil.example\r\n",
        "host: x:1\r\norigin: http://x:2\r\n",
        "host: x:1\r\norigin: null\r\n",
        "host: x:1\r\nsec-fetch-site: cross-site\r\n",
        "host: x:1\r\nsec-fetch-site: same-site\r\n",
        "host: x:1\r\norigin: http://x:1\r\nsec-fetch-site: cross-site\r\n",
        // Its name leads here, so the browser takes both for one site.
        "host: evil.example:1\r\norigin: http://evil.example:1\r\nsec-fetch-site: same-origin\r\n",
        EVIL,
    ] {
        for method in ["POST", "PUT"] {
            let answer = server.ask(&request(method, "/-/reload", headers)).await;
            assert_code(&answer, 403);
        }
    }
    assert_eq!(server.requests("500"), 0, "none reached the owner");
    for headers in [
        "host: x:1\r\n",
        "host: x:1\r\norigin: http://x:1\r\nsec-fetch-site: same-origin\r\n",
        "host: x\r\norigin: https://x\r\n",
        "host: 127.0.0.1\r\nsec-fetch-site: none\r\n",
    ] {
        // The owner in these tests answers that the file has a mistake.
        let answer = server.ask(&request("POST", "/-/reload", headers)).await;
        assert_code(&answer, 500);
    }
}
