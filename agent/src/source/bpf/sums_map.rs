//! A map of sums by process: reads all entries in batches, and removes single ones.
//!
//! aya reads a map entry by entry, with two system calls each. Here a thousand entries take one.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;
use aya::maps::{Map, MapData};
use bytemuck::Pod;

use super::load::BpfError;
use super::map_usage::MapUsage;

/// Kernel: `enum bpf_cmd`.
const DELETE_ELEM: libc::c_int = 3;
const LOOKUP_BATCH: libc::c_int = 24;

/// Entries for each system call. All entries of one bucket of the hash must fit.
const BATCH: u32 = 1024;

/// Kernel: `union bpf_attr`, the part for batches.
#[repr(C)]
#[derive(Default)]
struct BatchAttributes {
    /// Where the last call ended; 0 for the first one.
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    /// In: room. Out: entries.
    count: u32,
    map: libc::c_int,
    element_flags: u64,
    flags: u64,
}

/// Kernel: `union bpf_attr`, the part for one element.
#[repr(C)]
struct ElementAttributes {
    map: libc::c_int,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A hash of the kernel programs.
pub(super) struct SumsMap<K, V> {
    map: MapData,
    keys: Vec<K>,
    values: Vec<V>,
    usage: MapUsage,
}

impl<K: Pod, V: Pod> SumsMap<K, V> {
    /// `name`: in the object. `word`: in the metrics.
    pub(super) fn new(
        ebpf: &mut Ebpf,
        name: &'static str,
        word: &'static str,
        capacity: u32,
    ) -> Result<Self, BpfError> {
        let Some(Map::HashMap(map)) = ebpf.take_map(name) else {
            return Err(BpfError::Lacking(name));
        };
        Ok(Self {
            map,
            keys: vec![K::zeroed(); BATCH as usize],
            values: vec![V::zeroed(); BATCH as usize],
            usage: MapUsage::new(word, capacity),
        })
    }

    pub(super) const fn usage(&self) -> &MapUsage {
        &self.usage
    }

    /// Hands over all entries.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn read(&mut self, mut sink: impl FnMut(&K, &V)) -> Result<(), BpfError> {
        let mut place = 0_u32;
        let mut is_first = true;
        let mut used = 0;
        loop {
            let (count, is_last) = self.batch(is_first, &mut place).map_err(BpfError::Look)?;
            let entries = self.keys.iter().zip(&self.values).take(count);
            entries.for_each(|(owner, sums)| sink(owner, sums));
            used += count as u64;
            if is_last {
                self.usage.found(used);
                return Ok(());
            }
            is_first = false;
        }
    }

    /// Reads the entries from `place` on, and sets it to where they end. Returns their number, and whether they are the last.
    fn batch(&mut self, is_first: bool, place: &mut u32) -> io::Result<(usize, bool)> {
        let mut attributes = BatchAttributes {
            from: if is_first {
                0
            } else {
                std::ptr::from_ref(place) as u64
            },
            to: std::ptr::from_mut(place) as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: BATCH,
            map: self.map.fd().as_fd().as_raw_fd(),
            ..BatchAttributes::default()
        };
        // SAFETY: the pointers are valid for `BATCH` keys and values and for the place, one word of 32 bits in a hash, and
        // outlive the call. Any bytes are a valid key or value.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                LOOKUP_BATCH,
                std::ptr::from_mut(&mut attributes),
                size_of::<BatchAttributes>(),
            )
        };
        let count = attributes.count.min(BATCH) as usize;
        if result == 0 {
            return Ok((count, false));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The end of the map.
            Some(libc::ENOENT) => Ok((count, true)),
            _ => Err(error),
        }
    }

    /// Removes an entry. Returns whether there was one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn remove(&mut self, key: &K) -> Result<bool, BpfError> {
        let attributes = ElementAttributes {
            map: self.map.fd().as_fd().as_raw_fd(),
            zero: 0,
            key: std::ptr::from_ref(key) as u64,
            value: 0,
            flags: 0,
        };
        // SAFETY: the pointers are valid for the given numbers of bytes, which outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                DELETE_ELEM,
                std::ptr::from_ref(&attributes),
                size_of::<ElementAttributes>(),
            )
        };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            _ if result == 0 => Ok(true),
            Some(libc::ENOENT) => Ok(false),
            _ => Err(BpfError::Look(error)),
        }
    }
}
