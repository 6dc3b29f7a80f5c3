//! A member as its coordinator sees it.

use std::time::Duration;

use super::super::assignor::Subscription;
use super::messages::{Join, Ticket};
use crate::base::{PartitionId, Time};

/// A member of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) subscription: Subscription,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// What the last generation gave it.
    pub(super) assignment: Vec<PartitionId>,
    /// When its silence has lasted too long.
    pub(super) silent_until: Time,
    /// Its JoinGroup waits for an answer.
    pub(super) joining: Option<Ticket>,
    /// Its SyncGroup waits for an answer.
    pub(super) syncing: Option<Ticket>,
    /// It has fetched what this generation gives it.
    pub(super) has_synced: bool,
    /// It has not been through a generation yet.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn new(member_id: String, join: &Join, silent_until: Time) -> Member {
        Member {
            subscription: Subscription {
                member_id,
                instance_id: join.instance_id.clone(),
                owned: join.owned.clone(),
                generation: join.generation,
            },
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            assignment: Vec::new(),
            silent_until,
            joining: None,
            syncing: None,
            has_synced: false,
            is_new: true,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.subscription.instance_id.is_some()
    }

    /// Notes what it says when it joins again; whether that differs from the last time.
    pub(super) fn update(&mut self, join: &Join) -> bool {
        let changed = self.subscription.owned != join.owned;
        self.subscription.owned.clone_from(&join.owned);
        self.subscription.generation = join.generation;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        changed
    }

    /// It was heard of.
    pub(super) fn heard(&mut self, now: Time) {
        self.silent_until = now + self.session_timeout;
    }

    /// When it will have been silent too long. A member that waits for an answer is not silent, but a newcomer does
    /// not wait forever.
    pub(super) fn expires(&self) -> Time {
        let waits = self.joining.is_some() || self.syncing.is_some();
        if waits && !self.is_new { Time::NEVER } else { self.silent_until }
    }
}
