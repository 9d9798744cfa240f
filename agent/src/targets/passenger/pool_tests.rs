//! Tests of the pool: recorded documents of Passenger 6.0.17 on Debian 12 (only the values of `api_key` were replaced), with values
//! that were read out of them by hand; and documents that Passenger would not write.

use super::document::InvalidDocument;
use super::pool::{
    AppPool, Application, MAX_APPLICATIONS, MAX_DOCUMENT, MAX_WORKERS, Worker, WorkerMemory,
    WorkerState,
};

const EMPTY: &[u8] = include_bytes!("recorded/pool-empty.xml");
const THREE_APPS: &[u8] = include_bytes!("recorded/pool-three-apps.xml");
const FULL: &[u8] = include_bytes!("recorded/pool-full-with-waiters.xml");
const STANDALONE: &[u8] = include_bytes!("recorded/pool-standalone-queue.xml");

fn parse(document: &str) -> Result<AppPool, InvalidDocument> {
    AppPool::parse(document.as_bytes())
}

fn application(name: &str, waiting: u64, workers: Vec<Worker>) -> Application {
    Application {
        name: name.to_owned(),
        waiting,
        spawning: 0,
        workers,
    }
}

/// An enabled worker; `times_us` are those of the beginning and the end of its spawning, and of its last use.
fn worker(
    (pid, gupid): (u32, &str),
    (sessions, processed): (u64, u64),
    times_us: [u64; 3],
    memory: WorkerMemory,
) -> Worker {
    let [spawn_began_us, spawned_us, last_used_us] = times_us;
    Worker {
        pid,
        gupid: gupid.to_owned(),
        sessions,
        processed,
        spawned_us,
        spawn_began_us,
        last_used_us,
        state: WorkerState::Enabled,
        memory,
    }
}

/// Memory without swap, of which private and real memory are equal; in kB.
fn unswapped(resident: u64, proportional: u64, real: u64) -> WorkerMemory {
    WorkerMemory {
        real: Some(real * 1024),
        resident: Some(resident * 1024),
        proportional: Some(proportional * 1024),
        private_dirty: Some(real * 1024),
        swap: Some(0),
    }
}

#[test]
fn the_empty_pool_has_its_limit_and_no_applications() {
    let expected = AppPool {
        version: "6.0.17".to_owned(),
        max: 3,
        ..AppPool::default()
    };
    assert_eq!(AppPool::parse(EMPTY), Ok(expected));
}

#[test]
fn three_applications_are_read_in_the_order_of_the_document() {
    let chat = worker(
        (31_156, "1c88d52-imUAwvfWSe"),
        (0, 2),
        [
            1_795_235_674_614_480,
            1_795_235_674_793_723,
            1_795_235_674_823_733,
        ],
        unswapped(52_208, 48_564, 10_456),
    );
    let api = worker(
        (31_087, "1c88d52-WpQ5SFdPHL"),
        (0, 1),
        [
            1_795_235_674_507_546,
            1_795_235_674_589_365,
            1_795_235_674_604_634,
        ],
        unswapped(13_416, 11_341, 6_924),
    );
    let blog = worker(
        (31_069, "1c88d52-Vx0QZGfvYo"),
        (0, 2),
        [
            1_795_235_674_473_796,
            1_795_235_674_491_656,
            1_795_235_674_817_982,
        ],
        unswapped(15_524, 8_405, 2_732),
    );
    let expected = AppPool {
        version: "6.0.17".to_owned(),
        max: 3,
        capacity_used: 3,
        waiting: 0,
        applications: vec![
            application("/srv/apps/chat (production)", 0, vec![chat]),
            application("/srv/apps/api (staging)", 0, vec![api]),
            application("/srv/apps/blog (production)", 0, vec![blog]),
        ],
    };
    assert_eq!(AppPool::parse(THREE_APPS), Ok(expected));
}

