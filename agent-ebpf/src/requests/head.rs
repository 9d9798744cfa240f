//! Classifies the first bytes of a buffer.

use agent_common::{
    METHOD_DELETE, METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, METHOD_OTHER, METHOD_PATCH,
    METHOD_POST, METHOD_PUT,
};

use crate::call::least;

/// Bytes of a request that are looked at for the end of its head; a power of two.
pub(crate) const TEXT_BYTES: usize = 1024;
/// Most bytes that may be copied at once; a power of two.
pub(crate) const SLACK_BYTES: usize = 1024;
/// Number of bytes that decide whether a response begins.
pub(crate) const STATUS_BYTES: u64 = 12;
/// Bytes that are held at most.
pub(crate) const HELD_BYTES: u64 = 16;
/// Bytes in which the end of the status line is looked for where a body may be, and of the name of the field behind.
const LINE_BYTES: u64 = 64;
const NAME_BYTES: u64 = 40;
/// Number of bytes that decide whether a response begins where a body may be.
pub(crate) const STRICT_BYTES: u64 = LINE_BYTES + NAME_BYTES;

/// The header name before the length of a body, in lower case: each byte with the bit that makes it so, which makes `*` of a line
/// feed.
const LENGTH_NAME: &[u8; 16] = b"*content-length:";
/// Spaces before a length, and its digits, at most.
const LENGTH_BYTES: u64 = 20;
/// The line of a length is not longer, so it is whole in one of two texts that have so many bytes in common.
pub(crate) const LENGTH_LINE_BYTES: u64 = 64;
/// No length is stated.
pub(crate) const NO_LENGTH: u64 = u64::MAX;

/// Digits of the size of a chunk at most.
const CHUNK_DIGITS: u64 = 8;

/// The longest name of a method, and a space.
const TOKEN_BYTES: u64 = 16;

/// Bytes that begin version 1 of the PROXY protocol, and its longest line.
const PROXY_NAME_BYTES: u64 = 6;
const PROXY_LINE_BYTES: u64 = 108;
/// Bytes of the header of its version 2 before the addresses.
const PROXY_BYTES: u64 = 16;

/// The beginning of a buffer.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Text {
    pub(crate) bytes: [u8; TEXT_BYTES + SLACK_BYTES],
    number: u64,
}

/// How a client begins: the number of a method, or one of these. Numbers, which [`Text::known`] takes.
pub(crate) const START_CONNECT: u64 = 16;
/// Too few bytes.
pub(crate) const START_SHORT: u64 = 17;
/// An empty line, which may precede a request, or a header of the PROXY protocol alone.
pub(crate) const START_EMPTY: u64 = 18;
pub(crate) const START_TLS: u64 = 19;
pub(crate) const START_HTTP2: u64 = 20;
pub(crate) const START_OTHER: u64 = 21;
/// A question at the control socket of Gunicorn, of which the agent asks some itself: a length of four bytes, and JSON.
pub(crate) const START_CONTROL: u64 = 22;

impl Text {
    #[inline(always)]
    fn at(&self, index: u64) -> u8 {
        // SAFETY: callers keep within the text.
        unsafe { *self.bytes.as_ptr().add(index as usize) }
    }

    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> u64 {
        // SAFETY: as above.
        unsafe {
            self.bytes
                .as_ptr()
                .add(index)
                .cast::<u64>()
                .read_unaligned()
        }
    }

    #[inline(always)]
    pub(crate) fn set_words(&mut self, words: [u64; 2]) {
        let place = self.bytes.as_mut_ptr().cast::<[u64; 2]>();
        // SAFETY: the text is aligned and longer.
        unsafe { place.write(words) };
    }

    /// Returns the number as read from here: the verifier then forgets on which of many ways it came, and goes through what follows
    /// once.
    #[inline(always)]
    pub(crate) fn known(&mut self, number: u64) -> u64 {
        let place = &raw mut self.number;
        // SAFETY: a field of this value.
        unsafe {
            place.write_volatile(number);
            place.read_volatile()
        }
    }

    /// The class of the first `count` bytes for a server. `is_next`: it has answered before, so they may also be the rest of a body;
    /// then a request must have a target behind its method.
    #[inline(always)]
    pub(crate) fn start(&mut self, count: u64, is_next: bool) -> u64 {
        let proxy = self.proxy_end(count);
        let proxy = self.known(proxy) & (TEXT_BYTES as u64 - 1);
        let count = self.known(count);
        if proxy != 0 {
            return match proxy < count {
                true => self.token(proxy, count - proxy, is_next),
                false => START_EMPTY,
            };
        }
        let first = self.at(0);
        if first == 0x16 {
            return match count {
                1 => START_SHORT,
                _ if self.at(1) == 3 => START_TLS,
                _ => START_OTHER,
            };
        }
        if first == 0 {
            let is_control = count > 4 && self.word(0) & 0xff_00ff_ffff == (b'{' as u64) << 32;
            return match is_control {
                true => START_CONTROL,
                false => START_OTHER,
            };
        }
        if first == b'\r' {
            return match count {
                1 => START_SHORT,
                _ if self.at(1) != b'\n' => START_OTHER,
                2 => START_EMPTY,
                _ => self.token(2, count - 2, is_next),
            };
        }
        self.token(0, count, is_next)
    }

