//! The table of instances, and the look-ups in it. Pure.
//!
//! In: instances, each with the route under which it was found. Out: the instances that a request wants, in a fixed order.
//!
//! | wanted | found |
//! | --- | --- |
//! | organization, space and name of an application; its id | its instances of process type `web` |
//! | a route | all instances of the route, those of platform components too |
//!
//! Each address is asked once, although an application is listed under each of its routes and the same address occurs in several
//! of them. A host name and an address are different places, even if the name resolves to that address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::config::HostPort;
use crate::process::ProcessId;
use crate::targets::files::FileKey;

/// An instance of an application, as listed under one of its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FanInInstance {
    /// The address or host name, with the port, at which it is asked.
    pub(crate) address: HostPort,
    pub(crate) is_tls: bool,
    /// The name that its certificate must have; `None`: the host of `address`.
    pub(crate) server_name: Option<String>,
    /// The value of the header `Host`; `None`: `address`.
    pub(crate) host: Option<String>,
    /// The path of its metrics, beginning with a slash; `None`: the source states none.
    pub(crate) metric_path: Option<String>,
    /// The labels that each of its series gets, in the order in which they are written.
    pub(crate) labels: Vec<(String, String)>,
    /// The application that it belongs to.
    pub(crate) application: Arc<FanInApplication>,
    /// Whether look-ups by name and by id find it.
    pub(crate) is_web: bool,
    /// When it expires unless its source lists it again; `None`: never.
    pub(crate) expires: Option<Instant>,
    /// For a process of the node: the listener that a connection must have reached before the agent sends anything.
    pub(crate) listener: Option<Arc<NodeListener>>,
    /// The name of the external exporter, if this is a question to one for `application`; `None`: this is an instance.
    pub(crate) exporter: Option<Arc<str>>,
}

/// A listening socket of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NodeListener {
    pub(super) id: ProcessId,
    pub(super) inode: u64,
    /// Whether it is in the agent's network namespace.
    pub(super) is_own: bool,
    /// The user to whose share its process counts.
    pub(super) user: u32,
    /// The network namespace.
    pub(super) namespace: FileKey,
    /// Where it is asked if the instance's address, which is IPv4, does not lead to it: a listener on all IPv6 addresses may
    /// accept IPv6 only.
    pub(super) ipv6: Option<SocketAddr>,
}

/// An application. Texts that its source does not state are empty; for components of the platform, all are.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FanInApplication {
    pub(crate) organization_id: String,
    pub(crate) space_id: String,
    pub(crate) id: String,
    pub(crate) organization_name: String,
    pub(crate) space_name: String,
    pub(crate) name: String,
}

/// An instance and the route under which its source shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutedInstance {
    pub(crate) route: String,
    pub(crate) instance: Arc<FanInInstance>,
}

/// The instances that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum WantedInstances {
    /// An application by its names.
    Names {
        organization: String,
        space: String,
        application: String,
    },
    /// An application by its id, in lower case.
    Id(String),
    /// A route, in lower case and without a query; or the name of a group of the node's processes, in lower case.
    Route(String),
    /// All processes of the node that are instances.
    Node,
}

/// All known instances. The sources bound their number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InstanceTable {
    by_route: Instances<String>,
    by_id: Instances<String>,
    by_names: Instances<[String; 3]>,
}

/// Instances by the key of a look-up, each list sorted by [`order`]. Equal instances keep the order of their sources.
type Instances<K> = BTreeMap<K, Vec<Arc<FanInInstance>>>;

impl FanInApplication {
    /// Values of the labels that all instances of the application share, in the order of [`APPLICATION_LABELS`].
    pub(crate) fn values(&self) -> [&str; 6] {
        [
            &self.organization_id,
            &self.space_id,
            &self.id,
            &self.organization_name,
            &self.space_name,
            &self.name,
        ]
    }

    /// Its id, else its names; empty if its source states neither.
    pub(crate) fn shown(&self) -> String {
        let names = [&self.organization_name, &self.space_name, &self.name];
        let names = names.map(String::as_str).into_iter();
        match self.id.is_empty() {
            true => names
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
                .join("/"),
            false => self.id.clone(),
        }
    }

    /// Whether `name` in the configuration means this application: its id, or its name if it has no id.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        match self.id.is_empty() {
            true => !self.name.is_empty() && self.name == name,
            false => self.id.eq_ignore_ascii_case(name),
        }
    }
}

