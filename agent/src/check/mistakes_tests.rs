//! Tests with mistakes of real files: `check` reports each with its line and a remedy, and reports nothing else.

use super::*;

/// Findings about the file, without its name; the file is loaded as by `headcount check`.
fn found(yaml: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.yml");
    std::fs::write(&path, yaml).unwrap();
    let prefix = format!("{}:", path.display());
    let findings = check(&path).findings.into_iter();
    findings
        .map(|line| line.strip_prefix(&prefix).unwrap().to_owned())
        .collect()
}

fn finds(yaml: &str, expected: &[(usize, &[&str])]) {
    let found = found(yaml);
    assert_eq!(found.len(), expected.len(), "{yaml}: {found:#?}");
    for (finding, (line, parts)) in found.iter().zip(expected) {
        assert!(finding.starts_with(&format!("{line}: ")), "{finding}");
        for part in *parts {
            assert!(finding.contains(part), "{part}: {finding}");
        }
    }
}

#[test]
fn alternatives_in_cmdline() {
    finds(
        "process_names:\n  - name: web\n    cmdline:\n      - '^/usr/sbin/nginx'\n      - '^/usr/sbin/apache2'\n  - name: kafka\n    cmdline:\n      - java\n      - 'kafka\\.Kafka'\n",
        &[(
            5,
            &[
                "item 1 of process_names: cmdline: all entries must be found in the same command line",
                "\"^/usr/sbin/nginx\" and \"^/usr/sbin/apache2\"",
                "write one entry, \"^/usr/sbin/nginx|^/usr/sbin/apache2\"",
            ],
        )],
    );
}

#[test]
fn doubled_backslashes() {
    for scalar in [r"'java\\s+-jar'", r"java\\s+-jar", r#""java\\\\s+-jar""#] {
        finds(
            &format!("process_names:\n- name: a\n  cmdline:\n  - {scalar}\n"),
            &[(4, &["two backslashes in a row", r"write 'java\s+-jar'"])],
        );
    }
    finds(
        "process_names:\n- cmdline: ['foo\\\\.py$']\n",
        &[(2, &[r"write 'foo\.py$'"])],
    );
    for good in [
        r#""java\\s+-jar""#,
        r"'C:\\windows\\system32'",
        r"'C:\\d'",
        r"'a\\section'",
    ] {
        finds(&format!("process_names:\n- cmdline: [{good}]\n"), &[]);
    }
}

#[test]
fn paths_and_expressions_in_comm() {
    finds(
        "process_names:\n- comm:\n  - /usr/bin/foo\n  - ./run.sh\n  - kworker/0:1\n",
        &[
            (
                3,
                &[
                    "is a path",
                    "write exe: [\"/usr/bin/foo\"], or \"foo\" here",
                ],
            ),
            (4, &["is a path", "\"run.sh\" here"]),
        ],
    );
    finds(
        "process_names:\n- comm: ['(prometheus|alertmanager)', 'python[23].*', 'php-fpm\\d', 'mysqld|mariadbd-server-long']\n",
        &[
            (
                2,
                &[
                    "not as an expression",
                    "write comm: [prometheus, alertmanager]",
                ],
            ),
            (2, &["use cmdline: ['python[23].*']"]),
            (2, &["use cmdline: ['php-fpm\\d']"]),
            (2, &["write comm: [mysqld, mariadbd-server-long]"]),
        ],
    );
    finds(
        "process_names:\n- comm: ['[kthreadd]']\n",
        &[(2, &["write \"kthreadd\""])],
    );
    finds(
        "process_names:\n- {comm: ['(sd-pam)', python3.11, 'g++', 'kworker/u8:1-ev', 'a) b (c'], exe: ['/opt/a (x86)/b', 'c++']}\n",
        &[],
    );
}

#[test]
fn tags_where_exclusion_was_meant() {
    finds(
        "process_names:\n- name: '{{.Comm}}'\n  comm:\n  - dockerd\n  - !docker-proxy\n",
        &[(
            5,
            &[
                "comm: \"!docker-proxy\" is a YAML tag, which is ignored: the value is the text \"\"",
                "put the item - {comm: ['docker-proxy'], exclude: true} before this one",
            ],
        )],
    );
    finds(
        "process_names:\n- cmdline: ['.+', !nginx , ! httpd]\n",
        &[
            (
                2,
                &[
                    "\"!nginx\" is a YAML tag",
                    "{cmdline: ['nginx'], exclude: true}",
                ],
            ),
            (
                2,
                &[
                    "the value is the text \"httpd\"",
                    "{cmdline: ['httpd'], exclude: true}",
                ],
            ),
        ],
    );
    finds("process_names:\n- comm: [!!str 5]\n", &[]);
    finds(
        "process_names:\n- comm: ['!docker-proxy']\n",
        &[(
            2,
            &[
                "\"!docker-proxy\" excludes nothing",
                "{comm: ['docker-proxy'], exclude: true}",
            ],
        )],
    );
    let error = found("process_names:\n- cmdline: ['^(?!nginx)']\n").join("\n");
    assert!(error.contains("exclude: true"), "{error}");
}

#[test]
fn names_that_are_too_long_or_too_many() {
    finds(
        "process_names:\n- name: '{{.Matches}}'\n  cmdline: ['.+']\n",
        &[(2, &["name: the text may be longer than 1024 bytes"])],
    );
    finds(
        "process_names:\n- comm: [node]\n  labels:\n  - pid: '{{.PID}}'\n",
        &[(
            4,
            &[
                "labels: with .PID each process is a group of its own",
                "add max_groups",
            ],
        )],
    );
}

#[test]
fn items_without_a_selector_name_their_unknown_keys() {
    finds(
        "process_names:\n- name: a\n  cmdlines: ['x']\n",
        &[(
            2,
            &[
                "no matchers provided",
                "unknown key \"cmdlines\" in line 3, did you mean \"cmdline\"?",
            ],
        )],
    );
}

/// The text of each YAML block with items in a document.
fn blocks(document: &str) -> impl Iterator<Item = &str> {
    let blocks = document.split("```yaml\n").skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("```")?.0))
        .filter(|block| block.contains("process_names:"))
}

#[test]
fn configurations_of_the_repository_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![root.join("deploy"), root.join("docs")];
    let mut files = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    let mut checked = 0;
    for path in files {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let Some(extension @ ("md" | "yml" | "yaml")) = extension else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let texts: Vec<&str> = match extension {
            "md" => blocks(&text).collect(),
            _ => Some(text.as_str())
                .filter(|text| text.lines().any(|line| line == "process_names:"))
                .into_iter()
                .collect(),
        };
        for text in texts {
            assert_eq!(found(text), [""; 0], "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}
