//! The watchdog of one consumer: tells a consumer that hangs from one that has nothing to do, and decides on a remedy.
//!
//! | diagnosis | signs |
//! |---|---|
//! | idle | the end of the partition is processed |
//! | progressing | the checkpoint moved, or has stood still for less than `fetch` |
//! | busy | the work on one record takes longer than `poll` |
//! | hung poll | the host has not polled for `poll`, and works on no record |
//! | hung fetch | records have waited for `fetch`, none was delivered, and the cluster has no known failure |
//!
//! The remedies for a hung fetch, in this order: note it, assign the partition again, replace the consumer, replace it
//! once more, give it up. A host with a hung poll takes no commands: note it, replace the consumer, at most twice, give
//! it up. After progress the remedies start from the first one again.

use std::time::Duration;

use crate::base::{Offset, PartitionId, Time, format_duration};
use crate::measure::InFlight;
use crate::plan::WatchPolicy;

/// The state of a consumer, as the watchdog checks it.
#[derive(Clone, Copy, Debug)]
pub struct WatchdogInput {
    /// Time at which the host last polled.
    pub beat: Time,
    /// The record in progress.
    pub in_flight: Option<InFlight>,
    /// Checkpoint of the consumer; for a group member, the sum over its partitions.
    pub checkpoint: Offset,
    /// True if records are known to wait for the consumer.
    pub is_waited_for: bool,
    /// Time of the last error of the cluster.
    pub last_error: Option<Time>,
}

/// The state of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// The consumer has nothing to do.
    Idle,
    /// Processing records, or waiting for them for less than `fetch`.
    Progressing,
    /// Working on one record for long. The client is not to blame, so the watchdog only notes it.
    Busy {
        /// Partition of the record.
        partition: PartitionId,
        /// Offset of the record.
        offset: Offset,
        /// Start of the work.
        since: Time,
    },
    /// The host has not polled for `poll`, and works on no record.
    HungPoll {
        /// The last poll.
        since: Time,
    },
    /// The client delivers no records, although there are some.
    HungFetch {
        /// Start of the time without progress.
        since: Time,
    },
}

/// The remedy for a consumer that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Note it in the journal.
    Note,
    /// Have the client assign the partition again, at the checkpoint.
    Reassign,
    /// Release the incarnation and start the next one, with a client of its own.
    Replace,
    /// Give the consumer up.
    GiveUp,
}

/// Replacements without progress in between before a consumer is given up.
const REPLACEMENTS_MAX: u32 = 2;

/// Watches one consumer over all its incarnations.
#[derive(Clone, Debug)]
pub struct Watchdog {
    policy: WatchPolicy,
    checkpoint: Option<Offset>,
    /// Start of the time without progress, in which the consumer was not idle.
    still_since: Time,
    /// The next remedy, and the time at which it is due.
    next: Option<(Time, Remedy)>,
    replacements: u32,
    /// The record whose long work was noted.
    busy_on: Option<(PartitionId, Offset)>,
}

impl Watchdog {
    /// A watchdog of a consumer that starts at `now`.
    pub fn new(policy: WatchPolicy, now: Time) -> Watchdog {
        Watchdog {
            policy,
            checkpoint: None,
            still_since: now,
            next: None,
            replacements: 0,
            busy_on: None,
        }
    }

    /// Notes a new incarnation. Its times count from now on.
    pub fn started(&mut self, now: Time) {
        self.still_since = now;
        self.next = None;
        self.busy_on = None;
    }

    /// Checks a consumer that is ready. Returns at most one remedy.
    pub fn check(&mut self, input: &WatchdogInput, now: Time) -> (Diagnosis, Option<Remedy>) {
        let diagnosis = self.diagnose(input, now);
        let remedy = match diagnosis {
            Diagnosis::Idle | Diagnosis::Progressing => {
                self.next = None;
                self.busy_on = None;
                None
            }
            Diagnosis::Busy { partition, offset, .. } => {
                self.next = None;
                let record = Some((partition, offset));
                (std::mem::replace(&mut self.busy_on, record) != record).then_some(Remedy::Note)
            }
            Diagnosis::HungPoll { .. } => self.next_remedy(Remedy::Replace, now),
            Diagnosis::HungFetch { .. } => self.next_remedy(Remedy::Reassign, now),
        };
        (diagnosis, remedy)
    }

