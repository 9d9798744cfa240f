//! One item of `process_names`, as typed.

use std::fmt;

/// A text and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text as typed: a number or a word like `true` keeps its spelling.
    pub text: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// One item of `process_names`, as typed. It has at least one of the selectors (`comm` to `cgroup`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Line of the item's first key, from 1.
    pub line: usize,
    /// Name template; both absent and empty mean the default template.
    pub name: Option<Text>,
    /// Task names; one of them must be equal. An empty list matches nothing.
    pub comm: Option<Vec<Text>>,
    /// Programs; one of them must equal the first argument or its base name. An empty list matches nothing.
    pub exe: Option<Vec<Text>>,
    /// Go regular expressions; all of them must match somewhere in the command line. An empty list matches
    /// everything.
    pub cmdline: Option<Vec<Text>>,
    /// User names or uids; one of them must be the effective user's. An empty list matches nothing.
    pub user: Option<Vec<Text>>,
    /// Go regular expressions; each of them must match somewhere in one of the cgroup paths. An empty list matches
    /// everything.
    pub cgroup: Option<Vec<Text>>,
    /// Whether matching processes are in no group.
    pub exclude: bool,
    /// Labels of its groups in addition to `groupname`, sorted by name, each name once; at most [`MAX_LABELS`].
    pub labels: Vec<Label>,
    /// Most groups that the item may make; processes of further groups are in the group `other`.
    pub max_groups: Option<u32>,
    /// Whether the HTTP requests that matching processes serve are counted.
    pub http: bool,
    /// Whether the requests of each process are shown separately, too; only with `http`.
    pub http_per_process: bool,
    /// How matching processes are asked for metrics; `None`: they are not.
    pub scrape: Option<ScrapeConfig>,
}

impl Item {
    /// Whether the item matches only processes of certain users or cgroups.
    pub const fn is_of_owner(&self) -> bool {
        self.user.is_some() || self.cgroup.is_some()
    }

    /// Whether its processes may receive a caller's credentials: the item matches only certain owners, and its name is fixed. A
    /// process can influence a name from a template.
    pub fn may_receive_credentials(&self) -> bool {
        let is_written = |name: &Text| !name.text.contains("{{");
        self.is_of_owner() && self.name.as_ref().is_some_and(is_written)
    }

    /// The same item with every line set to 0, to compare items regardless of their place in the file.
    pub fn without_lines(&self) -> Self {
        let mut item = self.clone();
        item.line = 0;
        let lists = [
            &mut item.comm,
            &mut item.exe,
            &mut item.cmdline,
            &mut item.user,
            &mut item.cgroup,
        ];
        let texts = lists.into_iter().flatten().flatten();
        let labels = item.labels.iter_mut().map(|label| &mut label.template);
        for text in texts.chain(&mut item.name).chain(labels) {
            text.line = 0;
        }
        item
    }
}

/// How the processes of an item are asked for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeConfig {
    /// The port of the metrics.
    pub port: ScrapePort,
    /// The path of the metrics: ASCII, beginning with a slash, without a query.
    pub path: String,
    /// Whether they are asked over TLS.
    pub is_tls: bool,
}

/// A port that has metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapePort {
    /// The only port on which the process listens.
    Auto,
    /// A fixed port.
    Number(u16),
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            port: ScrapePort::Auto,
            path: "/metrics".to_owned(),
            is_tls: false,
        }
    }
}

/// A label of an item's groups. Its name is valid in Prometheus and is not a label of any group family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The label's name.
    pub name: String,
    /// Template of the label's value; a group for which it is empty does not have the label.
    pub template: Text,
}

/// Most labels that an item may have.
pub const MAX_LABELS: usize = 16;

/// Label names that the families of groups use themselves.
pub const OWN_LABELS: [&str; 16] = [
    "ctxswitchtype",
    "groupname",
    "iomode",
    "le",
    "memtype",
    "method",
    "mode",
    "reason",
    "role",
    "scope",
    "server_pid",
    "stat",
    "state",
    "status",
    "threadname",
    "wchan",
];

/// The expectation that the label name `name` does not meet; `None` if the name is valid.
pub(super) fn expected_label(name: &str) -> Option<&'static str> {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_word = name.as_bytes().first().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(&byte) || byte.is_ascii_digit());
    if !is_word {
        Some("letters, digits and underscores, no digit first")
    } else if name.starts_with("__") {
        Some("a name that does not begin with two underscores, which Prometheus reserves")
    } else if OWN_LABELS.contains(&name) {
        Some(
            "a name that is no label of the agent's own, so none of ctxswitchtype, groupname, iomode, le, memtype, \
             method, mode, reason, role, scope, server_pid, stat, state, status, threadname and wchan",
        )
    } else {
        None
    }
}

/// A key of an item, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// `name`
    Name,
    /// `comm`
    Comm,
    /// `exe`
    Exe,
    /// `cmdline`
    Cmdline,
    /// `user`
    User,
    /// `cgroup`
    Cgroup,
    /// `exclude`
    Exclude,
    /// `labels`
    Labels,
    /// `max_groups`
    MaxGroups,
    /// `http`
    Http,
    /// `scrape`
    Scrape,
}

impl Key {
    /// All keys of an item.
    pub const ALL: [Key; 11] = [
        Key::Name,
        Key::Comm,
        Key::Exe,
        Key::Cmdline,
        Key::User,
        Key::Cgroup,
        Key::Exclude,
        Key::Labels,
        Key::MaxGroups,
        Key::Http,
        Key::Scrape,
    ];

    /// The keys that select processes.
    pub const SELECTORS: [Key; 5] = [Key::Comm, Key::Exe, Key::Cmdline, Key::User, Key::Cgroup];

    /// The key as written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Key::Name => "name",
            Key::Comm => "comm",
            Key::Exe => "exe",
            Key::Cmdline => "cmdline",
            Key::User => "user",
            Key::Cgroup => "cgroup",
            Key::Exclude => "exclude",
            Key::Labels => "labels",
            Key::MaxGroups => "max_groups",
            Key::Http => "http",
            Key::Scrape => "scrape",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Item {
    /// The list of a selector; `None` if the key is absent or not a selector.
    pub const fn list(&self, key: Key) -> Option<&Vec<Text>> {
        match key {
            Key::Comm => self.comm.as_ref(),
            Key::Exe => self.exe.as_ref(),
            Key::Cmdline => self.cmdline.as_ref(),
            Key::User => self.user.as_ref(),
            Key::Cgroup => self.cgroup.as_ref(),
            Key::Name | Key::Exclude | Key::Labels | Key::MaxGroups | Key::Http | Key::Scrape => {
                None
            }
        }
    }

    /// The value of `key`, its list element `index`, or the template of label number `index`.
    pub fn text(&self, key: Key, index: Option<usize>) -> Option<&Text> {
        match key {
            Key::Name => self.name.as_ref(),
            Key::Labels => self.labels.get(index?).map(|label| &label.template),
            _ => self.list(key)?.get(index?),
        }
    }
}
