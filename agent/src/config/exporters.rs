//! `external_exporters` of the section `fan_in`: services that are asked once for each application, with promfetcher's keys.
//!
//! In: the list. Out: the address and path of each exporter, and the parameters of its query, with compiled templates. Left to
//! others: the applications, and the request.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use gotmpl::Value;

use super::ConfigError;
use super::host_port::HostPort;
use super::problems::{Problems, TEMPLATE, excerpt};
use super::scrape::is_path;
use super::yaml::{YamlNode, YamlValue};
use crate::go::template::{Fields, Program, string};

const KEY: &str = "fan_in: external_exporters";
const PARAMS: &str = "fan_in: external_exporters: params";
const KEYS: [&str; 5] = ["host", "metrics_path", "name", "params", "scheme"];
const METRICS: &str = "/metrics";

/// The tags of an application that a template may use: promfetcher's.
const TAGS: [&str; 12] = [
    "AppID",
    "AppName",
    "Component",
    "InstanceID",
    "OrganizationID",
    "OrganizationName",
    "ProcessID",
    "ProcessInstanceID",
    "ProcessType",
    "SourceID",
    "SpaceID",
    "SpaceName",
];
const KNOWN: &str = "one of AppID, AppName, Component, InstanceID, OrganizationID, OrganizationName, ProcessID, ProcessInstanceID, \
                     ProcessType, SourceID, SpaceID, SpaceName";
/// The tags for the template engine; none of them is a time or a map.
const FIELDS: Fields = Fields {
    names: &TAGS,
    time: "",
    map: "",
};

/// An exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExporterConfig {
    /// Its name; no two exporters have the same.
    pub name: String,
    /// The host, as typed.
    pub host: String,
    /// The host with its port.
    pub address: HostPort,
    /// Whether it is asked over TLS.
    pub is_tls: bool,
    /// The path of its metrics, without a query.
    pub path: String,
    /// The parameters of the query, sorted by name.
    pub params: BTreeMap<String, Vec<ParamValue>>,
}

impl ExporterConfig {
    /// The URL, with the templates as typed.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let params = self.params.iter().flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| format!("{name}={}", value.text))
        });
        let query = params.collect::<Vec<_>>().join("&");
        let before = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{}{}{before}{query}", self.host, self.path)
    }
}

/// The value of a parameter: a text, or a template.
#[derive(Debug, Clone)]
pub struct ParamValue {
    text: String,
    template: Option<Arc<Program>>,
}

impl PartialEq for ParamValue {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ParamValue {}

impl ParamValue {
    /// Writes the value for an application.
    ///
    /// # Errors
    /// The template fails, or `out` returns an error.
    pub fn write(&self, tags: &ExporterTags, out: &mut impl fmt::Write) -> Result<(), String> {
        match &self.template {
            Some(template) => template.run(&tags.0, out),
            None => out.write_str(&self.text).map_err(|error| error.to_string()),
        }
    }
}

/// The tags of an application, as templates see them.
#[derive(Debug, Clone)]
pub struct ExporterTags(Value);

impl ExporterTags {
    /// The given tags; all others are empty.
    pub fn of<'a>(tags: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let empty = TAGS.iter().map(|name| (*name, ""));
        let all = empty.chain(tags);
        let all: BTreeMap<Arc<str>, Value> = all
            .map(|(name, value)| (name.into(), string(value)))
            .collect();
        Self(Value::Map(Arc::new(all)))
    }
}

/// Parses the list.
pub(super) fn parse(
    node: &YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Vec<ExporterConfig>, ConfigError> {
    let YamlValue::List(nodes) = &node.value else {
        let expected = "a list of exporters (such as - host: 10.0.0.1:9100)";
        return Err(problems.wrong(node, KEY, expected));
    };
    let mut exporters: Vec<ExporterConfig> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let exporter = exporter(node, problems)?;
        if exporters.iter().any(|one| one.name == exporter.name) {
            let name = excerpt(&exporter.name);
            let cause =
                format!("two exporters have the name {name:?}; give each a name of its own");
            return Err(problems.unusable(node, KEY, cause));
        }
        exporters.push(exporter);
    }
    Ok(exporters)
}

