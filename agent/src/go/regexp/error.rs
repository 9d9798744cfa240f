//! The error for a pattern that Go refuses, in Go's words.

/// Go's error for a pattern that it refuses: `error parsing regexp: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {what}: `{text}`")]
pub(crate) struct GoError {
    /// Go's words for the error.
    pub(crate) what: &'static str,
    /// The part of the pattern with the error.
    pub(crate) text: String,
}

pub(crate) fn refuse<T>(what: &'static str, text: &str) -> Result<T, GoError> {
    Err(GoError {
        what,
        text: text.to_owned(),
    })
}
