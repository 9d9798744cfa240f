//! `/v1/apps/...` and `/v2/apps/...`: the merged metrics of all instances of an application, with the paths and the names of
//! promfetcher's API.
//!
//! | path (GET only) | application |
//! | --- | --- |
//! | `/v1/apps/{what}/metrics`, `/v1/apps/{what}/only-app-metrics` | `{what}`; the second path without external exporters |
//! | `/v1/apps/metrics?app={what}`, `/v1/apps/only-app-metrics?app={what}` | the same |
//! | `/v1/apps/metrics?route_url={route}`, `/v1/apps/only-app-metrics?route_url={route}` | `{route}`, unless there is `app` |
//! | `/v2/...` | the same; instances are asked for the text format only |
//! | `/metrics/apps` | all processes of the node that are instances |
//!
//! The query may have `metric_path`, and `only_from_app`, which means `only-app-metrics`. Parameters that promfetcher does not
//! know are ignored. The paths exist only if `fan_in` is configured. Left to others: the meaning of `{what}`
//! (`targets/fan_in/table.rs`), and the answer.

use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderValue, VARY};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::time::{Duration, Instant, timeout_at};

use super::admission::scrape_time;
use super::answers::Answers;
use super::gzip;
use super::reply::{Reply, TEXT, not_allowed, reply};
use crate::exposition;
use crate::targets::fan_in::handle::{
    FanInHandle, FanInReply, FanInRequest, WantedInstances, unescape,
};

/// Most time for an answer, unless the client's timeout is shorter.
const MOST_TIME: Duration = Duration::from_secs(30);
/// The path of all processes of the node.
const NODE: &str = "/metrics/apps";
/// Part of a request's time for a pass of the state that finds new processes: one divided by this.
const LOOK: u32 = 4;
/// The last part of a path that leaves out external exporters.
const ONLY_INSTANCES: &str = "only-app-metrics";

/// Whether `path` is one of the paths above.
pub(super) fn has_path(path: &str) -> bool {
    parts(path).is_some()
}

/// Whether the path wants the text format only, and the application if the path names it.
fn parts(path: &str) -> Option<(bool, Option<&str>)> {
    if path == NODE {
        return Some((false, None));
    }
    let (is_plain_only, rest) = match path.strip_prefix("/v1/apps/") {
        Some(rest) => (false, rest),
        None => (true, path.strip_prefix("/v2/apps/")?),
    };
    let (what, last) = match rest.rsplit_once('/') {
        Some((what, last)) => (Some(what), last),
        None => (None, rest),
    };
    matches!(last, "metrics" | ONLY_INSTANCES).then_some((is_plain_only, what))
}

/// Answers a request for one of these paths, which arrived at `arrived`.
pub(super) async fn answer<B>(
    handle: &FanInHandle,
    answers: &Answers,
    request: &Request<B>,
    arrived: Instant,
) -> Reply {
    if *request.method() != Method::GET {
        return not_allowed("GET", "use GET\n");
    }
    let asked = match fan_in_request(request) {
        Ok(asked) => asked,
        Err(text) => return reply(StatusCode::BAD_REQUEST, TEXT, text),
    };
    let is_packed = asked.is_packed;
    let deadline = arrived + scrape_time(request.headers(), MOST_TIME);
    if handle.wants_pass() {
        // If this pass is not done in time, the answer has the processes of the pass before.
        let end = arrived + deadline.saturating_duration_since(arrived) / LOOK;
        let _ = timeout_at(end, answers.overview()).await;
    }
    match handle.ask(asked, deadline).await {
        Some(FanInReply::Merged(answer)) => {
            let body = match answer.is_large() {
                true => answers.hold_merged(answer, deadline).await,
                false => Some(answer.take()),
            };
            let Some(body) = body else {
                return too_late();
            };
            let mut reply = reply(StatusCode::OK, exposition::CONTENT_TYPE, body);
            let headers = reply.headers_mut();
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            if is_packed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            reply
        }
        Some(FanInReply::NotFound) => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "404 Not Found: no application has this id, these names or this route; an id and names find only endpoints whose \
             process_type is web\n",
        ),
        Some(FanInReply::AllRefuse(status)) => reply(
            StatusCode::NOT_ACCEPTABLE,
            TEXT,
            format!(
                "406 Not Acceptable: all instances refuse the request; the first one answers {status}\n"
            ),
        ),
        Some(FanInReply::PathNotAllowed) => reply(
            StatusCode::FORBIDDEN,
            TEXT,
            "403 Forbidden: metric_path is none of the paths that allowed_paths has for this application\n",
        ),
        None => too_late(),
    }
}

fn too_late() -> Reply {
    reply(
        StatusCode::SERVICE_UNAVAILABLE,
        TEXT,
        "503 Service Unavailable: no answer was made in time\n",
    )
}

/// The parsed request, or the text of 400.
fn fan_in_request<B>(request: &Request<B>) -> Result<FanInRequest, &'static str> {
    const NOTHING: &str = "400 Bad Request: You must set app id or path";
    let path = request.uri().path();
    let (is_plain_only, what) = parts(path).ok_or(NOTHING)?;
    let query = request.uri().query().unwrap_or_default();
    let wanted = match what {
        Some(what) => WantedInstances::in_path(what),
        None if path == NODE => Some(WantedInstances::Node),
        None => match (parameter(query, "app"), parameter(query, "route_url")) {
            (Some(what), _) => WantedInstances::named(&what?),
            (None, Some(route)) => WantedInstances::route(&route?),
            (None, None) => None,
        },
    };
    let headers = request.headers();
    Ok(FanInRequest {
        wanted: wanted.ok_or(NOTHING)?,
        metric_path: metric_path(query)?,
        is_of_instances_only: path.ends_with(ONLY_INSTANCES)
            || has_parameter(query, "only_from_app"),
        is_plain_only,
        authorization: authorization(headers),
        is_packed: gzip::is_wanted(headers),
    })
}

