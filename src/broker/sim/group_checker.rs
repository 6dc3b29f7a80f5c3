//! The checker of the group protocols: it reads requests and responses at the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupRequest, GroupResponse, HeartbeatAccepted, LEAVES, LEAVES_FOR_A_WHILE,
    TargetAssignment,
};
use crate::broker::model::{Caller, ClusterEffect};
use crate::broker::protocol::{Request, Response};

/// True if a committed offset of a partition is beyond what the run has processed.
pub type CommitCheck = Box<dyn Fn(PartitionId, Offset) -> bool + Send>;

/// The findings of the checker so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Commits that the coordinator accepted and that were beyond what was processed, or behind an earlier commit.
    pub miscommitted: u64,
    /// Partitions that the leader of a generation assigned to two members, or that the coordinator of a group of the
    /// consumer protocol assigned to one member while another one owned them.
    pub shared: u64,
    /// Commits the coordinator refused.
    pub refused: u64,
}

/// The checker.
#[derive(Default)]
pub(super) struct GroupChecker {
    is_beyond: Option<CommitCheck>,
    committed: BTreeMap<PartitionId, Offset>,
    owners: Owners,
    pub(super) found: CheckReport,
}

/// A request whose response is checked.
pub(super) enum CheckedRequest {
    Commit(BTreeMap<PartitionId, Offset>),
    Deal(Vec<PartitionId>),
    Heartbeat(ConsumerHeartbeat),
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
            GroupRequest::ConsumerHeartbeat(heartbeat) => {
                Some(CheckedRequest::Heartbeat(heartbeat.clone()))
            }
            _ => None,
        }
    }
}

impl GroupChecker {
    pub(super) fn compare_with(&mut self, is_beyond: CommitCheck) {
        self.is_beyond = Some(is_beyond);
    }

    /// Sets the session timeout of the consumer protocol. A member that is silent for longer owns nothing any more.
    pub(super) fn sessions_last(&mut self, timeout: Duration) {
        self.owners.session_timeout = timeout;
    }

