//! The status page for people: the groups, their present use of resources, and their processes.
//!
//! * `/`: the groups as a table, with rates as averages since counting began; `page.css`, `page.js` and `icon.svg`
//!   belong to it.
//! * `/api/groups`: [`Overview`] as JSON. Each request takes a look at all processes; requests at the same time share
//!   it.
//! * `/api/processes?group=<id>`: [`Processes`](crate::state::handle::Processes) as JSON, as the last look saw them. 404 if the
//!   group does not exist (any more), 400 for an id that is not a number.
//! * `/api/applications`: the applications that targets run, as JSON. Each request asks the targets; requests and scrapes at the
//!   same time share the answers.
//!
//! A request for data must name this machine; [`super::Hosts`] checks that.
//!
//! The browser computes all rates from counters, so the agent keeps no state for each viewer. Names reach the page
//! only as [`Shown`](crate::state::handle::Shown), and the headers allow the browser to run only the script that is served here.

mod applications;
mod gunicorn;
mod html;
mod text;

use std::sync::Arc;
use std::time::Duration;

use applications::PageApplications;

use http_body_util::{BodyExt as _, Full};
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;
pub(super) use text::escaped;
use tokio::time::{Instant, timeout};

use super::gzip;
use super::reply::{HTML, JSON, Reply, TEXT, reply};
use super::service::Service;
use crate::state::handle::Overview;

/// Paths of the page. All links are relative, so the page works behind a path prefix.
const GROUPS: &str = "/api/groups";
const PROCESSES: &str = "/api/processes";
const APPLICATIONS: &str = "/api/applications";
const FILES: [(&str, &str, &str); 3] = [
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("page.js"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// How long the HTML waits for targets, which may hang: with its script, the page asks again.
const TARGETS_OF_HTML: Duration = Duration::from_millis(500);

/// Headers that limit the page in the browser: it may load files that are served here and nothing else.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // No cache keeps command lines and names, and a new agent's page never runs with an old script.
    (CACHE_CONTROL, "no-store"),
];

/// Whether `path` belongs to the page.
pub(super) fn has_path(path: &str) -> bool {
    is_data_path(path) || FILES.iter().any(|(name, ..)| *name == path)
}

/// Whether the response at `path` shows data of the node.
pub(super) fn is_data_path(path: &str) -> bool {
    ["/", GROUPS, PROCESSES, APPLICATIONS].contains(&path)
}

/// The response to a request that is refused: JSON for data, text otherwise.
pub(super) fn refused(path: &str, status: StatusCode, reason: String) -> Reply {
    match path {
        GROUPS | PROCESSES | APPLICATIONS => failure(status, &reason),
        _ => reply(status, TEXT, format!("{reason}\n")),
    }
}

/// The response for a path that [`has_path`].
pub(super) async fn show(
    service: &Service,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Reply {
    let file = FILES.iter().find(|(name, ..)| *name == path);
    let mut reply = match (path, file) {
        (_, Some((_, content_type, body))) => reply(StatusCode::OK, content_type, *body),
        (GROUPS, _) => groups(service).await,
        (PROCESSES, _) => processes(service, query.unwrap_or_default()).await,
        (APPLICATIONS, _) => applications(service).await,
        _ => table(service).await,
    };
    if gzip::is_wanted(headers) {
        pack(service, &mut reply).await;
    }
    for (name, value) in HEADERS {
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    reply
}

async fn table(service: &Service) -> Reply {
    let targets = service.answers.targets(Instant::now() + TARGETS_OF_HTML);
    match tokio::join!(overview(service), targets) {
        (Ok(overview), targets) => {
            let applications = targets.map(|part| PageApplications::of(&part.applications));
            let applications = applications.unwrap_or_default();
            let path = &service.telemetry_path;
            let table = || html::table(&overview, &applications, path).into_bytes();
            reply_with_memory(service, HTML, table).await
        }
        (Err(reason), _) => reply(
            StatusCode::SERVICE_UNAVAILABLE,
            HTML,
            html::unavailable(&reason, &service.telemetry_path),
        ),
    }
}

async fn groups(service: &Service) -> Reply {
    match overview(service).await {
        Ok(overview) => reply_with_memory(service, JSON, || json_text(&*overview)).await,
        Err(reason) => failure(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

async fn applications(service: &Service) -> Reply {
    let limit = service.limits.scrape;
    match service.answers.targets(Instant::now() + limit).await {
        Some(part) => {
            let make = || json_text(&PageApplications::of(&part.applications));
            reply_with_memory(service, JSON, make).await
        }
        None => {
            let seconds = limit.as_secs_f64();
            let reason = format!("the targets thread did not answer within {seconds} s");
            failure(StatusCode::SERVICE_UNAVAILABLE, &reason)
        }
    }
}

/// A response with the body that `make` writes, once there is memory for it beside the unread answers; 503 if
/// there is none within the time of a scrape.
async fn reply_with_memory(
    service: &Service,
    content_type: &'static str,
    make: impl FnOnce() -> Vec<u8>,
) -> Reply {
    let unsent = service.answers.unsent();
    match timeout(service.limits.scrape, unsent.room()).await {
        Ok(()) => reply(StatusCode::OK, content_type, unsent.hold(make())),
        Err(_) => {
            let reason = "other clients do not read their answers; try again";
            let mut reply = failure(StatusCode::SERVICE_UNAVAILABLE, reason);
            let headers = reply.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            reply
        }
    }
}

/// Compresses the body, if there is memory for that.
async fn pack(service: &Service, reply: &mut Reply) {
    // The body is complete and in memory: this neither waits nor fails.
    let Ok(body) = reply.body_mut().collect().await;
    let body = body.to_bytes();
    let Some(packed) = service.answers.unsent().packed(&body) else {
        *reply.body_mut() = Full::new(body);
        return;
    };
    *reply.body_mut() = Full::new(packed);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

async fn overview(service: &Service) -> Result<Arc<Overview>, String> {
    service
        .within(service.limits.scrape, service.answers.overview())
        .await
}

async fn processes(service: &Service, query: &str) -> Reply {
    let Some(group) = group_of(query) else {
        let hint = "expected ?group= and the id of a group from api/groups";
        return failure(StatusCode::BAD_REQUEST, hint);
    };
    let answer = service.answers.processes(group);
    match service.within(service.limits.scrape, answer).await {
        Ok(Some(processes)) => reply_with_memory(service, JSON, || json_text(&processes)).await,
        Ok(None) => failure(StatusCode::NOT_FOUND, "this group no longer exists"),
        Err(reason) => failure(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// The value of `group` in a query; the first one counts.
fn group_of(query: &str) -> Option<u64> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, id) = pairs.find(|(key, _)| *key == "group")?;
    id.parse().ok()
}

fn json_text(value: &impl Serialize) -> Vec<u8> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body
}

fn failure(status: StatusCode, reason: &str) -> Reply {
    reply(
        status,
        JSON,
        json_text(&serde_json::json!({ "error": reason })),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_query_accepts_ids_only() {
        for (query, expected) in [
            ("group=7", Some(7)),
            ("a=b&group=18446744073709551615&group=1", Some(u64::MAX)),
            ("", None),
            ("group", None),
            ("group=", None),
            ("group=-1", None),
            ("group=18446744073709551616", None),
            ("Group=1", None),
        ] {
            assert_eq!(group_of(query), expected, "{query}");
        }
    }
}
