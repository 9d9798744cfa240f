//! Counts exchanges for processes.

use core::arch::asm;

use agent_common::{
    Identity, METHODS, REQUEST_BOUNDS, RequestCounters, RequestSums, RequestTotals, STATUS_ABORTED,
    STATUSES, UNPARSED,
};
use aya_ebpf::bindings::BPF_NOEXIST;

use crate::atomic::add;
use crate::exchange::{COUNTED, Exchange};
use crate::maps::{REQUEST_TOTALS, REQUESTS};
use crate::times::now_ns;

/// An entry without counts. It is in `.rodata`, because it is too large for a stack.
static NEW_SUMS: RequestSums = zero_sums();

const fn zero_sums() -> RequestSums {
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

/// Adds a duration to a histogram of the counters.
macro_rules! observe {
    ($counters:ident, $buckets:ident, $sum:ident, $duration_ns:expr) => {{
        let served = $counters.served();
        // SAFETY: fields of a map value; the verifier checks the access.
        let (buckets, sum) = unsafe { (&raw mut (*served).$buckets, &raw mut (*served).$sum) };
        $counters.observe(buckets, sum, $duration_ns);
    }};
}

/// The sums of the node on this CPU.
#[inline(always)]
pub(crate) fn totals() -> Option<*mut RequestTotals> {
    REQUEST_TOTALS.get_ptr_mut(0)
}

/// The counters of one process.
#[derive(Clone, Copy)]
pub(crate) struct Counters(*mut RequestSums);

impl Counters {
    /// `None` if there is no entry yet.
    #[inline(always)]
    pub(crate) fn found(process: &Identity) -> Option<Self> {
        REQUESTS.get_ptr_mut(process).map(Self)
    }

    /// Makes the entry if there is none. `None` if the map is full, which is counted.
    #[inline(always)]
    pub(crate) fn of(process: &Identity) -> Option<Self> {
        if let Some(counters) = Self::found(process) {
            return Some(counters);
        }
        // The next lookup shows whether the map was full.
        let _ = REQUESTS.insert(process, &NEW_SUMS, u64::from(BPF_NOEXIST));
        let counters = Self::found(process);
        if counters.is_none() {
            add_total!(owners_full);
        }
        counters
    }

    #[inline(always)]
    fn served(self) -> *mut RequestCounters {
        // SAFETY: a field of a map value.
        unsafe { &raw mut (*self.0).counters }
    }

    /// One more exchange is in flight, as of now.
    #[inline(always)]
    fn enter(self, now: u64) {
        // SAFETY: fields of a map value, as in the next function.
        unsafe {
            if fetch_add(&raw mut (*self.0).pending, 1) == 0 {
                add(&raw mut (*self.0).counters.busy_ns, now.wrapping_neg());
            }
        }
    }

    /// One exchange less is in flight, as of now. Sums commute, so it does not matter in which order CPUs add to `busy_ns`.
    #[inline(always)]
    fn leave(self, now: u64) {
        // SAFETY: as in `enter`.
        unsafe {
            if fetch_add(&raw mut (*self.0).pending, u64::MAX) == 1 {
                // Another process may answer a request of one that has ended.
                let ended = (*self.0).ended_ns;
                let until = if ended == 0 { now } else { ended };
                add(&raw mut (*self.0).counters.busy_ns, until);
            }
        }
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
        let array = unsafe { &raw mut (*self.served()).begun }.cast();
        self.count(array, usize::from(method), METHODS);
    }

    #[inline(always)]
    fn give_up(self, method: u16) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*self.served()).moved }.cast();
        self.count(array, usize::from(method), METHODS);
    }

    #[inline(always)]
    fn end(self, method: u16, status: usize) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*self.served()).ended }.cast();
        let index = usize::from(method) * STATUSES + status;
        self.count(array, index, METHODS * STATUSES);
    }

    /// Adds a duration to buckets and to their sum.
    #[inline(always)]
    fn observe(self, buckets: *mut [u64; REQUEST_BOUNDS + 1], sum: *mut u64, duration_ns: u64) {
        self.count(buckets.cast(), bucket(duration_ns), REQUEST_BOUNDS + 1);
        add(sum, duration_ns);
    }
}

