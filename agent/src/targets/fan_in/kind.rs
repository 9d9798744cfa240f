//! The kind of target `fan_in` in a scrape of `/metrics`: no instance is asked for it, it shows totals and the sources.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::answers::FanInAnswers;
use crate::exposition::Writer;
use crate::targets::files::Stillness;
use crate::targets::kind::{AskedAll, TargetKind};

/// The kind `fan_in`.
pub(super) struct FanIn(pub(super) Rc<FanInAnswers>);

impl TargetKind for FanIn {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn ask(&self, end: Instant) -> Pin<Box<AskedAll<'_>>> {
        Box::pin(self.0.sources.refresh(end))
    }

    fn write(&self, out: &mut Writer) {
        self.0.totals.borrow().write(&self.0.sources, out);
        self.0.sources.write(out);
    }

    /// Its totals may change whether there are instances or not.
    fn stillness(&self) -> Option<Vec<Arc<Stillness>>> {
        None
    }
}
