//! The name of a process's group.
//!
//! In come a template, compiled once, and the facts of a process; out goes the name (section 2.2 of docs/dev/compatibility.md). A
//! template of plain text and plain variables, as nearly all are, is a list of parts here; any other one is a program of
//! [`crate::go::template`]. For any bytes in the names of a process, the result is text, and it is cut if it is too long
//! ([`super::bounded`]): process-exporter does not cut, but then a local user decides how much memory a group takes.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use gotmpl::Value;
use gotmpl::parse::{Expr, ListNode, Node};

use super::boot_time::BootTime;
use super::bounded::Bounded;
use super::pattern::Matches;
use crate::go::template::{self, Fields, Program, Used, string};
use crate::go::text;
use crate::process::{Container, Facts, container_path, systemd_slice, systemd_unit};

/// The fields of the data: process-exporter's eight, and the additional ones.
pub(super) const VARIABLES: [&str; 18] = [
    "Argv",
    "Cgroups",
    "Comm",
    "Container",
    "ContainerID",
    "Cwd",
    "ExeBase",
    "ExeFull",
    "Matches",
    "Namespace",
    "PID",
    "PPID",
    "Pod",
    "Slice",
    "StartTime",
    "Unit",
    "Username",
    "Workload",
];

/// The facts about them that the engine needs.
const FIELDS: Fields = Fields {
    names: &VARIABLES,
    time: "StartTime",
    map: "Matches",
};

/// A template sees at most this many arguments.
const MAX_ARGUMENTS: usize = 256;

/// If a template uses one of these variables, the names of pods are read.
const POD_VARIABLES: [&str; 4] = ["Namespace", "Pod", "Workload", "Container"];

/// The template of an item without a name.
pub(super) const DEFAULT: &str = "{{.ExeBase}}";

/// A compiled template.
#[derive(Debug)]
pub(super) struct NameTemplate {
    pub(super) form: Form,
    uses_cwd: bool,
    uses_pods: bool,
}

#[derive(Debug)]
pub(super) enum Form {
    Parts(Vec<NamePart>),
    Program(Box<Program>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NamePart {
    Text(String),
    Comm,
    ExeBase,
    ExeFull,
    Username,
    Pid,
    Parent,
    Cwd,
    Unit,
    Slice,
    ContainerId,
    Namespace,
    Pod,
    Workload,
    Container,
}

/// A rendered text, and the error that ended it early if the template failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Whether the text was too long, and ends in a hash.
    pub(super) is_cut: bool,
    pub(super) error: Option<String>,
}

impl NameTemplate {
    /// Compiles `source`; without one, the default template.
    ///
    /// # Errors
    /// Bad syntax, unknown functions and variables, in Go's words.
    pub(super) fn compile(source: Option<&str>) -> Result<Self, String> {
        Self::of(
            source
                .filter(|source| !source.is_empty())
                .unwrap_or(DEFAULT),
        )
    }

    /// As [`NameTemplate::compile`], without a default.
    ///
    /// # Errors
    /// Bad syntax, unknown functions and variables, in Go's words.
    pub(super) fn of(source: &str) -> Result<Self, String> {
        let form = match parts(&template::parse(source)?) {
            Some(parts) => Form::Parts(parts),
            None => Form::Program(Box::new(Program::compile(source, FIELDS)?)),
        };
        // A template that uses a variable contains its name.
        let uses_cwd = source.contains("Cwd");
        let others = source.replace("ContainerID", "");
        let uses_pods = POD_VARIABLES.iter().any(|name| others.contains(name));
        Ok(NameTemplate {
            form,
            uses_cwd,
            uses_pods,
        })
    }

    /// The name, if it is the same for every process: a text without any action.
    pub(super) fn fixed(&self) -> Option<String> {
        let Form::Parts(parts) = &self.form else {
            return None;
        };
        let is_fixed = parts.iter().all(|part| matches!(part, NamePart::Text(_)));
        let blank = Facts::default();
        is_fixed.then(|| {
            self.render(&blank, BootTime::default(), &Matches::new())
                .text
        })
    }

    /// Whether it may use the texts that the groups of the patterns matched.
    pub(super) const fn uses_matches(&self) -> bool {
        matches!(self.form, Form::Program(_))
    }

    /// The variables that a program uses and that may be unknown; `None` for parts, which hold known variables only.
    pub(super) fn used(&self) -> Option<&Used> {
        match &self.form {
            Form::Parts(_) => None,
            Form::Program(program) => Some(&program.used),
        }
    }

    /// Whether it may use the working directory.
    pub(super) const fn uses_cwd(&self) -> bool {
        self.uses_cwd
    }

    /// Whether it may use the names of the pod.
    pub(super) const fn uses_pods(&self) -> bool {
        self.uses_pods
    }

