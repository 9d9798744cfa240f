//! Set-up: makes sure that the tools of a verb are installed, in the order of the verb's list.
//!
//! In comes a list of [`Requirement`]s. Out come all of them met, or an error that names the missing ones and the exact commands
//! to install them. If all are met it prints nothing and takes a few milliseconds. System packages are installed only as root,
//! and only after a message; everything else goes into the toolchain's own folder or into `target/tools`, never into the user's
//! home.

mod apt;
mod machine;
mod requirement;
mod step;
#[rustfmt::skip]
mod table;

use anyhow::{Context as _, Result, bail, ensure};
use machine::Machine;
pub use machine::is_root;
pub use requirement::{Requirement, STATIC_ARM_TARGET, STATIC_TARGET};
use step::Step;
pub use table::*;

/// `cargo xtask setup`.
pub fn main() -> Result<()> {
    ensure(EVERYTHING)?;
    println!("setup: all is there");
    Ok(())
}

/// Whether all of them are met; installs nothing.
pub fn is_complete(requirements: &[&Requirement]) -> Result<bool> {
    let machine = Machine::look()?;
    Ok(missing(requirements, &machine).is_empty())
}

/// Installs the missing ones.
pub fn ensure(requirements: &[&Requirement]) -> Result<()> {
    let machine = Machine::look()?;
    let missing = missing(requirements, &machine);
    let mut steps = Vec::new();
    for &requirement in &missing {
        let more = requirement.steps(&machine).into_iter();
        steps.extend(more.map(|step| (requirement, step)));
    }
    let mut obstacles = steps.iter().filter_map(|(_, step)| step.obstacle(&machine));
    if let Some(obstacle) = obstacles.next() {
        bail!("{obstacle}\n{}", instructions(&steps));
    }

    let total = steps.len();
    for ((requirement, step), n) in steps.into_iter().zip(1..) {
        let Requirement {
            name,
            purpose,
            remedy,
            ..
        } = requirement;
        println!(
            "setup: step {n}/{total}: {} (for {name}: {purpose})",
            step.what()
        );
        step.run()
            .with_context(|| format!("{name} could not be installed; {remedy}"))?;
    }
    for requirement in missing {
        let Requirement { name, remedy, .. } = requirement;
        ensure!(
            requirement.is_met(&machine),
            "{name} is still not usable after its installation; {remedy}"
        );
    }
    Ok(())
}

fn missing<'a>(requirements: &[&'a Requirement], machine: &Machine) -> Vec<&'a Requirement> {
    let mut missing = requirements.to_vec();
    missing.retain(|requirement| !requirement.is_met(machine));
    missing
}

fn instructions(steps: &[(&Requirement, Step)]) -> String {
    let mut text = String::from("missing programs, and the commands that install them:");
    for (Requirement { name, purpose, .. }, step) in steps {
        text.push_str(&format!("\n  # {name}: {purpose}\n  {}", step.show()));
    }
    text
}
