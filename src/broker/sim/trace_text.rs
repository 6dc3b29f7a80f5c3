//! Requests and responses as text, for the trace.

use super::kernel::{ControlEvent, Event, Kernel};
use super::link::HAS_LEFT;
use super::trace::TraceWriter;
use crate::base::PartitionId;
use crate::broker::model::ClusterTimer;
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupRequest, GroupResponse, HeartbeatAccepted, JOINS, LEAVES,
    LEAVES_FOR_A_WHILE, MemberRef, TargetAssignment,
};
use crate::broker::protocol::{BrokerId, FetchSlot, Request, Response};
use crate::measure::TraceKind;
use crate::plan::Acks;

/// The text of an event, and its partitions.
pub(super) type TraceText = (String, Vec<PartitionId>);

/// Largest number of slots of a fetch that are written out.
const SLOTS_MAX: usize = 6;

impl Kernel {
    /// Writes the next event to the trace.
    #[cold]
    pub(super) fn emit_trace(&self, event: Event) {
        let Some(watch) = self.handle.trace_writer() else { return };
        self.follow_record(watch, event);
        let (kind, who, text) = match event {
            Event::Turn(client) => {
                let slot = &self.slots[client as usize];
                if slot.turn_at != self.now || self.now < slot.busy_until {
                    return;
                }
                (TraceKind::Turn, watch.name_of(client), nothing("has a turn"))
            }
            Event::Request(link) => {
                let Some(request) = self.network.arriving_request(link, self.key) else { return };
                let (caller, to) = self.network.connection_at(link);
                let (what, partitions) = request_text(request);
                let what = format!("from {}: {what}", watch.name_of(caller.client));
                (TraceKind::Request, name(to), (what, partitions))
            }
            Event::Response(link) => {
                let Some(response) = self.network.arriving_response(link, self.key) else { return };
                let (caller, from) = self.network.connection_at(link);
                let (what, partitions) = response_text(response);
                let what = format!("from {}: {what}", name(from));
                (TraceKind::Response, watch.name_of(caller.client), (what, partitions))
            }
            Event::Control(number) => self.control_text(watch, &self.others[number as usize]),
        };
        watch.emit_trace(self.now, kind, who, text);
    }

    fn control_text(
        &self,
        watch: &TraceWriter,
        other: &ControlEvent,
    ) -> (TraceKind, String, TraceText) {
        match other {
            ControlEvent::Broken { caller, broker: with } => {
                let what = format!("finds its connection to {} broken", name(*with));
                (TraceKind::Response, watch.name_of(caller.client), nothing(&what))
            }
            ControlEvent::Timer(ClusterTimer::Fetch { client, broker: of }) => {
                let what = format!("the longest wait of {}'s fetch", watch.name_of(*client));
                (TraceKind::Deadline, name(*of), nothing(&what))
            }
            ControlEvent::Timer(ClusterTimer::Group) => {
                (TraceKind::Deadline, "coordinator".to_owned(), nothing("looks at its group"))
            }
            ControlEvent::Timer(ClusterTimer::Replicated { pair }) => {
                let leader = pair / self.cluster.brokers();
                (TraceKind::Deadline, name(leader), nothing("followers have fetched"))
            }
            ControlEvent::Timer(ClusterTimer::Session { broker: of, .. }) => {
                let what = format!("looks whether {} is still silent", name(*of));
                (TraceKind::Deadline, "controller".to_owned(), nothing(&what))
            }
            ControlEvent::Timer(ClusterTimer::Laggards) => {
                (TraceKind::Deadline, "leaders".to_owned(), nothing("look for laggards"))
            }
            ControlEvent::Timer(ClusterTimer::Balance) => {
                let what = "lets preferred leaders lead again";
                (TraceKind::Deadline, "controller".to_owned(), nothing(what))
            }
            ControlEvent::Ask(client) => {
                (TraceKind::Timer, watch.name_of(*client), nothing("asks once more"))
            }
            ControlEvent::Unanswered(client, ..) => {
                (TraceKind::Timer, watch.name_of(*client), nothing("looks whether it was answered"))
            }
            ControlEvent::Job(..) => {
                (TraceKind::Timer, "kernel".to_owned(), nothing("a timer goes off"))
            }
        }
    }
}

