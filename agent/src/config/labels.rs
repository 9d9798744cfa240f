//! Parses `labels` of an item: a map of label names to templates.
//!
//! A list of maps means the same, as proposed for process-exporter (its issue 311): `- pid: "{{.PID}}"`, or a pair of
//! `name` and `value`. A list of strings is refused; the error shows the map to write instead.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::item::expected_label;
use super::problems::{Problems, TEMPLATE, excerpt};
use super::yaml::{Pair, Repeated, YamlNode, YamlValue};
use super::{ConfigError, Label, MAX_LABELS, Text};

/// The keys of a map that describes one label: those of its name and its template.
const PAIRS: [(&str, &str); 3] = [("name", "value"), ("key", "value"), ("name", "template")];

/// Common label names and the template variables that they stand for.
const USUAL: [(&str, &str); 22] = [
    ("comm", "Comm"),
    ("command", "Comm"),
    ("process", "Comm"),
    ("exe", "ExeBase"),
    ("program", "ExeBase"),
    ("exebase", "ExeBase"),
    ("exefull", "ExeFull"),
    ("path", "ExeFull"),
    ("user", "Username"),
    ("username", "Username"),
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("cwd", "Cwd"),
    ("unit", "Unit"),
    ("service", "Unit"),
    ("slice", "Slice"),
    ("container", "Container"),
    ("container_id", "ContainerID"),
    ("containerid", "ContainerID"),
    ("namespace", "Namespace"),
    ("pod", "Pod"),
    ("workload", "Workload"),
];

/// The labels that `value` gives, sorted by name.
pub(super) fn parse(
    value: &YamlNode,
    problems: &mut Problems<'_>,
) -> Result<Vec<Label>, ConfigError> {
    let mut labels: BTreeMap<String, Text> = BTreeMap::new();
    let is_list = matches!(value.value, YamlValue::List(_));
    for (name, template) in pairs(value, problems)? {
        let (label, text) = label(&name, &template, problems)?;
        // The last label of a name counts, as the last of repeated keys does. The YAML parser has noted
        // repetitions within one map already.
        let line = name.line;
        if let Some(first) = labels.insert(label.clone(), text).filter(|_| is_list) {
            problems.warn_of_repeated(Repeated {
                line,
                key: label,
                first_line: first.line,
            });
        }
    }
    if labels.len() > MAX_LABELS {
        let found = format!("{} labels", labels.len());
        return Err(problems.unfit(value, "labels", found, "at most 16"));
    }
    let label = |(name, template)| Label { name, template };
    Ok(labels.into_iter().map(label).collect())
}

fn pairs(value: &YamlNode, problems: &Problems<'_>) -> Result<Vec<Pair>, ConfigError> {
    let elements = match &value.value {
        YamlValue::Null => return Ok(Vec::new()),
        YamlValue::Map(pairs) => return Ok(pairs.clone()),
        YamlValue::List(elements) => elements,
        YamlValue::Scalar(text) => return Err(no_map(value, "a string", &[text], problems)),
    };
    let mut pairs = Vec::new();
    for element in elements {
        let YamlValue::Map(of_element) = &element.value else {
            let texts: Vec<&str> = elements.iter().filter_map(|node| text(node)).collect();
            return Err(match texts.len() == elements.len() {
                true => no_map(value, "a list of strings", &texts, problems),
                false => problems.wrong(
                    element,
                    "labels: element of the list",
                    "a map of one label name to its template",
                ),
            });
        };
        match one_label(of_element) {
            Some(pair) => pairs.push(pair),
            None => pairs.extend(of_element.iter().cloned()),
        }
    }
    Ok(pairs)
}

fn label(
    name: &YamlNode,
    value: &YamlNode,
    problems: &Problems<'_>,
) -> Result<(String, Text), ConfigError> {
    let YamlValue::Scalar(label) = &name.value else {
        return Err(problems.wrong(name, "labels", "a label name"));
    };
    if let Some(expected) = expected_label(label) {
        let found = format!("the name {:?}", excerpt(label));
        return Err(problems.unfit(name, "labels", found, expected));
    }
    let key = format!("labels: {label}");
    match &value.value {
        YamlValue::Scalar(text) => {
            let (text, line) = (text.clone(), value.line);
            Ok((label.clone(), Text { text, line }))
        }
        YamlValue::Map(_) => Err(problems.wrong(value, &key, TEMPLATE)),
        _ => Err(problems.wrong(value, &key, "a string")),
    }
}

/// The error for strings instead of a map, with the map that was probably meant.
fn no_map(value: &YamlNode, found: &str, texts: &[&str], problems: &Problems<'_>) -> ConfigError {
    let labels: Vec<String> = texts
        .iter()
        .take(MAX_LABELS)
        .filter_map(|text| meant(text))
        .collect();
    let example = match labels.is_empty() {
        true => "user: '{{.Username}}'".to_owned(),
        false => labels.join(", "),
    };
    problems.unusable(
        value,
        "labels",
        format!(
            "found {found}, expected a map of label names to templates; write labels: {{{example}}}"
        ),
    )
}

fn text(node: &Rc<YamlNode>) -> Option<&str> {
    match &node.value {
        YamlValue::Scalar(text) => Some(text),
        _ => None,
    }
}

