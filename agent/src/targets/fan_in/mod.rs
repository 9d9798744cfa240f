//! Fan-in: one answer for all instances of an application.
//!
//! ```text
//! sources: files, routers, a bus --parsers (pure)--> table --look-up--> the instances to ask
//!                                                               |
//! HTTP thread --handle--> answers (one task a question) --> ask (TCP) --> merged, in threads of their own --> HTTP thread
//!                                   +--> totals --> kind: families in /metrics
//! ```
//!
//! In: the section `fan_in` of the configuration, the files, routers and bus that it names, and questions of the HTTP thread.
//! Out: merged metrics. The agent asks instances only to answer such a question, never for `/metrics`. Without a source in the
//! configuration, the agent has no table and asks no instance.

mod answers;
mod ask;
pub(crate) mod broker;
mod counts;
mod exporters;
mod file_sd;
mod file_source;
mod found;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod gorouter;
pub(crate) mod handle;
mod kind;
mod merged;
pub(super) mod nats;
pub(super) mod node;
mod paths;
mod routes;
mod shares;
mod sources;
pub(crate) mod survey;
mod table;
mod totals;

use std::rc::Rc;

pub(crate) use answers::FanInAnswers;
use kind::FanIn;
pub(crate) use merged::ANSWER_DESCRIPTORS;
pub(crate) use node::survey as node_survey;

use super::KindRow;

const NAME: &str = "fan_in";

pub(super) const ROW: KindRow = KindRow {
    name: NAME,
    comms: &[],
    descriptors: || {
        [
            &totals::DESCRIPTORS[..],
            &counts::DESCRIPTORS,
            &broker::DESCRIPTORS,
            &[&nats::MESSAGES, &node::PROCESSES],
        ]
        .concat()
    },
    reads_others: |settings| {
        let fan_in = settings.fan_in.as_ref();
        fan_in.is_some_and(|fan_in| fan_in.asks_processes)
    },
    is_enabled: |settings| settings.fan_in.is_some(),
    // Its families are bounded in number: see totals.rs and sources.rs.
    eighths: 0,
    start: |_, environment, _| {
        let answers = environment.fan_in.as_ref()?;
        Some(Box::new(FanIn(Rc::clone(answers))))
    },
};
