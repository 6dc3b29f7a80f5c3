//! The types of listeners to which librdkafka cannot connect: with TLS, with SASL, of a controller, or of no broker.
//!
//! A listener with TLS answers the beginning of a handshake with a TLS record (RFC 8446, section 5.1). A listener with
//! SASL lists its mechanisms, and answers no other request before the login.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::dialogue::Dialogue;
use crate::broker::wire::{Api, VersionsAnswer, api_versions};

/// The type of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// A broker without TLS and without SASL.
    Plaintext,
    /// A broker without TLS, with these SASL mechanisms.
    Sasl(Vec<String>),
    /// A server with TLS.
    Tls,
    /// A Kafka controller, which serves no clients.
    Controller,
}

/// The type of the listener at `address`; `None` if it is none of these. `limit` is the longest wait for each
/// connection and each answer. Opens at most three connections.
pub(crate) fn kind_of(address: SocketAddr, limit: Duration) -> Option<ListenerKind> {
    let mut dialogue = Dialogue::open(address, limit).ok()?;
    match dialogue.mechanisms("PLAIN") {
        Ok(Some(mechanisms)) => Some(ListenerKind::Sasl(mechanisms)),
        Ok(None) if is_controller(address, limit) => Some(ListenerKind::Controller),
        Ok(None) => Some(ListenerKind::Plaintext),
        // A listener that does not answer the first request in time would not answer another one.
        Err(error) if !error.is_silence() && is_controller(address, limit) => {
            Some(ListenerKind::Controller)
        }
        Err(_) => speaks_tls(address, limit).then_some(ListenerKind::Tls),
    }
}

/// A controller does not support Metadata requests, as its versions show.
fn is_controller(address: SocketAddr, limit: Duration) -> bool {
    let asked = Dialogue::open(address, limit)
        .ok()
        .and_then(|mut dialogue| dialogue.ask(Api::ApiVersions.key(), 0, &[]).ok());
    match asked.map(|body| api_versions(&body, 0)) {
        Some(Ok(VersionsAnswer::Known(known))) => known.is_of_a_controller(),
        _ => false,
    }
}

/// Sends the beginning of a handshake, and checks the first bytes of the answer: a handshake or an alert.
fn speaks_tls(address: SocketAddr, limit: Duration) -> bool {
    let answer = || {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(CLIENT_HELLO)?;
        let mut first = [0; 2];
        stream.read_exact(&mut first).map(|()| first)
    };
    matches!(answer(), Ok([0x15 | 0x16, 3]))
}

/// A ClientHello of TLS 1.2 with two cipher suites. A TLS server answers with a TLS record, even if that is an alert.
const CLIENT_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 47, // A record with a handshake of 47 bytes,
    1, 0, 0, 43, 3, 3, // a ClientHello of 43 bytes for TLS 1.2:
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, // 32 bytes that would be random,
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, //
    0,  // no session,
    0, 4, 0xc0, 0x2f, 0, 0x9c, // suites,
    1, 0, // no compression.
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_of_the_handshake_are_those_of_its_bytes() {
        assert_eq!(CLIENT_HELLO.len(), 5 + usize::from(CLIENT_HELLO[4]));
        assert_eq!(CLIENT_HELLO.len(), 9 + usize::from(CLIENT_HELLO[8]));
    }
}
