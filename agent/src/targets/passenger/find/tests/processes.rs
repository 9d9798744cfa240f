//! Instances that are found through their processes.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use super::*;

/// The identity of a live process, by its files.
fn id_of(tgid: u32) -> ProcessId {
    let stat = fs::read_to_string(format!("/proc/{tgid}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap();
    let ticks: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    ProcessId {
        tgid,
        start_ns: ticks * 10_000_000,
    }
}

fn own_id() -> ProcessId {
    id_of(std::process::id())
}

/// A child that sleeps; it ends with this value.
struct Sleeper(Child);

impl Sleeper {
    fn start(command: &mut Command) -> Self {
        let child = Self(command.spawn().unwrap());
        let comm = format!("/proc/{}/comm", child.0.id());
        while fs::read_to_string(&comm).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        child
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn instance_of_a_process_is_found_in_any_registry() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let made = make(&tree.folder.path().join("elsewhere"), "one", uid);
    // Not this process: that has the locks of other tests open, too.
    let lock = Stdio::from(made.lock.try_clone().unwrap());
    let child = Sleeper::start(Command::new("sleep").arg("1000").stdin(lock));
    let id = id_of(child.0.id());
    let finder = tree.finder(0);
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let findings = find(&finder, &[id]).await;
    assert_eq!(
        findings.instances[0].identity.pid_namespace,
        Some(namespace)
    );
    assert_eq!(findings.instances[0].password, None);
    // In a registry, too, it is one instance.
    fs::rename(&made.path, tree.registry().join("passenger.one")).unwrap();
    let findings = find(&finder, &[id, id]).await;
    assert_eq!(
        (names(&findings), findings.left_out.len()),
        (vec!["one"], 0)
    );
    assert_eq!(
        findings.instances[0].identity.pid_namespace,
        Some(namespace)
    );
}

#[test]
fn process_with_another_start_is_not_looked_at() {
    let tree = RegistryTree::new();
    let uid = geteuid().as_raw();
    let _made = make(&tree.folder.path().join("elsewhere"), "one", uid);
    let host = tree.finder(0).host;
    assert!(of_process(&host, own_id(), uid).unwrap().is_some());
    for tgid in [std::process::id(), u32::MAX] {
        let other = ProcessId {
            tgid,
            start_ns: own_id().start_ns + host.tick_ns,
        };
        assert_eq!(of_process(&host, other, uid).unwrap_err(), Failure::Gone);
    }
}

#[tokio::test]
async fn process_shows_no_instance_of_another_user() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let (own, others) = (
        tree.folder.path().join("own"),
        tree.folder.path().join("others"),
    );
    fs::set_permissions(
        tree.folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let roots = make(&others, "roots", 0);
    let users = make(&own, "users", USER);
    for (made, wanted) in [(&roots, vec![]), (&users, vec!["users"])] {
        let lock = Stdio::from(made.lock.try_clone().unwrap());
        let child = Sleeper::start(Command::new("sleep").arg("1000").uid(USER).stdin(lock));
        let id = id_of(child.0.id());
        assert_eq!(user_of(&tree.finder(0).host, id), Ok(USER));
        let findings = find(&tree.finder(0), &[id]).await;
        assert_eq!(names(&findings), wanted);
        assert!(findings.failures.is_empty());
    }
    // The path leads to another file than the one that is open.
    let lock = Stdio::from(users.lock.try_clone().unwrap());
    let child = Sleeper::start(Command::new("sleep").arg("1000").uid(USER).stdin(lock));
    let id = id_of(child.0.id());
    fs::rename(&users.path, own.join("passenger.away")).unwrap();
    let host = tree.finder(0).host;
    assert!(
        of_process(&host, id, USER)
            .unwrap()
            .is_some_and(|found| found.name == "passenger.away")
    );
    fs::copy(
        own.join("passenger.away/lock"),
        own.join("passenger.away/copy"),
    )
    .unwrap();
    fs::rename(own.join("passenger.away"), own.join("passenger.moved")).unwrap();
    symlink("passenger.moved", own.join("passenger.away")).unwrap();
    fs::rename(own.join("passenger.moved/lock"), own.join("lock")).unwrap();
    fs::rename(
        own.join("passenger.moved/copy"),
        own.join("passenger.moved/lock"),
    )
    .unwrap();
    assert!(of_process(&host, id, USER).unwrap().is_none());
}

/// Mounts a directory over another in a mount namespace of its own, between fork and exec.
fn mount_over(from: &Path, to: &Path) -> impl FnMut() -> io::Result<()> + use<> {
    let [from, to] = [from, to].map(|path| std::ffi::CString::new(path.to_str().unwrap()).unwrap());
    move || {
        // SAFETY: the strings outlive the calls, which change the new process alone.
        let code = unsafe {
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            let private = libc::MS_PRIVATE | libc::MS_REC;
            libc::unshare(libc::CLONE_NEWNS)
                | libc::mount(none, root, none, private, none.cast())
                | libc::mount(from.as_ptr(), to.as_ptr(), none, libc::MS_BIND, none.cast())
        };
        if code == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[tokio::test]
async fn instance_in_another_mount_namespace_is_found_through_its_process() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let (hidden, shown) = (
        tree.folder.path().join("hidden"),
        tree.folder.path().join("shown"),
    );
    fs::create_dir(&shown).unwrap();
    let made = make(&hidden, "one", 0);
    let mut command = Command::new("sh");
    let script = format!("exec sleep 1000 < {}/passenger.one/lock", shown.display());
    command.args(["-c", &script]).stderr(Stdio::null());
    // SAFETY: between fork and exec, the closure only makes system calls.
    unsafe { command.pre_exec(mount_over(&hidden, &shown)) };
    let child = Sleeper::start(&mut command);
    assert!(
        !shown.join("passenger.one").exists(),
        "the mount is the child's alone"
    );
    let id = id_of(child.0.id());
    let link = fs::read_link(format!("/proc/{}/fd/0", id.tgid)).unwrap();
    assert_eq!(link, shown.join("passenger.one/lock"));
    let findings = find(&tree.finder(0), &[id]).await;
    assert_eq!(names(&findings), ["one"]);
    assert_eq!(
        findings.instances[0].identity.place,
        Place::trusted(&made.path).unwrap().key
    );
}

#[test]
fn path_to_another_lock_in_the_namespace_of_the_process_is_no_instance() {
    if !is_root() {
        return;
    }
    let tree = RegistryTree::new();
    let [hidden, shown] = ["hidden", "shown"].map(|name| tree.folder.path().join(name));
    let open = make(&shown, "one", 0);
    let _other = make(&hidden, "one", 0);
    let lock = Stdio::from(open.lock.try_clone().unwrap());
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(lock);
    // SAFETY: between fork and exec, the closure only makes system calls.
    unsafe { command.pre_exec(mount_over(&hidden, &shown)) };
    let child = Sleeper::start(&mut command);
    let id = id_of(child.0.id());
    let link = fs::read_link(format!("/proc/{}/fd/0", id.tgid)).unwrap();
    assert_eq!(link, shown.join("passenger.one/lock"));
    let found = of_process(&tree.finder(0).host, id, 0).unwrap();
    assert!(
        found.is_none(),
        "below its root, the path leads to the other lock"
    );
}

#[tokio::test]
async fn pid_in_its_own_namespace_is_that_of_the_process_that_was_meant() {
    let finder = RegistryTree::new().finder(0);
    let own = own_id();
    let mut another = own;
    another.start_ns += 10_000_000;
    let expected = NamespacedPid {
        namespace: fs::metadata("/proc/self/ns/pid").unwrap().ino(),
        pid: own.tgid,
    };
    let far = Instant::now() + Duration::from_secs(60);
    let found = finder.namespaced_pids(vec![own, another], far).await;
    assert_eq!(found, [(own, Some(expected)), (another, None)]);
}
