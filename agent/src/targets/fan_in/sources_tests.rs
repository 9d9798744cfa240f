use std::fs::{self, File};
use std::path::Path;
use std::task::Poll;
use std::time::SystemTime;

use tokio::task::LocalSet;

use super::*;
use crate::config::{GorouterConfig, HostPort};
use crate::targets::fan_in::found::ReadTime;
use crate::targets::fan_in::routes;
use crate::targets::fan_in::table::WantedInstances;

const GOOD: &str = r#"{"r": [{"address": "10.0.0.1:80"}, {"address": "x"}]}"#;
const OTHER: &str =
    r#"{"r": [{"address": "10.0.0.2:80"}, {"address": "10.0.0.3:80", "ttl": 3600}]}"#;

fn routes_file(path: &Path) -> Rc<Sources> {
    sources(&FanInConfig {
        routes_file: Some(path.to_owned()),
        ..FanInConfig::default()
    })
}

fn sources(config: &FanInConfig) -> Rc<Sources> {
    Rc::new(Sources::new(config, &Rc::new(HostNames::start(|| ()))))
}

async fn refresh(sources: &Rc<Sources>) {
    let refresh = sources.refresh(Instant::now() + Duration::from_secs(60));
    LocalSet::new().run_until(refresh).await;
}

/// The content of the table after a look that is not skipped because the last one is fresh.
async fn seen(sources: &Rc<Sources>) -> Vec<String> {
    *sources.last.lock().await = None;
    refresh(sources).await;
    let wanted = WantedInstances::route("r").unwrap();
    let found = sources.table().look_up(&wanted, std::time::Instant::now());
    found.iter().map(|one| one.address.to_string()).collect()
}

