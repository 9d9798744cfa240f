mod processes;
mod sharing;
mod still;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;
use tempfile::TempDir;

use super::super::instance::{Instance, InstanceIdentity, Password};
use super::*;
use crate::targets::files::Place;

const SECRET: &str = "abcdefghijklmnopqrstuvwx";
const USER: u32 = 1000;
const OTHER: u32 = 1001;

/// A root of a host with one registry, `/reg`, that no other root has.
struct RegistryTree {
    folder: TempDir,
}

/// An instance whose lock is held, and whose socket listens.
struct Made {
    path: PathBuf,
    lock: File,
    _listener: UnixListener,
}

impl RegistryTree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("reg")).unwrap();
        Self { folder }
    }

    fn registry(&self) -> PathBuf {
        self.folder.path().join("reg")
    }

    /// A finder of an agent with this effective uid.
    fn finder(&self, uid: u32) -> InstanceFinder {
        let variable =
            |name: &str| (name == "PASSENGER_INSTANCE_REGISTRY_DIR").then(|| "/reg".into());
        let host = Host::detect("/proc", self.folder.path()).unwrap();
        InstanceFinder::new(host, uid, variable, &[])
    }

    fn instance(&self, name: &str, uid: u32) -> Made {
        make(&self.registry(), name, uid)
    }

    async fn find(&self) -> Findings {
        find(&self.finder(0), &[]).await
    }
}

async fn find(finder: &InstanceFinder, candidates: &[ProcessId]) -> Findings {
    finder
        .find(candidates, Instant::now() + Duration::from_secs(60))
        .await
}

/// Makes the directory `passenger.NAME` of a running instance of this name.
fn make(registry: &Path, name: &str, uid: u32) -> Made {
    let path = registry.join(format!("passenger.{name}"));
    fs::create_dir_all(path.join("agents.s")).unwrap();
    let properties = format!(
        r#"{{"name": "{name}", "passenger_version": "6.0.17", "integration_mode": "apache", "watchdog_pid": 7,
        "instance_dir": {{"created_at": 1795235712, "major_version": 4, "minor_version": 0}}}}"#
    );
    fs::write(path.join("properties.json"), properties).unwrap();
    fs::write(
        path.join("read_only_admin_password.txt"),
        format!("{SECRET}\n"),
    )
    .unwrap();
    fs::write(path.join("creation_finalized"), "").unwrap();
    fs::write(path.join("lock"), "").unwrap();
    // A path of any length.
    let folder = File::open(path.join("agents.s")).unwrap();
    let listener =
        UnixListener::bind(format!("/proc/self/fd/{}/core_api", folder.as_raw_fd())).unwrap();
    let lock = File::open(path.join("lock")).unwrap();
    lock.try_lock().unwrap();
    give(&path, uid);
    Made {
        path,
        lock,
        _listener: listener,
    }
}

/// Makes `uid` the owner of a tree; other users than root need root for that.
fn give(path: &Path, uid: u32) {
    if uid == geteuid().as_raw() {
        return;
    }
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() {
        fs::read_dir(path)
            .unwrap()
            .for_each(|entry| give(&entry.unwrap().path(), uid));
    }
}

fn names(findings: &Findings) -> Vec<&str> {
    findings
        .instances
        .iter()
        .map(|one| one.identity.name.as_str())
        .collect()
}

fn is_root() -> bool {
    geteuid().is_root()
}

#[tokio::test]
async fn running_instance_in_a_registry_is_found_with_its_socket() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let made = tree.instance("one", uid);
    let findings = find(&tree.finder(uid), &[]).await;
    let [
        Instance {
            identity,
            socket,
            password,
        },
    ] = findings.instances.as_slice()
    else {
        panic!("{findings:?}");
    };
    let place = Place::trusted(&made.path).unwrap().key;
    let wanted = InstanceIdentity {
        place,
        uid,
        name: "one".to_owned(),
        version: "6.0.17".to_owned(),
        integration_mode: "apache".to_owned(),
        since_ns: identity.since_ns,
        pid_namespace: None,
    };
    assert_eq!((identity, password), (&wanted, &None));
    assert!(identity.since_ns > 1_700_000_000_000_000_000);
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    std::os::unix::net::UnixStream::connect(path).unwrap();
    assert!(findings.failures.is_empty() && findings.left_out.is_empty());
}

