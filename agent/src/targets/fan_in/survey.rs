//! What the sources of a configuration show now, for commands that print it and end. Blocks.
//!
//! In comes the section `fan_in`; out come the entries that an agent would ask, each with its file, and what cannot be used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::file_source::{FileLook, FileSource};
use super::table::FanInInstance;
use crate::config::{FanInConfig, GorouterConfig};

/// The sources as they are now.
#[derive(Debug, Default)]
pub(crate) struct FanInSurvey {
    /// In the order of routes and addresses.
    pub(crate) entries: Vec<SurveyedEntry>,
    /// Each with the file, and the line if there is one.
    pub(crate) problems: Vec<String>,
    /// URLs of routers, which only an agent asks.
    pub(crate) not_asked: Vec<String>,
}

/// An instance under one of its routes.
#[derive(Debug)]
pub(crate) struct SurveyedEntry {
    pub(crate) route: String,
    pub(crate) instance: Arc<FanInInstance>,
    /// The file that shows it.
    pub(crate) file: Arc<PathBuf>,
}

impl FanInSurvey {
    pub(crate) fn of(config: &FanInConfig) -> Self {
        let mut survey = Self::default();
        for source in FileSource::all(config) {
            survey.add(&source);
        }
        survey
            .not_asked
            .extend(config.gorouters.iter().map(GorouterConfig::url));
        // Stable: of entries that lead to the same place, an agent asks the first.
        survey.entries.sort_by(|a, b| {
            let key = |one: &SurveyedEntry| (one.route.clone(), one.instance.address.clone());
            key(a).cmp(&key(b))
        });
        survey
    }

    fn add(&mut self, source: &FileSource) {
        let look = source.look(&BTreeMap::new());
        self.problems.extend(look.fault.map(|fault| fault.cause));
        for (path, look) in look.files {
            let found = match look {
                FileLook::Read(_, Ok(found)) => found,
                FileLook::Read(_, Err(fault)) | FileLook::Failed(fault) => {
                    self.problems.push(fault.cause);
                    continue;
                }
                // Nothing was known.
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

impl SurveyedEntry {
    /// Where the agent asks.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.instance.is_tls {
            "https"
        } else {
            "http"
        };
        let path = self.instance.metric_path.as_deref().unwrap_or("/metrics");
        format!("{scheme}://{}{path}", self.instance.address)
    }

    /// By what a request finds it.
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

    /// How long it is asked.
    pub(crate) fn until(&self, now: Instant) -> String {
        match self.instance.expires {
            None => "always".to_owned(),
            Some(expires) if expires <= now => "expired".to_owned(),
            Some(expires) => format!("{} s", (expires - now).as_secs()),
        }
    }
}
