//! Reviews the expressions and templates of a configuration without any process, for `headcount check`.
//!
//! Templates are checked twice: by the variables that they use, and by a run on a process whose facts are all known.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::boot_time::BootTime;
use super::bounded::MAX_NAME;
use super::classifier::compile;
use super::name::{NameTemplate, VARIABLES};
use super::pattern::{Matches, Pattern, Room};
use super::pattern_length::long_groups;
use crate::config::{Config, ConfigError, Item, Key};
use crate::go::template::Used;
use crate::process::{Container, Facts};

/// Length of the sample's texts: enough for any part that a template takes of them.
const LONG: usize = 64;

/// A template that probably does not work as intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Its item, from 0.
    pub item: usize,
    /// `name` or `labels`.
    pub key: Key,
    /// The number of the label, from 0; `None` for the name.
    pub number: Option<usize>,
    /// The mistake, and its remedy.
    pub what: String,
}

/// The result of a review.
#[derive(Debug, Default)]
pub struct Review {
    /// Items that cannot be compiled: the first error of each.
    pub errors: Vec<ConfigError>,
    /// Templates that compile, but probably do not work as intended.
    pub doubts: Vec<Doubt>,
}

/// Reviews every item.
pub fn review(config: &Config) -> Review {
    let mut room = Room::default();
    let mut review = Review::default();
    for index in 0..config.items.len() {
        match compile(config, index, &mut room) {
            Ok(item) => {
                let groups = Captured::of(&config.items[index], item.selector.group_names());
                let is_open = !item.is_bounded();
                let labels = item.labels.iter().map(|(_, template)| template).enumerate();
                let labels = labels.map(|(number, template)| (Key::Labels, Some(number), template));
                for (key, number, template) in
                    std::iter::once((Key::Name, None, &item.name)).chain(labels)
                {
                    let mut doubts = doubts(template, &groups);
                    if is_open && doubts.is_empty() {
                        doubts.extend(of_each_process(template, &groups));
                    }
                    review.doubts.extend(doubts.into_iter().map(|what| Doubt {
                        item: index,
                        key,
                        number,
                        what,
                    }));
                }
            }
            Err(error) => review.errors.push(error),
        }
    }
    review
}

/// Whether the expression is found in an empty text; `false` for an invalid expression.
pub fn finds_nothing(expression: &str) -> bool {
    Pattern::compile(expression, &mut Room::default()).is_ok_and(|pattern| pattern.is_match(""))
}

/// The groups that `.Matches` holds.
struct Captured {
    known: HashSet<String>,
    /// Groups that may match any number of arguments.
    long: BTreeSet<String>,
}

impl Captured {
    fn of<'a>(item: &Item, names: impl Iterator<Item = &'a str>) -> Self {
        let expressions = item.cmdline.iter().flatten();
        Self {
            known: names.map(str::to_owned).collect(),
            long: expressions
                .flat_map(|entry| long_groups(&entry.text))
                .collect(),
        }
    }

    fn held(&self) -> Matches {
        let held = self.known.iter().map(|name| {
            let length = match self.long.contains(name) {
                true => 2 * MAX_NAME,
                false => LONG,
            };
            (name.as_str().into(), "x".repeat(length))
        });
        held.collect()
    }
}

/// Changes one fact, so that the sample is another process.
type Change = fn(&mut Facts);

/// The doubt that the template gives each process, or each parent, another text.
fn of_each_process(template: &NameTemplate, groups: &Captured) -> Option<String> {
    let text = |change: Change| {
        let mut facts = sample();
        (facts.tgid, facts.parent) = (40_001, 40_001);
        change(&mut facts);
        let boot = BootTime { unix_seconds: 0 };
        template.render(&facts, boot, &groups.held()).text
    };
    let usual = text(|_| {});
    let changes: [(&str, Change); 3] = [
        ("PID", |facts| facts.tgid += 1),
        ("PPID", |facts| facts.parent += 1),
        ("StartTime", |facts| facts.start_ns += 61_000_000_000),
    ];
    let (variable, _) = changes
        .into_iter()
        .find(|(_, change)| text(*change) != usual)?;
    let (of, bound) = match variable {
        "PPID" => ("parent", "parents"),
        _ => ("process", "processes"),
    };
    Some(format!(
        "with .{variable} each {of} is a group of its own, which stays when it ends, until all of --max-groups are taken; add \
         max_groups to this item, or leave .{variable} out (`headcount list` shows the numbers of {bound})"
    ))
}

