//! `/proc/<pid>/cmdline`: the argument vector, as the process left it.
//!
//! Daemons overwrite this memory (`nginx: worker process`), so what comes out is what they chose to show.

use std::ffi::CStr;

/// Name, and how much of the file is read, bytes: one more than is wanted tells that there is more.
pub(super) const fn file(argv_bytes: usize) -> (&'static CStr, usize) {
    (c"cmdline", argv_bytes + 1)
}
