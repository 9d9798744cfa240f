//! Fuzz targets for templates, expressions, moments and cgroup paths, with any input.

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use regex::bytes::RegexBuilder;

use super::boot_time::BootTime;
use super::bounded::{MAX_NAME, bounded};
use super::name::NameTemplate;
use super::pattern::{Matches, Pattern, Room};
use super::text::fitting;
use crate::go::civil::{self, Civil};
use crate::go::time::{METHODS, Time};
use crate::go::{self, time_layout};
use crate::process::{
    Container, Facts, Parent, container_path, is_container_id, systemd_slice, systemd_unit,
};

/// A process whose facts are all known; hostile users choose some of them.
#[derive(Debug, Arbitrary)]
pub(crate) struct Subject<'a> {
    comm: &'a [u8],
    argv: Vec<&'a [u8]>,
    cgroups: Vec<&'a str>,
    username: &'a str,
    cwd: &'a [u8],
    pod: Option<&'a str>,
    ids: (u32, u32, u64),
}

impl Subject<'_> {
    pub(crate) fn facts(&self) -> Facts {
        let container = self.pod.map(|pod| {
            Arc::new(Container {
                namespace: "ns".to_owned(),
                pod: pod.to_owned(),
                name: "c".to_owned(),
            })
        });
        Facts {
            tgid: self.ids.0,
            parent: self.ids.1,
            start_ns: self.ids.2,
            comm: self.comm.to_vec(),
            argv: self.argv.iter().collect(),
            uid: Some(1),
            username: self.username.to_owned(),
            cgroups: self.cgroups.iter().map(|path| (*path).to_owned()).collect(),
            cwd: self.cwd.to_vec(),
            container,
            ..Facts::default()
        }
    }
}

/// The text before the first NUL, and the bytes after it.
pub(crate) fn halves(input: &[u8]) -> Option<(&str, &[u8])> {
    let end = input
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(input.len());
    let behind = input.get(end + 1..).unwrap_or_default();
    Some((std::str::from_utf8(&input[..end]).ok()?, behind))
}

/// Input: a template, a NUL, a process. The name is bounded and is the same each time; a fixed name does not depend on the
/// process.
pub(crate) fn template(input: &[u8]) {
    let Some((source, rest)) = halves(input) else {
        return;
    };
    let Ok(template) = NameTemplate::of(source) else {
        return;
    };
    let Ok(subject) = Subject::arbitrary(&mut Unstructured::new(rest)) else {
        return;
    };
    let facts = subject.facts();
    let boot = BootTime {
        unix_seconds: 1_700_000_000,
    };
    let matches = Matches::from([
        ("".into(), "all".to_owned()),
        ("App".into(), "kafka".to_owned()),
    ]);
    let rendered = template.render(&facts, boot, &matches);
    assert_eq!(fitting(&rendered.text, MAX_NAME).0, rendered.text);
    assert_eq!(template.render(&facts, boot, &matches), rendered);
    assert!(template.fixed().is_none_or(|fixed| fixed == rendered.text));
    if !source.contains("{{") && !bounded(source).is_cut {
        assert_eq!((rendered.text.as_str(), rendered.error), (source, None));
    }
}

/// Input: an expression, a NUL, a text to search.
pub(crate) fn regexp(input: &[u8]) {
    let Some((source, rest)) = halves(input) else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let translated = go::regexp::translate(source);
    let pattern = match Pattern::compile(source, &mut Room::default()) {
        Ok(pattern) => pattern,
        Err(refused) => {
            // A translated expression may be refused for its size or depth only.
            let is_large = [
                "expression too large",
                "expression nests too deeply or is not supported",
            ];
            assert!(
                translated.is_err() || is_large.contains(&refused.what),
                "{refused}"
            );
            return;
        }
    };
    let mut matches = Matches::new();
    let is_found = pattern.is_match(&text);
    assert_eq!(pattern.captures(&text, &mut matches), is_found);
    assert!(is_found || matches.is_empty());
    if is_found {
        assert!(pattern.group_names().all(|name| matches.contains_key(name)));
        assert!(matches.values().all(|held| text.contains(held.as_str())));
        assert!(
            pattern
                .first_group(&text)
                .is_none_or(|held| text.contains(&held))
        );
    }
    if is_common(source) {
        let other = RegexBuilder::new(source).size_limit(4 << 20).build();
        assert!(other.is_ok_and(|other| other.is_match(text.as_bytes()) == is_found));
    }
}

