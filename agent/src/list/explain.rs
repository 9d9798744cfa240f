//! Shows one process, and for each item why it matches or does not.

use std::fmt::Write as _;

use super::screen::shown;
use super::{Home, ListedProcess, Machine, called, labels};
use crate::config::{Config, Key, Text};
use crate::group::{Classifier, Miss, Verdict};
use crate::process::{Container, Facts};

/// Largest width of a value, columns.
const VALUE: usize = 1000;
/// Largest number of cgroup paths that are shown.
const PATHS: usize = 16;

/// The explanation; `None` if there is no such process.
pub fn explain(
    machine: &Machine,
    config: &Config,
    classifier: &Classifier,
    tgid: u32,
) -> Option<String> {
    let process = machine.processes.get(&tgid)?;
    let mut text = portrait(&process.facts);
    let taken = match &process.verdict {
        Verdict::Member(placement) => Some(placement.item),
        Verdict::Excluded { item } => Some(*item),
        Verdict::Unmatched => None,
    };
    for (index, miss) in classifier.misses(&process.facts).enumerate() {
        let why = match (miss, taken) {
            (Some(miss), _) => format!("no: {}", reason(config, index, miss)),
            (None, Some(taken)) if taken < index => "yes, but an earlier item matches".to_owned(),
            (None, _) => "yes".to_owned(),
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{}: {why}", called(config, index));
    }
    text.push_str(&conclusion(machine, config, tgid, process));
    Some(text)
}

fn portrait(facts: &Facts) -> String {
    let value = |bytes: &[u8]| shown(&String::from_utf8_lossy(bytes), VALUE);
    let mut text = format!("process {}, child of {}\n", facts.tgid, facts.parent);
    let _ = writeln!(text, "comm     {}", value(&facts.comm));
    let exe = facts.argv.first().unwrap_or_default();
    let _ = writeln!(text, "exe      {}", value(exe));
    let _ = writeln!(text, "cmdline  {}", value(&facts.argv.joined()));
    let uid = facts.uid.unwrap_or_default();
    let _ = writeln!(text, "user     {} ({uid})", shown(&facts.username, VALUE));
    for path in facts.cgroups.iter().take(PATHS) {
        let _ = writeln!(text, "cgroup   {}", shown(path, VALUE));
    }
    if let Some(container) = &facts.container {
        let Container {
            namespace,
            pod,
            name,
        } = &**container;
        let _ = writeln!(text, "pod      {namespace}/{pod}, container {name}");
    }
    text.push('\n');
    text
}

fn reason(config: &Config, item: usize, miss: Miss) -> String {
    let Miss { key, index } = miss;
    let list = config.items.get(item).and_then(|item| item.list(key));
    let expression = list.zip(index).and_then(|(list, index)| list.get(index));
    match (key, expression) {
        (Key::Cgroup, Some(Text { text, .. })) => {
            format!("cgroup: {text:?} is found in no cgroup path")
        }
        (_, Some(Text { text, .. })) => format!("{key}: {text:?} is not found in the command line"),
        (_, None) => format!("{key}: not in the list"),
    }
}

fn conclusion(machine: &Machine, config: &Config, tgid: u32, process: &ListedProcess) -> String {
    let name = |name: &str| shown(name, VALUE);
    match machine.home(tgid) {
        Home::Own(placement) => format!(
            "\nin the group \"{}\"{}, by {}\n",
            name(&placement.name),
            name(&labels(placement)),
            called(config, placement.item)
        ),
        Home::Of(ancestor, placement) => format!(
            "\nin the group \"{}\"{}, with its ancestor {ancestor}, by {}\n",
            name(&placement.name),
            name(&labels(placement)),
            called(config, placement.item)
        ),
        Home::Excluded(at, item) if at == tgid => {
            format!("\nin no group: {} excludes it\n", called(config, item))
        }
        Home::Excluded(ancestor, item) => format!(
            "\nin no group: no item matches, and {} excludes its ancestor {ancestor}\n",
            called(config, item)
        ),
        Home::Nowhere => format!(
            "\nin no group: no item matches, and no ancestor (from {} upwards) is in a group\n",
            process.facts.parent
        ),
    }
}
