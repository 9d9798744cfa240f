//! Finds the offsets of tracepoint fields in tracefs, for the programs on classic tracepoints.

mod format;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use agent_common::{ABSENT, TraceFields};
use format::parse_field;

use super::support::Obstacle;

/// Where tracefs is mounted; the first one is where systemd mounts it. aya looks at the same two places.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Maximum bytes that are read of a description; no real one is as long.
const FORMAT_BYTES: u64 = 64 * 1024;

/// Fields that the programs can do without. Without `filename` the task name stands for the first argument, and without
/// `old_pid` no record says which thread called exec.
const OPTIONAL: &[(&str, &str)] = &[
    ("sched/sched_process_exec", "filename"),
    ("sched/sched_process_exec", "old_pid"),
];

/// The fields of this kernel's tracepoints.
///
/// # Errors
/// When tracefs cannot be read, or a required field is missing.
pub(super) fn fields() -> Result<TraceFields, Obstacle> {
    let is_there = |place: &&&str| Path::new(place).join("events").exists();
    match PLACES.iter().find(is_there) {
        Some(place) => read_fields(Path::new(place)),
        None => Err(Obstacle::NoTracefs(reason())),
    }
}

/// Why there is no tracefs at either place.
fn reason() -> String {
    let found = PLACES.map(|place| std::fs::read_dir(place).err());
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    if found.iter().flatten().any(is_denied) {
        return "permission denied; root or CAP_DAC_READ_SEARCH may look into it".to_owned();
    }
    "it is not mounted; `mount -t tracefs tracefs /sys/kernel/tracing` does it, and a container needs that folder of \
     the host"
        .to_owned()
}

fn read_fields(tracefs: &Path) -> Result<TraceFields, Obstacle> {
    let mut formats = HashMap::new();
    for (event, _, _) in TraceFields::FIELDS {
        if !formats.contains_key(event) {
            let path = tracefs.join("events").join(event).join("format");
            let format = read_format(&path)
                .map_err(|error| Obstacle::NoTracefs(format!("{}: {error}", path.display())))?;
            formats.insert(*event, format);
        }
    }
    resolve(|event| formats.get(event).map_or("", String::as_str))
}

fn read_format(path: &PathBuf) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FORMAT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Finds the fields in the descriptions that `format` returns for each event.
fn resolve<'a>(format: impl Fn(&str) -> &'a str) -> Result<TraceFields, Obstacle> {
    let mut missing = None;
    let fields = TraceFields::resolve(|event, name, bytes| {
        let found = parse_field(format(event), name).filter(|field| field.size == bytes);
        if found.is_none() && !OPTIONAL.contains(&(event, name)) {
            missing.get_or_insert_with(|| format!("{event}: {name}"));
        }
        found.map_or(Some(ABSENT), |field| Some(field.offset))
    });
    missing.map_or(Ok(fields), |field| Err(Obstacle::NoTraceField(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on these kernels: the descriptions one after another, without their last lines.
    const RECORDED: [(&str, &str); 4] = [
        (
            "5.10",
            include_str!("../../../../tests/fixtures/tracefs/5.10.txt"),
        ),
        (
            "6.1",
            include_str!("../../../../tests/fixtures/tracefs/6.1.txt"),
        ),
        (
            "6.18",
            include_str!("../../../../tests/fixtures/tracefs/6.18.txt"),
        ),
        (
            "7.2",
            include_str!("../../../../tests/fixtures/tracefs/7.2.txt"),
        ),
    ];

    fn section<'a>(recorded: &'a str, event: &str) -> &'a str {
        let (_, name) = event.split_once('/').unwrap();
        let mut sections = recorded.split("name: ").filter(|part| !part.is_empty());
        let is_it = |part: &&str| part.lines().next() == Some(name);
        sections.find(is_it).unwrap()
    }

    #[test]
    fn the_fields_of_recorded_kernels() {
        for (kernel, recorded) in RECORDED {
            let fields = resolve(|event| section(recorded, event)).unwrap();
            // Since 6.16 the field `comm` of the event is shorter, so `pid` has another offset.
            let free_pid = if ["5.10", "6.1"].contains(&kernel) {
                24
            } else {
                12
            };
            let expected = TraceFields {
                newtask_pid: 8,
                newtask_flags: 32,
                exec_filename: 8,
                exec_old_pid: 16,
                switch_prev_state: 32,
                switch_next_pid: 56,
                free_pid,
            };
            assert_eq!(fields, expected, "{kernel}");
        }
    }

    #[test]
    fn a_missing_field_is_an_obstacle_unless_something_stands_in_for_it() {
        let without = |line: &str| {
            let (_, recorded) = RECORDED[0];
            let left: Vec<_> = recorded.lines().filter(|one| !one.contains(line)).collect();
            let left = left.join("\n");
            resolve(|event| section(&left, event))
        };
        assert_eq!(without(" filename;").unwrap().exec_filename, ABSENT);
        assert_eq!(
            without(" prev_state;"),
            Err(Obstacle::NoTraceField(
                "sched/sched_switch: prev_state".to_owned()
            ))
        );
    }

    #[test]
    fn a_field_of_another_size_is_none() {
        let (_, recorded) = RECORDED[0];
        let narrow = recorded.replace("offset:32;\tsize:8", "offset:32;\tsize:4");
        let found = resolve(|event| section(&narrow, event));
        assert_eq!(
            found,
            Err(Obstacle::NoTraceField(
                "task/task_newtask: clone_flags".to_owned()
            ))
        );
    }

    #[test]
    fn missing_description_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_fields(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("events/task/task_newtask/format: No such file"),
            "{error}"
        );
    }
}
