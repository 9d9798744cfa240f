//! Recognises Gunicorn by task name and arguments, and finds the name of the application in them. Pure text, which any process may
//! choose.

use crate::process::Facts;

/// Longest name of an application, bytes.
const MOST_NAME_BYTES: usize = 64;

/// The name of an application that neither title nor arguments give: a configuration file names it.
const UNNAMED: &str = "gunicorn";

/// Options of Gunicorn that take no value, so that the word after them may be the application.
const WITHOUT_VALUE: &[&[u8]] = &[
    b"-D",
    b"-R",
    b"--capture-output",
    b"--casefold-http-method",
    b"--check-config",
    b"--daemon",
    b"--disable-redirect-access-to-syslog",
    b"--do-handshake-on-connect",
    b"--enable-backlog-metric",
    b"--enable-stdio-inheritance",
    b"--initgroups",
    b"--log-syslog",
    b"--no-control-socket",
    b"--no-sendfile",
    b"--permit-obsolete-folding",
    b"--permit-unconventional-http-method",
    b"--permit-unconventional-http-version",
    b"--preload",
    b"--print-config",
    b"--reload",
    b"--reuse-port",
    b"--spew",
    b"--strip-header-spaces",
    b"--suppress-ragged-eofs",
];

/// An option that may have one of these words as its value, in newer versions.
const PROXY_PROTOCOL: &[u8] = b"--proxy-protocol";
const PROXY_MODES: &[&[u8]] = &[
    b"off", b"false", b"0", b"none", b"true", b"auto", b"1", b"v1", b"v2",
];

/// The option with the name of the application, and how it may be abbreviated.
const NAME: &[&[u8]] = &[b"-n", b"--name", b"--nam", b"--na"];

/// The name that a process of Gunicorn gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Title {
    /// It has no title: the module setproctitle is not installed, or the process has not set it yet.
    Absent,
    Master,
    Worker,
    /// A process that serves no requests (`dirty-arbiter`, `dirty-worker`).
    Other,
}

/// A process that looks like Gunicorn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Appearance {
    pub(super) title: Title,
    /// The name in the title, else that of the option `--name`, else the argument that names the application.
    pub(super) name: String,
}

/// `None` if it does not look like Gunicorn.
pub(super) fn recognise(facts: &Facts) -> Option<Appearance> {
    let words: Vec<&[u8]> = facts.argv.iter().collect();
    if let Some(title) = words
        .first()
        .and_then(|word| word.strip_prefix(b"gunicorn: "))
    {
        return Some(of_title(title));
    }
    let arguments = match program_end(&words) {
        Some(end) => &words[end..],
        None if facts.comm == b"gunicorn" => &[],
        None => return None,
    };
    Some(Appearance {
        title: Title::Absent,
        name: text(application(arguments).unwrap_or(UNNAMED.as_bytes())),
    })
}

/// Gunicorn's title without its beginning: `master [NAME]`, `worker [NAME]`.
fn of_title(title: &[u8]) -> Appearance {
    let kinds = [
        (&b"master ["[..], Title::Master),
        (b"worker [", Title::Worker),
    ];
    for (start, kind) in kinds {
        if let Some(name) = title.strip_prefix(start) {
            return Appearance {
                title: kind,
                name: text(name.strip_suffix(b"]").unwrap_or(name)),
            };
        }
    }
    Appearance {
        title: Title::Other,
        name: UNNAMED.to_owned(),
    }
}

/// The place after the words that start Gunicorn: `gunicorn`, `python gunicorn`, `python -m gunicorn`; the last also where the
/// interpreter has another name. After an upgrade (USR2), the file of the module stands in place of `-m gunicorn`.
fn program_end(words: &[&[u8]]) -> Option<usize> {
    let is_gunicorn = |word: &[u8]| {
        matches!(base(word), b"gunicorn" | b"gunicorn3")
            || word.ends_with(b"/gunicorn/__main__.py")
            || word.ends_with(b"/gunicorn/app/wsgiapp.py")
    };
    let first = words.first()?;
    if is_gunicorn(first) {
        return Some(1);
    }
    let is_python = base(first).starts_with(b"python") || base(first).starts_with(b"pypy");
    let mut at = 1;
    while let Some(word) = words.get(at) {
        at += 1;
        match *word {
            b"-m" => {
                let module = words.get(at)?;
                let is_meant = matches!(*module, b"gunicorn" | b"gunicorn.app.wsgiapp");
                return is_meant.then_some(at + 1);
            }
            b"-W" | b"-X" => at += 1,
            _ if word.starts_with(b"-") => {}
            _ => return (is_python && is_gunicorn(word)).then_some(at),
        }
    }
    None
}

/// The file name of a path.
fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The name that the arguments after the program give the application.
fn application<'a>(arguments: &[&'a [u8]]) -> Option<&'a [u8]> {
    let (mut found, mut at) = (None, 0);
    while let Some(word) = arguments.get(at) {
        at += 1;
        let mut parts = word.splitn(2, |byte| *byte == b'=');
        if NAME.contains(&parts.next()?) {
            return parts.next().or_else(|| arguments.get(at).copied());
        }
        if let Some(name) = word.strip_prefix(b"-n") {
            return Some(name);
        }
        if *word == PROXY_PROTOCOL {
            let is_mode = |next: &&[u8]| PROXY_MODES.contains(next);
            at += usize::from(arguments.get(at).is_some_and(is_mode));
        } else if word.starts_with(b"--") {
            let has_value = !word.contains(&b'=') && !WITHOUT_VALUE.contains(word);
            at += usize::from(has_value);
        } else if word.starts_with(b"-") {
            let has_value = word.len() == 2 && !WITHOUT_VALUE.contains(word);
            at += usize::from(has_value);
        } else {
            found = found.or(Some(*word));
        }
    }
    found
}

