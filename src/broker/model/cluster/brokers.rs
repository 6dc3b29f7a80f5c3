//! A broker: its cores, its disk, what is wrong with it, and which requests are refused on purpose.

use std::time::Duration;

use super::{Caller, Cluster, Output, Outputs};
use crate::base::Time;
use crate::broker::protocol::{
    BrokerId, ErrorCode, GroupError, GroupRequest, GroupResponse, Request, Response,
};
use crate::plan::{Api, ApiError};

/// A broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cores: Cores,
    /// Its process is gone.
    pub(super) is_down: bool,
    /// Its process stands still: what reaches it waits.
    pub(super) is_paused: bool,
    /// It reaches neither the controller nor another broker.
    pub(super) is_isolated: bool,
    /// The controller has given it up.
    pub(super) is_fenced: bool,
    /// How often it has fallen silent.
    pub(super) silences: u32,
    /// What came while it was paused.
    pub(super) queue: Vec<(Caller, Request)>,
    /// What its messages to other brokers take longer.
    pub(super) link_delay: Duration,
    /// What its disk needs for each append besides, and until when it is busy with that.
    pub(super) disk_cost: Duration,
    disk_free: Time,
    /// Who led what, and the high watermarks, when it was cut off from the controller and did not hear of elections
    /// any more.
    pub(super) stale: Option<Vec<(Option<BrokerId>, i64)>>,
}

impl Cluster {
    /// How many requests wait at brokers that stand still.
    pub fn queued(&self) -> usize {
        self.brokers.iter().map(|broker| broker.queue.len()).sum()
    }

    /// These requests.
    pub fn queued_requests(&self) -> impl Iterator<Item = &Request> {
        self.brokers.iter().flat_map(|broker| &broker.queue).map(|(_, request)| request)
    }
}

impl Broker {
    pub(super) fn new(cores: u32) -> Broker {
        Broker {
            cores: Cores::new(cores),
            is_down: false,
            is_paused: false,
            is_isolated: false,
            is_fenced: false,
            silences: 0,
            queue: Vec::new(),
            link_delay: Duration::ZERO,
            disk_cost: Duration::ZERO,
            disk_free: Time::ZERO,
            stale: None,
        }
    }

    /// Whether it does anything.
    pub(super) fn is_running(&self) -> bool {
        !self.is_down && !self.is_paused
    }

    /// Whether other brokers and the controller hear of it.
    pub(super) fn is_heard(&self) -> bool {
        self.is_running() && !self.is_isolated
    }

    /// Whether it replicates as fast as ever.
    pub(super) fn is_smooth(&self) -> bool {
        self.is_heard() && !self.is_fenced && self.link_delay.is_zero() && self.disk_cost.is_zero()
    }

    /// When an append that comes at `at` is on its disk.
    #[inline]
    pub(super) fn write(&mut self, at: Time) -> Time {
        if self.disk_cost.is_zero() {
            return at;
        }
        self.disk_free = self.disk_free.max(at) + self.disk_cost;
        self.disk_free
    }
}

/// A number of equal cores.
#[derive(Clone, Debug)]
pub struct Cores {
    free_from: Vec<Time>,
}

impl Cores {
    /// `count` idle cores.
    pub fn new(count: u32) -> Cores {
        Cores { free_from: vec![Time::ZERO; count.max(1) as usize] }
    }

    /// Gives `work` that comes at `now` a core, and returns when it will be done. Work comes in the order of its times,
    /// so that idle cores are all the same.
    #[inline]
    pub fn occupy(&mut self, now: Time, work: Duration) -> Time {
        match self.free_from.iter_mut().find(|free_from| **free_from <= now) {
            Some(idle) => {
                *idle = now + work;
                *idle
            }
            None => self.queue(work),
        }
    }

    /// All cores are busy: the work waits for the one that is free first.
    fn queue(&mut self, work: Duration) -> Time {
        let mut first = 0;
        for i in 1..self.free_from.len() {
            if self.free_from[i] < self.free_from[first] {
                first = i;
            }
        }
        self.free_from[first] = self.free_from[first] + work;
        self.free_from[first]
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_for_the_core_that_is_free_first() {
        let mut cores = Cores::new(2);
        let ms = Duration::from_millis(1);
        let done: Vec<i64> = (0..4).map(|_| cores.occupy(Time(0), ms).0 / 1_000_000).collect();
        assert_eq!(done, [1, 1, 2, 2]);
        assert_eq!(cores.occupy(Time(10_000_000), ms), Time(11_000_000));
    }

    #[test]
    fn work_that_comes_while_a_core_is_idle_does_not_wait() {
        let mut cores = Cores::new(2);
        let done = [0, 4, 5, 6, 9].map(|at| cores.occupy(Time(at), Duration::from_nanos(6)).0);
        assert_eq!(done, [6, 10, 12, 16, 18]);
    }
}
