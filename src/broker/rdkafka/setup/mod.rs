//! Prepares a cluster for a run: the topic, its start offsets, the group's first commits, and the cleanup.
//!
//! [`reports`] evaluates the log and the errors of the client library.

mod administrator;
mod clean;
mod coordinator;
mod inspect;
mod reports;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::error::{Told, describe, missing_right};
use super::offsets;
use crate::base::Clock;
use crate::broker::BrokerError;
use crate::broker::secure::{Access, AddressFamily};
use crate::broker::settings::ClientSettings;
use crate::broker::setup::{
    Advertised, ConnectionFailure, Deadline, Doing, Found, SetupError, closer, controller,
    find_unreachable,
};

pub(super) use reports::ClientReports;

/// An administrator of the cluster for one run.
pub(super) struct Admin {
    settings: ClientSettings,
    bootstrap: String,
    topic: String,
    clock: Clock,
    /// The access of connections without librdkafka. The error says why they are not possible.
    access: Result<Access, String>,
    /// The same access, or plaintext if there is none.
    reached: Access,
    /// The client for queries that change nothing.
    client: BaseConsumer<Told>,
    reports: Arc<ClientReports>,
}

/// Longest time for a single request.
const STEP: Duration = Duration::from_secs(10);
/// Time for which a cluster is retried after all its addresses have failed. It may be starting.
const ALL_DOWN_LIMIT: Duration = Duration::from_secs(3);
/// The first wait for an answer. Each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest time to set up a connection, from TCP to the login. librdkafka's default is 30 s.
const CONNECTION_LIMIT_MS: &str = "5000";
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

impl Admin {
    /// An administrator of `topic` on the cluster at `bootstrap`.
    ///
    /// # Errors
    /// The client library refuses its properties.
    pub(super) fn new(
        settings: ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<Admin, SetupError> {
        let reports = Arc::new(ClientReports::default());
        let told = Told::new(settings.hidden()).keeping(reports.clone());
        let config = quick(settings.observer("setup").config());
        let access = settings.access();
        let reached = access.clone().unwrap_or_else(|_| {
            Access::plaintext(AddressFamily::of(config.get("broker.address.family")))
        });
        let client = made(settings.create_with(&config, told))?;
        let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
        Ok(Admin { settings, bootstrap, topic, clock, access, reached, client, reports })
    }

    /// Implements `connect` of an [`Administrator`](crate::broker::setup::Administrator). A
    /// [`Cleaner`](crate::broker::setup::Cleaner), which has only a shared reference, calls it as well.
    fn find_cluster(&self, deadline: &Deadline) -> Result<Found, SetupError> {
        let metadata = self.metadata(deadline)?;
        let brokers: Vec<Advertised> = metadata
            .brokers()
            .iter()
            .map(|broker| Advertised {
                id: broker.id(),
                host: broker.host().to_owned(),
                port: broker.port(),
            })
            .collect();
        let unreachable = find_unreachable(&brokers, self.reached.family(), deadline);
        self.interrupted(deadline)?;
        if !unreachable.is_empty() {
            return Err(SetupError::Advertised { bootstrap: self.bootstrap.clone(), unreachable });
        }
        let partitions = match offsets::size_in(&metadata, &self.topic) {
            Ok(size) => (size.partitions > 0).then_some(size.partitions as usize),
            Err(code) => match missing_right(code, Doing::Describe, &self.topic, None) {
                Some(denied) => return Err(SetupError::Denied(denied)),
                None => None,
            },
        };
        Ok(Found { brokers: brokers.len(), partitions })
    }

    /// Queries the metadata until a broker answers. Each wait is twice as long as the one before. After each one, the
    /// failures that the client has reported are checked.
    fn metadata(&self, deadline: &Deadline) -> Result<Metadata, SetupError> {
        let addresses = self.bootstrap.split(',').count();
        let mut wait = FIRST_WAIT;
        let mut has_looked = false;
        loop {
            let asked = self.ask_metadata(&self.topic, wait, deadline);
            self.listen();
            let error = match asked {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            self.interrupted(deadline)?;
            // The type of the listener may show at once that retries cannot succeed.
            let seen = self.reports.of_all(addresses).filter(|_| !has_looked);
            has_looked |= seen.is_some();
            let seen = seen.map(|failure| closer(failure, &self.reached));
            let is_long = deadline.passed() >= ALL_DOWN_LIMIT;
            let over = || self.reports.worst().unwrap_or_else(ConnectionFailure::silence);
            let failure = self
                .reports
                .certain()
                .or_else(|| seen.filter(ConnectionFailure::is_certain))
                .or_else(|| self.reports.of_all(addresses).filter(|_| is_long))
                .or_else(|| deadline.is_over().then(over));
            if let Some(failure) = failure {
                let waited = deadline.passed();
                let failure = closer(failure, &self.reached);
                let bootstrap = self.bootstrap.clone();
                return Err(SetupError::NoConnection { bootstrap, failure, waited });
            }
            if !is_a_matter_of_time(&error) {
                if let Some(failure) = controller(&self.bootstrap) {
                    let (bootstrap, waited) = (self.bootstrap.clone(), deadline.passed());
                    return Err(SetupError::NoConnection { bootstrap, failure, waited });
                }
                return Err(failed("asking for the topic", &error, deadline));
            }
            wait *= 2;
        }
    }

    /// Sends one metadata query, and waits at most `wait` for the answer.
    fn ask_metadata(
        &self,
        topic: &str,
        wait: Duration,
        deadline: &Deadline,
    ) -> Result<Metadata, KafkaError> {
        self.client.fetch_metadata(Some(topic), within(wait, deadline))
    }

    /// A numeric setting of a topic or a broker; `None` if the user may not see it.
    async fn configured<T: FromStr>(
        &self,
        of: ResourceSpecifier<'_>,
        name: &str,
        deadline: &Deadline,
    ) -> Option<T> {
        let configs = self.admin().ok()?.describe_configs(&[of], &options(deadline)).await;
        let config = configs.ok()?.into_iter().next()?;
        let config = config.inspect_err(|error| tracing::debug!(%error, name, "not configured"));
        config.ok()?.entry_map().get(name)?.value.as_ref()?.parse().ok()
    }

    /// Polls the client, so that its errors reach `reports`.
    fn listen(&self) {
        // The bound ends the loop if errors come faster than they are taken.
        for _ in 0..KEPT_AT_ONCE {
            if self.client.poll(Duration::ZERO).is_none() {
                return;
            }
        }
    }

    /// Waits until every partition has a leader.
    fn await_leaders(&self, partitions: u32, deadline: &Deadline) -> Result<(), SetupError> {
        const WHAT: &str = "waiting for the partitions' leaders";
        self.again(deadline, || {
            let metadata = self
                .ask_metadata(&self.topic, STEP, deadline)
                .map_err(|error| failed(WHAT, &error, deadline))?;
            let led = offsets::size_in(&metadata, &self.topic).map_or(0, |size| size.led);
            if led == partitions {
                return Ok(());
            }
            let reason = format!("only {led} of {partitions} partitions have a leader");
            Err(SetupError::Failed { what: WHAT, reason, waited: deadline.passed() })
        })
    }

    fn admin(&self) -> Result<AdminClient<Told>, SetupError> {
        made(self.settings.create(&quick(self.settings.observer("admin").config())))
    }

    /// Retries until the attempt succeeds or the deadline is over, and returns the last error. Only
    /// [`SetupError::Failed`] is retried.
    fn again<T>(
        &self,
        deadline: &Deadline,
        mut attempt: impl FnMut() -> Result<T, SetupError>,
    ) -> Result<T, SetupError> {
        loop {
            let tried = attempt();
            self.listen();
            self.interrupted(deadline)?;
            match tried {
                Err(SetupError::Failed { .. }) if !deadline.is_over() => deadline.pause(PAUSE),
                done => return done,
            }
        }
    }

    fn interrupted(&self, deadline: &Deadline) -> Result<(), SetupError> {
        if deadline.is_interrupted() { Err(SetupError::Interrupted) } else { Ok(()) }
    }
}

/// Most events taken at a time.
const KEPT_AT_ONCE: usize = 1_000;

fn made<T>(made: Result<T, BrokerError>) -> Result<T, SetupError> {
    made.map_err(|error| SetupError::NotMade { reason: error.message })
}

fn failed(what: &'static str, error: &KafkaError, deadline: &Deadline) -> SetupError {
    SetupError::Failed { what, reason: describe(error), waited: deadline.passed() }
}

/// True if a retry may succeed.
fn is_a_matter_of_time(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
        )
    )
}

