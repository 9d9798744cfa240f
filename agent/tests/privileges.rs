//! An agent that may not load kernel programs serves from `/proc` and says why, unless its flags forbid that. On the real
//! `/proc`, so these need root, to give it up.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

use support::agent::{Agent, Launch, NOBODY, obstacle};
use support::scrape::groups;

const CAPABILITIES: &str = "CAP_PERFMON and CAP_BPF missing; run as root, or grant what is missing (systemd: \
                            AmbientCapabilities, container: capabilities.add)";
const NAMESPACE: &str = "the agent, or the procfs it was given, is not in the initial pid namespace, so process ids \
                         would not fit; run it with the host's pid namespace (hostPID, --pid=host)";

/// In a pid namespace of its own, with a procfs that shows it.
const CONTAINER: &[&str] = &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The same with the host's procfs.
const HOST_PROCFS: &[&str] = &["unshare", "--pid", "--fork", "--kill-child"];

/// In a mount namespace without the kernel's type information.
const WITHOUT_BTF: &[&str] = &[
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /sys/kernel && exec \"$0\" \"$@\"",
];
const NO_BTF: &str = "/sys/kernel/btf/vmlinux: No such file or directory (os error 2); a kernel with \
                      CONFIG_DEBUG_INFO_BTF is needed, and /sys mounted";

const NO_TRACEFS: &str = "tracefs, by which kernels without type information are understood: it is not mounted; \
                          `mount -t tracefs tracefs /sys/kernel/tracing` does it, and a container needs that folder \
                          of the host";

/// Each agent in a group of its own, and few groups however many processes there are.
const CONFIG: &str = "process_names: [{comm: [headcount], name: 'headcount {{.PID}}'}, {cmdline: ['.+'], name: rest}]";

fn launch() -> Launch {
    // SAFETY: takes nothing and returns a number.
    let uid = unsafe { libc::geteuid() };
    assert_eq!(
        uid, 0,
        "run this test as root: it starts agents with fewer rights"
    );
    Launch::new().config(CONFIG)
}

/// The agent serves the processes of `/proc`, itself with the number `pid` among them, and gives these reasons for its tier.
fn assert_serves_from_procfs(agent: &Agent, pid: u32, reasons: &[&str]) {
    let reasons: Vec<String> = reasons.iter().map(|reason| obstacle(reason)).collect();
    let tier = [("tier", "procfs"), ("exit_hook", "none")];
    let scrape = agent.scrape();
    assert_eq!(scrape.value("headcount_accounting_info", &tier), Some(1.0));
    let groups = scrape.groups();
    assert_eq!(
        groups.get(&format!("headcount {pid}")),
        Some(&1),
        "{groups:?}"
    );
    assert_eq!(agent.messages("warn"), reasons);
    assert_eq!(agent.messages("error"), Vec::<String>::new());
    assert_eq!(agent.health(), ("degraded".to_owned(), reasons));
}

fn assert_refuses(launch: Launch, tier: &str, reason: &str) {
    let ended = launch.arg(format!("-accounting={tier}")).run();
    let expected = format!("--accounting={tier}: {}", obstacle(reason));
    assert_eq!(ended.one_error(), expected);
}

#[test]
fn without_capabilities_it_serves_from_procfs() {
    let agent = launch().with_uid(NOBODY).start();
    assert_serves_from_procfs(&agent, agent.pid(), &[CAPABILITIES]);
}

#[test]
fn without_capabilities_a_kernel_tier_is_refused() {
    for tier in ["iterator", "switch"] {
        assert_refuses(launch().with_uid(NOBODY), tier, CAPABILITIES);
    }
}

#[test]
fn without_type_information_it_serves_from_procfs() {
    let agent = launch().under(WITHOUT_BTF).start();
    assert_serves_from_procfs(&agent, agent.pid(), &[NO_BTF, NO_TRACEFS]);
}

#[test]
fn without_type_information_a_kernel_tier_is_refused() {
    assert_refuses(launch().under(WITHOUT_BTF), "iterator", NO_BTF);
    let both = format!("{NO_BTF}; {NO_TRACEFS}");
    assert_refuses(launch().under(WITHOUT_BTF), "switch", &both);
}

#[test]
fn without_capabilities_hidden_facts_of_other_users_are_partial_errors() {
    let agent = launch().with_uid(NOBODY).start();
    let [passes, unread, before] = agent.scrape().errors();
    assert_eq!((passes, unread), (0.0, 0.0));
    let [_, _, after] = agent.scrape().errors();
    assert!(before > 0.0 && after > before, "{before} {after}");
}

#[test]
fn port_that_needs_a_capability_is_refused_with_a_remedy() {
    let ended = launch()
        .with_uid(NOBODY)
        .arg("-web.listen-address=127.0.0.1:1")
        .run();
    assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
    assert_eq!(
        ended.one_error(),
        "--web.listen-address 127.0.0.1:1: this port needs CAP_NET_BIND_SERVICE; grant it or choose a port from 1024 on"
    );
}

