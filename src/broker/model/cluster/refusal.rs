//! Errors and lost responses that are injected into the next requests.

use super::state::{Caller, ClusterEffect, ClusterEffects};
use super::state::{Cluster, Unanswered};
use crate::base::Time;
use crate::broker::model::group::{GroupError, GroupRequest, GroupResponse};
use crate::broker::protocol::{BrokerId, ErrorCode, Request, Response};
use crate::fault::{Api, ApiError};

impl Cluster {
    /// True if no fault of a broker is active and no error is to be injected.
    #[inline]
    pub fn is_fault_free(&self) -> bool {
        self.is_full_speed && self.refusals.is_empty()
    }

    /// Answers the next `count` requests of a kind with an error, from any client.
    pub fn refuse_next(&mut self, api: Api, code: ApiError, count: u32) {
        if count > 0 {
            self.refusals.planned.push((api, code, count));
        }
    }

    /// Loses the next `count` responses of a broker to requests of a kind, from any client.
    pub fn lose_answers(&mut self, broker: BrokerId, api: Api, count: u32) {
        if count > 0 {
            self.refusals.lost.push((broker, api, count));
        }
    }

    /// True if the response to a request in progress will be lost.
    #[inline]
    pub fn loses_answers(&self) -> bool {
        !self.refusals.unanswered.is_empty()
    }

    /// Closes connections in place of the responses that are to be lost. Later responses on these connections are lost
    /// as well.
    #[cold]
    pub fn drop_lost_answers(&mut self, out: &mut ClusterEffects) {
        let unanswered = &mut self.refusals.unanswered;
        let mut closed: Vec<(BrokerId, Caller)> = Vec::new();
        let mut is_lost = |broker, caller, number, is_api: fn(Api) -> bool| {
            let is_it = |it: &Unanswered| {
                (it.broker, it.caller, it.number) == (broker, caller, number) && is_api(it.api)
            };
            if let Some(at) = unanswered.iter().position(is_it) {
                unanswered.remove(at);
                closed.push((broker, caller));
            }
            closed.contains(&(broker, caller))
        };
        out.produced.retain(|it| !is_lost(it.from, it.to, it.number, |api| api == Api::Produce));
        out.fetched.retain(|it| !is_lost(it.from, it.to, 0, |api| api == Api::Fetch));
        out.others.retain(|output| match output {
            ClusterEffect::Reply { from, to, .. } => {
                !is_lost(*from, *to, 0, |api| ![Api::Produce, Api::Fetch].contains(&api))
            }
            ClusterEffect::Disconnect { .. } | ClusterEffect::Timer { .. } => true,
        });
        for (broker, caller) in closed {
            out.push(ClusterEffect::Disconnect { broker, caller });
        }
    }

    /// Answers a request with the error that is planned for it, or returns it. Batches are checked when they are
    /// handled.
    pub(super) fn refused(
        &mut self,
        broker: BrokerId,
        caller: Caller,
        request: Request,
        at: Time,
        out: &mut ClusterEffects,
    ) -> Option<Request> {
        let Some(api) = api(&request) else { return Some(request) };
        let Some(code) = self.refusals.take(api) else {
            self.refusals.note_lost(api, broker, caller, 0);
            return Some(request);
        };
        if code == ApiError::Disconnect {
            out.push(ClusterEffect::Disconnect { broker, caller });
            return None;
        }
        let response = match request {
            Request::Fetch(mut fetch) => {
                fetch.slots.iter_mut().for_each(|slot| slot.error = Some(error_code(code)));
                Response::Fetch(fetch)
            }
            Request::Group(request) => {
                Response::Group(Box::new(GroupResponse::refusal(&request, group_error(code))))
            }
            _ => Response::Refused(error_code(code)),
        };
        out.push(ClusterEffect::Reply { at, from: broker, to: caller, response });
        None
    }
}

fn api(request: &Request) -> Option<Api> {
    Some(match request {
        Request::Fetch(_) => Api::Fetch,
        Request::ListOffsets => Api::ListOffsets,
        Request::Metadata => Api::Metadata,
        Request::FindCoordinator => Api::FindCoordinator,
        Request::Group(request) => match **request {
            GroupRequest::Commit { .. } => Api::OffsetCommit,
            GroupRequest::Join(_) => Api::JoinGroup,
            GroupRequest::Heartbeat(_) => Api::Heartbeat,
            _ => return None,
        },
        Request::Produce(_) | Request::InitProducerId | Request::Close => {
            return None;
        }
    })
}

/// True if a batch is appended although it is answered with this error.
pub(super) fn is_appended(code: ApiError) -> bool {
    [ApiError::RequestTimedOut, ApiError::NotEnoughReplicasAfterAppend].contains(&code)
}

pub(super) fn error_code(code: ApiError) -> ErrorCode {
    match code {
        ApiError::NotLeader => ErrorCode::NotLeaderOrFollower,
        ApiError::RequestTimedOut => ErrorCode::RequestTimedOut,
        ApiError::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
        ApiError::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
        ApiError::CoordinatorLoading
        | ApiError::NotCoordinator
        | ApiError::UnknownTopicOrPartition
        | ApiError::StorageError
        | ApiError::Disconnect => ErrorCode::Unavailable,
    }
}

fn group_error(code: ApiError) -> GroupError {
    match code {
        ApiError::NotCoordinator => GroupError::NotCoordinator,
        _ => GroupError::Unavailable,
    }
}