    /// Earliest time at which a check may find something new if nothing happens until then. An event after this one is
    /// found `poll` or `fetch` later at the earliest.
    pub fn due(&self, input: &WatchdogInput) -> Time {
        if let Some((due, _)) = self.next {
            return due;
        }
        if let Some(InFlight { since, .. }) = input.in_flight {
            return if self.busy_on.is_some() { Time::NEVER } else { since + self.policy.poll };
        }
        let since = self.still_since.max(input.last_error.unwrap_or(Time::ZERO));
        let fetch = if input.is_waited_for { since + self.policy.fetch } else { Time::NEVER };
        fetch.min(input.beat + self.policy.poll)
    }

    fn diagnose(&mut self, input: &WatchdogInput, now: Time) -> Diagnosis {
        let moved = self.checkpoint.replace(input.checkpoint) != Some(input.checkpoint);
        if moved {
            self.still_since = now;
            self.replacements = 0;
        }
        let (poll, fetch) = (self.policy.poll, self.policy.fetch);
        if let Some(InFlight { partition, offset, since }) = input.in_flight {
            self.still_since = now;
            return match now > since + poll {
                true => Diagnosis::Busy { partition, offset, since },
                false => Diagnosis::Progressing,
            };
        }
        if now > input.beat + poll {
            return Diagnosis::HungPoll { since: input.beat };
        }
        if !input.is_waited_for {
            self.still_since = now;
            return Diagnosis::Idle;
        }
        let since = self.still_since.max(input.last_error.unwrap_or(Time::ZERO));
        match now > since + fetch {
            true => Diagnosis::HungFetch { since },
            false => Diagnosis::Progressing,
        }
    }

    /// The next remedy, if it is due. Each remedy has the time `poll` to take effect.
    fn next_remedy(&mut self, first: Remedy, now: Time) -> Option<Remedy> {
        let Some((due, remedy)) = self.next else {
            self.next = Some((now, first));
            return Some(Remedy::Note);
        };
        if now < due {
            return None;
        }
        self.next = Some((now + self.policy.poll, Remedy::Replace));
        if remedy == Remedy::Replace {
            self.replacements += 1;
            if self.replacements > REPLACEMENTS_MAX {
                return Some(Remedy::GiveUp);
            }
        }
        Some(remedy)
    }
}

