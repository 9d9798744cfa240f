//! The source of the groups: a configuration file, names on the command line, or the built-in configuration.

use std::path::Path;

/// Where the rules of grouping come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping<'a> {
    /// The built-in configuration.
    BuiltIn,
    /// A configuration file.
    File(&'a Path),
    /// The flags `-procnames` and `-namemapping`.
    Names {
        /// Task names, separated by commas.
        procnames: &'a str,
        /// Alternating task names and regular expressions, separated by commas.
        namemapping: &'a str,
    },
}

impl<'a> Grouping<'a> {
    /// The configuration file, if there is one.
    pub const fn path(&self) -> Option<&'a Path> {
        match self {
            Self::File(path) => Some(path),
            Self::BuiltIn | Self::Names { .. } => None,
        }
    }

    /// Chooses by the values of the flags; an empty value counts as absent.
    ///
    /// # Errors
    /// Both a file and names are given, which contradict each other.
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
