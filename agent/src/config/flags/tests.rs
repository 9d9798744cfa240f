//! Names, defaults and spellings of the flags.

use super::*;

fn parse(words: &[&str]) -> Result<Flags, FlagError> {
    Flags::parse(words.iter().map(Into::into).collect())
}

#[test]
fn defaults() {
    let flags = parse(&[]).unwrap();
    let expected = Flags {
        config_path: None,
        procnames: String::new(),
        namemapping: String::new(),
        children: true,
        recheck: false,
        recheck_with_time_limit: Duration::ZERO,
        remove_empty_groups: false,
        procfs: "/proc".into(),
        rootfs: "/".into(),
        accounting: Accounting::Auto,
        ring_bytes: 1 << 20,
        overflow_entries: 8192,
        max_groups: 1000,
        threads: true,
        gather_smaps: true,
        smaps_budget: Duration::from_millis(50),
        collector_runqueue: false,
        network: NetworkFlags {
            is_on: true,
            is_off: false,
            udp_is_on: false,
            udp_is_off: false,
        },
        http: HttpFlags {
            is_on: false,
            is_off: false,
        },
        gunicorn: GunicornFlags {
            is_on: true,
            is_off: false,
        },
        passenger: PassengerFlags {
            is_on: true,
            is_off: false,
            registry_dirs: Vec::new(),
            max_instances: 64,
            has_processes: true,
        },
        web: WebFlags {
            listen_addresses: vec![":9256".parse().unwrap()],
            systemd_socket: false,
            enable_lifecycle: false,
            telemetry_path: "/metrics".to_owned(),
            max_exposition_bytes: 10_000_000,
            disable_ui: false,
            show_cmdline: false,
            allowed_hosts: Vec::new(),
            config: None,
        },
        once_to_stdout_delay: Duration::ZERO,
        log_level: Level::Info,
        debug: false,
        log_format: Format::Logfmt,
        man: false,
        version: false,
    };
    assert_eq!(flags, expected);
}

