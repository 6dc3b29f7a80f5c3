//! [`TcpAdmin`] as the administrator of a run. It blocks until it has its responses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::TcpAdmin;
use super::admin::{PAUSE, STEP, failed, interrupted};
use super::ask_error::AskError;
use super::asker::{Asker, last};
use super::offsets::{TcpCommitter, TcpEndOffsets, size_in};
use super::topics::{self, TopicError};
use crate::base::{Offset, PartitionId};
use crate::broker::setup::{
    Administrator, Advertised, Answer, Deadline, Doing, Found, Inspection, Requests, SetupError,
    TopicReplicas, find_unreachable, needed_rights, right_missing_by,
};
use crate::broker::wire::{Api, Configured, LogEnd};
use crate::plan::{Plan, StartAt, TopicPlan};

/// Time after which the reason for a missing coordinator is looked for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Administrator for TcpAdmin {
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
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

    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection> {
        Box::pin(async move {
            let connected = match self.connect(deadline) {
                // Without a broker that answers, rights cannot be checked.
                Err(error) if !matches!(error, SetupError::Denied(_)) => return Err(error),
                connected => connected,
            };
            let took = deadline.passed();
            let exists = connected.as_ref().is_ok_and(|found| found.partitions.is_some());
            let names = (self.topic.as_str(), self.group.clone());
            let rights = needed_rights(self.access(), &self.bootstrap, plan, names, exists);
            let (found, is_hidden) = Found::or_hidden(connected, rights.is_ok())?;
            let metadata = self.asker.metadata(&self.topic, &deadline.cut(STEP));
            let metadata = metadata
                .map_err(|errors| failed("asking for the brokers", &last(errors), deadline))?;
            let mut brokers: Vec<(i32, String)> = metadata
                .brokers
                .iter()
                .map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port)))
                .collect();
            brokers.sort_unstable();
            let existing = found.partitions.map(|_| self.existing(&metadata, deadline));
            // A missing right to create is one of those that are listed.
            let not_created = match existing {
                Some(_) => None,
                None => match self.ask_to_create(&plan.topic, &found, true, deadline) {
                    Ok(()) | Err(SetupError::Denied(_)) => None,
                    Err(error) => Some(error),
                },
            };
            Ok(Inspection {
                took,
                cluster: metadata.cluster_id,
                brokers,
                requests: Ok(Requests {
                    produce: self.asker.highest(Api::Produce),
                    fetch: self.asker.highest(Api::Fetch),
                    has_consumer_protocol: self.asker.serves_consumer_groups(),
                }),
                topic: self.topic.clone(),
                existing,
                is_hidden,
                not_created,
                rights,
            })
        })
    }

    fn create_topic<'a>(
        &'a mut self,
        plan: &'a TopicPlan,
        found: &'a Found,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            self.ask_to_create(plan, found, false, deadline)?;
            self.await_leaders(plan.partitions, deadline)
        })
    }

    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(async move {
            // The setting of the topic, or else that of the broker.
            let topic = self.topic.clone();
            let of = Configured::Topic(&topic);
            let limit = self.configured::<u64>(of, "max.message.bytes", deadline);
            SetupError::unless_it_fits(&topic, payload, limit)
        })
    }

    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas> {
        Box::pin(async move {
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
        })
    }

    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        self.asker.metadata(&self.topic, &deadline.cut(STEP)).ok()?.cluster_id
    }

    fn start_offsets(
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

    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        let mut at = |start| self.start_offsets(start, partitions, deadline).ok();
        let (first, end) = (at(StartAt::Beginning)?, at(StartAt::End)?);
        Some(first.iter().zip(&end).map(|(first, end)| (end.0 - first.0) as u64).sum())
    }

    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let group = self.group.clone();
            let asker = Asker::new(&self.bootstrap, "lanekeeper-setup".to_owned(), self.access());
            let mut committer = TcpCommitter::new(asker, &group, &self.topic, self.clock);
            let positions: BTreeMap<PartitionId, Offset> =
                (0..).map(PartitionId).zip(starts.iter().copied()).collect();
            loop {
                let limit = deadline.cut(PATIENCE);
                let Err(error) = committer.commit_within(&positions, &limit) else { return Ok(()) };
                interrupted(deadline)?;
                if let AskError::Refused(code) = &error
                    && let Some(denied) =
                        right_missing_by(code.code(), Doing::Read, &self.topic, Some(&group))
                {
                    return Err(SetupError::Denied(denied));
                }
                let no_coordinator = |reason| {
                    let (group, waited) = (group.clone(), deadline.passed());
                    SetupError::NoCoordinator { group, waited, reason }
                };
                if let Some(reason) =
                    found.and_then(|found| self.too_few_for_offsets(found, deadline))
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
        })
    }

    fn delete_topic(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
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
        })
    }
}
