//! The flags of the collector `passenger`.

use std::path::PathBuf;

use clap::Args;

use crate::go::flag::parse_bool;

/// Whether and where instances of Phusion Passenger are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PassengerFlags {
    /// Ask the running instances of Phusion Passenger for the state of their applications
    #[arg(long = "collector.passenger", value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_value = "true", default_missing_value = "true", value_parser = parse_bool,
        overrides_with = "is_off")]
    pub(super) is_on: bool,
    /// Do not ask instances of Phusion Passenger; the same as --collector.passenger=false
    #[arg(long = "no-collector.passenger", overrides_with = "is_on")]
    pub(super) is_off: bool,
    /// Look for instances of Passenger in this directory, too; may be given several times. Without it, they are found in the
    /// default places and through Passenger's processes, those in containers included
    #[arg(long = "collector.passenger.registry-dir", value_name = "DIR")]
    pub registry_dirs: Vec<PathBuf>,
    /// Maximum number of instances of Passenger that are asked; those of root come first, the others by turns of their users
    #[arg(long = "collector.passenger.max-instances", value_name = "N", default_value = "64",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_instances: u16,
    /// Export memory and requests of each process of an application, as passenger-go-exporter does
    #[arg(long = "collector.passenger.processes", value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_value = "true", default_missing_value = "true", value_parser = parse_bool)]
    pub has_processes: bool,
}

impl PassengerFlags {
    /// Whether instances are looked for.
    pub const fn is_enabled(&self) -> bool {
        self.is_on && !self.is_off
    }
}
