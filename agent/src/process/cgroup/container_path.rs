//! Finds the container of a process in its cgroup paths.
//!
//! In come paths as `/proc/<pid>/cgroup` shows them; out go the container's id and the kind of cgroup above it. Paths need not
//! begin at the root: seen from another cgroup namespace, as in a container, they begin with `/..`.
//!
//! A cgroup's name proves nothing where a local user or a container may create cgroups: a user may call a cgroup
//! `kubepods/pod<uid>/<id>` after a container of another user. The path is therefore read from its beginning, which only root
//! can create, and reading ends at the first component below which others may create cgroups:
//!
//! ```text
//! [/..]* [/kubelet] /kubepods [/burstable | /besteffort] /pod<uid> /<id>      a pod, cgroupfs driver
//! [/..]* [/*.slice]* /*kubepods*-pod<uid>.slice /<runtime>-<id>.scope         a pod, systemd driver
//! [/..]* [/*.slice]* /<runtime>-<id>.scope                                    Docker, Podman
//! [/..]* /docker | /libpod_parent | ... /<id>                                 the same, cgroupfs driver
//! [/..]* [/*.slice]* /<any other> ... /<id>                                   delegated: the id counts below <any other> only
//! ```

use std::fmt;

/// Number of digits in a container's id.
const CONTAINER_ID: usize = 64;
/// Lengths of a pod's uid: with dashes or underscores if the API server assigned it, without if the pod comes from a file on
/// the node.
const POD_UID: [usize; 2] = [36, 32];
/// The kubelet's cgroups for pods that are not of the QoS class Guaranteed.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];
/// Top-level cgroups that container runtimes create; only root can write to them. `default` is nerdctl's namespace in
/// containerd, `actions_job` is the parent cgroup on GitHub's runners.
const RUNTIMES: [&str; 6] = [
    "docker",
    "podman",
    "libpod_parent",
    "containers",
    "default",
    "actions_job",
];
/// Units of runtimes. If runc is not configured for systemd, it creates `<slice>:<runtime>:<id>` below them.
const RUNTIME_UNITS: [&str; 6] = [
    "containerd.service",
    "cri-docker.service",
    "crio.service",
    "docker.service",
    "k3s.service",
    "k3s-agent.service",
];

/// The container of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerPath<'a> {
    /// The id, 64 hexadecimal digits.
    pub id: &'a str,
    /// The kind of cgroup above the container's cgroup.
    pub parent: Parent<'a>,
}

/// The kind of cgroup above a container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent<'a> {
    /// The cgroup of the pod with this uid, spelled as in the path.
    Pod(&'a str),
    /// The cgroup above the agent's own container. It may be a pod's: the path does not show it.
    Own,
    /// A place where only root creates cgroups.
    Node,
    /// A unit or container whose user may create cgroups of any name. Its id may be invented, so it identifies no container
    /// outside.
    Delegated(&'a str),
}

/// The text of `.ContainerID`: the id alone only where only root can have chosen it.
impl fmt::Display for ContainerPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parent {
            Parent::Delegated(name) => write!(f, "{name}:{}", self.id),
            _ => f.write_str(self.id),
        }
    }
}

impl Parent<'_> {
    /// Whether a kubelet may have made the container; if both uids are known, whether it may have made it for the pod with this
    /// uid.
    pub fn may_be_pod(self, uid: Option<&str>) -> bool {
        let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
        match (self, uid) {
            (Parent::Pod(own), Some(uid)) => own.bytes().map(dashed).eq(uid.bytes().map(dashed)),
            (Parent::Pod(_) | Parent::Own, _) => true,
            (Parent::Node | Parent::Delegated(_), _) => false,
        }
    }
}

/// The container in the first path that shows one.
pub fn container_path(paths: &[String]) -> Option<ContainerPath<'_>> {
    container_path_within(paths, None)
}

/// As [`container_path`], on a node that is itself the container with the id `node`, as kind's nodes are: only in this
/// container are other containers looked for.
pub fn container_path_within<'a>(
    paths: &'a [String],
    node: Option<&str>,
) -> Option<ContainerPath<'a>> {
    let mut all = paths
        .iter()
        .filter_map(|path| PathReader { node }.path(path));
    let first = all.next()?;
    let is_delegated = |one: &ContainerPath<'_>| matches!(one.parent, Parent::Delegated(_));
    // With cgroup version 1, one hierarchy may be delegated and another not.
    match is_delegated(&first) {
        true => all.find(|one| !is_delegated(one)).or(Some(first)),
        false => Some(first),
    }
}

/// The components of a path that are not read yet.
type Components<'a> = std::str::Split<'a, char>;

#[derive(Clone, Copy)]
struct PathReader<'n> {
    node: Option<&'n str>,
}

