//! Bodies, and their merged output.

mod properties;
mod recorded;

use super::*;

const RULES: MergeRules = MergeRules {
    label_conflict: LabelConflict::Overwrite,
    keeps_timestamps: false,
    most_bytes: usize::MAX,
};

/// Merges bodies; their series get the label `i`, numbered from 0. A body that ends as OpenMetrics does is OpenMetrics.
fn numbered(bodies: &[&str], rules: &MergeRules) -> MergedBody {
    let labels: Vec<_> = (0..bodies.len())
        .map(|n| [("i".to_owned(), n.to_string())])
        .collect();
    let answers: Vec<_> = bodies
        .iter()
        .zip(&labels)
        .map(|(body, labels)| scraped(body, labels))
        .collect();
    merge(&answers, rules)
}

fn scraped<'a>(body: &'a str, labels: &'a [(String, String)]) -> ScrapedBody<'a> {
    ScrapedBody {
        labels,
        without: &[],
        keeps_labels: false,
        body: body.as_bytes(),
        format: match body.ends_with("# EOF\n") {
            true => BodyFormat::OpenMetrics,
            false => BodyFormat::Text,
        },
    }
}

/// The merge of one body whose series get no label.
fn alone(body: &str) -> MergedBody {
    merge(&[scraped(body, &[])], &RULES)
}

fn text(merged: &MergedBody) -> &str {
    std::str::from_utf8(&merged.body).unwrap()
}

#[test]
fn reserved_label_of_a_body_is_removed_or_renamed() {
    let labels = [("app".to_owned(), "x".to_owned())];
    let body = "a{index=\"0\",le=\"1\"} 1\na{index=\"1\",le=\"1\"} 2\n";
    let answers = [ScrapedBody {
        without: &["index", "instance"],
        ..scraped(body, &labels)
    }];
    let merged = merge(&answers, &RULES);
    assert_eq!(text(&merged), "# TYPE a untyped\na{le=\"1\",app=\"x\"} 1\n");
    assert_eq!(merged.instances[0].duplicates, 1);
    let rules = MergeRules {
        label_conflict: LabelConflict::Exported,
        ..RULES
    };
    assert_eq!(
        text(&merge(&answers, &rules)),
        "# TYPE a untyped\na{exported_index=\"0\",le=\"1\",app=\"x\"} 1\na{exported_index=\"1\",le=\"1\",app=\"x\"} 2\n"
    );
}

#[test]
fn families_are_written_once_and_sorted() {
    let first =
        "# HELP b Of b.\n# TYPE b counter\nb{x=\"1\"} 1\nb{x=\"0\"} 2\n# TYPE a gauge\na 3\n";
    let second = "# TYPE c untyped\nc 4\n# HELP b Other words.\n# TYPE b counter\nb 5\n";
    let merged = numbered(&[first, second], &RULES);
    assert_eq!(
        text(&merged),
        "# TYPE a gauge\na{i=\"0\"} 3\n\
         # HELP b Of b.\n# TYPE b counter\nb{x=\"1\",i=\"0\"} 1\nb{x=\"0\",i=\"0\"} 2\nb{i=\"1\"} 5\n\
         # TYPE c untyped\nc{i=\"1\"} 4\n"
    );
    let series: Vec<u64> = merged.instances.iter().map(|one| one.series).collect();
    assert_eq!((series, merged.type_conflicts), (vec![3, 2], 0));
}

