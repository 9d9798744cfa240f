//! The command line: flags, configuration, logging, run; exit codes.
fn main() {}
