//! BPF programs, links and maps, as the kernel numbers them.

use std::io;
use std::time::{Duration, Instant};

/// Commands of `bpf(2)` (kernel: include/uapi/linux/bpf.h).
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const LINK_GET_FD_BY_ID: libc::c_long = 30;

/// The kernel frees them after grace periods.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Numbers of the kernel objects that a process holds. They are given out in a circle: none comes again soon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) programs: Vec<u32>,
    pub(crate) links: Vec<u32>,
    pub(crate) maps: Vec<u32>,
}

impl Objects {
    /// The objects that the open descriptors of a process name.
    pub(crate) fn of_process(pid: i32) -> Self {
        let mut objects = Self::default();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            let text = match std::fs::read_to_string(entry.unwrap().path()) {
                Ok(text) => text,
                // A connection that the agent closed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => panic!("{error}"),
            };
            let number = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key))?;
                line.trim().parse().ok()
            };
            // A link names its program, too.
            if let Some(link) = number("link_id:") {
                objects.links.push(link);
            } else {
                objects.programs.extend(number("prog_id:"));
                objects.maps.extend(number("map_id:"));
            }
        }
        for list in [&mut objects.programs, &mut objects.links, &mut objects.maps] {
            list.sort_unstable();
            list.dedup();
        }
        objects
    }

    /// Those of them that exist.
    pub(crate) fn still_there(&self) -> Self {
        let those = |command, numbers: &[u32]| {
            let is_there = |number: &u32| exists(command, *number);
            numbers.iter().copied().filter(is_there).collect()
        };
        Self {
            programs: those(PROG_GET_FD_BY_ID, &self.programs),
            links: those(LINK_GET_FD_BY_ID, &self.links),
            maps: those(MAP_GET_FD_BY_ID, &self.maps),
        }
    }

    pub(crate) fn await_gone(&self) {
        let begun = Instant::now();
        loop {
            let left = self.still_there();
            if left == Self::default() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "left behind: {left:?}");
            std::thread::sleep(PAUSE);
        }
    }
}

fn exists(command: libc::c_long, number: u32) -> bool {
    // The id, and zeros for the rest of the union.
    let attributes = [number, 0, 0];
    // SAFETY: the pointer is to a local of the given length.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    if fd < 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        return false;
    }
    // SAFETY: the descriptor is ours, and no other code knows it.
    unsafe { libc::close(i32::try_from(fd).unwrap()) };
    true
}

/// How often the kernel did not run one of a process's programs, because another one was under way on that CPU; by the program's
/// number. Nothing where the kernel does not count them, and of a process that is gone.
pub(crate) fn recursion_misses(pid: i32) -> Vec<(u64, u64)> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let number = |text: &str, key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    };
    let missed = texts.filter_map(|text| {
        let misses = number(&text, "recursion_misses:")?;
        Some((number(&text, "prog_id:")?, misses))
    });
    missed.filter(|(_, misses)| *misses > 0).collect()
}

/// The pinned objects, by name. A machine that does not mount the file system pins nothing.
pub(crate) fn pinned() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("/sys/fs/bpf")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
