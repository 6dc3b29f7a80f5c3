//! A closer look at a failure: what the listener is, and which addresses a name has.
//!
//! librdkafka says that a connection was closed or refused, and not what is behind it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::connection::{ConnectionFailure, Kind};
use super::reach::listed;
use crate::broker::listener::{Dialogue, DialogueError, ListenerKind, kind_of};
use crate::broker::secure::{Access, AddressFamily, TlsFailure, host_of};

/// How long each connection may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Addresses of a name that are tried.
const TRIED_MAX: usize = 4;

/// The same failure, with what can be found out about it in a few seconds. `access` says how the client reaches the
/// cluster.
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

/// Whether an address is one of a controller.
pub(in crate::broker) fn controller(bootstrap: &str) -> Option<ConnectionFailure> {
    let name = bootstrap.split(',').next()?.trim();
    let is_controller = kind(name) == Some(ListenerKind::Controller);
    is_controller.then(|| ConnectionFailure::found(Kind::Controller, name, ""))
}

/// What listens at `host:port`.
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

/// What is wrong with a certificate: librdkafka does not tell the causes apart.
fn of_certificate(failure: &ConnectionFailure, access: &Access) -> Option<ConnectionFailure> {
    let at = failure.address.as_str();
    let cause = over_tls(at, access).filter(|_| access.has_tls())?.err()?;
    Some(ConnectionFailure::of_tls(&cause, at))
}

/// The mechanisms of SASL that a listener with TLS takes, if it has SASL; or why there is no TLS with it.
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

/// Which addresses the name has, and whether the client tries those that take connections.
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
