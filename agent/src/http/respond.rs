//! Routes: the response for each path, method and client.
//!
//! In: a request and the [`Watch`] of its connection. Out: a response, counted by status code. The data comes from
//! the [`Answers`]; checks of `Host` and passwords are in [`Hosts`] and [`Web`].

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::admission::{Watch, scrape_time};
use super::page::{self as shown, escaped};
use super::{Answers, Hosts, HttpCounters, Limits, Timeout, Web, gzip, reload};
use crate::exposition;
use crate::state::handle::{Health, Status, Unavailable};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// Everything that a request needs: settings, access, and where answers come from.
#[derive(Debug)]
pub struct Site {
    /// Path of the exposition; begins with a slash and equals no other path of the agent.
    pub telemetry_path: String,
    /// Whether a request can reload the configuration.
    pub can_reload: bool,
    /// Whether `/` serves the status page; otherwise it has links only.
    pub has_page: bool,
    /// Host names that requests for data may carry in `Host`.
    pub hosts: Hosts,
    /// Gets the answers of the owner of the state.
    pub answers: Answers,
    /// Writes the exposition if the owner does not answer in time.
    pub fallback: Arc<dyn Fallback>,
    /// Sizes and times.
    pub limits: Limits,
    /// Where requests, timeouts and connections are counted.
    pub counters: Arc<HttpCounters>,
    /// TLS and passwords; `None`: every client that can connect may send requests.
    pub web: Option<Arc<Web>>,
}

/// Writes an exposition without the owner of the state.
pub trait Fallback: Debug + Send + Sync {
    /// The metrics available without the owner; the exposition marks the missing collectors as such. Must not block.
    fn exposition(&self) -> Bytes;
}

pub(super) type Page = Response<Full<Bytes>>;

impl Site {
    /// Answers one request. Sets the connection's phase to serving once the request is admitted. For HEAD, hyper
    /// leaves out the body.
    pub(super) async fn respond<B>(&self, request: &Request<B>, watch: &Arc<Watch>) -> Page {
        let arrived = Instant::now();
        let page = match &self.web {
            None => {
                watch.serving();
                self.page(request, arrived).await
            }
            Some(web) => {
                let access = web.current(&self.counters).await;
                let authorization = request.headers().get(AUTHORIZATION);
                let is_admitted = access.users.admit(authorization, watch.origin).await;
                watch.serving();
                let mut page = match is_admitted {
                    true => self.page(request, arrived).await,
                    false => unauthorized(),
                };
                access.add_headers(page.headers_mut());
                page
            }
        };
        self.counters.count_request(page.status());
        self.lent(page, watch).await
    }

    /// Registers the body as held by this connection, so that [`Unsent`](super::admission::Unsent) can close it if it
    /// does not read.
    async fn lent(&self, page: Page, watch: &Arc<Watch>) -> Page {
        let (head, body) = page.into_parts();
        // The body is complete and in memory: this neither waits nor fails.
        let Ok(body) = body.collect().await;
        let body = self.answers.unsent().lend(body.to_bytes(), watch);
        Response::from_parts(head, Full::new(body))
    }

    async fn page<B>(&self, request: &Request<B>, arrived: Instant) -> Page {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            // As with process-exporter, any method scrapes.
            path if path == self.telemetry_path => self.metrics(request.headers(), arrived).await,
            reload::PATH => self.reload(request).await,
            path if !reads && self.shows(path) => not_allowed("GET, HEAD", "use GET or HEAD\n"),
            "/health" => self.health(|_| StatusCode::OK).await,
            "/ready" => {
                self.health(|health| match health.status {
                    Status::Starting => StatusCode::SERVICE_UNAVAILABLE,
                    Status::Ok | Status::Degraded => StatusCode::OK,
                })
                .await
            }
            path if self.has_page && shown::is_here(path) => {
                if shown::is_data(path)
                    && let Err(refusal) = self.hosts.check(request)
                {
                    return shown::refused(path, refusal.status(), refusal.text());
                }
                let query = request.uri().query();
                self.show(path, query, request.headers()).await
            }
            "/" => page(StatusCode::OK, HTML, self.landing()),
            _ => page(StatusCode::NOT_FOUND, TEXT, "not found\n"),
        }
    }

    /// Whether `path` is one that is only read.
    fn shows(&self, path: &str) -> bool {
        matches!(path, "/" | "/health" | "/ready") || self.has_page && shown::is_here(path)
    }

    /// The owner's exposition, or the fallback's when the client's time is over. That time counts from `arrived`.
    async fn metrics(&self, headers: &HeaderMap, arrived: Instant) -> Page {
        let deadline = arrived + scrape_time(headers, self.limits.scrape);
        let is_gzip_wanted = gzip::is_wanted(headers);
        match timeout_at(deadline, self.answers.metrics()).await {
            Ok(Ok(exposition)) => {
                let wanted = is_gzip_wanted.then(|| exposition.packed(&self.answers));
                exposition_page(exposition.plain(), wanted.flatten())
            }
            Ok(Err(gone)) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{gone}\n")),
            Err(_) => {
                self.counters.count_timeout(Timeout::Owner);
                let body = self.fallback.exposition();
                let packed = is_gzip_wanted.then(|| gzip::compress(&body));
                exposition_page(body, packed.and_then(Result::ok).map(Bytes::from))
            }
        }
    }

    async fn health(&self, code: impl Fn(&Health) -> StatusCode) -> Page {
        let answer = self.answers.state().health();
        let answer = self.within(self.limits.health, answer).await;
        let (code, body) = match &answer {
            Ok(health) => (code(health), serde_json::to_vec(health)),
            Err(reason) => {
                let body = serde_json::json!({ "status": "unavailable", "reasons": [reason] });
                (StatusCode::SERVICE_UNAVAILABLE, serde_json::to_vec(&body))
            }
        };
        let mut body = body.unwrap_or_default();
        body.push(b'\n');
        page(code, JSON, body)
    }

    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|unavailable| unavailable.to_string()),
            Err(_) => {
                self.counters.count_timeout(Timeout::Owner);
                Err(format!(
                    "the state thread did not answer within {} s",
                    limit.as_secs_f64()
                ))
            }
        }
    }

    fn landing(&self) -> String {
        // Relative links also work behind a path prefix.
        let path = escaped(self.telemetry_path.trim_start_matches('/'));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<title>Headcount</title>\n<h1>Headcount</h1>\n\
             <p>What each group of processes on this node costs.</p>\n\
             <ul>\n<li><a href=\"./{path}\">Metrics</a></li>\n\
             <li><a href=\"./health\">Health</a></li>\n</ul>\n</html>\n"
        )
    }
}

fn exposition_page(plain: Bytes, packed: Option<Bytes>) -> Page {
    let is_packed = packed.is_some();
    let body = packed.unwrap_or(plain);
    let mut page = page(StatusCode::OK, exposition::CONTENT_TYPE, body);
    let headers = page.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    page
}

pub(super) fn not_allowed(methods: &'static str, remedy: &'static str) -> Page {
    let mut page = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, remedy);
    page.headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    page
}

pub(super) fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}

fn unauthorized() -> Page {
    let mut page = page(
        StatusCode::UNAUTHORIZED,
        TEXT,
        "authentication required: send a user name and password\n",
    );
    let wanted = HeaderValue::from_static("Basic realm=\"headcount\"");
    page.headers_mut().insert(WWW_AUTHENTICATE, wanted);
    page
}
