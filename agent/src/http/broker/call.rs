//! Parses a request to the service broker: its path and its body.

use std::error::Error;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Duration, timeout};

use super::BrokerError;
use crate::targets::fan_in::broker::{StoredBinding, is_id, is_metric_path};

/// Most bytes of a body. Platforms send facts about the application beside the parameters.
const MOST_BODY: usize = 64 << 10;

/// The object that a path names. Service instances are not identified: the broker treats every one as existing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BrokerCall {
    Catalog,
    Instance,
    /// The binding of this id.
    Binding(String),
    /// The last operation of an instance or a binding.
    Operation,
}

impl BrokerCall {
    /// The call of a path below `/broker/v2/`.
    pub(super) fn of(path: &str) -> Result<Self, BrokerError> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["catalog"] => Ok(Self::Catalog),
            ["service_instances", id] if is_id(id) => Ok(Self::Instance),
            ["service_instances", id, "last_operation"] if is_id(id) => Ok(Self::Operation),
            [
                "service_instances",
                id,
                "service_bindings",
                binding,
                rest @ ..,
            ] if is_id(id) && is_id(binding) && matches!(rest, [] | ["last_operation"]) => {
                Ok(match rest {
                    [] => Self::Binding((*binding).to_owned()),
                    _ => Self::Operation,
                })
            }
            _ => Err(BrokerError::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                "the API of service brokers has no such path; an id has 1 to 200 letters, digits and -._~",
            )),
        }
    }

    /// The allowed methods, in the form of the header `Allow`.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Catalog | Self::Operation => "GET",
            Self::Instance => "PUT, PATCH, DELETE, GET",
            Self::Binding(_) => "PUT, DELETE, GET",
        }
    }
}

/// Reads the whole body within twice `time`. Without `100 Continue`, the connection ends after `time` already.
pub(super) async fn body_of<B>(body: &mut B, time: Duration) -> Result<Bytes, BrokerError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = Limited::new(body, MOST_BODY);
    match timeout(2 * time, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BrokerError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TooLarge",
            format!("the body has more than {MOST_BODY} bytes"),
        )),
        Ok(Err(error)) => Err(BrokerError::bad(format!("the body is malformed: {error}"))),
        Err(_) => Err(BrokerError::bad("the body did not arrive in time")),
    }
}

/// The ids in a body; each call with a body has them.
#[derive(Deserialize)]
struct ServiceIds {
    service_id: Option<String>,
    plan_id: Option<String>,
}

#[derive(Deserialize)]
struct BindBody {
    /// Platforms state the application here since version 2.10 of the API, and in `app_guid` before that.
    bind_resource: Option<BindResource>,
    app_guid: Option<String>,
    parameters: Option<BindParameters>,
}

#[derive(Deserialize)]
struct BindResource {
    app_guid: Option<String>,
}

#[derive(Deserialize)]
struct BindParameters {
    endpoint: Option<String>,
}

/// Refuses a body that names another service or plan than (`service`, `plan`). `needs_plan`: the body must name the plan.
pub(super) fn check_ids(
    body: &[u8],
    (service, plan): (&str, &str),
    needs_plan: bool,
) -> Result<(), BrokerError> {
    let ids: ServiceIds = object(body)?;
    let is_plan = match ids.plan_id.as_deref() {
        Some(named) => named == plan,
        None => !needs_plan,
    };
    match ids.service_id.as_deref() == Some(service) && is_plan {
        true => Ok(()),
        false => Err(BrokerError::bad(
            "service_id and plan_id must be those of the catalog",
        )),
    }
}

