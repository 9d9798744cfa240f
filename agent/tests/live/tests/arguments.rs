//! Arguments of any length, and what decides a group stands behind all others.

use crate::{
    agent::Agent,
    group::Lives,
    guest::is_locked_down,
    program::{Program, Running},
    runner::table,
    tier::{TYPED, Tier},
};

table![
    short_lived_programs_with_long_arguments_land_in_their_group for TYPED,
];

/// The last argument decides.
const BY_LAST_ARGUMENT: &str = "process_names:\n- name: '{{.Comm}} right'\n  cmdline: [' decides$']\n- name: '{{.Comm}} wrong'\n  cmdline: ['.']\n";

/// Programs of each length.
const COUNT: u64 = 20;

/// What the kernel programs carry whole.
const CARRIED: [usize; 3] = [900, 5 << 10, 15 << 10];

/// A scenario, as many bytes of arguments, and the one that decides.
fn words(scenario: &[&str], bytes: usize) -> Vec<String> {
    let filler = std::iter::repeat_n(
        "-Dclasspath=".to_owned() + &"/opt/x.jar:".repeat(9),
        bytes / 112 + 1,
    );
    let scenario = scenario.iter().map(|word| (*word).to_owned());
    let words = scenario.chain(filler);
    words.chain(["decides".to_owned()]).collect()
}

fn lives(count: u64) -> Lives {
    Lives {
        execs: count,
        success: count,
        ..Lives::default()
    }
}

fn short_lived_programs_with_long_arguments_land_in_their_group(tier: &'static Tier) {
    if is_locked_down() {
        // Exec records carry no arguments there.
        return;
    }
    let agent = Agent::start_with(tier, &[], Some(BY_LAST_ARGUMENT));
    let programs = CARRIED.map(|bytes| (bytes, Program::new("long")));
    for (bytes, program) in &programs {
        let words = words(&["scenario", "end", "0", "success"], *bytes);
        for _ in 0..COUNT {
            Running::of(&program.path, &words).finish();
        }
    }
    agent.await_settled(|samples| {
        programs.iter().try_for_each(|(bytes, program)| {
            lives(COUNT)
                .check(&samples.group(&format!("{} right", program.name)))
                .map_err(|complaint| format!("{bytes} bytes: {complaint}"))
        })
    });
}
