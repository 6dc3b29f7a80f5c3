//! The requests of an administrator without librdkafka to a cluster, and the evaluation of the responses.

use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use super::ask_error::AskError;
use super::asker::{Asker, last};
use super::conversation::Ask;
use super::offsets::size_in;
use super::topics::{self, TopicError};
use crate::base::Clock;
use crate::broker::protocol::BrokerId;
use crate::broker::secure::Access;
use crate::broker::settings::{ClientSettings, without_hidden};
use crate::broker::setup::{
    ConnectionFailure, Deadline, Doing, Found, Obstacle, SetupError, closer, counted_brokers,
    right_missing_by,
};
use crate::broker::wire::{
    Api, Configured, MetadataAnswer, WireError, described_config, put_describe_config,
};
use crate::plan::TopicPlan;

/// Time limit of a single request.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Time limit for a cluster of which every address has failed, because it may be starting.
const ALL_DOWN_LIMIT: Duration = Duration::from_secs(3);
/// Time between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// An administrator of a cluster for one run, over connections of its own.
pub(super) struct TcpAdmin {
    pub(super) asker: Asker,
    pub(super) bootstrap: String,
    pub(super) topic: String,
    /// The group of the run.
    pub(super) group: String,
    pub(super) clock: Clock,
}

impl TcpAdmin {
    /// An administrator of `topic` on the cluster at `bootstrap`.
    ///
    /// # Errors
    /// The properties describe no usable access, or a property names a file that is not usable.
    pub(super) fn new(
        settings: &ClientSettings,
        bootstrap: &str,
        topic: &str,
        clock: Clock,
    ) -> Result<TcpAdmin, SetupError> {
        let access = settings.access().map_err(|reason| SetupError::NotMade { reason })?;
        let admin = TcpAdmin::with(&access, bootstrap, topic, clock);
        Ok(TcpAdmin { group: settings.group_id(), ..admin })
    }

    /// The same for a cluster that is reached with this access.
    pub(super) fn with(access: &Access, bootstrap: &str, topic: &str, clock: Clock) -> TcpAdmin {
        let asker = Asker::new(bootstrap, "lanekeeper-setup".to_owned(), access);
        TcpAdmin {
            asker,
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            group: String::new(),
            clock,
        }
    }

    /// The access to the cluster.
    pub(super) fn access(&self) -> &Access {
        self.asker.brokers().access()
    }

    /// Checks TLS with all brokers, because the address that a broker advertises may not be in its certificate.
    pub(super) fn require_tls_with_all(&mut self, deadline: &Deadline) -> Result<(), SetupError> {
        if !self.access().has_tls() {
            return Ok(());
        }
        for broker in 0..self.asker.brokers().len() as BrokerId {
            let asked = self.asker.greet(broker, &deadline.cut(STEP));
            interrupted(deadline)?;
            if let Err(error @ (AskError::Tls(_) | AskError::Login(_))) = asked {
                let at = self.asker.brokers().name(broker);
                return Err(self.no_connection(failure(&at, &error), deadline));
            }
        }
        Ok(())
    }

    fn no_connection(&self, failure: ConnectionFailure, deadline: &Deadline) -> SetupError {
        let (bootstrap, waited) = (self.bootstrap.clone(), deadline.passed());
        SetupError::NoConnection { bootstrap, failure, waited }
    }

    /// Asks one address after the other until a broker answers.
    pub(super) fn first_metadata(
        &mut self,
        deadline: &Deadline,
    ) -> Result<MetadataAnswer, SetupError> {
        let mut seen: Option<ConnectionFailure> = None;
        loop {
            let errors = match self.asker.metadata(&self.topic, deadline) {
                Ok(metadata) => return Ok(metadata),
                Err(errors) => errors,
            };
            interrupted(deadline)?;
            let is_silent = errors.iter().any(|(_, error)| matches!(error, AskError::Silent));
            let failures = errors.iter().map(|(address, error)| failure(address, error));
            let failure = failures.reduce(ConnectionFailure::worse);
            let mut failure = failure.unwrap_or_else(ConnectionFailure::silence);
            // A check of the listener may show at once that another attempt is useless.
            let is_last = deadline.is_over() || (deadline.passed() >= ALL_DOWN_LIMIT && !is_silent);
            if is_last || seen.is_none() {
                failure = closer(failure, self.access());
            }
            // The last attempt may have had no time left.
            failure = seen.take().into_iter().fold(failure, ConnectionFailure::worse);
            if is_last || failure.is_certain() {
                return Err(self.no_connection(failure, deadline));
            }
            seen = Some(failure);
            deadline.pause(PAUSE);
        }
    }

    /// Creates the topic, or lets the brokers only validate the request.
    pub(super) fn ask_to_create(
        &mut self,
        plan: &TopicPlan,
        found: &Found,
        is_check: bool,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let topic = self.topic.clone();
        if found.brokers < plan.replication_factor as usize {
            let wanted = plan.replication_factor;
            return Err(SetupError::TooFewBrokers { topic, found: found.brokers, wanted });
        }
        let how = (plan, is_check);
        match topics::create(&mut self.asker, &topic, how, &deadline.cut(STEP)) {
            Ok(()) => Ok(()),
            Err(TopicError::Refused(code, said)) => {
                if let Some(denied) = right_missing_by(code.code(), Doing::Create, &topic, None) {
                    return Err(SetupError::Denied(denied));
                }
                let reason =
                    said.map_or_else(|| code.to_string(), |said| format!("{code}: {said}"));
                Err(SetupError::NotCreated { topic, reason, remedy: topics::remedy(code) })
            }
            Err(TopicError::NotAsked(error)) => Err(failed("creating the topic", &error, deadline)),
        }
    }

