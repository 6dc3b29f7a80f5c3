//! [`Admin`] as the administrator of a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset as RdOffset;
use rdkafka::admin::ResourceSpecifier;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::{Admin, PAUSE, STEP, failed, made, options, quick};
use crate::base::{Offset, PartitionId};
use crate::broker::rdkafka::error::{Told, describe, missing_right};
use crate::broker::rdkafka::offsets::{RdCommitter, RdEndOffsets};
use crate::broker::setup::{
    Administrator, Answer, Deadline, Doing, Found, Inspection, SetupError, TopicReplicas,
    needed_rights,
};
use crate::plan::{Plan, StartAt, TopicPlan};

/// Longest time for one attempt to commit, before the cause of the missing coordinator is checked. The first group of a
/// cluster waits until the offsets topic has been created.
const PATIENCE: Duration = Duration::from_secs(5);

impl Administrator for Admin {
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
        self.find_cluster(deadline)
    }

    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection> {
        Box::pin(async move {
            let connected = match self.find_cluster(deadline) {
                // Where no broker answers, rights are not queried.
                Err(error) if !matches!(error, SetupError::Denied(_)) => return Err(error),
                connected => connected,
            };
            let took = deadline.passed();
            let exists = connected.as_ref().is_ok_and(|found| found.partitions.is_some());
            let names = (self.topic.as_str(), self.settings.group_id());
            let rights = match &self.access {
                Err(reason) => {
                    Err(format!("not asked, because the native client asks for them: {reason}"))
                }
                Ok(access) => needed_rights(access, &self.bootstrap, plan, names, exists),
            };
            let (found, is_hidden) = Found::or_hidden(connected, rights.is_ok())?;
            let metadata = self
                .ask_metadata(&self.topic, STEP, deadline)
                .map_err(|error| failed("asking for the brokers", &error, deadline))?;
            let mut brokers: Vec<(i32, String)> = metadata
                .brokers()
                .iter()
                .map(|broker| (broker.id(), format!("{}:{}", broker.host(), broker.port())))
                .collect();
            brokers.sort_unstable();
            let existing = match found.partitions {
                Some(_) => Some(self.existing(&metadata, deadline).await),
                None => None,
            };
            let not_created = match existing {
                Some(_) => None,
                None => self.would_create(&plan.topic, &found, deadline).await.err(),
            };
            let requests = self.requests(deadline);
            Ok(Inspection {
                took,
                cluster: self.cluster_id(deadline),
                brokers,
                requests,
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
            self.ask_to_create(plan, found, options(deadline), deadline).await?;
            self.await_leaders(plan.partitions, deadline)
        })
    }

    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(async move {
            // The topic's setting, or else the broker's default.
            let topic = ResourceSpecifier::Topic(&self.topic);
            let limit = self.configured(topic, "max.message.bytes", deadline).await;
            SetupError::unless_it_fits(&self.topic, payload, limit)
        })
    }

    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas> {
        Box::pin(async move {
            let metadata = self.metadata(deadline)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
            let partitions = topic.map_or(&[][..], |topic| topic.partitions());
            let copies = partitions.iter().map(|it| it.replicas().len()).min().unwrap_or(0);
            let of = ResourceSpecifier::Topic(&self.topic);
            Ok(TopicReplicas {
                copies: copies as u32,
                min_insync: self.configured(of, "min.insync.replicas", deadline).await,
                brokers: metadata
                    .brokers()
                    .iter()
                    .map(|broker| broker.id().unsigned_abs())
                    .collect(),
            })
        })
    }

    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        self.client.client().fetch_cluster_id(STEP.min(deadline.left()))
    }

    fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError> {
        const WHAT: &str = "asking for the start offsets";
        let what = match start {
            StartAt::Beginning => RdOffset::Beginning,
            StartAt::End => RdOffset::End,
        };
        let failed = |reason| SetupError::Failed { what: WHAT, reason, waited: deadline.passed() };
        let client =
            made(RdEndOffsets::new(&self.settings, &self.topic, Arc::new(partitions.into())))?;
        self.again(deadline, || {
            let asked = client.ask(what).map_err(|error| failed(error.to_string()))?;
            match asked.len() {
                all if all == partitions as usize => Ok(asked.into_values().collect()),
                some => Err(failed(format!("only {some} of {partitions} partitions answered"))),
            }
        })
    }

    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        let marks = self.marks(partitions as usize, deadline)?;
        Some(marks.iter().map(|(low, high)| (high - low) as u64).sum())
    }

    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let group = self.settings.group_id();
            let told = Told::new(self.settings.hidden()).keeping(self.reports.clone());
            let config = quick(self.settings.committer().config());
            let mut committer =
                made(RdCommitter::with(&self.settings, &config, &self.topic, self.clock, told))?;
            let positions: BTreeMap<PartitionId, Offset> =
                (0..).map(PartitionId).zip(starts.iter().copied()).collect();
            let outcome = loop {
                let limit = deadline.cut(PATIENCE);
                let Err(error) = committer.commit_within(&positions, &limit) else { break Ok(()) };
                if deadline.is_interrupted() {
                    break Err(SetupError::Interrupted);
                }
                let denied = error
                    .rdkafka_error_code()
                    .and_then(|code| missing_right(code, Doing::Read, &self.topic, Some(&group)));
                if let Some(denied) = denied.map(SetupError::Denied) {
                    break Err(denied);
                }
                let no_coordinator = |reason| SetupError::NoCoordinator {
                    group: group.clone(),
                    waited: deadline.passed(),
                    reason,
                };
                if let Some(found) = found
                    && let Some(reason) = self.too_few_for_offsets(found, deadline).await
                {
                    break Err(no_coordinator(reason));
                }
                if deadline.is_over() {
                    let why = match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::OperationTimedOut) => "no answer".to_owned(),
                        _ => describe(&error),
                    };
                    break Err(no_coordinator(format!(
                        "{why}; check the partitions of the topic `__consumer_offsets`, or raise `run.startup`"
                    )));
                }
                deadline.pause(PAUSE);
            };
            // The drop asks the coordinator once more, and may block until the coordinator answers.
            let _ =
                std::thread::Builder::new().name("close".to_owned()).spawn(move || drop(committer));
            outcome
        })
    }

    fn delete_topic(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            const WHAT: &str = "deleting the run's topic";
            let deadline = &Deadline::of(self.clock, STEP);
            let results = self
                .admin()?
                .delete_topics(&[&self.topic], &options(deadline))
                .await
                .map_err(|error| failed(WHAT, &error, deadline))?;
            match results.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) | Some(Ok(_)) | None => {
                    Ok(())
                }
                Some(Err((_, code))) => match missing_right(code, Doing::Delete, &self.topic, None)
                {
                    Some(denied) => Err(SetupError::Denied(denied)),
                    None => Err(SetupError::Failed {
                        what: WHAT,
                        reason: code.to_string(),
                        waited: deadline.passed(),
                    }),
                },
            }
        })
    }
}
