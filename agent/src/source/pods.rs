//! Names of pods: from a container's id to the names that Kubernetes gives to the container.
//!
//! In: the kubelet's links to the logs of its containers, in `<rootfs>/var/log/containers`. Out: names. The agent asks neither
//! the API server nor the socket of a container runtime, and reads only the links, never a log.
//!
//! The kubelet writes the links, but a process can influence its cgroup path. So a container gets names only if the path has
//! a form that only a kubelet's runtime creates, and if its pod is the one in the target of the link.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::pod_link::{parse_link, parse_target};
use crate::process::{Container, ContainerPath};

/// Maximum number of links that are read and remembered, ten times that of the largest nodes. Containers of further links
/// have no names, and the listing counts as failed.
const LINKS: usize = 16_384;

/// Names by container id. The links are listed again when an unknown id appears, at most once for each pass, so that a user
/// who starts containers without links, or processes in them, causes no more work than that.
#[derive(Debug)]
pub(super) struct Pods {
    folder: PathBuf,
    known: HashMap<String, PodLink>,
    may_list: bool,
    failures: u64,
}

/// The names of a container, and the pod that its link leads to.
#[derive(Debug)]
struct PodLink {
    container: Arc<Container>,
    /// `None` if the target of the link is not in a pod's folder, as with old kubelets.
    pod_uid: Option<String>,
}

impl Pods {
    /// Names from the links in `folder`. Nothing is read before the first lookup.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            known: HashMap::new(),
            may_list: true,
            failures: 0,
        }
    }

    /// Begins a pass: one more listing is allowed.
    pub(super) const fn begin_pass(&mut self) {
        self.may_list = true;
    }

    /// The names of the container. `None` if no kubelet can have created it, if the kubelet has no link for it (or none yet), or
    /// if the link belongs to another pod.
    pub(super) fn find(&mut self, path: ContainerPath<'_>) -> Option<Arc<Container>> {
        if !path.parent.may_be_pod(None) {
            return None;
        }
        if !self.known.contains_key(path.id) && std::mem::take(&mut self.may_list) {
            self.list();
        }
        let named = self.known.get(path.id)?;
        let is_of_pod = path.parent.may_be_pod(named.pod_uid.as_deref());
        is_of_pod.then(|| Arc::clone(&named.container))
    }

    /// Number of listings that failed or stopped at [`LINKS`]; never falls.
    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    /// Lists the links. Names whose link is gone are dropped; all names stay if the folder cannot be read.
    fn list(&mut self) {
        let failure = match read_links(&self.folder) {
            Ok((known, is_whole)) => {
                self.known = known;
                (!is_whole).then(|| format!("it holds more than {LINKS} links"))
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            if self.failures == 0 {
                let folder = self.folder.display();
                log::warn!(
                    "names of pods are missing: {folder}: {failure}; in a container, mount the host's /var/log/containers \
                     there (--path.rootfs); without Kubernetes, leave .Namespace, .Pod, .Workload and .Container out"
                );
            }
            self.failures += 1;
        }
    }
}

/// Reads the links in `folder`, and returns whether these are all.
fn read_links(folder: &Path) -> io::Result<(HashMap<String, PodLink>, bool)> {
    let mut entries = fs::read_dir(folder)?;
    let mut known = HashMap::new();
    for entry in entries.by_ref().take(LINKS) {
        let entry = entry?;
        if let Some((id, container)) = parse_link(entry.file_name().as_bytes()) {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let named = PodLink {
                container: Arc::new(container),
                pod_uid: parse_target(target.as_os_str().as_bytes()).map(str::to_owned),
            };
            known.insert(id.to_owned(), named);
        }
    }
    Ok((known, entries.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::container_path;

    const UID: &str = "1f2e3d4c-0001-4002-8003-a0b1c2d3e4f5";

    fn id(number: u32) -> String {
        format!("{number:064x}")
    }

    fn link(folder: &Path, pod: &str, id: &str) {
        let path = folder.join(format!("{pod}_ns_c-{id}.log"));
        // The target does not exist, because only the names of links count.
        std::os::unix::fs::symlink("/nowhere", path).unwrap();
    }

    fn pod(pods: &mut Pods, number: u32) -> Option<String> {
        pod_in(pods, &format!("/kubepods/pod{UID}/{}", id(number)))
    }

    fn pod_in(pods: &mut Pods, path: &str) -> Option<String> {
        let paths = [path.to_owned()];
        let path = container_path(&paths)?;
        pods.find(path).map(|found| found.pod.clone())
    }

    #[test]
    fn path_with_the_id_of_a_container_gets_its_name_only_in_its_pod() {
        let dir = tempfile::tempdir().unwrap();
        let target = format!("/var/log/pods/ns_a_{UID}/c/0.log");
        let path = dir.path().join(format!("a_ns_c-{}.log", id(1)));
        std::os::unix::fs::symlink(target, path).unwrap();
        let mut pods = Pods::new(dir.path().to_owned());
        let (id, other) = (id(1), "f".repeat(36));
        let escaped = UID.replace('-', "_");
        for (path, expected) in [
            (format!("/kubepods/pod{UID}/{id}"), true),
            (
                format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{id}.scope"),
                true,
            ),
            (format!("/../{id}"), true),
            (format!("/kubepods/pod{other}/{id}"), false),
            (format!("/docker/{id}"), false),
            (
                format!("/user.slice/user-1.slice/user@1.service/kubepods/pod{UID}/{id}"),
                false,
            ),
        ] {
            let found = pod_in(&mut pods, &path);
            assert_eq!(found.is_some(), expected, "{path}");
        }
    }

    #[test]
    fn unknown_container_is_looked_up_once_a_pass() {
        let dir = tempfile::tempdir().unwrap();
        let mut pods = Pods::new(dir.path().to_owned());
        link(dir.path(), "a", &id(1));
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"));
        link(dir.path(), "b", &id(2));
        assert_eq!(pod(&mut pods, 2), None, "one listing a pass");
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"), "known");
        assert_eq!(pod(&mut pods, 2).as_deref(), Some("b"));
        fs::remove_file(dir.path().join(format!("a_ns_c-{}.log", id(1)))).unwrap();
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 3), None);
        assert_eq!(
            pod(&mut pods, 1),
            None,
            "its link was gone at the last listing"
        );
        assert_eq!(pods.failures(), 0);
    }

    #[test]
    fn missing_folder_counts_as_a_failure_and_keeps_known_names() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("containers");
        let mut pods = Pods::new(folder.clone());
        assert_eq!((pod(&mut pods, 1), pod(&mut pods, 2)), (None, None));
        assert_eq!(pods.failures(), 1);
        fs::create_dir(&folder).unwrap();
        link(&folder, "a", &id(1));
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"));
        fs::remove_dir_all(&folder).unwrap();
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 2), None);
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"), "known names stay");
        assert_eq!(pods.failures(), 2);
    }

    #[test]
    fn folder_with_more_links_than_the_bound_is_cut_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let more = u32::try_from(LINKS).unwrap() + 1;
        (0..more).for_each(|number| link(dir.path(), "a", &id(number)));
        let mut pods = Pods::new(dir.path().to_owned());
        let known = |pods: &mut Pods| {
            (0..more)
                .filter(|number| pod(pods, *number).is_some())
                .count()
        };
        assert_eq!(known(&mut pods), LINKS);
        assert_eq!(pods.failures(), 1);
    }
}
