//! Certificates, keys and users that are replaced while many clients scrape: clients notice only the new certificate.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::{fs, thread};

use super::site::{Site, TLS};
use super::support::agent::{Agent, Launch, until};
use super::support::client::{Authority, Client, Identity};
use super::support::fake_proc::FakeProc;
use super::support::scrape::Scrape;

const SCRAPERS: u32 = 8;
const ROTATIONS: u32 = 20;
const FAILURES: &str = "headcount_web_config_reload_failures_total";

/// Every scrape gets a whole answer, with an old certificate or a new one.
struct Scrapers {
    client: Client,
    address: SocketAddr,
    done: AtomicBool,
    scrapes: AtomicU32,
}

impl Scrapers {
    /// Scrapes until the end: on a connection of its own each, or on one for all.
    fn scrape(&self, keep: bool) {
        let mut connection = None;
        while !self.done.load(Relaxed) {
            let answer = match keep {
                true => connection
                    .get_or_insert_with(|| self.client.connect(self.address))
                    .ask("/metrics"),
                false => self.client.ask(self.address, "/metrics"),
            };
            let answer = answer.unwrap();
            assert_eq!(answer.code, 200, "{answer:?}");
            assert!(answer.body.contains("namedprocess_namegroup_num_procs"));
            self.scrapes.fetch_add(1, Relaxed);
        }
    }
}

/// Runs `rotate` while many clients scrape, and returns its result.
fn under_load(agent: &Agent, client: Client, rotate: impl FnOnce(&dyn Fn())) {
    let scrapers = Scrapers {
        client,
        address: agent.address,
        done: AtomicBool::new(false),
        scrapes: AtomicU32::new(0),
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..SCRAPERS)
            .map(|number| {
                let scrapers = &scrapers;
                scope.spawn(move || scrapers.scrape(number % 2 == 0))
            })
            .collect();
        let some_scrapes = || {
            let enough = scrapers.scrapes.load(Relaxed) + 2 * SCRAPERS;
            let is_alive = || !running.iter().any(thread::ScopedJoinHandle::is_finished);
            until("scrapes", || {
                !is_alive() || scrapers.scrapes.load(Relaxed) >= enough
            });
            assert!(is_alive(), "a scrape failed");
        };
        // Also when it panics: the others are waited for.
        let _end = End(&scrapers.done);
        some_scrapes();
        rotate(&some_scrapes);
        some_scrapes();
    });
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn web(cost: u32) -> String {
    let hash = bcrypt::hash("wonder", cost).unwrap();
    format!("{TLS}basic_auth_users:\n  alice: {hash}\n")
}

fn start(site: &Site) -> (Agent, FakeProc) {
    let tree = FakeProc::new(1_508_450_329);
    tree.process(5).write();
    let launch = Launch::on(&tree).arg("-accounting=procfs");
    (launch.arg(site.flag()).listen(), tree)
}

/// A client that takes certificates of all these.
fn client(authorities: &[&Authority]) -> Client {
    Client::trusting(authorities).header("authorization: Basic YWxpY2U6d29uZGVy")
}

fn failures(agent: &Agent, client: &Client) -> f64 {
    let answer = client.ask(agent.address, "/metrics").unwrap();
    Scrape::parse(answer.body).value(FAILURES, &[]).unwrap()
}

/// Half a file, a key that fits nothing, then the right ones; the first two are counted and change nothing.
#[test]
fn files_are_replaced_one_by_one() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::secure(&web(4), &old);
    let (agent, _tree) = start(&site);
    let both = client(&[&old, &new]);
    under_load(&agent, both.clone(), |some_scrapes| {
        for rotation in 0..ROTATIONS {
            let Identity { cert, key } = new.issue("localhost");
            fs::write(
                site.directory.path().join("cert.pem"),
                &cert[..cert.len() / 2],
            )
            .unwrap();
            some_scrapes();
            if rotation == 0 {
                until("the count", || failures(&agent, &both) >= 1.0);
            }
            site.write("key.pem", &key);
            some_scrapes();
            site.write("cert.pem", &cert);
            site.write("web.yml", &web(4 + rotation % 2));
            some_scrapes();
        }
    });
    let only_new = client(&[&new]);
    until("the new certificate", || {
        only_new.ask(agent.address, "/").is_ok()
    });
    assert!(client(&[&old]).ask(agent.address, "/").is_err());
}

/// As Kubernetes does it: the files are links into a folder that a link names, and that one is replaced. There is no moment at which
/// the key does not fit.
#[test]
fn a_folder_is_replaced_as_a_whole() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::new("");
    let path = |name: &str| site.directory.path().join(name);
    let mount = |number: u32, authority: &Authority| {
        let folder = path(&format!("..{number}"));
        fs::create_dir(&folder).unwrap();
        let Identity { cert, key } = authority.issue("localhost");
        fs::write(folder.join("cert.pem"), cert).unwrap();
        fs::write(folder.join("key.pem"), key).unwrap();
        fs::write(folder.join("web.yml"), web(4)).unwrap();
        symlink(&folder, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    mount(0, &old);
    fs::remove_file(path("web.yml")).unwrap();
    for name in ["cert.pem", "key.pem", "web.yml"] {
        symlink(path("..data").join(name), path(name)).unwrap();
    }
    let (agent, _tree) = start(&site);
    let both = client(&[&old, &new]);
    under_load(&agent, both.clone(), |some_scrapes| {
        for number in 1..=ROTATIONS {
            mount(number, &new);
            some_scrapes();
            fs::remove_dir_all(path(&format!("..{}", number - 1))).unwrap();
            some_scrapes();
        }
    });
    let only_new = client(&[&new]);
    until("the new certificate", || {
        only_new.ask(agent.address, "/").is_ok()
    });
}
