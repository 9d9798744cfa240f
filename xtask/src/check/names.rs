//! Checks names without a clear meaning: functions that begin with `get_`, `do_` or `handle_`, modules for leftovers, and a bare
//! `pid` near the kernel, where it may be a process or a thread.

use super::sources::Source;

const PREFIXES: &[&str] = &["get_", "do_", "handle_"];
const MODULES: &[&str] = &["utils", "helpers", "common"];
/// Crates in which process ids are called `tgid` and thread ids `tid`.
const NEAR_THE_KERNEL: &[&str] = &["agent-common", "agent-ebpf"];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let path = source.path.display();
        if NEAR_THE_KERNEL
            .iter()
            .any(|member| source.path.starts_with(member))
        {
            let pids = source.tokens.iter().filter(|token| token.text == "pid");
            findings
                .extend(pids.map(|token| format!("{path}:{}: `pid`: say tgid or tid", token.line)));
        }
        for pair in source.tokens.windows(2) {
            let [keyword, name] = pair else {
                continue;
            };
            let (word, line) = (name.text.as_str(), name.line);
            if keyword.text == "fn" && PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
                findings.push(format!(
                    "{path}:{line}: function `{word}`: say what it gives or does"
                ));
            }
            if keyword.text == "mod" && MODULES.contains(&word) {
                findings.push(format!(
                    "{path}:{line}: module `{word}`: name it after what is in it"
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_names_are_found_and_others_are_not() {
        let bad =
            "fn get_x() {} mod utils; fn handle_y() {} fn do_it() {} pub(crate) mod common {}";
        assert_eq!(check(&[Source::new("a.rs", bad)]).len(), 5);
        let pid = "fn f(pid: u32) {} // pid";
        assert_eq!(check(&[Source::new("agent-ebpf/src/a.rs", pid)]).len(), 1);
        assert_eq!(check(&[Source::new("agent/src/a.rs", pid)]), [""; 0]);
        let good = "fn budget_x() { map.get_mut(); } fn done() {} use agent_common::x; // fn get_y";
        assert_eq!(check(&[Source::new("a.rs", good)]), [""; 0]);
    }
}