/// Adds to the word and returns its former value.
#[inline(always)]
fn fetch_add(word: *mut u64, more: u64) -> u64 {
    let found: u64;
    // SAFETY: a word of a map value; the verifier checks the access.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({word} + 0), {value})",
            word = in(reg) word,
            value = inlateout(reg) more => found,
        );
    }
    found
}

/// The bucket of a duration: the least exponent of which so many 2,048ths of a second are not less.
#[inline(always)]
fn bucket(duration_ns: u64) -> usize {
    // A quarter of a nanosecond is the unit: a bound is a whole number of them, and no division is needed.
    const FIRST_BOUND: u64 = 4 * 1_000_000_000 / 2048;
    // 2^6 seconds. The bound keeps the product within 64 bits.
    if duration_ns > 64_000_000_000 {
        return REQUEST_BOUNDS;
    }
    let quarters = duration_ns * 4;
    let mut bucket = 0;
    let mut half = 16;
    while half > 0 {
        let next = bucket + half;
        if next < REQUEST_BOUNDS && quarters > FIRST_BOUND << (next - 1) {
            bucket = next;
        }
        half /= 2;
    }
    bucket
}

/// Counts the beginning of an exchange in the counters of `process`, and notes in `exchange` whether it has some.
#[inline(always)]
pub(crate) fn begin(
    process: Identity,
    counters: Option<Counters>,
    exchange: &mut Exchange,
    method: u16,
    now: u64,
) {
    exchange.owner = process;
    exchange.method = method;
    if let Some(counters) = counters {
        counters.begin(method);
        counters.enter(now);
        exchange.flags |= COUNTED;
    }
}

/// Counts the end of an exchange by a response that `process` has just sent; the response is that process's from here on.
#[inline(always)]
pub(crate) fn answer(process: Identity, exchange: &mut Exchange, status: usize, duration_ns: u64) {
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
        observe!(counters, durations, duration_ns, duration_ns);
        if is_own {
            counters.leave(exchange.begun_ns + duration_ns);
        }
    }
    exchange.owner = process;
}

/// Counts the end of an exchange without a response.
#[inline(always)]
pub(crate) fn abort(exchange: &Exchange) {
    let now = now_ns();
    if let Some(counters) = counters_of(exchange) {
        counters.end(exchange.method, STATUS_ABORTED);
        counters.leave(now);
    }
}

/// Takes the exchange from the process that received the request.
#[inline(always)]
pub(crate) fn give_up(exchange: &Exchange) {
    let now = now_ns();
    if let Some(counters) = counters_of(exchange) {
        counters.give_up(exchange.method);
        counters.leave(now);
    }
}

/// The counters of the process that received the request, if it is in them.
#[inline(always)]
fn counters_of(exchange: &Exchange) -> Option<Counters> {
    if exchange.flags & COUNTED == 0 {
        return None;
    }
    Counters::of(&exchange.owner)
}

/// Counts a connection's time to its first receive.
#[inline(always)]
pub(crate) fn queue(counters: Option<Counters>, duration_ns: u64) {
    if let Some(counters) = counters {
        observe!(counters, queue_durations, queue_ns, duration_ns);
    }
}

/// Counts a response's time from its head to its last byte.
#[inline(always)]
pub(crate) fn response(counters: Option<Counters>, duration_ns: u64) {
    if let Some(counters) = counters {
        observe!(counters, response_durations, response_ns, duration_ns);
    }
}

/// Notes the end of a process.
#[inline(always)]
pub(crate) fn end_process(process: &Identity) {
    if let Some(sums) = REQUESTS.get_ptr_mut(process) {
        // SAFETY: a field of a map value. Two last threads write about the same time.
        unsafe { (*sums).ended_ns = now_ns() };
    }
}

/// Counts a connection that is not parsed.
#[inline(always)]
pub(crate) fn unparsed(process: &Identity, reason: usize) {
    if let Some(counters) = Counters::of(process) {
        // SAFETY: as in `begin`.
        let array = unsafe { &raw mut (*counters.served()).unparsed }.cast();
        counters.count(array, reason, UNPARSED);
    }
}