fn exporter(node: &YamlNode, problems: &mut Problems<'_>) -> Result<ExporterConfig, ConfigError> {
    let YamlValue::Map(pairs) = &node.value else {
        let expected = "a map with name, host, metrics_path, scheme and params";
        return Err(problems.wrong(node, KEY, expected));
    };
    let (mut name, mut host, mut path, mut scheme) = (None, None, None, None);
    let mut params = BTreeMap::new();
    for (key, value) in pairs {
        let place = match &key.value {
            YamlValue::Scalar(text) if text == "name" => &mut name,
            YamlValue::Scalar(text) if text == "host" => &mut host,
            YamlValue::Scalar(text) if text == "metrics_path" => &mut path,
            YamlValue::Scalar(text) if text == "scheme" => &mut scheme,
            YamlValue::Scalar(text) if text == "params" => {
                params = self::params(value, problems)?;
                continue;
            }
            _ => {
                problems.warn_unknown(key, &KEYS);
                continue;
            }
        };
        *place = match &value.value {
            YamlValue::Null => None,
            YamlValue::Scalar(text) if !text.is_empty() => Some((text.as_str(), value.as_ref())),
            _ => return Err(problems.wrong(value, KEY, "a string that is not empty")),
        };
    }
    let is_tls = match scheme {
        None | Some(("http", _)) => false,
        Some(("https", _)) => true,
        Some((_, node)) => {
            return Err(problems.wrong(
                node,
                "fan_in: external_exporters: scheme",
                "http or https",
            ));
        }
    };
    let (host, at) = host.unwrap_or(("", node));
    let host = match host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => host.to_owned(),
    };
    let address = address(&host, is_tls).ok_or_else(|| {
        let expected = "the host of a URL, with or without a port and without a user; only params may have templates";
        // The error does not quote a user, because it may have a password.
        let found = match host.contains('@') {
            true => "a host with a user".to_owned(),
            false => found(&host),
        };
        problems.unfit(at, "fan_in: external_exporters: host", found, expected)
    })?;
    let path = match path {
        None => METRICS,
        Some((path, _)) if is_path(path) && !path.contains("{{") => path,
        Some((path, node)) => {
            let expected =
                "a path in ASCII that begins with a slash; parameters and templates go into params";
            return Err(problems.unfit(
                node,
                "fan_in: external_exporters: metrics_path",
                found(path),
                expected,
            ));
        }
    };
    Ok(ExporterConfig {
        name: name.map_or_else(|| format!("{host}{path}"), |(name, _)| name.to_owned()),
        host,
        address,
        is_tls,
        path: path.to_owned(),
        params,
    })
}

fn found(text: &str) -> String {
    match text {
        "" => "nothing".to_owned(),
        _ => format!("a string {:?}", excerpt(text)),
    }
}

/// The address of `host`; if it has no port, with the default port of the scheme.
fn address(host: &str, is_tls: bool) -> Option<HostPort> {
    let port = if is_tls { 443 } else { 80 };
    let with_port = || HostPort::parse(&format!("{host}:{port}"));
    HostPort::parse(host).or_else(|_| with_port()).ok()
}

fn params(
    node: &YamlNode,
    problems: &Problems<'_>,
) -> Result<BTreeMap<String, Vec<ParamValue>>, ConfigError> {
    let pairs = match &node.value {
        YamlValue::Null => &[][..],
        YamlValue::Map(pairs) => pairs,
        _ => {
            let expected = "a map of names to lists of values (such as app: [\"{{.AppID}}\"])";
            return Err(problems.wrong(node, PARAMS, expected));
        }
    };
    let params = pairs.iter().map(|(name, values)| {
        let YamlValue::Scalar(text) = &name.value else {
            return Err(problems.wrong(name, PARAMS, "the name of a parameter"));
        };
        let YamlValue::List(values) = &values.value else {
            let expected = "a list of values (such as [\"{{.AppID}}\"])";
            return Err(problems.wrong(values, PARAMS, expected));
        };
        let values = values.iter().map(|one| value(one, problems));
        Ok((text.clone(), values.collect::<Result<_, _>>()?))
    });
    params.collect()
}

