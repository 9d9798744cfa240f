//! Runs the tests one after another, in the only thread: they fork.
//!
//! In: words of which a test's name must hold one, or `--list`. Out: one line a test, a closing line, exit code 1 if one
//! failed. A failed assertion's message comes before the line of its test.

use crate::{guest, program, tests};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

/// One test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// A test named by its function, and by the file it is in.
macro_rules! table {
    ($($function:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::runner::Test] = &[$($crate::runner::Test {
            name: concat!(module_path!(), "::", stringify!($function)),
            run: $function,
        },)*];
    };
}
pub(crate) use table;

pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen: Vec<Test> = tests::all()
        .filter(|test| filters.is_empty() || filters.iter().any(|word| test.name.contains(*word)))
        .collect();
    if words.iter().any(|word| word == "--list") {
        for test in chosen {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    std::panic::set_hook(Box::new(|info| println!("{info}")));
    println!("running {} tests", chosen.len());
    program::prepare();
    let failed: Vec<&str> = chosen
        .iter()
        .filter(|test| !passes(test))
        .map(|test| test.name)
        .collect();
    program::clean_up();
    let (passed, seconds) = (chosen.len() - failed.len(), begun.elapsed().as_secs());
    if !failed.is_empty() {
        println!("failures:\n    {}", failed.join("\n    "));
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "test result: {result}. {passed} passed; {} failed; {seconds} s",
        failed.len()
    );
    guest::report(passed, failed.len());
    if chosen.is_empty() || !failed.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn passes(test: &Test) -> bool {
    let begun = Instant::now();
    let passed = catch_unwind(AssertUnwindSafe(test.run)).is_ok();
    let seconds = begun.elapsed().as_secs_f64();
    let name = test.name.trim_start_matches("live::tests::");
    let result = if passed { "ok" } else { "FAILED" };
    println!("test {name} ... {result} ({seconds:.1} s)");
    passed
}
