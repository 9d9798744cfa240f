//! `/proc/<pid>/cmdline`: the argument vector, as the process left it.
//!
//! Daemons overwrite this memory (`nginx: worker process`), so what comes out is what they chose to show.

use std::ffi::CStr;

use crate::process::Arguments;

/// Name, and how much of the file is read, bytes: one more than is kept tells that there is more.
pub(super) const FILE: (&CStr, usize) = (c"cmdline", Arguments::MAX_BYTES + 1);
