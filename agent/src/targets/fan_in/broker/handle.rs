//! The thread that writes the file, and the handles of the other threads to it.
//!
//! ```text
//! BrokerHandle --question--> queue of 64 --> writer: takes all that wait, writes once, publishes, acknowledges
//! ```
//!
//! Bound: the queue has room for one question for each connection; further ones wait outside until their deadline.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};

use super::file::{BindingFile, directory};
use super::table::{BindingChange, BindingOutcome, Bindings, StoredBinding};
use super::{APPLICATIONS, CHANGES, USABLE};
use crate::config::BrokerConfig;
use crate::exposition::Writer;

/// Most questions in the queue.
const QUEUE: usize = 64;
/// Most questions that one write serves.
const BATCH: usize = 64;
/// The values of the label `outcome`.
const OUTCOMES: [&str; 5] = ["stored", "unchanged", "refused", "full", "failed"];

/// The stored paths, for threads that read them.
#[derive(Clone)]
pub(crate) struct StoredPaths(Arc<BrokerStock>);

/// The state that the threads share.
#[derive(Default)]
struct BrokerStock {
    /// Why the file cannot be used; `None` if it can.
    fault: Option<String>,
    /// Whether the last attempt to write failed; the first one is made at the start.
    is_unwritable: AtomicBool,
    /// The table that is in the file.
    table: RwLock<Arc<Bindings>>,
    /// Changes by outcome, in the order of [`OUTCOMES`].
    changes: [AtomicU64; OUTCOMES.len()],
}

/// Sends changes to the thread that writes.
#[derive(Debug, Clone)]
pub(crate) struct BrokerHandle {
    stored: StoredPaths,
    questions: mpsc::Sender<AskedChange>,
}

/// A change on its way to the thread.
#[derive(Debug)]
struct AskedChange {
    change: BindingChange,
    reply: oneshot::Sender<BindingOutcome>,
}

impl BrokerHandle {
    /// Reads the file and starts the thread that writes it. The thread first calls `confine`, which leaves it only the right to
    /// write in the directory of the file. If the file cannot be used, logs the reason and starts no thread.
    pub(crate) fn start(
        config: &BrokerConfig,
        confine: impl FnOnce(&Path) + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, inbox) = mpsc::channel(QUEUE);
        let (file, stock) = match BindingFile::open(&config.file) {
            Ok((file, table)) => {
                let stock = BrokerStock {
                    table: RwLock::new(Arc::new(table)),
                    ..BrokerStock::default()
                };
                (Some(file), stock)
            }
            Err(error) => {
                log::error!(
                    "fan_in: broker: {error}; no path is stored, and the broker refuses changes until the agent restarts with a file that \
                     it can use"
                );
                let stock = BrokerStock {
                    fault: Some(error),
                    ..BrokerStock::default()
                };
                (None, stock)
            }
        };
        let stored = StoredPaths(Arc::new(stock));
        if let Some(file) = file {
            let stock = Arc::clone(&stored.0);
            let folder = directory(&config.file).to_owned();
            let (confined, is_confined) = std::sync::mpsc::channel();
            let writing = move || {
                confine(&folder);
                if let Err(error) = file.probe() {
                    log::error!(
                        "fan_in: broker: {error}; stored paths are used, and changes fail until the file can be written"
                    );
                    stock.is_unwritable.store(true, Relaxed);
                }
                // The receiver waits for this.
                let _ = confined.send(());
                write_changes(inbox, &stock, |table| file.write(table));
            };
            let thread = std::thread::Builder::new().name("headcount-broker".to_owned());
            thread.spawn(writing)?;
            // Waits, so that the first scrape shows the rights that the thread has given up, and whether it can write.
            let _ = is_confined.recv();
        }
        Ok(Self { stored, questions })
    }

    /// Makes a change.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) async fn change(&self, change: BindingChange) -> Result<BindingOutcome, String> {
        if let Some(fault) = &self.stored.0.fault {
            return Err(fault.clone());
        }
        let (reply, outcome) = oneshot::channel();
        let ended = || "the thread that writes has ended".to_owned();
        let question = AskedChange { change, reply };
        self.questions.send(question).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())
    }

    /// The binding of this id, if it has stored a path.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn binding(&self, id: &str) -> Result<Option<StoredBinding>, String> {
        match &self.stored.0.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(self.stored.0.table().binding(id).cloned()),
        }
    }

    /// A handle to the stored paths.
    pub(crate) fn stored(&self) -> StoredPaths {
        self.stored.clone()
    }
}

impl StoredPaths {
    /// The path of an application.
    pub(crate) fn path_of(&self, application: &str) -> Option<String> {
        self.0.table().path_of(application).map(str::to_owned)
    }

    /// Writes the families.
    pub(in crate::targets::fan_in) fn write(&self, out: &mut Writer) {
        let applications = self.0.table().len() as u64;
        out.family(&APPLICATIONS).sample(&[], applications);
        let is_usable = self.0.fault.is_none() && !self.0.is_unwritable.load(Relaxed);
        out.family(&USABLE).sample(&[], u64::from(is_usable));
        let mut changes = out.family(&CHANGES);
        for (outcome, count) in OUTCOMES.iter().zip(&self.0.changes) {
            changes.sample(&[outcome], count.load(Relaxed));
        }
    }
}

