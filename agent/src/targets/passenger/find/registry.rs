//! Instance registry directories: where they are, and which directories of instances they may contain.
//!
//! In come the agent's environment and flags; out come, for each registry, the names of candidates with their owners. Nothing in
//! them is read here.
//!
//! Each registry is looked up below two roots: that of process 1 and that of `--path.rootfs`. So a service with a private `/tmp`,
//! and a container that shares the host's pids, see the host's `/tmp` without any setting. Often both roots are the same; a
//! registry that is found twice counts once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::host::Host;
use crate::targets::failure::Failure;
use crate::targets::files::{Place, Rule, WatchedLook};

/// With this variable, there is no default place.
const VARIABLE: &str = "PASSENGER_INSTANCE_REGISTRY_DIR";
const TEMPORARY: &str = "/tmp";
const RUNNING: &str = "/var/run/passenger-instreg";
/// The private directories that systemd gives to services, in `/tmp`: their prefix, and part of it with the name of the service.
const PRIVATE: &str = "systemd-private-";
const SERVICES: [&str; 3] = ["-httpd.service-", "-nginx.service-", "-apache2.service-"];
/// Most private directories that are looked at. Only root makes them, one for each service.
const MOST_PRIVATE: usize = 64;
/// Most candidates of one user other than root in one registry. Dead instances leave their directories behind.
const MOST_EACH: usize = 1024;
const ROOT: u32 = 0;

/// How the directory of an instance is called.
const PREFIX: &[u8] = b"passenger.";
const MOST_SUFFIX: usize = 64;

/// Where instances may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registry {
    /// As the host sees it.
    path: PathBuf,
    /// Whether systemd keeps private directories of services there.
    has_private: bool,
}

/// One registry directory, and the possible instances in it.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) place: Arc<Place>,
    /// By owner: names of directories, in order.
    pub(super) names: BTreeMap<u32, Vec<String>>,
    /// By owner: directories beyond [`MOST_EACH`].
    pub(super) left_out: BTreeMap<u32, usize>,
    /// Whether all names of the directory were looked at.
    pub(super) is_whole: bool,
}

impl Listing {
    /// Whether there is nothing to look at, and nothing was left out.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.left_out.is_empty() && self.is_whole
    }
}

/// The default places, in order, then those of the flags. `variable` looks up the agent's environment.
pub(super) fn registries(
    variable: impl Fn(&str) -> Option<OsString>,
    flags: &[PathBuf],
) -> Vec<Registry> {
    let path_of = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let default = match path_of(VARIABLE) {
        Some(only) => vec![only],
        None => path_of("TMPDIR")
            .into_iter()
            .chain([TEMPORARY.into(), RUNNING.into()])
            .collect(),
    };
    let mut registries: Vec<Registry> = Vec::new();
    for path in default.into_iter().chain(flags.iter().cloned()) {
        let registry = Registry {
            has_private: path == Path::new(TEMPORARY),
            path,
        };
        if !registries.contains(&registry) {
            registries.push(registry);
        }
    }
    registries
}

/// The roots of the host: of process 1, as far as the agent may look into it, and that of the flag.
fn roots(host: &Host, look: &mut WatchedLook) -> Vec<Place> {
    let first = Place::trusted(&host.procfs.join("1/root"));
    let flag = Place::trusted(&host.rootfs);
    // The agent never gains the right to look into a process. Other errors may pass without a sign.
    let is_lasting = |root: &Result<Place, Failure>| {
        matches!(root, Ok(_) | Err(Failure::Denied | Failure::Gone))
    };
    if !is_lasting(&first) || flag.is_err() {
        look.give_up();
    }
    first.into_iter().chain(flag).collect()
}

/// Notices mounts below the roots: those that process 1 sees, if the agent may look into it, and those that the agent sees.
pub(super) fn watch_mounts(host: &Host, look: &mut WatchedLook) {
    look.watch_mounts(Path::new("/proc/self/mountinfo"));
    if Place::trusted(&host.procfs.join("1/root")).is_ok() {
        look.watch_mounts(&host.procfs.join("1/mountinfo"));
    }
}

