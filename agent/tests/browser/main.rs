//! The page in a real browser: texts, clicks and typed words of a person, and hostile names without effect.
//!
//! Needs Chromium: `cargo xtask browser`. Every test ends with a look at the browser's console.

#![allow(clippy::unwrap_used, clippy::panic)] // clippy takes only #[test] functions for tests

mod driver;
mod picture;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use driver::Browser;
use proxy::{PREFIX, Proxy};
use serde_json::json;
use support::agent::{Agent, Launch, until};
use support::fake_proc::FakeProc;
use support::passenger::FakePassenger;
use support::passenger::documents::{FakeApplication, FakeCounts, FakePool, FakeWorker};

const ENTER: &str = "\u{e007}";
const CONFIG: &str =
    "process_names:\n  - comm: [busy, big]\n  - name: \"{{.Comm}}\"\n    cmdline: ['.+']\n";

/// Groups: `busy` has used most, `big` holds most, `crowd` has most processes.
fn node() -> FakeProc {
    let tree = FakeProc::new(1_508_450_329);
    let named = |pid, name: &str| tree.process(pid).comm(name).argv(&[name]);
    named(10, "busy").rss_pages(10).write();
    named(11, "big").rss_pages(90_000).write();
    for pid in 20..25 {
        named(pid, "crowd").rss_pages(1).write();
    }
    named(26, "helper").argv::<&str>(&[]).parent(20).write();
    tree
}

fn start(tree: &FakeProc) -> Agent {
    Launch::on(tree)
        .arg("-accounting=procfs")
        .config(CONFIG)
        .start()
}

fn visit(browser: &Browser, agent: &Agent) {
    browser.open(&format!("http://{}/", agent.address));
    browser.wait("document.querySelectorAll('#groups tbody button').length > 0");
}

fn button_of(group: usize) -> String {
    format!("#groups > tbody > tr:nth-child({group}) > th > button")
}

