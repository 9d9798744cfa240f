//! A reader for the running kernel's type information (BTF).
//!
//! In: the content of `/sys/kernel/btf/vmlinux`. Out: member offsets, sizes, and ids of functions. The reader keeps an index
//! of 4 bytes for each type and of names, and is dropped after the start. aya parses BTF too, but its interface does not
//! offer members. Format: kernel `include/uapi/linux/btf.h`.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_TYPE_TAG: u32 = 18;

/// Why the type information cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or of another byte order.
    #[error("not BTF of this machine's byte order")]
    Alien,
    /// Truncated, or a reference points outside the data.
    #[error("truncated or damaged at type {0}")]
    Damaged(u32),
}

/// Indexed type information.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// The offset of type `id` in `types`; id 0 is void.
    starts: Vec<u32>,
    structs: HashMap<&'a [u8], u32>,
    functions: HashMap<&'a [u8], u32>,
}

struct Type {
    name: u32,
    kind: u32,
    length: u32,
    bitfield_members: bool,
    size_or_type: u32,
    body: usize,
}

/// A struct member.
struct Member {
    name: u32,
    type_id: u32,
    bits: u32,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// Bytes that follow the three words of a type; `None` for an unknown kind.
fn body_bytes(kind: u32, length: u32) -> Option<usize> {
    let length = length as usize;
    Some(match kind {
        1 | 14 | 17 => 4,              // int, var, decl_tag
        2 | 7 | 8..=12 | 16 | 18 => 0, // ptr, fwd, modifiers, func, float, type_tag
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | 15 | 19 => length.checked_mul(12)?, // datasec and enum64 too
        6 | 13 => length.checked_mul(8)?,                              // enum, func_proto
        _ => return None,
    })
}

impl<'a> Btf<'a> {
    /// Indexes `raw`.
    ///
    /// # Errors
    /// When `raw` is not BTF of this machine's byte order, or damaged.
    pub fn parse(raw: &'a [u8]) -> Result<Self, BtfError> {
        let magic = raw
            .get(..2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u16::from_ne_bytes);
        if magic != Some(MAGIC) {
            return Err(BtfError::Alien);
        }
        let header = |at| {
            word(raw, at)
                .map(|value| value as usize)
                .ok_or(BtfError::Damaged(0))
        };
        let (start, types_at, types_len) = (header(4)?, header(8)?, header(12)?);
        let (strings_at, strings_len) = (header(16)?, header(20)?);
        let part = |at: usize, len: usize| {
            let from = start.checked_add(at)?;
            raw.get(from..from.checked_add(len)?)
        };
        let mut btf = Self {
            types: part(types_at, types_len).ok_or(BtfError::Damaged(0))?,
            strings: part(strings_at, strings_len).ok_or(BtfError::Damaged(0))?,
            starts: vec![0],
            structs: HashMap::new(),
            functions: HashMap::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0usize;
        while at < self.types.len() {
            let id = u32::try_from(self.starts.len()).map_err(|_| BtfError::Damaged(u32::MAX))?;
            let damaged = BtfError::Damaged(id);
            self.starts
                .push(u32::try_from(at).map_err(|_| BtfError::Damaged(id))?);
            let Some(info) = self.read(id) else {
                return Err(damaged);
            };
            let Some(bytes) = body_bytes(info.kind, info.length) else {
                return Err(damaged);
            };
            // aya reads the name at the offset that the type states, and panics outside the strings.
            if info.name as usize >= self.strings.len() {
                return Err(damaged);
            }
            match info.kind {
                KIND_STRUCT | KIND_UNION => {
                    self.structs.entry(self.name(info.name)).or_insert(id);
                }
                KIND_FUNC => {
                    self.functions.entry(self.name(info.name)).or_insert(id);
                }
                _ => {}
            }
            at = info.body + bytes;
            if at > self.types.len() {
                return Err(damaged);
            }
        }
        Ok(())
    }

    fn read(&self, id: u32) -> Option<Type> {
        let at = *self.starts.get(id as usize)? as usize;
        let info = word(self.types, at + 4)?;
        Some(Type {
            name: word(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            length: info & 0xffff,
            bitfield_members: info >> 31 == 1,
            size_or_type: word(self.types, at + 8)?,
            body: at + 12,
        })
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The type that typedefs and qualifiers refer to.
    fn resolve(&self, mut id: u32) -> Option<(u32, Type)> {
        // Damaged data may contain a cycle; no real chain is this long.
        for _ in 0..32 {
            let info = self.read(id)?;
            match info.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = info.size_or_type;
                }
                _ => return Some((id, info)),
            }
        }
        None
    }

    fn members(&self, of: &Type) -> impl Iterator<Item = Member> + '_ {
        let body = of.body;
        let shift = if of.bitfield_members {
            0x00ff_ffff
        } else {
            u32::MAX
        };
        (0..of.length as usize).map_while(move |index| {
            let at = body + index * 12;
            Some(Member {
                name: word(self.types, at)?,
                type_id: word(self.types, at + 4)?,
                bits: word(self.types, at + 8)? & shift,
            })
        })
    }

