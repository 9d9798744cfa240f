//! Threads for work that may block for ever: reading files whose answer another process can delay.
//!
//! Some files of `/proc` wait for a lock that their process can hold for as long as it likes: `cmdline` and `smaps` for the lock
//! of its address space, `io` and on newer kernels `stat`, `wchan` and `cwd` for the lock of an exec. The kernel holds these
//! locks while it waits for a file of the process. If the server of that file (NFS, FUSE) is dead, it waits for ever. Any user
//! can run such a server without privilege. A read that has begun cannot be cancelled. So the agent makes such reads on threads
//! that it can leave behind.
//!
//! ```text
//! caller:  reader, ask --------------> wait, replies ---> keep: the next request goes to the same thread
//!                 \  request           ^ replies    \
//! thread:          `-------> work ----'              `--> leave: held up ...... release: it has come back
//! ```
//!
//! * A [`Pool`] has the readers of one kind, and its callers define their work. One reader works or waits for a request; the
//!   others are held up. The pool starts a reader when it needs one and has none.
//! * A reader is held up if it sleeps in the same read at two looks ([`thread_state`]). If it is runnable, it is not held up,
//!   however long it waits for a CPU. The caller leaves it, with a key that names the file, and with the user of the process. The
//!   caller does not ask for this key again as long as the reader is held up.
//! * A [`Bound`] limits how many readers are held up by processes of one user, of all users but root, and of root. At the bound
//!   the caller reads nothing that may block of this user's processes ([`HeldUp::admits`]); other users' are read as before.
//! * A reader that comes back ends after the reply that it was working on, and its place is free ([`Pool::release`]).
//! * [`Patience`] limits the time that one pass waits for readers that turn out to be held up.
//! * Counted are the readers that are held up ([`HeldUp::len`]) and the requests refused at the bound ([`HeldUp::refused`]).
//!
//! | threads | ask | bound: one user, all but root, root |
//! | --- | --- | --- |
//! | `headcount-pass` | passes over whole processes | 8, 64, 32 |
//! | `headcount-read` | reads of single files; those for viewers of the page | 8, 64, 32; 2, 8, 4 |
//! | `headcount-smaps` | proportional memory, read beside the passes | 2, 6, 2 |
//! | `headcount-find` | files of targets; of all users but root, also those at work count | 2, 8, 4 |
//!
//! One user may have many uids: [`SubordinateUids`] says which uid is charged. [`bound`] and [`patience`] are pure. Left to
//! others: which files to read, and how.

mod bound;
mod patience;
mod subordinate;
mod thread_state;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;
use std::{io, thread};

pub(crate) use bound::{Bound, HeldUp};
pub(crate) use patience::{EACH, Patience};
pub(crate) use subordinate::SubordinateUids;
pub(crate) use thread_state::ThreadState;

/// The readers of one kind: at most one idle reader, and the readers that are held up. `K`: the key of the file that a reader
/// waits for. A request `Q` has any number of replies `A`.
#[derive(Debug)]
pub(crate) struct Pool<K, Q, A> {
    /// Name of the threads.
    name: &'static str,
    idle: Option<Reader<Q, A>>,
    /// The readers that are held up, and their bound.
    pub(crate) held_up: HeldUp<K, Reader<Q, A>>,
}

/// A thread that processes one request after another. It ends when this value is dropped and its work returns.
#[derive(Debug)]
pub(crate) struct Reader<Q, A> {
    requests: SyncSender<Q>,
    replies: Receiver<A>,
    /// Gets a message at the end of each request.
    finished: Receiver<()>,
    pub(crate) thread: Arc<ThreadState>,
}

/// Where a reader sends its replies.
#[derive(Debug)]
pub(crate) struct Replies<A> {
    sender: mpsc::Sender<A>,
    thread: Arc<ThreadState>,
}

impl<K, Q: Send + 'static, A: Send + 'static> Pool<K, Q, A> {
    pub(crate) const fn new(name: &'static str, bound: Bound) -> Self {
        Self {
            name,
            idle: None,
            held_up: HeldUp::new(bound),
        }
    }

    /// Frees the places of readers that have come back. `late` takes the replies that they sent after they were left.
    pub(crate) fn release(&mut self, mut late: impl FnMut(A)) {
        self.held_up.release(|reader| {
            // This comes first, because a reader finishes after its last reply.
            let end = reader.try_wait();
            reader.replies().for_each(&mut late);
            end != Err(TryRecvError::Empty)
        });
    }

    /// Takes the idle reader, or starts one that does the work that `start` makes. The value that the work returns is dropped
    /// when the reader has finished the request, so a caller that this drop wakes up can keep the reader.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn reader<R, W: FnMut(Q, &Replies<A>) -> R + Send + 'static>(
        &mut self,
        start: impl FnOnce(&Arc<ThreadState>) -> W,
    ) -> io::Result<Reader<Q, A>> {
        let idle = self.idle.take();
        idle.map_or_else(|| Reader::start(self.name, start), Ok)
    }

    /// Keeps a reader that has finished its request for the next one.
    pub(crate) fn keep(&mut self, reader: Reader<Q, A>) {
        self.idle = Some(reader);
    }

    /// Leaves a reader that waits for `key` and may never come back. It counts for `user`.
    pub(crate) fn leave(&mut self, key: K, user: u32, reader: Reader<Q, A>) {
        reader.thread.is_left.store(true, Relaxed);
        self.held_up.add(key, user, reader);
    }
}

