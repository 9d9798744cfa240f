//! Histories of docs/dev/compatibility.md (sections 6.1 and 6.4) that need only processes, their parents, names and CPU. The
//! made-up histories have threads and broken files.

use super::history::History;
use super::world::{LATER, Process, World};

/// Number, parent, name, start (0: before the programs; else after, the larger the later), user ticks.
type One = (u32, u32, &'static str, u64, u64);

/// Row, flags, and the processes at each step. Tracked are the names that begin with `g`.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static [One]],
);

const ROWS: &[Row] = &[
    (
        "H01",
        &[],
        &[&[
            (1, 0, "init", 0, 0),
            (2, 1, "g2", 0, 0),
            (3, 2, "x", 0, 0),
            (4, 3, "g4", 0, 0),
            (5, 4, "y", 0, 0),
            (6, 1, "z", 0, 0),
        ]],
    ),
    ("H03", &[], &[&[(5, 77, "x", 0, 0)]]),
    (
        "H05",
        &[],
        &[
            &[(5, 1, "bash", 0, 0)],
            &[(5, 1, "g2", 0, 0)],
            &[(5, 1, "g2", 0, 0), (6, 5, "x", 1, 0)],
            &[(5, 1, "g2", 0, 0), (6, 5, "x", 1, 0), (7, 1, "g2", 1, 0)],
        ],
    ),
    (
        "H07",
        &["-recheck"],
        &[
            &[(5, 1, "bash", 0, 7)],
            &[(5, 1, "g4", 0, 9)],
            &[(5, 1, "g4", 0, 20)],
        ],
    ),
    (
        "H08",
        &["-recheck"],
        &[
            &[(2, 1, "g2", 0, 0), (3, 2, "x", 0, 0)],
            &[(2, 1, "g4", 0, 0), (3, 2, "g4", 0, 0)],
        ],
    ),
    (
        "H09",
        &["-children=false"],
        &[
            &[(5, 1, "bash", 0, 0)],
            &[(5, 1, "g4", 0, 5)],
            &[(5, 1, "g4", 0, 9)],
        ],
    ),
    (
        "H10",
        &[],
        &[&[(5, 1, "g", 0, 100_000)], &[(5, 1, "g", 0, 100_150)]],
    ),
    (
        "H13",
        &[],
        &[&[], &[(5, 1, "g", 0, 555)], &[(5, 1, "g", 0, 560)]],
    ),
    (
        "H15",
        &[],
        &[&[], &[(5, 1, "g", 1, 800)], &[], &[(6, 1, "g", 2, 10)]],
    ),
    (
        "U6",
        &[],
        &[
            &[(5, 1, "g1", 0, 0), (6, 1, "unmatched", 0, 0)],
            &[(5, 1, "g1", 0, 0), (7, 1, "g2", 1, 0)],
            &[(5, 1, "g4", 2, 100), (7, 1, "g2", 1, 0)],
        ],
    ),
    (
        "U7",
        &[],
        &[
            &[(5, 1, "p", 0, 0), (6, 5, "g2", 0, 0)],
            &[(5, 1, "p", 0, 0), (6, 5, "g2", 0, 0), (7, 6, "x", 1, 0)],
            &[(5, 1, "p", 0, 0), (7, 1, "x", 1, 0)],
            &[(5, 1, "p", 0, 0), (7, 1, "x", 1, 0), (8, 7, "y", 1, 0)],
        ],
    ),
    ("U8", &[], &[&[(5, 1, "g", 0, 1)], &[(5, 1, "g", 0, 2)]]),
    (
        "U10",
        &[],
        &[
            &[(5, 1, "g", 0, 1), (6, 1, "g", 0, 1)],
            &[(5, 1, "g", 0, 2), (6, 1, "g", 0, 2)],
            &[(5, 1, "g", 0, 2)],
            &[],
        ],
    ),
    (
        "U11",
        &["-remove-empty-groups"],
        &[
            &[(5, 1, "g", 0, 1), (6, 1, "g", 0, 1)],
            &[(5, 1, "g", 0, 2)],
            &[],
            &[(7, 1, "g", 1, 4)],
        ],
    ),
    (
        "U13",
        &[],
        &[
            &[(5, 1, "g", 0, 1)],
            &[(5, 1, "g", 0, 2), (6, 1, "g", 0, 70)],
            &[(5, 1, "g", 0, 2), (6, 1, "g", 0, 75)],
        ],
    ),
];

pub(crate) fn histories() -> impl Iterator<Item = History> {
    ROWS.iter().map(|(name, flags, steps)| {
        let mut worlds = steps.iter().map(|all| world(all));
        History {
            name: (*name).to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            yaml: "process_names: [{name: '{{.Comm}}', comm: [g, g1, g2, g4]}]\n".to_owned(),
            first: worlds.next().unwrap_or_default(),
            steps: worlds.collect(),
        }
    })
}

fn world(all: &[One]) -> World {
    let mut world = World::default();
    for (pid, parent, name, start, ticks) in all {
        let mut process = Process::idle(name);
        process.parent = *parent;
        process.used[0] = *ticks;
        if *start > 0 {
            process.start_ticks = *LATER + start;
        }
        world.processes.insert(*pid, process);
    }
    world
}
