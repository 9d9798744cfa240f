//! Tests of the API with a file, without a server.

use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Builder;

use super::*;

const BASIC: &str = "Basic dXNlcjpwYXNz";
const BINDING: &str = "/broker/v2/service_instances/i/service_bindings/b";

struct Site {
    broker: ServiceBroker,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(stored: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            username: "user".to_owned(),
            password_file: folder.path().join("password"),
            service_id: "s".to_owned(),
            plan_id: "p".to_owned(),
            file: folder.path().join("broker.json"),
        };
        std::fs::write(&config.password_file, "pass\n").unwrap();
        let allowed = [PathRule {
            application: "RESTRICTED".to_owned(),
            paths: vec!["/a".to_owned(), "/b".to_owned()],
        }];
        if let Some(stored) = stored {
            std::fs::write(&config.file, stored).unwrap();
        }
        let broker = ServiceBroker::start(&config, &allowed, |_| ()).unwrap();
        Self { broker, folder }
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let reply = self.reply(method, path, body, &[("authorization", BASIC)]);
        let (head, body) = reply.into_parts();
        (head.status.as_u16(), body)
    }

    fn reply(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Response<Value> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in [("x-broker-api-version", "2.17")].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let mut request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let limits = Limits::default();
            let reply = self.broker.answer(&mut request, &limits, || ()).await;
            let (head, body) = reply.into_parts();
            assert_eq!(head.headers["content-type"], JSON);
            let Ok(body) = body.collect().await;
            let body = serde_json::from_slice(&body.to_bytes()).unwrap();
            hyper::Response::from_parts(head, body)
        })
    }
}

fn bind(endpoint: &str) -> String {
    json!({
        "service_id": "s",
        "plan_id": "p",
        "bind_resource": { "app_guid": "app" },
        "parameters": { "endpoint": endpoint },
    })
    .to_string()
}