#[test]
fn requests_of_all_groups_are_counted_on_demand_only() {
    for (words, expected) in [
        (&[][..], false),
        (&["--collector.http"], true),
        (&["--collector.http", "--no-collector.http"], false),
    ] {
        assert_eq!(
            parse(words).unwrap().http.is_enabled(),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn last_word_decides_whether_a_collector_that_is_on_by_default_runs() {
    let cases: [(&[&str], bool); 7] = [
        (&[], true),
        (&["-collector.passenger"], true),
        (&["--collector.passenger=false"], false),
        (&["-no-collector.passenger"], false),
        (&["--no-collector.passenger", "--collector.passenger"], true),
        (
            &["--collector.passenger", "--no-collector.passenger"],
            false,
        ),
        (
            &["--no-collector.passenger", "--no-collector.passenger"],
            false,
        ),
    ];
    for (words, expected) in cases {
        let flags = parse(words).unwrap();
        assert_eq!(flags.passenger.is_enabled(), expected, "{words:?}");
        let words: Vec<String> = words
            .iter()
            .map(|word| word.replace("passenger", "network"))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let flags = parse(&words).unwrap();
        assert_eq!(flags.network.is_enabled(), expected, "{words:?}");
    }
    let flags = parse(&[
        "--collector.passenger.registry-dir=/a",
        "--collector.passenger.registry-dir",
        "/b",
    ]);
    let dirs = flags.unwrap().passenger.registry_dirs;
    assert_eq!(dirs, [Path::new("/a"), Path::new("/b")]);
}

#[test]
fn udp_is_counted_only_on_demand_and_never_without_the_network() {
    let cases: [(&[&str], Result<bool, ()>); 7] = [
        (&[], Ok(false)),
        (&["--no-collector.network"], Ok(false)),
        (&["-collector.network.udp"], Ok(true)),
        (
            &["--collector.network.udp", "--no-collector.network.udp"],
            Ok(false),
        ),
        (
            &["--no-collector.network.udp", "--collector.network.udp=true"],
            Ok(true),
        ),
        (
            &["--collector.network.udp", "--no-collector.network"],
            Err(()),
        ),
        (
            &["--collector.network.udp=0", "--no-collector.network"],
            Ok(false),
        ),
    ];
    for (words, expected) in cases {
        let flags = parse(words).unwrap();
        let found = flags.network.has_udp().map_err(|_| ());
        assert_eq!(found, expected, "{words:?}");
    }
}

#[test]
fn recheck_depends_on_its_flags_and_on_children() {
    let always = Some(Duration::MAX);
    let cases: [(&[&str], Option<Duration>); 7] = [
        (&[], None),
        (&["-recheck"], always),
        (&["-recheck", "-recheck=false"], None),
        (
            &["-recheck-with-time-limit", "1m"],
            Some(Duration::from_secs(60)),
        ),
        (
            &["--recheck", "--recheck-with-time-limit=1m"],
            Some(Duration::from_secs(60)),
        ),
        (&["-recheck-with-time-limit=0"], None),
        (&["-children=0", "-recheck-with-time-limit=1m"], always),
    ];
    for (words, expected) in cases {
        assert_eq!(parse(words).unwrap().recheck(), expected, "{words:?}");
    }
}

#[test]
fn both_spellings_and_the_last_wins() {
    let flags = parse(&[
        "-config.path",
        "-odd.yml",
        "--procfs=/a",
        "-procfs=/b",
        "-accounting",
        "procfs",
        "-max-groups=7",
        "-accounting=switch",
        "-log.level=debug",
        "--log.format",
        "json",
        "-web.listen-address=[::1]:1",
        "-accounting.ring-bytes=65536",
        "-web.telemetry-path=/m/x",
        "-web.config.file=w.yml",
        "-path.rootfs",
        "/host",
    ])
    .unwrap();
    assert_eq!(flags.grouping(), Ok(Grouping::File(Path::new("-odd.yml"))));
    assert_eq!(
        (flags.procfs.as_path(), flags.rootfs.as_path()),
        (Path::new("/b"), Path::new("/host"))
    );
    assert_eq!(
        (flags.accounting, flags.max_groups, flags.ring_bytes),
        (Accounting::Switch, 7, 65536)
    );
    assert_eq!(flags.web.config(), Some(Path::new("w.yml")));
    assert_eq!(parse(&["-web.config.file="]).unwrap().web.config(), None);
    assert_eq!(
        (flags.log_level(), flags.log_format),
        (Level::Debug, Format::Json)
    );
    assert_eq!(
        (
            flags.web.listen_addresses,
            flags.web.telemetry_path.as_str()
        ),
        (vec!["[::1]:1".parse().unwrap()], "/m/x")
    );
}

#[test]
fn each_listen_address_is_one_more() {
    let words = ["-web.listen-address", ":1", "--web.listen-address=unix:/s"];
    let flags = parse(&words).unwrap();
    let expected = [":1", "unix:/s"].map(|text| text.parse().unwrap());
    assert_eq!(flags.web.listen_addresses, expected);
    assert!(!flags.web.systemd_socket);
    let words = [
        "-web.allowed-host=A.example.",
        "--web.allowed-host",
        "b",
        "-web.listen-address=c:1",
    ];
    let flags = parse(&words).unwrap();
    let names: Vec<&str> = flags.web.host_names().collect();
    assert_eq!(names, ["a.example", "b", "c"]);
    assert!(parse(&["-web.systemd-socket"]).unwrap().web.systemd_socket);
}

#[test]
fn booleans_take_their_value_behind_an_equals_sign() {
    let threads = |words: &[&str]| parse(words).map(|flags| flags.threads);
    assert_eq!(threads(&["-threads"]), Ok(true));
    assert_eq!(threads(&["-threads=false"]), Ok(false));
    assert_eq!(threads(&["--threads=0", "-threads=T"]), Ok(true));
    let error = threads(&["-threads", "false"]).unwrap_err();
    assert!(error.text.contains("-threads=false"), "{}", error.text);
}

#[test]
fn help_and_version_are_no_mistakes() {
    for words in [["-h"], ["-help"], ["--help"]] {
        let help = parse(&words).unwrap_err();
        assert_eq!(help.code, 0);
        assert!(
            help.text.contains("--web.listen-address <ADDRESS>"),
            "{}",
            help.text
        );
    }
    assert!(parse(&["-version=false"]).is_ok());
    assert!(parse(&["-version", "-version=F"]).is_ok());
    for words in [["-man"], ["--man=1"]] {
        let manual = parse(&words).unwrap_err();
        assert!(manual.code == 0 && manual.text.starts_with("headcount - "));
    }
    for words in [
        &["-version"][..],
        &["--version", "-man"],
        &["-man", "-version=T"],
    ] {
        let version = parse(words).unwrap_err();
        assert_eq!(
            (version.code, version.text.as_str()),
            (0, concat!("headcount ", env!("CARGO_PKG_VERSION")))
        );
    }
}

#[test]
fn mistakes_exit_with_2_and_name_the_expected_value() {
    let cases: [(&[&str], &str); 34] = [
        (&["-web.listen-adress=:1"], "'--web.listen-address'"),
        (&["-web.listen-adress", ":1"], "'--web.listen-address'"),
        (&["-nonsense"], "unexpected argument '--nonsense'"),
        (&["-V"], "unexpected argument '--V'"),
        (&["-version", "false", "-procfs=/x"], "-version=false"),
        (&["-version=no"], "expected true or false"),
        (&["-children", "false"], "equals sign: -children=false"),
        (&["-recheck="], "expected true or false"),
        (&["-once-to-stdout"], "'--once-to-stdout-delay'"),
        (&["-once-to-stdout-delay=5"], "like 300ms, 20s or 1h30m"),
        (&["serve"], "found the word \"serve\", expected a flag"),
        (
            &["-procfs=/x", "y"],
            "found the word \"y\", expected a flag",
        ),
        (&["-config.path"], "--config.path <FILE>"),
        (&["-accounting=bpf"], "auto, iterator, switch, procfs"),
        (&["-accounting.ring-bytes=5000"], "expected a power of two"),
        (&["-accounting.ring-bytes=2048"], "at least one page"),
        (&["-accounting.ring-bytes=4294967296"], "at most 2147483648"),
        (&["-accounting.ring-bytes=1M"], "expected a power of two"),
        (&["-accounting.overflow-entries=0"], "0 is not in 1..="),
        (&["-max-groups=0"], "0 is not in 1..="),
        (
            &["-collector.passenger.max-instances=0"],
            "0 is not in 1..=1024",
        ),
        (&["-smaps.budget=0"], "expected a duration above 0"),
        (&["-smaps.budget=50"], "expected a duration like"),
        (
            &["-web.listen-address=9256"],
            "no port, expected host:port or :port",
        ),
        (
            &["-web.telemetry-path="],
            "is empty, expected a path like /metrics",
        ),
        (
            &["-web.allowed-host=http://a"],
            "expected one such as agents.example.org",
        ),
        (
            &["-web.max-exposition-bytes=1000000"],
            "not in 1048576..=1073741824",
        ),
        (&["-web.telemetry-path=/"], "is the page for people"),
        (
            &["-web.telemetry-path=metrics"],
            "does not start with a slash",
        ),
        (
            &["-web.telemetry-path=/health"],
            "is the path of the agent's health",
        ),
        (
            &["-web.telemetry-path=/ready"],
            "is the path of the agent's readiness",
        ),
        (
            &["-web.telemetry-path=/-/reload"],
            "is the path of reload requests",
        ),
        (&["-web.listen-address=unix:s"], "expected an absolute path"),
        (&["-log.level=loud"], "error, warn, info, debug"),
    ];
    for (words, expected) in cases {
        let error = parse(words).unwrap_err();
        assert_eq!(error.code, 2, "{words:?}");
        assert!(error.text.contains(expected), "{words:?}: {}", error.text);
    }
}

#[test]
fn words_that_are_not_utf8_are_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let word = std::ffi::OsString::from_vec(b"-procfs=\xff".to_vec());
    assert_eq!(Flags::parse(vec![word]).unwrap_err().code, 2);
}
