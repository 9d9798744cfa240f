//! The names that templates give a process.

use super::*;

#[test]
fn templates_render_as_in_go() {
    let cases = [
        ("{{.PID}} {{ .Comm }}", "42 java"),
        (
            "{{.StartTime.Format \"2006-01-02 15:04\"}}",
            "2023-11-14 22:15",
        ),
        ("{{\"15h\" | .StartTime.Format}}", "22h"),
        (
            "{{.StartTime.UTC.Month}} {{(.StartTime).Day}}",
            "November 14",
        ),
        (
            "{{with .StartTime}}{{.Year}} {{.}}{{end}}",
            "2023 2023-11-14 22:15:23.45 +0000 UTC",
        ),
        (
            "{{$t := .StartTime}}{{$t.Hour}}{{$.StartTime.Minute}}",
            "2215",
        ),
        ("a{{.StartTime.Nope}}b", "a"),
        ("a{{.StartTime.Format}}b", "a"),
        ("a{{.Comm.Nope}}b", "a"),
        ("a{{$.Nope}}b", "a"),
        ("a{{with .Matches}}{{.Nope}}{{end}}b", "a<no value>b"),
        ("a{{index .Matches \"Nope\"}}b", "ab"),
        ("{{if eq .Comm \"java\"}}yes{{else}}no{{end}}", "yes"),
        (
            "{{if .Matches.J}}{{.Matches.J}}{{else}}none{{end}}",
            "a.jar",
        ),
        (
            "{{range $i, $c := .Cgroups}}{{$i}}={{$c}};{{end}}",
            "0=/a;1=/b;",
        ),
        ("{{range .Cgroups}}{{.}}{{else}}none{{end}}", "/a/b"),
        (
            "{{define \"d\"}}<{{.Comm}}>{{end}}{{template \"d\" .}}",
            "<java>",
        ),
        (
            "{{define \"d\"}}<{{.Nope}}>{{end}}{{template \"d\" .}}",
            "<",
        ),
        (
            "{{define \"d\"}}<{{.Comm}}>{{end}}{{template \"d\"}}",
            "<<no value>>",
        ),
        ("a{{template \"nowhere\"}}b", "a"),
        ("{{block \"d\" .}}{{.Comm}}{{end}}", "java"),
        ("{{printf \"%s-%d\" .Comm .PID}}", "java-42"),
        ("{{printf \"%q\" .Comm | len}}", "6"),
        (
            "{{slice .Comm 1 3}}{{html \"<\"}}{{urlquery \"a b\"}}",
            "av&lt;a+b",
        ),
        ("  {{- .Comm -}}  {{/* note */}}x", "javax"),
        ("{{.Comm}}{{\"}}\"}}", "java}}"),
        (
            "{{and .Comm .PID}} {{or \"\" .Comm}} {{not .Comm}}",
            "42 java false",
        ),
    ];
    let facts = Facts {
        cgroups: vec!["/a".to_owned(), "/b".to_owned()],
        ..process(&["java", "-jar", "a.jar"])
    };
    for (template, expected) in cases {
        let name_yaml = template.replace('\'', "''");
        let classifier = classifier(&format!(
            "process_names: [{{cmdline: ['-jar (?P<J>\\S+)'], name: '{name_yaml}'}}]"
        ));
        assert_eq!(name(&classifier, &facts).unwrap(), expected, "{template}");
    }
}

#[test]
fn failures_are_counted_per_item() {
    let classifier = classifier("process_names: [{comm: [a]}, {comm: [b], name: 'x{{.Nope}}'}]");
    assert_eq!(classifier.template_failures(), []);
    for _ in 0..3 {
        classifier.classify(&process(&["a"]), BOOT);
        classifier.classify(&process(&["b"]), BOOT);
    }
    let failures = classifier.template_failures();
    assert_eq!(
        (failures.len(), failures[0].item, failures[0].count),
        (1, 1, 3)
    );
    assert!(
        failures[0].cause.contains("can't evaluate field Nope"),
        "{}",
        failures[0].cause
    );
}

#[test]
fn template_of_plain_fields_skips_the_engine() {
    for (source, short) in [
        ("", true),
        ("a", true),
        (
            "{{.Comm}};{{ .Username }}:{{.ExeBase}}{{.ExeFull}}{{.PID}}",
            true,
        ),
        ("{{- .Comm -}} {{/* x */}}", true),
        ("{{.Matches}}", false),
        ("{{.Comm | len}}", false),
        ("{{.StartTime}}", false),
        ("{{$x := .Comm}}", false),
    ] {
        let compiled = NameTemplate::compile(Some(source)).unwrap();
        assert_eq!(matches!(compiled.form, Form::Parts(_)), short, "{source}");
        assert_eq!(compiled.uses_matches(), !short);
    }
}

#[test]
fn absurd_templates_are_refused_or_bounded() {
    for (start, end) in [("{{", "}}"), ("{{if .Comm}}", ""), ("{{print ", " }}")] {
        for middle in ["(", "{{if .PID}}", "a"] {
            let _ = NameTemplate::compile(Some(&format!("{start}{}{end}", middle.repeat(50_000))));
        }
    }
    let wide = classifier("process_names: [{cmdline: [], name: '{{printf \"%99999999d\" .PID}}'}]");
    assert!(name(&wide, &process(&["x"])).unwrap().len() <= MAX_NAME);
}