/// The path at which to ask instances; `None` if the request names none.
fn metric_path(query: &str) -> Result<Option<PathAndQuery>, &'static str> {
    const BAD: &str = "400 Bad Request: metric_path must be a path without a query\n";
    let Some(path) = parameter(query, "metric_path") else {
        return Ok(None);
    };
    let path = path?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let is_path = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if !path.bytes().all(is_path) {
        return Err(BAD);
    }
    format!("/{path}").parse().map(Some).map_err(|_| BAD)
}

fn authorization(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut value = headers.get(AUTHORIZATION)?.clone();
    value.set_sensitive(true);
    Some(value)
}

/// Whether a query has a parameter, with or without a value.
fn has_parameter(query: &str, name: &str) -> bool {
    let mut keys = query.split('&').filter_map(|pair| pair.split('=').next());
    keys.any(|key| key == name)
}

/// The first non-empty value of a query's parameter, or the text of 400 if it is no percent-encoded UTF-8.
fn parameter(query: &str, name: &str) -> Option<Result<String, &'static str>> {
    const BAD: &str = "400 Bad Request: the query is not percent-encoded UTF-8\n";
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, value)| *key == name && !value.is_empty());
    let (_, value) = values.next()?;
    Some(unescape(&value.replace('+', " ")).ok_or(BAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Result<FanInRequest, &'static str> {
        fan_in_request(&Request::builder().uri(uri).body(()).unwrap())
    }

    #[test]
    fn paths_of_promfetcher_are_known_and_no_others() {
        assert!(has_path(NODE));
        for path in ["metrics", "only-app-metrics", "a/metrics", "a/b/c/metrics"] {
            assert!(has_path(&format!("/v1/apps/{path}")), "{path}");
            assert!(has_path(&format!("/v2/apps/{path}")), "{path}");
        }
        let others = [
            "/v1/apps",
            "/v1/apps/",
            "/v1/apps/a",
            "/v3/apps/a/metrics",
            "/v1/metrics",
            "/metrics/apps/",
            "/v1/apps/a/b",
        ];
        for path in others {
            assert!(!has_path(path), "{path}");
        }
    }

    #[test]
    fn application_comes_from_the_path_else_from_app_else_from_route_url() {
        let wanted = |uri: &str| request(uri).map(|request| request.wanted);
        let names = WantedInstances::named("o/s/a").unwrap();
        let route = WantedInstances::route("r/s/t").unwrap();
        let cases = [
            ("/metrics/apps?app=x", Ok(&WantedInstances::Node)),
            ("/v1/apps/o%2Fs%2fa/metrics", Ok(&names)),
            ("/v1/apps/o/s/a/metrics?app=x", Ok(&names)),
            ("/v1/apps/metrics?route_url=x&app=o%2Fs/a", Ok(&names)),
            ("/v2/apps/only-app-metrics?route_url=R/s/t", Ok(&route)),
            ("/v1/apps/metrics?app=&route_url=r/s/t", Ok(&route)),
            (
                "/v1/apps/metrics",
                Err("400 Bad Request: You must set app id or path"),
            ),
            (
                "/v1/apps/metrics?app=",
                Err("400 Bad Request: You must set app id or path"),
            ),
            (
                "/v1/apps/metrics?app=%",
                Err("400 Bad Request: the query is not percent-encoded UTF-8\n"),
            ),
        ];
        for (uri, expected) in cases {
            assert_eq!(
                wanted(uri).as_ref().map_err(|text| *text),
                expected,
                "{uri}"
            );
        }
    }

    #[test]
    fn exporters_are_left_out_by_the_path_or_a_parameter() {
        let only = |uri: &str| request(uri).unwrap().is_of_instances_only;
        for uri in [
            "/v1/apps/a/only-app-metrics",
            "/v2/apps/only-app-metrics?app=a",
            "/v1/apps/metrics?app=a&only_from_app",
            "/v1/apps/a/metrics?only_from_app=0",
        ] {
            assert!(only(uri), "{uri}");
        }
        for uri in [
            "/v1/apps/a/metrics",
            "/v1/apps/metrics?app=only_from_app",
            "/metrics/apps",
        ] {
            assert!(!only(uri), "{uri}");
        }
    }

    #[test]
    fn metric_path_other_than_a_path_is_refused() {
        let path = |query: &str| {
            let request = request(&format!("/v1/apps/a/metrics{query}"));
            request.map(|request| request.metric_path.map(|path| path.to_string()))
        };
        for (query, expected) in [
            ("", None),
            ("?metric_path=", None),
            ("?metric_path=/x/y", Some("/x/y")),
            ("?metric_path=x", Some("/x")),
        ] {
            assert_eq!(path(query).unwrap().as_deref(), expected, "{query}");
        }
        for bad in [
            "%0d%0aHost:x",
            "/a%3Fb=c",
            "/a%23b",
            "/a+b",
            "/%e9",
            "/%c3%a9",
        ] {
            assert!(path(&format!("?metric_path={bad}")).is_err(), "{bad}");
        }
    }
}
