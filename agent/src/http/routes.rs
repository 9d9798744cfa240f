//! Routes: the response for each path, method and client.
//!
//! In: a request, the [`Watch`] of its connection, and the [`Service`]. Out: a response, counted by status code. Left to
//! others: the data ([`Answers`](super::Answers)), the check of `Host` ([`Hosts`](super::Hosts)) and the check of
//! passwords ([`Web`](super::Web)).

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderValue, VARY, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::admission::{Watch, scrape_time};
use super::page::{self, escaped};
use super::reply::{HTML, JSON, Reply, TEXT, not_allowed, reply};
use super::service::Service;
use super::{broker, fan_in, gzip, reload};
use crate::exposition;
use crate::state::handle::{Health, Status};

/// Answers one request. Sets the connection's phase to serving once the request is admitted. For HEAD, hyper
/// leaves out the body.
pub(super) async fn respond(
    service: &Service,
    request: &mut Request<Incoming>,
    watch: &Arc<Watch>,
) -> Reply {
    let arrived = Instant::now();
    let access = match &service.web {
        Some(web) => Some(web.current(&service.counters).await),
        None => None,
    };
    let broker = service.broker.as_ref();
    let mut reply = match broker.filter(|_| broker::has_path(request.uri().path())) {
        // It has credentials of its own.
        Some(broker) => {
            let serving = || watch.serving();
            broker.answer(request, &service.limits, serving).await
        }
        None => {
            let authorization = request.headers().get(AUTHORIZATION);
            let is_admitted = match &access {
                Some(access) => access.users.admit(authorization, watch.origin).await,
                None => true,
            };
            watch.serving();
            match is_admitted {
                true => route(service, request, arrived).await,
                false => unauthorized(),
            }
        }
    };
    if let Some(access) = &access {
        access.add_headers(reply.headers_mut());
    }
    service.counters.count_request(reply.status());
    lend_body(service, reply, watch).await
}

/// Registers the body as held by this connection, so that [`Unsent`](super::admission::Unsent) can close it if it
/// does not read.
async fn lend_body(service: &Service, reply: Reply, watch: &Arc<Watch>) -> Reply {
    let (head, body) = reply.into_parts();
    // The body is complete and in memory: this neither waits nor fails.
    let Ok(body) = body.collect().await;
    let body = service.answers.lend(body.to_bytes(), watch);
    Response::from_parts(head, Full::new(body))
}

async fn route<B>(service: &Service, request: &Request<B>, arrived: Instant) -> Reply {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        // As with process-exporter, any method scrapes.
        path if path == service.telemetry_path => {
            metrics(service, request.headers(), arrived).await
        }
        reload::PATH => reload::reload(service, request).await,
        path if let Some(handle) = &service.fan_in
            && fan_in::has_path(path) =>
        {
            fan_in::answer(handle, &service.answers, request, arrived).await
        }
        path if !reads && is_read_only(service, path) => {
            not_allowed("GET, HEAD", "use GET or HEAD\n")
        }
        "/health" => health(service, |_| StatusCode::OK).await,
        "/ready" => {
            health(service, |health| match health.status {
                Status::Starting => StatusCode::SERVICE_UNAVAILABLE,
                Status::Ok | Status::Degraded => StatusCode::OK,
            })
            .await
        }
        path if service.has_page && page::has_path(path) => {
            if page::is_data_path(path)
                && let Err(refusal) = service.hosts.check(request)
            {
                return page::refused(path, refusal.status(), refusal.text());
            }
            let query = request.uri().query();
            page::show(service, path, query, request.headers()).await
        }
        "/" => reply(StatusCode::OK, HTML, landing(service)),
        _ => reply(StatusCode::NOT_FOUND, TEXT, "not found\n"),
    }
}

/// Whether `path` is one that is only read.
fn is_read_only(service: &Service, path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ready") || service.has_page && page::has_path(path)
}

/// The exposition of the parts that arrive in the client's time, which counts from `arrived`.
async fn metrics(service: &Service, headers: &HeaderMap, arrived: Instant) -> Reply {
    let deadline = arrived + scrape_time(headers, service.limits.scrape);
    match service.answers.metrics(deadline).await {
        Ok(exposition) => {
            let packed = gzip::is_wanted(headers).then(|| exposition.packed());
            exposition_reply(exposition.plain(), packed.flatten())
        }
        Err(gone) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{gone}\n")),
    }
}

async fn health(service: &Service, code: impl Fn(&Health) -> StatusCode) -> Reply {
    let answer = service.answers.state().health();
    let answer = service.within(service.limits.health, answer).await;
    let (code, body) = match &answer {
        Ok(health) => (code(health), serde_json::to_vec(health)),
        Err(reason) => {
            let body = serde_json::json!({ "status": "unavailable", "reasons": [reason] });
            (StatusCode::SERVICE_UNAVAILABLE, serde_json::to_vec(&body))
        }
    };
    let mut body = body.unwrap_or_default();
    body.push(b'\n');
    reply(code, JSON, body)
}

fn landing(service: &Service) -> String {
    // Relative links also work behind a path prefix.
    let path = escaped(service.telemetry_path.trim_start_matches('/'));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<title>Headcount</title>\n<h1>Headcount</h1>\n\
         <p>What each group of processes on this node costs.</p>\n\
         <ul>\n<li><a href=\"./{path}\">Metrics</a></li>\n\
         <li><a href=\"./health\">Health</a></li>\n</ul>\n</html>\n"
    )
}

fn exposition_reply(plain: Bytes, packed: Option<Bytes>) -> Reply {
    let is_packed = packed.is_some();
    let body = packed.unwrap_or(plain);
    let mut reply = reply(StatusCode::OK, exposition::CONTENT_TYPE, body);
    let headers = reply.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

fn unauthorized() -> Reply {
    let mut reply = reply(
        StatusCode::UNAUTHORIZED,
        TEXT,
        "authentication required: send a user name and password\n",
    );
    let wanted = HeaderValue::from_static("Basic realm=\"headcount\"");
    reply.headers_mut().insert(WWW_AUTHENTICATE, wanted);
    reply
}
