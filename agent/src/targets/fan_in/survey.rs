//! The current content of all sources of a configuration, for commands that print it and end. Blocks.
//!
//! In: the section `fan_in`. Out: the entries that an agent would ask, each with its file or router, and the problems found. The
//! files are read first; routers and the resolver are asked only if the command wants it, for [`EACH`] each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::http::uri::PathAndQuery;
use tokio::task::{JoinSet, LocalSet};

use super::broker::{self, Bindings};
use super::file_source::{FileLook, FileSource, SourceLook};
use super::gorouter::Gorouter;
use super::paths::AllowedPaths;
use super::sources;
use super::table::{FanInInstance, InstanceTable, RoutedInstance};
use crate::config::{FanInConfig, HostPort};
use crate::targets::asking::EACH;
use crate::targets::client::HostNames;
use crate::targets::failure::Failure;

/// The content of the sources.
#[derive(Debug, Default)]
pub(crate) struct FanInSurvey {
    /// Sorted by route and address.
    pub(crate) entries: Vec<SurveyedEntry>,
    /// Each names the file, and the line if there is one.
    pub(crate) problems: Vec<String>,
    /// What the service broker has stored.
    stored: Bindings,
}

/// An instance under one of its routes.
#[derive(Debug)]
pub(crate) struct SurveyedEntry {
    pub(crate) route: String,
    pub(crate) instance: Arc<FanInInstance>,
    /// The file that shows it, or the URL of the router.
    pub(crate) file: Arc<PathBuf>,
}

impl FanInSurvey {
    /// Reads the files.
    pub(crate) fn of(config: &FanInConfig) -> Self {
        let mut survey = Self::default();
        for source in FileSource::all(config) {
            let look = source.look(&BTreeMap::new());
            // For a running agent, it was removed or comes later.
            if look.files.is_empty() && look.fault.is_none() {
                survey.problems.push(format!(
                    "{}: there is no such file; write one, which may be an empty list ([]), or correct the path",
                    source.path.display()
                ));
            }
            survey.add(look);
        }
        survey.sort();
        if let Some(config) = &config.broker {
            let (stored, problems) = broker::survey(config);
            survey.stored = stored;
            survey.problems.extend(problems);
        }
        survey
    }

