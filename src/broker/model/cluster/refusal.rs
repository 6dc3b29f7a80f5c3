//! Requests that are refused on purpose, and answers that are lost.

use super::{BrokerId, Caller, ClientId, Cluster, Output, Outputs};
use crate::base::Time;
use crate::broker::model::group::{GroupError, GroupRequest, GroupResponse};
use crate::broker::protocol::{ErrorCode, Request, Response};
use crate::fault::{Api, ApiError};

/// Which requests are refused next, and which are not answered.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    planned: Vec<(Api, ApiError, u32)>,
    /// The broker, the kind of request, and how many answers are lost next.
    lost: Vec<(BrokerId, Api, u32)>,
    unanswered: Vec<Unanswered>,
}

/// A request that is carried out, and whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unanswered {
    broker: BrokerId,
    caller: Caller,
    api: Api,
    /// Of a batch; 0 for other requests: of each other kind, a connection has one under way.
    number: u64,
}

impl Refusals {
    /// Whether nothing is planned.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.planned.is_empty() && self.lost.is_empty() && self.unanswered.is_empty()
    }

    /// Notes that the answer to a request of this kind is lost, if that is planned.
    #[inline]
    pub(super) fn note_lost(&mut self, api: Api, broker: BrokerId, caller: Caller, number: u64) {
        let of_kind = |(of, lost, _): &&mut (BrokerId, Api, u32)| (*of, *lost) == (broker, api);
        if let Some((.., left)) = self.lost.iter_mut().find(of_kind) {
            *left -= 1;
            self.lost.retain(|(.., left)| *left > 0);
            self.unanswered.push(Unanswered { broker, caller, api, number });
        }
    }

    /// A connection is closed: nothing is answered there any more.
    #[inline]
    pub(super) fn forget(&mut self, client: ClientId, broker: BrokerId) {
        self.unanswered.retain(|it| (it.caller.client, it.broker) != (client, broker));
    }

    /// The answer planned for a request of this kind, if there is one. It is used up.
    #[inline]
    pub(super) fn take(&mut self, api: Api) -> Option<ApiError> {
        if self.planned.is_empty() {
            return None;
        }
        let (_, code, left) = self.planned.iter_mut().find(|(planned, ..)| *planned == api)?;
        let code = *code;
        *left -= 1;
        self.planned.retain(|(.., left)| *left > 0);
        Some(code)
    }
}

impl Cluster {
    /// Whether nothing is wrong with any broker, and nothing is to be refused.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.is_smooth && self.refusals.is_empty()
    }

    /// Refuses the next `count` requests of a kind, from any client.
    pub fn refuse_next(&mut self, api: Api, code: ApiError, count: u32) {
        if count > 0 {
            self.refusals.planned.push((api, code, count));
        }
    }

    /// Loses the next `count` answers of a broker to requests of a kind, from any client.
    pub fn lose_answers(&mut self, broker: BrokerId, api: Api, count: u32) {
        if count > 0 {
            self.refusals.lost.push((broker, api, count));
        }
    }

    /// Whether a request is under way whose answer is lost.
    #[inline]
    pub fn loses_answers(&self) -> bool {
        !self.refusals.unanswered.is_empty()
    }

    /// Closes connections instead of giving the answers that are to be lost. Answers behind them are lost with them.
    #[cold]
    pub fn drop_lost_answers(&mut self, out: &mut Outputs) {
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
            Output::Reply { from, to, .. } => {
                !is_lost(*from, *to, 0, |api| ![Api::Produce, Api::Fetch].contains(&api))
            }
            Output::HangUp { .. } | Output::Alarm { .. } => true,
        });
        for (broker, caller) in closed {
            out.push(Output::HangUp { broker, caller });
        }
    }

    /// Answers a request with the error that is planned for it, or gives it back. Batches are looked at when their turn
    /// comes.
    pub(super) fn refused(
        &mut self,
        broker: BrokerId,
        caller: Caller,
        request: Request,
        at: Time,
        out: &mut Outputs,
    ) -> Option<Request> {
        let Some(api) = api(&request) else { return Some(request) };
        let Some(code) = self.refusals.take(api) else {
            self.refusals.note_lost(api, broker, caller, 0);
            return Some(request);
        };
        if code == ApiError::Disconnect {
            out.push(Output::HangUp { broker, caller });
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
        out.push(Output::Reply { at, from: broker, to: caller, response });
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

/// Whether a batch is appended although it is answered with this.
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
