//! Parses a message in which a component of Cloud Foundry registers routes (`router.register`) or unregisters them
//! (`router.unregister`). Pure.
//!
//! In: the bytes. Out: the instances, one for each route. Unknown fields are skipped.
//!
//! ```text
//! {"host": "10.0.0.7", "port": 61001, "tls_port": 61003, "uris": ["app.example.com"], "server_cert_domain_san": "...",
//!  "stale_threshold_in_seconds": 120, "tags": {"app_id": "...", ...}}
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::Deserialize;

use super::super::found::{FoundInstances, ReadTime};
use super::super::routes::{Endpoint, MOST_ROUTE, Tags, instance};
use super::super::table::plain_route;
use crate::config::HostPort;

/// Seconds that an entry lives if its message names no time, or a longer one. Routers do the same.
const MOST_LIFE: i64 = 120;
/// Most bytes of the texts of one message's instances; [`FoundInstances::omitted`] counts further routes.
const MOST_TEXT: usize = 1 << 20;
/// Most routes of a message: each becomes an instance, and the targets thread does nothing else meanwhile.
const MOST_ROUTES: usize = 1_000;
/// The scheme that the URL of a route service must have; routers refuse other messages.
const SECURE: &str = "https";

/// Why a message adds no instance.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MessageFault {
    /// It has another shape.
    Malformed(String),
    /// It is from a component of the platform, not of an application.
    NoApplication,
}

#[derive(Deserialize)]
struct Registration {
    host: Option<String>,
    port: Option<u16>,
    tls_port: Option<u16>,
    uris: Option<Vec<String>>,
    server_cert_domain_san: Option<String>,
    stale_threshold_in_seconds: Option<i64>,
    route_service_url: Option<String>,
    tags: Option<Tags>,
}

/// Parses the text of a message that arrived at `now`. Converts the routes to lower case.
///
/// # Errors
/// See [`MessageFault`].
pub(super) fn parse(text: &[u8], now: Instant) -> Result<FoundInstances, MessageFault> {
    let message: Registration =
        serde_json::from_slice(text).map_err(|error| MessageFault::Malformed(error.to_string()))?;
    let service = message.route_service_url.unwrap_or_default();
    if !service.is_empty() && !service.starts_with(SECURE) {
        let cause = "route_service_url is not https".to_owned();
        return Err(MessageFault::Malformed(cause));
    }
    let tags = message.tags.unwrap_or_default();
    if tags.app_id.as_deref().unwrap_or_default().is_empty() {
        return Err(MessageFault::NoApplication);
    }
    let tls_port = message.tls_port.filter(|port| *port > 0);
    let shown = host_port(
        message.host.as_deref().unwrap_or_default(),
        tls_port.or(message.port).unwrap_or_default(),
    );
    let life = message.stale_threshold_in_seconds;
    let life = life.filter(|life| (1..MOST_LIFE).contains(life));
    let read = ReadTime {
        now,
        age: std::time::Duration::ZERO,
    };
    let endpoint = Endpoint {
        address: shown,
        tls: tls_port.is_some(),
        ttl: Some(life.unwrap_or(MOST_LIFE)),
        server_cert_domain_san: message.server_cert_domain_san,
        tags: Some(tags),
    };
    let mut found = FoundInstances::default();
    let address = HostPort::parse(&endpoint.address);
    let mut text = 0;
    for uri in message.uris.unwrap_or_default() {
        let route = plain_route(uri.strip_suffix('/').unwrap_or(&uri));
        match &address {
            Err(why) => found.refuse(&endpoint.address, why),
            Ok(_) if route.is_empty() => found.refuse(&endpoint.address, "its route is empty"),
            Ok(_) if route.len() > MOST_ROUTE => {
                found.refuse(&endpoint.address, "its route is longer than 2,048 bytes")
            }
            Ok(_) if text > MOST_TEXT || found.instances.len() == MOST_ROUTES => {
                found.omitted += 1;
            }
            Ok(address) => {
                let instance =
                    instance(&route, endpoint.clone(), address.clone(), &mut found, read);
                text += instance.text() + route.len();
                found.add(&route, instance);
            }
        }
    }
    Ok(found)
}