#[test]
fn waiters_of_pool_and_application_count_apart_and_young_workers_have_no_memory() {
    let chat = worker(
        (31_688, "1c88d53-Ea701xHSXb"),
        (1, 1),
        [
            1_795_235_716_027_866,
            1_795_235_716_152_083,
            1_795_235_716_169_668,
        ],
        WorkerMemory::default(),
    );
    let blog = worker(
        (31_670, "1c88d53-Przav5tgAe"),
        (1, 1),
        [
            1_795_235_715_985_795,
            1_795_235_716_007_057,
            1_795_235_716_175_515,
        ],
        WorkerMemory::default(),
    );
    let expected = AppPool {
        version: "6.0.17".to_owned(),
        max: 2,
        capacity_used: 2,
        waiting: 1,
        applications: vec![
            application("/srv/apps/chat (production)", 0, vec![chat]),
            application("/srv/apps/blog (production)", 1, vec![blog]),
        ],
    };
    assert_eq!(AppPool::parse(FULL), Ok(expected));
}

#[test]
fn the_standalone_queue_is_of_its_application() {
    let measured = worker(
        (28_856, "1c88d4f-2C0wnmvkza"),
        (1, 1),
        [
            1_795_235_469_867_404,
            1_795_235_469_883_723,
            1_795_235_472_529_021,
        ],
        unswapped(15_560, 7_913, 2_592),
    );
    let young = worker(
        (28_899, "1c88d4f-cYW8X19cFB"),
        (1, 0),
        [
            1_795_235_472_535_539,
            1_795_235_472_582_447,
            1_795_235_472_590_499,
        ],
        WorkerMemory::default(),
    );
    let expected = AppPool {
        version: "6.0.17".to_owned(),
        max: 2,
        capacity_used: 2,
        waiting: 0,
        applications: vec![application("/srv/apps/blog", 3, vec![measured, young])],
    };
    assert_eq!(AppPool::parse(STANDALONE), Ok(expected));
}

#[test]
fn the_secrets_of_a_document_are_not_kept() {
    let documents = [THREE_APPS, FULL, STANDALONE];
    for document in documents {
        assert!(String::from_utf8_lossy(document).contains("<api_key>REDACTED"));
        assert!(!format!("{:?}", AppPool::parse(document)).contains("REDACTED"));
    }
}

const WORKER: &str = "<pid>7</pid><gupid>g-1</gupid><sessions>1</sessions><processed>2</processed>\
    <spawn_start_time>3</spawn_start_time><spawn_end_time>4</spawn_end_time><last_used>5</last_used>\
    <life_status>ALIVE</life_status><enabled>ENABLED</enabled>";
const APPLICATION: &str = "<get_wait_list_size>8</get_wait_list_size><processes_being_spawned>9</processes_being_spawned>";
const POOL: &str = "<passenger_version>6</passenger_version><max>10</max><capacity_used>11</capacity_used>\
    <get_wait_list_size>12</get_wait_list_size>";

/// A document with these groups.
fn pool(groups: &str) -> String {
    format!("<info>{POOL}<supergroups><supergroup>{groups}</supergroup></supergroups></info>")
}

/// A group with the `process` elements of `workers`.
fn group(name: &str, workers: &str) -> String {
    format!("<group><name>{name}</name>{APPLICATION}<processes>{workers}</processes></group>")
}

/// A document of one worker with these fields.
fn one_worker(fields: &str) -> String {
    pool(&group("a", &format!("<process>{fields}</process>")))
}

/// The worker of such a document.
fn parse_worker(fields: &str) -> Result<Worker, InvalidDocument> {
    let pool = parse(&one_worker(fields))?;
    Ok(pool.applications[0].workers[0].clone())
}

/// The worker with another text in place of one that it has.
fn with(old: &str, new: &str) -> Result<Worker, InvalidDocument> {
    assert!(WORKER.contains(old), "{old}");
    parse_worker(&WORKER.replace(old, new))
}

#[test]
fn each_process_is_in_one_state() {
    for (life_status, enabled, state) in [
        ("ALIVE", "ENABLED", WorkerState::Enabled),
        ("ALIVE", "DISABLING", WorkerState::Disabling),
        ("ALIVE", "DISABLED", WorkerState::Disabled),
        ("ALIVE", "DETACHED", WorkerState::Detached),
        ("SHUTDOWN_TRIGGERED", "ENABLED", WorkerState::ShuttingDown),
        ("DEAD", "DETACHED", WorkerState::ShuttingDown),
    ] {
        let fields = WORKER
            .replace("ALIVE", life_status)
            .replace("ENABLED", enabled);
        assert_eq!(parse_worker(&fields).map(|worker| worker.state), Ok(state));
    }
    assert_eq!(
        with("ENABLED", "enabled"),
        Err(InvalidDocument::Value("enabled"))
    );
}