    /// The position behind a header of the PROXY protocol, by which a load balancer names the client; 0 if there is none in the first
    /// `count` bytes.
    #[inline(always)]
    fn proxy_end(&self, count: u64) -> u64 {
        const VERSION_1: u64 = u64::from_le_bytes(*b"PROXY \0\0");
        const VERSION_2: [u64; 2] = [
            u64::from_le_bytes(*b"\r\n\r\n\0\r\nQ"),
            u64::from_le_bytes(*b"UIT\n\0\0\0\0"),
        ];
        let is_second = self.word(0) == VERSION_2[0] && self.word(8) & 0xffff_ffff == VERSION_2[1];
        if is_second && count >= PROXY_BYTES {
            let length = u64::from(self.at(14)) << 8 | u64::from(self.at(15));
            return least(PROXY_BYTES + length, TEXT_BYTES as u64 - 1);
        }
        if self.word(0) & 0xffff_ffff_ffff != VERSION_1 || count < PROXY_NAME_BYTES {
            return 0;
        }
        let mut place = PROXY_NAME_BYTES;
        while place < PROXY_LINE_BYTES {
            if place >= count || self.at(place) == b'\n' {
                break;
            }
            place += 1;
        }
        place + 1
    }

    /// The method at position `from`.
    #[inline(always)]
    fn token(&self, from: u64, count: u64, is_next: bool) -> u64 {
        for length in 0..TOKEN_BYTES {
            if length >= count {
                return START_SHORT;
            }
            let byte = self.at(from + length);
            if byte == b' ' {
                let method = named(self.word(from as usize), length);
                if !is_next || method == START_CONNECT {
                    return method;
                }
                return match self.at(from + length + 1) {
                    _ if length + 1 >= count => START_SHORT,
                    b'/' | b'*' | b'h' | b'H' => method,
                    _ => START_OTHER,
                };
            }
            if !byte.is_ascii_uppercase() && byte != b'-' {
                return START_OTHER;
            }
        }
        START_OTHER
    }

    /// Whether the first empty line is the end of the `total` bytes that were received, of which `count` are here.
    #[inline(always)]
    pub(crate) fn is_one_head(&self, count: u64, total: u64) -> bool {
        self.first_end(count) == total
    }

    /// The position behind the first empty line in the first `count` bytes; 0 if there is none.
    #[inline(always)]
    pub(crate) fn first_end(&self, count: u64) -> u64 {
        // One of four bytes in a row that end a head is here.
        let mut place = 3;
        while place < TEXT_BYTES as u64 {
            if place >= count {
                return 0;
            }
            let byte = self.at(place);
            if byte == b'\n' || byte == b'\r' {
                let behind = self.head_end(place);
                if behind != 0 {
                    return behind;
                }
            }
            place += 4;
        }
        0
    }

    /// The position behind the empty line of which the byte at `place` is a part; 0 if there is none. `place` is 3 at least.
    #[inline(always)]
    fn head_end(&self, place: u64) -> u64 {
        const END: u32 = u32::from_le_bytes(*b"\r\n\r\n");
        let here = self.word(place as usize - 3);
        if here as u32 == END {
            place + 1
        } else if (here >> 8) as u32 == END {
            place + 2
        } else if (here >> 16) as u32 == END {
            place + 3
        } else if (here >> 24) as u32 == END {
            place + 4
        } else {
            0
        }
    }

    /// The length of the body that the first `count` bytes state; [`NO_LENGTH`] if they do not.
    #[inline(always)]
    pub(crate) fn body_length(&mut self, count: u64) -> u64 {
        let name = self.length_name(count);
        let name = self.known(name) & (TEXT_BYTES as u64 - 1);
        let count = self.known(count);
        if name == 0 {
            return NO_LENGTH;
        }
        let mut length = NO_LENGTH;
        for place in name..name + LENGTH_BYTES {
            match self.at(place) {
                b' ' if length == NO_LENGTH => (),
                byte @ b'0'..=b'9' => {
                    let before = if length == NO_LENGTH { 0 } else { length };
                    length = self.known(before.wrapping_mul(10) + u64::from(byte - b'0'));
                }
                b'\r' if place < count => return length,
                _ => return NO_LENGTH,
            }
        }
        NO_LENGTH
    }

