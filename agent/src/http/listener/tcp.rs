//! Binds a TCP socket to a configured address.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use crate::config::TcpAddress;

/// Binds the first of the addresses of `address` that works. An address in use ends the search with an error.
pub(super) async fn bind(address: &TcpAddress) -> Result<TcpListener, String> {
    let candidates = address
        .resolve()
        .map_err(|error| format!("{error}; write an ip address, or leave the host out"))?;
    let mut failure = "no such address".to_owned();
    for candidate in candidates {
        match TcpListener::bind(candidate).await {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                failure = reason(&error);
                if error.kind() == ErrorKind::AddrInUse {
                    break;
                }
            }
        }
    }
    Err(failure)
}

/// The reason why an address cannot be bound, and how to fix it.
fn reason(error: &std::io::Error) -> String {
    let text = match error.kind() {
        ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one that it has, or leave the host out"
        }
        ErrorKind::PermissionDenied => {
            "this port needs CAP_NET_BIND_SERVICE; grant it or choose a port from 1024 on"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}
