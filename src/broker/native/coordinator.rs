//! A group member's way to its coordinator: finds it, and finds it again when it has moved or is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Profile;
use super::member::{GroupMember, MemberEvent, MemberSettings};
use super::metadata::Metadata;
use crate::base::{Offset, PartitionId, Time};
use crate::broker::protocol::{BrokerId, GroupRequest, GroupResponse, Request};
use crate::broker::{GroupSpec, Positions};

/// A member and its coordinator.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) member: GroupMember,
    profile: Profile,
    /// How far the host is, for the commit before partitions are given up.
    positions: Positions,
    crashed: Arc<AtomicBool>,
    coordinator: Coordinator,
    /// Whether the host has asked for records since the last tick, and when it last did.
    pub(super) polled: bool,
    last_poll: Time,
    /// `max.poll.interval.ms`.
    max_poll: Duration,
    /// What the member has to say once its coordinator is known.
    held: Vec<GroupRequest>,
    topic: TopicLook,
}

/// How a member looks whether its topic has grown.
#[derive(Debug)]
struct TopicLook {
    /// How often; `None` for never.
    refresh: Option<Duration>,
    next: Time,
    /// Whether the answer to that is on its way, and whether that to the leader's question is.
    is_searching: bool,
    has_asked: bool,
    /// What was seen last.
    partitions: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinator {
    /// To be looked for, not before this time.
    Unknown(Time),
    Asked(BrokerId, Time),
    Known(BrokerId),
}

impl Membership {
    pub(super) fn new(settings: MemberSettings, profile: Profile, spec: &GroupSpec) -> Membership {
        Membership {
            polled: false,
            last_poll: Time::ZERO,
            max_poll: settings.rebalance_timeout,
            topic: TopicLook {
                refresh: settings.topic_refresh,
                next: Time::ZERO,
                is_searching: false,
                has_asked: false,
                partitions: None,
            },
            member: GroupMember::new(settings),
            profile,
            positions: spec.positions.clone(),
            crashed: spec.crashed.clone(),
            coordinator: Coordinator::Unknown(Time::ZERO),
            held: Vec::new(),
        }
    }

    /// Leaves the group when no records are asked for, and comes back when they are. Returns when it wants to
    /// look again.
    fn watch_polls(&mut self, now: Time) -> Time {
        if std::mem::take(&mut self.polled) {
            self.last_poll = now;
            self.member.asked_for_records();
        } else if now >= self.last_poll + self.max_poll {
            self.member.fell_silent();
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

    /// Sends what the member has to say. Its events.
    pub(super) fn tell(&mut self, outbox: &mut Vec<(BrokerId, Request)>) -> Vec<MemberEvent> {
        self.held.extend(self.member.outbox());
        if let Coordinator::Known(broker) = self.coordinator {
            let held = self.held.drain(..);
            outbox.extend(held.map(|request| (broker, Request::Group(Box::new(request)))));
        }
        self.member.events()
    }

    /// Asks how many partitions there are: at its interval, and before it deals them out, as librdkafka does. Returns
    /// when it is due again.
    fn look_at_topic(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let Some(refresh) = self.topic.refresh else { return Time::NEVER };
        if now >= self.topic.next {
            self.topic.next = now + refresh;
            self.topic.is_searching = true;
            metadata.request_refresh(now);
        }
        if self.member.is_dealing() && !self.topic.has_asked {
            self.topic.has_asked = true;
            metadata.request_refresh(now);
        }
        if self.topic.is_searching || self.member.is_dealing() {
            self.topic.next.min(metadata.refresh(now, outbox))
        } else {
            self.topic.next
        }
    }

    /// A broker reports the topic's number of partitions. A topic never shrinks: a broker that reports fewer was cut
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
        self.member.deal(most);
    }

    /// Does what is due, and says when something is due next.
    pub(super) fn tick(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let next = self.tick_member(now, metadata, outbox);
        next.min(self.look_at_topic(now, metadata, outbox))
    }

    fn tick_member(
        &mut self,
        now: Time,
        metadata: &mut Metadata,
        outbox: &mut Vec<(BrokerId, Request)>,
    ) -> Time {
        let look = self.watch_polls(now);
        let member = self.member.tick(now).min(look);
        let limit = match self.coordinator {
            Coordinator::Known(_) => self.member.overdue(self.profile.request_timeout),
            Coordinator::Asked(_, since) => Some(since + self.profile.request_timeout),
            Coordinator::Unknown(_) => None,
        };
        if let (Some(limit), Coordinator::Known(broker) | Coordinator::Asked(broker, _)) =
            (limit, self.coordinator)
        {
            if limit > now {
                return member.min(limit);
            }
            outbox.push((broker, Request::Close));
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
        outbox.push((broker, Request::FindCoordinator));
        member.min(now + self.profile.request_timeout)
    }

    /// The coordinator is this broker.
    pub(super) fn found(&mut self, broker: BrokerId) {
        self.coordinator = Coordinator::Known(broker);
    }

    /// The question who it is was refused.
    pub(super) fn not_found(&mut self, now: Time) {
        if let Coordinator::Asked(..) = self.coordinator {
            self.coordinator = Coordinator::Unknown(now + self.profile.retry_backoff);
        }
    }

    /// Takes the coordinator's answer.
    pub(super) fn receive(&mut self, broker: BrokerId, response: GroupResponse, now: Time) {
        if self.coordinator != Coordinator::Known(broker) {
            return;
        }
        if response.is_not_coordinator() {
            self.lose_coordinator(now);
        } else {
            self.member.receive(response, now);
        }
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, broker: BrokerId, now: Time) {
        match self.coordinator {
            Coordinator::Known(own) | Coordinator::Asked(own, _) if own == broker => {
                self.lose_coordinator(now);
            }
            _ => {}
        }
    }

    fn lose_coordinator(&mut self, now: Time) {
        self.coordinator = Coordinator::Unknown(now + self.profile.retry_backoff);
        self.held.clear();
        self.member.disconnected();
    }
}
