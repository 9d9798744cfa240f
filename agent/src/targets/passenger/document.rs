//! Why a document of an instance is refused.

use crate::targets::failure::Failure;

/// The reason. It holds nothing of the document, which has secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDocument {
    #[error("not well-formed XML: {0}")]
    Xml(&'static str),
    #[error("not JSON of the expected shape")]
    Json,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} occurs twice")]
    Twice(&'static str),
    #[error("unexpected value of {0}")]
    Value(&'static str),
    #[error("limit: {0}")]
    Limit(&'static str),
}

impl From<InvalidDocument> for Failure {
    fn from(_: InvalidDocument) -> Self {
        Self::Malformed
    }
}