/// The labels of [`FanInApplication::values`].
pub(crate) const APPLICATION_LABELS: [&str; 6] = [
    "organization_id",
    "space_id",
    "app_id",
    "organization_name",
    "space_name",
    "app_name",
];

impl WantedInstances {
    /// The instances that one segment of a URL's path asks for; `None` if it is empty, or is no percent-encoded UTF-8.
    pub(crate) fn in_path(escaped: &str) -> Option<Self> {
        Self::named(&unescape(escaped)?)
    }

    /// The instances that the text asks for: three parts separated by slashes are names, a UUID is an id, and anything else is a
    /// route. `None` if it is empty.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(organization), Some(space), Some(application), None) => Some(Self::Names {
                organization: organization.to_owned(),
                space: space.to_owned(),
                application: application.to_owned(),
            }),
            _ if is_uuid(text) => Some(Self::Id(text.to_ascii_lowercase())),
            _ => Self::route(text),
        }
    }

    /// Reads the text as a route, even if it has three parts; `None` if it is empty.
    pub(crate) fn route(text: &str) -> Option<Self> {
        let route = plain_route(text);
        (!route.is_empty()).then_some(Self::Route(route))
    }
}

impl InstanceTable {
    /// The table of these instances. Of two at the same place, the first one counts.
    pub(crate) fn of(instances: impl IntoIterator<Item = RoutedInstance>) -> Self {
        let mut table = Self::default();
        for RoutedInstance { route, instance } in instances {
            let application = &instance.application;
            if instance.is_web {
                let names = [
                    &application.organization_name,
                    &application.space_name,
                    &application.name,
                ];
                if names.iter().all(|name| !name.is_empty()) {
                    let list = table.by_names.entry(names.map(String::clone));
                    list.or_default().push(Arc::clone(&instance));
                }
                if !application.id.is_empty() {
                    let list = table.by_id.entry(application.id.to_ascii_lowercase());
                    list.or_default().push(Arc::clone(&instance));
                }
            }
            let list = table.by_route.entry(plain_route(&route));
            list.or_default().push(instance);
        }
        let lists = table
            .by_route
            .values_mut()
            .chain(table.by_id.values_mut())
            .chain(table.by_names.values_mut());
        // The sort is stable: among equal places, the first instance stays first.
        lists.for_each(|list| list.sort_by(|a, b| order(a).cmp(&order(b))));
        table
    }

    /// The wanted instances that have not expired, sorted by address: each address once, or once for each path if the source
    /// lists several.
    pub(crate) fn look_up(
        &self,
        wanted: &WantedInstances,
        now: Instant,
    ) -> Vec<Arc<FanInInstance>> {
        let found = match wanted {
            WantedInstances::Names {
                organization,
                space,
                application,
            } => {
                let names = [organization, space, application].map(String::clone);
                self.by_names.get(&names)
            }
            WantedInstances::Id(id) => self.by_id.get(id),
            WantedInstances::Route(route) => self.by_route.get(route),
            WantedInstances::Node => None,
        };
        let found = found.into_iter().flatten();
        let mut live: Vec<_> = found.filter(|one| one.is_live(now)).cloned().collect();
        live.dedup_by(|next, first| order(next) == order(first));
        live
    }
}

impl FanInInstance {
    /// Bytes of the texts that it does not share with other instances.
    pub(super) fn text(&self) -> usize {
        let labels = self.labels.iter();
        let labels: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
        let texts = [&self.server_name, &self.host, &self.metric_path];
        let texts = texts.into_iter().flatten().map(String::len);
        labels + texts.sum::<usize>() + self.address.name().map_or(0, str::len)
    }

    /// Whether it has not expired.
    pub(crate) fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// The sort key: the address and the path at which it is asked.
fn order(instance: &FanInInstance) -> (&HostPort, Option<&str>) {
    (&instance.address, instance.metric_path.as_deref())
}

/// A route in the form that the table uses: in lower case, without a query.
pub(super) fn plain_route(text: &str) -> String {
    let (route, _) = text.split_once('?').unwrap_or((text, ""));
    route.to_lowercase()
}

/// Whether the text is a UUID in its usual form, in any case.
fn is_uuid(text: &str) -> bool {
    let groups = text.split('-');
    let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths = groups.map(|group| is_hex(group).then_some(group.len()));
    lengths.eq([8, 4, 4, 4, 12].map(Some))
}

/// Text without percent-encoding; `None` if a `%` is not followed by two hexadecimal digits, or the result is not UTF-8.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(16 * high + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