#[test]
fn each_call_has_the_status_of_the_specification() {
    let site = Site::new(None);
    let ids = r#"{"service_id":"s","plan_id":"p","organization_guid":"o","space_guid":"x"}"#;
    let instance = "/broker/v2/service_instances/i";
    let empty = || json!({});
    let bound = bind("/x");
    for (method, path, body, expected) in [
        ("PUT", instance, ids, (201, empty())),
        (
            "PUT",
            "/broker/v2/service_instances/i?accepts_incomplete=true",
            ids,
            (201, empty()),
        ),
        ("PATCH", instance, r#"{"service_id":"s"}"#, (200, empty())),
        (
            "GET",
            instance,
            "",
            (200, json!({ "service_id": "s", "plan_id": "p" })),
        ),
        (
            "GET",
            "/broker/v2/service_instances/i/last_operation",
            "",
            (200, json!({ "state": "succeeded" })),
        ),
        ("DELETE", BINDING, "", (410, empty())),
        ("PUT", BINDING, bound.as_str(), (201, empty())),
        ("PUT", BINDING, bound.as_str(), (200, empty())),
        (
            "GET",
            BINDING,
            "",
            (
                200,
                json!({ "credentials": { "endpoint": "/x" }, "parameters": { "endpoint": "/x" } }),
            ),
        ),
        (
            "DELETE",
            "/broker/v2/service_instances/i/service_bindings/b?service_id=s&plan_id=p",
            "",
            (200, empty()),
        ),
        ("DELETE", BINDING, "", (410, empty())),
        ("DELETE", instance, "", (200, empty())),
    ] {
        assert_eq!(site.ask(method, path, body), expected, "{method} {path}");
    }
    let (status, catalog) = site.ask("GET", "/broker/v2/catalog", "");
    let service = &catalog["services"][0];
    assert_eq!(
        (status, &service["id"], &service["plans"][0]["id"]),
        (200, &json!("s"), &json!("p"))
    );
    assert_eq!(
        (&service["name"], &service["plans"][0]["name"]),
        (&json!("promfetcher"), &json!("fetch-app"))
    );
}

#[test]
fn refusals_have_an_error_code_and_a_description_and_leave_the_file() {
    let site = Site::new(None);
    assert_eq!(site.ask("PUT", BINDING, &bind("/x")).0, 201);
    let before = std::fs::read(site.folder.path().join("broker.json")).unwrap();
    let many = format!("{{\"service_id\":\"{}", "x".repeat(70_000));
    for (method, path, body, status, error) in [
        ("PUT", BINDING, bind("/y").as_str(), 409, "Conflict"),
        ("PUT", BINDING, bind("y").as_str(), 400, "BadRequest"),
        (
            "PUT",
            BINDING,
            r#"{"service_id":"s","plan_id":"p"}"#,
            422,
            "RequiresApp",
        ),
        (
            "PUT",
            BINDING,
            r#"{"service_id":"s","plan_id":"other"}"#,
            400,
            "BadRequest",
        ),
        ("PUT", BINDING, "", 400, "BadRequest"),
        ("PUT", BINDING, many.as_str(), 413, "TooLarge"),
        ("POST", BINDING, "", 405, "MethodNotAllowed"),
        ("PUT", "/broker/v2/catalog", "", 405, "MethodNotAllowed"),
        (
            "GET",
            "/broker/v2/service_instances/i/service_bindings/other",
            "",
            404,
            "NotFound",
        ),
        (
            "GET",
            "/broker/v2/service_instances/%2e/service_bindings/b",
            "",
            404,
            "NotFound",
        ),
    ] {
        let (found, body) = site.ask(method, path, body);
        assert_eq!(
            (found, &body["error"]),
            (status, &json!(error)),
            "{method} {path}: {body}"
        );
        assert!(!body["description"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        std::fs::read(site.folder.path().join("broker.json")).unwrap(),
        before
    );
}

#[test]
fn request_needs_the_credentials_and_a_version() {
    let site = Site::new(None);
    let ask = |headers: &[(&str, &str)]| site.reply("PUT", BINDING, &bind("/x"), headers);
    for wrong in [&[][..], &[("authorization", "Basic dXNlcjpwYXM=")]] {
        let reply = ask(wrong);
        assert_eq!(reply.status(), 401);
        assert_eq!(
            reply.headers()["www-authenticate"],
            "Basic realm=\"headcount broker\""
        );
    }
    let ask = |version: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(version) = version {
            headers.insert(VERSION, version.parse().unwrap());
        }
        check_version(&headers).map_err(|error| error.status.as_u16())
    };
    for good in ["2.13", "2.17", "2.0"] {
        assert_eq!(ask(Some(good)), Ok(()), "{good}");
    }
    for bad in [
        None,
        Some("3.0"),
        Some("2"),
        Some("2."),
        Some("2.x"),
        Some(""),
    ] {
        assert_eq!(ask(bad), Err(412), "{bad:?}");
    }
    assert_eq!(site.broker.stored().path_of("app"), None);
}

#[test]
fn answer_repeats_the_request_identity_and_405_lists_the_allowed_methods() {
    let site = Site::new(None);
    let headers = [
        ("authorization", BASIC),
        ("x-broker-api-request-identity", "r1"),
    ];
    let reply = site.reply("POST", BINDING, "", &headers);
    assert_eq!(reply.headers()["x-broker-api-request-identity"], "r1");
    assert_eq!(reply.headers()["allow"], "PUT, DELETE, GET");
}

#[test]
fn file_that_is_no_table_is_never_written_and_each_binding_gets_503() {
    let site = Site::new(Some("[{\"guid\":"));
    for (method, body) in [
        ("PUT", bind("/x")),
        ("DELETE", String::new()),
        ("GET", String::new()),
    ] {
        let (status, body) = site.ask(method, BINDING, &body);
        assert_eq!(
            (status, &body["error"]),
            (503, &json!("Unusable")),
            "{method}"
        );
    }
    assert_eq!(site.ask("GET", "/broker/v2/catalog", "").0, 200);
    let stored = std::fs::read_to_string(site.folder.path().join("broker.json")).unwrap();
    assert_eq!(stored, "[{\"guid\":");
}

#[test]
fn path_that_cannot_be_written_gets_500_and_is_not_stored() {
    let site = Site::new(None);
    // A directory of this name cannot be opened for writing, not even by root.
    std::fs::create_dir(site.folder.path().join("broker.json.new")).unwrap();
    let (status, body) = site.ask("PUT", BINDING, &bind("/x"));
    assert_eq!(
        (status, &body["error"]),
        (500, &json!("NotStored")),
        "{body}"
    );
    assert_eq!(site.broker.stored().path_of("app"), None);
    std::fs::remove_dir(site.folder.path().join("broker.json.new")).unwrap();
    assert_eq!(site.ask("PUT", BINDING, &bind("/x")).0, 201);
    assert_eq!(site.broker.stored().path_of("APP").as_deref(), Some("/x"));
}

#[test]
fn path_outside_the_allowed_paths_is_refused() {
    let site = Site::new(None);
    let bind = |path: &str| {
        let body = json!({
            "service_id": "s",
            "plan_id": "p",
            "app_guid": "restricted",
            "parameters": { "endpoint": path },
        });
        site.ask("PUT", BINDING, &body.to_string())
    };
    let (status, body) = bind("/c");
    let description = body["description"].as_str().unwrap();
    assert!(
        status == 400 && description.ends_with("may have: /a, /b"),
        "{body}"
    );
    assert_eq!((bind("").0, bind("/b").0), (200, 201));
}
