//! The reasons why no broker can be reached, and their remedies.

use std::fmt;

use crate::broker::secure::{LoginError, TlsFailure};

/// The failure of a connection to a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    pub(in crate::broker) kind: Kind,
    /// `host:port`; empty if it is not known.
    pub(in crate::broker) address: String,
    /// The client library's text, without values from outside the scenario, or a description of what was found instead.
    pub(in crate::broker) said: String,
}

/// The failures of a connection that is not librdkafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Obstacle {
    /// The host name cannot be resolved.
    NotResolved,
    /// The host refuses the connection.
    Refused,
    /// There is no route to the host.
    Unreachable,
    /// The host does not answer.
    NoAnswer,
    /// The connection is accepted, and no request is answered.
    Silent,
    /// The connection is closed at the first request.
    Closed,
    /// The answer is not in Kafka's protocol.
    Unreadable,
    /// Any other failure.
    Other,
}

/// Kinds of failure, the most specific ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum Kind {
    Authentication,
    Mechanism,
    NoSasl,
    NoToken,
    /// The token server gives no token.
    TokenServer,
    Expired,
    WrongName,
    Untrusted,
    ClientCertificate,
    Certificate,
    NoTls,
    /// Only a query of the listener finds this kind and the next three.
    Tls,
    SaslWith,
    Controller,
    Family,
    Sasl,
    TlsOrSasl,
    NoKafka,
    NotResolved,
    Refused,
    Unreachable,
    NoAnswer,
    Silent,
    Other,
}

impl Kind {
    /// True if retries cannot succeed.
    fn is_certain(self) -> bool {
        self <= Kind::Family
    }
}

impl ConnectionFailure {
    /// The failure of a connection without librdkafka.
    pub(in crate::broker) fn met(obstacle: Obstacle, address: &str, said: &str) -> Self {
        let kind = match obstacle {
            Obstacle::NotResolved => Kind::NotResolved,
            Obstacle::Refused => Kind::Refused,
            Obstacle::Unreachable => Kind::Unreachable,
            Obstacle::NoAnswer => Kind::NoAnswer,
            Obstacle::Silent => Kind::Silent,
            Obstacle::Closed => Kind::TlsOrSasl,
            Obstacle::Unreadable => Kind::NoKafka,
            Obstacle::Other => Kind::Other,
        };
        ConnectionFailure::found(kind, address, said)
    }

    /// The failure of a TLS handshake without librdkafka.
    pub(in crate::broker) fn of_tls(failure: &TlsFailure, address: &str) -> ConnectionFailure {
        let kind = match failure {
            TlsFailure::Untrusted => Kind::Untrusted,
            TlsFailure::WrongName(_) | TlsFailure::NoName => Kind::WrongName,
            TlsFailure::Expired(_) | TlsFailure::NotYetValid(_) => Kind::Expired,
            TlsFailure::ClientCertificate(_) => Kind::ClientCertificate,
            TlsFailure::NoTls => Kind::NoTls,
            TlsFailure::BadCertificate(_) | TlsFailure::Handshake(_) => Kind::Certificate,
        };
        ConnectionFailure::found(kind, address, &failure.to_string())
    }

    /// The failure of a login without librdkafka. `said` contains no value from outside the scenario.
    pub(in crate::broker) fn of_login(error: &LoginError, address: &str, said: &str) -> Self {
        let kind = match error {
            LoginError::Mechanism { .. } => Kind::Mechanism,
            LoginError::NoSasl => Kind::NoSasl,
            LoginError::Refused(_) | LoginError::Exchange(_) => Kind::Authentication,
            LoginError::NoToken(_) => Kind::NoToken,
            LoginError::Unreadable(_) => Kind::NoKafka,
        };
        ConnectionFailure::found(kind, address, said)
    }

    /// The more specific one of two failures.
    pub(in crate::broker) fn worse(self, other: ConnectionFailure) -> ConnectionFailure {
        if other.kind < self.kind { other } else { self }
    }

    /// The failure if nothing was reported at all.
    pub(in crate::broker) fn silence() -> ConnectionFailure {
        ConnectionFailure { kind: Kind::Silent, address: String::new(), said: String::new() }
    }

    /// True if retries cannot succeed.
    pub(in crate::broker) fn is_certain(&self) -> bool {
        self.kind.is_certain()
    }

    /// A failure at an address, found without the client library.
    pub(in crate::broker) fn found(kind: Kind, address: &str, said: &str) -> ConnectionFailure {
        ConnectionFailure { kind, address: address.to_owned(), said: said.to_owned() }
    }

    /// The addresses of the host name, for a message; empty if it was not resolved.
    fn addresses(&self) -> String {
        self.said.strip_prefix("at ").map_or(String::new(), |addresses| format!(" at {addresses}"))
    }