impl PathReader<'_> {
    fn path<'a>(self, path: &'a str) -> Option<ContainerPath<'a>> {
        let mut components = path.strip_prefix('/')?.split('/');
        let mut first = components.next()?;
        let is_outside = first == "..";
        while first == ".." {
            first = components.next()?;
        }
        // The path begins below a cgroup that is above the agent's own; its first components may be missing.
        if is_outside {
            if let Some(uid) = pod_directory(first).filter(|uid| is_uid(uid)) {
                return in_pod(uid, components);
            }
            if CLASSES.contains(&first) {
                return in_pod(pod_directory(components.next()?)?, components);
            }
            if let Some(id) = container(first) {
                let parent = Parent::Own;
                return Some(ContainerPath { id, parent });
            }
        }
        self.root(first, components)
    }

    /// Reads from the top of the hierarchy, or of a node that is a container.
    fn root<'a>(self, first: &'a str, mut rest: Components<'a>) -> Option<ContainerPath<'a>> {
        match first {
            "kubepods" => in_kubepods(rest),
            "kubelet" if rest.clone().next() == Some("kubepods") => {
                rest.next();
                in_kubepods(rest)
            }
            "ecs" => {
                // `ecs/<task>/<id>` or `ecs/<cluster>/<task>/<id>`.
                let mut below = rest.clone().skip(1);
                let id = below.next().and_then(container);
                let id = id.or_else(|| below.next().and_then(container))?;
                Some(of_node(id))
            }
            _ if RUNTIMES.contains(&first) => match container(rest.clone().next()?) {
                Some(id) => {
                    rest.next();
                    self.inside(id, rest)
                }
                None => delegated(first, rest),
            },
            _ => self.slices(first, rest),
        }
    }

    /// Reads below slices. systemd creates them, and only on behalf of root.
    fn slices<'a>(self, first: &'a str, mut rest: Components<'a>) -> Option<ContainerPath<'a>> {
        let mut name = first;
        while let Some(slice) = name.strip_suffix(".slice") {
            if let Some(uid) = pod_slice(slice) {
                return in_pod(uid, rest);
            }
            name = rest.next()?;
        }
        if RUNTIME_UNITS.contains(&name) {
            let below = rest.clone().next();
            return below.and_then(joined).or_else(|| delegated(name, rest));
        }
        if let Some(found) = joined(name) {
            return Some(found);
        }
        match container(name) {
            Some(id) => self.inside(id, rest),
            None => delegated(name, rest),
        }
    }

    /// Reads inside a container: cgroups created there count only if the container is the node itself.
    fn inside<'a>(self, id: &'a str, mut rest: Components<'a>) -> Option<ContainerPath<'a>> {
        if self.node != Some(id) {
            return Some(of_node(id));
        }
        // Podman puts the payload one level below.
        let first = rest.next().filter(|name| *name != "container");
        let inner = first
            .or_else(|| rest.next())
            .and_then(|first| self.root(first, rest))
            .filter(|found| !matches!(found.parent, Parent::Delegated(_)));
        inner.or(Some(of_node(id)))
    }
}

const fn of_node(id: &str) -> ContainerPath<'_> {
    let parent = Parent::Node;
    ContainerPath { id, parent }
}

fn in_kubepods(mut rest: Components<'_>) -> Option<ContainerPath<'_>> {
    let mut name = rest.next()?;
    // Docker Desktop has this component twice.
    if name == "kubepods" {
        name = rest.next()?;
    }
    if CLASSES.contains(&name) {
        name = rest.next()?;
    }
    in_pod(pod_directory(name)?, rest)
}

/// Reads directly below a pod only: further down, the container may create cgroups.
fn in_pod<'a>(uid: &'a str, mut rest: Components<'a>) -> Option<ContainerPath<'a>> {
    let id = container(rest.next()?)?;
    let parent = Parent::Pod(uid);
    Some(ContainerPath { id, parent })
}

fn delegated<'a>(name: &'a str, mut rest: Components<'a>) -> Option<ContainerPath<'a>> {
    let id = rest.find_map(container)?;
    let parent = Parent::Delegated(name);
    Some(ContainerPath { id, parent })
}

/// `<slice>:<runtime>:<id>`
fn joined(component: &str) -> Option<ContainerPath<'_>> {
    let mut parts = component.splitn(3, ':');
    let (slice, _, id) = (parts.next()?, parts.next()?, parts.next()?);
    let slice = slice.strip_suffix(".slice")?;
    let parent = pod_slice(slice).map_or(Parent::Node, Parent::Pod);
    is_container_id(id).then_some(ContainerPath { id, parent })
}

/// The id in `<id>`, `<runtime>-<id>` or `<runtime>-<id>.scope`.
fn container(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (before, id) = name.split_at_checked(name.len().checked_sub(64)?)?;
    // `crio-conmon-<id>` holds the container's monitor, which is outside the container.
    let is_named = before.is_empty() || before.ends_with('-') && !before.ends_with("conmon-");
    (is_named && is_container_id(id)).then_some(id)
}

/// The uid in `pod<uid>`.
fn pod_directory(component: &str) -> Option<&str> {
    let uid = component.strip_prefix("pod")?;
    (!uid.is_empty()).then_some(uid)
}

/// The uid in the slice name `kubepods-pod<uid>` or `<root>-kubepods-<class>-pod<uid>`.
fn pod_slice(slice: &str) -> Option<&str> {
    let (before, uid) = slice.rsplit_once("-pod")?;
    let above = CLASSES
        .iter()
        .find_map(|class| before.strip_suffix(class)?.strip_suffix('-'));
    let root = above.unwrap_or(before).strip_suffix("kubepods")?;
    let is_whole = root.is_empty() || root.ends_with('-');
    (is_whole && !uid.is_empty()).then_some(uid)
}

fn is_uid(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    POD_UID.contains(&text.len()) && text.bytes().all(is_digit)
}

/// Whether `text` is exactly a container's id.
pub fn is_container_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == CONTAINER_ID && text.bytes().all(is_digit)
}

#[cfg(test)]
#[path = "container_path_tests.rs"]
mod tests;
