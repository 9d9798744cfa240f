//! The flags `--web.*`: listen addresses, paths, limits and access.

use std::path::{Path, PathBuf};

use clap::Args;

use super::path_or_none;
use crate::config::{ListenAddress, ListenHost, host_name};
use crate::go::flag::parse_bool;

/// Listeners, TLS and access control.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WebFlags {
    /// Address to listen on, host:port or unix:/path; :port listens on every interface. May be given several times
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":9256"
    )]
    pub listen_addresses: Vec<ListenAddress>,
    /// Listen on the sockets that systemd passes (a .socket unit), and on no address
    #[arg(long = "web.systemd-socket", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    pub systemd_socket: bool,
    /// URL path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// Maximum size of the metrics before compression, in bytes; groups that do not fit are left out, those with long names first
    #[arg(long = "web.max-exposition-bytes", value_name = "BYTES", default_value = "10000000",
        value_parser = clap::value_parser!(u32).range(1 << 20..=1 << 30))]
    pub max_exposition_bytes: u32,
    /// Serve only links at /, not the page for people
    #[arg(long = "web.disable-ui", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    pub disable_ui: bool,
    /// Show the command lines of processes on the page for people; they often hold passwords
    #[arg(long = "web.show-cmdline", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    pub show_cmdline: bool,
    /// Host name that requests for the page for people and for /-/reload may have in the header Host, in addition to IP
    /// addresses, localhost and this machine's own names; behind a proxy, the name that the proxy passes on. May be given
    /// several times
    #[arg(long = "web.allowed-host", value_name = "NAME", value_parser = host_name::parse)]
    pub allowed_hosts: Vec<String>,
    /// Web configuration file (YAML, as Prometheus' exporter-toolkit reads it): TLS, passwords and headers; without one, the
    /// agent answers every client that can connect
    #[arg(long = "web.config.file", value_name = "FILE", value_parser = path_or_none)]
    pub(super) config: Option<PathBuf>,
    /// Let POST /-/reload read --config.path again, as SIGHUP does
    #[arg(long = "web.enable-lifecycle", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = parse_bool)]
    pub enable_lifecycle: bool,
}

impl WebFlags {
    /// Host names that the flags mention: the allowed ones and those of listen addresses.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        let listened = self
            .listen_addresses
            .iter()
            .filter_map(|address| match address {
                ListenAddress::Tcp(address) => match &address.host {
                    ListenHost::Name(name) => Some(name),
                    ListenHost::Any | ListenHost::Address(_) => None,
                },
                ListenAddress::Unix(_) => None,
            });
        self.allowed_hosts
            .iter()
            .chain(listened)
            .map(String::as_str)
    }

    /// The web configuration file; an empty path counts as absent.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| *path != Path::new(""))
    }
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let fault = match text {
        "" => "is empty",
        "/" => "is the page for people",
        "/health" => "is the path of the agent's health",
        "/ready" => "is the path of the agent's readiness",
        "/-/reload" => "is the path of reload requests",
        "/page.css" | "/page.js" | "/icon.svg" | "/api/groups" | "/api/processes" => {
            "belongs to the page for people"
        }
        _ if !text.starts_with('/') => "does not start with a slash",
        _ if text.contains(['?', '#']) || text.contains(|c: char| !c.is_ascii_graphic()) => {
            "has a character that no path of a url can have"
        }
        _ => return Ok(text.to_owned()),
    };
    Err(format!("{fault}, expected a path like /metrics"))
}