#[test]
fn memory_that_is_negative_is_unknown() {
    let memory =
        "<rss>-1</rss><pss>0</pss><private_dirty>-3</private_dirty><real_memory>2</real_memory>";
    let expected = WorkerMemory {
        real: Some(2048),
        proportional: Some(0),
        ..WorkerMemory::default()
    };
    assert_eq!(
        parse_worker(&format!("{WORKER}{memory}")).map(|worker| worker.memory),
        Ok(expected)
    );
}

#[test]
fn memory_that_is_no_number_of_bytes_is_refused() {
    let most = u64::MAX / 1024;
    let read = |kilobytes: &str| parse_worker(&format!("{WORKER}<swap>{kilobytes}</swap>"));
    assert_eq!(
        read(&most.to_string()).unwrap().memory.swap,
        Some(most * 1024)
    );
    for value in [
        &(most + 1).to_string(),
        "18446744073709551616",
        "",
        "-",
        "--1",
        "1.5",
        "1 ",
        "+1",
    ] {
        assert_eq!(read(value), Err(InvalidDocument::Value("swap")), "{value}");
    }
}

#[test]
fn other_numbers_are_not_negative() {
    for value in ["-1", "", "0x1", "1e3", " 1", "18446744073709551616"] {
        let sessions = format!("<sessions>{value}</sessions>");
        let refused = Err(InvalidDocument::Value("sessions"));
        assert_eq!(
            with("<sessions>1</sessions>", &sessions),
            refused,
            "{value}"
        );
    }
    for pid in ["0", "-7", "2147483648", "4294967303"] {
        let refused = Err(InvalidDocument::Value("pid"));
        assert_eq!(with("<pid>7", &format!("<pid>{pid}")), refused, "{pid}");
    }
}

#[test]
fn a_field_counts_by_its_path() {
    let other = "<name>no</name><pid>no</pid><get_wait_list_size>70</get_wait_list_size>";
    let process = format!("<process>{WORKER}<new>{other}</new></process>");
    let group = format!(
        "<group><name>a</name>{APPLICATION}<user>u</user><group>no</group><options>{other}</options>\
         <processes>{other}{process}</processes></group>"
    );
    let document = format!(
        "<info><new>{other}</new>{POOL}<supergroups>{other}<supergroup>{other}{group}</supergroup>\
         </supergroups></info>"
    );
    let found = parse(&document).unwrap();
    assert_eq!(Ok(&found), parse(&one_worker(WORKER)).as_ref());
    let application = &found.applications[0];
    assert_eq!(
        (found.waiting, application.waiting, application.spawning),
        (12, 8, 9)
    );
    assert_eq!(application.workers[0].pid, 7);
}

#[test]
fn a_missing_field_is_named() {
    let whole = one_worker(WORKER);
    assert!(parse(&whole).is_ok());
    for field in [
        "passenger_version",
        "max",
        "capacity_used",
        "supergroups",
        "name",
        "processes_being_spawned",
        "processes",
        "pid",
        "gupid",
        "sessions",
        "processed",
        "spawn_start_time",
        "spawn_end_time",
        "last_used",
        "life_status",
        "enabled",
    ] {
        let renamed = whole
            .replace(&format!("<{field}>"), "<x>")
            .replace(&format!("</{field}>"), "</x>");
        assert_eq!(parse(&renamed), Err(InvalidDocument::Missing(field)));
    }
    for waiting in [8, 12] {
        let waiting = format!("<get_wait_list_size>{waiting}</get_wait_list_size>");
        let refused = Err(InvalidDocument::Missing("get_wait_list_size"));
        assert_eq!(parse(&whole.replace(&waiting, "")), refused);
    }
}

