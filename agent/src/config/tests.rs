//! The accepted configuration files (section 2 of docs/dev/compatibility.md), and the exact text of every error.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/x.yml"), text)
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn texts(list: &Option<Vec<Text>>) -> Option<Vec<&str>> {
    list.as_ref()
        .map(|list| list.iter().map(|text| text.text.as_str()).collect())
}

#[test]
fn nothing_to_track() {
    for text in [
        "",
        "# only\n# comments\n",
        "process_names:",
        "process_names: ~",
        "process_names: []",
        "---\n",
        "{}",
    ] {
        let config = parse(text).unwrap();
        assert_eq!(
            (config.items, config.warnings),
            (vec![], vec![]),
            "{text:?}"
        );
    }
}

#[test]
fn the_whole_form() {
    let config = parse(concat!(
        "process_names:\n",
        "  - name: \"{{.Comm}}\"\n",
        "    comm: [bash, 123, true, 0x1F, ~, '~', 1.50]\n",
        "    exe:\n",
        "      - /bin/x\n",
        "      -\n",
        "    cmdline: []\n",
        "  - {name: 42, cmdline: ['.+'], comm: null}\n",
    ))
    .unwrap();
    let [first, second] = &config.items[..] else {
        panic!("{config:?}")
    };
    assert_eq!(first.line, 2);
    assert_eq!(
        first.name,
        Some(Text {
            text: "{{.Comm}}".to_owned(),
            line: 2
        })
    );
    assert_eq!(
        texts(&first.comm).unwrap(),
        ["bash", "123", "true", "0x1F", "", "~", "1.50"]
    );
    assert_eq!(texts(&first.exe).unwrap(), ["/bin/x", ""]);
    assert_eq!(first.exe.as_ref().unwrap()[0].line, 5);
    assert_eq!(texts(&first.cmdline).unwrap(), [""; 0]);
    assert_eq!((second.line, &second.comm, &second.exe), (8, &None, &None));
    assert_eq!(second.name.as_ref().unwrap().text, "42");
    assert_eq!(config.warnings, []);
}

#[test]
fn keys_beyond_process_exporters_are_parsed() {
    let config = parse(
        "process_names:\n- user: [root, 0]\n  cgroup: ['^/system']\n  exclude: true\n- {user: [], exclude: False}\n\
         - {cgroup: [], exclude: }\n",
    )
    .unwrap();
    let [first, second, third] = &config.items[..] else {
        panic!("{config:?}")
    };
    assert_eq!(texts(&first.user).unwrap(), ["root", "0"]);
    assert_eq!(texts(&first.cgroup).unwrap(), ["^/system"]);
    assert!(first.exclude && !second.exclude && !third.exclude);
    assert_eq!(config.warnings, []);
}

#[test]
fn json_anchors_merges_and_documents() {
    let json = parse("{\"process_names\": [{\"name\": \"a\\u0041\", \"comm\": [\"b\"]}]}").unwrap();
    assert_eq!(json.items[0].name.as_ref().unwrap().text, "aA");

    let anchors = parse(
        "process_names:\n- &a {name: n, comm: &c [x]}\n- {comm: *c}\n- *a\n- {<<: *a, name: m}\n",
    )
    .unwrap();
    assert_eq!(anchors.items.len(), 4);
    assert!(
        anchors
            .items
            .iter()
            .all(|item| texts(&item.comm).unwrap() == ["x"])
    );
    assert_eq!(anchors.items[3].name.as_ref().unwrap().text, "m");
    assert_eq!(anchors.warnings, []);

    let several =
        parse("a: &a {comm: [x], name: n}\nb: &b {comm: [y]}\nprocess_names: [{<<: [*a, *b]}]\n")
            .unwrap();
    assert_eq!(texts(&several.items[0].comm).unwrap(), ["x"]);

    let documents =
        parse("process_names: [{comm: [a]}]\n---\nprocess_names: [{comm: [b]}]\n").unwrap();
    assert_eq!(texts(&documents.items[0].comm).unwrap(), ["a"]);
    assert!(parse("process_names: [{comm: [a]}]\n---\n\t[broken").is_ok());
}

