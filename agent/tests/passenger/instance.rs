//! A running instance of Passenger: its files, its processes, its documents.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::app::App;
use super::document::Element;
use super::home::{self, Mark};
use super::requests::Visit;
use super::support::agent::until;

/// It is killed, with its applications, when this is dropped. [`super::home::Home`] must live longer.
#[derive(Debug)]
pub(crate) struct Instance {
    /// By which its processes are found.
    mark: Mark,
    /// Its directory `passenger.*`, as this process reaches it.
    pub(crate) directory: PathBuf,
    /// `name` of its properties.
    pub(crate) name: String,
    /// Where its applications are served, on 127.0.0.1.
    pub(crate) port: u16,
    pub(crate) apps: Vec<App>,
}

/// The answer of an instance to a question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Instance {
    /// Waits until the instance that was started as `folder` stands in `registry` and answers.
    pub(crate) fn find(folder: PathBuf, registry: &Path, port: u16, apps: Vec<App>) -> Self {
        let mut instance = Self {
            mark: Mark {
                folder,
                session: None,
            },
            directory: PathBuf::new(),
            name: String::new(),
            port,
            apps,
        };
        until("an instance that answers", || {
            let entries = fs::read_dir(registry).unwrap().map_while(Result::ok);
            let ours = entries
                .map(|entry| entry.path())
                .find(|path| instance.owns(path));
            let Some(directory) = ours else {
                return false;
            };
            instance.directory = directory;
            instance.ask("/pool.xml").is_ok()
        });
        let properties = fs::read(instance.directory.join("properties.json")).unwrap();
        let properties: serde_json::Value = serde_json::from_slice(&properties).unwrap();
        instance.name = properties["name"].as_str().unwrap().to_owned();
        instance.mark.session = home::session(instance.watchdog());
        instance
    }

    /// Whether that directory is complete and belongs to a process of this instance.
    fn owns(&self, directory: &Path) -> bool {
        let pid = pid_in(&directory.join("watchdog.pid"));
        directory.join("creation_finalized").exists()
            && pid.is_some_and(|pid| self.mark.bearer(pid).is_some())
    }

    /// One GET of the admin interface, as the user of this process.
    pub(crate) fn ask(&self, path: &str) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(self.directory.join("agents.s/core_api"))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.ok_or(io::ErrorKind::UnexpectedEof)? + 4);
        Ok(Answer {
            head: String::from_utf8_lossy(&answer).into_owned(),
            body,
        })
    }

    /// The pool's document; `None` while nothing answers.
    pub(crate) fn pool(&self) -> Option<Element> {
        let answer = self.ask("/pool.xml").ok()?;
        assert!(answer.head.contains(" 200 "), "{}", answer.head);
        Some(Element::parse(&answer.body))
    }

    /// The document of the web server part.
    pub(crate) fn server(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.ask("/server.json").ok()?.body).ok()
    }

    /// Waits for a state of the pool.
    pub(crate) fn await_pool(&self, what: &str, mut is_so: impl FnMut(&Element) -> bool) {
        until(what, || self.pool().is_some_and(|pool| is_so(&pool)));
    }

    /// Sends a request to an application; `host` chooses among those of Apache.
    pub(crate) fn visit(&self, app: usize, path: &str) -> Visit {
        Visit::begin(self.port, &host(app), path)
    }

    /// Asks an application once, which starts a process of it.
    pub(crate) fn warm(&self, app: usize) {
        assert_eq!(self.visit(app, "/").status(), 200, "{:?}", self.apps[app]);
    }

    /// The process that holds the lock of the directory.
    pub(crate) fn watchdog(&self) -> u32 {
        self.process("watchdog.pid").unwrap()
    }

    /// The process that answers.
    pub(crate) fn core(&self) -> u32 {
        self.process("core.pid").unwrap()
    }

    /// The process whose pid in the namespace of the instance stands in this file.
    fn process(&self, file: &str) -> Option<u32> {
        self.mark.bearer(pid_in(&self.directory.join(file))?)
    }

    /// Kills the core alone, and waits until its successor answers.
    pub(crate) fn restart_core(&self) {
        let core = self.core();
        home::signal(core, libc::SIGKILL);
        until("a new core", || {
            let now = self.process("core.pid");
            now.is_some_and(|now| now != core) && self.pool().is_some()
        });
    }

    /// Kills watchdog and core, as a machine short of memory does. The directory stays.
    pub(crate) fn kill(&self) {
        let both = [self.watchdog(), self.core()];
        both.iter()
            .for_each(|pid| home::signal(*pid, libc::SIGKILL));
        until("the end of both", || {
            !both.iter().any(|pid| home::is_alive(*pid))
        });
    }

    /// Asks the watchdog to stop the instance, and waits until the directory is removed.
    pub(crate) fn stop(&self) {
        home::signal(self.watchdog(), libc::SIGTERM);
        until("the directory's removal", || !self.directory.exists());
    }

    /// Texts that no answer and no log may contain.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let files = ["read_only_admin_password.txt", "full_admin_password.txt"];
        let passwords = files.map(|file| fs::read_to_string(self.directory.join(file)));
        let mut secrets: Vec<String> = passwords.into_iter().filter_map(Result::ok).collect();
        let pool = self.pool();
        let keys = pool.iter().flat_map(|pool| pool.all("api_key"));
        secrets.extend(keys.map(|key| key.text.clone()));
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

/// The name of the virtual host of an application, by its place in [`Instance::apps`].
pub(crate) fn host(app: usize) -> String {
    format!("app{app}.localhost")
}

pub(crate) fn pid_in(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.mark.end_all();
        // A directory in another mount namespace is gone with its processes.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