impl Registry {
    /// Lists the registry below each root, and the private directories in it. `look` notices when that may be different.
    ///
    /// # Errors
    /// Why it cannot be listed below any root. [`Failure::Gone`] if it does not exist.
    pub(super) fn list(
        &self,
        host: &Host,
        look: &mut WatchedLook,
    ) -> Result<Vec<Listing>, Failure> {
        let mut listings: Vec<Listing> = Vec::new();
        let mut failure = Failure::Gone;
        for root in roots(host, look) {
            let place = root.watched(&self.path, Rule::InRoot, look);
            let is_known = |place: &Place| listings.iter().any(|one| one.place.key == place.key);
            match place.and_then(|place| {
                if is_known(&place) {
                    Ok(None)
                } else {
                    list(place, look).map(Some)
                }
            }) {
                Ok(None) => {}
                Ok(Some((listing, private))) => {
                    for name in private.iter().filter(|_| self.has_private) {
                        match private_listing(&listing.place, name, look) {
                            Ok(private) => listings.extend(private),
                            Err(other) => look.failed(other),
                        }
                    }
                    listings.push(listing);
                }
                Err(Failure::Gone) => {}
                Err(other) => {
                    look.failed(other);
                    failure = other;
                }
            }
        }
        match listings.is_empty() {
            true => Err(failure),
            false => Ok(listings),
        }
    }
}

/// Lists one directory. Also returns the names of private directories of systemd.
fn list(place: Place, look: &mut WatchedLook) -> Result<(Listing, Vec<String>), Failure> {
    let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut left_out = BTreeMap::new();
    let mut private = Vec::new();
    let is_whole = place.names(|name| {
        if let Some(name) = private_name(name) {
            if private.len() < MOST_PRIVATE {
                private.push(name.to_owned())
            }
            return;
        }
        let Some(name) = instance_name(name) else {
            return;
        };
        // An instance is a directory that still exists, on the file system of the registry: mount points are left out.
        let found = match place.directory(Path::new(name), Rule::Inside) {
            Ok(found) => found,
            Err(failure) => return look.failed(failure),
        };
        let own = names.entry(found.uid).or_default();
        if found.uid == ROOT || own.len() < MOST_EACH {
            own.push(name.to_owned());
        } else {
            *left_out.entry(found.uid).or_default() += 1;
        }
    })?;
    names.values_mut().for_each(|own| own.sort_unstable());
    let place = Arc::new(place);
    let listing = Listing {
        place,
        names,
        left_out,
        is_whole,
    };
    Ok((listing, private))
}

/// The private `/tmp` of a service. systemd makes both directories as root; directories of other users are skipped.
fn private_listing(
    registry: &Place,
    name: &str,
    look: &mut WatchedLook,
) -> Result<Option<Listing>, Failure> {
    let outer = registry.directory(Path::new(name), Rule::Inside)?;
    if outer.uid != ROOT {
        return Ok(None);
    }
    let inner = outer.watched(Path::new("tmp"), Rule::Inside, look)?;
    match inner.uid {
        ROOT => list(inner, look).map(|(listing, _)| Some(listing)),
        _ => Ok(None),
    }
}

/// The name, if it may be that of the directory of an instance.
pub(super) fn instance_name(name: &[u8]) -> Option<&str> {
    let suffix = name.strip_prefix(PREFIX)?;
    let is_fitting = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_fitting = (1..=MOST_SUFFIX).contains(&suffix.len()) && suffix.iter().all(is_fitting);
    std::str::from_utf8(name).ok().filter(|_| is_fitting)
}