fn assert_silent(browser: &Browser) {
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn groups_are_sorted_by_click_and_by_key() {
    let tree = node();
    let (agent, browser) = (start(&tree), Browser::start());
    visit(&browser, &agent);
    let sort = |key: &str| {
        let script = format!("return document.querySelector('th[data-key={key}]').ariaSort");
        browser.run(&script)
    };
    assert_eq!(
        (sort("cpu"), sort("memory")),
        (json!("descending"), json!(null))
    );
    browser.click("th[data-key=memory] button");
    assert_eq!(
        (sort("cpu"), sort("memory")),
        (json!(null), json!("descending"))
    );
    assert_eq!(browser.column(2), ["351.6 MiB", "420.0 KiB", "40.0 KiB"]);
    assert_eq!(browser.column(0)[0], "big");
    browser.type_into("th[data-key=memory] button", ENTER);
    assert_eq!(sort("memory"), json!("ascending"));
    assert_eq!(browser.column(0).last().unwrap(), "big");
    browser.type_into("th[data-key=name] button", ENTER);
    assert_eq!(browser.column(0), ["big", "busy", "crowd"]);
    browser.click("th[data-key=processes] button");
    assert_eq!(browser.column(3), ["6", "1", "1"]);
    browser.type_into("#filter", "BU");
    assert_eq!(browser.column(0), ["busy"]);
    assert_silent(&browser);
}

#[test]
fn a_group_opens_and_is_kept_up_to_date() {
    let tree = node();
    let (agent, browser) = (start(&tree), Browser::start());
    visit(&browser, &agent);
    browser.click("th[data-key=name] button");
    browser.type_into(&button_of(3), ENTER);
    browser.wait("document.querySelectorAll('.inner tbody tr').length === 6");
    assert_eq!(browser.text(".inner p"), "6 processes");
    browser.click(".inner th[data-key=pid] button");
    let first = browser.text(".inner tbody tr:first-child");
    let cells: Vec<_> = first.split('\t').map(str::trim).collect();
    assert_eq!(cells[..3], ["20", "root", "crowd"], "{first}");
    assert_eq!(cells[cells.len() - 1], "item 2: {{.Comm}}", "{first}");
    let last = browser.text(".inner tbody tr:last-child");
    assert!(
        last.starts_with("26") && last.ends_with("child of 20"),
        "{last}"
    );
    let focused = "document.activeElement.textContent";
    assert_eq!(browser.run(&format!("return {focused}")), "PID");

    // Nothing ran so far. Then one runs on the whole machine, one ends and a new group comes.
    browser.wait("document.querySelector('#state').textContent === 'every 3 s'");
    assert_eq!(browser.column(1), ["0.0", "0.0", "0.0"]);
    let crowd = tree.process(20).comm("crowd").argv(&["crowd"]);
    crowd.user_ticks(100_000).io(0, 1 << 30).write();
    tree.remove(21);
    tree.process(30).comm("new").argv(&["new"]).write();
    browser.wait("document.querySelectorAll('.inner tbody tr').length === 5");
    assert_eq!(browser.column(0), ["big", "busy", "crowd", "new"]);
    assert!(browser.column(1)[2].parse::<f64>().unwrap() > 100.0);
    assert!(
        browser.column(6)[2].ends_with("MiB"),
        "{:?}",
        browser.column(6)
    );
    let busiest = browser.text(".inner tbody tr:first-child td:nth-child(4)");
    assert!(busiest.parse::<f64>().unwrap() > 100.0, "{busiest}");
    // The process comes to rest, and the page shows the present values, not the former ones.
    browser.wait("document.querySelector('#cpu').textContent === '0.0 %'");
    browser.click(&button_of(3));
    browser.wait("document.querySelector('.inner') === null");
    assert_silent(&browser);
}

#[test]
fn hostile_names_run_no_script() {
    let tree = node();
    let hostile = "<img src=x onerror=document.title='had'>\u{202e}\u{1b}]0;x\u{7}&lt;";
    fs::write(tree.rootfs().join("etc/passwd"), "<u>me:x:0:0::/:/x\n").unwrap();
    let process = tree.process(40).comm(hostile);
    process
        .argv(&["<script>document.title='had'</script>", "\u{2066}"])
        .write();
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-web.show-cmdline"])
        .start();
    let browser = Browser::start();
    browser.open(&format!("http://{}/#%3C%", agent.address));
    browser.wait("document.querySelectorAll('#groups tbody button').length > 0");
    let shown = "<img src=x onerror=document.title='had'>\\u{202e}\\u{1b}]0;x\\u{7}&lt;";
    let found = browser.column(0);
    let at = found.iter().position(|name| name == shown);
    browser.click(&button_of(1 + at.unwrap_or_else(|| panic!("{found:?}"))));
    browser.wait("document.querySelectorAll('.inner tbody tr').length === 1");
    let row = browser.text(".inner tbody tr");
    for text in [
        "<u>me",
        shown,
        "<script>document.title='had'</script> \\u{2066}",
    ] {
        assert!(row.contains(text), "{row}");
    }
    let title = browser.run("return document.title");
    assert_eq!(title, format!("Headcount {}", agent.address));
    assert_eq!(
        browser.run("return document.images.length + document.scripts.length"),
        1
    );
    assert_silent(&browser);
    // The policy would stop a script that escaping let through.
    browser.run("const p = document.createElement('p'); p.innerHTML = '<img src=http://127.0.0.2/ onerror=alert(1)>'; document.body.append(p)");
    until("the refusal", || {
        browser
            .console()
            .iter()
            .any(|line| line.contains("Content Security Policy"))
    });
}

#[test]
fn applications_are_shown_where_there_is_an_instance() {
    let tree = node();
    let registry = tree.rootfs().join("registry");
    fs::create_dir(&registry).unwrap();
    let agent = || {
        Launch::on(&tree)
            .arg("-accounting=procfs")
            .config(CONFIG)
            .env("PASSENGER_INSTANCE_REGISTRY_DIR", "/registry")
            .start()
    };
    let (without, browser) = (agent(), Browser::start());
    visit(&browser, &without);
    browser.wait("document.querySelector('#state').textContent === 'every 3 s'");
    let hidden = "return document.querySelector('#applications').hidden";
    assert_eq!(browser.run(hidden), true);

    let instance = FakePassenger::new(&registry, "AbCdEfGh");
    let show = |finished: u64| {
        let (mut busy, idle) = (FakeWorker::new(10), FakeWorker::new(11));
        (busy.sessions, busy.processed) = (2, finished);
        let hostile = "/srv/<img src=x onerror=document.title='had'>\u{202e}";
        let mut blog = FakeApplication::new(hostile).with([busy, idle]);
        blog.waiting = 7;
        let wiki = FakeApplication::new("/srv/wiki");
        instance.show(
            &FakePool::new().with(wiki).with(blog),
            FakeCounts::default(),
        );
    };
    show(0);
    let agent = agent();
    visit(&browser, &agent);
    browser.wait("!document.querySelector('#applications').hidden");
    let row = |number: usize| {
        let row = browser.text(&format!("#applications tbody tr:nth-child({number})"));
        row.split('\t')
            .map(str::trim)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let first = row(1);
    let hostile = "<img src=x onerror=document.title='had'>\\u{202e}";
    assert_eq!([&first[0], &first[1]], [hostile, "AbCdEfGh"], "{first:?}");
    assert_eq!(first[3..6], ["7", "2", "2"]);
    assert_eq!(row(2)[0], "wiki");
    // From two answers on there are rates.
    browser.wait(
        "document.querySelector('#applications tbody tr td:last-child').textContent === '0.0'",
    );
    show(100_000);
    browser.wait(
        "Number(document.querySelector('#applications tbody tr td:last-child').textContent) > 100",
    );
    browser.click("#applications th[data-key=application] button");
    browser.click("#applications th[data-key=application] button");
    assert_eq!(row(1)[0], "wiki");
    assert_eq!(
        browser.run("return document.images.length + document.scripts.length"),
        1
    );
    let page = "return document.documentElement.scrollWidth <= innerWidth";
    browser.appear(320, "light");
    assert_eq!(browser.run(page), true);

    // Without its script, too.
    let off = json!({"value": true});
    browser.devtools("Emulation.setScriptExecutionDisabled", &off);
    browser.open(&format!("http://{}/", agent.address));
    assert_eq!(row(1)[0], hostile);
    assert_eq!(row(1).last().unwrap(), "–");
    assert_eq!(browser.text("caption"), "Applications of Passenger");
    assert_silent(&browser);
}

#[test]
fn gunicorn_is_shown_where_there_is_a_worker() {
    let tree = node();
    let hostile = "<img src=x onerror=document.title='had'>\u{202e}";
    let titled = |pid, parent, kind: &str, name: &str| {
        let title = format!("gunicorn: {kind} [{name}]");
        let process = tree.process(pid).comm("gunicorn").argv(&[title]);
        process.parent(parent).rss_pages(256).write();
    };
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "--collector.http"])
        .config(CONFIG)
        .start();
    let browser = Browser::start();
    visit(&browser, &agent);
    browser.wait("document.querySelector('#gunicorn').hidden");

    titled(50, 1, "master", "shop");
    titled(51, 50, "worker", "shop");
    titled(52, 50, "worker", "shop");
    titled(60, 1, "master", hostile);
    browser.wait("!document.querySelector('#gunicorn').hidden");
    let row = |number: usize| browser.text(&format!("#gunicorn tbody tr:nth-child({number})"));
    browser.click("#gunicorn th[data-key=workers] button");
    // Without kernel programs neither requests nor starts and ends are known.
    let cells = row(1);
    let cells: Vec<&str> = cells.split('\t').map(str::trim).collect();
    assert_eq!(cells, ["shop", "2", "–", "0.0", "2.0 MiB", "–", "–"]);
    assert!(row(2).contains(hostile.trim_end_matches('\u{202e}')));
    assert_eq!(
        browser.run("return document.images.length + document.scripts.length"),
        1
    );
    browser.appear(320, "light");
    let fits = "return document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.run(fits), true);
    assert_silent(&browser);
}

