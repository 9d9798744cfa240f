//! Control groups of processes that no pass saw alive.

use std::fs;
use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::group::Lives;
use crate::process;
use crate::program::Program;
use crate::runner::table;
use crate::tier::{EXACT, ITERATOR, Tier};

table![
    living_process_in_a_cgroup_gives_its_paths_to_short_lived_ones for &[&ITERATOR],
    living_process_in_another_cgroup_gives_no_paths for &[&ITERATOR],
    short_lived_programs_alone_in_a_cgroup_have_its_paths for EXACT,
    short_lived_programs_in_cgroups_that_go_with_them_are_right_or_counted for EXACT,
];

/// Programs that were gone before a pass.
const SHORT: u64 = 50;

/// A control group of version 2, or of version 1 where there is no other. Dropping it removes it, and takes this process out of
/// it before.
struct Cgroup {
    path: PathBuf,
    home: PathBuf,
    /// Whether the exec record separates a process in it from others: by the id of its group of version 2.
    is_told: bool,
}

/// Where control groups are mounted, and how lines of `/proc/<pid>/cgroup` about them begin.
const MOUNTED: [(&str, &str, bool); 3] = [
    ("/sys/fs/cgroup/unified", "0::/", true), // beside hierarchies of version 1
    ("/sys/fs/cgroup/systemd", "name=systemd:/", false),
    ("/sys/fs/cgroup", "0::/", true),
];

impl Cgroup {
    fn new(name: &str) -> Self {
        let mounted = MOUNTED.iter().find(|(root, ..)| Path::new(root).exists());
        let (root, marker, is_told) = mounted.unwrap();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own
            .lines()
            .find_map(|line| Some(line.split_once(marker)?.1));
        let path = Path::new(root).join(name);
        fs::create_dir(&path).unwrap();
        Self {
            path,
            home: Path::new(root).join(own.unwrap()),
            is_told: *is_told,
        }
    }

    fn take(&self, pid: i32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// This process goes back to where it was.
    fn leave(&self) {
        let own = process::own_pid().to_string();
        let _ = fs::write(self.home.join("cgroup.procs"), own);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.leave();
        // A group with a process in it stays; the test has failed then.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Two groups for each program: processes in the control group of `resident`, and others.
fn by_cgroup(resident: &Program) -> String {
    format!(
        "process_names:\n- name: 'in {{{{.Comm}}}}'\n  cgroup: ['/{}$']\n- name: '{{{{.Comm}}}}'\n  cmdline: ['.']\n",
        resident.name
    )
}

/// The agent has no exec record of the resident, which is older. Where all cgroups have version 1, exec records carry no
/// cgroup: the short programs have none then.
fn living_process_in_a_cgroup_gives_its_paths_to_short_lived_ones(tier: &'static Tier) {
    let (resident, short) = (Program::new("resid"), Program::new("short"));
    let cgroup = Cgroup::new(&resident.name);
    let running = resident.work();
    cgroup.take(running.pid());
    let yaml = by_cgroup(&resident);
    let agent = Agent::start_with(tier, &[], Some(&yaml));
    cgroup.take(process::own_pid());
    for _ in 0..SHORT {
        short.run("end", &["0", "success"]);
    }
    let lives = Lives {
        execs: SHORT,
        success: SHORT,
        ..Lives::default()
    };
    let inside = match cgroup.is_told {
        true => format!("in {}", short.name),
        false => short.name.clone(),
    };
    agent.await_settled(|samples| lives.check(&samples.group(&inside)));
    drop(running);
}

/// The last process that was seen alive is in a control group, and the short ones are not.
fn living_process_in_another_cgroup_gives_no_paths(tier: &'static Tier) {
    let (resident, short) = (Program::new("resid"), Program::new("short"));
    let agent = Agent::start_with(tier, &[], Some(&by_cgroup(&resident)));
    let cgroup = Cgroup::new(&resident.name);
    // It is in there whenever the agent looks.
    cgroup.take(process::own_pid());
    let running = resident.work();
    cgroup.leave();
    agent.await_one(&format!("in {}", resident.name));
    for _ in 0..SHORT {
        short.run("end", &["0", "success"]);
    }
    let lives = Lives {
        execs: SHORT,
        success: SHORT,
        ..Lives::default()
    };
    agent.await_settled(|samples| lives.check(&samples.group(&short.name)));
    drop(running);
}

/// Enters the cgroup, runs `short` there and ends.
fn run_in(cgroup: &Cgroup, outside: &Program, short: &Program) {
    let entry = cgroup.path.join("cgroup.procs");
    let report = outside.run("enter", &[entry.to_str().unwrap(), short.path_text()]);
    assert_eq!(report.reaped.end, process::End::Success);
}

/// As for a job: no other process is ever in it.
fn short_lived_programs_alone_in_a_cgroup_have_its_paths(tier: &'static Tier) {
    let (marker, outside, short) = (
        Program::new("mark"),
        Program::new("outer"),
        Program::new("alone"),
    );
    let agent = Agent::start_with(tier, &[], Some(&by_cgroup(&marker)));
    let cgroup = Cgroup::new(&marker.name);
    for _ in 0..SHORT {
        run_in(&cgroup, &outside, &short);
    }
    let lives = Lives {
        execs: SHORT,
        success: SHORT,
        ..Lives::default()
    };
    let inside = match cgroup.is_told {
        true => format!("in {}", short.name),
        false => short.name.clone(),
    };
    agent.await_settled(|samples| lives.check(&samples.group(&inside)));
}

/// The cgroup of each is removed as soon as it has ended.
fn short_lived_programs_in_cgroups_that_go_with_them_are_right_or_counted(tier: &'static Tier) {
    let (marker, outside, short) = (
        Program::new("mark"),
        Program::new("outer"),
        Program::new("gone"),
    );
    let agent = Agent::start_with(tier, &[], Some(&by_cgroup(&marker)));
    let mut is_told = true;
    for _ in 0..SHORT {
        let cgroup = Cgroup::new(&marker.name);
        is_told = cgroup.is_told;
        run_in(&cgroup, &outside, &short);
    }
    agent.await_settled(|samples| {
        let exits = |name: &str| samples.group(name).all_exits();
        let (inside, elsewhere) = (exits(&format!("in {}", short.name)), exits(&short.name));
        let incomplete = samples.the("headcount_names_incomplete_total", &[]);
        let are_all_there = inside + elsewhere == SHORT as f64;
        if are_all_there && (!is_told || elsewhere <= incomplete) {
            println!("{inside} of {SHORT} have the paths of their cgroup");
            return Ok(());
        }
        Err(format!(
            "{inside} inside, {elsewhere} elsewhere, {incomplete} incomplete"
        ))
    });
}