#[test]
fn text_is_read_as_prometheus_reads_it() {
    let cases = [
        ("", ""),
        ("\n \n# a comment\n#\n", ""),
        ("# TYPE empty counter\n# HELP empty Nothing.\n", ""),
        ("a 1", "# TYPE a untyped\na 1\n"),
        (" a\t1 \n", "# TYPE a untyped\na 1\n"),
        ("a{} 1\n", "# TYPE a untyped\na 1\n"),
        (
            "a { x = \"1\" , y=\"2\", } 1\n",
            "# TYPE a untyped\na{x=\"1\",y=\"2\"} 1\n",
        ),
        (
            "#HELP a  b c \n#\tTYPE a gauge \na 1\n",
            "# HELP a b c \n# TYPE a gauge\na 1\n",
        ),
        ("# HELP a\n# TYPE a gauge\na 1\n", "# TYPE a gauge\na 1\n"),
        ("a +Inf 5\n", "# TYPE a untyped\na +Inf\n"),
        ("a NaN\n", "# TYPE a untyped\na NaN\n"),
        ("a -1.5e-300 -5\n", "# TYPE a untyped\na -1.5e-300\n"),
        (
            "a:b{x=\"\\\\ \\n \\\" {},#=\"} 1\n",
            "# TYPE a:b untyped\na:b{x=\"\\\\ \\n \\\" {},#=\"} 1\n",
        ),
        // A backslash that escapes nothing means itself.
        (
            "a{x=\"\\d\\\\\"} 1\n",
            "# TYPE a untyped\na{x=\"\\\\d\\\\\"} 1\n",
        ),
        (
            "# HELP a \\d \\\\ \\n \"\na 1\n",
            "# HELP a \\\\d \\\\ \\n \"\n# TYPE a untyped\na 1\n",
        ),
        // Type and help may come late. The family keeps the first ones.
        (
            "a 1\n# TYPE a gauge\n# TYPE a counter\n# HELP a b\n# HELP a c\n",
            "# HELP a b\n# TYPE a gauge\na 1\n",
        ),
        (
            "a 1\nb 2\na{x=\"1\"} 3\n",
            "# TYPE a untyped\na 1\na{x=\"1\"} 3\n# TYPE b untyped\nb 2\n",
        ),
        (
            "# EOF is only a comment here\na 1\n",
            "# TYPE a untyped\na 1\n",
        ),
        (
            "# TYPE a counter\na_total 1\na_created 2\n",
            "# TYPE a_created untyped\na_created 2\n# TYPE a_total untyped\na_total 1\n",
        ),
    ];
    for (body, expected) in cases {
        let merged = alone(body);
        assert_eq!(merged.instances[0].malformed, None, "{body}");
        assert_eq!(text(&merged), expected, "{body}");
    }
}

#[test]
fn histograms_and_summaries_stay_whole() {
    let body = "# HELP h Times.\n# TYPE h histogram\n\
                h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n";
    let merged = alone(body);
    assert_eq!((text(&merged), merged.type_conflicts), (body, 0));
}

#[test]
fn open_metrics_become_text() {
    let body = "# HELP c A \\\"c\\\".\n# TYPE c counter\n# UNIT c seconds\n\
                c_total{a=\"b\"} 1.0 1520879607.789 # {trace_id=\"x,}\"} 0.67 1520879607.7\nc_created{a=\"b\"} 1520430000.123\n\
                # TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3.0\nh_created 4\n\
                # TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 4\ng_gcount 4\ng_gsum 5\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 3\ns_sum 2\ns_created 1\n\
                # TYPE build info\nbuild_info{version=\"1\"} 1\n\
                # TYPE state stateset\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n\
                # TYPE u unknown\nu 1\nalone 7\n# EOF\n";
    let rules = MergeRules {
        keeps_timestamps: true,
        ..RULES
    };
    let merged = merge(&[scraped(body, &[])], &rules);
    assert_eq!(
        text(&merged),
        "# TYPE alone untyped\nalone 7\n\
         # TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
         # HELP c_created A \"c\".\n# TYPE c_created gauge\nc_created{a=\"b\"} 1520430000.123\n\
         # HELP c_total A \"c\".\n# TYPE c_total counter\nc_total{a=\"b\"} 1.0 1520879607789\n\
         # TYPE g histogram\ng_bucket{le=\"+Inf\"} 4\n\
         # TYPE g_gcount gauge\ng_gcount 4\n# TYPE g_gsum gauge\ng_gsum 5\n\
         # TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3.0\n\
         # TYPE h_created gauge\nh_created 4\n\
         # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 3\ns_sum 2\n\
         # TYPE s_created gauge\ns_created 1\n\
         # TYPE state gauge\nstate{state=\"on\"} 1\nstate{state=\"off\"} 0\n\
         # TYPE u untyped\nu 1\n"
    );
    let outcome = merged.instances[0];
    assert_eq!(
        (outcome.series, outcome.exemplars, outcome.timestamps),
        (19, 2, 0)
    );
    let same = "# HELP c_total A \"c\".\n# TYPE c_total counter\nc_total{a=\"b\"} 2\n";
    assert_eq!(numbered(&[body, same], &RULES).type_conflicts, 0);
    // As Go programs write two families whose names differ by `_total` only.
    let twice = "# HELP m Bytes now.\n# TYPE m gauge\nm 1\n# HELP m Bytes ever.\n# TYPE m counter\nm_total 2\n# EOF\n";
    assert_eq!(
        text(&alone(twice)),
        "# HELP m Bytes now.\n# TYPE m gauge\nm 1\n# HELP m_total Bytes ever.\n# TYPE m_total counter\nm_total 2\n"
    );
}