fn doubts(template: &NameTemplate, groups: &Captured) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let nothing = Used::default();
    let used = template.used().unwrap_or(&nothing);
    for field in &used.unknown {
        let variables = VARIABLES.map(|name| format!(".{name}")).join(" ");
        found.push(format!(
            "there is no variable .{field}, so the text ends before it; the variables are {variables}"
        ));
    }
    for group in &used.keys {
        if !groups.known.contains(group) {
            found.push(format!(
                "no expression of this item has a group (?P<{group}>...), so .Matches.{group} is \"<no value>\"; name \
                 the group, or leave it out"
            ));
        }
    }
    if found.is_empty() {
        let rendered = template.render(&sample(), BootTime { unix_seconds: 0 }, &groups.held());
        found.extend(rendered.error.map(|cause| {
            format!("it fails at run time, and the text ends there: {cause}; correct or remove that part")
        }));
        if rendered.is_cut && found.is_empty() {
            found.push(format!(
                "the text may be longer than {MAX_NAME} bytes; then it is cut and ends in a hash, another one for each command \
                 line; use only the part that distinguishes the groups: a group of an expression ((?P<Name>\\S+) and \
                 {{{{.Matches.Name}}}}) or one argument ({{{{index .Argv 1}}}})"
            ));
        }
    }
    found
}