/// Shows no path.
impl fmt::Debug for StoredPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredPaths")
            .field(&self.0.table().len())
            .finish()
    }
}

impl BrokerStock {
    fn table(&self) -> Arc<Bindings> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, table: Bindings) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    fn count(&self, outcome: &BindingOutcome) {
        let at = match outcome {
            BindingOutcome::Stored => 0,
            BindingOutcome::Same | BindingOutcome::Gone => 1,
            BindingOutcome::Conflict => 2,
            BindingOutcome::Full => 3,
            BindingOutcome::Failed(_) => 4,
        };
        self.changes[at].fetch_add(1, Relaxed);
    }
}

/// Makes changes until the last handle is dropped. `write` puts a table into the file.
fn write_changes(
    mut inbox: mpsc::Receiver<AskedChange>,
    stock: &BrokerStock,
    write: impl Fn(&Bindings) -> io::Result<()>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    // Whether the last write failed. The file may have its table then: the rename may have succeeded before the fsync of the
    // directory failed.
    let mut is_behind = false;
    while inbox.blocking_recv_many(&mut batch, BATCH) > 0 {
        let mut table = Bindings::clone(&stock.table());
        let mut made = Vec::with_capacity(batch.len());
        for AskedChange { change, reply } in batch.drain(..) {
            made.push((table.apply(change), reply));
        }
        let is_stored = |(outcome, _): &(BindingOutcome, _)| *outcome == BindingOutcome::Stored;
        if is_behind || made.iter().any(is_stored) {
            let written = write(&table);
            stock.is_unwritable.store(written.is_err(), Relaxed);
            match written {
                Ok(()) => {
                    is_behind = false;
                    stock.publish(table);
                }
                Err(error) => {
                    is_behind = true;
                    log::error!(
                        "fan_in: broker: the file of stored paths was not written: {error}"
                    );
                    // Other outcomes may depend on changes that are lost, so all fail.
                    for (outcome, _) in &mut made {
                        *outcome = BindingOutcome::Failed(error.to_string());
                    }
                }
            }
        }
        for (outcome, reply) in made {
            stock.count(&outcome);
            // The client may have disconnected.
            let _ = reply.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn bind(id: &str, path: &str) -> BindingChange {
        BindingChange::Bind(StoredBinding {
            id: id.to_owned(),
            application: "a".to_owned(),
            path: path.to_owned(),
        })
    }

    /// The outcomes of changes that wait at the same time.
    fn outcomes(
        stock: &BrokerStock,
        changes: Vec<BindingChange>,
        write: impl Fn(&Bindings) -> io::Result<()>,
    ) -> Vec<BindingOutcome> {
        let (questions, inbox) = mpsc::channel(QUEUE);
        let ask = |change| {
            let (reply, outcome) = oneshot::channel();
            questions.try_send(AskedChange { change, reply }).unwrap();
            outcome
        };
        let waiting: Vec<_> = changes.into_iter().map(ask).collect();
        drop(questions);
        write_changes(inbox, stock, write);
        let waiting = waiting.into_iter();
        waiting.map(|one| one.blocking_recv().unwrap()).collect()
    }

    #[test]
    fn waiting_changes_are_written_together_before_they_are_acknowledged() {
        let stock = BrokerStock::default();
        let written = RefCell::new(Vec::new());
        let changes = vec![bind("1", "/x"), bind("2", "/y"), bind("2", "/y")];
        let found = outcomes(&stock, changes, |table| {
            written.borrow_mut().push(table.clone());
            Ok(())
        });
        use BindingOutcome::{Same, Stored};
        assert_eq!(found, [Stored, Stored, Same]);
        assert_eq!(*written.borrow(), [Bindings::clone(&stock.table())]);
        assert_eq!(stock.table().path_of("a"), Some("/y"));
    }

    #[test]
    fn failed_write_leaves_the_table_and_fails_each_of_its_changes() {
        let stock = BrokerStock::default();
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let changes = vec![bind("1", "/x"), bind("1", "/x")];
        let found = outcomes(&stock, changes, |_| Err(full()));
        let failed = BindingOutcome::Failed(full().to_string());
        assert_eq!(found, [failed.clone(), failed]);
        assert_eq!(*stock.table(), Bindings::default());
        assert_eq!(
            stock.changes.each_ref().map(|count| count.load(Relaxed)),
            [0, 0, 0, 0, 2]
        );
    }

    #[test]
    fn unchanged_table_is_not_written() {
        let stock = BrokerStock::default();
        let writes = Cell::new(0);
        let changes = vec![BindingChange::Unbind("1".to_owned()), bind("2", "")];
        let found = outcomes(&stock, changes, |_| {
            writes.set(writes.get() + 1);
            Ok(())
        });
        assert_eq!(found, [BindingOutcome::Gone, BindingOutcome::Same]);
        assert_eq!(writes.get(), 0);
    }
}
