//! Thread names of one group: those that are shown, stay or are folded.

use proptest::prelude::*;

use super::*;

fn task(name: &[u8]) -> TaskName {
    let mut task = TaskName::default();
    task[..name.len()].copy_from_slice(name);
    task
}

fn used(user_ns: u64) -> Delta {
    Delta {
        user_ns,
        ..Delta::default()
    }
}

/// One pass with these threads: names, and use since the pass before.
fn pass(names: &mut ThreadNames, threads: &[(&[u8], u64)]) {
    names.begin();
    let mut room = u64::MAX;
    for (name, user_ns) in threads {
        names.add(&task(name), &used(*user_ns), &mut room);
    }
    names.trim();
}

fn shown(names: &ThreadNames) -> Vec<(&str, u64, u64)> {
    let shown = names.shown();
    shown
        .map(|(name, named)| (name, named.threads, named.used.user_ns))
        .collect()
}

fn many(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("t{n:04}")).collect()
}

fn each_used(names: &[String], user_ns: u64) -> Vec<(&[u8], u64)> {
    let names = names.iter();
    names.map(|name| (name.as_bytes(), user_ns)).collect()
}

#[test]
fn a_name_without_threads_is_hidden_and_goes_on_when_it_returns() {
    let mut names = ThreadNames::default();
    pass(&mut names, &[(b"a", 1), (b"b", 2), (b"b", 3)]);
    assert_eq!(shown(&names), [("a", 1, 1), ("b", 2, 5)]);
    pass(&mut names, &[(b"b", 4)]);
    assert_eq!(shown(&names), [("b", 1, 9)]);
    pass(&mut names, &[]);
    assert_eq!(shown(&names), []);
    pass(&mut names, &[(b"a", 7), (b"b", 1)]);
    assert_eq!(shown(&names), [("a", 1, 8), ("b", 1, 10)]);
    assert_eq!(names.folded, 0);
}

#[test]
fn names_that_differ_in_bad_bytes_only_are_one() {
    let mut names = ThreadNames::default();
    pass(&mut names, &[(b"x\xff", 1), (b"x\xfe", 2), (b"", 4)]);
    assert_eq!(shown(&names), [("", 1, 4), ("x\u{fffd}", 2, 3)]);
}

#[test]
fn live_names_beyond_the_bound_count_as_other() {
    let mut names = ThreadNames::default();
    let all = many(0..NAMES + 10);
    pass(&mut names, &each_used(&all, 1));
    assert_eq!((names.held(), names.overflowed), (NAMES, 10));
    assert_eq!(shown(&names).last(), Some(&(REST, 10, 10)));
    assert_eq!(names.folded, 0);
}

#[test]
fn a_new_name_takes_the_place_of_the_longest_unused_one() {
    let mut names = ThreadNames::default();
    let all = many(0..NAMES);
    pass(&mut names, &each_used(&all, 1));
    pass(&mut names, &each_used(&all[1..], 1));
    pass(&mut names, &each_used(&all[2..], 1));
    let mut with_new = each_used(&all[2..], 1);
    with_new.push((b"new", 5));
    pass(&mut names, &with_new);
    assert_eq!((names.folded, names.overflowed), (1, 0));
    let found = shown(&names);
    assert!(found.contains(&("new", 1, 5)));
    assert!(found.contains(&(REST, 0, 1)), "{found:?}");
    // The second longest unused name is still there.
    pass(&mut names, &each_used(&all[1..2], 1));
    assert_eq!(shown(&names), [("t0001", 1, 3), (REST, 0, 1)]);
    // A folded name begins anew; it takes the place of `new`.
    pass(&mut names, &each_used(&all[..1], 7));
    assert_eq!(shown(&names), [("t0000", 1, 7), (REST, 0, 6)]);
}

