//! A new configuration takes the place of the old one.
//!
//! What was used up to a pass of its own is booked to the groups of before. From then on everybody alive is where the new
//! configuration says, as soon as it was looked at; groups that there were stay, with their counters. Costs what the start
//! costs: the names of all processes are read.

use super::Pipeline;
use crate::{
    group::{BootTime, Classifier, Placer},
    process::Pass,
    reload,
};
use std::sync::Arc;

/// What says where a process belongs, by `classifier`.
pub(crate) fn placer(classifier: &Arc<Classifier>, boot: BootTime) -> Placer {
    let classifier = Arc::clone(classifier);
    Box::new(move |facts| classifier.classify(facts, boot))
}

impl Pipeline {
    /// Reads the configuration file anew; why that changed nothing, if it did not.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        let result = self.try_reload();
        self.reloads.note(result)
    }

    fn try_reload(&mut self) -> Result<(), String> {
        let Some(path) = self.reloads.path() else {
            return Ok(());
        };
        let classifier = reload::load_again(path)?;
        // Any process may come into a group.
        let Some(pass) = self.observe_since(0) else {
            let cause = self.last_error.as_deref().unwrap_or_default();
            return Err(format!("no pass over the processes: {cause}"));
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
