//! Asks the instances of an application, within bounds that all questions share.
//!
//! * Instances at the same time: `limits.at_once` in all, three quarters of that for one question, and for one application its
//!   share ([`FanInShares`]). So other questions have slots left even while all instances of an application hang. Further
//!   instances wait.
//! * Time of each instance: an equal share, so that instances that hang leave time for those that wait for a slot. If an
//!   instance has a host name, the resolver may take at most half of that time.
//! * Bytes of bodies in memory: twice `limits.answer_bytes` plus `limits.instance_bytes`. A body beyond the share of its
//!   application fails with [`Failure::Limit`].
//!
//! Several processes of the node may have one address, each in a network namespace of its own. They count as one instance, which
//! is asked once: the agent connects for one process after another until a connection has reached its process. It sends nothing
//! before that.
//!
//! In: instances and a request. Out: the answer or the failure of each instance, in the order of the instances. Left to others:
//! which instances to ask (`table.rs`), and merging the answers (`merged.rs`).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::handle::FanInRequest;
use super::node::NodeProcesses;
use super::shares::{FanInShare, FanInShares};
use super::table::FanInInstance;
use crate::config::{FanInConfig, FanInLimits};
use crate::targets::client::{
    Authorities, HostNames, InstanceReply, InstanceRequest, NoReply, get,
};
use crate::targets::failure::Failure;

const PLAIN: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
const ANY: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The outcome of asking an instance.
#[derive(Debug)]
pub(super) struct AskedInstance {
    pub(super) instance: Arc<FanInInstance>,
    pub(super) reply: Result<InstanceReply, NoReply>,
    /// Time from the first attempt to connect to the end of the answer; `None` if the instance was not asked.
    pub(super) took: Option<Duration>,
}

impl AskedInstance {
    /// The status, if an instance answered 4xx. For an external exporter, such a status is a failure like any other, as in
    /// promfetcher.
    pub(super) fn refusal(&self) -> Option<u16> {
        let status = self.reply.as_ref().err()?.status?;
        let is_refusal = status.is_client_error() && self.instance.exporter.is_none();
        is_refusal.then_some(status.as_u16())
    }
}

/// How an instance is asked, according to the request and the configuration.
pub(super) struct AskTerms {
    /// Whether it receives the caller's `Authorization`.
    pub(super) may_authorize: bool,
    /// The path of its metrics if its source states none.
    pub(super) path: Option<PathAndQuery>,
}

/// A question to an instance, or why it cannot be asked.
struct InstanceQuestion {
    instance: Arc<FanInInstance>,
    request: Result<InstanceRequest, Failure>,
    share: FanInShare,
}

/// The bounds that all questions share.
pub(super) struct FanInAsker {
    limits: FanInLimits,
    /// `None`: instances with TLS fail.
    authorities: Option<Authorities>,
    shares: FanInShares,
    names: Rc<HostNames>,
    /// The node's own processes, if they are instances.
    processes: Option<Rc<NodeProcesses>>,
}

impl FanInAsker {
    /// Reads the authorities that may sign certificates of instances.
    pub(super) fn new(
        config: &FanInConfig,
        names: Rc<HostNames>,
        processes: Option<Rc<NodeProcesses>>,
    ) -> Self {
        let limits = config.limits;
        let authorities = Authorities::read(config.ca_file.as_deref());
        if let Err(error) = &authorities {
            log::warn!("fan_in: {error}; instances with TLS are not asked");
        }
        Self {
            limits,
            authorities: authorities.ok(),
            shares: FanInShares::of(
                limits.at_once,
                2 * limits.answer_bytes + limits.instance_bytes,
            ),
            names,
            processes,
        }
    }

    /// Asks all `instances` until `end`, each on its `terms`. Instances with the same address must be adjacent.
    pub(super) async fn ask_all(
        &self,
        instances: Vec<Arc<FanInInstance>>,
        request: &FanInRequest,
        terms: impl Fn(&FanInInstance) -> AskTerms,
        end: Instant,
    ) -> Vec<AskedInstance> {
        let of_question = (3 * self.limits.at_once).div_ceil(4);
        let addresses = instances.chunk_by(|one, other| are_contenders(one, other));
        let rounds = addresses.clone().count().div_ceil(of_question).max(1);
        let time = end.saturating_duration_since(Instant::now());
        let time = time / u32::try_from(rounds).unwrap_or(u32::MAX);
        let of_question = Arc::new(Semaphore::new(of_question));
        let mut questions = JoinSet::new();
        let mut asked: Vec<Option<AskedInstance>> = Vec::with_capacity(instances.len());
        for (index, contenders) in addresses.enumerate() {
            let Some(first) = contenders.first() else {
                continue;
            };
            // An instance gets a task only when it has a slot, because a task takes 7 KB.
            let share = self.shares.of_instance(first);
            let slot = async {
                // The semaphore is never closed.
                let of_question = Arc::clone(&of_question).acquire_owned().await.ok();
                (of_question, share.slot().await)
            };
            let Ok(slot) = timeout_at(end, slot).await else {
                asked.push(Some(late(Arc::clone(first), None)));
                continue;
            };
            asked.push(None);
            let deadline = end.min(Instant::now() + time);
            let contenders: Vec<InstanceQuestion> = contenders
                .iter()
                .map(|one| self.question(one, request, terms(one), deadline))
                .collect();
            let (names, processes) = (Rc::clone(&self.names), self.processes.clone());
            questions.spawn_local(async move {
                let _slot = slot;
                (
                    index,
                    ask(contenders, &names, processes.as_deref(), deadline).await,
                )
            });
        }
        while let Some(answered) = questions.join_next().await {
            if let Ok((index, one)) = answered
                && let Some(entry) = asked.get_mut(index)
            {
                *entry = one;
            }
        }
        asked.into_iter().flatten().collect()
    }

