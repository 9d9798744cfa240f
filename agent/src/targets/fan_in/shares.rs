//! The share of each application in two common bounds: slots for instances that are asked at the same time, and memory for
//! bodies. The node's own processes of one user count as one application, because a process may choose the name of its group.
//!
//! An application takes a slot only while it holds fewer than [`OF_FREE`] times the number of free slots: at most three
//! quarters of all if it is alone. So applications that hang always leave slots for others; the more of them hang, the fewer
//! slots are left. [`BodyRoom`] has a similar rule for memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::table::{FanInApplication, FanInInstance};
use crate::targets::client::BodyRoom;

/// Most slots of an application, as a multiple of the free slots.
const OF_FREE: usize = 3;

/// Both bounds, and the share of each application. It lives on the targets thread.
#[derive(Debug)]
pub(super) struct FanInShares {
    slots: Rc<FreeSlots>,
    room: BodyRoom,
    owners: RefCell<HashMap<ShareOwner, FanInShare>>,
}

/// The owner of a share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ShareOwner {
    Application(Arc<FanInApplication>),
    /// The user who runs processes of the node.
    User(u32),
}

/// The share of an application. Clones are the same share.
#[derive(Debug, Clone)]
pub(super) struct FanInShare {
    pub(super) room: BodyRoom,
    slots: Rc<FreeSlots>,
    /// Slots that the application holds.
    held: Rc<Cell<usize>>,
}

#[derive(Debug)]
struct FreeSlots {
    count: Cell<usize>,
    freed: Notify,
}

/// A slot. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct InstanceSlot(FanInShare);

impl FanInShares {
    /// `slots`: instances asked at the same time, in all. `room`: bytes of all bodies.
    pub(super) fn of(slots: usize, room: usize) -> Self {
        Self {
            slots: Rc::new(FreeSlots {
                count: Cell::new(slots),
                freed: Notify::new(),
            }),
            room: BodyRoom::of(room),
            owners: RefCell::default(),
        }
    }

    /// The share of the instance's application. Applications that hold nothing are forgotten.
    pub(super) fn of_instance(&self, instance: &FanInInstance) -> FanInShare {
        let owner = match &instance.listener {
            Some(listener) => ShareOwner::User(listener.user),
            None => ShareOwner::Application(Arc::clone(&instance.application)),
        };
        let mut owners = self.owners.borrow_mut();
        if !owners.contains_key(&owner) {
            owners.retain(|_, share| share.is_in_use());
        }
        let share = owners.entry(owner).or_insert_with(|| FanInShare {
            room: self.room.share(),
            slots: Rc::clone(&self.slots),
            held: Rc::default(),
        });
        share.clone()
    }
}

impl FanInShare {
    fn is_in_use(&self) -> bool {
        self.room.is_in_use() || Rc::strong_count(&self.held) > 1
    }

    /// Waits for a slot.
    pub(super) async fn slot(&self) -> InstanceSlot {
        loop {
            // Created before the check, so that no freed slot is missed.
            let freed = self.slots.freed.notified();
            let free = self.slots.count.get();
            if self.held.get() < OF_FREE * free {
                self.slots.count.set(free - 1);
                self.held.set(self.held.get() + 1);
                return InstanceSlot(self.clone());
            }
            freed.await;
        }
    }
}

impl Drop for InstanceSlot {
    fn drop(&mut self) {
        let Self(share) = self;
        share.held.set(share.held.get() - 1);
        share.slots.count.set(share.slots.count.get() + 1);
        share.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::config::HostPort;

    fn instance(application: &str) -> FanInInstance {
        FanInInstance {
            address: HostPort::parse("127.0.0.1:1").unwrap(),
            is_tls: false,
            server_name: None,
            host: None,
            metric_path: None,
            labels: Vec::new(),
            application: Arc::new(FanInApplication {
                name: application.to_owned(),
                ..FanInApplication::default()
            }),
            is_web: true,
            expires: None,
            listener: None,
            exporter: None,
        }
    }

    fn take(share: &FanInShare) -> Option<InstanceSlot> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(share.slot()).poll(&mut context) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    /// All slots that the application can get.
    fn take_all(shares: &FanInShares, application: &str) -> Vec<InstanceSlot> {
        let share = shares.of_instance(&instance(application));
        std::iter::from_fn(|| take(&share)).collect()
    }

    #[test]
    fn applications_that_hang_leave_places_for_others() {
        let shares = FanInShares::of(64, 0);
        let mut held = Vec::new();
        for (application, expected) in [("a", 48), ("a", 0), ("b", 12), ("c", 3), ("d", 1)] {
            let slots = take_all(&shares, application);
            assert_eq!(slots.len(), expected, "{application}");
            held.push(slots);
        }
        drop(held);
        assert_eq!(take_all(&shares, "e").len(), 48);
    }

    #[test]
    fn freed_slot_goes_to_a_waiting_instance() {
        let shares = FanInShares::of(1, 0);
        let slots = take_all(&shares, "a");
        let other = shares.of_instance(&instance("b"));
        let mut waiting = pin!(other.slot());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(slots);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn application_that_holds_nothing_is_forgotten() {
        let shares = FanInShares::of(64, 0);
        for number in 0..100 {
            let _slot = take(&shares.of_instance(&instance(&number.to_string())));
        }
        assert!(shares.owners.borrow().len() <= 2);
    }
}
