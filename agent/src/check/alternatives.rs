//! Finds entries of `cmdline` that were probably meant as alternatives: all of them must be found, and no command line has them
//! all.
//!
//! It reports only certain cases: two texts that cannot both be at the beginning, or at the end, of one command line, and two
//! programs of which neither starts other programs. Two plain words (`java`, `kafka`) are no finding, because this is the usual
//! way to require both.

use crate::config::{Item, Text};

/// Largest length of all expressions together that is shown as one expression, bytes.
const SHOWN: usize = 200;

/// Programs that may be started with another program among their arguments.
const LAUNCHERS: [&str; 38] = [
    "bash",
    "bwrap",
    "chroot",
    "conda",
    "dash",
    "docker",
    "doas",
    "dotnet",
    "dumb-init",
    "env",
    "fish",
    "flock",
    "gosu",
    "ionice",
    "java",
    "ksh",
    "mono",
    "nice",
    "node",
    "nodejs",
    "nohup",
    "npm",
    "perl",
    "php",
    "podman",
    "pwsh",
    "python",
    "ruby",
    "runuser",
    "setsid",
    "sh",
    "stdbuf",
    "su",
    "sudo",
    "taskset",
    "timeout",
    "tini",
    "zsh",
];

/// Daemons whose command lines do not name each other.
const DAEMONS: [&str; 30] = [
    "apache2",
    "atd",
    "caddy",
    "chronyd",
    "clickhouse-server",
    "cron",
    "crond",
    "dnsmasq",
    "etcd",
    "grafana-server",
    "haproxy",
    "httpd",
    "influxd",
    "lighttpd",
    "mariadbd",
    "memcached",
    "mongod",
    "mongos",
    "mysqld",
    "named",
    "nginx",
    "node_exporter",
    "ntpd",
    "php-fpm",
    "postgres",
    "prometheus",
    "rabbitmq-server",
    "redis-server",
    "rsyslogd",
    "sshd",
];

/// Line and text of a finding, if two of the entries exclude each other.
pub(super) fn remark(item: &Item) -> Option<(usize, String)> {
    let entries = item.cmdline.as_deref().unwrap_or_default();
    let looked_at = entries.iter().take(64);
    let fixed: Vec<(&Text, Fixed)> = looked_at
        .filter_map(|entry| Some((entry, Fixed::of(&entry.text)?)))
        .collect();
    let pairs = fixed
        .iter()
        .enumerate()
        .flat_map(|(index, one)| fixed[index + 1..].iter().map(move |other| (one, other)));
    let ((one, _), (other, _)) = pairs
        .into_iter()
        .find(|((_, one), (_, other))| one.excludes(other))?;
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    let joined = texts.join("|");
    let remedy = match joined.len() <= SHOWN {
        true => format!("write one entry, {joined:?}"),
        false => "put | between them in one entry".to_owned(),
    };
    let what = format!(
        "cmdline: all entries must be found in the same command line, and {:?} and {:?} are not; {remedy}, or an item for each",
        one.text, other.text
    );
    Some((other.line, what))
}

/// Texts that must be at the ends of a text in which an expression is found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fixed {
    /// After a `^`.
    start: Option<String>,
    /// Before a `$`.
    end: Option<String>,
    /// Whether the expression is only a text between `^` and `$`.
    is_whole: bool,
    /// The program that the expression names.
    program: Option<String>,
}

impl Fixed {
    /// `None` for an expression that can match in several ways.
    fn of(expression: &str) -> Option<Self> {
        let plain_groups = expression
            .replace("(?P<", "(")
            .replace("(?:", "(")
            .replace("(?<", "(");
        if expression.contains('|') || plain_groups.contains("(?") {
            return None;
        }
        let (is_start, rest) = match expression.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, expression),
        };
        let (literal, behind) = beginning(rest);
        let end = rest
            .strip_suffix('$')
            .filter(|before| !before.ends_with('\\'));
        let is_whole = is_start && behind == "$";
        let program = program(
            &literal,
            is_start || !literal.starts_with(char::is_alphanumeric),
            behind,
        );
        Some(Self {
            end: end.map(ending).filter(|end| !end.is_empty()),
            start: (is_start && !literal.is_empty()).then_some(literal),
            is_whole,
            program,
        })
    }

    /// Whether no command line matches both.
    fn excludes(&self, other: &Self) -> bool {
        let begins = |one: &Self, other: &Self| match (&one.start, &other.start) {
            (Some(one_start), Some(start)) => match (one.is_whole, other.is_whole) {
                (true, _) => one_start.starts_with(start.as_str()),
                (false, true) => start.starts_with(one_start.as_str()),
                (false, false) => {
                    one_start.starts_with(start.as_str()) || start.starts_with(one_start.as_str())
                }
            },
            _ => true,
        };
        let ends = match (&self.end, &other.end) {
            (Some(one), Some(other)) => {
                one.ends_with(other.as_str()) || other.ends_with(one.as_str())
            }
            _ => true,
        };
        let is_same_program = match (&self.program, &other.program) {
            (Some(one), Some(other)) => {
                one.starts_with(other.as_str())
                    || other.starts_with(one.as_str())
                    || is_launcher(one)
                    || is_launcher(other)
            }
            _ => true,
        };
        !begins(self, other) || !ends || !is_same_program
    }
}

