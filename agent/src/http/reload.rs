//! `/-/reload`: reloads the configuration on request, like Prometheus does.
//!
//! Refuses requests that a page of another site sent, and all requests unless `--web.enable-lifecycle` is set.

use hyper::{Method, Request, StatusCode};

use super::hosts::is_foreign;
use super::reply::{Reply, TEXT, not_allowed, reply};
use super::service::Service;

/// Path of the reload request.
pub(super) const PATH: &str = "/-/reload";

const DISABLED: &str =
    "reloading by a request is not enabled: start with --web.enable-lifecycle, or send SIGHUP\n";

const FOREIGN: &str = "a page of another site sent this request (Origin, Sec-Fetch-Site); send it from a program or from this agent's own address\n";

/// Reloads the configuration, unless the request is refused.
pub(super) async fn reload<B>(service: &Service, request: &Request<B>) -> Reply {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return not_allowed("POST, PUT", "use POST or PUT\n");
    }
    if let Err(refusal) = service.hosts.check(request) {
        return reply(refusal.status(), TEXT, format!("{}\n", refusal.text()));
    }
    if is_foreign(request.headers()) {
        return reply(StatusCode::FORBIDDEN, TEXT, FOREIGN);
    }
    if !service.can_reload {
        return reply(StatusCode::FORBIDDEN, TEXT, DISABLED);
    }
    let answer = service.answers.state().reload();
    match service.within(service.limits.scrape, answer).await {
        Ok(Ok(())) => reply(StatusCode::OK, TEXT, "reloaded\n"),
        Ok(Err(failure)) => {
            let body = format!("not reloaded, the former configuration still applies: {failure}\n");
            reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, body)
        }
        Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
    }
}