#[tokio::test]
async fn password_is_read_only_by_an_agent_that_needs_it() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let _made = tree.instance("one", uid);
    for (agent, wanted) in [
        (0, None),
        (uid, None),
        (uid + 1, Some(Password(SECRET.to_owned()))),
    ] {
        let findings = find(&tree.finder(agent), &[]).await;
        assert_eq!(findings.instances[0].password, wanted, "{agent}");
    }
    let findings = find(&tree.finder(uid + 1), &[]).await;
    assert!(!format!("{findings:?}").contains(SECRET));
}

#[tokio::test]
async fn directory_without_a_running_instance_is_no_failure() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let dead = tree.instance("dead", uid);
    dead.lock.unlock().unwrap();
    fs::write(dead.path.join("properties.json"), "{").unwrap();
    let unfinished = tree.instance("unfinished", uid);
    fs::remove_file(unfinished.path.join("creation_finalized")).unwrap();
    let unlocked = tree.instance("unlocked", uid);
    fs::remove_file(unlocked.path.join("lock")).unwrap();
    let _misnamed = [
        tree.instance("a b", uid),
        tree.instance(&"x".repeat(65), uid),
        tree.instance("", uid),
    ];
    fs::create_dir(tree.registry().join("passenger.empty")).unwrap();
    fs::write(tree.registry().join("passenger.file"), "").unwrap();
    symlink(&dead.path, tree.registry().join("passenger.link")).unwrap();
    let findings = tree.find().await;
    assert!(findings.is_empty(), "{findings:?}");
}

/// Replaces a file of the instance.
type Spoil = fn(&Path, &Path) -> io::Result<()>;

#[tokio::test]
async fn instance_that_leads_elsewhere_is_not_followed() {
    if !is_root() {
        return;
    }
    let link: Spoil = |path, victim| symlink(victim, path);
    let hard: Spoil = |path, victim| fs::hard_link(victim, path);
    let none: Spoil = |_, _| Ok(());
    let directory: Spoil = |path, _| fs::create_dir(path);
    let pipe: Spoil = |path, _| Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0)?);
    let large: Spoil = |path, _| fs::write(path, vec![b' '; 70_000]);
    let rubbish: Spoil = |path, _| fs::write(path, "{}");
    let short: Spoil = |path, _| fs::write(path, &SECRET[1..]);
    let signs: Spoil = |path, _| fs::write(path, "abcdefghijklmnopqrstuvw:");
    let roots: Spoil =
        |path, _| fs::write(path, SECRET).and_then(|()| chown(path, Some(0), Some(0)));
    let linked: Spoil = |path, victim| {
        fs::write(path, SECRET)?;
        chown(path, Some(USER), None)?;
        fs::hard_link(path, victim.with_extension("second"))
    };
    let (properties, socket) = ("properties.json", "agents.s/core_api");
    let password = "read_only_admin_password.txt";
    let rows = [
        ("creation_finalized", link, Failure::Malformed),
        ("lock", link, Failure::Malformed),
        ("lock", hard, Failure::Denied),
        ("lock", directory, Failure::Malformed),
        (properties, link, Failure::Malformed),
        (properties, hard, Failure::Denied),
        (properties, pipe, Failure::Malformed),
        (properties, directory, Failure::Malformed),
        (properties, large, Failure::TooLarge),
        (properties, rubbish, Failure::Malformed),
        (properties, none, Failure::Gone),
        ("agents.s", link, Failure::Malformed),
        (socket, link, Failure::Malformed),
        (socket, hard, Failure::Denied),
        (socket, rubbish, Failure::Malformed),
        (socket, none, Failure::Gone),
        (password, link, Failure::Malformed),
        (password, hard, Failure::Denied),
        (password, linked, Failure::Denied),
        (password, roots, Failure::Denied),
        (password, pipe, Failure::Malformed),
        (password, large, Failure::TooLarge),
        (password, short, Failure::Malformed),
        (password, signs, Failure::Malformed),
        (password, none, Failure::Gone),
    ];
    for (file, change, failure) in rows {
        let tree = RegistryTree::new();
        let victim = make(tree.folder.path(), "victim", 0);
        let made = tree.instance("own", USER);
        let path = made.path.join(file);
        fs::rename(&path, tree.folder.path().join("away")).unwrap();
        change(&path, &victim.path.join(file)).unwrap();
        let is_own =
            fs::symlink_metadata(&path).is_ok_and(|meta| meta.nlink() == 1 && meta.is_file());
        if is_own && !fs::read(&path).is_ok_and(|text| text == SECRET.as_bytes()) {
            give(&path, USER);
        }
        let findings = find(&tree.finder(4242), &[]).await;
        let failures: Vec<_> = findings
            .failures
            .iter()
            .map(|one| (one.uid, one.failure))
            .collect();
        if file == password {
            // It is asked without one: it may admit the agent to the applications of the agent's own user.
            assert_eq!((names(&findings), failures), (vec!["own"], vec![]));
            assert_eq!(findings.instances[0].password, None);
            continue;
        }
        assert_eq!(
            (names(&findings), failures),
            (vec![], vec![(USER, failure)]),
            "{file}"
        );
    }
}

