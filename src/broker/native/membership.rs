//! The connection of a group member to its coordinator, which is found again when it has moved or failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::NativeSettings;
use super::consumer_member::ConsumerMember;
use super::member::GroupMember;
use super::member_protocol::{MemberEvent, MemberProtocol, MemberSettings};
use super::metadata::Metadata;
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::group::{GroupRequest, GroupResponse};
use crate::broker::protocol::{BrokerId, Outbox, Request};
use crate::broker::{BrokerError, GroupSpec, Positions};

/// A member and its coordinator.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) member: Box<dyn MemberProtocol>,
    settings: NativeSettings,
    /// The positions of the host, for the commit before partitions are given up.
    positions: Positions,
    crashed: Arc<AtomicBool>,
    coordinator: Coordinator,
    /// True if the host has asked for records since the last tick, and the time at which it last did.
    pub(super) polled: bool,
    last_poll: Time,
    /// `max.poll.interval.ms`.
    max_poll: Duration,
    /// Requests of the member that wait until the coordinator is known.
    held: Vec<GroupRequest>,
    /// Number of requests that the coordinator has not answered. Then, by broker, the number of those from a time when
    /// that broker was the coordinator before, whose responses are ignored.
    unanswered: u32,
    outdated: BTreeMap<BrokerId, u32>,
    topic: TopicLook,
}

/// The checks of a member for new partitions of its topic.
#[derive(Debug)]
struct TopicLook {
    /// Time between checks; `None` for no checks.
    refresh: Option<Duration>,
    next: Time,
    /// True while the response to such a check is outstanding, and true while the response to the leader's question is.
    is_searching: bool,
    has_asked: bool,
    /// The number of partitions in the last response.
    partitions: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinator {
    /// To be found, not before this time.
    Unknown(Time),
    Asked(BrokerId, Time),
    Known(BrokerId),
}

impl Membership {
    pub(super) fn new(
        member: MemberSettings,
        settings: NativeSettings,
        spec: &GroupSpec,
    ) -> Membership {
        Membership {
            polled: false,
            last_poll: Time::ZERO,
            max_poll: member.rebalance_timeout,
            topic: TopicLook {
                refresh: member.topic_refresh,
                next: Time::ZERO,
                is_searching: false,
                has_asked: false,
                partitions: None,
            },
            member: member_of(member),
            settings,
            positions: spec.positions.clone(),
            crashed: spec.crashed.clone(),
            coordinator: Coordinator::Unknown(Time::ZERO),
            held: Vec::new(),
            unanswered: 0,
            outdated: BTreeMap::new(),
        }
    }

    /// Leaves the group when no records are asked for, and joins it again when they are. Returns the time of the next
    /// check.
    fn watch_polls(&mut self, now: Time) -> Time {
        if std::mem::take(&mut self.polled) {
            self.last_poll = now;
            self.member.asked_for_records();
        } else if now >= self.last_poll + self.max_poll {
            self.member.poll_timed_out();
        }
        if self.member.is_up() { self.last_poll + self.max_poll } else { Time::NEVER }
    }

    /// Next offsets to process of `partitions`, as far as they may be committed.
    pub(super) fn progress(&self, partitions: &[PartitionId]) -> BTreeMap<PartitionId, Offset> {
        if self.crashed.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        let next = |id: &PartitionId| Some((*id, self.positions.next(*id)?));
        partitions.iter().filter_map(next).collect()
    }

    /// Commits and leaves the group, or ends without a leave request if the consumer has crashed.
    pub(super) fn leave(&mut self) {
        let progress = self.progress(self.member.owned());
        self.member.commit(progress);
        match self.crashed.load(Ordering::Acquire) {
            false => self.member.leave(),
            true => self.member.crash(),
        }
    }

    /// Sends the requests of the member, and returns its events.
    pub(super) fn tell(&mut self, now: Time, outbox: &mut Outbox) -> Vec<MemberEvent> {
        self.held.extend(self.member.outbox());
        if let Coordinator::Known(broker) = self.coordinator {
            self.unanswered += self.held.len() as u32;
            let held = self.held.drain(..);
            outbox.extend(held.map(|request| (now, broker, Request::Group(Box::new(request)))));
        }
        self.member.events()
    }

