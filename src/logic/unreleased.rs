//! Static members of the consumer protocol (KIP-848) whose instance id is not released yet.
//!
//! The broker refuses such a member until its predecessor has left the group, or the session of the predecessor is over.
//! A client of librdkafka is of no use after the refusal, so the member needs a new one.

use std::collections::BTreeMap;

use crate::base::{ConsumerId, Time};
use crate::plan::LONGEST_SESSION_OF_BROKERS;

/// The members that were refused since they joined last, each with the time of its first refusal.
#[derive(Clone, Debug, Default)]
pub struct UnreleasedIds(BTreeMap<ConsumerId, Time>);

impl UnreleasedIds {
    /// Notes that the broker has refused this member. True if the refusal is free: it is not charged to the budget,
    /// because the session of the predecessor may still last.
    pub fn is_free(&mut self, member: ConsumerId, now: Time) -> bool {
        now < *self.0.entry(member).or_insert(now) + LONGEST_SESSION_OF_BROKERS
    }

    /// Notes that this member has joined its group.
    pub fn joined(&mut self, member: ConsumerId) {
        self.0.remove(&member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_refused_for_free_while_a_session_may_last_and_again_after_it_has_joined() {
        let second = |s: i64| Time(s * 1_000_000_000);
        let mut ids = UnreleasedIds::default();
        let (one, other) = (ConsumerId(1), ConsumerId(2));
        assert!(ids.is_free(one, second(100)) && ids.is_free(one, second(159)));
        assert!(ids.is_free(other, second(159)));
        assert!(!ids.is_free(one, second(160)) && !ids.is_free(one, second(300)));
        assert!(ids.is_free(other, second(218)));
        ids.joined(one);
        assert!(ids.is_free(one, second(301)) && !ids.is_free(one, second(361)));
    }
}