#[tokio::test]
async fn user_with_many_directories_hides_no_other() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    for n in 0..10_000 {
        let path = tree.registry().join(format!("passenger.a{n}"));
        fs::create_dir(&path).unwrap();
        chown(&path, Some(USER), None).unwrap();
    }
    let _others = [tree.instance("zz", 0), tree.instance("yy", OTHER)];
    let findings = tree.find().await;
    assert_eq!(names(&findings), ["zz", "yy"], "root's first");
    let left_out: Vec<_> = findings.left_out.into_iter().collect();
    assert_eq!(
        (findings.failures.len(), left_out),
        (0, vec![(USER, 10_000 - 1024)])
    );
}

#[tokio::test]
async fn user_with_many_instances_hides_no_other() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let _made: Vec<Made> = (0..20)
        .map(|n| tree.instance(&format!("a{n}"), USER))
        .collect();
    let _roots: Vec<Made> = (0..20)
        .map(|n| tree.instance(&format!("r{n}"), 0))
        .collect();
    let _other = tree.instance("zz", OTHER);
    let findings = tree.find().await;
    let of = |uid| {
        findings
            .instances
            .iter()
            .filter(|one| one.identity.uid == uid)
            .count()
    };
    assert_eq!((of(0), of(USER), of(OTHER)), (20, MOST_OF_EACH, 1));
    let left_out: Vec<_> = findings.left_out.into_iter().collect();
    assert_eq!((findings.failures.len(), left_out), (0, vec![(USER, 4)]));
}

#[tokio::test]
async fn users_with_many_instances_leave_each_other_user_one() {
    let share = |common: &Arc<AtomicUsize>| Share::new(2, Arc::clone(common));
    let common = Arc::new(AtomicUsize::new(1));
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let made = ["a", "b"].map(|name| tree.instance(name, uid));
    let agent = Agent {
        uid,
        is_known: true,
    };
    let inspected = |share: &Share, made: &Made| {
        let place = Place::trusted(&made.path).unwrap();
        inspect((&place, "x"), agent, None, share).map(|found| found.is_some())
    };
    let (first, second) = (share(&common), share(&common));
    for made in &made {
        assert_eq!(inspected(&first, made), Ok(true));
    }
    assert_eq!(inspected(&second, &made[0]), Ok(true));
    let failure = inspected(&second, &made[1]).unwrap_err().failure;
    assert_eq!(failure, Failure::Limit);
}

