//! Phusion Passenger in another container of the node, as far as the agent sees one: Debian's program in a mount and a pid
//! namespace of its own, with a `/tmp` that no other process has.
//!
//! It serves one application on 127.0.0.1, at a port that the system chooses. When the value is dropped, the container ends.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, http};

/// The name of its application, and of the group of the pool.
pub(super) const APPLICATION: &str = "trial-of-the-image";
const PATIENCE: Duration = Duration::from_secs(60);
/// $1: the application; $2: the port.
const SCRIPT: &str = r#"
mount -t tmpfs none /tmp
mkdir -p "/tmp/$1/public" "/tmp/$1/tmp"
echo 'run lambda { |_| [200, { "content-type" => "text/plain" }, ["here\n"]] }' > "/tmp/$1/config.ru"
exec passenger start "/tmp/$1" --engine=builtin --address=127.0.0.1 --port="$2" --environment=production --user=root \
    --max-pool-size=1 --disable-security-update-check --disable-anonymous-telemetry --pid-file=/tmp/pid --log-file=/tmp/log
"#;

/// A running container.
pub(super) struct Passenger {
    unshare: Child,
}

impl Passenger {
    /// Starts the container and waits until the application has answered, so that the pool has a process.
    pub(super) fn start() -> Result<Self> {
        let is_there = command::works(Command::new("passenger").arg("--version"));
        ensure!(is_there, "Passenger is missing: install Debian's passenger");
        let free = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
        let port = free.local_addr()?.port();
        drop(free);
        // If this program is killed, the container ends, too.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig=KILL", "--", "unshare"])
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-ec", SCRIPT, "container", APPLICATION])
            .arg(port.to_string())
            .env("HOME", "/tmp")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let unshare = command.spawn().context("start Passenger in a container")?;
        let mut passenger = Self { unshare };
        let deadline = Instant::now() + PATIENCE;
        while !http::get(("127.0.0.1", port), "/", "").is_ok_and(|body| body == b"here\n") {
            if let Some(status) = passenger.unshare.try_wait()? {
                bail!("Passenger in a container ended: {status}");
            }
            ensure!(Instant::now() < deadline, "its application does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(passenger)
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        // The first process of the pid namespace dies with it, and all others of the namespace with that one.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}