    /// Waits until every partition has a leader.
    pub(super) fn await_leaders(
        &mut self,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        const WHAT: &str = "waiting for the partitions' leaders";
        self.again(deadline, |this| {
            let limit = deadline.cut(STEP);
            let answer = this.asker.metadata(&this.topic, &limit);
            let answer = answer.map_err(|errors| failed(WHAT, &last(errors), deadline))?;
            let led = size_in(&answer).map_or(0, |size| size.led);
            if led == partitions {
                return Ok(());
            }
            let reason = format!("only {led} of {partitions} partitions have a leader");
            Err(SetupError::Failed { what: WHAT, reason, waited: deadline.passed() })
        })
    }

    /// A setting of a topic or a broker, as a number; `None` if the user may not read it.
    pub(super) fn configured<T: FromStr>(
        &mut self,
        of: Configured<'_>,
        name: &str,
        deadline: &Deadline,
    ) -> Option<T> {
        let ask = Ask {
            api: Api::DescribeConfigs,
            write: |out: &mut Vec<u8>, version| put_describe_config(out, version, of, name),
            read: |body: &[u8], version| -> Result<_, WireError> {
                described_config(body, version, name)
            },
        };
        let limit = deadline.cut(STEP);
        let told = match of {
            Configured::Topic(_) => self.asker.ask_any(&ask, &limit).ok()?,
            // A broker knows its own configuration only.
            Configured::Broker(node) => {
                let broker = self.asker.brokers().nodes().number(node)?;
                self.asker.ask(broker, &ask, &limit).ok()?
            }
        };
        told.ok()??.parse().ok()
    }

    /// An error if the topic of committed offsets cannot have its replicas: a group has no coordinator before it
    /// exists.
    pub(super) fn too_few_for_offsets(
        &mut self,
        found: &Found,
        deadline: &Deadline,
    ) -> Option<String> {
        const NAME: &str = "offsets.topic.replication.factor";
        let answer = self.asker.metadata("__consumer_offsets", &deadline.cut(STEP)).ok()?;
        if size_in(&answer).is_ok_and(|size| size.partitions > 0) {
            return None;
        }
        let broker = Configured::Broker(answer.brokers.first()?.node_id);
        let wanted: u64 = self.configured(broker, NAME, deadline)?;
        let (has, brokers) = (found.brokers, counted_brokers(found.brokers));
        (wanted > has as u64).then(|| {
            format!(
                "the topic `__consumer_offsets` is to have {wanted} copies, and the cluster has {brokers}; set \
                 `{NAME}={has}` in the brokers' configuration, or start more brokers"
            )
        })
    }

    /// Repeats a request until it succeeds or the deadline is over, and returns the last error. A missing right is not
    /// repeated.
    pub(super) fn again<T>(
        &mut self,
        deadline: &Deadline,
        mut attempt: impl FnMut(&mut TcpAdmin) -> Result<T, SetupError>,
    ) -> Result<T, SetupError> {
        loop {
            let tried = attempt(self);
            interrupted(deadline)?;
            match tried {
                Err(SetupError::Failed { .. }) if !deadline.is_over() => deadline.pause(PAUSE),
                done => return done,
            }
        }
    }
}

pub(super) fn interrupted(deadline: &Deadline) -> Result<(), SetupError> {
    if deadline.is_interrupted() { Err(SetupError::Interrupted) } else { Ok(()) }
}

pub(super) fn failed(what: &'static str, error: &AskError, deadline: &Deadline) -> SetupError {
    SetupError::Failed { what, reason: error.to_string(), waited: deadline.passed() }
}

/// The failure of an address, for the user.
fn failure(address: &str, error: &AskError) -> ConnectionFailure {
    let obstacle = match error {
        AskError::Tls(why) => return ConnectionFailure::of_tls(why, address),
        AskError::Login(why) => {
            let said = without_hidden(&why.to_string());
            return ConnectionFailure::of_login(why, address, &said);
        }
        AskError::NotResolved(_) => Obstacle::NotResolved,
        AskError::Socket(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Obstacle::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Obstacle::Closed,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Obstacle::NoAnswer,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Obstacle::Unreachable,
            _ => Obstacle::Other,
        },
        AskError::Closed => Obstacle::Closed,
        // The alert of a TLS listener, read as the length of a frame.
        AskError::Unreadable(WireError::TooLarge { found, .. }) if found >> 16 == TLS_ALERT => {
            Obstacle::Closed
        }
        AskError::Unreadable(_) => Obstacle::Unreadable,
        AskError::Silent => Obstacle::Silent,
        AskError::NoVersions(_) | AskError::Version(_) | AskError::Refused(_) => Obstacle::Other,
    };
    ConnectionFailure::met(obstacle, address, &error.to_string())
}

/// The first two bytes of an alert: its type, and the major version of TLS.
const TLS_ALERT: u64 = 0x1503;
