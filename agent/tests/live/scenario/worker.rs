//! A process that executes commands.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::number;
use crate::process;

/// Reads commands from its standard input, a line each, and reports its CPU time after each. Ends with its input.
pub(super) fn worker(_: &[String]) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut passing: Vec<Passing> = Vec::new();
    while let Some(line) = read_line() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["spin", ns] => process::spin(number(ns)),
            ["spin-threads", count, ns] => spin_threads(number(count), number(ns)),
            ["stay-thread", name, ns] => {
                stay_thread(name.to_owned(), number(ns), process::spin_thread)
            }
            ["stay-thread-in-kernel", name, ns] => {
                stay_thread(name.to_owned(), number(ns), use_system);
            }
            ["passing-thread", name, ns] => {
                passing.push(passing_thread(name.to_owned(), number(ns)));
            }
            ["end-passing"] => passing.drain(..).for_each(Passing::end),
            ["system", ns] => use_system(number(ns)),
            ["fork", count] => {
                for _ in 0..number(count) {
                    process::try_fork(|| ()).expect("a fork");
                    process::reap_any();
                }
            }
            ["hold", bytes] => held.push(touched(number(bytes))),
            ["fault", bytes] => drop(black_box(touched(number(bytes)))),
            ["store", bytes, path] => store(number(bytes), path),
            ["nap", count] => nap(number(count)),
            ["pin"] => process::pin_to_first_cpu(),
            ["name", name] => process::set_name(name.as_bytes()),
            ["setuid", uid] => process::set_uid(u32::try_from(number(uid)).unwrap()),
            ["exec", path] => {
                println!("cpu_ns {}", process::own_cpu_ns());
                process::exec(Path::new(path), &["worker", "scenario", "worker"]);
            }
            _ => panic!("{line:?} is no command"),
        }
        println!("cpu_ns {}", process::own_cpu_ns());
    }
}

/// `NEXT`: becomes a worker that has no arguments, as the program `NEXT`.
pub(super) fn no_arguments(arguments: &[String]) {
    let variable = format!("{}=worker", super::SCENARIO);
    process::exec_without_arguments(Path::new(&arguments[0]), &variable);
}

/// One line, and nothing behind it: later lines may be for the next image, or for a child.
pub(super) fn read_line() -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    // SAFETY: descriptor 0 is open, and ManuallyDrop leaves it so.
    let mut input =
        std::mem::ManuallyDrop::new(unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(0) });
    while input.read(&mut byte).unwrap() == 1 {
        if byte[0] == b'\n' {
            return Some(String::from_utf8(line).unwrap());
        }
        line.push(byte[0]);
    }
    None
}

fn spin_threads(count: u64, ns: u64) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(move || process::spin_thread(ns));
        }
    });
}

/// A thread of this name that uses so much by `work`, and stays.
fn stay_thread(name: String, ns: u64, work: fn(u64)) {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        process::set_name(name.as_bytes());
        work(ns);
        done.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    is_done.recv().unwrap();
}

/// A thread that ends on request.
struct Passing {
    thread: std::thread::JoinHandle<()>,
    hold: std::sync::mpsc::Sender<()>,
}

impl Passing {
    fn end(self) {
        drop(self.hold);
        self.thread.join().unwrap();
    }
}

/// A thread of this name that uses so much, and then waits for its end.
fn passing_thread(name: String, ns: u64) -> Passing {
    let (hold, is_held) = std::sync::mpsc::channel::<()>();
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        process::set_name(name.as_bytes());
        process::spin_thread(ns);
        done.send(()).unwrap();
        // An error: the other side is gone.
        let _ = is_held.recv();
    });
    is_done.recv().unwrap();
    Passing { thread, hold }
}

/// System time: reads that cost the kernel something.
fn use_system(ns: u64) {
    let zero = File::open("/dev/zero").unwrap();
    let mut page = vec![0; 1 << 16];
    let end_ns = process::own_cpu_ns() + ns;
    while process::own_cpu_ns() < end_ns {
        zero.read_exact_at(&mut page, 0).unwrap();
    }
}

/// Memory that is there: each page was written to.
fn touched(bytes: u64) -> Vec<u8> {
    let mut memory = vec![0_u8; usize::try_from(bytes).unwrap()];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    black_box(memory)
}

/// Writes to storage, and reads it back past the cache as far as the file system allows.
fn store(bytes: u64, path: &str) {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![7; usize::try_from(bytes).unwrap()])
        .unwrap();
    file.sync_all().unwrap();
}

/// Voluntary switches.
fn nap(count: u64) {
    for _ in 0..count {
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}
