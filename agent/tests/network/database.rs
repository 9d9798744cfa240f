//! pgbench and PostgreSQL: pgbench reports transactions, whose messages have lengths that the protocol's documentation states.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::support::agent::{Agent, NOBODY, until};
use super::support::place::{Place, Server, free_port, run};
use super::traffic::{Traffic, settle_ended, watch};

const POSTGRES: &str = "postgres";
const PGBENCH: &str = "pgbench";
/// The statement of a transaction, its column and how long the one value is.
const STATEMENT: &str = "SELECT repeat('x', 1000);";
const COLUMN: &str = "repeat";
const VALUE: u64 = 1000;
/// Four clients for ten seconds.
const LOAD: &[&str] = &["-c", "4", "-j", "2"];
/// Each message is a type of one byte, a length of four, and a body; texts end with a zero.
const HEAD: u64 = 5;

/// `Query`.
const fn question() -> u64 {
    HEAD + STATEMENT.len() as u64 + 1
}

/// `RowDescription` and `DataRow` of one column, `CommandComplete`, `ReadyForQuery`.
const fn answer() -> u64 {
    let description = HEAD + 2 + COLUMN.len() as u64 + 1 + 18;
    let row = HEAD + 2 + 4 + VALUE;
    let complete = HEAD + "SELECT 1".len() as u64 + 1;
    let ready = HEAD + 1;
    description + row + complete + ready
}

/// `StartupMessage`, which has no type, and `Terminate`.
fn greeting() -> u64 {
    let words = [
        "user",
        "postgres",
        "database",
        "postgres",
        "application_name",
        PGBENCH,
    ];
    let length: usize = words.iter().map(|word| word.len() + 1).sum();
    4 + 4 + length as u64 + 1 + HEAD
}

/// A cluster of the test's own.
struct Database<'a> {
    place: &'a Place,
    _server: Server,
    port: u16,
}

impl<'a> Database<'a> {
    fn start(place: &'a Place) -> Self {
        let (data, port) = (place.file("data"), free_port());
        fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let owned = |name| {
            let mut command = place.program(name, &binary(name));
            command.uid(NOBODY).gid(NOBODY).arg("-D").arg(&data);
            command
        };
        run(owned("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"]));
        let mut server = owned(POSTGRES);
        server.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        for setting in ["unix_socket_directories=", "fsync=off", "autovacuum=off"] {
            server.args(["-c", setting]);
        }
        let log = place.file("postgres.log");
        let written = fs::File::create(&log).unwrap();
        server.stdout(Stdio::null()).stderr(written);
        let server = Server::start(server, libc::SIGINT, &[port]);
        // It listens before it accepts clients.
        until("PostgreSQL", || {
            let log = fs::read_to_string(&log).unwrap();
            log.contains("ready to accept connections")
        });
        Self {
            place,
            _server: server,
            port,
        }
    }

    /// Runs transactions over TCP; how many.
    fn load(&self, words: &[&str]) -> u64 {
        let script = self.place.file("script.sql");
        fs::write(&script, format!("{STATEMENT}\n")).unwrap();
        let mut pgbench: Command = self.place.program(PGBENCH, &binary(PGBENCH));
        pgbench
            .envs([("PGSSLMODE", "disable"), ("PGGSSENCMODE", "disable")])
            .args(["-n", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-p", &self.port.to_string(), "-f"])
            .arg(script)
            .args(words)
            .arg("postgres");
        let report = run(&mut pgbench);
        let number = |key: &str| -> u64 {
            let line = report.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|line| line.split(['/', ' ']).find(|word| !word.is_empty()));
            word.unwrap_or_else(|| panic!("{report}")).parse().unwrap()
        };
        assert_eq!(number("number of failed transactions:"), 0, "{report}");
        number("number of transactions actually processed:")
    }
}

/// Of the newest PostgreSQL that is installed.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let folders = versions.map(|entry| entry.unwrap().path());
    let number = |folder: &PathBuf| -> Option<u32> { folder.file_name()?.to_str()?.parse().ok() };
    folders.max_by_key(number).unwrap().join("bin").join(name)
}

/// The payload of pgbench and the server in a run.
fn carried(agent: &Agent, database: &Database<'_>, words: &[&str]) -> (u64, Traffic) {
    let before = agent.scrape();
    let transactions = database.load(words);
    let [client, server] = settle_ended(agent, &before, [PGBENCH, POSTGRES]);
    assert_eq!(server, client.mirrored());
    (transactions, client)
}

/// With one connection a client, and with one a transaction; the latter without an agent, too.
#[test]
fn messages_of_all_transactions_are_counted() {
    let place = Place::new();
    let database = Database::start(&place);
    println!(
        "without an agent: {} transactions",
        database.load(&["-T", "5", "-c", "4", "-j", "2", "-C"])
    );
    drop(database);

    let place = Place::new();
    let agent = watch(place.path());
    let database = Database::start(&place);
    // Two connections, because pgbench asks for the server's version first.
    let (transactions, first) = carried(&agent, &database, &["-t", "1"]);
    assert_eq!((transactions, first.opened), (1, 2));
    // `AuthenticationOk`, the server's parameters, `BackendKeyData`, `ReadyForQuery`: as long for each connection.
    let welcome = (first.received - answer()) / first.opened;
    // PostgreSQL has a process for each connection, and the agent has room for the sums of 8,192 between two scrapes.
    for words in [["-T", "10"].as_slice(), &["-t", "1000", "-C"]] {
        let (transactions, client) = carried(&agent, &database, &[LOAD, words].concat());
        let sent = client.opened * greeting() + transactions * question();
        let received = client.opened * welcome + transactions * answer();
        assert_eq!([client.sent, client.received], [sent, received]);
        println!("pgbench {words:?}: {transactions} transactions, {client:?}, difference 0");
    }
}