#[test]
fn of_one_key_the_last_wins() {
    let config = parse(
        "process_names: [{comm: [a]}]\nprocess_names:\n- {comm: [b], comm: [c], name: x, name: }\n",
    );
    let item = &config.unwrap().items[0];
    assert_eq!(texts(&item.comm).unwrap(), ["c"]);
    assert_eq!(item.name, None);
}

#[test]
fn unknown_keys_are_accepted_and_said() {
    let config = parse("process_name: []\nProcess_names: []\nprocess_names:\n- comm: [a]\n  cmd_line: [b]\n  7: x\n").unwrap();
    assert_eq!(config.items.len(), 1);
    let said: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "/etc/x.yml:1: unknown key \"process_name\" is ignored, did you mean \"process_names\"?",
            "/etc/x.yml:2: unknown key \"Process_names\" is ignored, did you mean \"process_names\"?",
            "/etc/x.yml:5: unknown key \"cmd_line\" is ignored, did you mean \"cmdline\"?",
            "/etc/x.yml:6: unknown key \"7\" is ignored",
        ]
    );
}

#[test]
fn extension_keys_that_hold_anchors_are_no_mistake() {
    let config = parse("x-db: &db [postgres]\nprocess_names:\n- comm: *db\n  x-y: z\n").unwrap();
    assert_eq!(texts(&config.items[0].comm).unwrap(), ["postgres"]);
    let said: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["/etc/x.yml:4: unknown key \"x-y\" is ignored"]);
}

#[test]
fn labels() {
    let config = parse(
        "process_names:\n- comm: [a]\n  labels: {unit: '{{.Unit}}', _a1: b, unit: 7}\n  max_groups: 9\n\
         - {comm: [b], labels: , max_groups: }\n",
    )
    .unwrap();
    let [first, second] = &config.items[..] else {
        panic!("{config:?}")
    };
    let found: Vec<_> = first
        .labels
        .iter()
        .map(|label| (label.name.as_str(), label.template.text.as_str()))
        .collect();
    assert_eq!(found, [("_a1", "b"), ("unit", "7")]);
    assert_eq!(
        (first.labels[0].template.line, first.max_groups),
        (3, Some(9))
    );
    assert_eq!((&second.labels[..], second.max_groups), (&[][..], None));
    let many: String = (0..17).map(|number| format!("l{number}: x, ")).collect();
    for (labels, expected) in [
        (
            "labels: [a]",
            "labels: found a list of strings, expected a map of label names to templates; write labels: {",
        ),
        (
            "labels: {a-b: x}",
            "labels: found the name \"a-b\", expected letters, digits and underscores, no digit first",
        ),
        (
            "labels: {1a: x}",
            "labels: found the name \"1a\", expected letters,",
        ),
        (
            "labels: {__a: x}",
            "labels: found the name \"__a\", expected a name that does not begin with two underscores",
        ),
        (
            "labels: {mode: x}",
            "labels: found the name \"mode\", expected a name that is no label of the agent's own",
        ),
        (
            "labels: {groupname: x}",
            "labels: found the name \"groupname\", expected a name that is no label of",
        ),
        (
            "labels: {a: {{.Unit}}}",
            "labels: a: found a map, expected a string (a template",
        ),
        (
            "labels: {a: }",
            "labels: a: found nothing, expected a string",
        ),
        (
            &format!("labels: {{{many}}}"),
            "labels: found 17 labels, expected at most 16",
        ),
        (
            "max_groups: 0",
            "max_groups: found a string \"0\", expected a whole number from 1",
        ),
        (
            "max_groups: many",
            "max_groups: found a string \"many\", expected",
        ),
    ] {
        let told = refused(&format!("process_names:\n- comm: [a]\n  {labels}\n"));
        assert!(
            told.starts_with(&format!("/etc/x.yml:3: {expected}")),
            "{told}"
        );
    }
}

