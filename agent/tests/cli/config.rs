//! Configuration files: refused with file, line, the value found and the value expected, or accepted with warnings.

use std::path::PathBuf;

use super::*;

/// How a run with this configuration ends; the file's path is written `FILE`.
fn refused(yaml: &[u8]) -> String {
    let tree = tree();
    let file = tree.rootfs().join("broken.yml");
    fs::write(&file, yaml).unwrap();
    let flag = format!("-config.path={}", file.display());
    let ended = Launch::on(&tree).arg(flag).run();
    assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
    ended.one_error().replace(file.to_str().unwrap(), "FILE")
}

#[test]
fn a_broken_configuration_is_refused_with_file_line_found_and_expected() {
    let cases: [(&str, &str); 11] = [
        (
            "process_names:\n  - comm: a\n",
            "FILE:2: comm: found a string \"a\", expected a list of strings (in brackets, or each behind a dash)",
        ),
        (
            "process_names:\n  - name: x\n",
            "FILE:2: item 1 of process_names: no matchers provided: found none of comm, exe, cmdline, user and \
             cgroup, expected at least one",
        ),
        (
            "process_names:\n  - comm: [a]\n  - cmdline:\n    - ok\n    - (a\n",
            "FILE:5: item 2 of process_names: cmdline: bad cmdline regex \"(a\": error parsing regexp: missing \
             closing ): `(a`",
        ),
        (
            "process_names:\n  - comm: [a]\n    name: '{{.Foo'\n",
            "FILE:3: item 1 of process_names: name: bad name template \"{{.Foo\": template: cmdname:1: unclosed \
             action",
        ),
        (
            "process_names:\n  - comm: [a]\n    name: {{.Comm}}\n",
            "FILE:3: name: found a map, expected a string (a template that starts with {{ needs quotes)",
        ),
        (
            "process_names:\n  - cmdline: [{a: b}]\n",
            "FILE:2: cmdline: element of the list: found a map, expected a string",
        ),
        (
            "process_names: 7\n",
            "FILE:1: process_names: found a string \"7\", expected a list of items (each begins with a dash: - comm: [bash])",
        ),
        (
            "- comm: [a]\n",
            "FILE:1: top level: found a list, expected a map with the key process_names",
        ),
        (
            "process_names:\n\t- comm: [a]\n",
            "FILE:2: not valid yaml: tabs disallowed within this context (block indentation)",
        ),
        (
            "process_names: [{comm: [a]}\nfoo: bar\n",
            "FILE:2: not valid yaml: illegal placement of ':' indicator",
        ),
        (
            "process_names: [\n",
            "FILE:1: not valid yaml: unclosed bracket '['",
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(refused(yaml.as_bytes()), expected, "{yaml}");
    }
    let latin1 = refused(b"process_names:\n  - comm: [caf\xe9]\n");
    assert_eq!(
        latin1,
        "FILE:2: not valid yaml: found bytes that are not utf-8; save the file as utf-8"
    );
}

#[test]
fn configuration_in_utf16_is_refused_with_a_remedy() {
    let utf16: Vec<u8> = "\u{feff}process_names: []\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        refused(&utf16),
        "FILE:1: not valid yaml: found text in utf-16; save the file as utf-8"
    );
}

#[test]
fn missing_configuration_is_named_in_the_error() {
    let tree = tree();
    let with = |path: PathBuf| {
        let flag = format!("-config.path={}", path.display());
        let error = Launch::on(&tree).arg(flag).run().one_error();
        error.replace(path.to_str().unwrap(), "FILE")
    };
    assert_eq!(
        with(tree.rootfs().join("nowhere.yml")),
        "FILE: cannot read the configuration file: No such file or directory (os error 2)"
    );
    assert_eq!(
        with(tree.rootfs()),
        "FILE: found a directory, expected a configuration file"
    );
}

/// Warnings about a configuration that is accepted; the file's path is written `FILE`.
fn warnings(yaml: &str) -> Vec<String> {
    let tree = tree();
    let agent = Launch::on(&tree)
        .arg("-accounting=procfs")
        .config(yaml)
        .start();
    let named = |line: String| {
        let (path, rest) = line.split_once(':').unwrap();
        assert!(path.ends_with("/config.yml"), "{line}");
        format!("FILE:{rest}")
    };
    agent.messages("warn").into_iter().map(named).collect()
}

#[test]
fn unknown_keys_are_accepted_with_a_warning() {
    assert_eq!(
        warnings("process_name:\n  - comm: [a]\n"),
        [r#"FILE:1: unknown key "process_name" is ignored, did you mean "process_names"?"#]
    );
    assert_eq!(
        warnings("process_names:\n  - comm: [a]\n    cmd_line: [b]\n    colour: x\n"),
        [
            r#"FILE:3: unknown key "cmd_line" is ignored, did you mean "cmdline"?"#,
            r#"FILE:4: unknown key "colour" is ignored"#,
        ]
    );
}

#[test]
fn no_unknown_key_is_passed_over_however_many_there_are() {
    let mut yaml = "process_names:\n  - comm: [a]\n".to_owned();
    for number in 3..=9 {
        yaml.push_str(&format!("    key{number}: x\n"));
    }
    let found = warnings(&yaml);
    assert_eq!(found[3], r#"FILE:6: unknown key "key6" is ignored"#);
    assert_eq!(
        found[4..],
        [
            "FILE: further keys are unknown or repeated, or further values have tags, in lines 7, 8, 9"
        ]
    );
}
