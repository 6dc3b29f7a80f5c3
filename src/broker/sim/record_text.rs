//! The trace lines of the followed record.

use super::follower::RecordFollower;
use super::kernel::{Event, Kernel};
use super::link::HAS_LEFT;
use super::trace::TraceWriter;
use crate::base::{Offset, Time};
use crate::broker::model::group::GroupRequest;
use crate::broker::protocol::{BrokerId, Request, Response};
use crate::measure::TraceKind;

/// Time, subject and text of a line.
type Said = (Time, String, String);

impl Kernel {
    /// Writes the effects of the previous event on the followed record, and those that this event will have.
    #[cold]
    pub(super) fn follow_record(&self, watch: &TraceWriter, event: Event) {
        let Some(mut follower) = watch.follower() else { return };
        let partition = follower.record.partition;
        let mut said: Vec<Said> = Vec::new();
        for what in follower.look_at_log(&self.cluster) {
            said.push((watch.last_event(), "log".to_owned(), what));
        }
        match event {
            Event::Request(link) => {
                if let Some(request) = self.network.arriving_request(link, self.key) {
                    let (caller, to) = self.network.connection_at(link);
                    let who = watch.name_of(caller.client);
                    self.follow_request(
                        &mut follower,
                        (caller.client, who, to),
                        request,
                        &mut said,
                    );
                }
            }
            Event::Response(link) => {
                if let Some(response) = self.network.arriving_response(link, self.key) {
                    let (caller, _) = self.network.connection_at(link);
                    let who = watch.name_of(caller.client);
                    let told = response_told(&follower, caller.client, response);
                    said.extend(told.into_iter().map(|what| (self.now, who.clone(), what)));
                }
            }
            Event::Turn(_) | Event::Control(_) => {}
        }
        drop(follower);
        watch.set_last_event(self.now);
        for (at, who, what) in said {
            watch.emit_trace(at, TraceKind::Record, who, (what, vec![partition]));
        }
    }

    fn follow_request(
        &self,
        follower: &mut RecordFollower,
        (client, who, to): (u32, String, BrokerId),
        request: &Request,
        said: &mut Vec<Said>,
    ) {
        let partition = follower.record.partition;
        match request {
            Request::Produce(produce) if produce.partition == partition => {
                let Some((tries, stamp)) =
                    follower.batch((client, produce.number), produce.batch())
                else {
                    return;
                };
                if let Some(stamp) = stamp {
                    let late_us = stamp.sent.since_ns(stamp.intended) / 1_000;
                    let what = format!("sent, {late_us} us after it was due");
                    said.push((stamp.sent, who.clone(), what));
                }
                let again = match tries {
                    1 => String::new(),
                    tries => format!(" (retried: time {tries})"),
                };
                let what = format!("its batch reaches broker-{}{again}", to + 1);
                said.push((self.now, who, what));
            }
            Request::Group(request) => {
                if let GroupRequest::Commit { offsets, .. } = &**request
                    && let Some(next) = offsets.get(&partition)
                {
                    for offset in follower.commit(*next) {
                        let what = format!("commits {next}: offset {offset} is done with");
                        said.push((self.now, who.clone(), what));
                    }
                }
            }
            _ => {}
        }
    }
}

fn response_told(follower: &RecordFollower, client: u32, response: &Response) -> Vec<String> {
    match response {
        Response::Produce(number, result) => {
            let Some(place) = follower.place_in(client, *number) else { return Vec::new() };
            vec![match result {
                Ok(offset) if *offset == HAS_LEFT => "it has left".to_owned(),
                Ok(Offset(base)) => format!("acknowledged at offset {}", base + place as i64),
                Err(error) => format!("not acknowledged: {error:?}"),
            }]
        }
        Response::Fetch(fetch) => {
            let its = fetch
                .slots
                .iter()
                .filter(|slot| slot.partition == follower.record.partition && slot.error.is_none());
            its.flat_map(|slot| follower.copies_in(Offset(slot.offset), Offset(slot.end)))
                .map(|offset| format!("fetched at offset {offset}"))
                .collect()
        }
        _ => Vec::new(),
    }
}
