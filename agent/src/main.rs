//! The command line: flags -> configuration -> log -> run; or a command, which prints and ends. Exit codes: 0 done, 1
//! cannot run, or something was found, 2 bad flags.

use headcount::{
    Settings, check,
    config::{
        Command, Config, Flags, Grouping, ListFlags, ListenAddress, flags::Accounting, logging,
    },
    group::{Classifier, Policy},
    host::Host,
    http::Web,
    list, once, run,
    sandbox::Sandbox,
    source::{
        Tier,
        bpf::{Request, Sizes},
        procfs::Procfs,
    },
};
use std::{
    io::{ErrorKind, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

fn main() -> ExitCode {
    let command = match Command::parse_from(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            match error.code {
                0 => print(&error.text),
                _ => complain(&error.text),
            }
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
        Command::List(flags) => listing(&flags).map_or_else(
            |message| {
                complain(&message);
                ExitCode::FAILURE
            },
            |text| {
                print(&text);
                ExitCode::SUCCESS
            },
        ),
    }
}

/// Whoever reads may have left already.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// The same to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn check(path: &Path) -> ExitCode {
    let report = check::check(path);
    if report.findings.is_empty() {
        print(&format!(
            "{}: items: {}, found: nothing",
            path.display(),
            report.items
        ));
        return ExitCode::SUCCESS;
    }
    print(&report.findings.join("\n"));
    ExitCode::FAILURE
}

/// What `headcount list` prints.
fn listing(flags: &ListFlags) -> Result<String, String> {
    let config = load(flags.config_path.as_deref())?;
    config
        .warning_lines()
        .iter()
        .for_each(|warning| complain(warning));
    let classifier = Classifier::new(&config).map_err(|error| error.to_string())?;
    let host = Host::detect(&flags.procfs, &flags.rootfs).map_err(|error| error.to_string())?;
    let mut procfs = Procfs::new(host).with_cwd(classifier.uses_cwd());
    let machine = list::Machine::read(&mut procfs, &classifier, flags.explain)
        .map_err(|error| error.to_string())?;
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
            "--explain={tgid}: {} has no process with this number, or it cannot be read; headcount list prints those it has",
            flags.procfs.display()
        )
    })
}

/// The file's configuration, or the built-in one; an empty path is none.
fn load(path: Option<&Path>) -> Result<Config, String> {
    let path = path.filter(|path| *path != Path::new(""));
    let config = path.map_or_else(|| Ok(Config::built_in()), Config::load);
    config.map_err(|error| error.to_string())
}

fn start(flags: Flags) -> Result<(), String> {
    let logger = logging::init(flags.log_level(), flags.log_format);
    let sandbox = Sandbox::begin();
    let settings = Settings {
        classifier: classifier(flags.grouping()?)?,
        host: Host::detect(&flags.procfs, &flags.rootfs).map_err(|error| error.to_string())?,
        accounting: request(flags.accounting),
        sizes: Sizes {
            ring_bytes: flags.ring_bytes,
            overflow_entries: flags.overflow_entries,
        },
        policy: Policy {
            max_groups: usize::try_from(flags.max_groups).unwrap_or(usize::MAX),
            children: flags.children,
            remove_empty: flags.remove_empty_groups,
        },
        recheck: flags.recheck(),
        threads: flags.threads,
        smaps_budget: flags.gather_smaps.then_some(flags.smaps_budget),
        telemetry_path: flags.web.telemetry_path.clone(),
        web: web(&flags)?,
        logger,
        sandbox,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let ended = match flags.once_to_stdout_delay {
        Duration::ZERO => runtime.block_on(serve(settings, &flags.web.listen_address)),
        delay => {
            let exposition = runtime.block_on(once(settings, delay));
            exposition
                .map_err(|error| error.to_string())
                .and_then(|exposition| print_exposition(&exposition))
        }
    };
    // A password that is still being checked is waited for by nobody.
    runtime.shutdown_background();
    ended
}

fn web(flags: &Flags) -> Result<Option<Web>, String> {
    let loaded = flags.web.config().map(Web::load).transpose();
    loaded.map_err(|error| format!("--web.config.file: {error}"))
}

fn classifier(grouping: Grouping<'_>) -> Result<Classifier, String> {
    let config = match grouping {
        Grouping::Names {
            procnames,
            namemapping,
        } => return Classifier::of_names(procnames, namemapping),
        Grouping::File(path) => Config::load(path).map_err(|error| error.to_string())?,
        Grouping::BuiltIn => Config::built_in(),
    };
    for warning in config.warning_lines() {
        log::warn!("{warning}");
    }
    Classifier::new(&config).map_err(|error| error.to_string())
}

fn print_exposition(exposition: &[u8]) -> Result<(), String> {
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(exposition).and_then(|()| stdout.flush());
    written.map_err(|error| format!("standard output cannot be written: {error}"))
}

async fn serve(settings: Settings, address: &ListenAddress) -> Result<(), String> {
    let listener = listen(address).await?;
    let watch = |kind| signal(kind).map_err(|error| format!("cannot watch for signals: {error}"));
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    if let Ok(bound) = listener.local_addr() {
        let shown = if bound.ip().is_unspecified() {
            format!("localhost:{}", bound.port())
        } else {
            bound.to_string()
        };
        let scheme = match settings.web.as_ref().is_some_and(Web::is_secure) {
            true => "https",
            false => "http",
        };
        log::info!(
            "serving {scheme}://{shown}{} (listening on {bound})",
            settings.telemetry_path
        );
    }
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => log::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => log::info!("SIGINT: stopping"),
        }
    };
    run(settings, listener, shutdown)
        .await
        .map_err(|error| error.to_string())
}

/// Binds the first of the address's forms that works.
async fn listen(address: &ListenAddress) -> Result<TcpListener, String> {
    let flag = "--web.listen-address";
    let candidates = address.resolve().map_err(|error| {
        format!("{flag} {address}: {error}; write an ip address, or leave the host out")
    })?;
    let mut failure = format!("{flag} {address}: no such address");
    for candidate in candidates {
        match TcpListener::bind(candidate).await {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                failure = format!("{flag} {address}: {}", bind_failure(&error));
                if error.kind() == ErrorKind::AddrInUse {
                    break;
                }
            }
        }
    }
    Err(failure)
}

/// What is wrong with an address that cannot be bound, and what to do.
fn bind_failure(error: &std::io::Error) -> String {
    let text = match error.kind() {
        ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one that it has, or leave the host out"
        }
        ErrorKind::PermissionDenied => {
            "this port needs CAP_NET_BIND_SERVICE; grant it or choose a port from 1024 on"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

fn request(accounting: Accounting) -> Request {
    match accounting {
        Accounting::Auto => Request::Auto,
        Accounting::Iterator => Request::Only(Tier::Iterator),
        Accounting::Switch => Request::Only(Tier::Switch),
        Accounting::Procfs => Request::Only(Tier::Procfs),
    }
}
