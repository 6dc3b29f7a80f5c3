//! Finds out more about a connection failure: the type of the listener, and the addresses of its name.
//!
//! librdkafka reports that a connection was closed or refused, but not the cause.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::connection::{ConnectionFailure, Kind};
use super::reach::listed;
use crate::broker::listener::{Dialogue, DialogueError, ListenerKind, kind_of};
use crate::broker::secure::{Access, AddressFamily, TlsFailure, host_of};

/// Time limit of each connection.
const LIMIT: Duration = Duration::from_secs(1);
/// Most addresses of a name that are tried.
const TRIED_MAX: usize = 4;

/// The failure with its cause, if queries of the listener find one within a few seconds. `access` is the client's
/// access to the cluster.
pub(in crate::broker) fn closer(failure: ConnectionFailure, access: &Access) -> ConnectionFailure {
    let better = match failure.kind {
        Kind::TlsOrSasl | Kind::Sasl | Kind::NoKafka | Kind::Silent | Kind::Other => {
            of_listener(&failure, access)
        }
        Kind::NoTls => with_sasl(&failure),
        Kind::Certificate => of_certificate(&failure, access),
        Kind::NotResolved | Kind::Refused | Kind::Unreachable | Kind::NoAnswer => {
            of_addresses(&failure, access.family())
        }
        _ => None,
    };
    better.unwrap_or(failure)
}

/// The failure if the first address of `bootstrap` is one of a controller; `None` for any other listener.
pub(in crate::broker) fn controller(bootstrap: &str) -> Option<ConnectionFailure> {
    let name = bootstrap.split(',').next()?.trim();
    let is_controller = kind(name) == Some(ListenerKind::Controller);
    is_controller.then(|| ConnectionFailure::found(Kind::Controller, name, ""))
}

/// The type of the listener at `host:port`; `None` if it is not known.
fn kind(name: &str) -> Option<ListenerKind> {
    let addresses = name.to_socket_addrs().ok()?.take(TRIED_MAX);
    { addresses }.find_map(|address| kind_of(address, LIMIT))
}

fn of_listener(failure: &ConnectionFailure, access: &Access) -> Option<ConnectionFailure> {
    let at = failure.address.as_str();
    let found = |kind, said: &str| Some(ConnectionFailure::found(kind, at, said));
    match kind(at)? {
        ListenerKind::Tls if access.has_tls() => match over_tls(at, access)? {
            Ok(mechanisms) => found(Kind::SaslWith, &mechanisms?.join(", ")),
            Err(failure) => Some(ConnectionFailure::of_tls(&failure, at)),
        },
        ListenerKind::Tls => found(Kind::Tls, ""),
        ListenerKind::Controller => found(Kind::Controller, ""),
        ListenerKind::Sasl(mechanisms) => found(Kind::SaslWith, &mechanisms.join(", ")),
        ListenerKind::Plaintext => None,
    }
}

fn with_sasl(failure: &ConnectionFailure) -> Option<ConnectionFailure> {
    let at = failure.address.as_str();
    let ListenerKind::Sasl(mechanisms) = kind(at)? else { return None };
    let said = format!("it has SASL ({})", mechanisms.join(", "));
    Some(ConnectionFailure::found(Kind::NoTls, at, &said))
}

/// The cause of a certificate failure, which librdkafka does not report.
fn of_certificate(failure: &ConnectionFailure, access: &Access) -> Option<ConnectionFailure> {
    let at = failure.address.as_str();
    let cause = over_tls(at, access).filter(|_| access.has_tls())?.err()?;
    Some(ConnectionFailure::of_tls(&cause, at))
}

/// The SASL mechanisms that a listener with TLS supports, `None` without SASL; or the failure of the TLS handshake.
fn over_tls(name: &str, access: &Access) -> Option<Result<Option<Vec<String>>, TlsFailure>> {
    let addresses = name.to_socket_addrs().ok()?.take(TRIED_MAX);
    let asked = |address| {
        let mut dialogue = Dialogue::reach((host_of(name), address), access, LIMIT)?;
        dialogue.mechanisms("PLAIN")
    };
    { addresses }.find_map(|address| match asked(address) {
        Ok(mechanisms) => Some(Ok(mechanisms)),
        Err(DialogueError::Socket(error)) => TlsFailure::in_error(&error).cloned().map(Err),
        Err(_) => None,
    })
}

/// Resolves the name, and checks if the client tries the addresses that accept connections.
fn of_addresses(failure: &ConnectionFailure, family: AddressFamily) -> Option<ConnectionFailure> {
    let name = failure.address.as_str();
    let addresses: Vec<SocketAddr> = name.to_socket_addrs().ok()?.take(TRIED_MAX).collect();
    let mut open = Vec::new();
    let mut has_route = false;
    for address in &addresses {
        match TcpStream::connect_timeout(address, LIMIT) {
            Ok(_) => open.push(*address),
            Err(error) => {
                let kinds = [ErrorKind::NetworkUnreachable, ErrorKind::AddrNotAvailable];
                has_route |= !kinds.contains(&error.kind());
            }
        }
    }
    let is_tried = |addresses: &[SocketAddr]| addresses.iter().any(|it| family.takes(it));
    let family_is_wrong = !is_tried(&addresses) || (!open.is_empty() && !is_tried(&open));
    if family_is_wrong {
        let said = format!("is not tried: {}, and {}", listed(&addresses), family.in_words());
        return Some(ConnectionFailure::found(Kind::Family, name, &said));
    }
    if open.is_empty() && !has_route {
        let said = format!(
            "cannot be reached: {}, and this machine has no route to it",
            listed(&addresses)
        );
        return Some(ConnectionFailure::found(Kind::Family, name, &said));
    }
    let is_name = !addresses.iter().any(|it| name.contains(&it.ip().to_string()));
    let texts: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
    is_name.then(|| ConnectionFailure {
        said: format!("at {}", texts.join(" and ")),
        ..failure.clone()
    })
}
