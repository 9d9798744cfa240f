//! The matching table, section 6.2 of docs/dev/compatibility.md, row by row, and hostile processes.

use std::path::Path;

use super::*;
use crate::group::MAX_NAME;
use crate::group::name::Form;
use crate::process::Arguments;

#[path = "naming.rs"]
mod naming;

const BOOT: BootTime = BootTime {
    unix_seconds: 1_700_000_000,
};

fn classifier(yaml: &str) -> Classifier {
    let config = Config::parse(Path::new("c.yml"), yaml).unwrap();
    Classifier::new(&config).unwrap_or_else(|error| panic!("{error}"))
}

/// A process with these arguments. Its comm is the base name of the first one, cut as the kernel cuts it.
fn process(argv: &[&str]) -> Facts {
    let argv: Arguments = argv.iter().collect();
    let first = argv.first().unwrap_or_default();
    let mut comm = first
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
        .to_vec();
    comm.truncate(15);
    Facts {
        tgid: 42,
        start_ns: 123_450_000_000,
        comm,
        argv,
        username: "root".to_owned(),
        ..Facts::default()
    }
}

fn called(comm: &str, argv: &[&str]) -> Facts {
    Facts {
        comm: comm.as_bytes().to_vec(),
        ..process(argv)
    }
}

fn name(classifier: &Classifier, facts: &Facts) -> Option<String> {
    match classifier.classify(facts, BOOT) {
        Verdict::Member(placement) => Some(placement.name),
        Verdict::Excluded { .. } | Verdict::Unmatched => None,
    }
}

