//! The kind of target `fan_in` in a scrape of `/metrics`: shows totals and the sources, and asks no instance.

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
        Box::pin(async move {
            self.0.sources.refresh(end).await;
            if let Some(processes) = &self.0.processes {
                processes.refresh(end).await;
            }
        })
    }

    fn write(&self, out: &mut Writer) {
        self.0.totals.borrow().write(&self.0.sources, out);
        let processes = self.0.processes.as_ref();
        self.0.sources.write(processes.map(|one| one.counts()), out);
        if let Some(processes) = processes {
            processes.write(out);
        }
        if let Some(stored) = &self.0.stored {
            stored.write(out);
        }
    }

    /// Never still: its totals may change at any time.
    fn stillness(&self) -> Option<Vec<Arc<Stillness>>> {
        None
    }
}
