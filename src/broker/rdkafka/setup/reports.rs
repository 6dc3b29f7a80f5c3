//! Derives the reason why no broker can be reached from the log and the errors of librdkafka.
//!
//! librdkafka retries without end and never reports that retries cannot succeed. So its reports are kept and evaluated.
//! The texts are in `rdkafka_broker.c` (`rd_kafka_broker_fail`), `rdkafka_ssl.c`, `rdkafka_sasl.c` and
//! `rdkafka_sasl_oauthbearer.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::broker::setup::{ConnectionFailure, Kind};

/// The connection failures and the request versions that a client has reported.
#[derive(Debug, Default)]
pub(in crate::broker::rdkafka) struct ClientReports {
    failures: Mutex<Vec<ConnectionFailure>>,
    /// Highest version of each request, by API key.
    versions: Mutex<BTreeMap<i16, i16>>,
}

/// Characters of a token server's answer that are shown. The body may be a whole page.
const ANSWER_CHARS_MAX: usize = 200;
/// Most reports that are kept. Later ones repeat them.
const KEPT_MAX: usize = 64;

impl ClientReports {
    /// Takes an error of the client as a whole. `said` contains no value from outside the scenario.
    pub(in crate::broker::rdkafka) fn report(&self, error: &KafkaError, said: &str) {
        match error.rdkafka_error_code() {
            // A summary of the other errors. It also counts brokers that were never tried.
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            code => self.keep(failure_of(code, said)),
        }
    }

    /// Takes a line of the client's log. Some connection failures appear only there.
    pub(in crate::broker::rdkafka) fn log(&self, about: &str, said: &str) {
        match about {
            "FAIL" => self.keep(failure_of(None, said)),
            "OIDC" => {
                if let Some(failure) = no_token(said) {
                    self.keep(failure);
                }
            }
            "APIVERSION" => {
                if let Some((api, highest)) = range_of(said) {
                    self.lock_versions().insert(api, highest);
                }
            }
            _ => {}
        }
    }

    /// The highest version of each request, which the client logs with `debug=feature`. Empty if no line has come.
    pub(super) fn versions(&self) -> BTreeMap<i16, i16> {
        self.lock_versions().clone()
    }

