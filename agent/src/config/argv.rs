//! The command line as process-exporter's users write it, rewritten to what clap reads.
//!
//! Go's flag package takes one dash or two, `-flag=value` or `-flag value`, and the word after a flag that takes a value
//! is that value whatever it looks like. In come the words after the program's name, out go words with two dashes and
//! every value joined to its flag. Go ignores everything behind the first word that is no flag; here that is an error.

/// What is known of a flag when the words are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `-flag value`
    TakesValue,
    /// `-flag`
    Switch,
}

/// A word that is neither a flag nor the value of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StrayWord {
    /// The word.
    pub(super) word: String,
    /// The flag before it, as typed.
    pub(super) after: Option<String>,
}

/// Rewrites `words`; `kind` says what a flag (name without dashes) is, `None` for an unknown one.
///
/// # Errors
/// A word that is no flag, unless an unknown flag stands before it: then that one is the mistake, and clap says so.
pub(super) fn rewrite(
    words: impl IntoIterator<Item = String>,
    kind: impl Fn(&str) -> Option<Kind>,
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
        if known == Some(Kind::TakesValue)
            && !flag.contains('=')
            && let Some(value) = words.next()
        {
            rewritten.push('=');
            rewritten.push_str(&value);
        }
        out.push(rewritten);
        if known.is_none() {
            break;
        }
        before = Some(word);
    }
    Ok(out)
}

/// What stands behind the dashes; `None` if `word` is no flag. `-h` is the only short one, as in Go.
fn flag(word: &str) -> Option<&str> {
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    match flag {
        "" => None,
        "h" => Some("help"),
        _ => Some(flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Vec<String>, StrayWord> {
        rewrite(
            words.iter().map(|word| (*word).to_owned()),
            |name| match name {
                "config.path" | "web.listen-address" => Some(Kind::TakesValue),
                "children" | "help" => Some(Kind::Switch),
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
