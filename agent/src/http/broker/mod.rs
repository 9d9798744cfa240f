//! `/broker/v2/...`: the service broker, by which a platform stores a path for each application (Open Service Broker API 2.13 and
//! later). The service and the plan are those of promfetcher.
//!
//! | path below `/broker/v2` | method | answer |
//! | --- | --- | --- |
//! | `/catalog` | GET | one service with one plan |
//! | `/service_instances/{id}` | PUT, PATCH, DELETE, GET | success: every instance exists |
//! | `/service_instances/{id}/service_bindings/{id}` | PUT, DELETE, GET | stores, removes and shows the path of an application |
//! | `.../last_operation` of both | GET | `succeeded`: no operation goes on after its answer |
//!
//! In: a request, the section of the configuration and the storage ([`BrokerHandle`]). Out: responses with a JSON object. Each
//! request must have the broker's own credentials, even if the web configuration has users; the TLS and the client certificates
//! of the web configuration apply. Bodies have a bound, and must arrive within the time of a request's header.

mod call;
mod credentials;

use std::error::Error;
use std::path::Path;

use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use self::call::{BrokerCall, binding_of, body_of, check_ids};
use self::credentials::BrokerCredentials;
use super::admission::Limits;
use super::reply::{JSON, Reply, reply};
use crate::config::{BrokerConfig, PathRule};
use crate::targets::fan_in::broker::{
    BindingChange, BindingOutcome, BrokerHandle, StoredBinding, StoredPaths,
};

const PREFIX: &str = "/broker/v2/";
const VERSION: &str = "x-broker-api-version";
/// The header with the platform's id of the request; the answer repeats it.
const IDENTITY: &str = "x-broker-api-request-identity";

/// The broker of a configuration.
#[derive(Debug)]
pub struct ServiceBroker {
    credentials: BrokerCredentials,
    service_id: String,
    plan_id: String,
    storage: BrokerHandle,
    /// The rules for paths, looked up by the id of the application.
    allowed_paths: Vec<PathRule>,
}

/// Why a call has no result: a status, an error code for programs and a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BrokerError {
    status: StatusCode,
    error: &'static str,
    description: String,
    /// A header that the status requires.
    header: Option<(HeaderName, &'static str)>,
}

impl BrokerError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            error,
            description: description.into(),
            header: None,
        }
    }

    fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    fn reply(self) -> Reply {
        let body = json!({ "error": self.error, "description": self.description });
        let mut reply = json_reply(self.status, &body);
        if let Some((name, value)) = self.header {
            let headers = reply.headers_mut();
            headers.insert(name, HeaderValue::from_static(value));
        }
        reply
    }

    fn bad(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", description)
    }
}

/// Whether `path` belongs to the broker.
pub(super) fn has_path(path: &str) -> bool {
    path.starts_with(PREFIX)
}

impl ServiceBroker {
    /// Reads the password, and starts the thread that stores paths, which drops its rights by calling `confine`. `allowed_paths`:
    /// the broker refuses a path that the rule for the application's id does not list.
    ///
    /// # Errors
    /// There is no password, or the thread cannot be started.
    pub(crate) fn start(
        config: &BrokerConfig,
        allowed_paths: &[PathRule],
        confine: impl FnOnce(&Path) + Send + 'static,
    ) -> Result<Self, String> {
        let credentials = BrokerCredentials::new(&config.username, &config.password()?)?;
        let storage = BrokerHandle::start(config, confine)
            .map_err(|error| format!("cannot start the thread that stores paths: {error}"))?;
        Ok(Self {
            credentials,
            service_id: config.service_id.clone(),
            plan_id: config.plan_id.clone(),
            storage,
            allowed_paths: allowed_paths.to_vec(),
        })
    }

    /// The paths that are stored.
    pub(crate) fn stored(&self) -> StoredPaths {
        self.storage.stored()
    }