/// Brokers are counted from 1, as in a scenario.
fn name(broker: BrokerId) -> String {
    format!("broker-{}", broker + 1)
}

fn nothing(what: &str) -> TraceText {
    (what.to_owned(), Vec::new())
}

fn request_text(request: &Request) -> TraceText {
    match request {
        Request::Produce(produce) => {
            let partition = produce.partition;
            let (count, bytes) = (produce.batch().len(), produce.batch().bytes.len());
            let sequence = match produce.sequence {
                Some((producer, first)) => format!(", producer {producer} from sequence {first}"),
                None => String::new(),
            };
            let records = if count == 1 { "record" } else { "records" };
            let acks = match produce.acks {
                Acks::None => "0",
                Acks::Leader => "1",
                Acks::All => "all",
            };
            let what = format!(
                "Produce partition {partition}: {count} {records}, {bytes} B, acks {acks}{sequence}"
            );
            (what, vec![partition])
        }
        Request::Fetch(fetch) => {
            let slot = |slot: &FetchSlot| format!("{}@{}", slot.partition, slot.offset);
            (format!("Fetch {}", listed(&fetch.slots, slot)), partitions(&fetch.slots))
        }
        Request::Group(request) => group_request(request),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn response_text(response: &Response) -> TraceText {
    match response {
        Response::Produce(_, Ok(offset)) if *offset == HAS_LEFT => {
            ("Produce: it has left".to_owned(), Vec::new())
        }
        Response::Produce(_, Ok(offset)) => (format!("Produce: appended at {offset}"), Vec::new()),
        Response::Produce(_, Err(error)) => (format!("Produce: {error:?}"), Vec::new()),
        Response::Fetch(fetch) => fetched_text(&fetch.slots),
        Response::ListOffsets(all) => {
            let end: i64 = all.iter().map(|(_, end)| end.0).sum();
            (format!("ListOffsets: {} partitions, ends add up to {end}", all.len()), Vec::new())
        }
        Response::Metadata(leaders) => {
            (format!("Metadata: {} partitions", leaders.len()), Vec::new())
        }
        Response::Group(response) => group_response(response),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn group_request(request: &GroupRequest) -> TraceText {
    let of =
        |member: &MemberRef| format!("{} in generation {}", member.member_id, member.generation);
    let what = match request {
        GroupRequest::Join(join) if join.member_id.is_empty() => {
            format!("JoinGroup of a newcomer, {}", join.client_id)
        }
        GroupRequest::Join(join) => format!("JoinGroup of {}", join.member_id),
        GroupRequest::Sync { member, assignments } if assignments.is_empty() => {
            format!("SyncGroup of {}", of(member))
        }
        GroupRequest::Sync { member, assignments } => {
            let dealt: Vec<String> =
                assignments.iter().map(|(id, to)| format!("{id}: {}", ids(to))).collect();
            format!("SyncGroup of the leader {}: {}", of(member), dealt.join("; "))
        }
        GroupRequest::Heartbeat(member) => format!("Heartbeat of {}", of(member)),
        GroupRequest::Leave(member) => format!("LeaveGroup of {}", of(member)),
        GroupRequest::ConsumerHeartbeat(heartbeat) => consumer_heartbeat(heartbeat),
        GroupRequest::Commit { member, offsets } => {
            let by = member.as_ref().map_or_else(|| "no member of the group".to_owned(), of);
            let all: Vec<String> =
                offsets.iter().map(|(id, next)| format!("{id}@{next}")).collect();
            let what = format!("OffsetCommit of {by}: {}", all.join(", "));
            return (what, offsets.keys().copied().collect());
        }
        GroupRequest::FetchOffsets(_) => "OffsetFetch".to_owned(),
    };
    (what, Vec::new())
}

fn consumer_heartbeat(heartbeat: &ConsumerHeartbeat) -> String {
    let MemberRef { member_id, generation, .. } = &heartbeat.member;
    let owned = heartbeat.owned.as_ref().map(|owned| format!(", has {}", ids(owned)));
    let owned = owned.unwrap_or_default();
    match *generation {
        JOINS => format!("ConsumerGroupHeartbeat of {member_id}, which joins"),
        LEAVES => format!("ConsumerGroupHeartbeat of {member_id}, which leaves"),
        LEAVES_FOR_A_WHILE => {
            format!("ConsumerGroupHeartbeat of {member_id}, which leaves for a while")
        }
        epoch => format!("ConsumerGroupHeartbeat of {member_id} in epoch {epoch}{owned}"),
    }
}

fn heartbeat_accepted(accepted: &HeartbeatAccepted) -> TraceText {
    let epoch = accepted.epoch;
    match &accepted.assignment {
        Some(TargetAssignment::Known(target)) => (
            format!("ConsumerGroupHeartbeat: epoch {epoch}, to have {}", ids(target)),
            target.clone(),
        ),
        // The topic of the model is always known.
        Some(TargetAssignment::UnknownTopic) | None => {
            (format!("ConsumerGroupHeartbeat: epoch {epoch}"), Vec::new())
        }
    }
}

fn group_response(response: &GroupResponse) -> TraceText {
    match response {
        GroupResponse::Join(member, Ok(joined)) => {
            (format!("JoinGroup: {member} is in generation {}", joined.generation), Vec::new())
        }
        GroupResponse::Join(member, Err(error)) => {
            (format!("JoinGroup: {member}: {error:?}"), Vec::new())
        }
        GroupResponse::Sync(Ok(got)) => (format!("SyncGroup: gets {}", ids(got)), got.clone()),
        GroupResponse::Sync(Err(error)) => (format!("SyncGroup: {error:?}"), Vec::new()),
        GroupResponse::Done(Ok(())) => ("done".to_owned(), Vec::new()),
        GroupResponse::Done(Err(error)) => (format!("{error:?}"), Vec::new()),
        GroupResponse::ConsumerHeartbeat(Ok(accepted)) => heartbeat_accepted(accepted),
        GroupResponse::ConsumerHeartbeat(Err(error)) => {
            (format!("ConsumerGroupHeartbeat: {error:?}"), Vec::new())
        }
        GroupResponse::Offsets(offsets) => {
            (format!("OffsetFetch: {} partitions", offsets.len()), Vec::new())
        }
    }
}

fn fetched_text(slots: &[FetchSlot]) -> TraceText {
    let slot = |slot: &FetchSlot| match slot.error {
        Some(error) => format!("{}@{} {error:?}", slot.partition, slot.offset),
        None if slot.end == slot.offset => {
            format!("{}@{} nothing", slot.partition, slot.offset)
        }
        None => format!("{}@{}..{}", slot.partition, slot.offset, slot.end),
    };
    let with_news: Vec<FetchSlot> =
        slots.iter().filter(|s| s.error.is_some() || s.end > s.offset).copied().collect();
    if with_news.is_empty() {
        return ("Fetch: nothing new".to_owned(), partitions(slots));
    }
    (format!("Fetch: {}", listed(&with_news, slot)), partitions(&with_news))
}

fn partitions(slots: &[FetchSlot]) -> Vec<PartitionId> {
    slots.iter().map(|slot| slot.partition).collect()
}

fn listed(slots: &[FetchSlot], words: impl Fn(&FetchSlot) -> String) -> String {
    let mut text: Vec<String> = slots.iter().take(SLOTS_MAX).map(words).collect();
    if slots.len() > SLOTS_MAX {
        text.push(format!("and {} more", slots.len() - SLOTS_MAX));
    }
    text.join(", ")
}

fn ids(partitions: &[PartitionId]) -> String {
    let ids: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(" "))
}
