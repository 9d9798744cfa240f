//! Parses a table of routes in the JSON shape that the gorouter of Cloud Foundry serves at `/routes`. Pure.
//!
//! In come the bytes; out come the instances of each route. An endpoint whose address cannot be asked is counted, and the others
//! are taken. All else that is not of the shape refuses the whole text. Unknown fields are skipped.
//!
//! ```text
//! {"app.example.com": [{"address": "10.0.0.7:61001", "tls": true, "ttl": 120, "server_cert_domain_san": "...", "tags": {...}}]}
//! ```

use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::found::{FoundInstances, INSTANCE, MOST_INSTANCES, ReadTime, application_labels};
use super::table::{FanInApplication, FanInInstance};
use crate::config::HostPort;

/// Most bytes of a route.
pub(super) const MOST_ROUTE: usize = 2_048;
/// The process type that look-ups by name and by id find.
const WEB: &str = "web";

/// Parses the text. An entry expires its `ttl` after the file was written; one without a ttl, or with 0, never expires.
///
/// # Errors
/// The text is no object of routes with lists of endpoints; the error names the line.
pub(super) fn parse(text: &[u8], read: ReadTime) -> Result<FoundInstances, serde_json::Error> {
    let mut found = FoundInstances::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let routes = Routes {
        found: &mut found,
        read,
    };
    deserializer.deserialize_map(routes)?;
    deserializer.end()?;
    Ok(found)
}

/// An endpoint of a route.
#[derive(Clone, Deserialize)]
pub(super) struct Endpoint {
    pub(super) address: String,
    #[serde(default)]
    pub(super) tls: bool,
    pub(super) ttl: Option<i64>,
    pub(super) server_cert_domain_san: Option<String>,
    pub(super) tags: Option<Tags>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tags {
    process_type: Option<String>,
    instance_id: Option<String>,
    pub(super) app_id: Option<String>,
    app_name: Option<String>,
    space_id: Option<String>,
    space_name: Option<String>,
    organization_id: Option<String>,
    organization_name: Option<String>,
}

/// Adds the endpoints of each route as they are read, so that no tree of the whole text is built.
struct Routes<'a> {
    found: &'a mut FoundInstances,
    read: ReadTime,
}

impl<'de> Visitor<'de> for Routes<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of routes, each with a list of endpoints")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(route) = map.next_key::<String>()? {
            let Endpoints { some, omitted } = map.next_value()?;
            self.found.omitted += omitted;
            for endpoint in some {
                match HostPort::parse(&endpoint.address) {
                    Ok(_) if route.is_empty() => {
                        self.found.refuse(&endpoint.address, "its route is empty")
                    }
                    // Before it is copied for each endpoint.
                    Ok(_) if route.len() > MOST_ROUTE => self
                        .found
                        .refuse(&endpoint.address, "its route is longer than 2,048 bytes"),
                    Ok(address) => {
                        let instance = instance(&route, endpoint, address, self.found, self.read);
                        self.found.add(&route, instance);
                    }
                    Err(why) => self.found.refuse(&endpoint.address, why),
                }
            }
        }
        Ok(())
    }
}

/// The first endpoints of a route, and the number of the others: each takes ten times its shortest text.
#[derive(Default)]
struct Endpoints {
    some: Vec<Endpoint>,
    omitted: u64,
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Endpoints;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of endpoints")
            }

            fn visit_unit<E>(self) -> Result<Endpoints, E> {
                Ok(Endpoints::default())
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Endpoints, S::Error> {
                let mut endpoints = Endpoints::default();
                while let Some(endpoint) = list.next_element()? {
                    match endpoints.some.len() < MOST_INSTANCES {
                        true => endpoints.some.push(endpoint),
                        false => endpoints.omitted += 1,
                    }
                }
                Ok(endpoints)
            }
        }

        deserializer.deserialize_any(List)
    }
}

/// An endpoint at `address`, as this route leads to it.
pub(super) fn instance(
    route: &str,
    endpoint: Endpoint,
    address: HostPort,
    found: &mut FoundInstances,
    read: ReadTime,
) -> FanInInstance {
    let tags = endpoint.tags.unwrap_or_default();
    let is_web = tags.process_type.as_deref() == Some(WEB);
    let text = Option::unwrap_or_default;
    let application = found.application(FanInApplication {
        organization_id: text(tags.organization_id),
        space_id: text(tags.space_id),
        id: text(tags.app_id),
        organization_name: text(tags.organization_name),
        space_name: text(tags.space_name),
        name: text(tags.app_name),
    });
    let (own, shown) = (tags.instance_id.unwrap_or_default(), address.to_string());
    let mut labels: Vec<(&str, &str)> = application_labels(&application).collect();
    if !own.is_empty() {
        labels.extend([("index", own.as_str()), ("instance_id", &own)]);
    }
    labels.push((INSTANCE, &shown));
    let labels = labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ttl = endpoint
        .ttl
        .and_then(|ttl| u64::try_from(ttl).ok())
        .filter(|ttl| *ttl > 0);
    FanInInstance {
        address,
        is_tls: endpoint.tls,
        server_name: endpoint
            .server_cert_domain_san
            .filter(|name| !name.is_empty()),
        host: host(route),
        metric_path: None,
        labels: labels.collect(),
        application,
        is_web,
        expires: ttl.and_then(|ttl| read.expiry(Duration::from_secs(ttl))),
        listener: None,
        exporter: None,
    }
}

/// The host of a route, if it is one that a request can carry: a wildcard is none.
fn host(route: &str) -> Option<String> {
    let host = route.split('/').next().unwrap_or_default();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_host)).then(|| host.to_owned())
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
