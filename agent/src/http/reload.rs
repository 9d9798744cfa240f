//! `/-/reload`: reloads the configuration on request, like Prometheus does.
//!
//! Refuses requests that a page of another site sent, and all requests unless `--web.enable-lifecycle` is set.

use hyper::{Method, Request, StatusCode};

use super::Site;
use super::hosts::is_foreign;
use super::respond::{Page, TEXT, not_allowed, page};

/// Path of the reload request.
pub(super) const PATH: &str = "/-/reload";

const DISABLED: &str =
    "reloading by a request is not enabled: start with --web.enable-lifecycle, or send SIGHUP\n";

const FOREIGN: &str = "a page of another site sent this request (Origin, Sec-Fetch-Site); send it from a program or from this agent's own address\n";

impl Site {
    pub(super) async fn reload<B>(&self, request: &Request<B>) -> Page {
        if !matches!(*request.method(), Method::POST | Method::PUT) {
            return not_allowed("POST, PUT", "use POST or PUT\n");
        }
        if let Err(refusal) = self.hosts.check(request) {
            return page(refusal.status(), TEXT, format!("{}\n", refusal.text()));
        }
        if is_foreign(request.headers()) {
            return page(StatusCode::FORBIDDEN, TEXT, FOREIGN);
        }
        if !self.can_reload {
            return page(StatusCode::FORBIDDEN, TEXT, DISABLED);
        }
        let answer = self.answers.state().reload();
        match self.within(self.limits.scrape, answer).await {
            Ok(Ok(())) => page(StatusCode::OK, TEXT, "reloaded\n"),
            Ok(Err(failure)) => {
                let body =
                    format!("not reloaded, the former configuration still applies: {failure}\n");
                page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, body)
            }
            Err(reason) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        }
    }
}
