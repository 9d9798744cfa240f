//! The tables of docs/dev/compatibility.md about matching (sections 6.2 and 6.3): each row's items or flags, on one node that has the
//! processes of all rows.

use super::history::History;
use super::world::{Process, World};

/// Number of the row, and its items in flow style. Left out are those where P7 corrects the key by which processes are grouped
/// (M09, M10) and the one whose bytes are no text (M30).
const ROWS: &[(&str, &str)] = &[
    ("M01", "{comm: [chromium-browse]}"),
    ("M02", "{comm: [chromium-browser]}"),
    ("M03", "{comm: ['.+']}, {exe: ['.+']}"),
    (
        "M04",
        "{comm: [python3], name: a}, {cmdline: [foo.py], name: b}",
    ),
    (
        "M05",
        "{cmdline: [foo.py], name: b}, {comm: [python3], name: a}",
    ),
    ("M06", "{comm: [java], cmdline: [kafka], name: k}"),
    ("M07", "{cmdline: ['--a', '--b'], name: k}"),
    ("M08", "{comm: [a, b], name: '{{.Comm}}'}"),
    ("M11", "{exe: [/opt/foo, foo]}"),
    ("M13", "{exe: [bash]}, {comm: [bash], name: bycomm}"),
    ("M14", "{comm: [nginx]}"),
    ("M15", "{comm: [sshd]}"),
    ("M16", "{exe: [/usr/sbin/nginx]}"),
    ("M17", "{exe: [postgres]}"),
    ("M19", "{name: '{{.Comm}}', cmdline: ['.+']}"),
    (
        "M20",
        "{name: '{{.Comm}}|{{.ExeBase}}|{{.ExeFull}}', cmdline: ['.*']}",
    ),
    ("M21", "{exe: [kthreadd]}"),
    (
        "M22",
        "{comm: [foo], name: '[{{.Comm}}][{{.ExeBase}}][{{.ExeFull}}]'}",
    ),
    ("M23", "{cmdline: ['^/usr/bin/foo -a b c$']}"),
    ("M25", "{cmdline: [oo]}"),
    ("M26", "{cmdline: ['(?i)FOO']}"),
    ("M27", "{cmdline: ['docker*']}"),
    (
        "M28",
        "{cmdline: ['^nginx$'], name: ok}, {cmdline: [nginx], name: other}",
    ),
    (
        "M29",
        "{cmdline: [a.b], name: x}, {cmdline: ['(?s)a.b'], name: z}",
    ),
    (
        "M32",
        "{cmdline: ['-jar (\\S+)'], name: '{{index .Matches \"\"}}:{{.Matches}}'}",
    ),
    ("M33", "{cmdline: [celeryd], name: '{{.Matches}}'}"),
    (
        "M34",
        "{cmdline: ['(?P<Zed>a)(?P<Abc>b)(c)'], name: '{{.Matches}}'}",
    ),
    (
        "M35",
        "{cmdline: ['(?P<N>aa)', '(?P<N>bb)'], name: '{{.Matches.N}}'}",
    ),
    ("M37", "{cmdline: [.], name: 'a{{.Matches.Nope}}b'}"),
    (
        "M38",
        "{cmdline: ['foo(?P<O>-x)?'], name: 'a{{.Matches.O}}b'}",
    ),
    ("M39", "{cmdline: [.], name: 'pre{{.Nope}}post'}"),
    ("M40", "{cmdline: [.], name: '{{.Cmdline}}'}"),
    ("M41", "{cmdline: [.], name: 'p{{index .Cgroups 9}}s'}"),
    ("M42", "{cmdline: [.], name: '{{.Username}}:{{.Comm}}'}"),
    ("M44", "{cmdline: [.], name: '{{index .Cgroups 0}}'}"),
    ("M47", "{cmdline: [.], name: '{{.StartTime}}'}"),
    (
        "M48",
        "{cmdline: [.], name: '{{.StartTime.Unix}} {{.StartTime.Year}}'}",
    ),
    (
        "M51",
        "{comm: ['rtorrent main', 'a) b (c'], name: '{{.Comm}}'}",
    ),
    ("M52", "{cmdline: [''], name: '[{{.Comm}}]'}"),
    ("M53", "{cmdline: [''], name: '{{.ExeFull}}'}"),
    ("M54", "{cmdline: ['/'], name: '{{.ExeBase}}'}"),
    ("M55", "{comm: [a], name: s}, {comm: [b], name: s}"),
    ("M56", "{cmdline: [/x/y], name: ''}"),
    ("M57", "{cmdline: [], name: x}"),
    ("M58", "{comm: [123, true], name: '{{.Comm}}'}"),
    // Section 9: expressions that other engines take differently.
    (
        "digits",
        "{cmdline: ['\\d\\d'], name: d}, {cmdline: ['^\\w+$'], name: w}",
    ),
    (
        "braces",
        "{cmdline: ['a{b'], name: b}, {cmdline: ['{\"k\"'], name: k}",
    ),
    (
        "quoting",
        "{cmdline: ['\\Qa+b\\E'], name: q}, {cmdline: ['\\101'], name: o}",
    ),
    (
        "classes",
        "{cmdline: ['[[a]x'], name: c}, {cmdline: ['[a&&b]z'], name: i}",
    ),
    (
        "boundary",
        "{cmdline: ['\\bab'], name: b}, {cmdline: ['\\<x\\>'], name: l}",
    ),
    (
        "spaces",
        "{cmdline: ['q\\sr'], name: s}, {cmdline: ['\\p{Greek}'], name: g}",
    ),
];

