//! The kind of target `fan_in` in a scrape of `/metrics`: no instance is asked for it, it shows totals and the sources.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::sources::Sources;
use crate::exposition::Writer;
use crate::targets::files::Stillness;
use crate::targets::kind::{AskedAll, TargetKind};

/// The kind `fan_in`.
#[derive(Debug)]
pub(super) struct FanIn(pub(super) Rc<Sources>);

impl TargetKind for FanIn {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn ask(&self, end: Instant) -> Pin<Box<AskedAll<'_>>> {
        Box::pin(self.0.refresh(end))
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    /// Its totals may change whether there are instances or not.
    fn stillness(&self) -> Option<Arc<Stillness>> {
        None
    }
}
