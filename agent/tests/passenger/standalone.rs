//! `passenger start`: one application, the built-in engine.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::app::{App, Language};
use super::home::{Home, Mark, VARIABLE};
use super::instance::{Instance, pid_in};
use super::requests::free_port;
use super::support::agent::until;

/// A private `/tmp`, in which the folder of the test is at its path, and nothing else. The working directory keeps the folder
/// reachable while its path is covered.
const PRIVATE: &str = "mount -t tmpfs none /tmp && mkdir -p \"$0\" && mount -c --bind . \"$0\" && cd \"$1\" && shift && exec \"$@\"";

/// The same, in a pid namespace that lives until its first process is killed.
const CONTAINED: &str = "mount -t tmpfs none /tmp && mkdir -p \"$0\" && mount -c --bind . \"$0\" && cd \"$1\" && shift && \"$@\" && exec sleep infinity";
/// Leaves a program running in the background.
const BACKGROUND: &str = "\"$0\" \"$@\" &";

/// How an instance is started.
#[derive(Debug, Clone)]
pub(crate) struct Standalone {
    pub(crate) language: Language,
    /// Its owner, and its application.
    pub(crate) uid: u32,
    /// Whether it has a `/tmp` of its own, and its directory in there.
    pub(crate) is_private: bool,
    /// Whether it also has a pid namespace of its own, as in a container.
    pub(crate) is_contained: bool,
    pub(crate) more: &'static [&'static str],
}

impl Standalone {
    /// Root's, with room for two processes and four waiting requests.
    pub(crate) const fn new(language: Language) -> Self {
        Self {
            language,
            uid: 0,
            is_private: false,
            is_contained: false,
            more: &[],
        }
    }

    /// Starts it with an application called `name`, and waits until it answers.
    pub(crate) fn start(&self, home: &Home, name: &str) -> Instance {
        let app = self.write(home, name);
        self.start_app(home, app)
    }

    pub(crate) fn write(&self, home: &Home, name: &str) -> App {
        App::write(
            &home.path().join(home.unique(name)),
            self.language,
            self.uid,
        )
    }

    /// The same with an application that is there.
    pub(crate) fn start_app(&self, home: &Home, app: App) -> Instance {
        let port = free_port();
        let folder = home.path().join(format!("standalone-{port}"));
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(self.uid), Some(self.uid)).unwrap();
        let mut command = self.command(home, &app, &folder);
        command
            .args(["passenger", "start", "--engine=builtin", "--daemonize"])
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args([
                "--environment",
                "production",
                "--python",
                "/usr/bin/python3",
            ])
            .args(["--max-pool-size", "2", "--max-request-queue-size", "4"])
            .args([
                "--disable-security-update-check",
                "--disable-anonymous-telemetry",
            ])
            .arg("--pid-file")
            .arg(folder.join("pid"))
            .arg("--log-file")
            .arg(folder.join("log"))
            .args(self.more);
        if self.uid == 0 {
            command.args(["--user", "root"]);
        }
        if !self.is_private {
            command.arg("--instance-registry-dir").arg(home.registry());
        }
        let output = command.env(VARIABLE, &folder).stdin(Stdio::null());
        let output = match self.is_contained {
            // Programs in the background keep the pipes of `output` open.
            true => output.stdout(Stdio::null()).stderr(Stdio::null()).output(),
            false => output.output(),
        };
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{output:?}: {:?}",
            fs::read_to_string(folder.join("log"))
        );
        let registry = self.registry(home, &folder);
        Instance::find(folder, &registry, port, vec![app])
    }

    /// The command that runs the words after it, in the folder of the application.
    fn command(&self, home: &Home, app: &App, folder: &Path) -> Command {
        let mut command;
        if self.is_private {
            let unshare = ["--mount", "--propagation", "private"];
            if self.is_contained {
                command = Command::new("sh");
                command
                    .args(["-c", BACKGROUND, "unshare"])
                    .args(["--pid", "--fork", "--mount-proc"])
                    .args(unshare)
                    .args(["sh", "-c", CONTAINED]);
            } else {
                command = Command::new("unshare");
                command.args(unshare).args(["sh", "-c", PRIVATE]);
            }
            command
                .args([home.path(), &app.root])
                .env_remove("TMPDIR")
                .current_dir(home.path());
        } else {
            command = Command::new("setpriv");
            let id = self.uid;
            command
                .args([format!("--reuid={id}"), format!("--regid={id}")])
                .arg("--clear-groups")
                .env("TMPDIR", folder)
                .current_dir(&app.root);
        }
        command
            .env("HOME", folder)
            .env_remove("PASSENGER_INSTANCE_REGISTRY_DIR");
        command
    }

    fn registry(&self, home: &Home, folder: &Path) -> PathBuf {
        if !self.is_private {
            return home.registry();
        }
        let mark = Mark {
            folder: folder.to_owned(),
            session: None,
        };
        let mut process = None;
        until("the process of the pid file", || {
            process = pid_in(&folder.join("pid")).and_then(|pid| mark.bearer(pid));
            process.is_some()
        });
        PathBuf::from(format!("/proc/{}/root/tmp", process.unwrap()))
    }
}
