//! Process 1 of an emulated machine: sets the machine up as its name says, starts the tests, reaps orphans, powers off.
//!
//! The machine holds this binary as `/init` and the agent; there is no shell. xtask reads the result from the console. The words
//! on the kernel's command line say how a machine differs from others (xtask/src/vm/machines.rs): words that the kernel does not
//! know are in the environment.

use std::ffi::CString;
use std::process::{Command, ExitCode};
use std::{fs, io, ptr};

use crate::agent::Agent;
use crate::rights::Rights;

/// In the environment of the tests that such a machine runs.
const GUEST: &str = "HEADCOUNT_GUEST";

/// Which tests: the filters of the runner, separated by commas.
const TESTS: &str = "HEADCOUNT_TESTS";

/// The mount point, the type of the file system, and its options.
type Mount = (&'static str, &'static str, &'static str);

const MOUNTS: &[Mount] = &[
    ("/dev", "devtmpfs", ""),
    ("/proc", "proc", ""),
    ("/sys", "sysfs", ""),
    ("/sys/fs/bpf", "bpf", ""),
    ("/sys/kernel/security", "securityfs", ""),
    ("/tmp", "tmpfs", ""),
];

/// Control groups of version 2, or of version 1 as distributions had them.
const CGROUP_V2: &[Mount] = &[("/sys/fs/cgroup", "cgroup2", "")];
const CGROUP_V1: &[Mount] = &[
    ("/sys/fs/cgroup", "tmpfs", ""),
    ("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
    ("/sys/fs/cgroup/memory", "cgroup", "memory"),
    ("/sys/fs/cgroup/systemd", "cgroup", "none,name=systemd"),
];

/// A kernel word, and whether the kernel took it.
type Word = (&'static str, fn() -> bool);

/// Kernel words, and where the kernel shows that it took them: else the machine would prove nothing.
const TAKEN: &[Word] = &[
    ("lockdown=confidentiality", is_locked_down),
    ("nohz_full=1", || {
        holds("/sys/devices/system/cpu/nohz_full", "1")
    }),
    ("rcu_nocbs=all", has_callback_threads),
];

/// A variable, its value, and the action for it.
type Step = (&'static str, &'static str, fn() -> io::Result<()>);

/// The set-up that a variable in the environment asks of init.
const STEPS: &[Step] = &[
    ("HEADCOUNT_BTF", "hidden", hide_btf),
    ("HEADCOUNT_FTRACE", "off", turn_ftrace_off),
];

/// Whether this is an emulated machine.
pub(crate) fn is_here() -> bool {
    std::env::var_os(GUEST).is_some()
}

/// How often something is repeated: emulation is ten to twenty times slower.
pub(crate) fn scaled(count: u64) -> u64 {
    if is_here() { count / 10 } else { count }
}

/// Reports to xtask.
pub(crate) fn report(passed: usize, failed: usize) {
    if is_here() {
        println!("HEADCOUNT-VM-RESULT: {passed} passed, {failed} failed");
    }
}

/// Reports to xtask, before the first test, the kernel of this machine and the way in which an agent without `--accounting`
/// counts.
pub(crate) fn introduce() {
    if is_here() {
        let agent = Agent::start_as(&Rights::usual(), &[], None);
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let (release, exit_hook) = (release.trim(), agent.exit_hook().unwrap_or("none"));
        println!("HEADCOUNT-VM-FOUND: {release} {} {exit_hook}", agent.tier());
    }
}

/// Whether the machine was made without the setting that fentry needs.
pub(crate) fn is_without_ftrace() -> bool {
    asks("HEADCOUNT_FTRACE", "off")
}

/// Whether agents are to run as an ordinary user.
pub(crate) fn is_unprivileged() -> bool {
    asks("HEADCOUNT_RIGHTS", "bpf")
}

/// Whether there are CPUs without tick, on any machine.
pub(crate) fn has_tickless_cpus() -> bool {
    let list = fs::read_to_string("/sys/devices/system/cpu/nohz_full").unwrap_or_default();
    list.contains(|c: char| c.is_ascii_digit())
}

/// Whether this kernel keeps its memory, and so some helpers, even from root.
pub(crate) fn is_locked_down() -> bool {
    holds("/sys/kernel/security/lockdown", "[confidentiality]")
}

fn asks(variable: &str, value: &str) -> bool {
    std::env::var(variable).is_ok_and(|found| found == value)
}

/// Everything that process 1 does.
pub(crate) fn init() -> ExitCode {
    let started = prepare().and_then(|()| {
        let tests = std::env::var(TESTS).unwrap_or_default();
        let filters = tests.split(',').filter(|word| !word.is_empty());
        Command::new("/init").args(filters).env(GUEST, "1").spawn()
    });
    match started {
        Ok(child) => reap_until(child.id()),
        Err(error) => {
            println!("this machine is not what it should be: {error}");
            println!("HEADCOUNT-VM-RESULT: 0 passed, 1 failed");
        }
    }
    // SAFETY: nothing is left that could lose anything.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    ExitCode::FAILURE
}

/// Sets the machine up as its name says.
fn prepare() -> io::Result<()> {
    let cgroups = match asks("HEADCOUNT_CGROUP", "v1") {
        true => CGROUP_V1,
        false => CGROUP_V2,
    };
    for (at, kind, options) in MOUNTS.iter().chain(cgroups) {
        let said = |error| io::Error::other(format!("mount {kind} at {at}: {error}"));
        fs::create_dir_all(at)
            .and_then(|()| mount(at, kind, options))
            .map_err(said)?;
    }
    bring_up_loopback()?;
    for (variable, value, step) in STEPS {
        if asks(variable, value) {
            step()?;
        }
    }
    let words = fs::read_to_string("/proc/cmdline")?;
    let told: Vec<&str> = words.split_whitespace().collect();
    let ignored = TAKEN
        .iter()
        .find(|(word, is_taken)| told.contains(word) && !is_taken());
    match ignored {
        Some((word, _)) => Err(io::Error::other(format!("the kernel did not take {word}"))),
        None => Ok(()),
    }
}

/// Whether a file names this.
fn holds(file: &str, word: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().any(|found| found == word)
}

/// Whether threads run the callbacks of RCU.
fn has_callback_threads() -> bool {
    let comm = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    let mut names = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(comm);
    names.any(|name| name.starts_with("rcuo"))
}

/// As on a kernel that was built without type information; its tracepoints are described.
fn hide_btf() -> io::Result<()> {
    mount("/sys/kernel/btf", "tmpfs", "")?;
    mount("/sys/kernel/tracing", "tracefs", "")
}

/// As where an administrator did this: fentry is refused then.
fn turn_ftrace_off() -> io::Result<()> {
    fs::write("/proc/sys/kernel/ftrace_enabled", "0")
}

fn mount(at: &str, kind: &str, options: &str) -> io::Result<()> {
    let at = CString::new(at)?;
    let kind = CString::new(kind)?;
    let options = CString::new(options)?;
    // SAFETY: strings with a NUL that outlive the call.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            options.as_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes zero are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap();
    // SAFETY: the request is a local of the type that this call takes.
    let result = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Orphans come to process 1.
fn reap_until(tests: u32) {
    loop {
        // SAFETY: no status is asked for.
        let pid = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
        if pid < 0 || u32::try_from(pid) == Ok(tests) {
            return;
        }
    }
}

/// Whether this kernel has tracepoints at sends and receives.
pub(crate) fn has_call_tracepoints() -> bool {
    kernel_version() >= (6, 3)
}

/// Whether programs run at the returns of this kernel's functions.
pub(crate) fn has_fexit() -> bool {
    cfg!(target_arch = "x86_64") && !is_without_ftrace()
}

/// Major and minor version of the kernel that runs.
pub(crate) fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|word| word.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
