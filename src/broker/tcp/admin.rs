//! Preparing a cluster for a run without librdkafka: the brokers, the topic, where reading starts, the group's first
//! commits, and what is taken back in the end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use super::ask_error::AskError;
use super::asker::{Asker, last};
use super::conversation::Ask;
use super::offsets::{TcpCommitter, TcpEndOffsets, size_in};
use super::topics::{self, TopicError};
use crate::base::{Clock, Offset, PartitionId, batch_bytes, batch_payload_max};
use crate::broker::protocol::BrokerId;
use crate::broker::secure::Access;
use crate::broker::settings::{ClientSettings, without_hidden};
use crate::broker::setup::{
    Advertised, ConnectionFailure, Deadline, Doing, Found, Obstacle, SetupError, TopicReplicas,
    closer, counted_brokers, find_unreachable, right_missing_by,
};
use crate::broker::wire::{
    Api, Configured, LogEnd, MetadataAnswer, WireError, described_config, put_describe_config,
};
use crate::plan::{StartAt, TopicPlan};

/// How long a single request may take.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// How long a cluster of which every address has failed is tried: it may be starting.
const ALL_DOWN_LIMIT: Duration = Duration::from_secs(3);
/// Between two tries of something that needs a moment.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a coordinator is asked for before it is looked at why there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// An administrator of a cluster for one run, over connections of its own.
pub(super) struct TcpAdmin {
    pub(super) asker: Asker,
    pub(super) bootstrap: String,
    pub(super) topic: String,
    /// The group of the run.
    pub(super) group: String,
    clock: Clock,
}

impl TcpAdmin {
    /// An administrator of `topic` on the cluster at `bootstrap`.
    ///
    /// # Errors
    /// A property says no way to reach it, or names a file that is not usable.
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

    /// The same for a cluster that is reached in this way.
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

