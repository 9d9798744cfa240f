//! Gives memory back that only the start needs: it takes ten times as much as running. The C library would keep the
//! free memory, and the kernel the pages of the program that were read.

use std::ffi::{c_int, c_void};
use std::slice;

/// Limits the C library's allocator to one heap, of which it can return free memory. With one heap per thread,
/// `malloc_trim` would leave the end of the state thread's heap, where the loader has worked, resident for good. A
/// fixed threshold for mapping blocks also keeps the loader's large blocks from raising it. Call this before there is
/// a second thread.
pub fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both calls take numbers and change the allocator's own state, which it locks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Gives back the memory that only the start has used: free memory of the allocator, and the pages of the program and
/// its libraries. The kernel reloads those from the page cache when they are needed.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and changes only the allocator's own state, which it locks.
    unsafe {
        libc::malloc_trim(0);
    }
    let mut page = rustix::param::page_size() as u64;
    // SAFETY: the callback has the required signature, and `page` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(unmap_object), (&raw mut page).cast()) };
}

/// Drops the pages of one loaded object's read-only segments. No code can have written to them, so the kernel can
/// read them from the file again.
///
/// # Safety
/// `info` describes an object that stays loaded, and `page` points to the size of a page in bytes, as in
/// [`give_back`].
unsafe extern "C" fn unmap_object(
    info: *mut libc::dl_phdr_info,
    _: usize,
    page: *mut c_void,
) -> c_int {
    // SAFETY: the caller guarantees it for `info` and `page`; `dlpi_phnum` is the number of headers.
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
            // SAFETY: the pages belong to this segment only, and the kernel reads them from the file again. If the
            // call fails, they stay.
            unsafe { libc::madvise(first as *mut c_void, length, libc::MADV_DONTNEED) };
        }
    }
    0
}
