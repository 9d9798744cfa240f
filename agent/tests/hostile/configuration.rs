//! Configurations that would take all memory or all time: refused with the place, or bounded when they run. The kernel decides:
//! it ends an agent that wants more memory or CPU time than its limits.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::site::Site;
use super::support::agent::{Ended, Launch};
use super::support::fake_proc::FakeProc;

/// Address space, bytes.
const MEMORY: u64 = 1 << 30;
/// CPU time, seconds; this is a binary without optimization.
const SECONDS: u64 = 20;

fn tree() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    tree.process(5).argv(&["fake", "%65535d", "<&\\"]).write();
    tree
}

fn bounded(tree: &FakeProc) -> Launch {
    Launch::on(tree)
        .args(&["-accounting=procfs", "-once-to-stdout-delay=1ns"])
        .limit(libc::RLIMIT_AS, MEMORY)
        .limit(libc::RLIMIT_CPU, SECONDS)
}

/// The error for a configuration that the agent refuses, behind the name of the file.
fn refused(yaml: &str) -> String {
    let error = bounded(&tree()).config(yaml).run().one_error();
    assert!(error.len() < 2_000, "{} bytes", error.len());
    error.split_once("config.yml").unwrap().1.to_owned()
}

fn items(one: &str, count: usize) -> String {
    format!("process_names:\n{}", one.repeat(count))
}

#[test]
fn configuration_that_would_expand_is_refused_with_its_line() {
    let letters = "a,".repeat(100_000);
    let pairs: String = (1..12)
        .map(|n| {
            format!(
                "a{n}: &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 10].join(",")
            )
        })
        .collect();
    let template = |text: &str| format!("process_names:\n  - comm: [a]\n    name: '{text}'\n");
    let defines: String = (0..5_000)
        .map(|n| {
            format!(
                r#"{{{{define "a{n}"}}}}{{{{template "a{}"}}}}{{{{end}}}}"#,
                n + 1
            )
        })
        .collect();
    let aliases = "not valid yaml: aliases stand for more than 1048576 bytes";
    let deep = "not valid yaml: lists and maps are nested more than 64 deep";
    let cases = [
        (
            format!("process_names:\n  - &a {{comm: [{letters}a]}}\n{}", "  - *a\n".repeat(50_000)),
            format!(":3: {aliases}"),
        ),
        (
            format!("process_names:\n  - comm: [&a {}]\n  - comm: [{}*a]\n", "x".repeat(400_000), "*a,".repeat(200_000)),
            format!(":3: {aliases}"),
        ),
        (
            format!("a0: &a0 [{letters}a]\n{pairs}process_names: [{{comm: *a11}}]\n"),
            format!(":2: {aliases}"),
        ),
        (format!("process_names: {}", "{a: ".repeat(250_000)), format!(":1: {deep}")),
        ("? ".repeat(500_000), format!(":1: {deep}")),
        ("process_names: ".to_owned() + &"[".repeat(500_000), ":1: not valid yaml: recursion limit exceeded".to_owned()),
        ("a\0b: c\n".to_owned(), ":1: not valid yaml: unexpected character: `\\u{0}'".to_owned()),
        ("\0".repeat(1 << 20), ":1: not valid yaml: unexpected character: `\\u{0}'".to_owned()),
        ("a".repeat((1 << 20) + 1), ": the file is larger than 1048576 bytes, the most a configuration may have".to_owned()),
        (
            items("  - cmdline: ['((a{100}){100}){100}']\n", 1),
            ":2: item 1 of process_names: cmdline: bad cmdline regex \"((a{100}){100}){100}\": error parsing regexp: invalid repeat count: `{100}`".to_owned(),
        ),
        (
            items("  - cmdline: ['(\\pL{100}){9}']\n", 20_000),
            ":2: item 1 of process_names: cmdline: bad cmdline regex \"(\\\\pL{100}){9}\": error parsing regexp: expression too large: `(\\pL{100}){9}`".to_owned(),
        ),
        (template(&defines), "name: bad name template ".to_owned()),
    ];
    for (yaml, expected) in cases {
        let found = refused(&yaml);
        assert!(found.contains(&expected), "{found}\nand not {expected}");
    }
    let many = refused(&items("  - cmdline: ['\\pL{30}']\n", 40_000));
    assert!(
        many.contains("no room for more expressions of this size: `\\pL{30}`"),
        "{many}"
    );
    let parts = refused(&template(
        &("{{".to_owned() + &"(".repeat(5_000) + "1" + &")".repeat(5_000) + "}}"),
    ));
    assert!(parts.contains("bad name template"), "{parts}");
}

