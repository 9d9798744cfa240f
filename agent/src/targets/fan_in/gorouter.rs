//! Asks a router for its routes.
//!
//! In: the configuration of the router. Out: its routes, in the form of a file's content. The agent reads the password and the
//! trusted authorities once, at the start. The administrator chooses the host; a redirect to another host is refused. If the host
//! name has several addresses, the agent asks the first one to which it can connect.

use std::path::Path;
use std::rc::Rc;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::time::{Instant, timeout_at};

use super::file_source::{FileFault, FileLook, FileStamp};
use super::found::{FoundInstances, MOST_INSTANCES, ReadTime};
use super::routes;
use crate::config::GorouterConfig;
use crate::targets::client::{
    Authorities, BodyRoom, HostNames, InstanceRequest, NoReply, basic_authorization, get,
};
use crate::targets::failure::Failure;

/// Largest table that is read, bytes.
const MOST_BYTES: usize = 16 << 20;
/// Answers of a router have no stamp, so each one counts as changed.
const NO_STAMP: FileStamp = (0, 0, 0, 0, 0);

/// A router.
#[derive(Debug)]
pub(super) struct Gorouter {
    pub(super) url: String,
    /// The request without its deadline, which each question sets; or why the router cannot be asked.
    request: Result<InstanceRequest, FileFault>,
    names: Rc<HostNames>,
    room: BodyRoom,
}

impl Gorouter {
    /// `ca_file`: the authorities of instances, used if the router has none of its own.
    pub(super) fn new(
        config: &GorouterConfig,
        ca_file: Option<&Path>,
        names: Rc<HostNames>,
    ) -> Self {
        let request = request(config, ca_file).map_err(|cause| FileFault {
            failure: Failure::Denied,
            cause: format!("{}: {cause}", config.url()),
        });
        Self {
            url: config.url(),
            request,
            names,
            room: BodyRoom::of(MOST_BYTES),
        }
    }

    /// Asks the router, until `deadline`.
    pub(super) async fn ask(&self, deadline: Instant) -> FileLook {
        match self.routes(deadline).await {
            Ok(found) => FileLook::Read(NO_STAMP, Ok(found)),
            Err(fault) => FileLook::Failed(fault),
        }
    }

    async fn routes(&self, deadline: Instant) -> Result<FoundInstances, FileFault> {
        let fault = |failure, cause: String| FileFault {
            failure,
            cause: format!("{}: {cause}", self.url),
        };
        let request = self.request.clone()?;
        let now = Instant::now();
        let resolved = now + deadline.saturating_duration_since(now) / 2;
        let addresses = self.names.addresses(&request.target, resolved).await;
        let request = InstanceRequest {
            addresses: addresses.map_err(|failure| fault(failure, failure.to_string()))?,
            deadline,
            ..request
        };
        let reply = timeout_at(deadline, get(request, &self.room, async |_| Ok(()))).await;
        let reply = reply.unwrap_or_else(|_| Err(Failure::Timeout.into()));
        let reply = reply.map_err(|NoReply { reason, status }| {
            let status = status.map_or(String::new(), |status| {
                format!(", status {}", status.as_u16())
            });
            fault(reason, format!("{reason}{status}"))
        })?;
        let read = ReadTime {
            now: std::time::Instant::now(),
            age: std::time::Duration::ZERO,
        };
        let found = routes::parse(&reply.body, read);
        let mut found = found.map_err(|error| fault(Failure::Malformed, error.to_string()))?;
        found.cut(MOST_INSTANCES);
        Ok(found)
    }
}

/// The request, or why the router cannot be asked.
fn request(config: &GorouterConfig, ca_file: Option<&Path>) -> Result<InstanceRequest, String> {
    let authorization = match &config.credentials {
        None => None,
        Some((user, file)) => {
            let password = std::fs::read_to_string(file);
            let password = password.map_err(|error| format!("{}: {error}", file.display()))?;
            let password = password.trim_end_matches(['\n', '\r']);
            Some(
                basic_authorization(user, password)
                    .ok_or("the user name or the password is no header")?,
            )
        }
    };
    let tls = match config.is_tls {
        false => None,
        true => {
            let authorities = Authorities::read(config.ca_file.as_deref().or(ca_file))?;
            let tls = authorities.expect(None, &config.address);
            Some(tls.map_err(|failure| failure.to_string())?)
        }
    };
    Ok(InstanceRequest {
        target: config.address.clone(),
        addresses: Vec::new(),
        tls,
        host: None,
        path: config
            .path
            .parse::<PathAndQuery>()
            .map_err(|error| error.to_string())?,
        accept: HeaderValue::from_static("application/json"),
        authorization,
        deadline: Instant::now(),
        most_bytes: MOST_BYTES,
    })
}