/// Row; items; processes (words of the command line), each with the name it gets, `-` for none.
type ConfigRow = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Rows in which the comm of each process is the base name of its first argument.
const ROWS: &[ConfigRow] = &[
    (
        "M02",
        "{comm: [chromium-browser]}",
        &[("/usr/lib/x/chromium-browser --x", "-")],
    ),
    (
        "M01",
        "{comm: [chromium-browse]}",
        &[("/usr/lib/x/chromium-browser --x", "chromium-browser")],
    ),
    ("M03", "{comm: ['.+']}, {exe: ['.+']}", &[("bash", "-")]),
    (
        "M04",
        "{comm: [python3], name: a}, {cmdline: [foo.py], name: b}",
        &[("python3 foo.py", "a")],
    ),
    (
        "M05",
        "{cmdline: [foo.py], name: b}, {comm: [python3], name: a}",
        &[("python3 foo.py", "b"), ("python3 bar.py", "a")],
    ),
    (
        "M06",
        "{comm: [java], cmdline: [kafka], name: k}",
        &[
            ("java -cp kafka.jar", "k"),
            ("java -jar x.jar", "-"),
            ("sh kafka", "-"),
        ],
    ),
    (
        "M07",
        "{cmdline: ['--a', '--b'], name: k}",
        &[("x --a", "-"), ("x --b --a", "k")],
    ),
    (
        "M08",
        "{comm: [a, b], name: '{{.Comm}}'}",
        &[("a", "a"), ("b", "b"), ("c", "-")],
    ),
    // M09 and M10: each entry by its own rule (P7).
    (
        "M09",
        "{exe: [/usr/bin/foo, /opt/foo], name: '{{.ExeFull}}'}",
        &[
            ("/usr/bin/foo", "/usr/bin/foo"),
            ("/opt/foo", "/opt/foo"),
            ("foo", "-"),
        ],
    ),
    (
        "M10",
        "{exe: [foo, /opt/foo]}",
        &[("/usr/bin/foo", "foo"), ("/opt/foo", "foo"), ("foo", "foo")],
    ),
    (
        "M11",
        "{exe: [/opt/foo, foo]}",
        &[("/usr/bin/foo", "foo"), ("/opt/foo", "foo"), ("foo", "foo")],
    ),
    (
        "M17",
        "{exe: [postgres]}",
        &[
            ("postgres:\u{a0}checkpointer", "-"),
            ("/usr/lib/postgresql/15/bin/postgres -D /x", "postgres"),
        ],
    ),
    (
        "M19",
        "{name: '{{.Comm}}', cmdline: ['.+']}",
        &[("", "-"), ("init", "init")],
    ),
    ("M21", "{exe: [kthreadd, '', .]}", &[("", "-")]),
    ("M25", "{cmdline: [oo]}", &[("/bin/foo", "foo")]),
    ("M26", "{cmdline: ['(?i)FOO']}", &[("/bin/foo", "foo")]),
    ("M27", "{cmdline: ['docker*']}", &[("dockebla", "dockebla")]),
    (
        "M28",
        "{cmdline: [^nginx$], name: ok}, {cmdline: [nginx], name: other}",
        &[("nginx", "ok"), ("nginx -g", "other")],
    ),
    (
        "M32",
        "{cmdline: ['-jar (\\S+)'], name: '{{index .Matches \"\"}}:{{.Matches}}'}",
        &[("java -jar a.jar -x", "a.jar:map[:a.jar]")],
    ),
    (
        "M33",
        "{cmdline: [celeryd], name: '{{.Matches}}'}",
        &[("python -m celeryd x", "map[:celeryd]")],
    ),
    (
        "M34",
        "{cmdline: ['(?P<Zed>a)(?P<Abc>b)(c)'], name: '{{.Matches}}'}",
        &[("abc", "map[:c Abc:b Zed:a]")],
    ),
    (
        "M35",
        "{cmdline: ['(?P<N>aa)', '(?P<N>bb)'], name: '{{.Matches.N}}'}",
        &[("aa bb", "bb")],
    ),
    (
        "M37",
        "{cmdline: [x], name: 'a{{.Matches.Nope}}b'}",
        &[("x", "a<no value>b")],
    ),
    (
        "M38",
        "{cmdline: ['foo(?P<O>-x)?'], name: 'a{{.Matches.O}}b'}",
        &[("foo", "ab")],
    ),
    (
        "M39",
        "{cmdline: [x], name: 'pre{{.Nope}}post'}",
        &[("x", "pre")],
    ),
    ("M40", "{cmdline: [x], name: '{{.Cmdline}}'}", &[("x", "")]),
    (
        "M41",
        "{cmdline: [x], name: 'p{{index .Cgroups 9}}s'}",
        &[("x", "p")],
    ),
    (
        "M47",
        "{cmdline: [x], name: '{{.StartTime}}'}",
        &[("x", "2023-11-14 22:15:23.45 +0000 UTC")],
    ),
    (
        "M48",
        "{cmdline: [x], name: '{{.StartTime.Unix}} {{.StartTime.Year}}'}",
        &[("x", "1700000123 2023")],
    ),
    (
        "M54",
        "{cmdline: [/], name: '{{.ExeBase}}'}",
        &[("/usr/bin/q/", "q"), ("/", "/"), ("//a//b//", "b")],
    ),
    (
        "M55",
        "{comm: [a], name: n}, {comm: [b], name: n}",
        &[("a", "n"), ("b", "n")],
    ),
    ("M56", "{cmdline: [x], name: ''}", &[("/x/y", "y")]),
    (
        "M57",
        "{cmdline: [], name: x}",
        &[("a", "x"), ("b", "x"), ("", "x")],
    ),
    (
        "M58",
        "{comm: [123, true]}",
        &[("123", "123"), ("true", "true")],
    ),
    (
        "U1",
        "{exe: [bash]}, {exe: [sh]}, {exe: [/usr/local/bin/ksh]}",
        &[
            ("/bin/bash", "bash"),
            ("sh", "sh"),
            ("/usr/local/bin/ksh", "ksh"),
            ("/bin/ksh", "-"),
        ],
    ),
    (
        "U2",
        "{exe: [postmaster], cmdline: ['-D\\s+.+?(?P<Path>[^/]+)(?:$|\\s)'], name: '{{.ExeBase}}:{{.Matches.Path}}'}",
        &[("postmaster -D /data/pg", "postmaster:pg")],
    ),
    (
        "U3",
        "{exe: [prometheus], name: '{{.ExeFull}}:{{.PID}}'}",
        &[("/usr/bin/prometheus", "/usr/bin/prometheus:42")],
    ),
    (
        "U4",
        "{comm: [cat], name: '{{.StartTime}}'}",
        &[("cat", "2023-11-14 22:15:23.45 +0000 UTC")],
    ),
    ("empty", "{comm: []}, {exe: []}", &[("a", "-"), ("", "-")]),
    ("kthread", "{cmdline: ['.*'], name: k}", &[("", "k")]),
];

#[test]
fn matching_table() {
    for (row, items, processes) in ROWS {
        let classifier = classifier(&format!("process_names: [{items}]"));
        for (command, expected) in *processes {
            let argv: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
            let found = name(&classifier, &process(&argv));
            assert_eq!(
                found.as_deref(),
                Some(*expected).filter(|name| *name != "-"),
                "{row}: {command}"
            );
        }
    }
}