    /// Asks the routers, too, and then the resolver for the addresses of all names. Connects to no instance.
    ///
    /// # Errors
    /// The runtime cannot be created.
    pub(crate) fn ask(&mut self, config: &FanInConfig) -> std::io::Result<()> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let names = Rc::new(HostNames::start(|| ()));
            let routers = config.gorouters.iter().map(|router| {
                let router = Gorouter::new(router, config.ca_file.as_deref(), Rc::clone(&names));
                Rc::new(router)
            });
            let end = || tokio::time::Instant::now() + EACH;
            let answers = sources::ask_all(routers.enumerate().collect(), end()).await;
            for look in answers.into_iter().filter_map(|(_, look)| look.ok()) {
                self.add(look);
            }
            let hosts = self.entries.iter().map(|one| one.instance.address.clone());
            let hosts: BTreeSet<HostPort> = hosts.filter(|host| host.name().is_some()).collect();
            let unresolved = unresolved(hosts, &names, end()).await;
            if let Some(first) = unresolved.first() {
                let count = unresolved.len();
                let seconds = EACH.as_secs();
                self.problems.push(format!(
                    "hosts whose names have no address, or not within {seconds} s: {count}, the first: {first}"
                ));
            }
        });
        self.sort();
        Ok(())
    }

    /// Where an agent asks each of the entries, in their order, for a caller that names no path.
    pub(crate) fn urls(&self, config: &FanInConfig) -> Vec<String> {
        let table = InstanceTable::of(self.entries.iter().map(|one| RoutedInstance {
            route: one.route.clone(),
            instance: Arc::clone(&one.instance),
        }));
        let allowed = AllowedPaths::new(&config.allowed_paths);
        let paths = allowed.of_question(&table, None);
        let instances = self.entries.iter().map(|one| &*one.instance);
        let urls = instances.map(|instance| {
            let stored = self.stored.path_of(&instance.application.id);
            let stored = stored.and_then(|path| path.parse().ok());
            // Always there, because only a path that the caller names is refused.
            let path = paths.of(instance, stored);
            url(instance, path.as_ref().map_or("", PathAndQuery::as_str))
        });
        urls.collect()
    }

    /// The sort is stable: of several entries for the same place, an agent asks the first.
    fn sort(&mut self) {
        self.entries.sort_by(|a, b| {
            let key = |one: &SurveyedEntry| (one.route.clone(), one.instance.address.clone());
            key(a).cmp(&key(b))
        });
    }

    fn add(&mut self, look: SourceLook) {
        self.problems.extend(look.fault.map(|fault| fault.cause));
        for (path, look) in look.files {
            let found = match look {
                FileLook::Read(_, Ok(found)) => found,
                FileLook::Read(_, Err(fault)) | FileLook::Failed(fault) => {
                    let waited = match fault.failure {
                        Failure::Timeout => format!(" after {} s", EACH.as_secs()),
                        _ => String::new(),
                    };
                    self.problems.push(fault.cause + &waited);
                    continue;
                }
                // Unreachable: no file was known before.
                FileLook::Unchanged => continue,
            };
            let shown = path.display();
            if let Some(example) = &found.example {
                let unusable = found.unusable;
                let problem = format!(
                    "{shown}: entries that cannot be asked: {unusable}, the first: {example}"
                );
                self.problems.push(problem);
            }
            if found.omitted > 0 {
                let omitted = found.omitted;
                self.problems.push(format!(
                    "{shown}: entries beyond the bound, which are not used: {omitted}"
                ));
            }
            let file = Arc::new(path);
            self.entries
                .extend(found.instances.into_iter().map(|routed| SurveyedEntry {
                    route: routed.route,
                    instance: routed.instance,
                    file: Arc::clone(&file),
                }));
        }
    }
}

/// The hosts whose names have no address by `end`.
async fn unresolved(
    hosts: BTreeSet<HostPort>,
    names: &Rc<HostNames>,
    end: tokio::time::Instant,
) -> Vec<HostPort> {
    let mut questions = JoinSet::new();
    for host in hosts {
        let names = Rc::clone(names);
        questions.spawn_local(async move {
            let found = names.addresses(&host, end).await;
            found.is_err().then_some(host)
        });
    }
    let answers = questions.join_all().await.into_iter();
    let unresolved: BTreeSet<HostPort> = answers.flatten().collect();
    unresolved.into_iter().collect()
}

/// The URL at which the agent asks an instance; `path`: if its source names none.
pub(crate) fn url(instance: &FanInInstance, path: &str) -> String {
    let scheme = if instance.is_tls { "https" } else { "http" };
    let path = instance.metric_path.as_deref().unwrap_or(path);
    format!("{scheme}://{}{path}", instance.address)
}

impl SurveyedEntry {
    /// The keys by which a request finds it.
    pub(crate) fn found_by(&self) -> &'static str {
        let application = &self.instance.application;
        let has_names = ![
            &application.organization_name,
            &application.space_name,
            &application.name,
        ]
        .into_iter()
        .any(String::is_empty);
        match (self.instance.is_web, has_names, application.id.is_empty()) {
            (true, true, false) => "names, id, route",
            (true, true, true) => "names, route",
            (true, false, false) => "id, route",
            _ => "route",
        }
    }

    /// How long the agent keeps asking it.
    pub(crate) fn until(&self, now: Instant) -> String {
        match self.instance.expires {
            None => "always".to_owned(),
            Some(expires) if expires <= now => "expired".to_owned(),
            Some(expires) => format!("{} s", (expires - now).as_secs()),
        }
    }
}
