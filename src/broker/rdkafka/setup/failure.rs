//! Why a cluster cannot be prepared for a run; and why no broker can be talked to, from what the client library says.
//!
//! librdkafka goes on trying and never says that there is no use: what it reports on the way is kept and read.
//! Its texts: `rdkafka_broker.c` (`rd_kafka_broker_fail`), `rdkafka_ssl.c` and `rdkafka_sasl.c`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use crate::base::format_duration;

/// Why a cluster cannot be prepared for a run. Every message says what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// The user has interrupted.
    #[error("interrupted")]
    Interrupted,
    /// No broker can be talked to.
    #[error("no connection to the cluster at `{bootstrap}`: {failure} (tried for {}); {}", seconds(*.waited), .failure.remedy())]
    NoConnection {
        /// The addresses that were tried.
        bootstrap: String,
        /// What is in the way.
        failure: ConnectionFailure,
        /// How long it was tried.
        waited: Duration,
    },
    /// The cluster answers, and names brokers at addresses that cannot be reached.
    #[error(
        "the cluster at `{bootstrap}` advertises {}, which cannot be reached from here; correct `advertised.listeners` \
         of that broker, or use a listener in `--bootstrap` that is meant for clients on this machine",
        addresses(.unreachable)
    )]
    Advertised {
        /// The addresses that answered.
        bootstrap: String,
        /// The brokers that cannot be reached.
        unreachable: Vec<UnreachableBroker>,
    },
    /// The topic is to have more copies than there are brokers.
    #[error(
        "the cluster has {}, and topic `{topic}` is to have {wanted} copies; use `--set \
         topic.replication_factor={found}`, or start more brokers",
        counted_brokers(*.found)
    )]
    TooFewBrokers {
        /// The topic.
        topic: String,
        /// Brokers that are there.
        found: usize,
        /// The replication factor of the scenario.
        wanted: u32,
    },
    /// The topic exists with another number of partitions.
    #[error(
        "topic `{topic}` exists with {found} partitions, the scenario has {wanted}; an existing topic is never \
         altered: use `--set topic.partitions={found}`, or another `topic.name`"
    )]
    OtherPartitions {
        /// Its name.
        topic: String,
        /// Its partitions.
        found: usize,
        /// The scenario's.
        wanted: u32,
    },
    /// The topic could not be created.
    #[error("topic `{topic}` cannot be created: {reason}; {remedy}")]
    NotCreated {
        /// Its name.
        topic: String,
        /// What the broker said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The topic does not take records of this size.
    #[error(
        "`load.payload` of {payload} B is more than topic `{topic}` takes: its `max.message.bytes` is {limit}; the \
         largest payload is {largest}B, or raise `max.message.bytes` of the topic"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// Bytes of a record's payload.
        payload: u64,
        /// Bytes of a batch the topic takes.
        limit: u64,
        /// Bytes of the largest payload that fits.
        largest: u64,
    },
    /// The user lacks a right.
    #[error("{0}")]
    Denied(String),
    /// The group has no coordinator.
    #[error("group `{group}` has no coordinator after {}: {reason}", seconds(*.waited))]
    NoCoordinator {
        /// Its name.
        group: String,
        /// How long one was asked for.
        waited: Duration,
        /// Why, as far as it is known, and what to do.
        reason: String,
    },
    /// The client does not take its properties, which no broker has to do with.
    #[error(
        "{reason}; check the properties in `[client]`, in the client file and in LANEKEEPER_CLIENT_* of the \
         environment, and the files they name"
    )]
    NotMade {
        /// What the client library said, without values from outside the scenario.
        reason: String,
    },
    /// Anything else that did not succeed.
    #[error("{what} failed after {}: {reason}; check the cluster's health, or raise `run.startup`", seconds(*.waited))]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What the broker or the client library said.
        reason: String,
        /// How long it was tried.
        waited: Duration,
    },
}

/// A broker that cannot be reached at the address it advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableBroker {
    /// Its id.
    pub id: i32,
    /// `host:port`.
    pub address: String,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for UnreachableBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} as `{}` ({})", self.id, self.address, self.reason)
    }
}

/// Brokers that a message names.
const NAMED_MAX: usize = 3;

fn addresses(unreachable: &[UnreachableBroker]) -> String {
    let mut text = unreachable
        .iter()
        .take(NAMED_MAX)
        .map(UnreachableBroker::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if unreachable.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", unreachable.len() - NAMED_MAX));
    }
    text
}

/// A number of brokers, for a message.
pub(super) fn counted_brokers(count: usize) -> String {
    format!("{count} broker{}", if count == 1 { "" } else { "s" })
}

/// A length of time for a message, in tenths of a second from one second on.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format_duration(Duration::from_millis(time.as_millis() as u64)),
        seconds => format!("{seconds:.1} s"),
    }
}