/// The fixed characters at the beginning of an expression, and the rest of it.
fn beginning(expression: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let (character, length) = match first {
            '\\' => match rest[1..].chars().next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => {
                    (escaped, 1 + escaped.len_utf8())
                }
                _ => break,
            },
            '.' | '(' | ')' | '[' | ']' | '{' | '}' | '*' | '+' | '?' | '^' | '$' => break,
            other => (other, other.len_utf8()),
        };
        let behind = &rest[length..];
        // An optional character is not fixed.
        if behind.starts_with(['*', '?', '{']) {
            break;
        }
        literal.push(character);
        rest = behind;
        if behind.starts_with('+') {
            break;
        }
    }
    (literal, rest)
}

/// The fixed characters at the end of an expression.
fn ending(expression: &str) -> String {
    let mut reversed = String::new();
    let mut rest = expression;
    while let Some(last) = rest.chars().next_back() {
        let before = &rest[..rest.len() - last.len_utf8()];
        let is_escaped = before.ends_with('\\');
        let is_literal = match is_escaped {
            true => !last.is_ascii_alphanumeric(),
            false => last.is_alphanumeric() || "/_- :=,".contains(last),
        };
        if !is_literal {
            break;
        }
        reversed.push(last);
        rest = if is_escaped {
            &before[..before.len() - 1]
        } else {
            before
        };
    }
    reversed.chars().rev().collect()
}

/// The base name of the program that a text in a command line names: by a path in a folder of programs, or as a known daemon.
fn program(literal: &str, is_begun: bool, behind: &str) -> Option<String> {
    // Otherwise the name continues after the text.
    let is_ended = |rest: &str| {
        rest.is_empty()
            || rest.starts_with(['$', ' '])
            || rest.starts_with("\\b")
            || rest.starts_with("\\s")
    };
    let (word, arguments) = literal.split_once(' ').unwrap_or((literal, ""));
    let is_named = !arguments.is_empty()
        || literal.len() > word.len()
        || is_ended(behind)
        || behind.starts_with(".*");
    let base = word
        .rsplit('/')
        .next()
        .filter(|base| !base.is_empty() && is_named)?;
    let is_path = word.starts_with('/') && (word.contains("/bin/") || word.contains("/sbin/"));
    let is_daemon = DAEMONS.contains(&base) && (is_begun || word == base);
    (is_path || is_daemon).then(|| base.to_owned())
}

fn is_launcher(program: &str) -> bool {
    let version = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    LAUNCHERS.contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(entries: &[&str]) -> bool {
        let text = |text: &&str| Text {
            text: (*text).to_owned(),
            line: 1,
        };
        let cmdline = Some(entries.iter().map(text).collect());
        let item = Item {
            cmdline,
            ..Item::default()
        };
        remark(&item).is_some()
    }

    #[test]
    fn entries_that_no_command_line_has_together() {
        for entries in [
            &["^/usr/bin/foo", "^/usr/bin/bar"][..],
            &["^nginx", "^apache2"],
            &["^/opt/a/run", "-v", "^/opt/b/run"],
            &["^foo$", "^foobar"],
            &["^python3? /srv/a\\.py", "^ruby"],
            &["^java .*Kafka", "^/opt/jdk"],
            &["a\\.py$", "b\\.py$"],
            &["^/usr/sbin/a$", "^/usr/sbin/b$"],
            &["nginx", "httpd", "mysqld"],
            &["/usr/sbin/nginx", "/usr/sbin/php-fpm"],
            &["/usr/bin/foo", "/usr/bin/bar"],
            &["redis-server.*", "memcached.*"],
            &["(?P<x>a)x$", "(?:b)y$"],
        ] {
            assert!(is_found(entries), "{entries:?}");
        }
    }

    #[test]
    fn entries_that_a_command_line_may_have_together() {
        for entries in [
            &["java", "kafka"][..],
            &["--a", "--b"],
            &["^java", "kafka\\.Kafka"],
            &["^/usr/bin/java", "^/usr/bin"],
            &["^/usr/bin/java", "/opt/kafka/bin/kafka.sh"],
            &["/usr/bin/python3", "/usr/bin/celery"],
            &["^/usr/bin/python3.11", "/usr/local/bin/gunicorn"],
            &["/usr/bin/sudo", "/usr/bin/rsync"],
            &["^pythonx?", "^python3"],
            &["^a?b", "^b"],
            &["^a*x", "^x"],
            &["^a{0,1}x", "^x"],
            &["^a|b", "^c"],
            &["(?m)^a", "(?m)^b"],
            &["(?i)^A", "^a"],
            &["\\d$", "1d$"],
            &["[ab]$", "b$"],
            &["foo$", "oo$"],
            &["^foo", "bar$"],
            &["nginx", "worker process"],
            &["nginx", "nginx.conf"],
            &["prometheus", "/etc/prometheus/rules"],
            &["postgres", "^postgres: "],
            &["dockerd", "containerd"],
            &["kubelet", "--config"],
            &["etcd", "--data-dir"],
            &["/usr/bin/foo", "/usr/bin/foo-helper"],
            &["/usr/lib/a/bin/", "/usr/bin/x"],
            &["^a+", "^ab"],
            &[".*a", ".*b"],
            &["\\$", "x$"],
            &["a\\$", "b\\$"],
            &["^", "^a"],
            &[],
            &["^a"],
        ] {
            assert!(!is_found(entries), "{entries:?}");
        }
    }
}
