//! METRICS.md agrees with the code. `HEADCOUNT_ACCEPT=1` writes it anew.
#![allow(clippy::unwrap_used)] // a failed assertion by another name

#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../METRICS.md");
    let expected = headcount::collector::reference().unwrap();
    if std::env::var_os("HEADCOUNT_ACCEPT").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "METRICS.md is out of date: run the tests with HEADCOUNT_ACCEPT=1"
    );
}
