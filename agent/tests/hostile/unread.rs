//! Expositions as large as they can be, and clients that do not read them.

use std::thread;

use tokio::sync::oneshot;

use super::attack::{never_read, swarm};
use super::siege::{count, peak_kib, timeouts};
use super::support::agent::{Launch, until};
use super::support::fake_proc::FakeProc;

/// Programs with names of quotes, each of which is two bytes in the exposition.
const HOSTILE: u32 = 1100;
const GOOD: u32 = 20;
const CLIENTS: usize = 60;
const MOST_BYTES: usize = 10_000_000;
/// The most that may ever be resident, KiB.
const MOST_RESIDENT_KIB: u64 = 64 * 1024;

#[test]
fn hostile_names_and_clients_that_do_not_read_leave_memory_and_scrapes_bounded() {
    let tree = FakeProc::new(1_508_450_329);
    for pid in 1..=HOSTILE {
        let name = format!("{pid:04}{}", "\"".repeat(1020));
        tree.process(pid).argv(&[name]).write();
    }
    for pid in HOSTILE + 1..=HOSTILE + GOOD {
        tree.process(pid).argv(&[format!("good-{pid}")]).write();
    }
    let agent = Launch::on(&tree)
        .args(&["-accounting=procfs", "-max-groups=5000"])
        .config("process_names: [{name: '{{.ExeBase}}', cmdline: ['.+']}]")
        .start();
    let to = agent.address;
    let (stop, stopped) = oneshot::channel::<()>();
    let attackers = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::select! {
                () = swarm(CLIENTS, move || never_read(to)) => {}
                _ = stopped => {}
            }
        });
    });
    let mut scrapes = 0;
    until("connections closed for what they did not read", || {
        let scrape = agent.scrape();
        assert!(scrape.body.len() <= MOST_BYTES, "{}", scrape.body.len());
        let closed = count(&scrape, "headcount_http_unread_connections_closed_total");
        let ended = closed + timeouts(&scrape, "write");
        let Some(known) = scrape.value("headcount_groups", &[]) else {
            // Passes of this unoptimized binary are slow, and the time of this request was over.
            return scrapes > 0 && ended > 0.0;
        };
        if known < f64::from(HOSTILE) {
            // A pass groups programs with long arguments within a budget: the others wait for the next one.
            return false;
        }
        scrapes += 1;
        let groups = scrape.groups();
        let good = groups.keys().filter(|name| name.starts_with("good-"));
        assert_eq!(good.count(), GOOD as usize);
        let labels = [("families", "all")];
        let omitted = scrape
            .value("headcount_exposition_omitted_groups", &labels)
            .unwrap();
        assert_eq!(
            omitted + groups.len() as f64,
            known,
            "each is there or counted"
        );
        assert!(count(&scrape, "headcount_http_unsent_bytes") <= 2.0 * MOST_BYTES as f64);
        assert!(omitted > 500.0, "{omitted}");
        ended > 0.0
    });
    let (status, reasons) = agent.health();
    assert_eq!(status, "degraded");
    let is_told = |reason: &String| reason.contains("--web.max-exposition-bytes=10000000");
    assert!(reasons.iter().any(is_told), "{reasons:?}");
    stop.send(()).unwrap();
    attackers.join().unwrap();
    let peak = peak_kib(&agent);
    println!("{peak} KiB were resident");
    assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB were resident");
}