fn private_name(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let rest = name.strip_prefix(PRIVATE)?;
    SERVICES
        .iter()
        .any(|service| rest.contains(service))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use rustix::process::geteuid;
    use tempfile::TempDir;

    use super::*;
    use crate::targets::files::Watcher;

    fn paths(variables: &[(&str, &str)], flags: &[PathBuf]) -> Vec<String> {
        let variable = |name: &str| {
            let mut found = variables.iter().filter(|(variable, _)| *variable == name);
            found.next().map(|(_, value)| OsString::from(value))
        };
        let registries = registries(variable, flags);
        registries
            .iter()
            .map(|one| one.path.display().to_string())
            .collect()
    }

    /// A host of files: process 1 has the root `one`, and the flag names `two`.
    fn host() -> (TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["proc/1", "one/tmp", "two/tmp"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("proc/stat"), "btime 1\n").unwrap();
        symlink("../../one", folder.path().join("proc/1/root")).unwrap();
        let host = Host::detect(folder.path().join("proc"), folder.path().join("two")).unwrap();
        (folder, host)
    }

    fn found(path: &str, host: &Host) -> Result<Vec<String>, Failure> {
        let flags = [PathBuf::from(path)];
        let registry = registries(|_| None, &flags)
            .into_iter()
            .find(|one| one.path == flags[0]);
        let mut names = Vec::new();
        let mut look = Watcher::new().part();
        for listing in registry.unwrap().list(host, &mut look)? {
            names.extend(listing.names.into_values().flatten());
        }
        names.sort_unstable();
        Ok(names)
    }

    #[test]
    fn places_come_in_the_order_of_the_contract() {
        let default = ["/tmp", "/var/run/passenger-instreg"];
        assert_eq!(paths(&[], &[]), default);
        assert_eq!(paths(&[("TMPDIR", ""), (VARIABLE, "")], &[]), default);
        let flags = ["/a".into(), "/tmp".into(), "/a".into()];
        let wanted = ["/t", "/tmp", "/var/run/passenger-instreg", "/a"];
        assert_eq!(paths(&[("TMPDIR", "/t")], &flags), wanted);
        assert_eq!(
            paths(&[("TMPDIR", "/t"), (VARIABLE, "/v")], &flags),
            ["/v", "/a", "/tmp"]
        );
    }

    #[test]
    fn registry_is_listed_below_both_roots_and_once_if_they_are_one() {
        let (folder, host) = host();
        fs::create_dir(folder.path().join("one/tmp/passenger.a")).unwrap();
        fs::create_dir(folder.path().join("two/tmp/passenger.b")).unwrap();
        assert_eq!(
            found("/tmp", &host).unwrap(),
            ["passenger.a", "passenger.b"]
        );
        assert_eq!(found("/none", &host), Err(Failure::Gone));
        fs::write(folder.path().join("one/file"), "").unwrap();
        assert_eq!(found("/file", &host), Err(Failure::Malformed));
        let one = Host::detect(&host.procfs, folder.path().join("one")).unwrap();
        assert_eq!(found("/tmp", &one).unwrap(), ["passenger.a"]);
        // Without the right to look at process 1, the other root is left.
        fs::remove_file(folder.path().join("proc/1/root")).unwrap();
        assert_eq!(found("/tmp", &host).unwrap(), ["passenger.b"]);
    }

    #[test]
    fn links_of_the_host_stay_below_its_root() {
        let (folder, host) = host();
        fs::create_dir_all(folder.path().join("one/run/reg/passenger.a")).unwrap();
        fs::create_dir(folder.path().join("one/var")).unwrap();
        symlink("/run", folder.path().join("one/var/run")).unwrap();
        symlink("/../../../tmp", folder.path().join("one/up")).unwrap();
        fs::create_dir(folder.path().join("one/tmp/passenger.b")).unwrap();
        assert_eq!(found("/var/run/reg", &host).unwrap(), ["passenger.a"]);
        assert_eq!(found("/up", &host).unwrap(), ["passenger.b"]);
    }

    #[test]
    fn private_directories_of_systemd_are_listed_if_root_made_them() {
        if !geteuid().is_root() {
            return;
        }
        let (folder, host) = host();
        let private = |service: &str, instance: &str| {
            let path = folder
                .path()
                .join(format!("one/tmp/systemd-private-0f-{service}-Xy12"));
            fs::create_dir_all(path.join("tmp").join(instance)).unwrap();
            path
        };
        private("apache2.service", "passenger.a");
        private("nginx.service", "passenger.n");
        private("httpd.service", "passenger.h");
        private("cron.service", "passenger.c");
        chown(private("nginx.service-2", "passenger.x"), Some(1000), None).unwrap();
        let inner = private("nginx.service-3", "passenger.y").join("tmp");
        chown(inner, Some(1000), None).unwrap();
        let linked = folder
            .path()
            .join("one/tmp/systemd-private-0f-nginx.service-link");
        symlink(private("cron.service", "passenger.c"), linked).unwrap();
        let wanted = ["passenger.a", "passenger.h", "passenger.n"];
        assert_eq!(found("/tmp", &host).unwrap(), wanted);
        fs::rename(
            folder.path().join("one/tmp"),
            folder.path().join("one/elsewhere"),
        )
        .unwrap();
        assert_eq!(found("/elsewhere", &host).unwrap(), [""; 0], "only in /tmp");
    }

    #[test]
    fn names_are_those_that_passenger_gives() {
        let most = format!("passenger.{}", "x".repeat(64));
        for good in ["passenger.a", "passenger.AbC0129", most.as_str()] {
            assert_eq!(instance_name(good.as_bytes()), Some(good));
        }
        let long = format!("{most}x");
        for bad in [
            "passenger.",
            "passenger",
            "passenger.a b",
            "passenger.a/b",
            "xpassenger.a",
            &long,
        ] {
            assert_eq!(instance_name(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(instance_name(b"passenger.\xff"), None);
    }
}
