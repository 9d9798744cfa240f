//! The web configuration: TLS, passwords, and extra headers of every response, from a file in the format of
//! Prometheus' exporter toolkit.
//!
//! ```text
//!  files --> reading: Files, Access::read --> Access --+--> handshake: tls, with clients for client certificates
//!  (again when they change, at most once a second)     +--> request: users
//! ```
//!
//! An [`Access`] is the result of reading all files; it replaces the former one as a whole, so a connection sees
//! either the old or the new configuration.

mod access;
mod clients;
mod files;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use access::Access;
use files::Files;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::admission::{FairQueue, HttpCounters};
use crate::config::ConfigError;

/// Shortest time between two checks of the files for changes.
const PAUSE: Duration = Duration::from_secs(1);

/// The web configuration in force, kept up to date with its files.
#[derive(Debug)]
pub struct Web {
    path: PathBuf,
    is_secure: bool,
    /// The queue for password hashes, each of which uses a core for a tenth of a second or more.
    hashing: Arc<FairQueue>,
    access: RwLock<Arc<Access>>,
    checked: Arc<Mutex<Checked>>,
}

/// The stamps of the files, and when they were checked last.
#[derive(Debug)]
struct Checked {
    at: Instant,
    files: Files,
}

impl Web {
    /// Reads the file at `path` and the files that it names.
    ///
    /// # Errors
    /// An error of [`WebConfig::load`](crate::config::WebConfig::load), or an unusable certificate, key, hash or value.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let hashing = Arc::new(FairQueue::default());
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

    /// Whether connections use TLS. A change of the files does not change this: a mistake in them must not turn TLS
    /// off.
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The configuration file and the files that it names. Call this before the server accepts connections; while a
    /// check runs, the result is empty.
    pub fn files(&self) -> Vec<PathBuf> {
        let checked = self.checked.try_lock();
        checked.map_or_else(|_| Vec::new(), |checked| checked.files.paths())
    }

    /// The configuration for a connection or request that arrives now. If the last check is [`PAUSE`] or longer ago,
    /// the caller checks the files for changes on a blocking thread and waits for it. Callers that arrive during the
    /// check get the configuration of the last reading.
    pub(super) async fn current(self: &Arc<Self>, counters: &Arc<HttpCounters>) -> Arc<Access> {
        if let Ok(mut checked) = Arc::clone(&self.checked).try_lock_owned()
            && checked.at.elapsed() >= PAUSE
        {
            let (this, counters) = (Arc::clone(self), Arc::clone(counters));
            let reread = move || {
                this.reread_if_changed(&mut checked.files, &counters);
                checked.at = Instant::now();
            };
            // If no thread can be started, the last configuration stays in force, too.
            let _ = tokio::task::spawn_blocking(reread).await;
        }
        self.latest()
    }

    /// The configuration of the last successful reading.
    fn latest(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again if one of them changed. A failed reading changes nothing, and is not repeated until a
    /// file changes again.
    fn reread_if_changed(&self, files: &mut Files, counters: &HttpCounters) {
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
                counters.count_reload_failure();
                log::warn!("{error}; the former configuration still applies");
            }
        }
    }

    fn read(&self, files: &mut Files) -> Result<Access, String> {
        let before = self.latest();
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