    /// Answers a request. `arrived` is called when its body has been read.
    pub(super) async fn answer<B>(
        &self,
        request: &mut Request<B>,
        limits: &Limits,
        arrived: impl FnOnce(),
    ) -> Reply
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let identity = request.headers().get(IDENTITY).cloned();
        let asked = self.asked(request, limits.header).await;
        arrived();
        let answered = match asked {
            Ok((call, body)) => {
                let act = self.act(request.method(), call, &body);
                timeout(limits.scrape, act)
                    .await
                    .unwrap_or_else(|_| Err(too_late()))
            }
            Err(refused) => Err(refused),
        };
        let mut reply = match answered {
            Ok((status, value)) => json_reply(status, &value),
            Err(refused) => refused.reply(),
        };
        if let Some(identity) = identity {
            reply.headers_mut().insert(IDENTITY, identity);
        }
        reply
    }

    /// The call of a request that may be answered, with its body.
    async fn asked<B>(
        &self,
        request: &mut Request<B>,
        time: Duration,
    ) -> Result<(BrokerCall, Bytes), BrokerError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if !self.credentials.admit(request.headers()) {
            let what = "authentication required: send the user name and the password of the broker";
            let refused = BrokerError::new(StatusCode::UNAUTHORIZED, "Unauthorized", what);
            return Err(refused.with_header(WWW_AUTHENTICATE, "Basic realm=\"headcount broker\""));
        }
        check_version(request.headers())?;
        let path = request.uri().path();
        let call = BrokerCall::of(path.strip_prefix(PREFIX).unwrap_or_default())?;
        let methods = call.methods();
        if !methods.split(", ").any(|one| one == request.method()) {
            let (status, what) = (StatusCode::METHOD_NOT_ALLOWED, format!("use {methods}"));
            let refused = BrokerError::new(status, "MethodNotAllowed", what);
            return Err(refused.with_header(ALLOW, methods));
        }
        let has_body = matches!(*request.method(), Method::PUT | Method::PATCH);
        let body = match has_body {
            true => body_of(request.body_mut(), time).await?,
            false => Bytes::new(),
        };
        Ok((call, body))
    }

    async fn act(
        &self,
        method: &Method,
        call: BrokerCall,
        body: &[u8],
    ) -> Result<(StatusCode, Value), BrokerError> {
        let is_put = *method == Method::PUT;
        let ids = (self.service_id.as_str(), self.plan_id.as_str());
        match call {
            BrokerCall::Catalog => Ok((StatusCode::OK, self.catalog())),
            BrokerCall::Operation => Ok((StatusCode::OK, json!({ "state": "succeeded" }))),
            BrokerCall::Instance if is_put => {
                check_ids(body, ids, true)?;
                Ok((StatusCode::CREATED, json!({})))
            }
            BrokerCall::Instance if *method == Method::PATCH => {
                check_ids(body, ids, false)?;
                Ok((StatusCode::OK, json!({})))
            }
            BrokerCall::Instance if *method == Method::GET => {
                let instance = json!({ "service_id": self.service_id, "plan_id": self.plan_id });
                Ok((StatusCode::OK, instance))
            }
            BrokerCall::Instance => Ok((StatusCode::OK, json!({}))),
            BrokerCall::Binding(id) if is_put => {
                check_ids(body, ids, true)?;
                let binding = binding_of(id, body)?;
                self.check_path(&binding)?;
                let change = BindingChange::Bind(binding);
                self.change(change, StatusCode::CREATED).await
            }
            BrokerCall::Binding(id) if *method == Method::DELETE => {
                self.change(BindingChange::Unbind(id), StatusCode::OK).await
            }
            BrokerCall::Binding(id) => match self.storage.binding(&id).map_err(unusable)? {
                Some(binding) => {
                    let parameters = json!({ "endpoint": binding.path });
                    let shown = json!({ "credentials": parameters, "parameters": parameters });
                    Ok((StatusCode::OK, shown))
                }
                None => {
                    let what = "no path is stored by this binding";
                    Err(BrokerError::new(StatusCode::NOT_FOUND, "NotFound", what))
                }
            },
        }
    }

    /// Refuses a path that the first rule for the id of the application does not allow. Rules by names and routes are applied
    /// when instances are asked: the broker knows only the id.
    fn check_path(&self, binding: &StoredBinding) -> Result<(), BrokerError> {
        let mut rules = self.allowed_paths.iter();
        let id = &binding.application;
        let rule = rules.find(|rule| rule.application.eq_ignore_ascii_case(id));
        match rule {
            Some(rule) if !binding.path.is_empty() && !rule.paths.contains(&binding.path) => {
                let paths = rule.paths.join(", ");
                Err(BrokerError::bad(format!(
                    "endpoint must be one of the paths that this application may have: {paths}"
                )))
            }
            _ => Ok(()),
        }
    }

    async fn change(
        &self,
        change: BindingChange,
        done: StatusCode,
    ) -> Result<(StatusCode, Value), BrokerError> {
        let outcome = self.storage.change(change).await.map_err(unusable)?;
        let error = |status, error, what: &str| Err(BrokerError::new(status, error, what));
        match outcome {
            BindingOutcome::Stored => Ok((done, json!({}))),
            BindingOutcome::Same => Ok((StatusCode::OK, json!({}))),
            BindingOutcome::Gone => Ok((StatusCode::GONE, json!({}))),
            BindingOutcome::Conflict => error(
                StatusCode::CONFLICT,
                "Conflict",
                "the binding exists, with another application or another endpoint",
            ),
            BindingOutcome::Full => error(
                StatusCode::INSUFFICIENT_STORAGE,
                "Full",
                "paths of 10,000 applications are stored, the most possible",
            ),
            BindingOutcome::Failed(cause) => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "NotStored",
                &format!("the path could not be stored: {cause}"),
            ),
        }
    }

    fn catalog(&self) -> Value {
        json!({ "services": [{
            "id": self.service_id,
            "name": "promfetcher",
            "description": "Fetch your prometheus metrics on each instance of your app",
            "bindable": true,
            "bindings_retrievable": true,
            "plan_updateable": false,
            "metadata": { "displayName": "promfetcher" },
            "plans": [{
                "id": self.plan_id,
                "name": "fetch-app",
                "description": "Fetch your prometheus metrics on each instance of your app by setting the endpoint to scrape",
                "free": true,
                "bindable": true,
                "metadata": { "displayName": "fetch-app" },
            }],
        }] })
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), BrokerError> {
    let version = headers.get(VERSION).and_then(|value| value.to_str().ok());
    let minor = version.and_then(|version| version.strip_prefix("2."));
    let is_known = minor.is_some_and(|minor| minor.parse::<u16>().is_ok());
    match is_known {
        true => Ok(()),
        false => Err(BrokerError::new(
            StatusCode::PRECONDITION_FAILED,
            "UnsupportedVersion",
            "the header X-Broker-API-Version must be there and be 2.x",
        )),
    }
}

fn unusable(fault: String) -> BrokerError {
    let what = format!("the stored paths cannot be used: {fault}");
    BrokerError::new(StatusCode::SERVICE_UNAVAILABLE, "Unusable", what)
}

fn too_late() -> BrokerError {
    let what = "the path was not stored in time; it may still be stored later";
    BrokerError::new(StatusCode::SERVICE_UNAVAILABLE, "TimedOut", what)
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    reply(status, JSON, value.to_string())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
