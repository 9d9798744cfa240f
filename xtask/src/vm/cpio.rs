//! Writes the archive that a kernel unpacks as its first root: cpio in the "newc" format (kernel:
//! Documentation/driver-api/early-userspace).

use std::io::{Result, Write as _};

use cpio::NewcBuilder;
use cpio::newc::trailer;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Entries in the order in which they were added; a folder must come before its content.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(crate) fn folder(&mut self, name: &str) -> Result<()> {
        let folder = NewcBuilder::new(name).mode(FOLDER);
        self.entry(folder, &[])
    }

    /// The system console, a device with fixed numbers.
    pub(crate) fn console(&mut self, name: &str) -> Result<()> {
        let device = NewcBuilder::new(name).mode(CHARACTER_DEVICE);
        self.entry(device.rdev_major(5).rdev_minor(1), &[])
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.entry(NewcBuilder::new(name).mode(PROGRAM), content)
    }

    /// The archive, with the final entry that the format requires.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        trailer(self.bytes)
    }

    fn entry(&mut self, entry: NewcBuilder, content: &[u8]) -> Result<()> {
        self.entries += 1;
        // The format is limited to 4 GiB.
        let length = u32::try_from(content.len()).map_err(std::io::Error::other)?;
        let mut writer = entry.ino(self.entries).write(&mut self.bytes, length);
        writer.write_all(content)?;
        writer.finish().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_format_of_the_kernel() {
        let mut archive = Archive::default();
        archive.file("ab", b"12345").expect("an entry");
        let bytes = archive.finish().expect("an archive");
        let header = b"070701\
            00000001000081ed0000000000000000000000010000000000000005\
            000000000000000000000000000000000000000300000000ab\0";
        assert_eq!(&bytes[..header.len()], header);
        assert_eq!(bytes.len() % 4, 0);
        let content = header.len().next_multiple_of(4);
        assert_eq!(&bytes[content..content + 8], b"12345\0\0\0");
        assert!(bytes.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }
}
