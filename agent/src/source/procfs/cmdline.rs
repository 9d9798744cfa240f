//! `/proc/<pid>/cmdline`: the argument vector as it is in the memory of the process.
//!
//! Daemons overwrite this memory (`nginx: worker process`), so the text is under the control of the process.

use std::ffi::CStr;

/// Name, and how much of the file is read, bytes: one more than wanted, which shows whether there is more.
pub(super) const fn file(argv_bytes: usize) -> (&'static CStr, usize) {
    (c"cmdline", argv_bytes + 1)
}