    /// Asks for the number of partitions: at the interval, before the leader assigns partitions (as librdkafka does),
    /// and for a topic whose id is unknown. Returns the time of the next call.
    fn look_at_topic(&mut self, now: Time, metadata: &mut Metadata, outbox: &mut Outbox) -> Time {
        match self.topic.refresh {
            Some(refresh) if now >= self.topic.next => {
                self.topic.next = now + refresh;
                self.topic.is_searching = true;
                metadata.request_refresh(now);
            }
            Some(_) => {}
            None => self.topic.next = Time::NEVER,
        }
        if self.member.waits_for_topic() && !self.topic.has_asked {
            self.topic.has_asked = true;
            metadata.request_refresh(now);
        }
        if self.topic.is_searching || self.member.waits_for_topic() {
            self.topic.next.min(metadata.refresh(now, outbox))
        } else {
            self.topic.next
        }
    }

    /// Notes the number of partitions that a broker reports. A topic never shrinks: a broker that reports fewer was cut
    /// off from the others.
    pub(super) fn topic_has(&mut self, partitions: u32) {
        let topic = &mut self.topic;
        let most = partitions.max(topic.partitions.unwrap_or(0));
        if std::mem::take(&mut topic.is_searching)
            && topic.partitions.replace(most).is_some_and(|before| before < most)
        {
            self.member.topic_has_grown();
        }
        self.topic.has_asked = false;
        self.member.topic_is_known(most);
    }

    /// Does what is due, and returns the time of the next call.
    pub(super) fn tick(&mut self, now: Time, metadata: &mut Metadata, outbox: &mut Outbox) -> Time {
        let next = self.tick_member(now, metadata, outbox);
        next.min(self.look_at_topic(now, metadata, outbox))
    }

    fn tick_member(&mut self, now: Time, metadata: &mut Metadata, outbox: &mut Outbox) -> Time {
        let look = self.watch_polls(now);
        let member = self.member.tick(now).min(look);
        let limit = match self.coordinator {
            Coordinator::Known(_) => self.member.overdue(self.settings.request_timeout),
            Coordinator::Asked(_, since) => Some(since + self.settings.request_timeout),
            Coordinator::Unknown(_) => None,
        };
        if let (Some(limit), Coordinator::Known(broker) | Coordinator::Asked(broker, _)) =
            (limit, self.coordinator)
        {
            if limit > now {
                return member.min(limit);
            }
            outbox.push((now, broker, Request::Close));
            metadata.broken(broker, now);
            self.disconnected(broker, now);
        }
        let Coordinator::Unknown(not_before) = self.coordinator else { return member };
        if now < not_before {
            return member.min(not_before);
        }
        let Some(broker) = metadata.any(now) else {
            return member.min(metadata.next_try(now));
        };
        self.coordinator = Coordinator::Asked(broker, now);
        outbox.push((now, broker, Request::FindCoordinator));
        member.min(now + self.settings.request_timeout)
    }

    /// Notes that this broker is the coordinator.
    pub(super) fn found(&mut self, broker: BrokerId) {
        self.coordinator = Coordinator::Known(broker);
    }

    /// Notes an error response to the question for the coordinator.
    pub(super) fn not_found(&mut self, now: Time) {
        if let Coordinator::Asked(..) = self.coordinator {
            self.coordinator = Coordinator::Unknown(now + self.settings.retry_backoff);
        }
    }

    /// Handles a response of the coordinator.
    pub(super) fn receive(&mut self, broker: BrokerId, response: GroupResponse, now: Time) {
        if let Some(outdated) = self.outdated.get_mut(&broker).filter(|count| **count > 0) {
            *outdated -= 1;
            return;
        }
        if self.coordinator != Coordinator::Known(broker) {
            return;
        }
        self.unanswered = self.unanswered.saturating_sub(1);
        if response.is_not_coordinator() {
            self.outdated.insert(broker, self.unanswered);
            self.lose_coordinator(now);
        } else {
            self.member.receive(response, now);
        }
    }

    /// Notes that a connection broke.
    pub(super) fn disconnected(&mut self, broker: BrokerId, now: Time) {
        self.outdated.remove(&broker);
        match self.coordinator {
            Coordinator::Known(own) | Coordinator::Asked(own, _) if own == broker => {
                self.lose_coordinator(now);
            }
            _ => {}
        }
    }