/// The configuration with a shorter time limit for connections, unless the user has set one. The log level includes the
/// lines about failed connections.
fn quick(mut config: ClientConfig) -> ClientConfig {
    const NAME: &str = "socket.connection.setup.timeout.ms";
    if config.get(NAME).is_none() {
        config.set(NAME, CONNECTION_LIMIT_MS);
    }
    if (config.log_level as i32) < RDKafkaLogLevel::Info as i32 {
        config.set_log_level(RDKafkaLogLevel::Info);
    }
    config
}

/// The time left until a deadline, at most `limit` and at least 1 ms, because the client library refuses 0.
fn within(limit: Duration, deadline: &Deadline) -> Duration {
    limit.min(deadline.left()).max(Duration::from_millis(1))
}

fn options(deadline: &Deadline) -> AdminOptions {
    let limit = Some(within(STEP, deadline));
    AdminOptions::new().request_timeout(limit).operation_timeout(limit)
}

/// The error of a topic that was not created.
fn not_created(topic: String, code: RDKafkaErrorCode) -> SetupError {
    match missing_right(code, Doing::Create, &topic, None) {
        Some(denied) => SetupError::Denied(denied),
        None => SetupError::NotCreated { topic, reason: code.to_string(), remedy: remedy(code) },
    }
}

fn remedy(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "the cluster has fewer brokers than `topic.replication_factor`"
        }
        RDKafkaErrorCode::PolicyViolation => {
            "the cluster has a policy for new topics: create it yourself and name it with `topic.name`"
        }
        RDKafkaErrorCode::InvalidTopic => {
            "choose another `topic.name` (letters, digits, `.`, `_`, `-`)"
        }
        _ => "create it yourself and name it with `topic.name`, or check the cluster's health",
    }
}
