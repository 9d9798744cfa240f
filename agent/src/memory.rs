//! What the start needs of memory and nothing else does: ten times what running needs. The C library would keep it, and the
//! kernel what was read of the program.

use std::{
    ffi::{c_int, c_void},
    slice,
};

/// Keeps the C library's allocator to one heap, of which free memory is given back: with one per thread,
/// `malloc_trim` would leave the end of the state thread's heap, where the loader has worked, resident for good. A fixed
/// limit from which on memory is mapped is not raised by the loader's large blocks. To be called before there is a second
/// thread.
pub fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both take numbers and change the allocator's own state, which it locks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Gives back what only the start has used: free memory of the allocator, and the pages of the program and its libraries.
/// Those come back from the page cache when they are wanted.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and touches only the allocator's own state, which it locks.
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if let Ok(mut page @ 1..) = u64::try_from(page) {
        // SAFETY: the function is of the kind that is wanted, and `page` outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(unmap_object), (&raw mut page).cast()) };
    }
}

/// Unmaps the segments of one loaded object that nothing can have written to, so that their pages are those of its file.
///
/// # Safety
/// `info` describes an object that stays loaded, and `page` points to the bytes of a page, as in [`give_back`].
unsafe extern "C" fn unmap_object(
    info: *mut libc::dl_phdr_info,
    _: usize,
    page: *mut c_void,
) -> c_int {
    // SAFETY: as this function's; the headers are as many as it says.
    let (base, headers, page) = unsafe {
        let headers = slice::from_raw_parts((*info).dlpi_phdr, (*info).dlpi_phnum.into());
        ((*info).dlpi_addr, headers, *page.cast::<u64>())
    };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = base + header.p_vaddr;
        let before = begin % page;
        let first = usize::try_from(begin - before);
        let length = usize::try_from(before + header.p_memsz);
        if let (Ok(first), Ok(length)) = (first, length) {
            // SAFETY: the pages of a segment are its alone, and come back from the file. What cannot be given back stays.
            unsafe { libc::madvise(first as *mut c_void, length, libc::MADV_DONTNEED) };
        }
    }
    0
}
