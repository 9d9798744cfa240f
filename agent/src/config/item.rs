//! One item of `process_names`, as typed.

use std::fmt;

/// A text and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// As typed: a number or a word like `true` keeps its spelling.
    pub text: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// One item of `process_names`, as typed. At least one of the selectors (`comm` to `cgroup`) is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Line of the item's first key, from 1.
    pub line: usize,
    /// Name template; absent and empty both mean the default one.
    pub name: Option<Text>,
    /// Task names, one of which must be equal. An empty list matches nothing.
    pub comm: Option<Vec<Text>>,
    /// Programs, one of which must be equal to the first argument or its base name. An empty list matches nothing.
    pub exe: Option<Vec<Text>>,
    /// Go regular expressions, all of which must be found in the command line. An empty list matches everything.
    pub cmdline: Option<Vec<Text>>,
    /// User names or uids, one of which must be the effective user's. An empty list matches nothing.
    pub user: Option<Vec<Text>>,
    /// Go regular expressions, each of which must be found in one of the cgroup paths. An empty list matches everything.
    pub cgroup: Option<Vec<Text>>,
    /// What it matches is in no group.
    pub exclude: bool,
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
}

impl Key {
    /// All keys of an item.
    pub const ALL: [Key; 7] = [
        Key::Name,
        Key::Comm,
        Key::Exe,
        Key::Cmdline,
        Key::User,
        Key::Cgroup,
        Key::Exclude,
    ];

    /// Those that select processes.
    pub const SELECTORS: [Key; 5] = [Key::Comm, Key::Exe, Key::Cmdline, Key::User, Key::Cgroup];

    /// As it is written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Key::Name => "name",
            Key::Comm => "comm",
            Key::Exe => "exe",
            Key::Cmdline => "cmdline",
            Key::User => "user",
            Key::Cgroup => "cgroup",
            Key::Exclude => "exclude",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Item {
    /// The list behind a selector; `None` where the key is absent, and for keys that are no selectors.
    pub const fn list(&self, key: Key) -> Option<&Vec<Text>> {
        match key {
            Key::Comm => self.comm.as_ref(),
            Key::Exe => self.exe.as_ref(),
            Key::Cmdline => self.cmdline.as_ref(),
            Key::User => self.user.as_ref(),
            Key::Cgroup => self.cgroup.as_ref(),
            Key::Name | Key::Exclude => None,
        }
    }

    /// The value of `key`, element `index` of a list.
    pub(super) fn text(&self, key: Key, index: Option<usize>) -> Option<&Text> {
        match key {
            Key::Name => self.name.as_ref(),
            _ => self.list(key)?.get(index?),
        }
    }
}
