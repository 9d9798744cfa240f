//! Everything a contributor does with Headcount.
fn main() {}
