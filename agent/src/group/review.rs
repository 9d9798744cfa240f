//! What can be said of a configuration's expressions and templates without any process: for `headcount check`.
//!
//! Templates are looked at twice: for the variables they name, and by running them on a process of which everything is known.

use std::collections::HashSet;
use std::sync::Arc;

use super::classifier::compile;
use super::name::NameTemplate;
use super::pattern::{Matches, Pattern, Room};
use super::start_time::BootTime;
use super::template_kinds::VARIABLES;
use crate::config::{self, Config, Key};
use crate::process::{Container, Facts};

/// Long enough for whatever a template cuts out of it.
const LONG: usize = 64;

/// A template that will not do what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Whose, from 0.
    pub item: usize,
    /// Which of its templates.
    pub key: Key,
    /// Which of its labels, from 0.
    pub number: Option<usize>,
    /// What is wrong, and what to do.
    pub what: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Review {
    /// What cannot be compiled: the first of each item.
    pub errors: Vec<config::Error>,
    /// What can be, but will not work.
    pub doubts: Vec<Doubt>,
}

/// Looks at every item.
pub fn review(config: &Config) -> Review {
    let mut room = Room::default();
    let mut review = Review::default();
    for index in 0..config.items.len() {
        match compile(config, index, &mut room) {
            Ok(item) => {
                let known: HashSet<&str> = item.selector.group_names().collect();
                let labels = item.labels.iter().map(|(_, template)| template).enumerate();
                let labels = labels.map(|(number, template)| (Key::Labels, Some(number), template));
                for (key, number, template) in
                    std::iter::once((Key::Name, None, &item.name)).chain(labels)
                {
                    let doubts = doubts(template, &known).into_iter();
                    review.doubts.extend(doubts.map(|what| Doubt {
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

/// Whether the expression is found in a text of nothing; `false` for what is no expression.
pub fn finds_nothing(expression: &str) -> bool {
    Pattern::compile(expression, &mut Room::default()).is_ok_and(|pattern| pattern.is_match(""))
}

fn doubts(template: &NameTemplate, known: &HashSet<&str>) -> Vec<String> {
    let Some(used) = template.used() else {
        return Vec::new();
    };
    let mut found: Vec<String> = Vec::new();
    for field in &used.unknown {
        let variables = VARIABLES.map(|name| format!(".{name}")).join(" ");
        found.push(format!(
            "there is no variable .{field}, so the text ends before it; the variables are {variables}"
        ));
    }
    for group in &used.matches {
        if !known.contains(group.as_str()) {
            found.push(format!(
                "no expression of this item has a group (?P<{group}>...), so .Matches.{group} is \"<no value>\"; name \
                 the group, or leave it out"
            ));
        }
    }
    if found.is_empty() {
        let failure = template.render(&sample(), BootTime { unix_seconds: 0 }, &held(known));
        found.extend(failure.error.map(|cause| {
            format!("it stops when it is run, and the text ends there: {cause}; mend or remove that part")
        }));
    }
    found
}

/// A process of which everything is known, and more of it than templates ask for.
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

fn held(names: &HashSet<&str>) -> Matches {
    let held = names.iter().map(|name| ((*name).into(), "x".repeat(LONG)));
    held.collect()
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
            let item = format!("{{cmdline: ['(?P<A>x)'], name: '{template}'}}");
            assert_eq!(doubts_about(&item), [""; 0], "{template}");
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
            ("{{.Comm.Nope}}", "it stops when it is run"),
            ("{{.StartTime.Nope}}", "it stops when it is run"),
            ("{{template \"nowhere\"}}", "it stops when it is run"),
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
    fn each_item_s_first_error_is_told() {
        let yaml = "process_names: [{cmdline: ['a(']}, {comm: [a]}, {cgroup: ['b('], name: '{{'}]";
        let config = Config::parse(Path::new("c.yml"), yaml).unwrap();
        assert_eq!(review(&config).errors.len(), 2);
    }
}