    fn lock_versions(&self) -> MutexGuard<'_, BTreeMap<i16, i16>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, failure: ConnectionFailure) {
        let mut failures = self.lock();
        if failures.len() < KEPT_MAX && !failures.contains(&failure) {
            failures.push(failure);
        }
    }

    /// The most specific failure, if retries cannot succeed.
    pub(super) fn certain(&self) -> Option<ConnectionFailure> {
        self.worst().filter(ConnectionFailure::is_certain)
    }

    /// The most specific failure, if each of `addresses` addresses has failed.
    pub(super) fn of_all(&self, addresses: usize) -> Option<ConnectionFailure> {
        let failed_at: BTreeSet<String> =
            self.lock().iter().map(|failure| failure.address.clone()).collect();
        self.worst().filter(|_| failed_at.len() >= addresses)
    }

    /// The most specific failure.
    pub(super) fn worst(&self) -> Option<ConnectionFailure> {
        self.lock().iter().min_by_key(|failure| failure.kind).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionFailure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// API key and highest version of a request, from a line of librdkafka's log.
fn range_of(said: &str) -> Option<(i16, i16)> {
    // "[thrd:host:9092/1]: host:9092/1:   ApiKey Fetch (1) Versions 4..18"
    let (_, rest) = said.split_once("ApiKey ")?;
    let (api, versions) = rest.split_once(") Versions ")?;
    let (_, api) = api.rsplit_once('(')?;
    let (_, highest) = versions.split_once("..")?;
    Some((api.parse().ok()?, highest.trim().parse().ok()?))
}

/// The prefix of the client library's error when a token server has given no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token: ";

/// The failure in an error code and a text of the client library.
fn failure_of(code: Option<RDKafkaErrorCode>, said: &str) -> ConnectionFailure {
    if let Some(why) = said.strip_prefix(NO_TOKEN) {
        return ConnectionFailure::found(Kind::TokenServer, "", &shortened(why));
    }
    // "[thrd:sasl_ssl://host:9092/bootstrap]: sasl_ssl://host:9092/bootstrap: what happened (after 3ms in state UP)"
    let line = said
        .strip_prefix("[thrd:")
        .and_then(|line| line.split_once("]: "))
        .map_or(said, |(_, line)| line);
    let (name, what) = line.split_once(": ").unwrap_or(("", line));
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    let address = name.rsplit_once('/').map_or("", |(address, _)| address).to_owned();
    let kind = kind_of(code, what);
    let what = what.rsplit_once(" (after ").map_or(what, |(what, _)| what);
    ConnectionFailure { kind, address, said: what.trim().to_owned() }
}

/// The answer of a token server, from a line of librdkafka's log. The error that follows has no status.
fn no_token(said: &str) -> Option<ConnectionFailure> {
    // `[thrd:x]: Failed to retrieve OIDC token from "URL": the body of the answer, or what libcurl says (401, or -1)`
    let (_, rest) = said.split_once("OIDC token from \"")?;
    let (_, rest) = rest.split_once("\": ")?;
    let (body, status) = rest.rsplit_once(" (")?;
    let said = match status.trim_end_matches(')').parse() {
        Ok(status @ 400..=599) => format!("it answers with HTTP {status}: {}", shortened(body)),
        _ => shortened(body),
    };
    Some(ConnectionFailure::found(Kind::TokenServer, "", &said))
}

/// The beginning of a text from a server, in one line.
fn shortened(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(ANSWER_CHARS_MAX).collect()
}

/// The kind of a failure, from librdkafka's error code and text.
fn kind_of(code: Option<RDKafkaErrorCode>, said: &str) -> Kind {
    use RDKafkaErrorCode as Code;
    let has = |text: &str| said.contains(text);
    match code {
        // A listener without SASL lists no mechanisms.
        _ if has("mechanism handshake failed") && has("mechanisms:") => {
            match what_follows(said, "mechanisms:") {
                "" => Kind::NoSasl,
                _ => Kind::Mechanism,
            }
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => Kind::Authentication,
        _ if has("authentication failed") || has("Authentication failed") => Kind::Authentication,
        _ if has("PLAINTEXT broker listener") || has("wrong version number") => Kind::NoTls,
        Some(Code::SSL) => Kind::Certificate,
        _ if has("SSL handshake failed") => Kind::Certificate,
        Some(Code::Resolve) => Kind::NotResolved,
        _ if has("Failed to resolve") => Kind::NotResolved,
        _ if has("Connection refused") => Kind::Refused,
        _ if has("timed out in state CONNECT") || has("Connection timed out") => Kind::NoAnswer,
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

/// The text after a mark, without librdkafka's note of the time.
fn what_follows<'a>(said: &'a str, mark: &str) -> &'a str {
    let (_, rest) = said.split_once(mark).unwrap_or_default();
    rest.split("(after ").next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_requests_are_read_from_the_log() {
        let reports = ClientReports::default();
        let at = "[thrd:b:1/1]: b:1/1: ";
        for line in ["Broker API support:", "  ApiKey Fetch (1) Versions 4..18", "  ApiKey x", ""] {
            reports.log("APIVERSION", &format!("{at}{line}"));
        }
        reports.log("APIVERSION", &format!("{at}  ApiKey Unknown-99? (99) Versions 0..2"));
        assert_eq!(reports.versions(), BTreeMap::from([(1, 18), (99, 2)]));
    }

    /// Texts of librdkafka 2.12, as received from brokers and other servers.
    #[test]
    fn each_text_of_the_client_library_has_its_meaning() {
        let of = |code, said: &str| failure_of(code, said).to_string();
        let fail = |said: &str| of(None, &format!("[thrd:b:1/bootstrap]: b:1/bootstrap: {said}"));
        assert_eq!(
            fail(
                "Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms in state CONNECT)"
            ),
            "`b:1` refuses connections"
        );
        assert_eq!(
            fail("Connection setup timed out in state CONNECT (after 5001ms in state CONNECT)"),
            "no answer from `b:1`: is it behind a firewall that drops packets, or down?"
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
        let no_json = "Failed to acquire SASL OAUTHBEARER token: Expected JSON";
        assert_eq!(
            of(Some(RDKafkaErrorCode::Authentication), no_json),
            "the server of tokens gives none: Expected JSON"
        );
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
    fn what_a_server_of_tokens_answers_is_told_with_its_status_in_one_line() {
        let of = |said: &str| no_token(said).map(|failure| failure.to_string());
        let asked = "[thrd:main]: Failed to retrieve OIDC token from \"(hidden)\": ";
        assert_eq!(
            of(&format!("{asked}{{\n \"error\": \"invalid_client\"\n}} (401)")).as_deref(),
            Some(
                "the server of tokens gives none: it answers with HTTP 401: { \"error\": \"invalid_client\" }"
            )
        );
        assert_eq!(
            of(&format!("{asked}Could not connect to server (-1)")).as_deref(),
            Some("the server of tokens gives none: Could not connect to server")
        );
        let page = "x".repeat(5_000);
        assert!(of(&format!("{asked}{page} (500)")).is_some_and(|text| text.len() < 300));
        assert_eq!(of("something else"), None);
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
