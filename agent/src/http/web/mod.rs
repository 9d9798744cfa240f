//! Who may connect, as the web configuration file says: TLS, passwords, and the headers of every answer.
//!
//! ```text
//!  files --> reading: Files, Access::read --> Access --+--> handshake: tls, which asks of a client what clients says
//!  (again when they change, at most once a second)     +--> request: users
//! ```
//!
//! An [`Access`] is one reading of all files, complete or not at all: who connects meets either the old or the new.

mod access;
mod clients;
mod files;
mod tls;
mod turns;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Statistics;
use crate::config;
use access::Access;
use files::Files;
use turns::Turns;

/// How long the files are taken to be what they were.
const PAUSE: Duration = Duration::from_secs(1);

/// The web configuration file and what is made of it, kept up to date.
#[derive(Debug)]
pub struct Web {
    path: PathBuf,
    is_secure: bool,
    /// Each hash takes a core for a tenth of a second or more.
    hashing: Arc<Turns>,
    access: RwLock<Arc<Access>>,
    checked: Arc<Mutex<Checked>>,
}

/// What the files were like, and when.
#[derive(Debug)]
struct Checked {
    at: Instant,
    files: Files,
}

impl Web {
    /// Reads the file at `path`, and those it names.
    ///
    /// # Errors
    /// See [`config::WebConfig::load`]; or a certificate, a key, a hash or a word in it is of no use.
    pub fn load(path: &Path) -> Result<Self, config::Error> {
        let hashing = Arc::new(Turns::default());
        let mut files = Files::default();
        let access = Access::read(path, &mut files, &hashing, None)?;
        Ok(Self {
            path: path.to_owned(),
            is_secure: access.tls.is_some(),
            hashing,
            access: RwLock::new(Arc::new(access)),
            checked: Arc::new(Mutex::new(Checked {
                at: Instant::now(),
                files,
            })),
        })
    }

    /// Whether connections are TLS. This does not change with the files: a mistake in them must not open what was locked.
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The file itself and those that it names, to be called before anybody connects.
    pub fn files(&self) -> Vec<PathBuf> {
        let checked = self.checked.try_lock();
        checked.map_or_else(|_| Vec::new(), |checked| checked.files.paths())
    }

    /// What applies to a connection or request now. Who comes when the files were not looked at for a while waits for the look, on a
    /// thread of its own; who comes meanwhile takes what is there.
    pub(super) async fn current(self: &Arc<Self>, statistics: &Arc<Statistics>) -> Arc<Access> {
        if let Ok(mut checked) = Arc::clone(&self.checked).try_lock_owned()
            && checked.at.elapsed() >= PAUSE
        {
            let (this, statistics) = (Arc::clone(self), Arc::clone(statistics));
            let look = move || {
                this.look(&mut checked.files, &statistics);
                checked.at = Instant::now();
            };
            // Without a thread for it what is there stays, too.
            let _ = tokio::task::spawn_blocking(look).await;
        }
        self.last()
    }

    /// What was read last.
    fn last(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again if one of them changed. What is of no use changes nothing, and is not read again until it changes.
    fn look(&self, files: &mut Files, statistics: &Statistics) {
        if !files.have_changed() {
            return;
        }
        *files = Files::default();
        match self.read(files) {
            Ok(access) => {
                *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
                log::info!("{}: read again", self.path.display());
            }
            Err(error) => {
                statistics.count_reload_failure();
                log::warn!("{error}; what was read before still applies");
            }
        }
    }

    fn read(&self, files: &mut Files) -> Result<Access, String> {
        let before = self.last();
        let access = Access::read(&self.path, files, &self.hashing, Some(&before));
        let access = access.map_err(|error| error.to_string())?;
        if access.tls.is_some() != self.is_secure {
            let path = self.path.display();
            return Err(format!(
                "{path}: turns TLS on or off, which needs a restart"
            ));
        }
        Ok(access)
    }
}