#[tokio::test]
async fn instance_that_takes_another_name_is_no_older_than_the_change() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let old = tree.instance("old", USER);
    let victim = tree.instance("victim", OTHER);
    let [named, lock] = ["properties.json", "lock"].map(|name| old.path.join(name));
    let text = fs::read_to_string(&named).unwrap();
    let ages = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.ctime(), meta.ctime_nsec())
    };
    let of_victim = ["properties.json", "lock"].map(|name| ages(&victim.path.join(name)));
    let of_victim = of_victim.into_iter().max().unwrap();
    // The clock of the file system goes in ticks.
    while ages(&named) <= of_victim {
        fs::write(&named, text.replace("old", "victim")).unwrap();
    }
    assert!(ages(&lock) <= of_victim);
    let findings = tree.find().await;
    assert_eq!(names(&findings), ["victim", "victim"]);
    let since = |uid| {
        let mut found = findings.instances.iter();
        found
            .find(|one| one.identity.uid == uid)
            .unwrap()
            .identity
            .since_ns
    };
    assert!(since(OTHER) < since(USER));
}

#[tokio::test]
async fn slow_files_of_one_user_leave_time_to_ask_the_others() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let _made = [tree.instance("slow", USER), tree.instance("other", OTHER)];
    let finder = tree.finder(0);
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let spins = Arc::clone(&is_over);
    // While these jobs of the user are at work, his others wait.
    let slow = move || {
        while !spins.load(std::sync::atomic::Ordering::SeqCst) {}
        Ok(None)
    };
    let jobs: Vec<(Sought, BlockingJob<Inspected>)> = vec![(Sought::Users, Box::new(slow))];
    let end = Instant::now() + Duration::from_secs(20);
    let findings = {
        let slow = finder.readers.run_all(USER, end, jobs);
        tokio::select! {
            biased;
            _ = slow => unreachable!("it spins"),
            findings = finder.find(&[], end) => findings,
        }
    };
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(Instant::now() < end, "there is time to ask");
    assert_eq!(names(&findings), ["other"]);
    let failures: Vec<_> = findings
        .failures
        .iter()
        .map(|one| (one.uid, one.failure))
        .collect();
    assert_eq!(failures, [(USER, Failure::Timeout)]);
}

#[tokio::test]
async fn connection_is_made_by_a_reader_of_its_user() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let _made = tree.instance("one", uid);
    let finder = tree.finder(uid);
    let findings = find(&finder, &[]).await;
    let Instance {
        identity, socket, ..
    } = &findings.instances[0];
    let is_connected = async |user| {
        let connected = finder.connect(user, identity.place, socket).await;
        connected.map(|stream| stream.is_some())
    };
    assert_eq!(is_connected(USER).await, Ok(true));
    let (reader, writer) = io::pipe().unwrap();
    let hangs = move || drop(io::Read::read(&mut &reader, &mut [0]));
    let jobs: Vec<(Sought, BlockingJob<()>)> =
        vec![(Sought::Socket(identity.place), Box::new(hangs))];
    let end = Instant::now() + Duration::from_secs(60);
    finder.readers.run_all(USER, end, jobs).await;
    assert_eq!(is_connected(USER).await, Err(Failure::Busy));
    drop(writer);
}

#[tokio::test]
async fn failures_of_one_user_are_named_up_to_a_bound() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let made: Vec<Made> = (0..20)
        .map(|n| tree.instance(&format!("n{n}"), uid))
        .collect();
    for one in &made {
        fs::remove_file(one.path.join("agents.s/core_api")).unwrap();
    }
    let findings = tree.find().await;
    assert_eq!(findings.failures.len(), findings::MOST_NAMED);
    assert_eq!(findings.left_out.get(&uid), Some(&4));
    assert_eq!(findings.failures[0].failure, Failure::Gone);
}

#[tokio::test]
async fn directory_exchanged_after_the_listing_is_no_instance() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let made = tree.instance("one", USER);
    let finder = tree.finder(0);
    let deadline = Instant::now() + Duration::from_secs(60);
    let work = finder
        .overview(&[], deadline, &mut Findings::default())
        .await;
    assert_eq!(work.keys().collect::<Vec<_>>(), [&USER]);
    fs::rename(&made.path, tree.folder.path().join("away")).unwrap();
    let _victim = tree.instance("one", OTHER);
    for (uid, work) in work {
        let share = Share::new(9, Arc::new(AtomicUsize::new(9)));
        for (_, job) in finder.jobs(uid, work, &share) {
            assert!(job().unwrap().is_none());
        }
    }
}