/// Rows of section 6.3: flags in place of a configuration.
const NAME_ROWS: &[(&str, &[&str])] = &[
    ("N01", &["-procnames=bash,nginx"]),
    (
        "N02",
        &[r"-namemapping=python3,(\w+)\.py,java,-jar (\w+)\.jar"],
    ),
    ("N04", &["-namemapping=java,-jar (x)", "-procnames", "java"]),
    ("N05", &["-namemapping", "java,-jar z"]),
    ("N07", &["-namemapping=java,-cp (k),java,-jar (x)"]),
    ("N08", &["-procnames=bash, sh"]),
    ("N09", &["-procnames=bash", "-children"]),
];

/// Task name, and arguments.
const PROCESSES: &[(&str, &[&str])] = &[
    ("chromium-browse", &["/usr/lib/x/chromium-browser", "--x"]),
    ("bash", &["bash"]),
    ("bash", &["-bash"]),
    ("python3", &["python3", "foo.py"]),
    ("python3", &["python3", "bar.py"]),
    ("java", &["java", "-cp", "kafka.jar"]),
    ("java", &["java", "-jar", "x.jar"]),
    ("java", &["java", "-jar", "a.jar", "-x"]),
    ("sh", &["sh", "kafka"]),
    ("x", &["x", "--a"]),
    ("x", &["x", "--b", "--a"]),
    ("a", &["a"]),
    ("b", &["b"]),
    ("c", &["c"]),
    ("foo", &["/usr/bin/foo"]),
    ("foo", &["/opt/foo"]),
    ("foo", &["foo"]),
    ("foo", &["", "", ""]),
    ("foo", &["/usr/bin/foo", "-a", "b c"]),
    ("foo", &["foo-x"]),
    ("nginx", &["nginx: worker process"]),
    (
        "nginx",
        &["nginx: master process /usr/sbin/nginx -g daemon on;"],
    ),
    ("nginx", &["nginx"]),
    ("nginx", &["nginx", "-g"]),
    ("sshd", &["sshd: root@pts/0"]),
    ("postgres", &["postgres: checkpointer "]),
    (
        "postgres",
        &["/usr/lib/postgresql/15/bin/postgres", "-D", "/x"],
    ),
    ("kthreadd", &[]),
    ("init", &["init"]),
    ("d", &["dockebla"]),
    ("ab", &["a\nb"]),
    ("celery", &["python", "-m", "celeryd", "x"]),
    ("abc", &["abc"]),
    ("aabb", &["aa", "bb"]),
    ("rtorrent main", &["rtorrent"]),
    ("a) b (c", &["odd"]),
    (" a b ", &["spaces"]),
    ("q", &["a\"b\\c\nd"]),
    ("q", &["/usr/bin/q/"]),
    ("q", &["/"]),
    ("q", &["//a//b//"]),
    ("y", &["/x/y"]),
    ("123", &["123"]),
    ("true", &["true"]),
    ("u", &["٣٤"]),
    ("u", &["42"]),
    ("u", &["é"]),
    ("u", &["éab"]),
    ("u", &["a{b"]),
    ("u", &["{\"k\":1}"]),
    ("u", &["a+b"]),
    ("u", &["A"]),
    ("u", &["[x"]),
    ("u", &["&z"]),
    ("u", &["<x>"]),
    ("u", &["q\u{a0}r"]),
    ("u", &["q\u{b}r"]),
    ("u", &["αβγ"]),
];

/// A history of one step for each row.
pub(crate) fn histories() -> impl Iterator<Item = History> {
    let mut first = World::default();
    for (pid, (comm, argv)) in (10..).zip(PROCESSES) {
        let mut process = Process::idle(comm);
        process.argv = argv.iter().map(|word| (*word).to_owned()).collect();
        process.start_ticks = 12_345;
        process.uid = [0, 54_321, 65_534][pid as usize % 3];
        first.processes.insert(pid, process);
    }
    let row = move |name: &str, flags: &[&str], yaml: String| History {
        name: name.to_owned(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        yaml,
        first: first.clone(),
        steps: Vec::new(),
    };
    let by_flags = row.clone();
    let items = ROWS
        .iter()
        .map(move |(name, items)| row(name, &[], format!("process_names: [{items}]\n")));
    let names = NAME_ROWS
        .iter()
        .map(move |(name, flags)| by_flags(name, flags, String::new()));
    items.chain(names)
}
