//! Requests that are refused on purpose.

use super::{BrokerId, Caller, Cluster, Output, Outputs};
use crate::base::Time;
use crate::broker::model::group::{GroupError, GroupRequest, GroupResponse};
use crate::broker::protocol::{ErrorCode, Request, Response};
use crate::fault::{Api, ApiError};

/// Which requests are refused next.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    planned: Vec<(Api, ApiError, u32)>,
}

impl Refusals {
    /// Whether nothing is planned.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.planned.is_empty()
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
        let Some(code) = api(&request).and_then(|api| self.refusals.take(api)) else {
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
