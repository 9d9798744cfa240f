//! The test kills an agent at random moments while it stores paths: all acknowledged changes must be there afterwards, and the
//! file must be valid.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

use fastrand::Rng;
use serde_json::Value;

use super::{bind, shown, unbind};
use crate::Site;
use crate::support::agent::{PATIENCE, until};

const SEED: u64 = 15;
const KILLS: usize = 40;
const WRITERS: usize = 4;
/// Applications of each writer.
const APPLICATIONS: usize = 5;
/// Most answers before the agent is killed.
const MOST_ANSWERS: usize = 60;

/// Binding and path of an application.
type Row = Option<(String, String)>;

/// A client's knowledge about an application.
#[derive(Debug, Clone, Default)]
struct Known {
    acknowledged: Row,
    /// The row if a request that got no answer was carried out.
    pending: Option<Row>,
}

/// Changes the applications of one writer until the agent is killed.
fn write(
    address: SocketAddr,
    rng: &mut Rng,
    known: &mut BTreeMap<String, Known>,
    ids: &AtomicUsize,
    answers: &AtomicUsize,
) {
    let names: Vec<String> = known.keys().cloned().collect();
    loop {
        let name = &names[rng.usize(..names.len())];
        let one = known.get_mut(name).unwrap();
        let (wanted, status) = match &one.acknowledged {
            Some((binding, _)) if rng.u8(..) < 64 => {
                one.pending = Some(None);
                (None, unbind(address, binding))
            }
            _ => {
                let id = format!("b{}", ids.fetch_add(1, SeqCst));
                let path = format!("/{}", "x".repeat(rng.usize(..900)));
                let row = Some((id.clone(), path.clone()));
                one.pending = Some(row.clone());
                (row, bind(address, name, &id, &path))
            }
        };
        let Some(status) = status else { return };
        assert!(matches!(status, 200 | 201), "{status}");
        *one = Known {
            acknowledged: wanted,
            pending: None,
        };
        answers.fetch_add(1, SeqCst);
    }
}

/// The rows of the file by application. Fails if the file is invalid.
fn rows(file: &Path) -> BTreeMap<String, (String, String)> {
    let Ok(text) = std::fs::read(file) else {
        return BTreeMap::new();
    };
    let rows: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let rows = rows.iter().map(|row| {
        let stored = (text(row, "guid"), text(row, "endpoint"));
        (text(row, "app_guid"), stored)
    });
    rows.collect()
}

#[test]
fn agent_killed_at_random_keeps_every_acknowledged_change() {
    let mut rng = Rng::with_seed(SEED);
    let site = Site::of(&[]);
    let ids = AtomicUsize::new(0);
    let mut known: Vec<BTreeMap<String, Known>> = (0..WRITERS)
        .map(|writer| {
            let names = (0..APPLICATIONS).map(|index| format!("{writer}.{index}"));
            names.map(|name| (name, Known::default())).collect()
        })
        .collect();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let agent = site.broker().start();
        for (name, one) in known.iter().flatten() {
            if let Some((binding, path)) = &one.acknowledged {
                assert_eq!(
                    shown(&agent, binding).as_ref(),
                    Some(path),
                    "kill {kill}: {name}"
                );
            }
        }
        let answers = AtomicUsize::new(0);
        let is_killed = AtomicBool::new(false);
        let wanted = rng.usize(..MOST_ANSWERS);
        let (address, file) = (agent.address, site.stored());
        std::thread::scope(|scope| {
            for known in &mut known {
                let (mut rng, ids, answers) = (rng.fork(), &ids, &answers);
                scope.spawn(move || write(address, &mut rng, known, ids, answers));
            }
            // A reader must find the file valid at any time. It has a deadline, in case this thread fails.
            let deadline = Instant::now() + 2 * PATIENCE;
            let (file, is_killed) = (&file, &is_killed);
            scope.spawn(move || {
                while !is_killed.load(SeqCst) && Instant::now() < deadline {
                    rows(file);
                }
            });
            until("the answers of this agent", || {
                answers.load(SeqCst) >= wanted
            });
            // Spins, to kill the agent at a random moment between two answers.
            (0..rng.usize(..2_000)).for_each(|_| std::hint::spin_loop());
            agent.stop(libc::SIGKILL);
            is_killed.store(true, SeqCst);
        });
        acknowledged += answers.load(SeqCst);
        let stored = rows(&file);
        for (name, one) in known.iter_mut().flatten() {
            let found: Row = stored.get(name).cloned();
            if found != one.acknowledged {
                assert_eq!(
                    Some(&found),
                    one.pending.as_ref(),
                    "kill {kill}: {name}: {one:?}"
                );
            }
            *one = Known {
                acknowledged: found,
                pending: None,
            };
        }
    }
    assert!(acknowledged > KILLS);
}
