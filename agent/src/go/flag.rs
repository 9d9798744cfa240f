//! The syntax of Go's `flag` package: rewrites a command line for clap, and parses booleans.
//!
//! Go's flag package accepts one dash or two, and `-flag=value` or `-flag value`; the word after a flag that takes a
//! value is always that value. In: the words after the program's name. Out: words with two dashes, each value joined
//! to its flag. Go ignores everything after the first word that is not a flag; here that is an error.

/// Whether a flag takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagKind {
    /// `-flag value`
    TakesValue,
    /// `-flag`
    Switch,
}

/// A word that is neither a flag nor the value of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StrayWord {
    /// The word.
    pub(crate) word: String,
    /// The flag before it, as typed, with its value behind an equals sign.
    pub(crate) after: Option<String>,
}

/// Rewrites `words`; `kind` returns the kind of a flag by its name without dashes, `None` for an unknown one.
///
/// # Errors
/// A word is not a flag. If an unknown flag precedes it, there is no error here: that flag is the mistake, and clap
/// reports it.
pub(crate) fn rewrite(
    words: impl IntoIterator<Item = String>,
    kind: impl Fn(&str) -> Option<FlagKind>,
) -> Result<Vec<String>, StrayWord> {
    let mut out = Vec::new();
    let mut words = words.into_iter();
    let mut before: Option<String> = None;
    while let Some(word) = words.next() {
        let Some(flag) = flag(&word) else {
            return Err(StrayWord {
                word,
                after: before,
            });
        };
        let name = flag.split('=').next().unwrap_or_default();
        let known = kind(name);
        let mut rewritten = format!("--{flag}");
        let mut typed = word.clone();
        if known == Some(FlagKind::TakesValue)
            && !flag.contains('=')
            && let Some(value) = words.next()
        {
            for text in [&mut rewritten, &mut typed] {
                text.push('=');
                text.push_str(&value);
            }
        }
        out.push(rewritten);
        if known.is_none() {
            break;
        }
        before = Some(typed);
    }
    Ok(out)
}

/// The word without its dashes; `None` if it is not a flag. `-h` is the only short flag, as in Go.
fn flag(word: &str) -> Option<&str> {
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    match flag {
        "" => None,
        "h" => Some("help"),
        _ => Some(flag),
    }
}

/// Parses a boolean in Go's spelling.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Vec<String>, StrayWord> {
        rewrite(
            words.iter().map(|word| (*word).to_owned()),
            |name| match name {
                "config.path" | "web.listen-address" => Some(FlagKind::TakesValue),
                "children" | "help" => Some(FlagKind::Switch),
                _ => None,
            },
        )
    }

    #[test]
    fn one_dash_or_two() {
        let cases: [(&[&str], &[&str]); 8] = [
            (&["-config.path=x"], &["--config.path=x"]),
            (&["--config.path=x"], &["--config.path=x"]),
            (&["-config.path", "x"], &["--config.path=x"]),
            (
                &["-config.path", "-x=y", "-children"],
                &["--config.path=-x=y", "--children"],
            ),
            (&["-config.path", "", "-h"], &["--config.path=", "--help"]),
            (
                &["-web.listen-address=:1", "-config.path"],
                &["--web.listen-address=:1", "--config.path"],
            ),
            (&["-config.path=a=b=-c"], &["--config.path=a=b=-c"]),
            (&[], &[]),
        ];
        for (words, expected) in cases {
            assert_eq!(run(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn a_word_that_is_no_flag() {
        let stray = |words: &[&str]| run(words).unwrap_err();
        let after_switch = stray(&["-children", "false", "-config.path=x"]);
        assert_eq!(
            (after_switch.word.as_str(), after_switch.after.as_deref()),
            ("false", Some("-children"))
        );
        assert_eq!(stray(&["serve"]).after, None);
        assert_eq!(stray(&["-children", "-"]).word, "-");
        assert_eq!(stray(&["-children", "--"]).word, "--");
        // The unknown flag is the mistake, not its value.
        assert_eq!(run(&["-procname", "bash"]).unwrap(), ["--procname"]);
        assert_eq!(run(&["---config.path=x"]).unwrap(), ["---config.path=x"]);
    }
}