    /// The text for a process.
    pub(super) fn render(&self, facts: &Facts, boot: BootTime, matches: &Matches) -> Rendered {
        let mut out = Bounded::default();
        let mut error = None;
        match &self.form {
            // A text that is too long ends the rendering, here and below. That is no failure of the template.
            Form::Parts(parts) => {
                let _ = parts
                    .iter()
                    .try_for_each(|part| part.write(facts, &mut out));
            }
            Form::Program(program) => {
                let ended = program.run(&data(facts, boot, matches), &mut out);
                error = ended.err().filter(|_| !out.is_full());
            }
        }
        let name = out.finish();
        Rendered {
            text: name.text,
            is_cut: name.is_cut,
            error,
        }
    }
}

/// The template as parts, if it consists of plain text and plain variables.
fn parts(tree: &ListNode) -> Option<Vec<NamePart>> {
    tree.nodes
        .iter()
        .map(|node| match node {
            Node::Text(text) => Some(NamePart::Text(text.text.to_string())),
            Node::Action(action) if action.pipe.decl.is_empty() => {
                let [command] = &action.pipe.commands[..] else {
                    return None;
                };
                let [Expr::Field(_, fields)] = &command.args[..] else {
                    return None;
                };
                let [field] = &fields[..] else { return None };
                Some(match field.as_str() {
                    "Comm" => NamePart::Comm,
                    "ExeBase" => NamePart::ExeBase,
                    "ExeFull" => NamePart::ExeFull,
                    "Username" => NamePart::Username,
                    "PID" => NamePart::Pid,
                    "PPID" => NamePart::Parent,
                    "Cwd" => NamePart::Cwd,
                    "Unit" => NamePart::Unit,
                    "Slice" => NamePart::Slice,
                    "ContainerID" => NamePart::ContainerId,
                    "Namespace" => NamePart::Namespace,
                    "Pod" => NamePart::Pod,
                    "Workload" => NamePart::Workload,
                    "Container" => NamePart::Container,
                    _ => return None,
                })
            }
            _ => None,
        })
        .collect()
}

impl NamePart {
    fn write(&self, facts: &Facts, out: &mut Bounded) -> fmt::Result {
        match self {
            NamePart::Text(text) => out.write_str(text),
            NamePart::Username => out.write_str(&facts.username),
            NamePart::Pid => write!(out, "{}", facts.tgid),
            NamePart::Parent => write!(out, "{}", facts.parent),
            NamePart::Cwd => out.write_bytes(&facts.cwd),
            NamePart::Unit => out.write_str(systemd_unit(&facts.cgroups).unwrap_or_default()),
            NamePart::Slice => out.write_str(systemd_slice(&facts.cgroups).unwrap_or_default()),
            NamePart::ContainerId => match container_path(&facts.cgroups) {
                Some(path) => write!(out, "{path}"),
                None => Ok(()),
            },
            NamePart::Namespace => out.write_str(of_container(facts, |found| &found.namespace)),
            NamePart::Pod => out.write_str(of_container(facts, |found| &found.pod)),
            NamePart::Workload => out.write_str(of_container(facts, Container::workload)),
            NamePart::Container => out.write_str(of_container(facts, |found| &found.name)),
            NamePart::Comm => out.write_bytes(&facts.comm),
            NamePart::ExeBase => out.write_bytes(exe_base(facts)),
            NamePart::ExeFull => out.write_bytes(exe_full(facts)),
        }
    }
}

fn of_container<'a>(facts: &'a Facts, name: impl Fn(&'a Container) -> &'a str) -> &'a str {
    facts.container.as_deref().map(name).unwrap_or_default()
}

fn exe_full(facts: &Facts) -> &[u8] {
    facts.argv.first().unwrap_or(&facts.comm)
}

/// Without arguments, the task name is used unchanged, even if it contains slashes.
fn exe_base(facts: &Facts) -> &[u8] {
    facts.argv.first().map_or(&facts.comm, text::base)
}

/// The data of a program: the variables of process-exporter's templates, and the additional ones.
fn data(facts: &Facts, boot: BootTime, matches: &Matches) -> Value {
    let paths = &facts.cgroups;
    let list = |texts: &mut dyn Iterator<Item = Value>| Value::List(texts.collect());
    let matches = matches
        .iter()
        .map(|(name, held)| (Arc::clone(name), string(held)));
    let start = boot.start_time(facts.start_ns).to_string();
    let of_pod = |name: fn(&Container) -> &str| string(of_container(facts, name));
    let fields = [
        (
            "Argv",
            list(&mut facts.argv.iter().take(MAX_ARGUMENTS).map(decoded)),
        ),
        ("Cgroups", list(&mut paths.iter().map(|path| string(path)))),
        ("Comm", decoded(&facts.comm)),
        ("Container", of_pod(|found| &found.name)),
        (
            "ContainerID",
            string(&container_path(paths).map_or(String::new(), |path| path.to_string())),
        ),
        ("Cwd", decoded(&facts.cwd)),
        ("ExeBase", decoded(exe_base(facts))),
        ("ExeFull", decoded(exe_full(facts))),
        ("Matches", Value::Map(Arc::new(matches.collect()))),
        ("Namespace", of_pod(|found| &found.namespace)),
        ("PID", Value::Int(facts.tgid.into())),
        ("PPID", Value::Int(facts.parent.into())),
        ("Pod", of_pod(|found| &found.pod)),
        ("Slice", string(systemd_slice(paths).unwrap_or_default())),
        ("StartTime", string(&start)),
        ("Unit", string(systemd_unit(paths).unwrap_or_default())),
        ("Username", string(&facts.username)),
        ("Workload", of_pod(Container::workload)),
    ];
    let fields: BTreeMap<Arc<str>, Value> = fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    Value::Map(Arc::new(fields))
}

fn decoded(bytes: &[u8]) -> Value {
    let mut out = String::new();
    text::decode(bytes, &mut out);
    string(&out)
}
