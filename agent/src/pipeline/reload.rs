//! Puts a new configuration in the place of the old one.
//!
//! A pass of its own first books all use so far to the old groups. From then on every living process gets the group that the
//! new configuration decides, as soon as it is looked at. Existing groups stay, with their counters. A reload costs as much as
//! the start: the names of all processes are read.

use super::Pipeline;
use crate::{
    group::{BootTime, Classifier, Placer},
    process::Pass,
    reload,
};
use std::sync::Arc;

/// The function that decides the group of a process, by `classifier`.
pub(crate) fn placer(classifier: &Arc<Classifier>, boot: BootTime) -> Placer {
    let classifier = Arc::clone(classifier);
    Box::new(move |facts| classifier.classify(facts, boot))
}

impl Pipeline {
    /// Reads the configuration file anew and regroups. On an error nothing changes; the error says why.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        let result = self.try_reload();
        self.reloads.note(result)
    }

    fn try_reload(&mut self) -> Result<(), String> {
        let Some(path) = self.reloads.path() else {
            return Ok(());
        };
        let classifier = reload::load_again(path)?;
        // Reads all processes in full: any process may get a group.
        let Some(pass) = self.observe_since(0) else {
            let cause = self.last_error.as_deref().unwrap_or_default();
            return Err(format!("the pass over the processes failed: {cause}"));
        };
        self.regroup(Arc::new(classifier), &pass);
        Ok(())
    }

    fn regroup(&mut self, classifier: Arc<Classifier>, pass: &Pass) {
        let boot = BootTime {
            unix_seconds: self.host.boot_time,
        };
        self.observer.want_cwd(classifier.uses_cwd());
        self.observer.want_pods(classifier.uses_pods());
        let former = std::mem::replace(&mut self.classifier, classifier);
        let classifier = &self.classifier;
        let keeps = |item| classifier.decides_as(&former, item);
        self.grouper
            .reconfigure(placer(classifier, boot), classifier.fixed(), keeps);
        self.failures_logged.clear();
        self.table.reclassify(&mut self.grouper);
        self.classify(pass);
        self.grouper.settle();
        self.log_template_failures();
    }
}
