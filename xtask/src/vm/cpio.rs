//! Writes the archive that a kernel unpacks as its first root: cpio in the "newc" format (kernel:
//! Documentation/driver-api/early-userspace).

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
/// Major and minor number of the system console.
const CONSOLE: (u32, u32) = (5, 1);

/// Entries in the order in which they were added; a folder must come before its content.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(crate) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER, (0, 0), &[]);
    }

    pub(crate) fn console(&mut self, name: &str) {
        self.entry(name, CHARACTER_DEVICE, CONSOLE, &[]);
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, PROGRAM, (0, 0), content);
    }

    /// The archive, with the final entry that the format requires.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    /// Adds magic and 13 numbers of eight hexadecimal digits, the name with a zero byte, and the content; both are padded to four
    /// bytes.
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let (inode, user, group, time) = (self.entries, 0, 0, 0);
        let (on_major, on_minor, checksum) = (0, 0, 0);
        let numbers = [
            inode,
            mode,
            user,
            group,
            links,
            time,
            length(content.len()),
            on_major,
            on_minor,
            device.0,
            device.1,
            length(name.len() + 1),
            checksum,
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes
                .extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

/// The format is limited to 4 GiB. No binary here comes near, and an archive with a cut length would not boot.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_format_of_the_kernel() {
        let mut archive = Archive::default();
        archive.file("ab", b"12345");
        let bytes = archive.finish();
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
