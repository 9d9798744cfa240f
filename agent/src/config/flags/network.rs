//! The flags of the collector `network`.

use clap::Args;

use crate::go::flag::parse_bool;

/// Whether the agent counts what the sockets of each group carry.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NetworkFlags {
    /// Count what the TCP sockets of each group carry; needs the kernel programs
    #[arg(id = "network_is_on", long = "collector.network", value_name = "BOOL", action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true",
        value_parser = parse_bool, overrides_with = "network_is_off")]
    pub(super) is_on: bool,
    /// Do not count the payload of sockets; the same as --collector.network=false
    #[arg(
        id = "network_is_off",
        long = "no-collector.network",
        overrides_with = "network_is_on"
    )]
    pub(super) is_off: bool,
    /// Count what each group sends and receives over UDP, too; adds a cost to each send and receive over any socket
    #[arg(id = "udp_is_on", long = "collector.network.udp", value_name = "BOOL", action = clap::ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = parse_bool, overrides_with = "udp_is_off")]
    pub(super) udp_is_on: bool,
    /// Do not count UDP; the same as --collector.network.udp=false
    #[arg(
        id = "udp_is_off",
        long = "no-collector.network.udp",
        overrides_with = "udp_is_on"
    )]
    pub(super) udp_is_off: bool,
}

impl NetworkFlags {
    /// Whether it is counted.
    pub const fn is_enabled(&self) -> bool {
        self.is_on && !self.is_off
    }

    /// Whether UDP is counted.
    ///
    /// # Errors
    /// UDP is to be counted, and the collector is off.
    pub fn has_udp(&self) -> Result<bool, &'static str> {
        match (self.udp_is_on && !self.udp_is_off, self.is_enabled()) {
            (true, false) => Err(
                "--collector.network.udp is a part of --collector.network, which is off: turn it on, or leave out UDP",
            ),
            (has_udp, _) => Ok(has_udp),
        }
    }
}
