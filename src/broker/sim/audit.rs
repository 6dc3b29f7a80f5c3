//! What must hold of a group, checked at the coordinator while it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::{Offset, PartitionId};
use crate::broker::model::group::{GroupRequest, GroupResponse};
use crate::broker::model::{Caller, Output};
use crate::broker::protocol::{Request, Response};

/// The next offset to process of a partition, as the run has counted it.
pub type Progress = Box<dyn Fn(PartitionId) -> Offset + Send>;

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Commits the coordinator took that were beyond what was processed, or behind what had been committed.
    pub miscommitted: u64,
    /// Partitions that a generation's leader gave to two members.
    pub shared: u64,
    /// Commits the coordinator refused.
    pub refused: u64,
}

/// The auditor.
#[derive(Default)]
pub(super) struct Audit {
    progress: Option<Progress>,
    committed: BTreeMap<PartitionId, Offset>,
    pub(super) found: Audited,
}

/// What a request is about, if it has to be audited once it is answered.
pub(super) enum Question {
    Commit(BTreeMap<PartitionId, Offset>),
    Deal(Vec<PartitionId>),
}

impl Question {
    #[inline]
    pub(super) fn of(request: &Request) -> Option<Question> {
        match request {
            Request::Group(request) => Question::of_group(request),
            _ => None,
        }
    }

    fn of_group(request: &GroupRequest) -> Option<Question> {
        match request {
            GroupRequest::Commit { offsets, .. } => Some(Question::Commit(offsets.clone())),
            GroupRequest::Sync { assignments, .. } if !assignments.is_empty() => {
                Some(Question::Deal(assignments.values().flatten().copied().collect()))
            }
            _ => None,
        }
    }
}

impl Audit {
    pub(super) fn follow(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }

    /// The coordinator has dealt with a client's request, and this is what it says.
    pub(super) fn answered(&mut self, question: Question, caller: Caller, says: &[Output]) {
        let answer = says.iter().find_map(|output| match output {
            Output::Reply { to, response: Response::Group(answer), .. } if *to == caller => {
                Some(&**answer)
            }
            _ => None,
        });
        match (question, answer) {
            (Question::Commit(offsets), Some(GroupResponse::Done(Ok(())))) => self.commit(offsets),
            (Question::Commit(_), _) => self.found.refused += 1,
            (Question::Deal(dealt), Some(GroupResponse::Sync(Ok(_)))) => {
                let distinct: BTreeSet<PartitionId> = dealt.iter().copied().collect();
                self.found.shared += (dealt.len() - distinct.len()) as u64;
            }
            (Question::Deal(_), _) => {}
        }
    }

    fn commit(&mut self, offsets: BTreeMap<PartitionId, Offset>) {
        for (partition, next) in offsets {
            let is_beyond =
                self.progress.as_ref().is_some_and(|progress| next > progress(partition));
            let before = self.committed.insert(partition, next);
            if is_beyond || before.is_some_and(|before| next < before) {
                self.found.miscommitted += 1;
            }
        }
    }
}

impl fmt::Debug for Audit {
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

    fn commit(audit: &mut Audit, next: i64, answer: Result<(), GroupError>) -> Audited {
        let offsets = BTreeMap::from([(PartitionId(3), Offset(next))]);
        audit.answered(Question::Commit(offsets), WHO, &says(GroupResponse::Done(answer)));
        audit.found
    }

    #[test]
    fn commits_stay_between_the_last_one_and_what_is_processed() {
        let mut audit = Audit::default();
        audit.follow(Box::new(|_| Offset(10)));
        assert_eq!(commit(&mut audit, 8, Ok(())), Audited::default());
        assert_eq!(commit(&mut audit, 10, Ok(())).miscommitted, 0);
        assert_eq!(commit(&mut audit, 11, Err(GroupError::IllegalGeneration)).refused, 1);
        assert_eq!(commit(&mut audit, 9, Ok(())).miscommitted, 1, "it went back");
        assert_eq!(commit(&mut audit, 11, Ok(())).miscommitted, 2, "it is ahead");
    }

    #[test]
    fn a_partition_has_one_owner_in_a_generation() {
        let mut audit = Audit::default();
        let dealt = |ids: &[u32]| Question::Deal(ids.iter().copied().map(PartitionId).collect());
        audit.answered(dealt(&[0, 1, 2]), WHO, &says(GroupResponse::Sync(Ok(vec![]))));
        assert_eq!(audit.found.shared, 0);
        audit.answered(dealt(&[0, 1, 1]), WHO, &says(GroupResponse::Sync(Ok(vec![]))));
        assert_eq!(audit.found.shared, 1);
    }
}