/// Bytes as text of bounded length.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MOST_NAME_BYTES)];
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    while text.len() > MOST_NAME_BYTES {
        text.pop();
    }
    match text.is_empty() {
        true => UNNAMED.to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(comm: &str, words: &[&str]) -> Option<(Title, String)> {
        let facts = Facts {
            comm: comm.as_bytes().to_vec(),
            argv: words.iter().collect(),
            ..Facts::default()
        };
        recognise(&facts).map(|one| (one.title, one.name))
    }

    #[test]
    fn gunicorn_is_recognised_however_it_was_started() {
        use Title::{Absent, Master, Other, Worker};
        let cases: &[(&str, &[&str], Title, &str)] = &[
            (
                "gunicorn: maste",
                &["gunicorn: master [shop]"],
                Master,
                "shop",
            ),
            (
                "gunicorn: worke",
                &["gunicorn: worker [a b:c]"],
                Worker,
                "a b:c",
            ),
            (
                "gunicorn: dirty",
                &["gunicorn: dirty-arbiter"],
                Other,
                "gunicorn",
            ),
            (
                "gunicorn",
                &["/v/bin/python3", "/v/bin/gunicorn", "-w", "4", "app:app"],
                Absent,
                "app:app",
            ),
            (
                "gunicorn",
                &["/v/bin/python3", "/v/bin/gunicorn", "m:a", "-w", "4"],
                Absent,
                "m:a",
            ),
            (
                "python3",
                &[
                    "python3",
                    "-u",
                    "-X",
                    "dev",
                    "-m",
                    "gunicorn",
                    "--preload",
                    "m:a",
                ],
                Absent,
                "m:a",
            ),
            (
                "gunicorn",
                &[
                    "gunicorn",
                    "-w4",
                    "-b=:1",
                    "--bind=:2",
                    "--timeout",
                    "3",
                    "m",
                ],
                Absent,
                "m",
            ),
            ("web", &["/x/web", "-m", "gunicorn", "m:a"], Absent, "m:a"),
            // As `python -m gunicorn` starts itself again (USR2).
            (
                "python3",
                &["/v/bin/python3", "/v/lib/gunicorn/__main__.py", "m:a"],
                Absent,
                "m:a",
            ),
            (
                "gunicorn",
                &["gunicorn", "-n", "shop", "m:a"],
                Absent,
                "shop",
            ),
            (
                "gunicorn",
                &["gunicorn", "m:a", "--name=shop"],
                Absent,
                "shop",
            ),
            ("gunicorn", &["gunicorn", "-nshop", "m:a"], Absent, "shop"),
            ("gunicorn", &["gunicorn", "-n=shop", "m:a"], Absent, "shop"),
            (
                "gunicorn",
                &["gunicorn", "--nam", "shop", "m:a"],
                Absent,
                "shop",
            ),
            (
                "gunicorn",
                &["gunicorn", "--proxy-protocol", "v2", "m:a"],
                Absent,
                "m:a",
            ),
            (
                "gunicorn",
                &["gunicorn", "--proxy-protocol", "m:a"],
                Absent,
                "m:a",
            ),
            (
                "gunicorn",
                &["gunicorn", "-c", "conf.py"],
                Absent,
                "gunicorn",
            ),
            ("gunicorn", &[], Absent, "gunicorn"),
            (
                "gunicorn: maste",
                &["gunicorn: master []"],
                Master,
                "gunicorn",
            ),
        ];
        for (comm, words, title, name) in cases {
            let expected = Some((*title, (*name).to_owned()));
            assert_eq!(recognised(comm, words), expected, "{words:?}");
        }
    }

    #[test]
    fn other_programs_are_not_recognised() {
        for (comm, words) in [
            ("python3", &["python3", "app.py", "gunicorn"][..]),
            ("python3", &["python3", "-m", "gunicorn_x"]),
            ("python3", &["python3", "-c", "import gunicorn", "x"]),
            ("vim", &["vim", "gunicorn"]),
            ("x", &["x gunicorn: master [a]"]),
            ("kworker", &[]),
            ("python3", &["python3", "-m"]),
            ("python3", &["python3", "/v/unicorn/__main__.py"]),
            ("vim", &["vim", "/v/gunicorn/__main__.py"]),
        ] {
            assert_eq!(recognised(comm, words), None, "{words:?}");
        }
    }

    #[test]
    fn names_are_bounded_and_text() {
        let long = format!("gunicorn: master [{}]", "\u{fe0f}".repeat(999));
        let (_, name) = recognised("gunicorn", &[&long]).unwrap();
        assert!(name.len() <= MOST_NAME_BYTES && !name.is_empty());
        let facts = Facts {
            argv: [&b"gunicorn: master [\xff\xff\xff]"[..]]
                .into_iter()
                .collect(),
            ..Facts::default()
        };
        assert_eq!(recognise(&facts).unwrap().name, "\u{fffd}\u{fffd}\u{fffd}");
        let facts = Facts {
            argv: [[&b"gunicorn: master ["[..], &[0xff; 99]].concat()]
                .into_iter()
                .collect(),
            ..Facts::default()
        };
        assert!(recognise(&facts).unwrap().name.len() <= MOST_NAME_BYTES);
    }
}