/// The text `ip:port`; `host` may also be a name.
fn host_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A message as a cell of Cloud Foundry sends it.
    const CELL: &str = r#"{"host":"10.0.0.7","port":61001,"tls_port":61003,"uris":["App.example.com","app.example.com/Path?x=1"],
        "app":"11111111-1111-1111-1111-111111111101","private_instance_id":"9c1f","private_instance_index":"3",
        "isolation_segment":null,"server_cert_domain_san":"9c1f","stale_threshold_in_seconds":90,
        "route_service_url":"https://rs.example.com",
        "availability_zone":"z1","endpoint_updated_at_ns":1700000000000000000,"protocol":"http1","options":{"loadbalancing":"x"},
        "tags":{"component":"route-emitter","instance_id":"3","process_instance_id":"9c1f","process_type":"web","process_id":"p",
        "source_id":"s","app_id":"11111111-1111-1111-1111-111111111101","app_name":"app","space_id":"s1","space_name":"dev",
        "organization_id":"o1","organization_name":"myorg"}}"#;

    fn parsed(text: &str) -> Result<FoundInstances, MessageFault> {
        parse(text.as_bytes(), Instant::now())
    }

    /// Parses the message with these further fields.
    fn with(fields: &str) -> Result<FoundInstances, MessageFault> {
        parsed(&format!(r#"{{"tags":{{"app_id":"a"}},{fields}}}"#))
    }

    #[test]
    fn message_of_a_cell_is_an_instance_under_each_of_its_routes() {
        let now = Instant::now();
        let found = parse(CELL.as_bytes(), now).unwrap();
        let routes = found.instances.iter().map(|one| one.route.as_str());
        assert_eq!(
            routes.collect::<Vec<_>>(),
            ["app.example.com", "app.example.com/path"]
        );
        for routed in &found.instances {
            let one = &routed.instance;
            assert_eq!(one.address.to_string(), "10.0.0.7:61003");
            assert_eq!(
                (one.is_tls, one.server_name.as_deref(), one.host.as_deref()),
                (true, Some("9c1f"), Some("app.example.com"))
            );
            assert_eq!(one.expires, Some(now + Duration::from_secs(90)));
            assert!(one.is_web);
            let labels = one
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            assert_eq!(
                labels.collect::<Vec<_>>().join(","),
                "organization_id=o1,space_id=s1,app_id=11111111-1111-1111-1111-111111111101,organization_name=myorg,\
                 space_name=dev,app_name=app,index=3,instance_id=3,instance=10.0.0.7:61003"
            );
        }
    }

    #[test]
    fn entry_lives_for_the_threshold_of_its_message_and_at_most_120_seconds() {
        let now = Instant::now();
        let life = |threshold: &str| {
            let text = format!(
                r#"{{"host":"10.0.0.1","port":80,"uris":["r"],"tags":{{"app_id":"a"}}{threshold}}}"#
            );
            let found = parse(text.as_bytes(), now).unwrap();
            let expires = found.instances[0].instance.expires.unwrap();
            (expires - now).as_secs()
        };
        for (threshold, seconds) in [("", 120), ("0", 120), ("-1", 120), ("1", 1), ("3600", 120)] {
            let field = match threshold {
                "" => String::new(),
                seconds => format!(r#","stale_threshold_in_seconds":{seconds}"#),
            };
            assert_eq!(life(&field), seconds, "{threshold}");
        }
    }

    #[test]
    fn message_without_an_application_id_is_of_no_application() {
        let rest = r#""host":"10.0.0.1","port":80,"uris":["r"],"app":"a""#;
        for tags in ["", r#","tags":null"#, r#","tags":{"app_id":""}"#] {
            let text = format!("{{{rest}{tags}}}");
            assert_eq!(parsed(&text), Err(MessageFault::NoApplication), "{text}");
        }
    }

    #[test]
    fn message_of_another_shape_is_malformed() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"host":7}"#,
            r#"{"port":65536}"#,
            r#"{"port":-1}"#,
            r#"{"uris":"r"}"#,
            r#"{"tags":"x"}"#,
            r#"{"tags":{"app_id":"a"},"route_service_url":"http://x"}"#,
            "{}{}",
        ] {
            let fault = parsed(text).unwrap_err();
            assert!(matches!(fault, MessageFault::Malformed(_)), "{text}");
        }
    }

    #[test]
    fn instance_that_cannot_be_asked_is_counted() {
        for (fields, cause) in [
            (
                r#""host":"cell_/internal","port":80,"uris":["r"]"#,
                r#""cell_/internal:80": expected host:port"#,
            ),
            (r#""host":"10.0.0.1","uris":["r"]"#, "with a port"),
            (r#""port":80,"uris":["r"]"#, r#"":80": expected host:port"#),
            (
                r#""host":"0.0.0.0","port":80,"uris":["r"]"#,
                "address of one instance",
            ),
            (
                r#""host":"10.0.0.1","port":80,"uris":["/"]"#,
                "its route is empty",
            ),
        ] {
            let found = with(fields).unwrap();
            assert_eq!((found.instances.len(), found.unusable), (0, 1), "{fields}");
            assert!(found.example.unwrap().contains(cause), "{fields}");
        }
        let found = with(r#""host":"cell.internal","port":80,"uris":["r"]"#).unwrap();
        assert_eq!(
            found.instances[0].instance.address.to_string(),
            "cell.internal:80"
        );
        let found = with(r#""host":"::1","port":80,"uris":["a","b/"]"#).unwrap();
        let shown = found
            .instances
            .iter()
            .map(|one| (one.route.as_str(), one.instance.address.to_string()));
        let address = "[::1]:80".to_owned();
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [("a", address.clone()), ("b", address)]
        );
        assert_eq!(with(r#""uris":null"#).unwrap(), FoundInstances::default());
    }

    #[test]
    fn texts_of_a_message_are_bounded_however_many_routes_it_has() {
        let name = "n".repeat(10_000);
        let uris = r#""a","#.repeat(10_000) + r#""a""#;
        let text = format!(
            r#"{{"host":"10.0.0.1","port":80,"uris":[{uris}],"tags":{{"app_id":"a","app_name":"{name}"}}}}"#
        );
        let found = parsed(&text).unwrap();
        assert_eq!(found.instances.len() as u64 + found.omitted, 10_001);
        assert!(found.instances.len() <= MOST_ROUTES);
        let text = found.instances.iter().map(|one| one.instance.text());
        assert!(text.sum::<usize>() < MOST_TEXT + 20_000);
    }
}