fn shown(sources: &Sources, family: &str) -> Vec<String> {
    let mut writer = Writer::default();
    sources.write(None, &mut writer);
    let body = String::from_utf8(writer.finish()).unwrap();
    let family = format!("headcount_fan_in_{family}");
    let lines = body.lines().filter_map(|line| line.strip_prefix(&family));
    let lines = lines.filter(|line| !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn changed_file_is_noticed_at_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    let sources = routes_file(&path);
    fs::write(&path, GOOD).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.1:80"]);
    assert_eq!(shown(&sources, "entries"), [r#"{source="routes_file"} 1"#]);
    assert_eq!(
        shown(&sources, "unused_entries"),
        [r#"{reason="unusable",source="routes_file"} 1"#]
    );
    let table = sources.table();
    assert_eq!(seen(&sources).await, ["10.0.0.1:80"]);
    assert!(
        Arc::ptr_eq(&table, &sources.table()),
        "the file is not read again"
    );
    fs::write(&path, OTHER).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.2:80", "10.0.0.3:80"]);
    let renamed = folder.path().join("new");
    fs::write(&renamed, GOOD).unwrap();
    fs::rename(&renamed, &path).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.1:80"]);
    assert_eq!(sources.failures(), 0);
}

#[tokio::test]
async fn look_serves_the_questions_of_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    fs::write(&path, GOOD).unwrap();
    let sources = routes_file(&path);
    assert_eq!(seen(&sources).await, ["10.0.0.1:80"]);
    *sources.last.lock().await = Some(Instant::now() + Duration::from_secs(3600));
    fs::write(&path, OTHER).unwrap();
    refresh(&sources).await;
    assert_eq!(shown(&sources, "entries"), [r#"{source="routes_file"} 1"#]);
}

#[tokio::test]
async fn look_of_a_dropped_question_is_finished_for_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    fs::write(&path, GOOD).unwrap();
    let sources = routes_file(&path);
    let tasks = LocalSet::new();
    let dropped = async {
        let mut question = Box::pin(sources.refresh(Instant::now() + Duration::from_secs(60)));
        let begun = std::future::poll_fn(|context| {
            Poll::Ready(question.as_mut().poll(context).is_pending())
        });
        assert!(begun.await);
    };
    tasks.run_until(dropped).await;
    tasks
        .run_until(sources.refresh(Instant::now() + Duration::from_secs(60)))
        .await;
    assert_eq!(shown(&sources, "entries"), [r#"{source="routes_file"} 1"#]);
    assert_eq!(sources.failures(), 0);
}

#[tokio::test]
async fn file_that_cannot_be_used_keeps_the_last_good_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    let sources = routes_file(&path);
    assert_eq!(seen(&sources).await, [""; 0]);
    assert!(sources.age().is_none() && shown(&sources, "age_seconds").is_empty());
    fs::write(&path, OTHER).unwrap();
    assert_eq!(seen(&sources).await.len(), 2);
    let good_at = sources.known.borrow().sources[0].good_at;
    fs::write(&path, "{\n").unwrap();
    for _ in 0..2 {
        assert_eq!(seen(&sources).await.len(), 2);
    }
    fs::write(&path, [b' '].repeat((16 << 20) + 1)).unwrap();
    assert_eq!(seen(&sources).await.len(), 2);
    fs::remove_file(&path).unwrap();
    assert_eq!(seen(&sources).await.len(), 2);
    fs::create_dir(&path).unwrap();
    assert_eq!(seen(&sources).await.len(), 2);
    {
        let known = &sources.known.borrow().sources[0];
        assert_eq!(known.good_at, good_at);
        let fault = known.files[&path].fault.as_ref().unwrap();
        assert_eq!(
            fault.cause,
            format!("{}: not a regular file", path.display())
        );
    }
    assert_eq!(
        shown(&sources, "source_failures_total"),
        [
            r#"{reason="gone",source="routes_file"} 2"#,
            r#"{reason="too_large",source="routes_file"} 1"#,
            r#"{reason="malformed",source="routes_file"} 3"#,
        ]
    );
    fs::remove_dir(&path).unwrap();
    fs::write(&path, GOOD).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.1:80"]);
    assert!(sources.age().is_some());
}

#[tokio::test]
async fn entries_of_an_old_file_have_expired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    fs::write(&path, OTHER).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(yesterday)
        .unwrap();
    let sources = routes_file(&path);
    assert_eq!(seen(&sources).await, ["10.0.0.2:80"]);
    assert_eq!(
        shown(&sources, "unused_entries"),
        [r#"{reason="expired",source="routes_file"} 1"#]
    );
}

#[tokio::test]
async fn pipe_without_a_writer_is_a_fault_and_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    let sources = routes_file(&path);
    assert_eq!(seen(&sources).await, [""; 0]);
    let known = &sources.known.borrow().sources[0];
    assert!(
        known.files[&path]
            .fault
            .as_ref()
            .unwrap()
            .cause
            .ends_with("not a regular file")
    );
}

#[tokio::test]
async fn pattern_finds_added_changed_and_removed_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let group = |address: &str| format!("- targets: ['{address}']\n  labels: {{app: r}}\n");
    let sources = sources(&FanInConfig {
        file_sd: vec![file("x-*.yml"), file("one.json"), file("none/*.yml")],
        ..FanInConfig::default()
    });
    fs::create_dir(file("none")).unwrap();
    assert_eq!(seen(&sources).await, [""; 0]);
    fs::write(file("x-a.yml"), group("10.0.0.1:80")).unwrap();
    fs::write(file("x-b.yml"), group("10.0.0.2:80")).unwrap();
    fs::write(file("x-c.yaml"), group("10.0.0.3:80")).unwrap();
    fs::write(file("a.yml"), group("10.0.0.4:80")).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    let json = r#"[{"targets": ["10.0.0.5:80"], "labels": {"app": "r"}}]"#;
    fs::write(file("one.json"), json).unwrap();
    fs::remove_file(file("x-a.yml")).unwrap();
    assert_eq!(seen(&sources).await, ["10.0.0.2:80", "10.0.0.5:80"]);
    assert_eq!(sources.failures(), 0);

    fs::write(file("x-b.yml"), "- targets: x\n").unwrap();
    fs::write(file("x-d.yml"), group("10.0.0.6:80")).unwrap();
    let all = ["10.0.0.2:80", "10.0.0.5:80", "10.0.0.6:80"];
    assert_eq!(seen(&sources).await, all, "the other files stay usable");
    assert_eq!(
        shown(&sources, "source_failures_total"),
        [r#"{reason="malformed",source="file_sd"} 1"#]
    );
    fs::remove_dir(file("none")).unwrap();
    assert_eq!(seen(&sources).await, all, "the directory is gone");
    fs::remove_file(file("x-b.yml")).unwrap();
    assert_eq!(seen(&sources).await, all[1..]);
}

#[tokio::test]
async fn router_is_asked_again_before_its_first_entry_expires() {
    let router = GorouterConfig {
        address: HostPort::parse("10.0.0.1:80").unwrap(),
        is_tls: false,
        path: "/routes".to_owned(),
        credentials: None,
        ca_file: None,
    };
    let sources = sources(&FanInConfig {
        gorouters: vec![router],
        ..FanInConfig::default()
    });
    let known = &mut *sources.known.borrow_mut();
    let mut now = Instant::now();
    assert_eq!(known.due(now).len(), 1);
    let mut answered = |now: Instant, found: Result<&str, Failure>| {
        let read = ReadTime {
            now: now.into_std(),
            age: Duration::ZERO,
        };
        let look = match found {
            Ok(text) => FileLook::Read(
                (0, 0, 0, 0, 0),
                Ok(routes::parse(text.as_bytes(), read).unwrap()),
            ),
            Err(failure) => FileLook::Failed(FileFault {
                failure,
                cause: String::new(),
            }),
        };
        let files = vec![(PathBuf::from("url"), look)];
        known.note(vec![(0, Ok(SourceLook { files, fault: None }))]);
        // The time, in steps of half a second, after which the router is due.
        let mut steps = (1..).map(|halves| Duration::from_millis(500 * halves));
        steps
            .find(|pause| !known.due(now + *pause).is_empty())
            .unwrap()
    };
    let entries = |ttls: &[i64]| {
        let each = ttls
            .iter()
            .map(|ttl| serde_json::json!({"address": "10.0.0.2:80", "ttl": ttl}));
        serde_json::json!({"r": each.collect::<Vec<_>>()}).to_string()
    };
    for (ttls, pause) in [
        (&[][..], 15.0),
        (&[0], 15.0),
        (&[120], 15.0),
        (&[120, 5, 0], 2.5),
        (&[1], 1.0),
    ] {
        let after = answered(now, Ok(&entries(ttls)));
        assert_eq!(after.as_secs_f64(), pause, "{ttls:?}");
        now += after;
    }
    assert_eq!(answered(now, Err(Failure::Refused)), RETRY);
}

#[tokio::test]
async fn instances_are_bounded_and_those_left_out_return_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let write = |name: &str, count: usize| {
        let targets = (0..count).map(|n| format!("10.{}.{}.1:80", n / 250, n % 250));
        let targets: Vec<String> = targets.collect();
        let groups = serde_json::json!([{"targets": targets, "labels": {"app": name}}]);
        fs::write(file(name), groups.to_string()).unwrap();
    };
    write("a.json", MOST_INSTANCES - 1);
    write("b.json", 3);
    let sources = sources(&FanInConfig {
        file_sd: vec![file("a.json"), file("b.json")],
        ..FanInConfig::default()
    });
    let counts = async || {
        seen(&sources).await;
        let of = |family| {
            let lines = shown(&sources, family);
            lines
                .first()
                .map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        };
        (of("entries"), of("unused_entries"))
    };
    for _ in 0..3 {
        assert_eq!(counts().await, (MOST_INSTANCES, 2));
    }
    write("a.json", 5);
    assert_eq!(counts().await, (6, 2));
    assert_eq!(counts().await, (8, 0));
    write("b.json", MOST_INSTANCES + 7);
    for _ in 0..3 {
        assert_eq!(counts().await, (MOST_INSTANCES, 12));
    }
}