#[test]
fn wrong_shapes() {
    let cases = [
        (
            "process_names:\n- name: x\n  comm: a\n",
            "3: comm: found a string \"a\", expected a list of strings (in brackets, or each behind a dash)",
        ),
        (
            "process_names:\n- exe: {a: b}\n",
            "2: exe: found a map, expected a list of strings (in brackets, or each behind a dash)",
        ),
        (
            "process_names:\n- cmdline: 7\n",
            "2: cmdline: found a string \"7\", expected a list of strings (in brackets, or each behind a dash)",
        ),
        (
            "process_names:\n- cmdline:\n  - a\n  - [b]\n",
            "4: cmdline: element of the list: found a list, expected a string",
        ),
        (
            "process_names:\n- name: {{.Comm}}\n  comm: [a]\n",
            "2: name: found a map, expected a string (a template that starts with {{ needs quotes)",
        ),
        (
            "process_names:\n- name: [a]\n",
            "2: name: found a list, expected a string",
        ),
        (
            "process_names:\n- comm: [a]\n  exclude: yes\n",
            "3: exclude: found a string \"yes\", expected true or false",
        ),
        (
            "process_names:\n- user: root\n",
            "2: user: found a string \"root\", expected a list of strings (in brackets, or each behind a dash)",
        ),
        (
            "process_names: bash\n",
            "1: process_names: found a string \"bash\", expected a list of items (each begins with a dash: - comm: [bash])",
        ),
        (
            "process_names: {a: b}\n",
            "1: process_names: found a map, expected a list of items (each begins with a dash: - comm: [bash])",
        ),
        (
            "process_names:\n- bash\n",
            "2: item 1 of process_names: found a string \"bash\", expected a map with comm, exe, cmdline, user or cgroup (such as comm: [bash])",
        ),
        (
            "- comm: [a]\n",
            "1: top level: found a list, expected a map with the key process_names",
        ),
        (
            "hello",
            "1: top level: found a string \"hello\", expected a map with the key process_names",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), format!("/etc/x.yml:{expected}"), "{text}");
    }
}

#[test]
fn items_without_a_selector() {
    let told = "item 2 of process_names: no matchers provided: found none of comm, exe, cmdline, user and cgroup, expected at least one";
    for (item, instead) in [
        ("name: x", ""),
        ("", ""),
        ("colour: red", "; unknown key \"colour\" in line 3"),
        (
            "name: x\n  cmdlines: [y]\n  Exe: [z]",
            "; unknown key \"cmdlines\" in line 4, did you mean \"cmdline\"?; unknown key \"Exe\" in line 5, did you mean \"exe\"?",
        ),
        (
            "name: x\n  command: [y]",
            "; unknown key \"command\" in line 4, did you mean \"cmdline\"?",
        ),
        ("comm:", "; comm in line 3 has no value"),
        (
            "comm: ~\n  exe: null",
            "; comm in line 3 has no value; exe in line 4 has no value",
        ),
        ("exclude: true", ""),
        (
            "user: ~\n  cgroup: null",
            "; user in line 3 has no value; cgroup in line 4 has no value",
        ),
    ] {
        let text = format!("process_names:\n- comm: [a]\n- {item}\n");
        assert_eq!(
            refused(&text),
            format!("/etc/x.yml:3: {told}{instead}"),
            "{item}"
        );
    }
    for item in [
        "comm: []",
        "exe: []",
        "cmdline: []",
        "user: []",
        "cgroup: []",
    ] {
        assert!(
            parse(&format!("process_names:\n- {item}\n")).is_ok(),
            "{item}"
        );
    }
}

#[test]
fn words_of_the_parser_are_explained() {
    for (text, expected) in [
        (
            "process_names:\n  - name: x\n  cmdline: ['a']\n",
            "keys of an item must begin in the column of its first key, two behind the dash",
        ),
        (
            "process_names:\n- cmdline: [\"java\\s+-jar\"]\n",
            "write the expression in single quotes",
        ),
    ] {
        let told = refused(text);
        assert!(told.ends_with(expected), "{told}");
    }
}