/// How a run with this template ends: it must come to a scrape.
fn named(template: &str) -> Ended {
    let yaml = format!("process_names:\n  - cmdline: ['.+']\n    name: '{template}'\n");
    let ended = bounded(&tree()).config(&yaml).run();
    assert_eq!(ended.code, Some(0), "{template}: {ended:#?}");
    let sample = "namedprocess_namegroup_num_procs{groupname=\"";
    let group = ended.stdout.lines().find(|line| line.starts_with(sample));
    assert!(group.unwrap().len() < 1_200, "{template}");
    ended
}

#[test]
fn templates_that_would_not_end_are_ended() {
    let doubling = format!(
        r#"{{{{$x := "aaaa"}}}}{}x"#,
        "{{$x = print $x $x}}".repeat(40)
    );
    let escaping = format!("{{{{index .Argv 2{}}}}}", " | js".repeat(60));
    let calls: String = (0..40)
        .map(|n| {
            format!(
                r#"{{{{define "a{n}"}}}}{{{{template "a{0}"}}}}{{{{template "a{0}"}}}}{{{{end}}}}"#,
                n + 1
            )
        })
        .collect();
    let calls = format!(r#"{calls}{{{{define "a40"}}}}{{{{end}}}}{{{{template "a0"}}}}"#);
    let rounds = r#"{{range 9999}}{{$x := printf "%99999d" 1}}{{end}}"#.to_owned();
    for template in [doubling, escaping, calls, rounds] {
        let ended = named(&template);
        let cause = "its functions make more than 262144 bytes";
        assert!(
            ended.stderr.iter().any(|line| line.contains(cause)),
            "{template}: {:#?}",
            ended.stderr
        );
    }
    let endless = named(r#"{{define "a"}}{{template "a"}}{{end}}{{template "a"}}"#);
    assert!(
        endless
            .stderr
            .iter()
            .any(|line| line.contains("recursion limit exceeded"))
    );
    let rounds = named("{{range 999999999}}{{end}}");
    assert!(
        rounds
            .stderr
            .iter()
            .any(|line| line.contains("range iteration budget exhausted"))
    );
    // The name of a process is a format here.
    named("{{printf (index .Argv 1) 5}}");
}

#[test]
fn a_megabyte_of_items_is_a_configuration() {
    let ended = bounded(&tree())
        .config(&items("- comm: [a]\n", 87_000))
        .run();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.stderr);
    assert!(ended.stdout.contains("headcount_groups 0\n"));
}

fn pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: reads a text that ends with a null, and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn configuration_that_is_no_regular_file_is_refused() {
    let files = Site::new("");
    let directory = files.directory.path();
    pipe(&directory.join("pipe"));
    let told = |flag: &str, path: &Path| {
        let tree = tree();
        let flag = format!("{flag}={}", path.display());
        let error = bounded(&tree).arg(flag).run().one_error();
        error.replace(path.to_str().unwrap(), "FILE")
    };
    let zero = Path::new("/dev/zero");
    let cannot = "FILE: cannot read the configuration file: it is no regular file";
    for path in [directory, zero, &directory.join("pipe")] {
        assert_eq!(
            told("-web.config.file", path),
            format!("--web.config.file: {cannot}")
        );
    }
    assert_eq!(
        told("-config.path", directory),
        "FILE: found a directory, expected a configuration file"
    );
    let large = "FILE: the file is larger than 1048576 bytes, the most a configuration may have";
    assert_eq!(told("-config.path", zero), large);
}

#[test]
fn pipe_is_read_if_a_process_writes_to_it() {
    let files = Site::new("");
    let path = files.directory.path().join("pipe");
    pipe(&path);
    let tree = tree();
    let launch = || bounded(&tree).arg(format!("-config.path={}", path.display()));
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = File::create(&path).unwrap();
            // More than a pipe holds at a time.
            let spaces = " ".repeat(200_000);
            write!(
                pipe,
                "process_names:\n  - comm: [fake]\n#{spaces}\n    name: piped\n"
            )
            .unwrap();
        });
        launch().run()
    });
    let sample = "namedprocess_namegroup_num_procs{groupname=\"piped\"} 1\n";
    assert!(ended.stdout.contains(sample), "{ended:#?}");
    let error = launch().run().one_error();
    let expected =
        "cannot read the configuration file: the writing process did not finish within 10 s";
    assert!(error.ends_with(expected), "{error}");
}