impl Diagnosis {
    /// A description for the journal, at `now`; `None` if nothing is wrong.
    pub fn describe(&self, now: Time) -> Option<String> {
        let for_ = |since: Time| {
            format_duration(Duration::from_millis(now.remaining(since).as_millis() as u64))
        };
        match self {
            Diagnosis::Idle | Diagnosis::Progressing => None,
            Diagnosis::Busy { partition, offset, since } => Some(format!(
                "busy with offset {offset} of partition {partition} for {}",
                for_(*since)
            )),
            Diagnosis::HungPoll { since } => {
                Some(format!("hung poll: its thread has not come round for {}", for_(*since)))
            }
            Diagnosis::HungFetch { since } => {
                Some(format!("hung fetch: records wait and none has come for {}", for_(*since)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(s: i64) -> Time {
        Time(s * 1_000_000_000)
    }

    fn dog() -> Watchdog {
        Watchdog::new(WatchPolicy::default(), Time::ZERO)
    }

    fn input(now: Time) -> WatchdogInput {
        let checkpoint = Offset(5);
        WatchdogInput {
            beat: now,
            in_flight: None,
            checkpoint,
            is_waited_for: true,
            last_error: None,
        }
    }

    /// The remedies of a watchdog that is checked every second, with their times in seconds.
    fn story(seconds: i64, input: impl Fn(Time) -> WatchdogInput) -> Vec<(i64, Remedy)> {
        let mut dog = dog();
        let check = |at: i64| Some((at, dog.check(&input(s(at)), s(at)).1?));
        (0..seconds).filter_map(check).collect()
    }

    #[test]
    fn a_consumer_without_records_or_with_progress_is_left_alone() {
        assert_eq!(story(1000, |now| WatchdogInput { is_waited_for: false, ..input(now) }), []);
        let moving =
            |now: Time| WatchdogInput { checkpoint: Offset(now.0 / 20_000_000_000), ..input(now) };
        assert_eq!(story(1000, moving), []);
        // An error of the cluster explains why no record comes.
        assert_eq!(story(1000, |now| WatchdogInput { last_error: Some(now), ..input(now) }), []);
    }

    #[test]
    fn a_hung_fetch_is_noted_then_assigned_again_then_replaced_then_given_up() {
        let expected = [
            (31, Remedy::Note),
            (32, Remedy::Reassign),
            (37, Remedy::Replace),
            (42, Remedy::Replace),
            (47, Remedy::GiveUp),
        ];
        assert_eq!(story(48, input), expected);
    }

    #[test]
    fn a_hung_poll_is_noted_and_replaced() {
        let hung = |now: Time| WatchdogInput { beat: Time::ZERO, ..input(now) };
        assert_eq!(story(8, hung), [(6, Remedy::Note), (7, Remedy::Replace)]);
    }

    #[test]
    fn a_long_record_is_noted_once_and_nothing_is_done_about_it() {
        let record = InFlight { partition: PartitionId(3), offset: Offset(7), since: s(1) };
        let busy = |_| WatchdogInput { beat: s(1), in_flight: Some(record), ..input(s(1)) };
        assert_eq!(story(1000, busy), [(7, Remedy::Note)]);
        let (diagnosis, _) = dog().check(&busy(s(9)), s(9));
        let text = "busy with offset 7 of partition 3 for 8s";
        assert_eq!(diagnosis.describe(s(9)).as_deref(), Some(text));
    }

    proptest! {
        #[test]
        fn checks_when_something_is_due_find_the_same_as_checks_all_the_time(
            // For each phase: milliseconds in which the host polls, milliseconds in which it does not, true if records
            // wait, and true if some are processed.
            history in proptest::collection::vec((0i64..40_000, 0i64..40_000, any::<[bool; 2]>()), 1..6),
        ) {
            const LOOK: i64 = 250;
            let at = |ms: i64| Time(ms * 1_000_000);
            let mut phases = Vec::new();
            let mut end = 0;
            for (well_ms, hung_ms, [is_waited_for, moves]) in history {
                // Since when a fetch hangs is known as well as there are looks, so it is left out.
                phases.push((end, end + well_ms, is_waited_for && moves, moves));
                end += well_ms + hung_ms;
            }
            let input = |ms: i64| {
                let (from, to, is_waited_for, moves) =
                    *phases.iter().rfind(|phase| phase.0 <= ms).expect("the first begins at zero");
                let beat = ms.min(to);
                // Every poll brings a record, or none does.
                let checkpoint = Offset(if moves { beat } else { from });
                WatchdogInput { beat: at(beat), in_flight: None, checkpoint, is_waited_for, last_error: None }
            };
            let replaced = |always: bool| {
                let (mut dog, mut said, mut ms) = (dog(), Vec::new(), 0);
                while ms <= end {
                    let input = input(ms);
                    let remedy = dog.check(&input, at(ms)).1;
                    said.extend(remedy.filter(|_| ms - input.beat.0 / 1_000_000 > 5_000).map(|r| (ms, r)));
                    let steps = dog.due(&input).remaining(at(ms)).as_millis().div_ceil(LOOK as u128);
                    ms += if always { LOOK } else { LOOK * (steps as i64).clamp(1, 4) };
                }
                said
            };
            prop_assert_eq!(replaced(true), replaced(false));
        }

        #[test]
        fn remedies_come_in_their_order_and_only_for_what_hangs(
            looks in proptest::collection::vec((0u8..4, 0i64..8_000), 1..300),
        ) {
            let mut dog = dog();
            let (mut now, mut beat, mut checkpoint) = (Time::ZERO, Time::ZERO, 0);
            let (mut noted, mut replaced) = (false, 0);
            for (kind, ms) in looks {
                now = now + Duration::from_millis(ms as u64);
                let moved = kind == 0;
                checkpoint += i64::from(moved);
                beat = if kind == 3 { beat } else { now };
                let input = WatchdogInput {
                    beat, in_flight: None, checkpoint: Offset(checkpoint), is_waited_for: kind != 1, last_error: None,
                };
                let (diagnosis, remedy) = dog.check(&input, now);
                if moved {
                    replaced = 0;
                }
                let hangs = matches!(diagnosis, Diagnosis::HungPoll { .. } | Diagnosis::HungFetch { .. });
                noted &= hangs;
                match remedy {
                    None => {}
                    Some(Remedy::Note) => noted = true,
                    Some(Remedy::Reassign) => {
                        prop_assert!(noted, "a remedy without a note");
                        let is_fetch = matches!(diagnosis, Diagnosis::HungFetch { .. });
                        prop_assert!(is_fetch || hangs);
                    }
                    Some(Remedy::Replace) => {
                        prop_assert!(noted, "replaced without a note");
                        replaced += 1;
                        prop_assert!(replaced <= REPLACEMENTS_MAX);
                    }
                    Some(Remedy::GiveUp) => {
                        prop_assert_eq!(replaced, REPLACEMENTS_MAX);
                        break;
                    }
                }
            }
        }
    }
}
