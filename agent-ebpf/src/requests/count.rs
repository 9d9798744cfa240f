//! Counts exchanges for processes.

use agent_common::{
    Identity, METHODS, REQUEST_BOUNDS, RequestCounters, RequestTotals, STATUS_ABORTED, STATUSES,
    UNPARSED,
};
use aya_ebpf::bindings::BPF_NOEXIST;

use crate::atomic::add;
use crate::exchange::{COUNTED, Exchange};
use crate::maps::{REQUEST_TOTALS, REQUESTS};

/// An entry without counts. It is in `.rodata`, because it is too large for a stack.
static NEW_COUNTERS: RequestCounters = zero_counters();

const fn zero_counters() -> RequestCounters {
    // SAFETY: the type is Pod, so all bytes zero are a valid value.
    unsafe { core::mem::zeroed() }
}

/// Adds to one sum of the node.
macro_rules! add_total {
    ($field:ident) => {
        if let Some(totals) = $crate::count::totals() {
            // SAFETY: a field of a map value; the verifier checks the access.
            $crate::atomic::add(unsafe { &raw mut (*totals).$field }, 1);
        }
    };
}
pub(crate) use add_total;

/// The sums of the node on this CPU.
#[inline(always)]
pub(crate) fn totals() -> Option<*mut RequestTotals> {
    REQUEST_TOTALS.get_ptr_mut(0)
}

/// The counters of one process.
#[derive(Clone, Copy)]
struct Counters(*mut RequestCounters);

impl Counters {
    /// Makes the entry if there is none. `None` if the map is full, which is counted.
    #[inline(always)]
    fn of(process: &Identity) -> Option<Self> {
        if let Some(counters) = REQUESTS.get_ptr_mut(process) {
            return Some(Self(counters));
        }
        // The next lookup shows whether the map was full.
        let _ = REQUESTS.insert(process, &NEW_COUNTERS, u64::from(BPF_NOEXIST));
        let counters = REQUESTS.get_ptr_mut(process).map(Self);
        if counters.is_none() {
            add_total!(owners_full);
        }
        counters
    }

    /// Adds 1 to the word `index` of an array of `length` words.
    #[inline(always)]
    fn count(self, array: *mut u64, index: usize, length: usize) {
        if index < length {
            // SAFETY: within the array; the verifier checks the access.
            add(unsafe { array.add(index) }, 1);
        }
    }

    #[inline(always)]
    fn begin(self, method: u16) {
        // SAFETY: a field of a map value, as in the next functions.
        let array = unsafe { &raw mut (*self.0).begun }.cast();
        self.count(array, usize::from(method), METHODS);
    }

    #[inline(always)]
    fn give_up(self, method: u16) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*self.0).moved }.cast();
        self.count(array, usize::from(method), METHODS);
    }

    #[inline(always)]
    fn end(self, method: u16, status: usize) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*self.0).ended }.cast();
        let index = usize::from(method) * STATUSES + status;
        self.count(array, index, METHODS * STATUSES);
    }

    #[inline(always)]
    fn observe(self, duration_ns: u64) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*self.0).durations }.cast();
        self.count(array, bucket(duration_ns), REQUEST_BOUNDS + 1);
        // SAFETY: as in `begin`.
        add(unsafe { &raw mut (*self.0).duration_ns }, duration_ns);
    }
}

/// The bucket of a duration: the exponent of its 2,048ths of a second, rounded up.
#[inline(always)]
fn bucket(duration_ns: u64) -> usize {
    // 2^6 seconds are 2^17 such parts. The bound keeps the product within 64 bits.
    if duration_ns > 64_000_000_000 {
        return REQUEST_BOUNDS;
    }
    let parts = (duration_ns << 11).div_ceil(1_000_000_000);
    let mut bucket = 0;
    let mut half = 16;
    while half > 0 {
        let next = bucket + half;
        if next < REQUEST_BOUNDS && parts > 1 << (next - 1) {
            bucket = next;
        }
        half /= 2;
    }
    bucket
}

/// Counts the beginning of an exchange, and notes in `exchange` whether it could.
#[inline(always)]
pub(crate) fn begin(process: Identity, exchange: &mut Exchange, method: u16) {
    exchange.owner = process;
    exchange.method = method;
    if let Some(counters) = Counters::of(&process) {
        counters.begin(method);
        exchange.flags |= COUNTED;
    }
}

/// Counts the end of an exchange by a response that `process` sends.
#[inline(always)]
pub(crate) fn answer(process: Identity, exchange: &Exchange, status: usize, duration_ns: u64) {
    let is_counted = exchange.flags & COUNTED != 0;
    let is_own = is_counted && exchange.owner == process;
    if is_counted && !is_own {
        give_up(exchange);
    }
    if let Some(counters) = Counters::of(&process) {
        if !is_own {
            counters.begin(exchange.method);
        }
        counters.end(exchange.method, status);
        counters.observe(duration_ns);
    }
}

/// Counts the end of an exchange without a response.
#[inline(always)]
pub(crate) fn abort(exchange: &Exchange) {
    if exchange.flags & COUNTED != 0
        && let Some(counters) = Counters::of(&exchange.owner)
    {
        counters.end(exchange.method, STATUS_ABORTED);
    }
}

/// Takes the exchange from the process that received the request.
#[inline(always)]
pub(crate) fn give_up(exchange: &Exchange) {
    if exchange.flags & COUNTED != 0
        && let Some(counters) = Counters::of(&exchange.owner)
    {
        counters.give_up(exchange.method);
    }
}

/// Counts a connection that is not parsed.
#[inline(always)]
pub(crate) fn unparsed(process: &Identity, reason: usize) {
    if let Some(counters) = Counters::of(process) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*counters.0).unparsed }.cast();
        counters.count(array, reason, UNPARSED);
    }
}
