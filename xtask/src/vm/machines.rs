//! The table of machines: the kernel of each, its command line, and the tests that run there.
//!
//! The words that the kernel does not know go into the environment of init: what `agent/tests/live/guest.rs` makes of those
//! stands there.

use clap::builder::PossibleValuesParser;

use super::kernel::{self, Kernel};

#[derive(Debug)]
pub(crate) struct Machine {
    /// On the command line, below `target/vm`, and in docs/requirements.md.
    pub(crate) name: &'static str,
    pub(crate) kernel: &'static Kernel,
    /// How it differs from a machine as it comes; for people.
    pub(crate) what: &'static str,
    /// For the kernel and for init.
    pub(crate) words: &'static str,
    /// A test runs if its name holds one of these; none: all do.
    pub(crate) tests: &'static [&'static str],
    /// The same in the short form; `None`: the machine is not part of it.
    pub(crate) short: Option<&'static [&'static str]>,
}

/// As it comes, with all tests.
const fn plain(name: &'static str, kernel: &'static Kernel) -> Machine {
    Machine {
        name,
        kernel,
        what: "",
        words: "",
        tests: &[],
        short: None,
    }
}

/// Plain ones of each kernel, from the oldest that the agent is meant for to the newest that there is; then those on which
/// something is different.
pub(crate) static MACHINES: &[Machine] = &[
    // What differs most from the kernels that we build on: layouts, helpers, the rights that maps want. And so much of the rest
    // that both machines of the short form take the same time.
    Machine {
        short: Some(&[
            "images::",
            "lineage::",
            "memory::proportional",
            "names::hostile",
            // The hash of sockets, which newer kernels do not need.
            "network::handed::brief",
            "network::handed::a_network",
            "network::hashed",
            "network::plain::bytes",
            // It lacks helpers, so the agent must say that requests are absent.
            "requests::settings::nothing",
            "sandbox::capabilities",
            "sandbox::each_thread",
            "start::",
            "stat::",
            "threads::",
        ]),
        ..plain("5.10", &kernel::V5_10)
    },
    Machine {
        // Tests that the other one does not run, and tests that depend on the kernel more than on the agent.
        short: Some(&[
            "cgroups::",
            "churn::",
            "machine::the_clock",
            "memory::oom",
            "network::ends::a_reset_loses_nothing/iterator",
            "network::handed::a_prefork_server_serves/iterator",
            "network::plain::bytes_are_what_both_ends_counted/iterator",
            "pressure::ring",
            "pressure::stopped",
            "reload::",
            // At the returns of functions, which newer kernels do not need.
            "requests::exchanges::every_call",
            "runqueue::",
            "start::",
        ]),
        ..plain("6.1", &kernel::V6_1)
    },
    plain("6.12", &kernel::V6_12),
    plain("newest", &kernel::NEWEST),
    // Before 6.2, where it takes away two helpers, not one.
    Machine {
        what: "`lockdown=confidentiality`",
        words: "lockdown=confidentiality",
        ..plain("lockdown", &kernel::V6_1)
    },
    // With fentry, final totals do not depend on RCU. Without it, they come through the callbacks that these words move to
    // threads.
    Machine {
        what: "`rcu_nocbs=all`, no fentry (`kernel.ftrace_enabled=0`)",
        words: "rcu_nocbs=all HEADCOUNT_FTRACE=off",
        ..plain("nocb", &kernel::V6_1)
    },
    Machine {
        what: "`nohz_full=1`: a CPU without tick",
        words: "nohz_full=1",
        ..plain("nohz", &kernel::NEWEST)
    },
    Machine {
        what: "control groups of version 1 only",
        words: "HEADCOUNT_CGROUP=v1",
        // The rest knows of no control groups.
        tests: &["cgroups::", "memory::", "start::"],
        ..plain("cgroup-v1", &kernel::V5_10)
    },
    Machine {
        what: "no `/sys/kernel/btf`",
        words: "HEADCOUNT_BTF=hidden",
        ..plain("no-btf", &kernel::V6_1)
    },
    Machine {
        what: "the agent is an ordinary user with CAP_BPF and CAP_PERFMON",
        words: "HEADCOUNT_RIGHTS=bpf",
        ..plain("unprivileged", &kernel::V6_12)
    },
    // No fentry there before 6.4.
    Machine {
        what: "arm64",
        ..plain("6.1-arm64", &kernel::V6_1_ARM64)
    },
    Machine {
        what: "arm64",
        ..plain("6.12-arm64", &kernel::V6_12_ARM64)
    },
];

/// The newest kernel of Debian when it first ran here; this name now means the newest of today.
const NEWEST_BY_NUMBER: &str = "7.2";

/// The names that [`choose`] knows.
pub(crate) fn names() -> PossibleValuesParser {
    let names = MACHINES.iter().map(|machine| machine.name);
    PossibleValuesParser::new(names.chain([NEWEST_BY_NUMBER, "all"]))
}

/// The machines with these names, or all, or those of the short form, each with the tests that run there.
pub(crate) fn choose(names: &[String]) -> Vec<(&'static Machine, &'static [&'static str])> {
    let is_called = |machine: &Machine, name: &str| match name {
        "all" => true,
        NEWEST_BY_NUMBER => machine.name == "newest",
        name => machine.name == name,
    };
    let of_machine = |machine: &'static Machine| match names {
        [] => Some((machine, machine.short?)),
        names => names
            .iter()
            .any(|name| is_called(machine, name))
            .then_some((machine, machine.tests)),
    };
    MACHINES.iter().filter_map(of_machine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let chosen = choose(&arguments);
        chosen.iter().map(|(machine, _)| machine.name).collect()
    }

    #[test]
    fn machines_are_chosen_by_name() {
        assert_eq!(names(&[]).len(), 2);
        assert_eq!(names(&["all"]).len(), MACHINES.len());
        assert_eq!(names(&["nohz", "6.1"]), ["6.1", "nohz"]);
        assert_eq!(names(&["7.2"]), ["newest"]);
    }

    #[test]
    fn each_machine_has_a_name_of_its_own() {
        for (nth, machine) in MACHINES.iter().enumerate() {
            let is_same = |other: &Machine| other.name == machine.name;
            assert!(!MACHINES[..nth].iter().any(is_same), "{}", machine.name);
        }
    }
}