/// The binding of a body.
pub(super) fn binding_of(id: String, body: &[u8]) -> Result<StoredBinding, BrokerError> {
    let body: BindBody = object(body)?;
    let resource = body.bind_resource.and_then(|resource| resource.app_guid);
    let application = resource.or(body.app_guid).unwrap_or_default();
    if application.is_empty() {
        return Err(BrokerError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "RequiresApp",
            "a path is stored for an application: bind the service to one",
        ));
    }
    if !is_id(&application) {
        return Err(BrokerError::bad(
            "app_guid must have 1 to 200 letters, digits and -._~",
        ));
    }
    let endpoint = body.parameters.and_then(|parameters| parameters.endpoint);
    let path = endpoint.unwrap_or_default();
    if !path.is_empty() && !is_metric_path(&path) {
        return Err(BrokerError::bad(
            "endpoint must be a path that begins with /, without a query, of at most 1,000 bytes",
        ));
    }
    Ok(StoredBinding {
        id,
        application,
        path,
    })
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, BrokerError> {
    serde_json::from_slice(body)
        .map_err(|error| BrokerError::bad(format!("the body is no such JSON object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_api_are_known_and_no_others() {
        let of = |path| BrokerCall::of(path).map_err(|error| error.status.as_u16());
        let binding = || Ok(BrokerCall::Binding("b".to_owned()));
        for (path, expected) in [
            ("catalog", Ok(BrokerCall::Catalog)),
            ("service_instances/a", Ok(BrokerCall::Instance)),
            (
                "service_instances/a/last_operation",
                Ok(BrokerCall::Operation),
            ),
            ("service_instances/a/service_bindings/b", binding()),
            (
                "service_instances/a/service_bindings/b/last_operation",
                Ok(BrokerCall::Operation),
            ),
            ("", Err(404)),
            ("catalog/", Err(404)),
            ("service_instances", Err(404)),
            ("service_instances/", Err(404)),
            ("service_instances/a/", Err(404)),
            ("service_instances/a%2f", Err(404)),
            ("service_instances/a/service_bindings", Err(404)),
            ("service_instances/a/service_bindings/", Err(404)),
            ("service_instances//service_bindings/b", Err(404)),
            ("service_instances/a/service_bindings/b/c", Err(404)),
            (
                "service_instances/a/service_bindings/b/last_operation/",
                Err(404),
            ),
        ] {
            assert_eq!(of(path), expected, "{path}");
        }
        assert_eq!(
            of(&format!("service_instances/{}", "x".repeat(201))),
            Err(404)
        );
    }

    #[test]
    fn binding_needs_an_application_and_a_path() {
        let of = |body: &str| {
            let binding = binding_of("b".to_owned(), body.as_bytes());
            binding
                .map(|binding| (binding.application, binding.path))
                .map_err(|error| (error.status.as_u16(), error.description))
        };
        let ok = |application: &str, path: &str| Ok((application.to_owned(), path.to_owned()));
        for (body, expected) in [
            (
                r#"{"bind_resource":{"app_guid":"a","route":"r"},"app_guid":"c","parameters":{"endpoint":"/x","more":1}}"#,
                ok("a", "/x"),
            ),
            (
                r#"{"app_guid":"a","bind_resource":null,"parameters":{"endpoint":""},"context":{"platform":"cloudfoundry"}}"#,
                ok("a", ""),
            ),
            (
                r#"{"bind_resource":{"app_guid":"a"},"parameters":null}"#,
                ok("a", ""),
            ),
        ] {
            assert_eq!(of(body), expected, "{body}");
        }
        for (body, status, text) in [
            ("", 400, "no such JSON object"),
            ("[]", 400, "no such JSON object"),
            (r#"{"app_guid":1}"#, 400, "invalid type"),
            (
                r#"{"app_guid":"a","parameters":{"endpoint":["/x"]}}"#,
                400,
                "invalid type",
            ),
            ("{}", 422, "bind the service to one"),
            (r#"{"app_guid":""}"#, 422, "bind the service to one"),
            (r#"{"app_guid":"a/b"}"#, 400, "app_guid must have"),
            (
                r#"{"app_guid":"a","parameters":{"endpoint":"x"}}"#,
                400,
                "begins with /",
            ),
            (
                r#"{"app_guid":"a","parameters":{"endpoint":"/x?y"}}"#,
                400,
                "without a query",
            ),
            (
                r#"{"app_guid":"a","parameters":{"endpoint":"/x\r\nHost: y"}}"#,
                400,
                "without a query",
            ),
        ] {
            let (found, description) = of(body).unwrap_err();
            assert_eq!(found, status, "{body}");
            assert!(description.contains(text), "{body}: {description}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(of(&format!(r#"{{"context":{deep}"#)).unwrap_err().0, 400);
    }

    #[test]
    fn service_and_plan_must_be_those_of_the_catalog() {
        let check = |body: &str, needs_plan| {
            check_ids(body.as_bytes(), ("s", "p"), needs_plan)
                .map_err(|error| error.status.as_u16())
        };
        assert_eq!(
            check(r#"{"service_id":"s","plan_id":"p","x":[]}"#, true),
            Ok(())
        );
        assert_eq!(check(r#"{"service_id":"s"}"#, false), Ok(()));
        for body in [
            r#"{"service_id":"s"}"#,
            r#"{"plan_id":"p"}"#,
            r#"{"service_id":"s","plan_id":"x"}"#,
            r#"{"service_id":"x","plan_id":"p"}"#,
            "{",
        ] {
            assert_eq!(check(body, true), Err(400), "{body}");
        }
    }
}
