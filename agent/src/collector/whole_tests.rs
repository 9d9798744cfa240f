//! Tests of expositions made of several parts, of which some may be missing.

use std::collections::{HashMap, HashSet};

use super::tests::{HALF, families, source, successes, with_view};
use super::*;

static BY_LABEL: Descriptor = Descriptor {
    name: "by_label",
    labels: &["label"],
    ..HALF
};

#[test]
fn without_the_state_only_collectors_that_need_none_succeed() {
    let runs = Runs::new().unwrap();
    let mut assembler = Assembler::new(&runs, &[]);
    let body = with_view(&source(), |view| {
        assembler.exposition(view, Arrived::default())
    });
    let body = String::from_utf8(body).unwrap();
    let shown: HashSet<_> = successes(&body)
        .into_iter()
        .filter_map(|(collector, success)| (success == 1).then_some(collector))
        .collect();
    assert_eq!(shown, HashSet::from(["build", "web"]));
    for collector in all(&runs) {
        if collector.part() == PartOf::Targets {
            assert!(!successes(&body).contains_key(collector.name()));
            continue;
        }
        assert!(successes(&body).contains_key(collector.name()));
        // The families about all collectors are always shown; METRICS.md lists them under `self`.
        let descriptors = collector.descriptors();
        let mut own = descriptors.iter().filter(|descriptor| {
            let of_all = Runs::descriptors().into_iter().chain(whole::DESCRIPTORS);
            of_all
                .map(|one| one.name)
                .all(|name| name != descriptor.name)
        });
        let is_any_shown = own.any(|descriptor| families(&body).contains(descriptor.name));
        assert_eq!(is_any_shown, shown.contains(collector.name()));
    }
    let samples = body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(body.contains(&format!("\nheadcount_exposed_samples {samples}\n")));
    for (collector, expected) in [("build", 1), ("web", 1), ("namegroup", 0), ("self", 0)] {
        let runs = runs.count(collector, RunOutcome::Success);
        assert_eq!(runs, expected, "{collector}");
    }
}

#[test]
fn families_about_the_whole_count_the_samples_of_all_parts() {
    let runs = Runs::new().unwrap();
    let mut state = Collectors::of(PartOf::State, &runs);
    let mut targets = Writer::default();
    targets.family(&HALF).sample(&[], 1_u64);
    targets.family(&BY_LABEL).sample(&["1"], 1_u64);
    targets.family(&BY_LABEL).sample(&["2"], 1_u64);
    let targets = targets.take();
    let source = source();
    let with_targets = |assembler: &mut Assembler, state: Option<&CollectedPart>| {
        let mut arrived = Arrived::default();
        state.into_iter().for_each(|state| arrived.add(state));
        arrived.parts.push(&targets);
        arrived.succeeded.push("build2");
        let body = with_view(&source, |view| assembler.exposition(view, arrived));
        String::from_utf8(body).unwrap()
    };
    let names = ["scrape", "build2", "late"].to_vec();
    let mut assembler = Assembler::with(Collectors::of(PartOf::Server, &runs), names, &runs);
    let part = with_view(&source, |view| state.collect(view));
    for (state, success) in [(Some(&part), 1), (None, 0)] {
        let body = with_targets(&mut assembler, state);
        let expected = [("scrape", success), ("build2", 1), ("late", 0)];
        assert_eq!(successes(&body), HashMap::from(expected));
        let samples = body.lines().filter(|line| !line.starts_with('#')).count();
        assert!(body.contains(&format!("\nheadcount_exposed_samples {samples}\n")));
        assert!(body.contains("\nheadcount_exposed_series{family=\"by_label\"} 2\n"));
        assert!(body.contains("\nhalf 1\n"));
        assert_eq!(body.contains("\nnamedprocess_"), success == 1);
        let names = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        assert!(names.is_sorted());
    }
}
