//! The group that gets the use of a process before an exec, if the exec changes the user, and if many execs follow one another.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::{between, border_ns, sum_within, unseen_ns, up_to_exec};
use crate::agent::Agent;
use crate::exposition::Samples;
use crate::group::Group;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{ALL, EXACT, Tier};

table![
    set_user_id_program_is_not_billed_for_its_launch for ALL,
    set_group_id_program_is_not_billed_for_its_launch for ALL,
    program_without_change_of_ids_is_billed_for_its_launch for EXACT,
    programs_between_two_scrapes_bill_only_themselves for EXACT,
];

/// CPU time that the attacker uses before the exec.
const LAUNCH_NS: u64 = 150_000_000;
/// CPU time that the program uses itself.
const OWN_NS: u64 = 30_000_000;
/// `nobody`.
const USER: &str = "65534";
const SET_UID: u32 = 0o4755;
const SET_GID: u32 = 0o2755;
/// A group that root is not in.
const GROUP: u32 = 42;

/// A copy of this binary: a mode of a hard link would be every program's.
fn copy_with_mode(tag: &str, mode: u32) -> Program {
    let program = Program::new(tag);
    std::fs::remove_file(&program.path).unwrap();
    std::fs::copy("/proc/self/exe", &program.path).unwrap();
    std::os::unix::fs::chown(&program.path, Some(0), Some(GROUP)).unwrap();
    std::fs::set_permissions(&program.path, Permissions::from_mode(mode)).unwrap();
    program
}

/// The CPU time that was billed.
struct Bills<'a> {
    launcher: Group<'a>,
    program: Group<'a>,
    /// To no group, since the launch.
    dropped_ns: f64,
}

/// A program forks, and its child burns CPU and runs `program`. `uids`: the user of the launcher before the fork, and that of the
/// child before the exec.
fn launch(
    agent: &Agent,
    program: &Program,
    uids: [&str; 2],
    check: impl Fn(&Bills<'_>) -> Result<(), String>,
) {
    let launcher = Program::new("evil");
    let launch_ns = LAUNCH_NS.to_string();
    let dropped_ns = |samples: &Samples| {
        let seconds = samples.the("headcount_dropped_image_cpu_seconds_total", &[]);
        seconds * 1e9
    };
    let before_ns = dropped_ns(&agent.scrape());
    let arguments = [uids[0], uids[1], &launch_ns, program.path_text()];
    let mut running = launcher.start("launch", &arguments);
    assert!(running.await_line("launch_ns") >= LAUNCH_NS);
    running.ask(&format!("spin {OWN_NS}"));
    let are_right = |samples: &Samples| {
        check(&Bills {
            launcher: samples.group(&launcher.name),
            program: samples.group(&program.name),
            dropped_ns: dropped_ns(samples) - before_ns,
        })
    };
    agent.await_that(|samples| {
        let found = samples.group(&program.name).processes();
        let complaint = || format!("{found} processes of {}", program.name);
        (found == 1.0).then_some(()).ok_or_else(complaint)?;
        are_right(samples)
    });
    running.finish();
    agent.await_that(are_right);
}

/// No other user's group is billed for the use before the exec.
fn is_not_billed(tier: &'static Tier, program: &Program, uids: [&str; 2]) {
    let agent = Agent::start(tier);
    launch(&agent, program, uids, |bills| {
        between(
            bills.program.cpu_ns(),
            0.0,
            OWN_NS as f64 + 2.0 * border_ns(),
        )?;
        let launch_ns = LAUNCH_NS as f64;
        if tier.has_events {
            // Its own start counts for it as well, which takes long in emulation.
            let samples = bills.launcher.samples;
            let low_ns = launch_ns - tier.noise_ns(&agent, launch_ns) - unseen_ns(samples);
            return between(bills.launcher.cpu_ns(), low_ns - border_ns(), f64::MAX);
        }
        // Sampling does not know which program it was.
        between(bills.dropped_ns, launch_ns - 2.0 * border_ns(), f64::MAX)
    });
}

fn set_user_id_program_is_not_billed_for_its_launch(tier: &'static Tier) {
    let program = copy_with_mode("suid", SET_UID);
    is_not_billed(tier, &program, [USER, "-"]);
    // The child of a daemon becomes the user only after the fork.
    is_not_billed(tier, &program, ["-", USER]);
}

fn set_group_id_program_is_not_billed_for_its_launch(tier: &'static Tier) {
    let program = copy_with_mode("sgid", SET_GID);
    is_not_billed(tier, &program, [USER, "-"]);
}

/// A daemon that becomes the user for whom it runs a program; a user's own program; a set-user-ID program of root's that root
/// runs.
fn program_without_change_of_ids_is_billed_for_its_launch(tier: &'static Tier) {
    let agent = Agent::start(tier);
    let (plain, setuid) = (Program::new("plain"), copy_with_mode("suid", SET_UID));
    for (program, uids) in [
        (&plain, ["-", USER]),
        (&Program::new("own"), [USER, "-"]),
        (&setuid, ["-", "-"]),
    ] {
        launch(&agent, program, uids, |bills| {
            let all_ns = (LAUNCH_NS + OWN_NS) as f64;
            let least_ns = tier.least_alive(all_ns) - border_ns();
            between(bills.program.cpu_ns(), least_ns, f64::MAX)?;
            between(bills.launcher.cpu_ns(), 0.0, border_ns())
        });
    }
}

/// More of them than shares are kept: the shortest are dropped, not those of the first.
fn programs_between_two_scrapes_bill_only_themselves(tier: &'static Tier) {
    const BETWEEN: usize = 20;
    let agent = Agent::start(tier);
    let [evil, between_them, innocent] = ["evil", "betwe", "innoc"].map(Program::new);
    let mut words = vec![LAUNCH_NS.to_string()];
    for _ in 0..BETWEEN {
        words.extend([between_them.path_text().to_owned(), "1000".to_owned()]);
    }
    words.extend([innocent.path_text().to_owned(), OWN_NS.to_string()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let report = evil.run("chain", &words);
    agent.await_settled(|samples| {
        let [evil, between_them, innocent] =
            [&evil, &between_them, &innocent].map(|one| samples.group(&one.name));
        up_to_exec(&agent, tier, &evil, LAUNCH_NS as f64)?;
        between(innocent.cpu_ns(), 0.0, OWN_NS as f64 + border_ns())?;
        let dropped = samples.the("headcount_dropped_image_cpu_seconds_total", &[]);
        let found = between_them.execs();
        if found != BETWEEN as f64 || dropped == 0.0 {
            return Err(format!("{found} execs, and {dropped} s dropped"));
        }
        let booked_ns = evil.cpu_ns() + between_them.cpu_ns() + innocent.cpu_ns();
        let all_ns = booked_ns + dropped * 1e9;
        sum_within(&agent, tier, samples, all_ns, 1, report.reaped.cpu_ns)
    });
}