#[test]
fn page_works_below_a_path_and_over_a_restart() {
    let tree = node();
    let agent = start(&tree);
    let proxy = Proxy::start(agent.address);
    let browser = Browser::start();
    browser.open(&format!("http://{}{PREFIX}/", proxy.address));
    browser.wait("document.querySelectorAll('#groups tbody button').length === 3");
    browser.click("th[data-key=name] button");
    browser.click(&button_of(1));
    browser.wait("document.querySelectorAll('.inner tbody tr').length === 1");
    assert_silent(&browser);
    assert!(
        browser
            .run("return location.href")
            .as_str()
            .unwrap()
            .ends_with(&format!("{PREFIX}/#big%7B%7D"))
    );

    agent.stop(libc::SIGTERM);
    browser.wait("!document.querySelector('#failure').hidden");
    // A new run has other groups first; open rows stay open.
    tree.process(9).comm("first").argv(&["first"]).write();
    let agent = start(&tree);
    proxy.turn_to(agent.address);
    browser.wait("document.querySelector('#failure').hidden");
    assert_eq!(browser.column(0), ["big", "busy", "crowd", "first"]);
    browser.wait("document.querySelectorAll('.inner tbody tr').length === 1");
    assert!(browser.text(".inner tbody tr").starts_with("11"));
    assert_eq!(browser.text("#cpu"), "0.0 %");
    browser.console(); // says that the agent was gone

    browser.click("nav a");
    assert!(
        browser
            .text("body")
            .contains("namedprocess_namegroup_num_procs")
    );
}

