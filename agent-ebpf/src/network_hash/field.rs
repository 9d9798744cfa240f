//! How the programs read a field of a kernel struct: by a helper, because the sockets of a look are plain addresses.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

/// The field at this offset of a struct; all bytes zero if the address leads nowhere.
///
/// # Safety
/// All bytes zero must be a value of `T`. The kernel checks the address.
#[inline(always)]
pub(crate) unsafe fn read<T: Copy>(base: *const u8, offset: usize) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let address = base.wrapping_add(offset);
    // SAFETY: the helper writes the whole value, zeros after a fault.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address.cast(),
        );
        value.assume_init()
    }
}
