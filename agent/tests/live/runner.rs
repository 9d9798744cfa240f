//! Runs the tests one after another, in the only thread: they fork.
//!
//! In: words of which a test's name (`images::each_image_gets_its_share/switch`) must hold one, or `--list`. Out: one line for
//! each test, a closing line, exit code 1 if one failed. A failed assertion's message comes before the line of its test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::tier::Tier;
use crate::{guest, program, tests};

/// One test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

/// How often it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    Once(fn()),
    /// For each of these tiers that can work here.
    Each(&'static [&'static Tier], fn(&'static Tier)),
}

/// A test named by its function, and by the file it is in; `for` says the tiers that it takes.
macro_rules! table {
    ($($function:ident $(for $tiers:expr)?),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::runner::Test] = &[$($crate::runner::Test {
            name: concat!(module_path!(), "::", stringify!($function)),
            run: $crate::runner::table!(@run $function $($tiers)?),
        },)*];
    };
    (@run $function:ident) => { $crate::runner::Run::Once($function) };
    (@run $function:ident $tiers:expr) => { $crate::runner::Run::Each($tiers, $function) };
}
pub(crate) use table;

/// One run of a test.
#[derive(Debug)]
struct Case {
    name: String,
    test: Test,
    tier: Option<&'static Tier>,
}

impl Case {
    fn all(test: Test) -> Vec<Self> {
        let name = test.name.trim_start_matches("live::tests::");
        let of_tier = |tier: &&'static Tier| Self {
            name: format!("{name}/{}", tier.label),
            test,
            tier: Some(*tier),
        };
        match test.run {
            Run::Once(_) => vec![Self {
                name: name.to_owned(),
                test,
                tier: None,
            }],
            Run::Each(tiers, _) => tiers.iter().map(of_tier).collect(),
        }
    }

    fn can_run(&self) -> bool {
        self.tier.is_none_or(Tier::can_work)
    }

    fn run(&self) {
        match (self.test.run, self.tier) {
            (Run::Once(run), _) => run(),
            (Run::Each(_, run), Some(tier)) => run(tier),
            (Run::Each(..), None) => unreachable!("each has its tier"),
        }
    }

    fn passes(&self) -> bool {
        let begun = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| self.run())).is_ok();
        let seconds = begun.elapsed().as_secs_f64();
        let result = if passed { "ok" } else { "FAILED" };
        println!("test {} ... {result} ({seconds:.1} s)", self.name);
        passed
    }
}

pub(crate) fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |case: &Case| {
        filters.is_empty() || filters.iter().any(|word| case.name.contains(word.as_str()))
    };
    let chosen = tests::all().flat_map(Case::all).filter(is_chosen);
    let (chosen, impossible): (Vec<Case>, Vec<Case>) = chosen.partition(Case::can_run);
    if words.iter().any(|word| word == "--list") {
        for case in chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    std::panic::set_hook(Box::new(|info| println!("{info}")));
    println!("running {} tests", chosen.len());
    if !impossible.is_empty() {
        let count = impossible.len();
        println!(
            "no runs: {count}, of tiers that cannot work here (start:: tests what is done instead)"
        );
    }
    program::prepare();
    guest::introduce();
    let failed: Vec<&str> = chosen
        .iter()
        .filter(|case| !case.passes())
        .map(|case| case.name.as_str())
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
