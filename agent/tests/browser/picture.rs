//! The picture of the page in README.md: `docs/img/page.png`, as a browser renders it. `HEADCOUNT_ACCEPT=1` writes it anew.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::driver::Browser;
use super::support::agent::{Agent, Launch};
use super::support::fake_proc::FakeProc;
use super::{assert_silent, visit};

const WIDTH: u32 = 960;

/// Kinds of processes on a server: name, number, pages of resident memory, ticks of CPU and bytes written between two looks.
const SERVER: [(&str, u32, u64, u64, u64); 8] = [
    ("postgres", 14, 9_800, 21, 1 << 20),
    ("gunicorn", 9, 14_200, 27, 0),
    ("nginx", 5, 1_900, 9, 1 << 16),
    ("redis-server", 1, 31_000, 12, 1 << 18),
    ("prometheus", 1, 88_000, 17, 1 << 19),
    ("systemd-journal", 1, 6_100, 2, 1 << 15),
    ("sshd", 3, 1_700, 0, 0),
    ("cron", 1, 700, 0, 0),
];

/// All processes as of the look `nth`.
fn write_server(tree: &FakeProc, nth: u64) {
    let mut pid = 100;
    for (name, count, rss_pages, ticks, bytes) in SERVER {
        for share in 1..=u64::from(count) {
            let process = tree.process(pid).comm(name).argv(&[name]);
            let process = process.rss_pages(rss_pages + 37 * share);
            let process = process.user_ticks(nth * (ticks + share % 4));
            process.io(0, nth * bytes).write();
            pid += 1;
        }
    }
}

fn start(tree: &FakeProc) -> Agent {
    let configuration = "process_names: [{name: '{{.Comm}}', cmdline: ['.+']}]\n";
    Launch::on(tree)
        .arg("-accounting=procfs")
        .config(configuration)
        .start()
}

/// Width and height from the header of a PNG.
fn size_of(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..16], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn page_of_a_server_is_drawn() {
    let tree = FakeProc::new(1_508_450_329);
    write_server(&tree, 1);
    let (agent, browser) = (start(&tree), Browser::start());
    browser.appear(WIDTH, "light");
    visit(&browser, &agent);
    browser.wait("document.querySelector('#state').textContent === 'every 3 s'");
    write_server(&tree, 2);
    // The page stands still as soon as it shows the processes that ran between its two looks.
    browser.wait(
        "(() => { const runs = document.querySelector('#cpu').textContent !== '0.0 %'; \
         if (runs) document.querySelector('#pause').click(); return runs; })()",
    );
    let busiest = browser.column(1)[0].parse::<f64>().unwrap();
    assert!(busiest > 1.0, "{busiest}");
    let bottom = "return Math.ceil(document.querySelector('main').getBoundingClientRect().bottom)";
    let height = browser.run(bottom).as_u64().unwrap();
    let clip = json!({"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1});
    let drawn = browser.devtools("Page.captureScreenshot", &json!({ "clip": clip }));
    let png = decoded(&drawn["data"]);
    assert_eq!(size_of(&png), (WIDTH, u32::try_from(height).unwrap()));
    assert_silent(&browser);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img/page.png");
    if std::env::var_os("HEADCOUNT_ACCEPT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &png).unwrap();
    }
    // Fonts differ between machines, so the height may, by some lines.
    let (width, accepted) = size_of(&fs::read(&path).unwrap());
    assert_eq!(width, WIDTH);
    assert!(
        u64::from(accepted).abs_diff(height) < 100,
        "{accepted} and {height}: HEADCOUNT_ACCEPT=1 draws {} anew",
        path.display()
    );
}

fn decoded(data: &Value) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    STANDARD.decode(data.as_str().unwrap()).unwrap()
}