    fn question(
        &self,
        instance: &Arc<FanInInstance>,
        request: &FanInRequest,
        terms: AskTerms,
        deadline: Instant,
    ) -> InstanceQuestion {
        InstanceQuestion {
            request: self.request(instance, request, terms, deadline),
            share: self.shares.of_instance(instance),
            instance: Arc::clone(instance),
        }
    }

    fn request(
        &self,
        instance: &FanInInstance,
        request: &FanInRequest,
        terms: AskTerms,
        deadline: Instant,
    ) -> Result<InstanceRequest, Failure> {
        let host = instance.host.as_ref().map(HeaderValue::try_from);
        let path = match &instance.metric_path {
            Some(path) => path.parse().ok(),
            None => terms.path,
        };
        let name = instance.server_name.as_deref();
        let tls = match (&self.authorities, instance.is_tls) {
            (_, false) => None,
            (Some(authorities), true) => Some(authorities.expect(name, &instance.address)?),
            (None, true) => return Err(Failure::Insecure),
        };
        let accept = if request.is_plain_only { PLAIN } else { ANY };
        Ok(InstanceRequest {
            target: instance.address.clone(),
            addresses: Vec::new(),
            tls,
            host: host.transpose().map_err(|_| Failure::Malformed)?,
            path: path.ok_or(Failure::Malformed)?,
            accept: HeaderValue::from_static(accept),
            authorization: request
                .authorization
                .clone()
                .filter(|_| terms.may_authorize),
            deadline,
            most_bytes: self.limits.instance_bytes,
        })
    }
}

/// Whether both are processes of the node with the same address, so that only a connection shows which one has it.
fn are_contenders(one: &FanInInstance, other: &FanInInstance) -> bool {
    one.address == other.address && one.listener.is_some() && other.listener.is_some()
}

/// Asks the first contender whose process a connection reaches; `None` if `contenders` is empty.
async fn ask(
    contenders: Vec<InstanceQuestion>,
    names: &HostNames,
    processes: Option<&NodeProcesses>,
    deadline: Instant,
) -> Option<AskedInstance> {
    let began = Instant::now();
    let first = Arc::clone(&contenders.first()?.instance);
    let resolved = began + deadline.saturating_duration_since(began) / 2;
    let asking = async {
        let mut not_reached = None;
        for InstanceQuestion {
            instance,
            request,
            share,
        } in contenders
        {
            let is_other = Cell::new(false);
            let node = processes.zip(instance.listener.as_ref());
            let confirm = async |ends| match node {
                Some((processes, listener)) => {
                    let confirmed = processes.confirm(listener, ends, deadline).await;
                    is_other.set(confirmed.is_err());
                    confirmed
                }
                None => Ok(()),
            };
            let asking = async {
                let mut addresses = names.addresses(&instance.address, resolved).await?;
                addresses.extend(instance.listener.as_ref().and_then(|one| one.ipv6));
                let request = InstanceRequest {
                    addresses,
                    ..request?
                };
                get(request, &share.room, confirm).await
            };
            let reply = asking.await;
            let answered = (instance, reply);
            if !is_other.get() {
                return Some(answered);
            }
            not_reached.get_or_insert(answered);
        }
        not_reached
    };
    let asked = timeout_at(deadline, asking).await;
    let took = Some(began.elapsed());
    match asked {
        Ok(answered) => answered.map(|(instance, reply)| AskedInstance {
            instance,
            reply,
            took,
        }),
        Err(_) => Some(late(first, took)),
    }
}

fn late(instance: Arc<FanInInstance>, took: Option<Duration>) -> AskedInstance {
    AskedInstance {
        instance,
        reply: Err(Failure::Timeout.into()),
        took,
    }
}