/// Whether an expression uses only characters that mean the same in both languages.
fn is_common(source: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " .*+?|()^$/:_".contains(c);
    source.chars().all(is_plain) && !source.contains("(?")
}

/// Input: a moment and a layout. The text of a moment reads back as the same moment.
pub(crate) fn time(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok((boot, start_ns, seconds, nanosecond)) = <(u64, u64, i64, u32)>::arbitrary(&mut input)
    else {
        return;
    };
    let boot = BootTime { unix_seconds: boot };
    let start = boot.start_time(start_ns);
    let civil = Civil::from_unix(seconds / 4, nanosecond % 1_000_000_000);
    let (month, day) = (i64::from(civil.month), i64::from(civil.day));
    assert!(
        (1..=12).contains(&month) && (1..=31).contains(&day) && (1..=366).contains(&civil.year_day)
    );
    let days = civil::unix_days(civil.year, month, day);
    let of_day =
        i64::from(civil.hour) * 3_600 + i64::from(civil.minute) * 60 + i64::from(civil.second);
    assert_eq!(days * 86_400 + of_day, seconds / 4);
    let is_of_our_time = boot.unix_seconds < 1 << 36;
    if is_of_our_time {
        assert_eq!(Time::parse(&start.to_string()), Some(start));
    }
    let layout = String::from_utf8_lossy(input.take_rest());
    let text = time_layout::format(&civil, &layout);
    // `.9` writes nothing for a whole second.
    let may_write_nothing = layout.chars().all(|c| ".,9".contains(c));
    assert!(!text.is_empty() || may_write_nothing);
    for method in METHODS {
        let layout = (method == "Format").then_some(&*layout);
        assert!(start.ask(method, layout).is_some());
    }
    // Templates may pass any text.
    let _ = Time::parse(&layout);
}

/// Input: paths, one a line. Names that are found are in the paths.
pub(crate) fn cgroup_path(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let paths: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_in = |name: &str| {
        let mut components = paths.iter().flat_map(|path| path.split('/'));
        components.any(|part| part == name || part.strip_prefix('_') == Some(name))
    };
    assert!(systemd_unit(&paths).is_none_or(is_in));
    assert!(systemd_slice(&paths).is_none_or(|slice| is_in(slice) && slice.ends_with(".slice")));
    let found = container_path(&paths);
    assert!(found.is_none_or(|path| is_container_id(path.id) && text.contains(path.id)));
    let is_pod = found.is_some_and(|path| matches!(path.parent, Parent::Pod(_)));
    assert!(!is_pod || text.contains("pod"));
    // Below a cgroup that a user may write to, no path leads to a container outside.
    for path in &paths {
        let below = format!("/user.slice/user-1.slice/user@1.service/{path}");
        let found = container_path(std::slice::from_ref(&below)).map(|path| path.parent);
        assert!(found.is_none_or(|parent| parent == Parent::Delegated("user@1.service")));
    }
    let facts = Facts {
        cgroups: paths.clone(),
        ..Facts::default()
    };
    let name = |part| {
        let template = NameTemplate::of(part).expect("a variable");
        let rendered = template.render(&facts, BootTime::default(), &Matches::new());
        rendered.text
    };
    let cut = |text: &str| bounded(text).text;
    assert_eq!(
        name("{{.Unit}}"),
        cut(systemd_unit(&paths).unwrap_or_default())
    );
    let shown = found.map_or(String::new(), |path| path.to_string());
    assert_eq!(name("{{.ContainerID}}"), cut(&shown));
}