#[test]
fn a_field_that_occurs_twice_is_named() {
    let whole = one_worker(&format!("{WORKER}<rss>1</rss>"));
    for (field, again) in [
        ("max", "<max>10</max>"),
        ("supergroups", "<supergroups/>"),
        ("name", "<name>a</name>"),
        ("processes", "<processes></processes>"),
        ("pid", "<pid>7</pid>"),
        ("rss", "<rss>-1</rss>"),
        ("enabled", "<enabled>DISABLED</enabled>"),
    ] {
        let end = format!("</{field}>");
        let twice = whole.replacen(&end, &format!("{end}{again}"), 1);
        assert_eq!(parse(&twice), Err(InvalidDocument::Twice(field)));
    }
}

#[test]
fn names_and_gupids_are_distinct() {
    let process = |gupid: &str| format!("<process>{}</process>", WORKER.replace("g-1", gupid));
    let distinct = format!("{}{}", group("a", &process("1")), group("b", &process("2")));
    assert!(parse(&pool(&distinct)).is_ok());
    let applications = format!("{}{}", group("a", ""), group("&#97;", ""));
    assert_eq!(
        parse(&pool(&applications)),
        Err(InvalidDocument::Twice("name"))
    );
    let workers = format!("{}{}", group("a", &process("1")), group("b", &process("1")));
    assert_eq!(parse(&pool(&workers)), Err(InvalidDocument::Twice("gupid")));
}

#[test]
fn a_long_name_is_cut_and_stays_distinct() {
    let names = ["x".repeat(50_000), "x".repeat(50_001)];
    let found = parse(&pool(&names.map(|name| group(&name, "")).concat())).unwrap();
    let lengths = found.applications.iter().map(|one| one.name.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [256, 256]);
}

#[test]
fn words_are_bounded() {
    let long = "x".repeat(65);
    for text in ["", "a b", "é", &long] {
        let gupid = with("g-1", text);
        assert_eq!(gupid, Err(InvalidDocument::Value("gupid")), "{text}");
    }
    let unnamed = pool(&group("", ""));
    assert_eq!(parse(&unnamed), Err(InvalidDocument::Value("name")));
}

#[test]
fn the_number_of_applications_is_bounded() {
    let groups = |count: usize| {
        (0..count)
            .map(|n| group(&n.to_string(), ""))
            .collect::<String>()
    };
    assert_eq!(
        parse(&pool(&groups(MAX_APPLICATIONS)))
            .unwrap()
            .applications
            .len(),
        MAX_APPLICATIONS
    );
    let refused = Err(InvalidDocument::Limit("number of applications"));
    assert_eq!(parse(&pool(&groups(MAX_APPLICATIONS + 1))), refused);
}

#[test]
fn the_number_of_workers_is_bounded_over_all_applications() {
    let workers = |range: std::ops::Range<usize>| {
        let fields = range.map(|n| WORKER.replace("g-1", &n.to_string()));
        fields
            .map(|fields| format!("<process>{fields}</process>"))
            .collect::<String>()
    };
    let first = group("a", &workers(0..MAX_WORKERS - 1));
    let full = format!(
        "{first}{}",
        group("b", &workers(MAX_WORKERS - 1..MAX_WORKERS))
    );
    assert_eq!(
        parse(&pool(&full)).unwrap().applications[1].workers.len(),
        1
    );
    let more = format!(
        "{first}{}",
        group("b", &workers(MAX_WORKERS - 1..MAX_WORKERS + 1))
    );
    assert_eq!(
        parse(&pool(&more)),
        Err(InvalidDocument::Limit("number of workers"))
    );
}

#[test]
fn the_length_of_a_document_is_bounded() {
    let mut document = EMPTY.to_vec();
    document.resize(MAX_DOCUMENT, b' ');
    assert!(AppPool::parse(&document).is_ok());
    document.push(b' ');
    assert_eq!(
        AppPool::parse(&document),
        Err(InvalidDocument::Limit("length of the document"))
    );
}

#[test]
fn document_cut_at_any_byte_is_refused() {
    let whole = EMPTY.trim_ascii_end();
    for document in [whole, STANDALONE.trim_ascii_end()] {
        for end in 0..document.len() {
            assert!(AppPool::parse(&document[..end]).is_err(), "{end}");
        }
    }
}
