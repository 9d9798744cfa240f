//! How the programs read a field of a kernel struct: by a plain load.

use core::ptr::read_volatile;

/// The field at this offset of a struct that a BTF pointer leads to. A fault reads as 0. Volatile, because the kernel changes
/// fields meanwhile and the order of some reads matters.
///
/// # Safety
/// None is needed: the verifier checks that a field of this width is at this offset of the BTF type.
#[inline(always)]
pub(crate) unsafe fn read<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: see above.
    unsafe { read_volatile(base.add(offset).cast::<T>()) }
}
