//! The names of this machine, as the kernel and files tell them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes of a file of names that are read; a larger one is a list of something else.
const MAX_FILE: u64 = 64 * 1024;

/// What the kernel tells of itself, as `uname` does.
const NODE: &str = "/proc/sys/kernel/hostname";
const DOMAIN: &str = "/proc/sys/kernel/domainname";

/// The kernel's node name, that in `etc/hostname` below `rootfs` (in a container the kernel tells that of the container), and what stands
/// beside one of them in `etc/hosts`, both here and below `rootfs`. A name that cannot be found is missing; that is no error.
pub(super) fn names(rootfs: &Path) -> Vec<String> {
    let node = read(Path::new(NODE));
    let domain = read(Path::new(DOMAIN));
    let host = read(&rootfs.join("etc/hostname"));
    let roots = [Path::new("/"), rootfs];
    let tables = roots.map(|root| read(&root.join("etc/hosts")));
    known(&[node.trim(), host.trim()], domain.trim(), &tables)
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    // What cannot be read has no names.
    let _ = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// `names`, each without its domain too, with `domain`, and with what `tables`, files like `/etc/hosts`, have beside it.
fn known(names: &[&str], domain: &str, tables: &[String]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for name in names.iter().filter(|name| is_own(name)) {
        known.push((*name).to_owned());
        let short = name.split('.').next().unwrap_or_default();
        if is_own(short) {
            known.push(short.to_owned());
        }
        if !name.contains('.') && !matches!(domain, "" | "(none)") {
            known.push(format!("{name}.{domain}"));
        }
    }
    let beside: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines())
        .flat_map(|line| beside(line, &known))
        .collect();
    known.extend(beside);
    known
}

/// The names in one line of `/etc/hosts`, if one of `known` is among them. Lines of others are not this machine's, even those of its own
/// addresses: such files also list names of others that shall lead nowhere.
fn beside(line: &str, known: &[String]) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default();
    let names = || line.split_whitespace().skip(1);
    let is_known = |name: &str| known.iter().any(|one| one.eq_ignore_ascii_case(name));
    if !names().any(is_known) {
        return Vec::new();
    }
    names().map(str::to_owned).collect()
}

/// A name of one machine, as opposed to what stands for any.
fn is_own(name: &str) -> bool {
    !name.is_empty() && !name.eq_ignore_ascii_case("localhost") && name != "(none)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_machine_are_found_without_dns() {
        let table = "127.0.0.1 localhost ads.example\n\
                     127.0.1.1 node-7.example.org NODE-7 # the machine\n\
                     10.0.0.8 node-8.example.org node-8\n\
                     # 10.0.0.9 node-7 commented.example\n";
        let found = known(
            &["node-7", "host-of-container.example.net"],
            "(none)",
            &[table.to_owned()],
        );
        assert_eq!(
            found,
            [
                "node-7",
                "node-7",
                "host-of-container.example.net",
                "host-of-container",
                "node-7.example.org",
                "NODE-7"
            ]
        );
    }

    #[test]
    fn a_domain_of_the_kernel_is_appended_and_no_name_is_no_name() {
        assert_eq!(known(&["n"], "d.example", &[]), ["n", "n", "n.d.example"]);
        let table = "127.0.0.1 localhost ads.example".to_owned();
        for none in ["", "localhost", "(none)"] {
            assert_eq!(
                known(&[none], "d.example", std::slice::from_ref(&table)),
                [""; 0],
                "{none}"
            );
        }
    }

    #[test]
    fn files_of_the_root_of_the_host_are_read() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(etc.join("hostname"), "outer\n").unwrap();
        std::fs::write(etc.join("hosts"), "10.0.0.1 outer.example.org outer\n").unwrap();
        let found = names(root.path());
        for name in ["outer", "outer.example.org"] {
            assert!(found.iter().any(|one| one == name), "{found:?}");
        }
        let node = read(Path::new(NODE));
        let is_known = found.iter().any(|one| one == node.trim());
        assert!(is_known || !is_own(node.trim()), "{found:?}");
    }
}
