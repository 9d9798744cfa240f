//! Reads runs and time of kernel programs, as the kernel counts them, and attaches an empty program to measure the cost of
//! counting.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::{fs, io};

use anyhow::{Context as _, Result};

/// From the kernel: `enum bpf_cmd` and `enum bpf_prog_type`.
const PROG_LOAD: libc::c_int = 5;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const RAW_TRACEPOINT: u32 = 17;
/// From the kernel: size of `struct bpf_prog_info` up to its name, and the offset of the name.
const INFO_BYTES: usize = 80;
const INFO_NAME: usize = 64;

/// Keeps `kernel.bpf_stats_enabled` at 1; when dropped, restores its old value.
#[derive(Debug)]
pub(super) struct ProgramStatistics {
    before: String,
}

impl ProgramStatistics {
    const PATH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    pub(super) fn enable() -> Result<Self> {
        let before =
            fs::read_to_string(Self::PATH).with_context(|| format!("read {}", Self::PATH))?;
        fs::write(Self::PATH, "1").with_context(|| format!("write {}", Self::PATH))?;
        Ok(Self { before })
    }
}

impl Drop for ProgramStatistics {
    fn drop(&mut self) {
        if fs::write(Self::PATH, &self.before).is_err() {
            eprintln!(
                "bench: {} could not be set back to {}",
                Self::PATH,
                self.before.trim()
            );
        }
    }
}

/// The kernel's counts of one program so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Program {
    /// Name of its function, cut to 15 bytes.
    pub(super) name: String,
    pub(super) runs: f64,
    pub(super) time_ns: f64,
}

impl Program {
    pub(super) fn each_ns(&self) -> f64 {
        self.time_ns / self.runs
    }
}

/// The programs that ran and of which process `pid` holds a descriptor.
pub(super) fn of_process(pid: u32) -> Result<Vec<Program>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        // The process may close a descriptor meanwhile.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        if let Some((id, runs, time_ns)) = parse(&text).filter(|(_, runs, _)| *runs > 0.0) {
            let name = name_of(id).with_context(|| format!("name of program {id}"))?;
            programs.push(Program {
                name,
                runs,
                time_ns,
            });
        }
    }
    Ok(programs)
}

/// Number, runs and time of the program of the descriptor.
fn parse(fdinfo: &str) -> Option<(u32, f64, f64)> {
    let field = |key: &str| {
        let mut lines = fdinfo.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"))?;
        Some(value.trim())
    };
    let number = |key| field(key)?.parse::<f64>().ok();
    // The `fdinfo` of a link also has the number of its program, but no type of it.
    field("prog_type")?;
    let id = field("prog_id")?.parse().ok()?;
    Some((id, number("run_cnt")?, number("run_time_ns")?))
}

fn name_of(id: u32) -> io::Result<String> {
    let program = bpf(PROG_GET_FD_BY_ID, &[u64::from(id), 0])?;
    let mut info = [0_u8; INFO_BYTES];
    // The descriptor, the size of the buffer, and its address.
    let head = program.as_raw_fd() as u64 | (INFO_BYTES as u64) << 32;
    call(OBJ_GET_INFO_BY_FD, &[head, info.as_mut_ptr() as u64])?;
    let name = &info[INFO_NAME..];
    let len = name.iter().position(|byte| *byte == 0);
    let name = &name[..len.unwrap_or(name.len())];
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// A program that does nothing and runs at each switch of tasks as long as this value lives.
#[derive(Debug)]
pub(super) struct Empty {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Empty {
    pub(super) fn attach() -> Result<Self> {
        // r0 = 0; exit
        const CODE: [u64; 2] = [0xb7, 0x95];
        const LICENCE: &std::ffi::CStr = c"GPL";
        const HOOK: &std::ffi::CStr = c"sched_switch";
        let head = u64::from(RAW_TRACEPOINT) | (CODE.len() as u64) << 32;
        let load = [head, CODE.as_ptr() as u64, LICENCE.as_ptr() as u64];
        let program = bpf(PROG_LOAD, &load).context("load an empty program")?;
        let open = [HOOK.as_ptr() as u64, program.as_raw_fd() as u64];
        let link = bpf(RAW_TRACEPOINT_OPEN, &open).context("attach an empty program")?;
        Ok(Self {
            program,
            _link: link,
        })
    }

    pub(super) fn counted(&self) -> Result<Program> {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let (_, runs, time_ns) = parse(&text).with_context(|| format!("{path} has no counts"))?;
        Ok(Program {
            name: "empty".to_owned(),
            runs,
            time_ns,
        })
    }
}

/// Runs a command that makes a descriptor.
fn bpf<const WORDS: usize>(command: libc::c_int, attributes: &[u64; WORDS]) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and no other code has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `attributes` are the beginning of the kernel's `union bpf_attr` for this command; the rest of it is zero.
fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads `size` bytes, and the memory that they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *const T, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_distinguished_from_links_and_other_files() {
        let program = "pos:\t0\nprog_type:\t26\nprog_id:\t7\nrun_time_ns:\t500\nrun_cnt:\t10\n";
        assert_eq!(parse(program), Some((7, 10.0, 500.0)));
        assert_eq!(parse("pos:\t0\nlink_type:\ttracing\nprog_id:\t7\n"), None);
        assert_eq!(parse("pos:\t0\n"), None);
    }
}