    /// Bit offset and type of `member` in struct `id`, looking through unnamed structs and unions.
    fn find(&self, id: u32, member: &[u8], depth: u32) -> Option<(u32, u32)> {
        let (_, info) = self.resolve(id)?;
        if !matches!(info.kind, KIND_STRUCT | KIND_UNION) || depth > 8 {
            return None;
        }
        self.members(&info).find_map(|candidate| {
            let name = self.name(candidate.name);
            if name == member {
                Some((candidate.bits, candidate.type_id))
            } else if name.is_empty() {
                let (bits, type_id) = self.find(candidate.type_id, member, depth + 1)?;
                Some((candidate.bits.checked_add(bits)?, type_id))
            } else {
                None
            }
        })
    }

    /// Bytes from the start of struct `name` to the member at `path` (`se.sum_exec_runtime`); `None` if this kernel lacks it,
    /// or it does not begin at a byte.
    pub fn offset(&self, name: &str, path: &str) -> Option<u32> {
        self.locate(name, path).map(|(offset, _)| offset)
    }

    fn locate(&self, name: &str, path: &str) -> Option<(u32, u32)> {
        let mut id = *self.structs.get(name.as_bytes())?;
        let mut bits = 0u32;
        for member in path.split('.') {
            let (offset, type_id) = self.find(id, member.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            id = type_id;
        }
        bits.is_multiple_of(8).then_some((bits / 8, id))
    }

    /// Offset of the array at `path`, and name and size in bytes of its element type. The array may be the first member of a
    /// struct (`mm_rss_stat` before 6.2); the offset is that within this struct, else 0.
    pub fn array_element(&self, name: &str, path: &str) -> Option<(u32, String, u32)> {
        let (_, id) = self.locate(name, path)?;
        let (_, mut info) = self.resolve(id)?;
        let mut first = 0;
        if info.kind == KIND_STRUCT {
            let member = self.members(&info).next()?;
            first = member.bits / 8;
            info = self.resolve(member.type_id)?.1;
        }
        if info.kind != KIND_ARRAY {
            return None;
        }
        let (_, element) = self.resolve(word(self.types, info.body)?)?;
        let name = String::from_utf8_lossy(self.name(element.name)).into_owned();
        Some((first, name, element.size_or_type))
    }

    /// Whether the type information lists a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.function(name).is_some()
    }

    /// The type id of a function, by which a program calls it.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name.as_bytes()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header, `struct s { int a; struct { int b; }; }` and its strings.
    fn tiny() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0b\0";
        let info = |kind: u32, length: u32| kind << 24 | length;
        let types: Vec<u32> = [
            vec![1, info(1, 0), 4, 32],
            vec![0, info(KIND_STRUCT, 1), 4, 9, 1, 0],
            vec![5, info(KIND_STRUCT, 2), 8, 7, 1, 0, 0, 2, 32],
        ]
        .concat();
        let types_len = u32::try_from(types.len() * 4).unwrap();
        let strings_len = u32::try_from(strings.len()).unwrap();
        let mut raw = MAGIC.to_ne_bytes().to_vec();
        raw.extend([1, 0]);
        for field in [24, 0, types_len, types_len, strings_len] {
            raw.extend(field.to_ne_bytes());
        }
        raw.extend(types.iter().flat_map(|field| field.to_ne_bytes()));
        raw.extend(strings);
        raw
    }

    #[test]
    fn members_are_found_through_unnamed_structs() {
        let raw = tiny();
        let btf = Btf::parse(&raw).unwrap();
        assert_eq!(btf.offset("s", "a"), Some(0));
        assert_eq!(btf.offset("s", "b"), Some(4));
        assert_eq!(btf.offset("s", "c"), None);
        assert_eq!(btf.offset("t", "a"), None);
    }

    #[test]
    fn every_truncation_is_an_error_or_finds_less_and_never_panics() {
        let raw = tiny();
        for length in 0..raw.len() {
            assert!(
                Btf::parse(&raw[..length]).is_err(),
                "{length} bytes were accepted"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_among_the_strings_is_damage() {
        let mut raw = tiny();
        // The first type's.
        raw[24] = 200;
        assert_eq!(Btf::parse(&raw).unwrap_err(), BtfError::Damaged(1));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Btf::parse(b"\x9f\xeb").unwrap_err(), BtfError::Damaged(0));
        assert_eq!(Btf::parse(b"ELF").unwrap_err(), BtfError::Alien);
    }
}
