//! Sends and receives by `io_uring`, with the bare system calls.
//!
//! In: an open socket and bytes. Out: the same bytes, carried by one operation after another.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Operations (kernel: include/uapi/linux/io_uring.h).
const SEND: u8 = 26;
const RECV: u8 = 27;
/// Flag of a submission: a worker thread runs it.
const ASYNC: u8 = 1 << 4;
/// Of `io_uring_enter`.
const GETEVENTS: u32 = 1;
/// Where the submissions are mapped.
const OFF_SQES: i64 = 0x1000_0000;
const SQE_BYTES: usize = 64;
const CQE_BYTES: u32 = 16;

/// A ring with room for one operation. The mappings stay until the process ends.
#[derive(Debug)]
pub(super) struct Ring {
    descriptor: OwnedFd,
    /// `struct io_uring_params` in words: sq_off from 10 on, cq_off from 20 on.
    told: [u32; 30],
    rings: *mut u8,
    submission: *mut u8,
    /// Of each submission.
    flags: u8,
}

impl Ring {
    /// `None` if the kernel has none, or does not let this process have one.
    pub(super) fn new() -> Option<Self> {
        let mut told = [0_u32; 30];
        // SAFETY: the pointer is to a local of the size that the kernel writes.
        let code = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, told.as_mut_ptr()) };
        if code < 0 {
            let error = io::Error::last_os_error();
            let known = [libc::ENOSYS, libc::EPERM];
            let is_known = known.contains(&error.raw_os_error().unwrap());
            assert!(is_known, "io_uring_setup: {error}");
            return None;
        }
        // SAFETY: the kernel has just made it for this process.
        let descriptor = unsafe { OwnedFd::from_raw_fd(i32::try_from(code).unwrap()) };
        let submissions = told[16] as usize + 4 * told[0] as usize;
        let completions = (told[25] + CQE_BYTES * told[1]) as usize;
        let rings = map(&descriptor, 0, submissions.max(completions));
        let submission = map(&descriptor, OFF_SQES, SQE_BYTES * told[0] as usize);
        Some(Self {
            descriptor,
            told,
            rings,
            submission,
            flags: 0,
        })
    }

    /// Has workers run the operations.
    pub(super) fn by_workers(self) -> Self {
        Self {
            flags: ASYNC,
            ..self
        }
    }

    /// Sends all of it.
    pub(super) fn send(&self, socket: i32, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            done += self.run(SEND, socket, rest.as_ptr() as u64, rest.len());
        }
    }

    /// Receives until it is full.
    pub(super) fn receive(&self, socket: i32, bytes: &mut [u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            done += self.run(RECV, socket, rest.as_mut_ptr() as u64, rest.len());
        }
    }

    /// Begins to receive into these bytes, which must stay until [`Self::end`].
    pub(super) fn begin_to_receive(&self, socket: i32, bytes: &mut [u8]) {
        self.enter(RECV, socket, bytes.as_mut_ptr() as u64, bytes.len(), 0);
    }

    /// One operation, which must carry at least one byte.
    fn run(&self, operation: u8, socket: i32, address: u64, length: usize) -> usize {
        self.enter(operation, socket, address, length, 1);
        self.end()
    }

    /// Submits an operation, and waits for so many to complete.
    fn enter(&self, operation: u8, socket: i32, address: u64, length: usize, wait: u32) {
        let mut entry = [0_u8; SQE_BYTES];
        entry[0] = operation;
        entry[1] = self.flags;
        entry[4..8].copy_from_slice(&socket.to_ne_bytes());
        entry[16..24].copy_from_slice(&address.to_ne_bytes());
        entry[24..28].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        // SAFETY: the mapping holds one entry, which the kernel does not read before `enter`.
        unsafe { self.submission.copy_from(entry.as_ptr(), SQE_BYTES) };
        self.word(self.told[16]).store(0, Ordering::Relaxed);
        self.word(self.told[11]).fetch_add(1, Ordering::Release);
        let (none, size) = (std::ptr::null::<u8>(), 0);
        let ring = self.descriptor.as_raw_fd();
        // SAFETY: takes numbers; the operation's buffer is borrowed by the caller until its end.
        let code = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                ring,
                1,
                wait,
                GETEVENTS,
                none,
                size,
            )
        };
        assert_eq!(code, 1, "io_uring_enter: {}", io::Error::last_os_error());
    }

    /// The number of bytes that the operation has carried, which is not 0.
    pub(super) fn end(&self) -> usize {
        let head = self.word(self.told[20]);
        let nth = head.load(Ordering::Relaxed);
        assert_ne!(
            nth,
            self.word(self.told[21]).load(Ordering::Acquire),
            "no completion"
        );
        let mask = self.word(self.told[22]).load(Ordering::Relaxed);
        let result = self.told[25] + (nth & mask) * CQE_BYTES + 8;
        let result = self.word(result).load(Ordering::Relaxed).cast_signed();
        head.store(nth + 1, Ordering::Release);
        assert!(result > 0, "the operation returned {result}");
        usize::try_from(result).unwrap()
    }

    /// A word of the rings, which the kernel uses, too.
    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset, which is aligned and within the mapping.
        unsafe { AtomicU32::from_ptr(self.rings.add(offset as usize).cast()) }
    }
}

fn map(descriptor: &OwnedFd, offset: i64, length: usize) -> *mut u8 {
    let (access, shared) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_POPULATE,
    );
    let ring = descriptor.as_raw_fd();
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            access,
            shared,
            ring,
            offset as _,
        )
    };
    assert_ne!(
        address,
        libc::MAP_FAILED,
        "mmap: {}",
        io::Error::last_os_error()
    );
    address.cast()
}