#[test]
fn titles_and_odd_task_names() {
    let nginx = classifier("process_names: [{comm: [nginx]}]");
    let worker = called("nginx", &["nginx: worker process"]);
    let master = called(
        "nginx",
        &["nginx: master process /usr/sbin/nginx -g daemon on;"],
    );
    assert_eq!(
        name(&nginx, &worker).unwrap(),
        "nginx: worker process",
        "M14"
    );
    assert_eq!(name(&nginx, &master).unwrap(), "nginx -g daemon on;", "M14");
    let exe = classifier("process_names: [{exe: [/usr/sbin/nginx]}]");
    assert_eq!(
        name(
            &exe,
            &called("nginx", &["nginx: master process /usr/sbin/nginx"])
        ),
        None,
        "M16"
    );

    let sshd = classifier("process_names: [{comm: [sshd]}]");
    assert_eq!(
        name(&sshd, &called("sshd", &["sshd: root@pts/0"])).unwrap(),
        "0",
        "M15"
    );
    let bash = classifier("process_names: [{exe: [bash]}, {comm: [bash], name: bycomm}]");
    assert_eq!(
        name(&bash, &called("bash", &["-bash"])).unwrap(),
        "bycomm",
        "M13"
    );
    let postgres = classifier("process_names: [{exe: [postgres]}]");
    assert_eq!(
        name(&postgres, &called("postgres", &["postgres: checkpointer "])),
        None,
        "M17"
    );

    let kernel = classifier(
        "process_names: [{cmdline: ['.*'], name: '{{.Comm}}|{{.ExeBase}}|{{.ExeFull}}'}]",
    );
    assert_eq!(
        name(&kernel, &called("kworker/0:1", &[])).unwrap(),
        "kworker/0:1|kworker/0:1|kworker/0:1",
        "M20"
    );
    let nuls = classifier(
        "process_names: [{comm: [foo], name: '[{{.Comm}}][{{.ExeBase}}][{{.ExeFull}}]'}]",
    );
    assert_eq!(
        name(&nuls, &called("foo", &[""])).unwrap(),
        "[foo][.][]",
        "M22"
    );

    let odd = classifier(
        "process_names: [{comm: ['rtorrent main', 'a) b (c', ' a b '], name: '[{{.Comm}}]'}]",
    );
    for comm in ["rtorrent main", "a) b (c", " a b "] {
        assert_eq!(
            name(&odd, &called(comm, &["x"])).unwrap(),
            format!("[{comm}]"),
            "M51, M52"
        );
    }
    assert_eq!(name(&odd, &called("a b", &["x"])), None, "M52");
}

#[test]
fn arguments_are_joined_and_decoded() {
    let joined = classifier("process_names: [{cmdline: ['^/usr/bin/foo -a b c$']}]");
    assert!(
        name(&joined, &process(&["/usr/bin/foo", "-a", "b c"])).is_some(),
        "M23"
    );
    let doubled = classifier("process_names: [{cmdline: ['^a  b$']}]");
    assert!(name(&doubled, &process(&["a", "", "b"])).is_some());
    let dot =
        classifier("process_names: [{cmdline: [a.b], name: x}, {cmdline: ['(?s)a.b'], name: z}]");
    assert_eq!(name(&dot, &process(&["a\nb"])).unwrap(), "z", "M29");
    let bytes = Facts {
        argv: [b"a\xffb"].iter().collect(),
        ..Facts::default()
    };
    assert_eq!(name(&dot, &bytes).unwrap(), "x", "M30");
    let two = Facts {
        argv: [b"^a\xe2\x82b"].iter().collect(),
        ..Facts::default()
    };
    assert_eq!(name(&dot, &two), None);
    let full = classifier("process_names: [{cmdline: [.], name: '{{.ExeFull}}'}]");
    assert_eq!(
        name(&full, &process(&["a\"b\\c\nd"])).unwrap(),
        "a\"b\\c\nd",
        "M53"
    );
}

#[test]
fn users_cgroups_and_documents() {
    let user = classifier("process_names: [{cmdline: [x], name: '{{.Username}}:{{.Comm}}'}]");
    for username in ["root", "54321", "nobody"] {
        let facts = Facts {
            username: username.to_owned(),
            ..process(&["x"])
        };
        assert_eq!(name(&user, &facts).unwrap(), format!("{username}:x"), "M42");
    }
    let facts = Facts {
        cgroups: vec!["/a".to_owned(), "/b".to_owned()],
        ..process(&["x"])
    };
    let first = classifier("process_names: [{cmdline: [x], name: '{{index .Cgroups 0}}'}]");
    assert_eq!(name(&first, &facts).unwrap(), "/a", "M44");
    assert_eq!(name(&first, &process(&["x"])).unwrap(), "", "M44");
    let all = classifier("process_names: [{cmdline: [x], name: '{{.Cgroups}}'}]");
    assert_eq!(name(&all, &facts).unwrap(), "[/a /b]");
    assert_eq!(name(&all, &process(&["x"])).unwrap(), "[]");
    let documents = classifier(
        "process_names: [{comm: [a], name: first}]\n---\nprocess_names: [{comm: [a], name: second}]",
    );
    assert_eq!(name(&documents, &process(&["a"])).unwrap(), "first", "M59");
}

