//! Looks at a made-up tree of `/proc` with hostile users.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::config::ScrapeConfig;
use crate::process::ProcessId;
use crate::targets::board::GroupIdentity;

/// The rest of each line of a table of sockets.
const REST: &str = "00000000:00000000 00:00000000 00000000  1000        0";

/// A tree of `/proc`. All its processes match an item with `scrape`.
struct Tree {
    folder: tempfile::TempDir,
    processes: Vec<ScrapedProcess>,
}

/// A process of a tree.
struct TreeProcess<'t> {
    uid: u32,
    /// Its network namespace.
    namespace: &'t str,
    /// Its listeners, as lines of `net/tcp`.
    sockets: &'t [u64],
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stat"), "btime 1795235000\n").unwrap();
        Self {
            folder,
            processes: Vec::new(),
        }
    }

    /// A namespace with the address 10.9.8.7 and these lines of `net/tcp`.
    fn namespace(&self, name: &str, sockets: &str) {
        let folder = self.namespaces().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tcp"), format!("head\n{sockets}")).unwrap();
        fs::write(folder.join("fib_trie"), "|-- 10.9.8.7\n/32 host LOCAL\n").unwrap();
    }

    fn namespaces(&self) -> PathBuf {
        self.folder.path().join("namespaces")
    }

    fn add(&mut self, process: &TreeProcess<'_>) {
        let tgid = u32::try_from(self.processes.len() + 1).unwrap();
        let folder = self.folder.path().join(tgid.to_string());
        let fields = "0 ".repeat(20);
        for inner in ["fd", "ns"] {
            fs::create_dir_all(folder.join(inner)).unwrap();
        }
        fs::write(folder.join("stat"), format!("{tgid} (a) S {fields}")).unwrap();
        let uid = process.uid;
        fs::write(folder.join("status"), format!("Uid:\t{uid}\t0\t0\t0\n")).unwrap();
        let namespace = self.namespaces().join(process.namespace);
        symlink(&namespace, folder.join("ns/net")).unwrap();
        // A directory instead of the kernel's link: the path of a table may not lead out of the directory of a process.
        fs::create_dir(folder.join("net")).unwrap();
        for table in fs::read_dir(&namespace).unwrap() {
            let table = table.unwrap().path();
            let to = folder.join("net").join(table.file_name().unwrap());
            fs::hard_link(table, to).unwrap();
        }
        for (number, inode) in process.sockets.iter().enumerate() {
            let link = folder.join(format!("fd/{number}"));
            symlink(format!("socket:[{inode}]"), link).unwrap();
        }
        self.processes.push(ScrapedProcess {
            id: ProcessId { tgid, start_ns: 0 },
            group: Arc::new(GroupIdentity {
                name: "tests".to_owned(),
                labels: Vec::new(),
            }),
            scrape: Arc::new(ScrapeConfig::default()),
            may_receive_credentials: false,
        });
    }

    /// The instances, by the numbers of their processes from 1, and the number of processes with an outcome.
    fn look(&self, outcome: ProcessOutcome) -> (Vec<u32>, u64) {
        let host = Host::detect(self.folder.path(), self.folder.path()).unwrap();
        let scraped = ScrapedProcesses {
            all: Arc::new(self.processes.clone()),
            left_out: 0,
            at: None,
        };
        let look = look(&host, &scraped, Instant::now() + Duration::from_secs(60));
        let numbers = look.instances.iter().map(|one| one.process.id.tgid);
        (numbers.collect(), look.outcomes[outcome as usize])
    }
}

/// The line of a socket that listens on a port at all addresses.
fn listens(port: u16, inode: u64) -> String {
    format!(" 0: 00000000:{port:04X} 00000000:0000 0A {REST} {inode} 1\n")
}

#[test]
fn user_with_a_hundred_thousand_listeners_leaves_other_processes_readable() {
    let mut tree = Tree::new();
    let mut table = listens(80, 1);
    // Fewer but longer lines, with more bytes than those of a hundred thousand sockets.
    let padding = " 0".repeat(250);
    for inode in 1_000..31_000 {
        let line = listens(81, inode);
        writeln!(table, "{}{padding}", line.trim_end()).unwrap();
    }
    table.push_str(&listens(82, 2));
    assert!(table.len() > 16 << 20);
    tree.namespace("shared", &table);
    for (uid, inode) in [(1000, 1), (1001, 2)] {
        tree.add(&TreeProcess {
            uid,
            namespace: "shared",
            sockets: &[inode, 999],
        });
    }
    assert_eq!(tree.look(ProcessOutcome::Unreadable), (vec![1, 2], 0));
}

#[test]
fn unreadable_tables_are_not_read_again_for_another_process() {
    let mut tree = Tree::new();
    tree.namespace("shared", &listens(80, 1));
    tree.namespace("other", &listens(80, 2));
    for (namespace, inode) in [("shared", 1), ("shared", 1), ("other", 2)] {
        tree.add(&TreeProcess {
            uid: 1000,
            namespace,
            sockets: &[inode],
        });
    }
    // The table of the first process is invalid.
    let table = tree.folder.path().join("1/net/tcp");
    fs::remove_file(&table).unwrap();
    fs::create_dir(&table).unwrap();
    assert_eq!(tree.look(ProcessOutcome::Unreadable), (vec![3], 2));
}

#[test]
fn processes_of_namespaces_with_one_address_are_all_tried() {
    let mut tree = Tree::new();
    for (inode, namespace) in (1..).zip(["thief", "pod"]) {
        tree.namespace(namespace, &listens(80, inode));
        tree.add(&TreeProcess {
            uid: 1000,
            namespace,
            sockets: &[inode],
        });
    }
    assert_eq!(tree.look(ProcessOutcome::Shared), (vec![1, 2], 0));
}

#[test]
fn processes_count_for_their_real_user_not_the_owner_of_their_directories() {
    let mut tree = Tree::new();
    tree.namespace("all", &listens(80, 1));
    // The directories belong to the user who runs the test.
    for number in 0..=MOST_OF_USER + 1 {
        tree.add(&TreeProcess {
            uid: if number <= MOST_OF_USER { 1000 } else { 1001 },
            namespace: "all",
            sockets: if number <= MOST_OF_USER { &[] } else { &[1] },
        });
    }
    let last = u32::try_from(MOST_OF_USER + 2).unwrap();
    assert_eq!(tree.look(ProcessOutcome::Limit), (vec![last], 1));
}