    /// The size that begins a chunk in the first `count` bytes, and the length of the whole chunk; 0 if there is none.
    #[inline(always)]
    pub(crate) fn chunk(&mut self, count: u64) -> (u64, u64) {
        let mut size = 0;
        for place in 0..=CHUNK_DIGITS {
            let byte = self.at(place);
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' | b'A'..=b'F' => (byte | 0x20) - b'a' + 10,
                b'\r' if place > 0 && place + 2 <= count && self.at(place + 1) == b'\n' => {
                    return (size, place + 2 + size + 2);
                }
                _ => return (0, 0),
            };
            size = self.known(size << 4 | u64::from(digit));
        }
        (0, 0)
    }

    /// The position behind the name of the field in the first `count` bytes; 0 if it is not there.
    #[inline(always)]
    fn length_name(&self, count: u64) -> u64 {
        // One of eight words in the name is here.
        let mut place = 0;
        while place < TEXT_BYTES as u64 {
            if place >= count {
                return 0;
            }
            let here = self.word(place as usize) | LOWER;
            let mut before = 0;
            while before < 8 {
                if here == length_word(before) && place >= before {
                    let name = place - before;
                    if self.is_length_name(name) {
                        return name + LENGTH_NAME.len() as u64;
                    }
                }
                before += 1;
            }
            place += 8;
        }
        0
    }

    #[inline(always)]
    fn is_length_name(&self, from: u64) -> bool {
        self.at(from) == b'\n'
            && self.word(from as usize) | LOWER == length_word(0)
            && self.word(from as usize + 8) | LOWER == length_word(8)
    }

    /// Whether the first `count` bytes may become the beginning of a response.
    #[inline(always)]
    pub(crate) fn may_be_response(&self, count: u64) -> bool {
        const START: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
        let known = if count < 7 { count } else { 7 };
        let mask = (1_u64 << (known * 8)) - 1;
        self.word(0) & mask == START & mask
    }

    /// The digits of the status, as a number; 0 if no response begins at `from`. There are [`STATUS_BYTES`] behind it.
    #[inline(always)]
    pub(crate) fn status(&self, from: u64) -> u64 {
        const START: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
        let digit = |index| u64::from(self.at(from + index).wrapping_sub(b'0'));
        let (a, b, c) = (digit(9), digit(10), digit(11));
        if self.word(from as usize) & 0x00ff_ffff_ffff_ffff == START
            && self.at(from + 8) == b' '
            && a.wrapping_sub(1) < 9
            && b < 10
            && c < 10
        {
            a * 100 + b * 10 + c
        } else {
            0
        }
    }

    /// Whether, in the first `count` bytes, the status line is followed by a line with a field: a name and a colon.
    #[inline(always)]
    pub(crate) fn has_field(&mut self, count: u64) -> bool {
        let line = self.second_line(count);
        // The compiler makes one comparison of both, of which older verifiers learn nothing about the position.
        let line = self.known(line) & (2 * LINE_BYTES - 1);
        let count = self.known(count);
        line != 0 && line <= LINE_BYTES && self.is_field(line, count)
    }

    /// Where the second line begins; 0 if it does not in the first `count` bytes.
    #[inline(always)]
    fn second_line(&self, count: u64) -> u64 {
        let mut place = STATUS_BYTES;
        while place < LINE_BYTES {
            if place >= count {
                return 0;
            }
            place += 1;
            if self.at(place - 1) == b'\n' {
                return place;
            }
        }
        0
    }

    #[inline(always)]
    fn is_field(&self, from: u64, count: u64) -> bool {
        for length in 0..NAME_BYTES {
            let place = from + length;
            if place >= count {
                return false;
            }
            match self.at(place) {
                b':' => return length > 0,
                b'-' | b'_' => (),
                byte if byte.is_ascii_alphanumeric() => (),
                _ => return false,
            }
        }
        false
    }
}

/// The bit of lower case in each byte of a word.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Eight bytes of [`LENGTH_NAME`].
#[inline(always)]
const fn length_word(from: u64) -> u64 {
    let mut word = [0; 8];
    let mut index = 0;
    while index < 8 {
        word[index] = LENGTH_NAME[from as usize + index];
        index += 1;
    }
    u64::from_le_bytes(word)
}

/// The method whose name has this length.
#[inline(always)]
fn named(word: u64, length: u64) -> u64 {
    const fn name(text: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*text)
    }
    let three = word & 0xff_ffff;
    let four = word & 0xffff_ffff;
    let five = word & 0xff_ffff_ffff;
    let six = word & 0xffff_ffff_ffff;
    let seven = word & 0xff_ffff_ffff_ffff;
    let method = match length {
        0..3 => return START_OTHER,
        3 if three == name(b"GET\0\0\0\0\0") => METHOD_GET,
        3 if three == name(b"PUT\0\0\0\0\0") => METHOD_PUT,
        3 if three == name(b"PRI\0\0\0\0\0") => return START_HTTP2,
        4 if four == name(b"POST\0\0\0\0") => METHOD_POST,
        4 if four == name(b"HEAD\0\0\0\0") => METHOD_HEAD,
        5 if five == name(b"PATCH\0\0\0") => METHOD_PATCH,
        6 if six == name(b"DELETE\0\0") => METHOD_DELETE,
        7 if seven == name(b"OPTIONS\0") => METHOD_OPTIONS,
        7 if seven == name(b"CONNECT\0") => return START_CONNECT,
        _ => METHOD_OTHER,
    };
    method as u64
}