    /// Checks the response of the coordinator to a client's request that arrived at `now`.
    pub(super) fn answered(
        &mut self,
        question: CheckedRequest,
        caller: Caller,
        says: &[ClusterEffect],
        now: Time,
    ) {
        let answer = says.iter().find_map(|output| match output {
            ClusterEffect::Reply { to, response: Response::Group(answer), .. } if *to == caller => {
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
            (
                CheckedRequest::Heartbeat(heartbeat),
                Some(GroupResponse::ConsumerHeartbeat(Ok(accepted))),
            ) => {
                self.found.shared += self.owners.accepted(heartbeat, accepted, now);
            }
            // The member was refused and owns nothing any more, or the response comes later and its state is unknown.
            (CheckedRequest::Heartbeat(heartbeat), _) => {
                self.owners.members.remove(&heartbeat.member.member_id);
            }
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

/// The owners of partitions in a group of the consumer protocol, according to requests and responses.
#[derive(Debug, Default)]
struct Owners {
    session_timeout: Duration,
    members: BTreeMap<String, Owner>,
}

/// A member that has sent a heartbeat.
#[derive(Debug)]
struct Owner {
    has: BTreeSet<PartitionId>,
    heard: Time,
    /// Longest time in which the member may give up partitions, and the time at which it was asked to.
    rebalance_timeout: Duration,
    gives_up_since: Option<Time>,
}

impl Owners {
    /// Notes an accepted heartbeat. Returns the number of partitions that are new to the member and still owned by
    /// another one.
    fn accepted(
        &mut self,
        heartbeat: ConsumerHeartbeat,
        accepted: &HeartbeatAccepted,
        now: Time,
    ) -> u64 {
        let ConsumerHeartbeat { member, settings, owned } = heartbeat;
        let id = member.member_id;
        if matches!(member.generation, LEAVES | LEAVES_FOR_A_WHILE) {
            self.members.remove(&id);
            return 0;
        }
        let before = self.members.remove(&id);
        let rebalance_timeout = settings.map(|settings| settings.rebalance_timeout);
        let known = before.as_ref().map(|owner| owner.rebalance_timeout);
        let mut owner = Owner {
            has: before.as_ref().map(|owner| owner.has.clone()).unwrap_or_default(),
            heard: now,
            rebalance_timeout: rebalance_timeout.or(known).unwrap_or_default(),
            gives_up_since: before.and_then(|owner| owner.gives_up_since),
        };
        if let Some(owned) = owned {
            owner.has = owned.into_iter().collect();
            owner.gives_up_since = None;
        }
        let mut shared = 0;
        if let Some(TargetAssignment::Known(target)) = &accepted.assignment {
            let news = target.iter().filter(|partition| !owner.has.contains(partition));
            shared = news.filter(|partition| self.takes(**partition, now)).count() as u64;
            if !owner.has.iter().all(|had| target.contains(had)) {
                owner.gives_up_since.get_or_insert(now);
            }
            owner.has.extend(target);
        }
        self.members.insert(id, owner);
        shared
    }

    /// Takes a partition from its owner. True if that is too early: the owner sends heartbeats, and still has time to
    /// give it up.
    fn takes(&mut self, partition: PartitionId, now: Time) -> bool {
        let session_timeout = self.session_timeout;
        let mut is_early = false;
        for owner in self.members.values_mut() {
            let is_late = |since: Time| since + owner.rebalance_timeout <= now;
            let is_over =
                owner.heard + session_timeout <= now || owner.gives_up_since.is_some_and(is_late);
            is_early |= owner.has.remove(&partition) && !is_over;
        }
        is_early
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
    use crate::broker::model::group::{GroupError, HeartbeatSettings, MemberRef};

    const WHO: Caller = Caller { client: 7, connection: 0 };

    fn says(answer: GroupResponse) -> [ClusterEffect; 1] {
        [ClusterEffect::Reply {
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
        checker.answered(
            CheckedRequest::Commit(offsets),
            WHO,
            &says(GroupResponse::Done(answer)),
            Time(1),
        );
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
        checker.answered(dealt(&[0, 1, 2]), WHO, &says(GroupResponse::Sync(Ok(vec![]))), Time(1));
        assert_eq!(checker.found.shared, 0);
        checker.answered(dealt(&[0, 1, 1]), WHO, &says(GroupResponse::Sync(Ok(vec![]))), Time(1));
        assert_eq!(checker.found.shared, 1);
    }

    const SESSION: Duration = Duration::from_secs(6);

    /// Checks a heartbeat of this member at second `at`, with the partitions `owned` in the request and `told` in the
    /// response. Returns the number of shared partitions so far.
    fn heartbeat(
        checker: &mut GroupChecker,
        at: i64,
        id: &str,
        owned: Option<&[u32]>,
        told: Option<&[u32]>,
    ) -> u64 {
        let ids = |numbers: &[u32]| numbers.iter().copied().map(PartitionId).collect::<Vec<_>>();
        let rebalance_timeout = Duration::from_secs(4);
        let heartbeat = ConsumerHeartbeat {
            member: MemberRef { member_id: id.to_owned(), instance_id: None, generation: 1 },
            settings: Some(HeartbeatSettings { rebalance_timeout, assignor: None }),
            owned: owned.map(ids),
        };
        let assignment = told.map(|told| TargetAssignment::Known(ids(told)));
        let (member_id, interval) = (None, Duration::from_secs(2));
        let accepted = HeartbeatAccepted { member_id, epoch: 1, interval, assignment };
        let says = says(GroupResponse::ConsumerHeartbeat(Ok(accepted)));
        let at = Time::ZERO + Duration::from_secs(at as u64);
        checker.answered(CheckedRequest::Heartbeat(heartbeat), WHO, &says, at);
        checker.found.shared
    }

    fn of_the_consumer_protocol() -> GroupChecker {
        let mut checker = GroupChecker::default();
        checker.sessions_last(SESSION);
        assert_eq!(heartbeat(&mut checker, 0, "a", Some(&[]), Some(&[0, 1])), 0);
        checker
    }

    #[test]
    fn a_partition_is_given_on_when_its_owner_says_that_it_gave_it_up() {
        let mut checker = of_the_consumer_protocol();
        assert_eq!(heartbeat(&mut checker, 1, "a", None, Some(&[0])), 0);
        assert_eq!(heartbeat(&mut checker, 2, "a", Some(&[0]), None), 0);
        assert_eq!(heartbeat(&mut checker, 2, "b", Some(&[]), Some(&[1])), 0);
        // A partition that was assigned before is not checked again.
        assert_eq!(heartbeat(&mut checker, 3, "b", None, Some(&[1])), 0);
    }

    #[test]
    fn one_that_is_given_on_before_is_shared() {
        let mut checker = of_the_consumer_protocol();
        assert_eq!(heartbeat(&mut checker, 1, "a", None, Some(&[0])), 0);
        assert_eq!(heartbeat(&mut checker, 4, "b", Some(&[]), Some(&[1])), 1);
    }

    #[test]
    fn who_is_silent_or_slow_for_too_long_has_nothing_any_more() {
        let mut checker = of_the_consumer_protocol();
        assert_eq!(heartbeat(&mut checker, 6, "b", Some(&[]), Some(&[0, 1])), 0, "silent");
        let mut checker = of_the_consumer_protocol();
        heartbeat(&mut checker, 1, "a", None, Some(&[0]));
        assert_eq!(heartbeat(&mut checker, 5, "b", Some(&[]), Some(&[1])), 0, "slow");
        let mut checker = of_the_consumer_protocol();
        let fenced = GroupResponse::ConsumerHeartbeat(Err(GroupError::FencedMemberEpoch));
        let beats = ConsumerHeartbeat {
            member: MemberRef { member_id: "a".to_owned(), instance_id: None, generation: 1 },
            settings: None,
            owned: None,
        };
        checker.answered(CheckedRequest::Heartbeat(beats), WHO, &says(fenced), Time(1));
        assert_eq!(heartbeat(&mut checker, 1, "b", Some(&[]), Some(&[0, 1])), 0, "fenced");
    }
}
