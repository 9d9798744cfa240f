//! The names that a cluster gives a container.

/// Characters of the random parts of Kubernetes names: no vowels, so that no words appear, and no characters that are easily
/// misread.
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name in the pod.
    pub name: String,
}

impl Container {
    /// The name of the pod's workload: the pod's name without the endings that a Deployment, DaemonSet, StatefulSet, Job or
    /// CronJob appends to its own name. A name that happens to have such an ending loses it, too.
    pub fn workload(&self) -> &str {
        let pod = self.pod.as_str();
        let Some(owner) = without_end(pod, |end| end.len() == 5 && is_random(end)) else {
            // A StatefulSet numbers its pods.
            return without_end(pod, is_number).unwrap_or(pod);
        };
        // A ReplicaSet appends the hash of its template; a CronJob appends to its job the minute it was due.
        let is_generated = |end: &str| match end.len() {
            8 if is_number(end) => true,
            7..=10 => is_random(end),
            _ => false,
        };
        without_end(owner, is_generated).unwrap_or(owner)
    }
}

fn without_end(name: &str, is_end: impl Fn(&str) -> bool) -> Option<&str> {
    let (before, end) = name.rsplit_once('-')?;
    (!before.is_empty() && !end.is_empty() && is_end(end)).then_some(before)
}

fn is_random(end: &str) -> bool {
    end.bytes().all(|byte| RANDOM.contains(&byte))
}

fn is_number(end: &str) -> bool {
    end.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads() {
        for (pod, expected) in [
            ("nginx-7d4b9c8f6d-x2k9p", "nginx"),
            ("api-server-5b6f7c9d8-zzzzz", "api-server"),
            ("node-exporter-x2k9p", "node-exporter"),
            ("postgres-0", "postgres"),
            ("postgres-12", "postgres"),
            ("backup-28374720-x2k9p", "backup"),
            ("migrate-x2k9p", "migrate"),
            ("my-nginx", "my-nginx"),
            ("my-redis", "my-redis"),
            ("my-mysql", "my-mysql"),
            ("etcd", "etcd"),
            ("-x2k9p", "-x2k9p"),
            ("-0", "-0"),
            ("a-", "a-"),
            ("", ""),
            ("é-0", "é"),
        ] {
            let container = Container {
                namespace: String::new(),
                pod: pod.to_owned(),
                name: String::new(),
            };
            assert_eq!(container.workload(), expected, "{pod}");
        }
    }
}
