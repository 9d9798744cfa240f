//! `iter/task_file`: the open files of all processes, when user space looks at them. It gives storage to sockets that have
//! none, and notes which processes hold each socket.

use crate::account::add_total;
use crate::kernel::Task;
use crate::maps::LOOK;
use crate::socket::{CLOSE, Sock};
use crate::storage::{Kept, Storage, mark_of};
use crate::storages;

/// Kernel: `struct bpf_iter__task_file`.
#[repr(C)]
pub struct FileContext {
    _meta: u64,
    task: *const u8,
    _fd: u64,
    file: *const u8,
}

/// Runs for each open file of each process, and at the end once more without a file. It writes nothing to user space.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn sock_files(context: *const FileContext) -> i32 {
    // SAFETY: the verifier knows the context's layout.
    let (task, file) = unsafe { ((*context).task, (*context).file) };
    if let Some(task) = Task::new(task)
        && !file.is_null()
    {
        note(task, file);
    }
    0
}

#[inline(always)]
fn note(task: Task, file: *const u8) -> Option<()> {
    let kept = kept_of(file)?;
    let look = LOOK.get(0)?;
    kept.hold(task.identity(), mark_of(look.number));
    None
}

/// The storage of a file's socket; makes it if there is none. `None` if the file is no TCP socket, if the socket has no
/// connection, or if the kernel has no memory.
#[inline(always)]
pub(crate) fn kept_of(file: *const u8) -> Option<Kept> {
    kept_or_made(Sock::of_file(file)?)
}

/// The same by the socket.
#[inline(always)]
pub(crate) fn kept_or_made(sock: Sock) -> Option<Kept> {
    match storages::of(sock) {
        Some(kept) => Some(kept),
        // Asked only here, because a socket with storage is a TCP socket, and these fields are in cache lines of their own.
        None if !sock.is_tcp() => None,
        // A socket without connection gets its storage when it begins one.
        None if sock.state() == CLOSE => None,
        None => {
            let older = Storage::of_older(sock, sock.carried_so_far(sock.tcp()?, 0));
            let made = storages::of_or(sock, &older);
            if made.is_none() {
                add_total!(storage_full, 1);
            }
            made
        }
    }
}