#[test]
fn malformed_yaml_is_an_error_with_its_line() {
    let cases = [
        ("process_names:\n\t- comm: [a]\n", 2),
        ("process_names:\n  - comm: [a]\n - exe: [b]\n", 3),
        ("process_names:\n- comm: [a\n", 2),
        ("process_names:\n- comm: ['a]\n", 2),
        ("process_names: *nowhere\n", 1),
        ("process_names: &a [*a]\n", 1),
        ("process_names:\n- <<: 7\n  comm: [a]\n", 2),
    ];
    for (text, line) in cases {
        let error = parse(text).unwrap_err();
        let ConfigError::Syntax {
            line: found, cause, ..
        } = &error
        else {
            panic!("{text}: {error}")
        };
        assert!(*found == line && !cause.is_empty(), "{text}: {error}");
    }
}

#[test]
fn hostile_documents_are_bounded() {
    let nested = |depth| format!("process_names: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(refused(&nested(80)).contains("nested more than 64 deep"));
    assert!(refused(&nested(100_000)).len() < 300);
    let mut bomb = String::from("a0: &a0 {k: v}\n");
    for level in 1..40 {
        let below = level - 1;
        bomb += &format!("a{level}: &a{level} {{<<: [*a{below}, *a{below}]}}\n");
    }
    assert!(refused(&bomb).contains("more than 10000 keys"));
    let keys: String = (0..1_000).map(|key| format!("k{key}: v, ")).collect();
    let wide = format!(
        "base: &b {{{keys}}}\nprocess_names:\n{}",
        "- {<<: *b, comm: [a]}\n".repeat(1_000)
    );
    assert!(refused(&wide).contains("more than 10000 keys"));
    let long = format!("process_names: [{{comm: {}}}]", "é".repeat(500));
    assert!(refused(&long).len() < 300);
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yml");
    let at = |path: &Path| path.display().to_string();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::load(&path)
    };
    let missing = Config::load(&path).unwrap_err().to_string();
    assert_eq!(
        missing,
        format!(
            "{}: cannot read the configuration file: No such file or directory (os error 2)",
            at(&path)
        )
    );
    let directory = Config::load(folder.path()).unwrap_err().to_string();
    assert_eq!(
        directory,
        format!(
            "{}: found a directory, expected a configuration file",
            at(folder.path())
        )
    );
    assert_eq!(
        load(b"\xef\xbb\xbfprocess_names: [{comm: [a]}]")
            .unwrap()
            .items
            .len(),
        1
    );
    let bytes = load(b"a: b\nc: \xff\n").unwrap_err().to_string();
    assert_eq!(
        bytes,
        format!(
            "{}:2: not valid yaml: found bytes that are not utf-8; save the file as utf-8",
            at(&path)
        )
    );
    let large = load(&[b'#'; (1 << 20) + 1]).unwrap_err();
    assert!(matches!(large, ConfigError::TooLarge { .. }), "{large}");
    assert!(load(&[b'#'; 1 << 20]).is_ok());
}

#[test]
fn errors_of_compiled_values_find_their_line() {
    let config = parse("process_names:\n- comm: [a]\n- cmdline:\n  - ok\n  - 'a('\n").unwrap();
    let error = config.invalid(1, Key::Cmdline, Some(1), "cmdline regex", "missing )");
    assert_eq!(
        error.to_string(),
        "/etc/x.yml:5: item 2 of process_names: cmdline: bad cmdline regex \"a(\": missing )"
    );
}

#[test]
fn requests_are_counted_only_for_items_that_say_so() {
    for (http, expected) in [
        ("true", (true, false)),
        ("", (false, false)),
        ("{}", (true, false)),
        ("{per_process: false}", (true, false)),
        ("{per_process: TRUE}", (true, true)),
    ] {
        let config = parse(&format!("process_names: [{{comm: [a], http: {http}}}]")).unwrap();
        let item = &config.items[0];
        assert_eq!((item.http, item.http_per_process), expected, "{http}");
    }
    let refused = |http| refused(&format!("process_names: [{{comm: [a], http: {http}}}]"));
    assert!(refused("1").contains("per_process"), "{}", refused("1"));
    let error = refused("{per_process: [true]}");
    assert!(error.contains("http: per_process"), "{error}");
}
