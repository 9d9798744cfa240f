//! The host names of this machine, from the kernel and from files. DNS is not used.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Most bytes read of a file with names; a larger file is no such file.
const MAX_FILE: u64 = 64 * 1024;

/// The host name that the kernel has, as `uname` returns it.
const NODE: &str = "/proc/sys/kernel/hostname";
const DOMAIN: &str = "/proc/sys/kernel/domainname";

/// The kernel's node name, the one in `etc/hostname` below `rootfs` (in a container, the kernel has the container's
/// name), and the names on the same line as one of them in `etc/hosts`, both of this file system and below `rootfs`.
/// A name that cannot be read is missing from the result; that is no error.
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
    // An unreadable file adds no names.
    let _ = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// `names`, the same without their domains, the same with `domain`, and the names on the same line in `tables`
/// (contents of files like `/etc/hosts`).
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

/// The names in one line of `/etc/hosts` if one of `known` is among them. Other lines are ignored, even those of the
/// machine's own addresses: such files also map names of other sites to them in order to block those sites.
fn beside(line: &str, known: &[String]) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default();
    let names = || line.split_whitespace().skip(1);
    let is_known = |name: &str| known.iter().any(|one| one.eq_ignore_ascii_case(name));
    if !names().any(is_known) {
        return Vec::new();
    }
    names().map(str::to_owned).collect()
}

/// Whether the name belongs to one machine, as opposed to a placeholder.
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
    fn kernel_domain_is_appended_and_placeholder_names_are_ignored() {
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
    fn files_below_rootfs_are_read() {
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