#[test]
fn page_fits_narrow_windows_and_dark_mode() {
    let tree = node();
    let long = "a-name-that-goes-on-and-on-".repeat(9);
    tree.process(50).argv(&[&long]).write();
    let agent = Launch::on(&tree)
        .arg("-web.show-cmdline")
        .config("process_names: [{name: '{{.ExeFull}}', cmdline: ['.+']}]\n")
        .start();
    let browser = Browser::start();
    let mut grounds = Vec::new();
    for (width, colours) in [
        (320, "light"),
        (360, "dark"),
        (768, "light"),
        (1280, "dark"),
    ] {
        browser.appear(width, colours);
        visit(&browser, &agent);
        browser.click(&button_of(1));
        browser.wait("document.querySelectorAll('.inner tbody tr').length > 0");
        let page = "return [innerWidth, document.documentElement.scrollWidth <= innerWidth]";
        assert_eq!(browser.run(page), json!([width, true]), "{colours}");
        let frame = "const edge = (one) => document.querySelector(one).getBoundingClientRect().right; \
                     return edge('.inner') <= edge('main > .frame') + 1 && edge('main > .frame') <= innerWidth";
        assert_eq!(browser.run(frame), true, "{width}");
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert!(grounds[0] == grounds[2] && grounds[1] == grounds[3] && grounds[0] != grounds[1]);
    assert_silent(&browser);
}

#[test]
fn page_is_readable_without_its_script() {
    let tree = node();
    let (agent, browser) = (start(&tree), Browser::start());
    let off = json!({"value": true});
    browser.devtools("Emulation.setScriptExecutionDisabled", &off);
    browser.open(&format!("http://{}/", agent.address));
    assert_eq!(browser.column(0), ["busy", "big", "crowd"]);
    assert_eq!(browser.column(3), ["1", "1", "6"]);
    assert!(browser.text("noscript").starts_with("CPU, reads, writes"));
    assert_eq!(
        browser.run("return document.querySelector('#tools').hidden"),
        true
    );
    assert_silent(&browser);
}

#[test]
fn hidden_page_sends_no_requests() {
    let tree = node();
    let (agent, browser) = (start(&tree), Browser::start());
    // Time stands still: timers are kept, and run by hand.
    let source = "window.waiting = new Map(); let last = 0; \
                  window.setTimeout = (run) => { waiting.set(++last, run); return last; }; \
                  window.clearTimeout = (id) => waiting.delete(id); \
                  window.isHidden = false; \
                  Object.defineProperty(document, 'hidden', { get: () => window.isHidden });";
    let source = json!({ "source": source });
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &source);
    visit(&browser, &agent);
    browser.wait("waiting.size === 1");
    let turn = |hidden: bool| {
        let script =
            format!("isHidden = {hidden}; document.dispatchEvent(new Event('visibilitychange'))");
        browser.run(&script);
    };
    turn(true);
    browser.wait("waiting.size === 0");
    tree.process(60).comm("new").argv(&["new"]).write();
    turn(false);
    browser.wait("document.querySelectorAll('#groups tbody button').length === 4");
    browser.wait("waiting.size === 1");

    browser.click("#pause");
    browser.wait("waiting.size === 0");
    assert_eq!(browser.text("#state"), "paused");
    turn(true);
    turn(false);
    assert_eq!(browser.run("return waiting.size"), 0);
    tree.process(61).comm("newer").argv(&["newer"]).write();
    browser.click("#pause");
    browser.wait("document.querySelectorAll('#groups tbody button').length === 5");
    assert_silent(&browser);
}

#[test]
fn a_password_is_asked_for_once() {
    let tree = node();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let hash = bcrypt::hash("wonder", 4).unwrap();
    fs::write(&path, format!("basic_auth_users:\n  alice: {hash}\n")).unwrap();
    let agent = Launch::on(&tree)
        .args(&[
            "-accounting=procfs",
            &format!("-web.config.file={}", path.display()),
        ])
        .config(CONFIG)
        .listen();
    let browser = Browser::start();
    browser.open(&format!("http://alice:wonder@{}/", agent.address));
    browser.wait("document.querySelectorAll('#groups tbody button').length === 3");
    browser.click(&button_of(1));
    browser.wait("document.querySelectorAll('.inner tbody tr').length > 0");
    assert_silent(&browser);
}
