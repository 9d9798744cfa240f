//! The log of a child as it is written: lines kept, and waited for.

use super::agent::PATIENCE;
use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

/// Lines of a stream, which a thread of its own reads to the end.
#[derive(Debug, Clone)]
pub struct Log(Arc<(Mutex<Kept>, Condvar)>);

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    is_complete: bool,
}

impl Log {
    /// Begins to read.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let line = line.unwrap();
                writer.change(|kept| kept.lines.push(line));
            }
            writer.change(|kept| kept.is_complete = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// All so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// The first line of which `wanted` holds; `None` when the stream ends without it.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.wait(|kept| kept.lines.iter().any(|line| wanted(line)));
        self.lines().into_iter().find(|line| wanted(line))
    }

    /// Waits until the stream has ended.
    pub fn wait_for_end(&self) {
        self.wait(|_| false);
    }

    fn wait(&self, is_enough: impl Fn(&Kept) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut kept = self.0.0.lock().unwrap();
        while !kept.is_complete && !is_enough(&kept) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {kept:#?}");
            kept = self.0.1.wait_timeout(kept, left).unwrap().0;
        }
    }
}

/// What a record in logfmt says; a line that is no record fails.
pub fn message(line: &str) -> String {
    let value = line
        .split_once(" msg=")
        .unwrap_or_else(|| panic!("no record: {line}"))
        .1;
    if !value.starts_with('"') {
        return value.split(' ').next().unwrap().to_owned();
    }
    // What may follow the value is no JSON.
    let mut values = serde_json::Deserializer::from_str(value).into_iter();
    values.next().unwrap().unwrap()
}
