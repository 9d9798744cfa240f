//! A kind of target: how its targets are found, asked and shown.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::files::Stillness;
use super::handle::Applications;
use crate::exposition::Writer;

/// Ready when all targets of a kind have answered or failed.
pub(crate) type AskedAll<'a> = dyn Future<Output = ()> + 'a;

/// A kind of target that is enabled. It lives on the targets thread.
pub(crate) trait TargetKind {
    /// Its name in flags, in the label `kind`, and in the names of collectors.
    fn name(&self) -> &'static str;

    /// Finds its targets and asks them all. The future is ready at `end` at the latest; answers so far are kept, also if the
    /// future is dropped.
    fn ask(&self, end: Instant) -> Pin<Box<AskedAll<'_>>>;

    /// Writes the families of the answers since the last round began. Writes nothing of earlier rounds but totals.
    fn write(&self, out: &mut Writer);

    /// If the last round has ended and found no target: another round would find none as long as all these stillnesses last and
    /// the state publishes neither an arbiter nor a process with a wanted task name.
    fn stillness(&self) -> Option<Vec<Arc<Stillness>>>;

    /// Adds the applications that the last call of [`Self::write`] wrote, for the page.
    fn show(&self, _page: &mut Applications) {}
}
