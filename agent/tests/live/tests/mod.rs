//! The tests, by topic.

mod churn;

use crate::runner::Test;

pub(crate) fn all() -> impl Iterator<Item = Test> {
    [churn::TESTS].into_iter().flatten().copied()
}
