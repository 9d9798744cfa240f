//! Configurations for made-up nodes: the keys of `process_names` items, put together by chance.
//!
//! Two `exe` entries of one base name are left out: there the two programs differ on purpose (9.7).

use fastrand::Rng;

/// Names that processes have.
pub(crate) const NAMES: &[&str] = &["alpha", "beta", "gamma-d", "del ta", "ng(inx)", "java", "é"];

const PATTERNS: &[&str] = &[
    "alpha",
    "^/usr/bin/(?P<W>\\\\w+)",
    "-x (?P<W>\\\\S+)",
    "(?i)BETA",
    "java .*-jar (\\\\S+)",
    ".+",
    "",
    "w[o0]rker$",
    "^gamma-d$",
    "\\\\bq\\\\b",
];

const TEMPLATES: &[&str] = &[
    "",
    "{{.Comm}}",
    "{{.ExeBase}}",
    "{{.ExeFull}}",
    "{{.Matches}}",
    "{{.Matches.W}}",
    "{{.Username}}:{{.Comm}}",
    "fixed",
    "{{.Comm}}-{{.PID}}",
    "{{.StartTime}}",
    "{{index .Cgroups 0}}",
    "{{.Cgroups}}",
    "{{if eq .Comm \\\"beta\\\"}}b{{else}}{{printf \\\"%.3s\\\" .Comm}}{{end}}",
    "{{len .Comm}} {{.StartTime.Unix}}",
];

/// A configuration of one to four items.
pub(crate) fn yaml(chance: &mut Rng) -> String {
    let items = (0..chance.usize(1..=4)).map(|_| item(chance));
    format!("process_names:\n{}", items.collect::<String>())
}

fn item(chance: &mut Rng) -> String {
    let mut keys = Vec::new();
    let template = pick(chance, TEMPLATES);
    if chance.u8(..) > 40 {
        keys.push(format!("name: \"{template}\""));
    }
    let selectors = chance.u8(1..=7);
    for (bit, key, from) in [
        (1, "comm", NAMES),
        (2, "exe", NAMES),
        (4, "cmdline", PATTERNS),
    ] {
        if selectors & bit != 0 {
            keys.push(format!("{key}: [{}]", list(chance, from)));
        }
    }
    format!("  - {}\n", keys.join("\n    "))
}

/// One to three different ones.
fn list(chance: &mut Rng, from: &[&str]) -> String {
    let mut chosen: Vec<&str> = (0..chance.usize(1..=3))
        .map(|_| pick(chance, from))
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    let quoted: Vec<_> = chosen.iter().map(|one| format!("\"{one}\"")).collect();
    quoted.join(", ")
}

/// One of them.
pub(crate) fn pick<T: Copy>(chance: &mut Rng, from: &[T]) -> T {
    from[chance.usize(..from.len())]
}
