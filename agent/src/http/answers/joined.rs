//! Expositions of parts that requests share.
//!
//! Requests that share the state's part also share an exposition. It has the targets' part of the first of these requests, which
//! is as recent as the parts of the others. A request without a targets' part takes the same exposition if it exists, else one
//! without targets. The text of the state's part is dropped once the exposition with all parts is made. It counts as an unread
//! answer until the first exposition is made of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper::body::Bytes;

use crate::collector::CollectedPart;
use crate::http::admission::{Passes, Reservation};
use crate::scrape::Joiner;
use crate::targets::handle::TargetsPart;

/// The exposition of one scrape, for all requests that have the same parts.
#[derive(Debug)]
pub struct Exposition {
    plain: Bytes,
    packed: OnceLock<Option<Bytes>>,
    passes: Arc<Passes>,
}

impl Exposition {
    /// The uncompressed exposition.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The exposition compressed with gzip. The first request that wants it compresses it. `None` if there is no
    /// memory for it.
    pub(in crate::http) fn packed(&self) -> Option<Bytes> {
        let pack = || self.passes.pack(&self.plain);
        self.packed.get_or_init(pack).clone()
    }
}

/// The state's part, and the expositions made of it so far.
#[derive(Debug)]
pub(super) struct SharedState(Mutex<MadeOfState>);

#[derive(Debug)]
struct MadeOfState {
    /// The part; `None` once the exposition with all parts is made.
    part: Option<CollectedPart>,
    /// Counts the memory of the part until an exposition is made of it.
    waiting: Option<Reservation>,
    /// The exposition with all parts.
    whole: Option<Arc<Exposition>>,
    /// The exposition without the targets' part, for requests that did not get one in time.
    partial: Option<Arc<Exposition>>,
}

impl SharedState {
    /// `memory` counts the part.
    pub(super) fn new(part: CollectedPart, memory: Reservation) -> Arc<Self> {
        Arc::new(Self(Mutex::new(MadeOfState {
            part: Some(part),
            waiting: Some(memory),
            whole: None,
            partial: None,
        })))
    }

    /// The exposition of this part and others, made by the first request that needs it. `is_whole`: the exposition has all parts.
    fn exposition(
        &self,
        is_whole: bool,
        make: impl FnOnce(Option<&CollectedPart>) -> Arc<Exposition>,
    ) -> Arc<Exposition> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partial = made.partial.as_ref().filter(|_| !is_whole);
        if let Some(found) = made.whole.as_ref().or(partial) {
            return Arc::clone(found);
        }
        made.waiting = None;
        let exposition = make(made.part.as_ref());
        let place = if is_whole {
            made.part = None;
            &mut made.whole
        } else {
            &mut made.partial
        };
        Arc::clone(place.insert(exposition))
    }
}

/// The targets' part, and the exposition of this part alone.
#[derive(Debug)]
pub(super) struct SharedTargets {
    pub(super) part: Arc<TargetsPart>,
    /// Counts the memory of the part.
    _memory: Reservation,
    alone: OnceLock<Arc<Exposition>>,
}

impl SharedTargets {
    /// `memory` counts the part.
    pub(super) fn new(part: Arc<TargetsPart>, memory: Reservation) -> Arc<Self> {
        Arc::new(Self {
            part,
            _memory: memory,
            alone: OnceLock::new(),
        })
    }
}

/// The exposition of the parts that arrived. `has_targets`: a kind of target is enabled.
pub(super) fn joined(
    state: Option<Arc<SharedState>>,
    targets: Option<Arc<SharedTargets>>,
    has_targets: bool,
    joiner: &Joiner,
    passes: &Arc<Passes>,
) -> Arc<Exposition> {
    let of_targets = targets.as_ref().map(|targets| &*targets.part);
    let make = |state: Option<&CollectedPart>| {
        Arc::new(Exposition {
            plain: passes.join(|| joiner.join(state, of_targets)),
            packed: OnceLock::new(),
            passes: Arc::clone(passes),
        })
    };
    match (&state, &targets) {
        (Some(state), _) => state.exposition(targets.is_some() || !has_targets, make),
        (None, Some(targets)) => Arc::clone(targets.alone.get_or_init(|| make(None))),
        (None, None) => make(None),
    }
}