    /// The remedy, for a message.
    pub(super) fn remedy(&self) -> &'static str {
        match self.kind {
            Kind::Authentication => {
                "check `sasl.username`, `sasl.password` and `sasl.mechanism` in the client file or the environment"
            }
            Kind::Mechanism => "set `sasl.mechanism` in the client file to one of those",
            Kind::NoSasl => {
                "set `security.protocol` to `plaintext` or `ssl` in the client file, or use the address of a listener \
                 with SASL"
            }
            Kind::NoToken => "give a token: `token_file=FILE` in `sasl.oauthbearer.config`",
            Kind::TokenServer => {
                "check `sasl.oauthbearer.token.endpoint.url`, `sasl.oauthbearer.client.id`, \
                 `sasl.oauthbearer.client.secret` and `sasl.oauthbearer.scope` in the client file or the environment, and \
                 for `https` the authority in `https.ca.location`"
            }
            Kind::Expired => {
                "renew the certificate of the broker, and check the clock of this machine"
            }
            Kind::WrongName => {
                "use a name of its certificate in `--bootstrap` and `advertised.listeners`, or give the broker a \
                 certificate for this name"
            }
            Kind::Untrusted => {
                "name the PEM file with the certificate of its authority in `ssl.ca.location` of the client file; \
                 without it, the authorities of this system are trusted"
            }
            Kind::ClientCertificate => {
                "name a certificate of an authority that the broker trusts in `ssl.certificate.location` of the client \
                 file, and its key in `ssl.key.location`"
            }
            Kind::Certificate => {
                "`openssl s_client -connect HOST:PORT -CAfile FILE -verify_hostname HOST -verify_return_error` shows the \
                 handshake"
            }
            Kind::NoTls => {
                "set `security.protocol` in the client file to `plaintext` or `sasl_plaintext`, or use the address of a \
                 TLS listener"
            }
            Kind::Tls => {
                "set `security.protocol` in the client file to `ssl` or `sasl_ssl` (librdkafka has TLS in builds with \
                 `--features tls`, `--client native` in each build), or use the address of a listener without TLS"
            }
            Kind::SaslWith => {
                "set `security.protocol=sasl_plaintext` (over TLS `sasl_ssl`), `sasl.mechanism` to one of those, \
                 `sasl.username` and `sasl.password` in the client file, or use the address of a listener without SASL"
            }
            Kind::Controller => "use the address of a listener for clients",
            Kind::Family => {
                "correct `broker.address.family` in the client file (`any`, `v4` or `v6`), or give an address of the \
                 other family"
            }
            Kind::Sasl | Kind::TlsOrSasl => {
                "set `security.protocol` in the client file to what the listener speaks (`ssl`, `sasl_plaintext` or \
                 `sasl_ssl`), or use the address of a plaintext listener"
            }
            Kind::NoKafka => "check the port: it is not one of a Kafka broker",
            Kind::NotResolved => "check the host name in `--bootstrap` or `kafka.bootstrap`",
            Kind::Refused => "check the address and port, and that the broker runs",
            Kind::Unreachable => "check the address, the network and the firewalls between",
            Kind::NoAnswer => "check the address, that the host is up, and the firewalls between",
            Kind::Silent => {
                "check that this is the port of a Kafka broker, and that the broker is healthy"
            }
            Kind::Other => "check the address, and see what the client says with `-vv`",
        }
    }
}

impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.address.as_str() {
            "" => String::new(),
            address => format!("`{address}` "),
        };
        let said = &self.said;
        match self.kind {
            Kind::Authentication => write!(f, "{at}refuses the login: {said}"),
            Kind::Mechanism => write!(f, "{at}does not take this SASL mechanism: {said}"),
            Kind::NoSasl => write!(f, "{at}is a listener without SASL"),
            Kind::NoToken => write!(f, "the login at {at}has no token: {said}"),
            Kind::TokenServer => write!(f, "the server of tokens gives none: {said}"),
            Kind::Expired
            | Kind::WrongName
            | Kind::Untrusted
            | Kind::ClientCertificate
            | Kind::Certificate => write!(f, "the TLS handshake with {at}failed: {said}"),
            Kind::NoTls if said.starts_with("it has SASL") => {
                write!(f, "{at}is a listener without TLS; {said}")
            }
            Kind::NoTls => write!(f, "{at}is a listener without TLS"),
            Kind::Tls => write!(f, "{at}is a listener with TLS, and the client speaks none"),
            Kind::SaslWith => {
                write!(f, "{at}is a listener with SASL ({said}), and the client does not log in")
            }
            Kind::Controller => write!(f, "{at}is a listener of a controller, not for clients"),
            Kind::Family => write!(f, "{at}{said}"),
            Kind::Sasl => write!(
                f,
                "{at}closes the connection after the first request, as a listener with SASL does"
            ),
            Kind::TlsOrSasl => {
                write!(
                    f,
                    "{at}closes the connection at the first request, as a listener with TLS or SASL does"
                )
            }
            Kind::NoKafka => write!(f, "{at}does not answer in Kafka's protocol"),
            Kind::NotResolved => write!(f, "the host name of {at}cannot be resolved"),
            Kind::Refused => write!(f, "{at}refuses connections{}", self.addresses()),
            Kind::Unreachable => write!(f, "{at}cannot be reached{}", self.addresses()),
            Kind::NoAnswer => {
                write!(
                    f,
                    "no answer from {}{}: is it behind a firewall that drops packets, or down?",
                    at.trim_end(),
                    self.addresses()
                )
            }
            Kind::Silent if at.is_empty() => write!(f, "no broker answers"),
            Kind::Silent => write!(f, "{at}takes the connection and does not answer"),
            Kind::Other => write!(f, "{at}{said}"),
        }
    }
}