/// What is in the way between the client and a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    kind: Kind,
    /// `host:port`, if it is known.
    address: String,
    /// What the client library said, without values from outside the scenario.
    said: String,
}

/// Kinds of failure, the most telling ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Authentication,
    Mechanism,
    NoSasl,
    Certificate,
    NoTls,
    Sasl,
    TlsOrSasl,
    NoKafka,
    NotResolved,
    Refused,
    Unreachable,
    Silent,
    Other,
}

impl Kind {
    /// The client library's error codes and texts for each.
    fn of(code: Option<RDKafkaErrorCode>, said: &str) -> Kind {
        use RDKafkaErrorCode as Code;
        let has = |text: &str| said.contains(text);
        match code {
            // A listener without SASL has no mechanism to name.
            _ if has("mechanism handshake failed") && has("mechanisms:") => {
                match what_follows(said, "mechanisms:") {
                    "" => Kind::NoSasl,
                    _ => Kind::Mechanism,
                }
            }
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => Kind::Authentication,
            _ if has("authentication failed") || has("Authentication failed") => {
                Kind::Authentication
            }
            _ if has("PLAINTEXT broker listener") || has("wrong version number") => Kind::NoTls,
            Some(Code::SSL) => Kind::Certificate,
            _ if has("SSL handshake failed") => Kind::Certificate,
            Some(Code::Resolve) => Kind::NotResolved,
            _ if has("Failed to resolve") => Kind::NotResolved,
            _ if has("Connection refused") => Kind::Refused,
            _ if has("in state CONNECT") || has("unreachable") || has("No route to host") => {
                Kind::Unreachable
            }
            _ if has("timed out") => Kind::Silent,
            _ if has("Invalid response size") => Kind::NoKafka,
            _ if has("might require SASL") => Kind::Sasl,
            _ if has("Send failed") && has("in state UP") => Kind::Sasl,
            _ if has("Disconnected") && has("in state APIVERSION_QUERY") => Kind::TlsOrSasl,
            _ if has("Disconnected") && has("in state UP") => Kind::Sasl,
            _ => Kind::Other,
        }
    }

    /// Whether trying again cannot help.
    fn is_certain(self) -> bool {
        self <= Kind::NoTls
    }
}

/// The text behind a mark, without the client library's remark on the time.
fn what_follows<'a>(said: &'a str, mark: &str) -> &'a str {
    let (_, rest) = said.split_once(mark).unwrap_or_default();
    rest.split("(after ").next().unwrap_or_default().trim()
}

impl ConnectionFailure {
    fn of(code: Option<RDKafkaErrorCode>, said: &str) -> ConnectionFailure {
        // "[thrd:sasl_ssl://host:9092/bootstrap]: sasl_ssl://host:9092/bootstrap: what happened (after 3ms in state UP)"
        let line = said
            .strip_prefix("[thrd:")
            .and_then(|line| line.split_once("]: "))
            .map_or(said, |(_, line)| line);
        let (name, what) = line.split_once(": ").unwrap_or(("", line));
        let name = name.split_once("://").map_or(name, |(_, name)| name);
        let address = name.rsplit_once('/').map_or("", |(address, _)| address).to_owned();
        let kind = Kind::of(code, what);
        let what = what.rsplit_once(" (after ").map_or(what, |(what, _)| what);
        ConnectionFailure { kind, address, said: what.trim().to_owned() }
    }

    /// Nothing was reports at all.
    pub(super) fn silence() -> ConnectionFailure {
        ConnectionFailure { kind: Kind::Silent, address: String::new(), said: String::new() }
    }

    /// What to do about it.
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
            Kind::Certificate => {
                "check `ssl.ca.location` and the other `ssl.*` properties in the client file"
            }
            Kind::NoTls => {
                "set `security.protocol` in the client file to `plaintext` or `sasl_plaintext`, or use the address of a \
                 TLS listener"
            }
            Kind::Sasl | Kind::TlsOrSasl => {
                "set `security.protocol` in the client file to what the listener speaks (`ssl`, `sasl_plaintext` or \
                 `sasl_ssl`; TLS needs a build with `--features tls`), or use the address of a plaintext listener"
            }
            Kind::NoKafka => "check the port: it is not one of a Kafka broker",
            Kind::NotResolved => "check the host name in `--bootstrap` or `kafka.bootstrap`",
            Kind::Refused => "check the address and port, and that the broker runs",
            Kind::Unreachable => "check the address, the network and the firewalls between",
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
            Kind::Certificate => write!(f, "the TLS handshake with {at}failed: {said}"),
            Kind::NoTls => write!(f, "{at}is a listener without TLS"),
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
            Kind::Refused => write!(f, "{at}refuses connections"),
            Kind::Unreachable => write!(f, "{at}cannot be reached"),
            Kind::Silent if at.is_empty() => write!(f, "no broker answers"),
            Kind::Silent => write!(f, "{at}takes the connection and does not answer"),
            Kind::Other => write!(f, "{at}{said}"),
        }
    }
}