    fn lose_coordinator(&mut self, now: Time) {
        self.coordinator = Coordinator::Unknown(now + self.settings.retry_backoff);
        self.held.clear();
        self.unanswered = 0;
        self.member.disconnected();
    }
}

/// A member with the protocol that its settings name.
pub(in crate::broker) fn member_of(settings: MemberSettings) -> Box<dyn MemberProtocol> {
    match settings.consumer_protocol {
        None => Box::new(GroupMember::new(settings)),
        Some(protocol) => Box::new(ConsumerMember::new(
            protocol,
            settings.instance_id,
            settings.rebalance_timeout,
        )),
    }
}

/// The error of a member that its coordinator refuses with the error `name`.
pub(super) fn refusal(name: &str) -> BrokerError {
    match name {
        "UnsupportedVersion" => BrokerError::fatal(
            "the cluster does not serve groups of the consumer protocol (KIP-848), as Kafka does from 4.0 on; \
             use `consumers.protocol = \"classic\"`",
        ),
        "UnreleasedInstanceId" => BrokerError::unreleased(),
        name => {
            BrokerError::fatal(format!("the coordinator refuses this member of the group: {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConsumerId, Incarnation};
    use crate::broker::model::group::{GroupError, HeartbeatAccepted, TargetAssignment};
    use crate::broker::native::member_protocol::ConsumerProtocolSettings;
    use crate::plan::Assignor;

    const MS: i64 = 1_000_000;

    fn membership() -> Membership {
        let protocol = ConsumerProtocolSettings {
            member_id: "m".to_owned(),
            assignor: None,
            holds_instance_id: false,
        };
        let settings = MemberSettings {
            client_id: "c".to_owned(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            assignor: Assignor::Range,
            partitions: 18,
            topic_refresh: None,
            consumer_protocol: Some(protocol),
        };
        let spec = GroupSpec {
            consumer: ConsumerId(0),
            incarnation: Incarnation(1),
            positions: Positions::default(),
            crashed: Arc::default(),
        };
        Membership::new(settings, NativeSettings { brokers: 2, ..NativeSettings::default() }, &spec)
    }

    /// The requests of a member at this time as short texts: the broker and the kind of the request.
    fn tells(membership: &mut Membership, metadata: &mut Metadata, now: Time) -> Vec<String> {
        let mut outbox = Outbox::new();
        membership.tick(now, metadata, &mut outbox);
        membership.tell(now, &mut outbox);
        let one = |(_, broker, request)| match request {
            Request::FindCoordinator => format!("{broker} find"),
            Request::Group(request) => match *request {
                GroupRequest::ConsumerHeartbeat(_) => format!("{broker} heartbeat"),
                GroupRequest::FetchOffsets(_) => format!("{broker} offsets"),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        outbox.into_iter().map(one).collect()
    }

    #[test]
    fn what_a_former_coordinator_still_answers_belongs_to_nothing() {
        let mut metadata =
            Metadata::new(NativeSettings { brokers: 2, ..NativeSettings::default() });
        let mut membership = membership();
        let accepted = || {
            let assignment = Some(TargetAssignment::Known(vec![PartitionId(3)]));
            let (member_id, epoch, interval) = (None, 1, Duration::from_secs(5));
            let accepted = HeartbeatAccepted { member_id, epoch, interval, assignment };
            GroupResponse::ConsumerHeartbeat(Ok(accepted))
        };
        assert_eq!(tells(&mut membership, &mut metadata, Time(0)), ["0 find"]);
        membership.found(1);
        assert_eq!(tells(&mut membership, &mut metadata, Time(0)), ["1 heartbeat"]);
        membership.receive(1, accepted(), Time(0));
        assert_eq!(tells(&mut membership, &mut metadata, Time(0)), ["1 offsets", "1 heartbeat"]);
        // The coordinator is not ready, and is found again before it has answered the second request.
        let not_ready = || GroupResponse::Done(Err(GroupError::Unavailable));
        membership.receive(1, not_ready(), Time(0));
        assert_eq!(tells(&mut membership, &mut metadata, Time(100 * MS)), ["0 find"]);
        membership.found(1);
        let again = tells(&mut membership, &mut metadata, Time(100 * MS));
        assert_eq!(again, ["1 offsets", "1 heartbeat"]);
        membership.receive(1, not_ready(), Time(101 * MS));
        assert!(matches!(membership.coordinator, Coordinator::Known(1)), "it still is");
        let offsets = BTreeMap::from([(PartitionId(3), Offset(7))]);
        membership.receive(1, GroupResponse::Offsets(offsets), Time(102 * MS));
        let assigned = vec![(PartitionId(3), Some(Offset(7)))];
        let events = membership.tell(Time(102 * MS), &mut Outbox::new());
        assert_eq!(events, [MemberEvent::Assigned(assigned)]);
    }
}
