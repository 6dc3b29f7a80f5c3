//! The checker of the group protocol: reads requests and responses at the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::{Offset, PartitionId};
use crate::broker::model::group::{GroupRequest, GroupResponse};
use crate::broker::model::{Caller, Output};
use crate::broker::protocol::{Request, Response};

/// Whether an offset that is committed for a partition is beyond what the run has processed.
pub type CommitCheck = Box<dyn Fn(PartitionId, Offset) -> bool + Send>;

/// What the checker has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Commits the coordinator took that were beyond what was processed, or behind what had been committed.
    pub miscommitted: u64,
    /// Partitions that a generation's leader gave to two members.
    pub shared: u64,
    /// Commits the coordinator refused.
    pub refused: u64,
}

/// The checker.
#[derive(Default)]
pub(super) struct GroupChecker {
    is_beyond: Option<CommitCheck>,
    committed: BTreeMap<PartitionId, Offset>,
    pub(super) found: CheckReport,
}

/// A request whose response is checked.
pub(super) enum CheckedRequest {
    Commit(BTreeMap<PartitionId, Offset>),
    Deal(Vec<PartitionId>),
}

impl CheckedRequest {
    #[inline]
    pub(super) fn of(request: &Request) -> Option<CheckedRequest> {
        match request {
            Request::Group(request) => CheckedRequest::of_group(request),
            _ => None,
        }
    }

    fn of_group(request: &GroupRequest) -> Option<CheckedRequest> {
        match request {
            GroupRequest::Commit { offsets, .. } => Some(CheckedRequest::Commit(offsets.clone())),
            GroupRequest::Sync { assignments, .. } if !assignments.is_empty() => {
                Some(CheckedRequest::Deal(assignments.values().flatten().copied().collect()))
            }
            _ => None,
        }
    }
}

impl GroupChecker {
    pub(super) fn compare_with(&mut self, is_beyond: CommitCheck) {
        self.is_beyond = Some(is_beyond);
    }

    /// Checks the response of the coordinator to a client's request.
    pub(super) fn answered(&mut self, question: CheckedRequest, caller: Caller, says: &[Output]) {
        let answer = says.iter().find_map(|output| match output {
            Output::Reply { to, response: Response::Group(answer), .. } if *to == caller => {
                Some(&**answer)
            }
            _ => None,
        });
        match (question, answer) {
            (CheckedRequest::Commit(offsets), Some(GroupResponse::Done(Ok(())))) => {
                self.commit(offsets);
            }
            (CheckedRequest::Commit(_), _) => self.found.refused += 1,
            (CheckedRequest::Deal(dealt), Some(GroupResponse::Sync(Ok(_)))) => {
                let distinct: BTreeSet<PartitionId> = dealt.iter().copied().collect();
                self.found.shared += (dealt.len() - distinct.len()) as u64;
            }
            (CheckedRequest::Deal(_), _) => {}
        }
    }

    fn commit(&mut self, offsets: BTreeMap<PartitionId, Offset>) {
        for (partition, next) in offsets {
            let is_beyond =
                self.is_beyond.as_ref().is_some_and(|is_beyond| is_beyond(partition, next));
            let before = self.committed.insert(partition, next);
            if is_beyond || before.is_some_and(|before| next < before) {
                self.found.miscommitted += 1;
            }
        }
    }
}

impl fmt::Debug for GroupChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("found", &self.found).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::broker::model::group::GroupError;

    const WHO: Caller = Caller { client: 7, connection: 0 };

    fn says(answer: GroupResponse) -> [Output; 1] {
        [Output::Reply {
            at: Time(1),
            from: 0,
            to: WHO,
            response: Response::Group(Box::new(answer)),
        }]
    }

    fn commit(
        checker: &mut GroupChecker,
        next: i64,
        answer: Result<(), GroupError>,
    ) -> CheckReport {
        let offsets = BTreeMap::from([(PartitionId(3), Offset(next))]);
        checker.answered(CheckedRequest::Commit(offsets), WHO, &says(GroupResponse::Done(answer)));
        checker.found
    }

    #[test]
    fn commits_stay_between_the_last_one_and_what_is_processed() {
        let mut checker = GroupChecker::default();
        checker.compare_with(Box::new(|_, next| next > Offset(10)));
        assert_eq!(commit(&mut checker, 8, Ok(())), CheckReport::default());
        assert_eq!(commit(&mut checker, 10, Ok(())).miscommitted, 0);
        assert_eq!(commit(&mut checker, 11, Err(GroupError::IllegalGeneration)).refused, 1);
        assert_eq!(commit(&mut checker, 9, Ok(())).miscommitted, 1, "it went back");
        assert_eq!(commit(&mut checker, 11, Ok(())).miscommitted, 2, "it is ahead");
    }

    #[test]
    fn a_partition_has_one_owner_in_a_generation() {
        let mut checker = GroupChecker::default();
        let dealt =
            |ids: &[u32]| CheckedRequest::Deal(ids.iter().copied().map(PartitionId).collect());
        checker.answered(dealt(&[0, 1, 2]), WHO, &says(GroupResponse::Sync(Ok(vec![]))));
        assert_eq!(checker.found.shared, 0);
        checker.answered(dealt(&[0, 1, 1]), WHO, &says(GroupResponse::Sync(Ok(vec![]))));
        assert_eq!(checker.found.shared, 1);
    }
}