/// A process whose facts are all known, with more entries than templates use.
fn sample() -> Facts {
    let word = vec![b'x'; LONG];
    Facts {
        tgid: 1,
        parent: 1,
        comm: word.clone(),
        argv: std::iter::repeat_n(&word, LONG).collect(),
        uid: Some(1),
        username: "x".repeat(LONG),
        cgroups: vec![format!("/a.slice/docker-{}.scope", "0".repeat(LONG)); LONG],
        cwd: word,
        container: Some(Arc::new(Container {
            namespace: "x".repeat(LONG),
            pod: "x".repeat(LONG),
            name: "x".repeat(LONG),
        })),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn doubts_about(item: &str) -> Vec<String> {
        let config =
            Config::parse(Path::new("c.yml"), &format!("process_names: [{item}]")).unwrap();
        let review = review(&config);
        assert_eq!(review.errors.len(), 0, "{item}");
        review.doubts.into_iter().map(|doubt| doubt.what).collect()
    }

    #[test]
    fn templates_that_work() {
        for template in [
            "",
            "{{.Comm}}:{{.Unit}}",
            "{{.Matches}} {{.Matches.A}}",
            "{{index .Matches \"other\"}}",
            "{{index .Argv 7}}{{slice .Comm 2 9}}{{index .Cgroups 3}}",
            "{{.StartTime.Unix}}",
            "{{slice .Pod 2 9}}{{slice .Namespace 2}}{{with .Workload}}{{.}}{{end}}{{.Container}}",
            "{{if .Cwd}}{{.Cwd}}{{else}}{{.ContainerID}}{{end}}",
            "{{with .Matches}}{{.Anything}}{{end}}",
            "{{define \"x\"}}{{.Comm}}{{end}}{{template \"x\" .}}",
        ] {
            let item = format!("{{cmdline: ['(?P<A>x)'], name: '{template}', max_groups: 9}}");
            assert_eq!(doubts_about(&item), [""; 0], "{template}");
        }
    }

    #[test]
    fn texts_that_may_be_longer_than_a_name() {
        for (cmdline, template) in [
            (".+", "{{.Matches}}"),
            ("(?P<All>.*)", "x{{.Matches.All}}"),
            ("java", "{{.Argv}}"),
            ("java", "{{range .Argv}}{{.}} {{end}}"),
            ("java", "{{.Cgroups}}"),
        ] {
            let found = doubts_about(&format!("{{cmdline: ['{cmdline}'], name: '{template}'}}"));
            assert_eq!(found.len(), 1, "{template}: {found:?}");
            assert!(
                found[0].starts_with("the text may be longer than 1024 bytes"),
                "{found:?}"
            );
        }
        for (cmdline, template) in [
            (".+", "{{.Comm}}"),
            ("-jar (?P<Jar>\\S+) .*", "{{.Matches.Jar}}"),
            ("nginx", "{{.Matches}}"),
            (".*", "{{.ExeFull}}{{index .Argv 1}}{{index .Cgroups 0}}"),
            ("(?P<All>.*)", "{{slice .Matches.All 0 20}}"),
        ] {
            let item = format!("{{cmdline: ['{cmdline}'], name: '{template}'}}");
            assert_eq!(doubts_about(&item), [""; 0], "{template}");
        }
    }

    #[test]
    fn groups_of_single_processes_without_a_bound() {
        for (item, variable) in [
            ("name: '{{.PID}}'", "PID"),
            ("name: '{{.Comm}}-{{.PID}}'", "PID"),
            ("name: '{{printf \"%d\" .PID}}'", "PID"),
            ("labels: {pid: '{{.PID}}'}", "PID"),
            ("labels: {parent: '{{.PPID}}'}", "PPID"),
            ("name: '{{.StartTime.Unix}}'", "StartTime"),
        ] {
            let found = doubts_about(&format!("{{comm: [a], {item}}}"));
            assert_eq!(found.len(), 1, "{item}: {found:?}");
            assert!(
                found[0].starts_with(&format!("with .{variable} each ")),
                "{found:?}"
            );
            let bounded = format!("{{comm: [a], {item}, max_groups: 5}}");
            assert_eq!(doubts_about(&bounded), [""; 0], "{item}");
        }
        for item in [
            "name: '{{if eq .PID 1}}init{{else}}{{.Comm}}{{end}}'",
            "name: '{{.StartTime.Year}}'",
            "exclude: true",
        ] {
            assert_eq!(
                doubts_about(&format!("{{comm: [a], {item}}}")),
                [""; 0],
                "{item}"
            );
        }
    }

    #[test]
    fn templates_that_do_not() {
        for (template, expected) in [
            ("{{.Cmdline}}", "there is no variable .Cmdline"),
            (
                "{{if .Comm}}{{else}}{{.Nope}}{{end}}",
                "there is no variable .Nope",
            ),
            (
                "{{.Matches.B}}",
                "no expression of this item has a group (?P<B>...)",
            ),
            ("{{.Comm.Nope}}", "it fails at run time"),
            ("{{.StartTime.Nope}}", "it fails at run time"),
            ("{{template \"nowhere\"}}", "it fails at run time"),
        ] {
            let item = format!("{{cmdline: ['(?P<A>x)'], name: '{template}'}}");
            let found = doubts_about(&item);
            assert_eq!(found.len(), 1, "{template}: {found:?}");
            assert!(found[0].starts_with(expected), "{template}: {found:?}");
        }
    }

    #[test]
    fn labels_are_looked_at_too() {
        let item = "{comm: [a], labels: {x: '{{.Unit}}', y: 'z{{.Pods}}'}}";
        assert!(doubts_about(item)[0].starts_with("there is no variable .Pods"));
    }

    #[test]
    fn each_item_s_first_error_is_reported() {
        let yaml = "process_names: [{cmdline: ['a(']}, {comm: [a]}, {cgroup: ['b('], name: '{{'}]";
        let config = Config::parse(Path::new("c.yml"), yaml).unwrap();
        assert_eq!(review(&config).errors.len(), 2);
    }
}