#[test]
fn sandbox_steps_that_an_old_kernel_lacks_are_reported_and_do_not_end_the_agent() {
    for (calls, missing) in [
        (&[libc::SYS_landlock_create_ruleset][..], &["landlock"][..]),
        (
            &[libc::SYS_seccomp, libc::SYS_landlock_create_ruleset],
            &["landlock", "seccomp"],
        ),
        (&[libc::SYS_capset], &["capabilities"]),
    ] {
        let agent = launch()
            .where_unknown(calls)
            .arg("-accounting=procfs")
            .start();
        let scrape = agent.scrape();
        for (side, step) in [
            ("http", "no_new_privs"),
            ("http", "capabilities"),
            ("http", "seccomp"),
            ("state", "no_new_privs"),
            ("state", "capabilities"),
            ("state", "seccomp"),
            ("targets", "no_new_privs"),
            ("targets", "capabilities"),
            ("targets", "seccomp"),
        ] {
            let is_taken =
                scrape.value("headcount_sandbox_state", &[("side", side), ("step", step)]);
            let expected = if missing.contains(&step) { 0.0 } else { 1.0 };
            assert_eq!(is_taken, Some(expected), "{side} {step} without {calls:?}");
        }
        // This kernel may be without it anyway.
        let labels = [("side", "http"), ("step", "landlock")];
        let has_landlock = scrape.value("headcount_sandbox_state", &labels) == Some(1.0);
        assert!(!(has_landlock && missing.contains(&"landlock")));
        let messages = agent.messages("info");
        for step in missing {
            let is_told = |message: &&String| {
                message.starts_with("sandbox: ") && message.contains(&format!("{step} ("))
            };
            assert!(
                messages.iter().any(|message| is_told(&message)),
                "{messages:#?}"
            );
        }
        assert_eq!(agent.health().0, "ok");
        assert_eq!(agent.messages("warn"), Vec::<String>::new());
    }
}

#[test]
fn other_programs_of_its_user_cannot_trace_it() {
    let agent = launch().with_uid(NOBODY).start();
    let reads = |pid: u32| {
        let mut cat = Command::new("setpriv");
        cat.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        let cat = cat.arg("cat").arg(format!("/proc/{pid}/maps"));
        cat.output().unwrap().status.success()
    };
    let mut sleep = Command::new("sleep");
    let mut other = sleep.arg("60").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let reads_other = reads(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(reads_other && !reads(agent.pid()));
}

/// Processes of other users exist and are hidden.
const HIDDEN: &[&str] = &[
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t proc -o hidepid=2 proc /proc && exec \"$0\" \"$@\"",
];

#[test]
fn where_processes_are_hidden_the_right_to_trace_shows_them() {
    let user = |capabilities: &'static str| {
        let words = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        let sets =
            ["--inh-caps=", "--ambient-caps="].map(|flag| format!("{flag}-all{capabilities}"));
        let words: Vec<&str> = words
            .into_iter()
            .chain(sets.iter().map(String::as_str))
            .collect();
        let launch = launch().reachable().arg("-accounting=procfs");
        let agent = launch.under(&words).under(HIDDEN).start();
        agent.scrape().of("rest", "num_procs").unwrap()
    };
    assert_eq!(user(""), 0.0);
    assert!(user(",+sys_ptrace") > 0.0);
}

#[test]
fn list_works_without_rights() {
    let pid = std::process::id().to_string();
    let list = Launch::bare().arg("list").with_uid(NOBODY);
    let ended = list.arg(format!("--explain={pid}")).run();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let first = format!("process {pid}, child of ");
    assert!(ended.stdout.starts_with(&first), "{ended:#?}");
}

#[test]
fn in_another_pid_namespace_it_serves_the_processes_of_that_one() {
    let agent = launch().under(CONTAINER).start();
    assert_serves_from_procfs(&agent, 1, &[NAMESPACE]);
    // No other process lives there.
    let expected = groups(&[("headcount 1", 1), ("rest", 0)]);
    assert_eq!(agent.scrape().groups(), expected);
}

#[test]
fn in_another_pid_namespace_with_the_hosts_procfs_it_serves_the_host() {
    let agent = launch().under(HOST_PROCFS).start();
    let rest = agent.scrape().of("rest", "num_procs");
    assert!(rest.is_some_and(|count| count >= 1.0), "{rest:?}");
    assert_eq!(agent.messages("warn"), [obstacle(NAMESPACE)]);
}

#[test]
fn in_another_pid_namespace_a_kernel_tier_is_refused() {
    for namespace in [CONTAINER, HOST_PROCFS] {
        assert_refuses(launch().under(namespace), "iterator", NAMESPACE);
    }
}