#[test]
fn selector_or_template_that_does_not_compile_is_an_error_with_its_line() {
    let cases = [
        (
            "  cmdline: [ok, 'a(']",
            "cmdline: bad cmdline regex \"a(\": error parsing regexp: missing closing ): `a(`",
        ),
        (
            "  cmdline: ['[z-a]']",
            "cmdline: bad cmdline regex \"[z-a]\": error parsing regexp: invalid character class range: `z-a`",
        ),
        (
            "  comm: [a]\n  name: '{{lower .Comm}}'",
            "name: bad name template \"{{lower .Comm}}\": template: cmdname:1: function \"lower\" not defined",
        ),
        (
            "  comm: [a]\n  name: '{{if .Comm}}{{$x}}{{end}}'",
            "name: bad name template \"{{if .Comm}}{{$x}}{{end}}\": template: cmdname:1: undefined variable \"$x\"",
        ),
        (
            "  comm: [a]\n  name: '{{.Comm'",
            "name: bad name template \"{{.Comm\": template: cmdname:1: unclosed action",
        ),
        (
            "  comm: [a]\n  name: '{{end}}'",
            "name: bad name template \"{{end}}\": template: cmdname:1: unexpected {{end}} or {{else}}",
        ),
    ];
    for (rest, expected) in cases {
        let yaml = format!("process_names:\n- comm: [first]\n-\n{rest}\n");
        let config = Config::parse(Path::new("c.yml"), &yaml).unwrap();
        let error = Classifier::new(&config).unwrap_err().to_string();
        let line = 4 + rest.matches('\n').count();
        assert_eq!(
            error,
            format!("c.yml:{line}: item 2 of process_names: {expected}")
        );
    }
}

#[test]
fn the_built_in_configuration() {
    let classifier = Classifier::new(&Config::built_in()).unwrap();
    assert_eq!(
        name(&classifier, &called("sleep", &["/bin/sleep", "1"])).unwrap(),
        "sleep"
    );
    assert_eq!(name(&classifier, &called("kthreadd", &[])), None);
    assert_eq!(name(&classifier, &called("x", &[""])), None);
}

#[test]
fn hostile_processes() {
    let yaml = "process_names: [{cmdline: [], name: '{{.Comm}}{{.ExeBase}}{{.ExeFull}}'}]";
    let plain = classifier(yaml);
    let general = classifier(&yaml.replace("{{.Comm}}", "{{with .Comm}}{{.}}{{end}}"));
    let long = vec![0xe2; 4096];
    let accents = "é".repeat(4096).into_bytes();
    for argv0 in [
        &b""[..],
        b"\xff\xfe\n\"\\\0",
        b"\xf0\x9f\x98",
        &long,
        &accents,
    ] {
        for count in [0, 1, 100] {
            let facts = Facts {
                comm: argv0.to_vec(),
                argv: std::iter::repeat_n(argv0, count).collect(),
                ..Facts::default()
            };
            let found = name(&plain, &facts).unwrap();
            assert!(found.len() <= MAX_NAME);
            assert_eq!(Some(found), name(&general, &facts));
        }
    }
    let quotes = Facts {
        comm: vec![b'"'; 4096],
        ..Facts::default()
    };
    let found = name(&plain, &quotes).unwrap();
    let each_is_two_bytes_in_the_exposition = "\"".repeat((MAX_NAME - 17) / 2);
    assert!(found.starts_with(&format!("{each_is_two_bytes_in_the_exposition}~")));
    assert_eq!(Some(found), name(&general, &quotes));
    let facts = Facts {
        comm: accents,
        ..Facts::default()
    };
    let found = name(&plain, &facts).unwrap();
    assert!(found.starts_with(&format!("{}~", "é".repeat((MAX_NAME - 17) / 2))));
    assert_eq!(found.len(), MAX_NAME - 1);
    // A cut name is no failure of the template.
    assert_eq!(general.template_failures(), []);
    let endless =
        classifier("process_names: [{cmdline: [], name: '{{range 1000000000}}{{end}}x'}]");
    assert_eq!(name(&endless, &facts).unwrap(), "");
    let recursive = classifier(
        "process_names: [{cmdline: [], name: '{{define \"a\"}}x{{template \"a\"}}{{end}}{{template \"a\"}}'}]",
    );
    assert!(name(&recursive, &facts).unwrap().len() <= MAX_NAME);
}

#[test]
fn it_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Classifier>();
}
