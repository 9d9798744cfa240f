//! Control groups of processes that nobody saw alive.

use crate::{agent::Agent, group::Lives, process, program::Program, runner::table, tier::ITERATOR};
use std::{
    fs,
    path::{Path, PathBuf},
};

table![whoever_lives_there_tells_of_the_short_lived];

/// Programs that were gone before anybody looked.
const SHORT: u64 = 50;

/// A control group of version 2. Dropping it removes it, and takes this process out of it before.
struct Cgroup {
    path: PathBuf,
    home: PathBuf,
}

impl Cgroup {
    fn new(name: &str) -> Self {
        // Beside hierarchies of version 1 it is mounted one level below.
        let unified = Path::new("/sys/fs/cgroup/unified");
        let root = if unified.exists() {
            unified
        } else {
            Path::new("/sys/fs/cgroup")
        };
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        Self {
            path,
            home: root.join(own.unwrap()),
        }
    }

    fn take(&self, pid: i32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let own = process::own_pid().to_string();
        let _ = fs::write(self.home.join("cgroup.procs"), own);
        // One that somebody is still in stays; the test has failed then.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Though its exec told no cgroup: it was there before the agent.
fn whoever_lives_there_tells_of_the_short_lived() {
    let (resident, short) = (Program::new("reside"), Program::new("short"));
    let cgroup = Cgroup::new(&resident.name);
    let running = resident.work();
    cgroup.take(running.pid());
    let yaml = format!(
        "process_names:\n- name: 'in {{{{.Comm}}}}'\n  cgroup: ['/{}$']\n- name: '{{{{.Comm}}}}'\n  cmdline: ['.']\n",
        resident.name
    );
    let agent = Agent::start_with(&ITERATOR, &[], Some(&yaml));
    cgroup.take(process::own_pid());
    for _ in 0..SHORT {
        short.run("end", &["0", "success"]);
    }
    let lives = Lives {
        execs: SHORT,
        success: SHORT,
        ..Lives::default()
    };
    let inside = format!("in {}", short.name);
    agent.await_settled(|samples| lives.check(&samples.group(&inside)));
    drop(running);
}