impl<Q: Send + 'static, A: Send + 'static> Reader<Q, A> {
    fn start<R, W: FnMut(Q, &Replies<A>) -> R + Send + 'static>(
        name: &str,
        start: impl FnOnce(&Arc<ThreadState>) -> W,
    ) -> io::Result<Self> {
        let (requests, todo) = sync_channel(1);
        let (sender, replies) = mpsc::channel();
        let (done, finished) = sync_channel(1);
        let thread = Arc::<ThreadState>::default();
        let mut work = start(&thread);
        let theirs = Replies {
            sender,
            thread: Arc::clone(&thread),
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                theirs.thread.publish();
                for request in todo {
                    let end = work(request, &theirs);
                    // If the reader was dropped, no caller waits for this.
                    let _ = done.send(());
                    drop(end);
                }
            })?;
        Ok(Self {
            requests,
            replies,
            finished,
            thread,
        })
    }

    /// Sends a request. The reader must have finished the one before.
    pub(crate) fn ask(&self, request: Q) {
        // If the thread has panicked, waiting for it returns an error at once.
        let _ = self.requests.send(request);
    }

    /// Waits without a time limit until the request is finished, unless two looks in a row, `look` apart, find the reader in the
    /// same sleep.
    ///
    /// # Errors
    /// A timeout if the reader is held up; otherwise the thread has panicked.
    pub(crate) fn wait(&self, look: Duration) -> Result<(), RecvTimeoutError> {
        thread_state::receive(&self.finished, &self.thread, look)
    }

    /// Like [`Reader::wait`], without waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if the reader is still at work; otherwise the thread has panicked.
    pub(crate) fn try_wait(&self) -> Result<(), TryRecvError> {
        self.finished.try_recv()
    }

    /// Takes the replies that have arrived. After the end of the request, these are all.
    pub(crate) fn replies(&self) -> impl Iterator<Item = A> {
        self.replies.try_iter()
    }

    /// Whether it sleeps now.
    pub(crate) fn is_asleep(&self) -> bool {
        self.thread.sleep().is_some()
    }
}

impl<A> Replies<A> {
    /// Sends a reply. Returns false if the caller has left this reader behind and wants no more.
    pub(crate) fn send(&self, reply: A) -> bool {
        self.sender.send(reply).is_ok() && !self.thread.is_left.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};

    use super::*;

    const LOOK: Duration = Duration::from_millis(1);
    const BOUND: Bound = Bound {
        root: 1,
        each: 2,
        others: 3,
    };

    type Pipes = Pool<u32, Vec<PipeReader>, String>;

    /// A reader of pipes, each of which it reads until its end.
    fn reader(pool: &mut Pipes) -> Reader<Vec<PipeReader>, String> {
        let read = |mut pipe: PipeReader| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        let work = move |request: Vec<PipeReader>, replies: &Replies<String>| {
            let _ = request.into_iter().all(|pipe| replies.send(read(pipe)));
        };
        pool.reader(|_| work).unwrap()
    }

    fn filled() -> PipeReader {
        let (read, mut write) = pipe().unwrap();
        write.write_all(b"x").unwrap();
        read
    }

    /// Asks a reader that a pipe then holds up. Its process is of user 7.
    fn hold_up(pool: &mut Pipes, key: u32) -> PipeWriter {
        let (read, write) = pipe().unwrap();
        let reader = reader(pool);
        reader.ask(vec![filled(), read, filled()]);
        assert_eq!(reader.wait(LOOK), Err(RecvTimeoutError::Timeout));
        assert_eq!(reader.replies().collect::<Vec<_>>(), ["x"]);
        pool.leave(key, 7, reader);
        write
    }

    #[test]
    fn reader_that_has_finished_is_asked_again() {
        let mut pool = Pipes::new("pipes", BOUND);
        let mut threads = Vec::new();
        for _ in 0..3 {
            let reader = reader(&mut pool);
            reader.ask(vec![filled(), filled()]);
            assert_eq!(reader.wait(LOOK), Ok(()));
            assert_eq!(reader.replies().count(), 2);
            threads.push(Arc::as_ptr(&reader.thread));
            pool.keep(reader);
        }
        assert_eq!(threads, [threads[0]; 3]);
    }

    #[test]
    fn reader_that_is_held_up_keeps_its_place_until_it_comes_back() {
        let mut pool = Pipes::new("pipes", BOUND);
        let first = hold_up(&mut pool, 1);
        let second = hold_up(&mut pool, 2);
        assert!(!pool.held_up.admits(|| 7));
        assert!(pool.held_up.admits(|| 8));
        pool.release(drop);
        assert_eq!(pool.held_up.keys().copied().collect::<Vec<_>>(), [1, 2]);
        drop(first);
        while pool.held_up.len() > 1 {
            pool.release(drop);
        }
        assert_eq!(pool.held_up.keys().copied().collect::<Vec<_>>(), [2]);
        assert!(pool.held_up.admits(|| 7));
        drop(second);
    }

    #[test]
    fn reader_that_comes_back_replies_once_more_and_begins_nothing_else() {
        let mut pool = Pipes::new("pipes", BOUND);
        drop(hold_up(&mut pool, 1));
        let mut late = 0;
        while pool.held_up.len() > 0 {
            pool.release(|_| late += 1);
        }
        assert_eq!(late, 1, "the pipe that held it up, and not the one after");
    }

    #[test]
    fn reader_that_panics_is_an_error_and_not_held_up() {
        let mut pool = Pool::<(), (), ()>::new("panics", BOUND);
        let panic = |(), _: &Replies<()>| std::panic::resume_unwind(Box::new(()));
        let reader = pool.reader(|_| panic).unwrap();
        for _ in 0..2 {
            reader.ask(());
            assert_eq!(reader.wait(LOOK), Err(RecvTimeoutError::Disconnected));
        }
        assert_eq!(reader.try_wait(), Err(TryRecvError::Disconnected));
    }
}