#[test]
fn timestamps_are_dropped_and_counted() {
    let body = "a 1 1700000000000\nb 2\n";
    let merged = alone(body);
    assert_eq!(
        text(&merged),
        "# TYPE a untyped\na 1\n# TYPE b untyped\nb 2\n"
    );
    assert_eq!(merged.instances[0].timestamps, 1);
}

#[test]
fn families_of_several_types_become_untyped() {
    let histogram =
        "# HELP x Times.\n# TYPE x histogram\nx_bucket{le=\"+Inf\"} 2\nx_sum 3\nx_count 2\n";
    let cases = [
        (
            ["# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n"],
            1,
            "# TYPE a untyped\na{i=\"0\"} 1\na{i=\"1\"} 2\n",
        ),
        (
            [histogram, "# TYPE x gauge\nx 1\n"],
            1,
            "# HELP x Times.\n# TYPE x untyped\nx{i=\"1\"} 1\n\
             # HELP x_bucket Times.\n# TYPE x_bucket untyped\nx_bucket{le=\"+Inf\",i=\"0\"} 2\n\
             # HELP x_count Times.\n# TYPE x_count untyped\nx_count{i=\"0\"} 2\n\
             # HELP x_sum Times.\n# TYPE x_sum untyped\nx_sum{i=\"0\"} 3\n",
        ),
        (
            [
                "# HELP x_count Other.\n# TYPE x_count counter\nx_count 1\n",
                histogram,
            ],
            2,
            "# HELP x_bucket Times.\n# TYPE x_bucket untyped\nx_bucket{le=\"+Inf\",i=\"1\"} 2\n\
             # HELP x_count Other.\n# TYPE x_count untyped\nx_count{i=\"0\"} 1\nx_count{i=\"1\"} 2\n\
             # HELP x_sum Times.\n# TYPE x_sum untyped\nx_sum{i=\"1\"} 3\n",
        ),
        // One follows from the other.
        (
            [
                histogram,
                "# HELP x_sum Sums.\n# TYPE x_sum summary\nx_sum_count 1\n",
            ],
            2,
            "# HELP x_bucket Times.\n# TYPE x_bucket untyped\nx_bucket{le=\"+Inf\",i=\"0\"} 2\n\
             # HELP x_count Times.\n# TYPE x_count untyped\nx_count{i=\"0\"} 2\n\
             # HELP x_sum Sums.\n# TYPE x_sum untyped\nx_sum{i=\"0\"} 3\n\
             # HELP x_sum_count Sums.\n# TYPE x_sum_count untyped\nx_sum_count{i=\"1\"} 1\n",
        ),
    ];
    for (bodies, conflicts, expected) in cases {
        let merged = numbered(&bodies, &RULES);
        assert_eq!(
            (text(&merged), merged.type_conflicts),
            (expected, conflicts)
        );
    }
}

