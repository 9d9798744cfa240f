//! Names of processes that would break an exposition, in every label that processes can influence: Prometheus' own parser takes
//! them, and each value is the text that was meant.

use super::prometheus::check_metrics;
use super::support::agent::Launch;
use super::support::fake_proc::{FakeProc, FakeThread};

/// As the kernel keeps names: at most 15 bytes.
const NAMES: [&[u8]; 8] = [
    b"a\nb",
    b"\"} 1\n# TYPE x",
    b"\\\"\\n\\",
    b"\xff\xfe\xed\xa0\x80",
    b"<b>&\t\r\x1b[31m",
    b"x{y=\"z\"} 1 2\nq",
    "\u{202e}\u{feff}\u{2028}".as_bytes(),
    b"\x01\x7f ",
];
const CONFIG: &str = "process_names:\n  - cmdline: ['(?s).+']\n    name: '{{.Comm}}'\n    labels: {argument: '{{index .Argv 1}}', cgroup: \
                      '{{index .Cgroups 0}}'}\n";

/// One U+FFFD for each bad byte.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    text
}

/// A label value of more than 1,024 escaped bytes: the part that fits before `~` and 16 digits of the SHA-256 of the whole text.
fn cut(text: &str) -> String {
    let mut room = 1024 - 17;
    let mut cut = String::new();
    for character in text.chars() {
        let is_escaped = matches!(character, '\\' | '"' | '\n');
        let size = character.len_utf8() + usize::from(is_escaped);
        if size > room {
            break;
        }
        room -= size;
        cut.push(character);
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let digits = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}"));
    format!("{cut}~{}", digits.collect::<String>())
}

#[test]
fn no_name_breaks_the_exposition() {
    let tree = FakeProc::new(1_508_450_329);
    for (number, name) in (10..).step_by(10).zip(NAMES) {
        let argument = [name, &[b'x'; 4096 - 15]].concat();
        let mut process = tree
            .process(number)
            .comm(name)
            .argv(&[b"program", &argument[..]])
            .cgroup("0::/a\"b\\012c<d>{}\n");
        for (at, name) in (1..).zip(NAMES) {
            process = process.thread(FakeThread::new(number + at, name));
        }
        process.write();
    }
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-threads"])
        .config(CONFIG)
        .start();
    let scrape = agent.scrape();
    check_metrics(&scrape.body);
    for name in NAMES {
        let group = shown(name);
        let argument = cut(&shown(&[name, &[b'x'; 4096 - 15]].concat()));
        let labels = [
            ("groupname", group.as_str()),
            ("argument", &argument),
            ("cgroup", "/a\"b\\012c<d>{}"),
        ];
        let count = |family: &str, more: Option<(&str, &str)>| {
            let labels: Vec<_> = labels.into_iter().chain(more).collect();
            scrape.value(&format!("namedprocess_namegroup_{family}"), &labels)
        };
        assert_eq!(count("num_procs", None), Some(1.0), "{group:?}");
        for thread in NAMES.map(shown) {
            let threads = count("thread_count", Some(("threadname", &thread)));
            let expected = if thread == group { 2.0 } else { 1.0 };
            assert_eq!(threads, Some(expected), "{thread:?} of {group:?}");
        }
    }
}