/// What a client has reported, as far as it is kept.
#[derive(Debug, Default)]
pub(in crate::broker::rdkafka) struct ClientReports(Mutex<Vec<ConnectionFailure>>);

/// Reports that are kept: later ones repeat them.
const KEPT_MAX: usize = 64;

impl ClientReports {
    /// Takes an error of the client as a whole; `said` has no value from outside the scenario.
    pub(in crate::broker::rdkafka) fn report(&self, error: &KafkaError, said: &str) {
        match error.rdkafka_error_code() {
            // A summary of the others, which counts brokers that were never tried.
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            code => self.keep(ConnectionFailure::of(code, said)),
        }
    }

    /// Takes a line of the client's log: some connections that fail are told there only.
    pub(in crate::broker::rdkafka) fn log(&self, about: &str, said: &str) {
        if about == "FAIL" {
            self.keep(ConnectionFailure::of(None, said));
        }
    }

    fn keep(&self, failure: ConnectionFailure) {
        let mut failures = self.lock();
        if failures.len() < KEPT_MAX && !failures.contains(&failure) {
            failures.push(failure);
        }
    }

    /// What is certain already: trying again cannot help.
    pub(super) fn certain(&self) -> Option<ConnectionFailure> {
        self.worst().filter(|failure| failure.kind.is_certain())
    }

    /// The most telling failure, if each of `addresses` addresses has one.
    pub(super) fn of_all(&self, addresses: usize) -> Option<ConnectionFailure> {
        let failed_at: BTreeSet<String> =
            self.lock().iter().map(|failure| failure.address.clone()).collect();
        self.worst().filter(|_| failed_at.len() >= addresses)
    }

    /// The most telling failure.
    pub(super) fn worst(&self) -> Option<ConnectionFailure> {
        self.lock().iter().min_by_key(|failure| failure.kind).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionFailure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of librdkafka 2.12 as they came from brokers and other servers.
    #[test]
    fn each_text_of_the_client_library_has_its_meaning() {
        let of = |code, said: &str| ConnectionFailure::of(code, said).to_string();
        let fail = |said: &str| of(None, &format!("[thrd:b:1/bootstrap]: b:1/bootstrap: {said}"));
        assert_eq!(
            fail(
                "Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms in state CONNECT)"
            ),
            "`b:1` refuses connections"
        );
        assert_eq!(
            fail("Connection setup timed out in state CONNECT (after 5001ms in state CONNECT)"),
            "`b:1` cannot be reached"
        );
        assert_eq!(
            fail(
                "Connection setup timed out in state APIVERSION_QUERY (after 5002ms in state APIVERSION_QUERY)"
            ),
            "`b:1` takes the connection and does not answer"
        );
        assert_eq!(
            fail(
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512 (after 2ms in state AUTH_HANDSHAKE)"
            ),
            "`b:1` does not take this SASL mechanism: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512"
        );
        assert_eq!(
            fail(
                "SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms: (after 2ms in state AUTH_HANDSHAKE)"
            ),
            "`b:1` is a listener without SASL"
        );
        let http = "Receive failed: Invalid response size 1213486160 (0..100000000): increase receive.message.max.bytes";
        assert_eq!(fail(http), "`b:1` does not answer in Kafka's protocol");
        let closed = "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT \
                      broker listener? (after 1ms in state SSL_HANDSHAKE)";
        assert_eq!(fail(closed), "`b:1` is a listener without TLS");
        let unknown = "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate \
                       could not be verified (after 6ms in state SSL_HANDSHAKE)";
        assert!(fail(unknown).starts_with("the TLS handshake with `b:1` failed: SSL handshake"));
        let resolve = Some(RDKafkaErrorCode::Resolve);
        assert_eq!(
            of(
                resolve,
                "sasl_ssl://b:1/3: Failed to resolve 'b:1': Name or service not known (after 1ms in state CONNECT)"
            ),
            "the host name of `b:1` cannot be resolved"
        );
    }

    #[test]
    fn a_cluster_is_given_up_when_every_address_has_failed() {
        let reports = ClientReports::default();
        reports
            .log("FAIL", "[thrd:a:1/bootstrap]: a:1/bootstrap: Connect failed: Connection refused");
        assert_eq!(reports.of_all(2), None);
        assert!(reports.of_all(1).is_some() && reports.certain().is_none());
        reports.log("FAIL", "[thrd:b:1/bootstrap]: b:1/bootstrap: SASL authentication failed: no");
        assert!(reports.of_all(2).is_some() && reports.certain().is_some());
    }
}
