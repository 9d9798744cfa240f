//! A process that does not come to the end of its exec: the kernel closes its files then, and the server of one of them, a
//! FUSE file system in user space, does not answer. Meanwhile no process may read its `io`.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use crate::process;

const DEVICE: &str = "/dev/fuse";

/// Of `linux/fuse.h`.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const FLUSH: u32 = 25;
const INIT: u32 = 26;

const ROOT: u64 = 1;
const FILE: u64 = 2;

/// `FOLDER`: mounts the file system there, in a mount namespace of its own. Reports the process once it is stuck; with the
/// end of the input the server is gone, and the process goes on.
pub(super) fn stuck(arguments: &[String]) {
    let folder = Path::new(&arguments[0]);
    let mut device = open_device(Path::new(DEVICE));
    mount(&device, folder);
    let pid = start_exec(&device, folder);
    serve_until_flush(&mut device);
    println!("stuck {pid}");
    while super::worker::read_line().is_some() {}
    drop(device);
    process::reap(pid);
}

/// `FOLDER UID COUNT`: the same by a user without rights, in a user namespace, with so many processes.
pub(super) fn stuck_crowd(arguments: &[String]) {
    let folder = Path::new(&arguments[0]);
    let uid: u32 = arguments[1].parse().unwrap();
    let count: usize = arguments[2].parse().unwrap();
    // Where only root may open the device, one of the attacker's own, as udev makes it on most systems: for everybody.
    let own_device = folder.join("fuse");
    make_device(&own_device);
    let mount_point = folder.join("mount");
    std::fs::create_dir(&mount_point).unwrap();
    // SAFETY: takes a number only.
    assert_eq!(unsafe { libc::setgid(uid) }, 0);
    process::set_uid(uid);
    enter_user_namespace(uid);
    let mut device = open_device(&own_device);
    let folder = mount_point.as_path();
    mount(&device, folder);
    let pids: Vec<i32> = (0..count)
        .map(|_| {
            let pid = start_exec(&device, folder);
            serve_until_flush(&mut device);
            pid
        })
        .collect();
    println!("stuck {}", pids.len());
    while super::worker::read_line().is_some() {}
    drop(device);
    for pid in pids {
        process::reap(pid);
    }
}

/// The user is root in it, and may mount there.
fn enter_user_namespace(uid: u32) {
    // A process that has changed its user is not dumpable, so that its files in /proc are root's.
    // SAFETY: both take numbers only.
    let codes = unsafe {
        [
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
            libc::unshare(libc::CLONE_NEWUSER),
        ]
    };
    assert_eq!(codes, [0; 2], "{}", std::io::Error::last_os_error());
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {uid} 1")),
    ] {
        std::fs::write(Path::new("/proc/self").join(file), text).unwrap();
    }
}

fn open_device(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).open(path).unwrap()
}

fn make_device(path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let number = Path::new(DEVICE).metadata().unwrap().rdev();
    let text = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the text ends with a zero and outlives the calls.
    let codes = unsafe {
        [
            libc::mknod(text.as_ptr(), libc::S_IFCHR, number),
            libc::chmod(text.as_ptr(), 0o666),
        ]
    };
    assert_eq!(codes, [0; 2], "{}", std::io::Error::last_os_error());
}

/// A process that begins an exec, which closes a file in `folder`.
fn start_exec(device: &File, folder: &Path) -> i32 {
    process::fork(|| {
        // SAFETY: no other code in this process uses it, and nothing here closes it again.
        unsafe { libc::close(device.as_raw_fd()) };
        // Exec closes it, like every file that the standard library opens.
        let _file = File::open(folder.join("file")).unwrap();
        let own = std::env::current_exe().unwrap();
        process::exec(&own, &["freed", "scenario", "end", "0", "success"]);
    })
}

fn mount(device: &File, folder: &Path) {
    let text = |text: &str| CString::new(text).unwrap();
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        device.as_raw_fd()
    );
    let (kind, options, root) = (text("fuse"), text(&options), text("/"));
    let folder = CString::new(folder.as_os_str().as_bytes()).unwrap();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: all texts end with a zero and outlive the calls.
    let codes = unsafe {
        [
            libc::unshare(libc::CLONE_NEWNS),
            libc::mount(
                ptr::null(),
                root.as_ptr(),
                ptr::null(),
                private,
                ptr::null(),
            ),
            libc::mount(
                kind.as_ptr(),
                folder.as_ptr(),
                kind.as_ptr(),
                0,
                options.as_ptr().cast(),
            ),
        ]
    };
    assert_eq!(codes, [0; 3], "{}", std::io::Error::last_os_error());
}

/// Answers until a file is closed; that stays unanswered.
fn serve_until_flush(device: &mut File) {
    let mut request = vec![0; 1 << 18];
    loop {
        let length = device.read(&mut request).unwrap();
        assert!(length >= 40, "a request has a head");
        let opcode = u32::from_ne_bytes(request[4..8].try_into().unwrap());
        let node = u64::from_ne_bytes(request[16..24].try_into().unwrap());
        let (error, body) = match opcode {
            FLUSH => return,
            FORGET => continue,
            // Version 7.31, writes of a page.
            INIT => (
                0,
                words(&[7, 31, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
            LOOKUP => (0, [longs(&[FILE, 0, 60, 60, 0]), attributes(FILE)].concat()),
            GETATTR => (0, [longs(&[60, 0]), attributes(node)].concat()),
            OPEN => (0, longs(&[0, 0])),
            _ => (-libc::ENOSYS, Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).unwrap();
        let head = [
            words(&[length, error.cast_unsigned()]),
            request[8..16].to_vec(),
        ];
        device.write_all(&[head.concat(), body].concat()).unwrap();
    }
}

/// `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let mode = match node {
        ROOT => libc::S_IFDIR | 0o755,
        _ => libc::S_IFREG | 0o644,
    };
    [
        longs(&[node, 0, 0, 0, 0, 0]),
        words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]),
    ]
    .concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn longs(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_ne_bytes()).collect()
}