/// The label described by a map with a name and a value.
fn one_label(pairs: &[Pair]) -> Option<Pair> {
    let [one, other] = pairs else { return None };
    let of = |wanted: &str| {
        [one, other]
            .into_iter()
            .find(|(key, _)| text(key) == Some(wanted))
    };
    let (name, template) = PAIRS
        .iter()
        .find_map(|(name, template)| Some((&of(name)?.1, &of(template)?.1)))?;
    let is_name = text(name).is_some_and(|name| expected_label(name).is_none());
    is_name.then(|| (Rc::clone(name), Rc::clone(template)))
}

/// The text `name: 'template'` for a string in a list of labels.
fn meant(text: &str) -> Option<String> {
    // A suggestion with a longer text would be too long to paste.
    let text = Some(text.trim()).filter(|text| text.len() <= 200)?;
    let (name, template) = match text.find("{{") {
        Some(0) => {
            let variable = variable(text)?;
            let usual = USUAL.iter().find(|(_, of)| *of == variable);
            let name = usual.map_or(variable.to_lowercase(), |(name, _)| (*name).to_owned());
            (name, text.to_owned())
        }
        _ => match text.split_once(['=', ':']) {
            Some((name, template)) => (name.trim().to_owned(), template.trim().to_owned()),
            None => {
                let lower = text.to_lowercase();
                let usual = USUAL.iter().find(|(name, _)| *name == lower)?;
                (lower, format!("{{{{.{}}}}}", usual.1))
            }
        },
    };
    let template = template.trim_matches(['"', '\'']).replace('\'', "''");
    expected_label(&name)
        .is_none()
        .then(|| format!("{name}: '{template}'"))
}

/// The first variable of a template.
fn variable(template: &str) -> Option<&str> {
    let (_, rest) = template.split_once('.')?;
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(labels: &str) -> Result<Config, ConfigError> {
        let yaml = format!("process_names:\n- comm: [a]\n{labels}");
        Config::parse(Path::new("c.yml"), &yaml)
    }

    #[test]
    fn list_of_maps_means_one_map() {
        let map = "  labels: {pid: '{{.PID}}', user: '{{.Username}}'}\n";
        let expected: Vec<(String, String)> = ["pid {{.PID}}", "user {{.Username}}"]
            .map(|pair| {
                pair.split_once(' ')
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                    .unwrap()
            })
            .into();
        for labels in [
            map,
            "  labels:\n  - pid: '{{.PID}}'\n  - user: \"{{.Username}}\"\n",
            "  labels:\n  - user: '{{.Username}}'\n    pid: '{{.PID}}'\n",
            "  labels:\n    - name: pid\n      value: '{{.PID}}'\n    - {value: '{{.Username}}', name: user}\n",
            "  labels: [{key: pid, value: '{{.PID}}'}, {name: user, template: '{{.Username}}'}]\n",
        ] {
            let config = parse(labels).unwrap();
            let found = config.items[0].labels.iter();
            let found = found.map(|label| (label.name.clone(), label.template.text.clone()));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{labels}");
            assert_eq!(config.warnings, [], "{labels}");
        }
        assert_eq!(parse("  labels: []\n").unwrap().items[0].labels, []);
    }

    #[test]
    fn label_that_stands_in_a_list_twice_is_warned_of() {
        let config = parse("  labels:\n  - a: x\n  - b: x\n  - a: y\n").unwrap();
        assert_eq!(config.items[0].labels[0].template.text, "y");
        let warning = config.warnings[0].to_string();
        assert_eq!(
            warning,
            "c.yml:6: key \"a\" is already in line 4; the last one counts"
        );
    }

    #[test]
    fn list_of_texts_is_refused_with_the_map_to_write() {
        for (labels, expected) in [
            ("[pid, user]", "{pid: '{{.PID}}', user: '{{.Username}}'}"),
            (
                "['{{.Username}}', '{{ .Unit }}']",
                "{user: '{{.Username}}', unit: '{{ .Unit }}'}",
            ),
            (
                "['pid={{.PID}}', 'team: web']",
                "{pid: '{{.PID}}', team: 'web'}",
            ),
            ("['it''s: x', nonsense]", "{user: '{{.Username}}'}"),
        ] {
            let error = parse(&format!("  labels: {labels}\n"))
                .unwrap_err()
                .to_string();
            let told = "c.yml:3: labels: found a list of strings, expected a map of label names to templates; write labels: ";
            assert_eq!(error, format!("{told}{expected}"));
            let pasted = error.split_once("write ").unwrap().1;
            assert!(parse(&format!("  {pasted}\n")).is_ok(), "{pasted}");
        }
        let error = parse("  labels: pid\n").unwrap_err().to_string();
        assert!(error.ends_with("found a string, expected a map of label names to templates; write labels: {pid: '{{.PID}}'}".trim_start()), "{error}");
        for (labels, expected) in [
            (
                "[pid: x, user]",
                "c.yml:3: labels: element of the list: found a string \"user\", expected a map",
            ),
            (
                "[pid: {{.PID}}]",
                "found a map, expected a string (a template that starts with {{ needs quotes)",
            ),
            (
                "[{mode: x}]",
                "the name \"mode\", expected a name that is no label of the agent's own",
            ),
            ("[[a]]", "element of the list: found a list, expected a map"),
        ] {
            let error = parse(&format!("  labels: {labels}\n"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