fn value(node: &YamlNode, problems: &Problems<'_>) -> Result<ParamValue, ConfigError> {
    let text = match &node.value {
        YamlValue::Scalar(text) => text.clone(),
        _ => return Err(problems.wrong(node, PARAMS, TEMPLATE)),
    };
    if !text.contains("{{") {
        let template = None;
        return Ok(ParamValue { text, template });
    }
    let program = Program::compile(&text, FIELDS).map_err(|cause| {
        let cause = format!("bad template {:?}: {cause}", excerpt(&text));
        problems.unusable(node, PARAMS, cause)
    })?;
    if let Some(tag) = program.used.unknown.first() {
        let found = format!("the tag {:?} in a template", excerpt(tag));
        return Err(problems.unfit(node, PARAMS, found, KNOWN));
    }
    let template = Some(Arc::new(program));
    Ok(ParamValue { text, template })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parsed(exporters: &str) -> Result<Vec<ExporterConfig>, String> {
        let yaml = format!("fan_in:\n  external_exporters:\n{exporters}");
        let config =
            Config::parse(Path::new("/c.yml"), &yaml).map_err(|error| error.to_string())?;
        assert_eq!(config.warnings, []);
        Ok(config.fan_in.unwrap().external_exporters)
    }

    #[test]
    fn exporter_is_read_with_the_defaults_of_promfetcher() {
        let found = parsed(
            "  - host: 10.0.0.1:9100\n\
             \x20 - {name: b, host: '[::1]', metrics_path: /probe, scheme: https, params: {t: [x, '{{.AppID}}'], a: []}}\n\
             \x20 - {host: 10.0.0.2, name: , metrics_path: , scheme: , params: }\n\
             \x20 - {host: quota.example.com}\n\
             \x20 - {host: 'quota:9100'}\n\
             \x20 - {host: '::1', name: six}\n",
        )
        .unwrap();
        let urls = found.iter().map(|one| (one.name.as_str(), one.url()));
        assert_eq!(
            urls.collect::<Vec<_>>(),
            [
                (
                    "10.0.0.1:9100/metrics",
                    "http://10.0.0.1:9100/metrics".to_owned()
                ),
                ("b", "https://[::1]/probe?t=x&t={{.AppID}}".to_owned()),
                ("10.0.0.2/metrics", "http://10.0.0.2/metrics".to_owned()),
                (
                    "quota.example.com/metrics",
                    "http://quota.example.com/metrics".to_owned()
                ),
                ("quota:9100/metrics", "http://quota:9100/metrics".to_owned()),
                ("six", "http://[::1]/metrics".to_owned()),
            ]
        );
        let addresses = found.iter().map(|one| one.address.to_string());
        assert_eq!(
            addresses.collect::<Vec<_>>(),
            [
                "10.0.0.1:9100",
                "[::1]:443",
                "10.0.0.2:80",
                "quota.example.com:80",
                "quota:9100",
                "[::1]:80",
            ]
        );
    }

    #[test]
    fn value_is_a_text_or_a_template_of_the_tags() {
        let found = parsed(
            "  - {host: '[::1]', params: {x: ['a}}', '', '{{.AppName}}', '{{if .SpaceID}}s{{else}}none{{end}}', '{{slice .AppID 3}}']}}\n",
        )
        .unwrap();
        let tags = ExporterTags::of([("AppName", "my app&x=1")]);
        let written = found[0].params["x"].iter().map(|value| {
            let mut out = String::new();
            value.write(&tags, &mut out).map(|()| out)
        });
        let written: Vec<_> = written.collect();
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(
            written[..4],
            [text("a}}"), text(""), text("my app&x=1"), text("none")]
        );
        assert!(written[4].is_err(), "{written:?}");
    }

    #[test]
    fn errors_name_the_line_and_what_was_expected() {
        for (exporter, error) in [
            (
                "a",
                "/c.yml:3: fan_in: external_exporters: found a string \"a\", expected a map",
            ),
            (
                "{name: a}",
                "/c.yml:3: fan_in: external_exporters: host: found nothing, expected the host of a URL",
            ),
            (
                "{host: http://exporter:80}",
                "found a string \"http://exporter:80\", expected the host of a URL",
            ),
            (
                "{host: 'u:S3cret@exporter:80'}",
                "host: found a host with a user, expected the host of a URL",
            ),
            ("{host: S3cret@exporter}", "found a host with a user"),
            ("'http://u:S3cret@h'", "found a string \"(not shown"),
            (
                "{host: exporter, metrics_path: 'http://u:S3cret@h/metrics'}",
                "metrics_path: found a string \"(not shown",
            ),
            ("{host: '{{.AppName}}'}", "only params may have templates"),
            ("{host: 10.0.0.1:0}", "expected the host of a URL"),
            (
                "{host: [a]}",
                "found a list, expected a string that is not empty",
            ),
            (
                "{host: '[::1]', scheme: tcp}",
                "scheme: found a string \"tcp\", expected http or https",
            ),
            (
                "{host: '[::1]', metrics_path: m}",
                "metrics_path: found a string \"m\", expected a path",
            ),
            (
                "{host: '[::1]', metrics_path: '/m?a=b'}",
                "parameters and templates go into params",
            ),
            (
                "{host: '[::1]', metrics_path: '/{{.AppID}}'}",
                "parameters and templates go into params",
            ),
            (
                "{host: '[::1]', params: [a]}",
                "params: found a list, expected a map of names to lists",
            ),
            (
                "{host: '[::1]', params: {a: b}}",
                "params: found a string \"b\", expected a list of values",
            ),
            (
                "{host: '[::1]', params: {a: [{{.AppID}}]}}",
                "a template that starts with {{ needs quotes",
            ),
            (
                "{host: '[::1]', params: {a: ['{{.AppID']}}",
                "params: bad template \"{{.AppID\": template: ",
            ),
            (
                "{host: '[::1]', params: {a: ['{{.AppId}}']}}",
                "params: found the tag \"AppId\" in a template, expected one of AppID, AppName,",
            ),
        ] {
            let found = parsed(&format!("  - {exporter}\n")).unwrap_err();
            assert!(
                found.starts_with("/c.yml:3: fan_in: external_exporters") && found.contains(error),
                "{exporter}: {found}"
            );
            assert!(!found.contains("S3cret"), "{exporter}: {found}");
        }
        let twice = parsed("  - {host: 10.0.0.1}\n  - {host: 10.0.0.1}\n").unwrap_err();
        let expected = "/c.yml:4: fan_in: external_exporters: two exporters have the name \"10.0.0.1/metrics\"; give each";
        assert!(twice.starts_with(expected), "{twice}");
        assert!(
            parsed("    a: b\n")
                .unwrap_err()
                .contains("expected a list of exporters")
        );
    }

    #[test]
    fn list_of_known_tags_is_complete() {
        assert_eq!(KNOWN, format!("one of {}", TAGS.join(", ")));
    }
}