#[test]
fn a_name_seen_at_the_pass_before_is_not_folded_for_a_new_one() {
    let mut names = ThreadNames::default();
    let all = many(0..NAMES);
    pass(&mut names, &each_used(&all, 1));
    pass(&mut names, &[(b"new", 5)]);
    assert_eq!(shown(&names), [(REST, 1, 5)]);
    pass(&mut names, &[(b"new", 5)]);
    assert_eq!(shown(&names), [("new", 1, 5), (REST, 0, 6)]);
}

#[test]
fn a_smaller_limit_folds_unused_names_first_and_of_those_in_use_the_newest() {
    let mut names = ThreadNames::default();
    pass(&mut names, &[(b"a", 1), (b"b", 1)]);
    pass(&mut names, &[(b"b", 1), (b"c", 1)]);
    names.limit = Some(2);
    pass(&mut names, &[(b"b", 1), (b"c", 1)]);
    assert_eq!(shown(&names), [("b", 1, 3), ("c", 1, 2), (REST, 0, 1)]);
    names.limit = Some(1);
    pass(&mut names, &[(b"b", 1), (b"c", 1)]);
    assert_eq!(shown(&names), [("b", 1, 4), (REST, 1, 4)]);
    assert_eq!((names.folded, names.overflowed), (1, 1));
}

#[test]
fn a_name_without_room_in_all_groups_counts_as_other() {
    let mut names = ThreadNames {
        cost: 3,
        ..ThreadNames::default()
    };
    names.begin();
    let mut room = 5;
    names.add(&task(b"a"), &used(1), &mut room);
    names.add(&task(b"b"), &used(2), &mut room);
    assert_eq!(shown(&names), [("a", 1, 1), (REST, 1, 2)]);
    assert_eq!(room, 2);
}

#[test]
fn a_thread_that_is_named_other_is_no_overflow() {
    let mut names = ThreadNames::default();
    pass(&mut names, &[(REST.as_bytes(), 3)]);
    assert_eq!((shown(&names), names.overflowed), (vec![(REST, 1, 3)], 0));
}

/// One pass of a history: threads (number of one of 200 names, and use), and the limit.
type OnePass = (Vec<(u64, u64)>, Option<u64>);

fn history() -> impl Strategy<Value = Vec<OnePass>> {
    let threads = prop::collection::vec((0u64..200, 0u64..100), 0..150);
    let limit = prop_oneof![3 => Just(None), 1 => (0u64..140).prop_map(Some)];
    prop::collection::vec((threads, limit), 1..12)
}

proptest! {
    #[test]
    fn all_names_together_keep_all_use_and_none_falls_but_by_a_fold(history in history()) {
        let mut names = ThreadNames::default();
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let (mut all, mut fallen, mut folded) = (0, 0, 0);
        for (threads, limit) in history {
            names.limit = limit;
            let threads: Vec<(String, u64)> = threads.into_iter().map(|(n, used)| (format!("n{n}"), used)).collect();
            let reported: Vec<(&[u8], u64)> = threads.iter().map(|(name, used)| (name.as_bytes(), *used)).collect();
            all += reported.iter().map(|(_, used)| used).sum::<u64>();
            pass(&mut names, &reported);
            let kept = names.by_name.values().map(|named| named.shown.used.user_ns).sum::<u64>();
            let rest = names.rest.as_ref().map_or(0, |rest| rest.used.user_ns);
            prop_assert_eq!(kept + rest, all);
            prop_assert!(names.held() <= names.limit());
            let threads_shown: u64 = names.shown().map(|(_, named)| named.threads).sum();
            prop_assert_eq!(threads_shown, reported.len() as u64);
            folded += names.folded;
            for (name, named) in names.shown() {
                let before = last.insert(name.to_owned(), named.used.user_ns).unwrap_or(0);
                fallen += u64::from(before > named.used.user_ns);
                prop_assert!(name != REST || before <= named.used.user_ns);
            }
            prop_assert!(fallen <= folded, "{fallen} names fell, {folded} were folded");
        }
    }
}
