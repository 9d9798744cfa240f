//! The program: flags -> configuration -> log -> run. The commands `check`, `list` and `targets` print their result and
//! end instead.
//!
//! Exit codes: 0 success; 1 the agent cannot run, or `check` has found something; 2 bad flags. A second SIGTERM or
//! SIGINT kills the process.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use headcount::config::flags::{Accounting, PassengerFlags, WebFlags};
use headcount::config::{
    Command, Config, FanInConfig, Flags, Grouping, ListFlags, TargetsFlags, logging,
};
use headcount::group::{Classifier, Policy};
use headcount::host::Host;
use headcount::http::{BindError, Hosts, Listener, Web};
use headcount::runtime::memory;
use headcount::runtime::signals::{Signals, hangups};
use headcount::sandbox::Sandbox;
use headcount::source::Tier;
use headcount::source::bpf::{AccountingRequest, Sizes};
use headcount::source::procfs::Procfs;
use headcount::state::reload::{self, Loaded};
use headcount::targets::{PassengerSettings, TargetSettings};
use headcount::{Settings, check, list, once, run};

fn main() -> ExitCode {
    let command = match Command::parse_from(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            if error.code == 0 {
                return print(&error.text, ExitCode::SUCCESS);
            }
            complain(&error.text);
            return ExitCode::from(error.code);
        }
    };
    match command {
        Command::Run(flags) => start(*flags).map_or_else(
            |message| {
                log::error!("{message}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ),
        Command::Check(path) => check(&path),
        Command::List(flags) => printed(listing(&flags)),
        Command::Targets(flags) => printed(targets_of(&flags)),
    }
}

/// Prints the result of a command, or its error.
fn printed(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output. Returns `code`, or failure if the text cannot be written. The reader of a pipe may have closed it
/// already: that is no failure.
fn print(text: &str, code: ExitCode) -> ExitCode {
    let text = format!("{}\n", text.trim_end_matches('\n'));
    match print_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&unwritable(&error));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

fn print_all(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

fn unwritable(error: &std::io::Error) -> String {
    format!("standard output cannot be written: {error}")
}

/// Prints to standard error. Errors are ignored: there is no other place for them.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn check(path: &Path) -> ExitCode {
    let report = check::check(path);
    if report.findings.is_empty() {
        let text = format!(
            "{}: items: {}, findings: none",
            path.display(),
            report.items
        );
        return print(&text, ExitCode::SUCCESS);
    }
    print(&report.findings.join("\n"), ExitCode::FAILURE)
}

/// Writes the output of `headcount list`.
fn listing(flags: &ListFlags) -> Result<String, String> {
    let config = load(flags.config_path.as_deref())?;
    config
        .warning_lines()
        .iter()
        .for_each(|warning| complain(warning));
    let classifier = Classifier::new(&config).map_err(|error| error.to_string())?;
    let host = Host::detect(&flags.procfs, &flags.rootfs).map_err(|error| error.to_string())?;
    let machine = machine(&host, &classifier, flags.explain)?;
    let Some(tgid) = flags.explain else {
        if machine.unread > 0 {
            complain(&format!(
                "processes that could not be read and are left out: {}",
                machine.unread
            ));
        }
        return Ok(list::table(&machine, list::terminal_width()));
    };
    list::explain(&machine, &config, &classifier, tgid).ok_or_else(|| {
        format!(
            "--explain={tgid}: {} has no process with this number, or it cannot be read; headcount list prints those it can read",
            flags.procfs.display()
        )
    })
}

/// Reads every process; the arguments of the process `whole` in full.
fn machine(
    host: &Host,
    classifier: &Classifier,
    whole: Option<u32>,
) -> Result<list::Machine, String> {
    let mut procfs = Procfs::new(host.clone())
        .with_cwd(classifier.uses_cwd())
        .with_pods(classifier.uses_pods());
    list::Machine::read(&mut procfs, classifier, whole).map_err(|error| error.to_string())
}

/// Writes the output of `headcount targets`.
fn targets_of(flags: &TargetsFlags) -> Result<String, String> {
    let config = Config::load(&flags.config_path).map_err(|error| error.to_string())?;
    let fan_in = config.fan_in.as_ref().filter(|one| one.has_source());
    let fan_in = fan_in.ok_or_else(|| {
        let path = flags.config_path.display();
        format!("{path}: fan_in names no source of instances, so nothing is asked; write routes_file, file_sd, gorouters or nats, or scrape: in an item of process_names")
    })?;
    let classifier = Classifier::new(&config).map_err(|error| error.to_string())?;
    let host = Host::detect(&flags.procfs, &flags.rootfs).map_err(|error| error.to_string())?;
    let machine = fan_in
        .asks_processes
        .then(|| machine(&host, &classifier, None));
    let machine = machine.transpose()?;
    let machine = machine.as_ref().map(|one| (one, &classifier, &host));
    let (text, problems) = list::targets(&config, fan_in, machine, list::terminal_width());
    problems.iter().for_each(|problem| complain(problem));
    Ok(text)
}

/// Loads the configuration file at `path`; without a path, or with an empty one, the built-in configuration.
fn load(path: Option<&Path>) -> Result<Config, String> {
    let path = path.filter(|path| *path != Path::new(""));
    let config = path.map_or_else(|| Ok(Config::built_in()), Config::load);
    config.map_err(|error| error.to_string())
}

fn start(flags: Flags) -> Result<(), String> {
    memory::bound();
    let logger = logging::init(flags.log_level(), flags.log_format);
    let grouping = flags.grouping()?;
    let sandbox = Sandbox::begin();
    let Loaded { classifier, fan_in } = configuration(grouping)?;
    let classifier = classifier.with_all_requests(flags.http.is_enabled());
    let counts_requests = classifier.counts_requests();
    let settings = Settings {
        classifier,
        config_path: grouping.path().map(Path::to_owned),
        host: Host::detect(&flags.procfs, &flags.rootfs).map_err(|error| error.to_string())?,
        accounting: request(flags.accounting),
        sizes: Sizes {
            ring_bytes: flags.ring_bytes,
            overflow_entries: flags.overflow_entries,
            run_queue_slots: flags
                .collector_runqueue
                .then(|| Sizes::run_queue_slots(flags.max_groups)),
            network_owners: flags.network.is_enabled().then_some(Sizes::NETWORK_OWNERS),
            has_udp: flags.network.has_udp()?,
            request_owners: counts_requests.then_some(Sizes::REQUEST_OWNERS),
            has_gunicorn: flags.gunicorn.is_enabled(),
        },
        policy: Policy {
            max_groups: usize::try_from(flags.max_groups).unwrap_or(usize::MAX),
            children: flags.children,
            remove_empty: flags.remove_empty_groups,
        },
        recheck: flags.recheck(),
        threads: flags.threads,
        wants_network: flags.network.is_enabled(),
        smaps_budget: flags.gather_smaps.then_some(flags.smaps_budget),
        targets: targets(
            &flags.passenger,
            flags.gunicorn.is_enabled() && counts_requests,
            fan_in,
        ),
        telemetry_path: flags.web.telemetry_path.clone(),
        max_exposition_bytes: usize::try_from(flags.web.max_exposition_bytes).unwrap_or(usize::MAX),
        can_reload: flags.web.enable_lifecycle,
        hosts: Hosts::of_machine(flags.web.host_names(), &flags.rootfs),
        has_page: !flags.web.disable_ui,
        shows_cmdline: flags.web.show_cmdline,
        web: web(&flags)?,
        logger,
        sandbox,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    let ended = match flags.once_to_stdout_delay {
        Duration::ZERO => runtime.block_on(serve(settings, &flags.web)),
        delay => {
            let exposition = runtime.block_on(once(settings, delay));
            exposition
                .map_err(|error| error.to_string())
                .and_then(|exposition| print_exposition(&exposition))
        }
    };
    // Does not wait for a password hash that is still running.
    runtime.shutdown_background();
    ended
}

fn web(flags: &Flags) -> Result<Option<Web>, String> {
    let loaded = flags.web.config().map(Web::load).transpose();
    loaded.map_err(|error| format!("--web.config.file: {error}"))
}

fn configuration(grouping: Grouping<'_>) -> Result<Loaded, String> {
    let classifier = match grouping {
        Grouping::Names {
            procnames,
            namemapping,
        } => Classifier::of_names(procnames, namemapping)?,
        Grouping::File(path) => return reload::load(path),
        Grouping::BuiltIn => {
            Classifier::new(&Config::built_in()).map_err(|error| error.to_string())?
        }
    };
    Ok(Loaded {
        classifier,
        fan_in: None,
    })
}

fn print_exposition(exposition: &[u8]) -> Result<(), String> {
    print_all(exposition).map_err(|error| unwritable(&error))
}

async fn serve(settings: Settings, flags: &WebFlags) -> Result<(), String> {
    let listeners = listen(flags).await.map_err(|error| error.to_string())?;
    let signals = Signals::watch().map_err(|error| format!("cannot watch for signals: {error}"))?;
    let hangups = hangups().map_err(|error| format!("cannot watch for signals: {error}"))?;
    let is_secure = settings.web.as_ref().is_some_and(Web::is_secure);
    for listener in &listeners {
        log::info!(
            "serving {}{} (listening on {listener})",
            listener.url(is_secure),
            settings.telemetry_path
        );
    }
    run(settings, listeners, hangups, signals.first())
        .await
        .map_err(|error| error.to_string())
}

/// Opens all listening sockets that the flags ask for, or fails.
async fn listen(flags: &WebFlags) -> Result<Vec<Listener>, BindError> {
    if flags.systemd_socket {
        return Listener::passed();
    }
    let mut listeners = Vec::new();
    for address in &flags.listen_addresses {
        listeners.push(Listener::bind(address).await?);
    }
    Ok(listeners)
}

fn request(accounting: Accounting) -> AccountingRequest {
    match accounting {
        Accounting::Auto => AccountingRequest::Auto,
        Accounting::Iterator => AccountingRequest::Only(Tier::Iterator),
        Accounting::Switch => AccountingRequest::Only(Tier::Switch),
        Accounting::Procfs => AccountingRequest::Only(Tier::Procfs),
    }
}

fn targets(flags: &PassengerFlags, gunicorn: bool, fan_in: Option<FanInConfig>) -> TargetSettings {
    let passenger = flags.is_enabled().then(|| PassengerSettings {
        registry_dirs: flags.registry_dirs.clone(),
        max_instances: usize::from(flags.max_instances),
        has_processes: flags.has_processes,
    });
    TargetSettings {
        passenger,
        gunicorn,
        fan_in,
    }
}
