//! By what processes are grouped: a file, names on the command line, or neither.

use std::path::Path;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping<'a> {
    /// By the built-in configuration.
    BuiltIn,
    /// By a configuration file.
    File(&'a Path),
    /// By `-procnames` and `-namemapping`.
    Names {
        /// Task names, separated by commas.
        procnames: &'a str,
        /// Task names and regular expressions in turn, separated by commas.
        namemapping: &'a str,
    },
}

impl<'a> Grouping<'a> {
    /// The file, where there is one.
    pub const fn path(&self) -> Option<&'a Path> {
        match self {
            Self::File(path) => Some(path),
            Self::BuiltIn | Self::Names { .. } => None,
        }
    }

    /// From the values of the flags; an empty one is as good as none.
    ///
    /// # Errors
    /// A file and names: which of them are meant?
    pub(super) fn of(
        config_path: &'a Path,
        procnames: &'a str,
        namemapping: &'a str,
    ) -> Result<Self, String> {
        let has_file = !config_path.as_os_str().is_empty();
        let has_names = !(procnames.is_empty() && namemapping.is_empty());
        match (has_file, has_names) {
            (true, true) => Err(
                "--config.path cannot be used with --procnames or --namemapping: leave out the one or the others"
                    .to_owned(),
            ),
            (true, false) => Ok(Self::File(config_path)),
            (false, true) => Ok(Self::Names {
                procnames,
                namemapping,
            }),
            (false, false) => Ok(Self::BuiltIn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_names_or_neither() {
        let of =
            |path, procnames, namemapping| Grouping::of(Path::new(path), procnames, namemapping);
        let names = |procnames, namemapping| {
            Ok(Grouping::Names {
                procnames,
                namemapping,
            })
        };
        assert_eq!(of("", "", ""), Ok(Grouping::BuiltIn));
        assert_eq!(of("x", "", ""), Ok(Grouping::File(Path::new("x"))));
        assert_eq!(of("", "a", ""), names("a", ""));
        assert_eq!(of("", "", "a,b"), names("", "a,b"));
        assert!(of("x", "a", "").is_err() && of("x", "", "a,b").is_err());
    }
}