#[test]
fn labels_of_the_same_name_are_overwritten_or_renamed() {
    let added =
        [("app", "a\"b"), ("i", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let body = "m{app=\"own\",x=\"1\",exported_app=\"2\",i=\"\"} 1\n";
    let labelled = |label_conflict, added| {
        let rules = MergeRules {
            label_conflict,
            ..RULES
        };
        text(&merge(&[scraped(body, added)], &rules)).to_owned()
    };
    assert_eq!(
        labelled(LabelConflict::Overwrite, &added),
        "# TYPE m untyped\nm{x=\"1\",exported_app=\"2\",app=\"a\\\"b\",i=\"\"} 1\n"
    );
    assert_eq!(
        labelled(LabelConflict::Exported, &added),
        "# TYPE m untyped\nm{exported_exported_app=\"own\",x=\"1\",exported_app=\"2\",app=\"a\\\"b\",i=\"\"} 1\n"
    );
    let kept = ScrapedBody {
        keeps_labels: true,
        ..scraped(body, &added)
    };
    assert_eq!(
        text(&merge(
            &[kept, scraped("m{app=\"own\",i=\"1\"} 2\n", &added)],
            &RULES
        )),
        "# TYPE m untyped\nm{exported_exported_app=\"own\",x=\"1\",exported_app=\"2\",app=\"a\\\"b\",i=\"\"} 1\n\
         m{app=\"a\\\"b\",i=\"\"} 2\n"
    );
    // The shorter name first, as Prometheus does.
    let both = ["exported_app", "app"].map(|name| (name.to_owned(), "new".to_owned()));
    let body = "m{exported_app=\"longer\",app=\"shorter\"} 1\n";
    let rules = MergeRules {
        label_conflict: LabelConflict::Exported,
        ..RULES
    };
    assert_eq!(
        text(&merge(&[scraped(body, &both)], &rules)),
        "# TYPE m untyped\nm{exported_exported_exported_app=\"longer\",exported_exported_app=\"shorter\",\
         exported_app=\"new\",app=\"new\"} 1\n"
    );
}

#[test]
fn duplicate_series_are_dropped_and_counted() {
    let body = "a{x=\"1\",y=\"2\",i=\"5\"} 1\na{y=\"2\",x=\"1\",z=\"\"} 2\na{y=\"1\",x=\"2\"} 3\n";
    let merged = numbered(&[body], &RULES);
    assert_eq!(
        text(&merged),
        "# TYPE a untyped\na{x=\"1\",y=\"2\",i=\"0\"} 1\na{y=\"1\",x=\"2\",i=\"0\"} 3\n"
    );
    assert_eq!(
        (merged.instances[0].series, merged.instances[0].duplicates),
        (2, 1)
    );
    let same = merge(&[scraped("a 1\n", &[]), scraped("a 2\n", &[])], &RULES);
    assert_eq!(text(&same), "# TYPE a untyped\na 1\n");
    assert_eq!(
        (same.instances[0].series, same.instances[1].duplicates),
        (1, 1)
    );
}

#[test]
fn series_about_instances_are_dropped_and_counted() {
    let merged = alone(
        "# TYPE headcount_target_up gauge\nheadcount_target_up{kind=\"x\"} 1\nheadcount_targets 1\n",
    );
    assert_eq!(
        text(&merged),
        "# TYPE headcount_targets untyped\nheadcount_targets 1\n"
    );
    assert_eq!(
        (merged.instances[0].series, merged.instances[0].reserved),
        (1, 1)
    );
}

#[test]
fn malformed_bodies_contribute_nothing() {
    let cases = [
        (&b"ok 1\n1a 2\n"[..], 2, "expected the name of a metric"),
        (
            b"a\n",
            1,
            "expected a blank or labels behind the name of a metric",
        ),
        (
            b"a-b 1\n",
            1,
            "expected a blank or labels behind the name of a metric",
        ),
        (b"{\"a.b\"} 1\n", 1, "expected the name of a metric"),
        (b"a \n", 1, "the value is no number"),
        (b"\n\na x\n", 3, "the value is no number"),
        (b"a 1e999\n", 1, "the value is no number"),
        (b"a -NaN\n", 1, "the value is no number"),
        (b"a 1\r\n", 1, "the value is no number"),
        (b"a 1 1.5\n", 1, "the timestamp is no number"),
        (b"a 1 2 3\n", 1, "expected the end of the line"),
        (b"a 1 # {} 1\n", 1, "expected the end of the line"),
        (b"a{,} 1\n", 1, "expected the name of a label or `}`"),
        (
            b"a{\"x.y\"=\"1\"} 1\n",
            1,
            "expected the name of a label or `}`",
        ),
        (b"a{x} 1\n", 1, "expected `=` behind the name of a label"),
        (
            b"a{x=1} 1\n",
            1,
            "expected `\"` before the value of a label",
        ),
        (
            b"a{x=\"1} 1\n",
            1,
            "the value of a label has no closing quote",
        ),
        (b"a{x=\"1\\", 1, "the value of a label has no closing quote"),
        (
            b"a{x=\"1\" y=\"2\"} 1\n",
            1,
            "expected `,` or `}` behind a label",
        ),
        (
            b"a{x=\"1\",x=\"2\"} 1\n",
            1,
            "a series has two labels of the same name",
        ),
        (
            b"a{__name__=\"b\"} 1\n",
            1,
            "a series has two labels of the same name",
        ),
        (b"# TYPE a Counter\n", 1, "unknown type"),
        (b"# TYPE a info\n", 1, "unknown type"),
        (b"# TYPE a\n", 1, "unknown type"),
        (b"# TYPE a gauge x\n", 1, "expected the end of the line"),
        (
            b"# HELP a-b c\n",
            1,
            "expected a blank behind the name of a metric",
        ),
        (b"<html>\n", 1, "expected the name of a metric"),
        (b"a 1\nb{x=\"\xFF\"} 1\n", 2, "the body is not UTF-8"),
    ];
    for (body, line, reason) in cases {
        let answers = [body, b"other 1\n"].map(|body| ScrapedBody {
            labels: &[],
            without: &[],
            keeps_labels: false,
            body,
            format: BodyFormat::Text,
        });
        let merged = merge(&answers, &RULES);
        let expected = InstanceOutcome {
            malformed: Some(MalformedBody { line, reason }),
            ..InstanceOutcome::default()
        };
        let shown = String::from_utf8_lossy(body);
        assert_eq!(merged.instances[0], expected, "{shown}");
        assert_eq!(text(&merged), "# TYPE other untyped\nother 1\n", "{shown}");
    }
}

#[test]
fn malformed_open_metrics_contribute_nothing() {
    let cases = [
        ("a 1\n", 2, "the body ends without `# EOF`"),
        ("a 1", 1, "the body ends without `# EOF`"),
        ("# EOF\na 1\n# EOF\n", 1, "lines behind `# EOF`"),
        ("# TYPE a untyped\n# EOF\n", 1, "unknown type"),
        ("a 1 NaN\n# EOF\n", 1, "the timestamp is no number"),
        ("a 1 # x\n# EOF\n", 1, "the exemplar is malformed"),
        ("a 1 # {} x\n# EOF\n", 1, "the exemplar is malformed"),
        ("a 1 # {} 1 x\n# EOF\n", 1, "the exemplar is malformed"),
        ("a 1 # {} 1 2 3\n# EOF\n", 1, "expected the end of the line"),
    ];
    for (body, line, reason) in cases {
        let answer = ScrapedBody {
            format: BodyFormat::OpenMetrics,
            ..scraped(body, &[])
        };
        let merged = merge(&[answer], &RULES);
        let expected = Some(MalformedBody { line, reason });
        assert_eq!(
            (merged.instances[0].malformed, text(&merged)),
            (expected, ""),
            "{body}"
        );
    }
}

#[test]
fn part_of_an_instance_in_a_family_is_cut_as_a_whole() {
    let large = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE b gauge\nb 1\n";
    let small = "# TYPE a gauge\na 3\n";
    let all = "# TYPE a gauge\na{i=\"0\"} 3\na{x=\"1\",i=\"1\"} 1\na{x=\"2\",i=\"1\"} 2\n# TYPE b gauge\nb{i=\"1\"} 1\n";
    let cut = "# TYPE a gauge\na{i=\"0\"} 3\n# TYPE b gauge\nb{i=\"1\"} 1\n";
    for (most_bytes, expected, counts) in [
        (all.len(), all, (1, 3, 0, 0)),
        (
            all.len() - 1,
            &all[..all.len() - "# TYPE b gauge\nb{i=\"1\"} 1\n".len()],
            (1, 2, 0, 1),
        ),
        (cut.len(), cut, (1, 1, 0, 2)),
        ("# TYPE a gauge\n".len(), "", (0, 0, 1, 3)),
        (0, "", (0, 0, 1, 3)),
    ] {
        let rules = MergeRules {
            most_bytes,
            ..RULES
        };
        let merged = numbered(&[small, large], &rules);
        let [first, second] = [0, 1].map(|n| merged.instances[n]);
        assert_eq!(text(&merged), expected);
        assert_eq!((first.series, second.series, first.cut, second.cut), counts);
    }
}

#[test]
fn too_many_families_are_refused_or_cut() {
    let body =
        |of: &str, count: usize| -> String { (0..count).map(|n| format!("{of}{n} 1\n")).collect() };
    let refused = alone(&body("a", MAX_FAMILIES + 1)).instances[0];
    let expected = MalformedBody {
        line: MAX_FAMILIES + 1,
        reason: "the body has more than 65,536 families",
    };
    assert_eq!(refused.malformed, Some(expected));
    let merged = numbered(&[&body("a", MAX_FAMILIES - 1), &body("b", 3)], &RULES);
    assert_eq!((merged.instances[0].cut, merged.instances[1].cut), (0, 2));
    assert_eq!(
        (merged.instances[0].series, merged.instances[1].series),
        (MAX_FAMILIES as u64 - 1, 1)
    );
}
