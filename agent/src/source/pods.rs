//! Names of pods: from a container's id to what its cluster calls it.
//!
//! In come the kubelet's links to the logs of its containers, `<rootfs>/var/log/containers`; out go names. Neither the API
//! server nor a runtime's socket is asked. Only names of links are read, never a log.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::pod_link::parse_link;
use crate::process::Container;

/// Links that are read and remembered, ten times what the largest nodes have. Containers of further ones stay without names,
/// and the listing counts as one that failed.
const LINKS: usize = 16_384;

/// Names by container id, listed again when an unknown id appears, at most once for each pass: whoever starts containers
/// that have no link, or processes in one, causes no more work than that.
#[derive(Debug)]
pub(super) struct Pods {
    folder: PathBuf,
    known: HashMap<String, Arc<Container>>,
    may_list: bool,
    failures: u64,
}

impl Pods {
    /// Names from the links in `folder`. Nothing is read before the first question.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            known: HashMap::new(),
            may_list: true,
            failures: 0,
        }
    }

    /// From here on one more listing is allowed.
    pub(super) const fn begin_pass(&mut self) {
        self.may_list = true;
    }

    /// What the container with this id is called; `None` where the kubelet has no link for it, or none yet.
    pub(super) fn find(&mut self, id: &str) -> Option<Arc<Container>> {
        if !self.known.contains_key(id) && std::mem::take(&mut self.may_list) {
            self.list();
        }
        self.known.get(id).cloned()
    }

    /// Listings that failed or stopped at [`LINKS`]; never falls.
    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    /// Names of what is gone go; what was known stays when the folder cannot be read.
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

/// The containers, and whether these are all.
fn read_links(folder: &Path) -> io::Result<(HashMap<String, Arc<Container>>, bool)> {
    let mut entries = fs::read_dir(folder)?;
    let mut known = HashMap::new();
    for entry in entries.by_ref().take(LINKS) {
        let name = entry?.file_name();
        if let Some((id, container)) = parse_link(name.as_bytes()) {
            known.insert(id.to_owned(), Arc::new(container));
        }
    }
    Ok((known, entries.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> String {
        format!("{number:064x}")
    }

    fn link(folder: &Path, pod: &str, id: &str) {
        let path = folder.join(format!("{pod}_ns_c-{id}.log"));
        // Links lead nowhere: only their names count.
        std::os::unix::fs::symlink("/nowhere", path).unwrap();
    }

    fn pod(pods: &mut Pods, number: u32) -> Option<String> {
        pods.find(&id(number)).map(|found| found.pod.clone())
    }

    #[test]
    fn an_unknown_container_is_looked_for_once_for_each_pass() {
        let dir = tempfile::tempdir().unwrap();
        let mut pods = Pods::new(dir.path().to_owned());
        link(dir.path(), "a", &id(1));
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"));
        link(dir.path(), "b", &id(2));
        assert_eq!(pod(&mut pods, 2), None, "the pass had its listing");
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 1).as_deref(), Some("a"), "known");
        assert_eq!(pod(&mut pods, 2).as_deref(), Some("b"));
        fs::remove_file(dir.path().join(format!("a_ns_c-{}.log", id(1)))).unwrap();
        pods.begin_pass();
        assert_eq!(pod(&mut pods, 3), None);
        assert_eq!(pod(&mut pods, 1), None, "its link was gone when 3 came");
        assert_eq!(pods.failures(), 0);
    }

    #[test]
    fn without_the_folder_nothing_is_known_and_that_is_counted() {
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
        assert_eq!(
            pod(&mut pods, 1).as_deref(),
            Some("a"),
            "what is known stays"
        );
        assert_eq!(pods.failures(), 2);
    }

    #[test]
    fn a_crowded_folder_is_read_up_to_the_bound() {
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