    /// Connects to the cluster, makes sure that every broker can be reached at the address it advertises, and looks for
    /// the topic.
    ///
    /// # Errors
    /// Why no broker, or not every broker, can be talked to, or that the user may not see the topic.
    pub(super) fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
        let metadata = self.first_metadata(deadline)?;
        let advertised = metadata.brokers.iter().map(|broker| Advertised {
            id: broker.node_id,
            host: broker.host.clone(),
            port: broker.port,
        });
        let advertised: Vec<Advertised> = advertised.collect();
        let unreachable = find_unreachable(&advertised, self.access().family(), deadline);
        interrupted(deadline)?;
        if !unreachable.is_empty() {
            return Err(SetupError::Advertised { bootstrap: self.bootstrap.clone(), unreachable });
        }
        self.require_tls_with_all(deadline)?;
        let partitions = match size_in(&metadata) {
            Ok(size) => (size.partitions > 0).then_some(size.partitions as usize),
            Err(code) => match right_missing_by(code.code(), Doing::Describe, &self.topic, None) {
                Some(denied) => return Err(SetupError::Denied(denied)),
                None => None,
            },
        };
        Ok(Found { brokers: metadata.brokers.len(), partitions })
    }

    /// How the cluster is reached.
    pub(super) fn access(&self) -> &Access {
        self.asker.brokers().access()
    }

    /// An address that a broker advertises may be none that its certificate is for.
    fn require_tls_with_all(&mut self, deadline: &Deadline) -> Result<(), SetupError> {
        if !self.access().has_tls() {
            return Ok(());
        }
        for broker in 0..self.asker.brokers().len() as BrokerId {
            let asked = self.asker.greet(broker, &deadline.cut(STEP));
            interrupted(deadline)?;
            if let Err(error @ (AskError::Tls(_) | AskError::Login(_))) = asked {
                let brokers = self.asker.brokers();
                let at = format!("{}:{}", brokers.host(broker), brokers.address(broker).port());
                return Err(self.no_connection(failure(&at, &error), deadline));
            }
        }
        Ok(())
    }

    fn no_connection(&self, failure: ConnectionFailure, deadline: &Deadline) -> SetupError {
        let (bootstrap, waited) = (self.bootstrap.clone(), deadline.passed());
        SetupError::NoConnection { bootstrap, failure, waited }
    }

    /// Asks all addresses until a broker answers.
    fn first_metadata(&mut self, deadline: &Deadline) -> Result<MetadataAnswer, SetupError> {
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
            // A look at the listener may tell at once that there is no use.
            let is_last = deadline.is_over() || (deadline.passed() >= ALL_DOWN_LIMIT && !is_silent);
            if is_last || seen.is_none() {
                failure = closer(failure, self.access());
            }
            // The last try may have had no time left to meet anything.
            failure = seen.take().into_iter().fold(failure, ConnectionFailure::worse);
            if is_last || failure.is_certain() {
                return Err(self.no_connection(failure, deadline));
            }
            seen = Some(failure);
            deadline.pause(PAUSE);
        }
    }

    /// Creates the topic. It may be there even after an error, unless the broker refused it.
    ///
    /// # Errors
    /// What the broker said, or that too few brokers are there for the copies that are wanted.
    pub(super) fn create_topic(
        &mut self,
        plan: &TopicPlan,
        found: &Found,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        self.ask_to_create(plan, found, false, deadline)?;
        self.await_leaders(plan.partitions, deadline)
    }

    /// Creates the topic, or has the brokers only look whether it could be created.
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
    fn await_leaders(&mut self, partitions: u32, deadline: &Deadline) -> Result<(), SetupError> {
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

    /// The cluster's own id, if it tells one.
    pub(super) fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        self.asker.metadata(&self.topic, &deadline.cut(STEP)).ok()?.cluster_id
    }

    /// Where each partition's reading starts, as numbers, by partition id. A topic that has just been created answers only
    /// after a moment, so this asks again until `deadline`.
    ///
    /// # Errors
    /// What the brokers said last.
    pub(super) fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError> {
        const WHAT: &str = "asking for the start offsets";
        let end = match start {
            StartAt::Beginning => LogEnd::Earliest,
            StartAt::End => LogEnd::Latest,
        };
        let asker = Asker::new(&self.bootstrap, "lanekeeper-setup".to_owned(), self.access());
        let mut ends = TcpEndOffsets::new(asker, &self.topic, self.clock);
        let failure = |reason| SetupError::Failed { what: WHAT, reason, waited: deadline.passed() };
        self.again(deadline, |_| {
            let listed = ends.list(end, &deadline.cut(STEP));
            let listed = listed.map_err(|error| failure(error.to_string()))?;
            match listed.len() {
                all if all == partitions as usize => Ok(listed.into_values().collect()),
                some => {
                    ends.ask_leaders_again();
                    Err(failure(format!("only {some} of {partitions} partitions answered")))
                }
            }
        })
    }

    /// Deletes the topic, within 10 s. Only ever called for one this run created.
    ///
    /// # Errors
    /// What the broker said, unless the topic is not there.
    pub(super) fn delete_topic(&mut self) -> Result<(), SetupError> {
        const WHAT: &str = "deleting the run's topic";
        let deadline = &Deadline::of(self.clock, STEP);
        match topics::delete(&mut self.asker, &self.topic, deadline) {
            Ok(()) => Ok(()),
            Err(TopicError::Refused(code, _)) if code.is_unknown_topic() => Ok(()),
            Err(TopicError::Refused(code, _)) => {
                match right_missing_by(code.code(), Doing::Delete, &self.topic, None) {
                    Some(denied) => Err(SetupError::Denied(denied)),
                    None => Err(failed(WHAT, &AskError::Refused(code), deadline)),
                }
            }
            Err(TopicError::NotAsked(error)) => Err(failed(WHAT, &error, deadline)),
        }
    }

    /// Makes sure that the topic takes records of this payload, in bytes: a broker refuses larger ones, each for itself.
    /// Without the right to see the topic's configuration (DescribeConfigs) nothing is known, and nothing is refused.
    ///
    /// # Errors
    /// The topic's `max.message.bytes` is too small.
    pub(super) fn require_room_for(
        &mut self,
        payload: u64,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        // The topic's own, or the broker's.
        let topic = self.topic.clone();
        let of = Configured::Topic(&topic);
        let Some(limit) = self.configured::<u64>(of, "max.message.bytes", deadline) else {
            return Ok(());
        };
        if batch_bytes(payload) <= limit {
            return Ok(());
        }
        let largest = batch_payload_max(limit);
        Err(SetupError::TooLarge { topic, payload, limit, largest })
    }

    /// The replicas of the topic, which exists.
    ///
    /// # Errors
    /// No broker answers.
    pub(super) fn replicas(&mut self, deadline: &Deadline) -> Result<TopicReplicas, SetupError> {
        let metadata = self.first_metadata(deadline)?;
        let partitions = metadata.partitions.iter();
        let copies = partitions.map(|it| it.replicas.len()).min().unwrap_or(0);
        let topic = self.topic.clone();
        let of = Configured::Topic(&topic);
        Ok(TopicReplicas {
            copies: copies as u32,
            min_insync: self.configured(of, "min.insync.replicas", deadline),
            brokers: metadata.brokers.iter().map(|it| it.node_id.unsigned_abs()).collect(),
        })
    }

    /// A number that a topic or a broker is configured with; `None` where the user may not see it.
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

    /// Commits the start offsets for the run's group while it is still empty. A coordinator that is just being made is
    /// asked again until `deadline`.
    ///
    /// # Errors
    /// Why there is no coordinator, the right that is missing, or what the coordinator said.
    pub(super) fn commit_starts(
        &mut self,
        group: &str,
        starts: &[Offset],
        found: Option<&Found>,
        deadline: &Deadline,
    ) -> Result<(), SetupError> {
        let asker = Asker::new(&self.bootstrap, "lanekeeper-setup".to_owned(), self.access());
        let mut committer = TcpCommitter::new(asker, group, &self.topic, self.clock);
        let positions: BTreeMap<PartitionId, Offset> =
            (0..).map(PartitionId).zip(starts.iter().copied()).collect();
        loop {
            let limit = deadline.cut(PATIENCE);
            let Err(error) = committer.commit_within(&positions, &limit) else { return Ok(()) };
            interrupted(deadline)?;
            if let AskError::Refused(code) = &error
                && let Some(denied) =
                    right_missing_by(code.code(), Doing::Read, &self.topic, Some(group))
            {
                return Err(SetupError::Denied(denied));
            }
            let no_coordinator = |reason| {
                let (group, waited) = (group.to_owned(), deadline.passed());
                SetupError::NoCoordinator { group, waited, reason }
            };
            if let Some(reason) = found.and_then(|found| self.too_few_for_offsets(found, deadline))
            {
                return Err(no_coordinator(reason));
            }
            if deadline.is_over() {
                return Err(no_coordinator(format!(
                    "{error}; check the partitions of the topic `__consumer_offsets`, or raise `run.startup`"
                )));
            }
            deadline.pause(PAUSE);
        }
    }

    /// Whether the topic of the offsets can have its copies: a group has no coordinator before it exists.
    fn too_few_for_offsets(&mut self, found: &Found, deadline: &Deadline) -> Option<String> {
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

    /// Tries until it works or the deadline is over; the last error counts. A missing right is not tried again.
    fn again<T>(
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

fn interrupted(deadline: &Deadline) -> Result<(), SetupError> {
    if deadline.is_interrupted() { Err(SetupError::Interrupted) } else { Ok(()) }
}

pub(super) fn failed(what: &'static str, error: &AskError, deadline: &Deadline) -> SetupError {
    SetupError::Failed { what, reason: error.to_string(), waited: deadline.passed() }
}

/// What an address has met, for the user.
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
            ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Obstacle::Unreachable,
            _ => Obstacle::Other,
        },
        AskError::Closed => Obstacle::Closed,
        // The alert of a TLS listener, read as a length.
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
