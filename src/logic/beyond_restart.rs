//! Failures that no restart can cure: a position that is gone from the log, and a record on which one incarnation after
//! the other dies.
//!
//! After a restart two checks decide whether the log is still the one that was left. First, the record before the
//! checkpoint is read again and compared. That detects a topic that was created again, of any length. Second, the
//! watermarks detect records that are gone. They are asked for only if the client cannot read at its position, so that
//! an ordinary restart costs nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::{Offset, PartitionId, RecordView, StampCheck, verify_record};
use crate::measure::ResumePoint;
use crate::plan::PoisonPolicy;

/// The result of comparing a record after a restart with the resume point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The record of the resume point: the log is the same.
    Same,
    /// Another record at the offset of the resume point: another log, or a rewritten one.
    Other,
    /// A later record: compaction has removed the one of the resume point, so the log cannot be identified.
    Later,
    /// An earlier record, which identifies nothing.
    Earlier,
}

/// Compares a record with the resume point.
pub fn sight<'a>(
    resume_point: &ResumePoint,
    offset: Offset,
    record: impl Into<RecordView<'a>>,
) -> Sighting {
    match offset.cmp(&resume_point.offset) {
        std::cmp::Ordering::Less => Sighting::Earlier,
        std::cmp::Ordering::Greater => Sighting::Later,
        std::cmp::Ordering::Equal => match verify_record(&record.into(), resume_point.stamp.run) {
            StampCheck::Intact(stamp) if stamp == resume_point.stamp => Sighting::Same,
            _ => Sighting::Other,
        },
    }
}

/// A checkpoint in relation to a partition's watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Readable.
    Within,
    /// Readable, but all records before it are gone.
    AtTheLow,
    /// The record at the checkpoint is gone, and maybe later ones.
    Lost {
        /// The low watermark, the first offset that is left.
        low: Offset,
    },
    /// The partition ends before the checkpoint.
    Cut {
        /// The high watermark.
        high: Offset,
    },
}

impl Standing {
    /// Compares `checkpoint` with the watermarks of a partition.
    pub fn of(checkpoint: Offset, low: Offset, high: Offset) -> Standing {
        // A log that was created again can be both. Its early end says more.
        if high < checkpoint {
            Standing::Cut { high }
        } else if low > checkpoint {
            Standing::Lost { low }
        } else if low == checkpoint {
            Standing::AtTheLow
        } else {
            Standing::Within
        }
    }
}

/// A failure that no restart can cure. Its text is the reason in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definite {
    /// Records were removed before they were read.
    DataLoss {
        /// The checkpoint.
        checkpoint: Offset,
        /// The first offset that is left.
        low: Offset,
    },
    /// The log is shorter than it was.
    Truncated {
        /// The checkpoint.
        checkpoint: Offset,
        /// The end of the log.
        high: Offset,
    },
    /// The log has another record at an offset than before.
    Rewritten {
        /// The offset of that record.
        offset: Offset,
    },
}

impl Definite {
    /// The permanent failure that a standing means, if any.
    pub fn of(standing: Standing, checkpoint: Offset) -> Option<Definite> {
        match standing {
            Standing::Lost { low } => Some(Definite::DataLoss { checkpoint, low }),
            Standing::Cut { high } => Some(Definite::Truncated { checkpoint, high }),
            Standing::Within | Standing::AtTheLow => None,
        }
    }
}

impl fmt::Display for Definite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Definite::DataLoss { checkpoint, low } => write!(
                f,
                "data loss: offsets {checkpoint} to {} were removed before they were read; keep records longer, \
                 or give consumers less work",
                low.0 - 1
            ),
            Definite::Truncated { checkpoint, high } => write!(
                f,
                "truncated: the partition ends at offset {high}, before the checkpoint {checkpoint}; the topic was \
                 created again, or an unclean leader election cut it"
            ),
            Definite::Rewritten { offset } => write!(
                f,
                "another log: offset {offset} does not hold the record processed there before; the topic was \
                 created again, or its log was rewritten"
            ),
        }
    }
}

/// Incarnations that die on one record until it counts as poison.
const POISON_DEATHS: u32 = 3;
/// Records skipped per partition until skipping counts as no remedy.
const SKIPS_MAX: u32 = 1_000;

/// Counts the deaths of incarnations on records, for each partition. In group mode the incarnations may be of different
/// members.
#[derive(Clone, Debug)]
pub struct PoisonWatch {
    policy: PoisonPolicy,
    partitions: BTreeMap<PartitionId, Deaths>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Deaths {
    on: Offset,
    count: u32,
    skipped: u32,
}

/// The consequence of a death on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The death is an ordinary failure.
    Common,
    /// The record is poison, and the consumer is not restarted any more.
    Stop,
    /// The record is poison. It is skipped, and the consumer restarted.
    Skip,
}

impl PoisonWatch {
    /// No deaths so far.
    pub fn new(policy: PoisonPolicy) -> PoisonWatch {
        PoisonWatch { policy, partitions: BTreeMap::new() }
    }

    /// Notes that an incarnation died while it processed this record.
    pub fn died(&mut self, partition: PartitionId, offset: Offset) -> Death {
        let deaths = self.partitions.entry(partition).or_default();
        if deaths.on != offset {
            deaths.count = 0;
        }
        deaths.on = offset;
        deaths.count += 1;
        if deaths.count < POISON_DEATHS { Death::Common } else { self.declared(partition) }
    }

    /// Notes that a record is poison, because its handler said so or because no incarnation survives it.
    pub fn declared(&mut self, partition: PartitionId) -> Death {
        let deaths = self.partitions.entry(partition).or_default();
        if self.policy == PoisonPolicy::Stop || deaths.skipped == SKIPS_MAX {
            return Death::Stop;
        }
        deaths.count = 0;
        deaths.skipped += 1;
        Death::Skip
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{PartitionId, ProducerId, RunId, Stamp, Time, write_payload};

    fn stamp(sequence: u64) -> Stamp {
        Stamp {
            run: RunId(42),
            producer: ProducerId(1),
            partition: PartitionId(0),
            sequence,
            intended: Time(5),
            sent: Time(6),
        }
    }

    fn payload(stamp: &Stamp) -> Vec<u8> {
        let mut payload = vec![7; 100];
        write_payload(stamp, &mut payload);
        payload
    }

    #[test]
    fn the_resume_point_is_recognised_and_nothing_else_is() {
        let resume_point = ResumePoint { offset: Offset(9), stamp: stamp(3) };
        let own = payload(&stamp(3));
        assert_eq!(sight(&resume_point, Offset(9), &own), Sighting::Same);
        assert_eq!(sight(&resume_point, Offset(9), &payload(&stamp(4))), Sighting::Other);
        assert_eq!(sight(&resume_point, Offset(9), b"of another run"), Sighting::Other);
        assert_eq!(sight(&resume_point, Offset(10), &own), Sighting::Later);
        assert_eq!(sight(&resume_point, Offset(8), &own), Sighting::Earlier);
    }

    proptest! {
        #[test]
        fn a_checkpoint_is_readable_exactly_within_the_watermarks(
            checkpoint in 0i64..20, low in 0i64..20, length in 0i64..20,
        ) {
            let standing = Standing::of(Offset(checkpoint), Offset(low), Offset(low + length));
            let readable = (low..=low + length).contains(&checkpoint);
            prop_assert_eq!(Definite::of(standing, Offset(checkpoint)).is_none(), readable);
            // Whatever is read back lies before the checkpoint.
            let is_there = low < checkpoint && checkpoint <= low + length;
            prop_assert_eq!(standing == Standing::Within, is_there);
        }
    }

    const P: PartitionId = PartitionId(0);

    #[test]
    fn the_third_death_on_one_record_is_poison_and_only_there() {
        for (policy, expected) in
            [(PoisonPolicy::Stop, Death::Stop), (PoisonPolicy::Skip, Death::Skip)]
        {
            let mut watch = PoisonWatch::new(policy);
            for offset in [5, 5, 6, 5, 5] {
                assert_eq!(watch.died(P, Offset(offset)), Death::Common);
                assert_eq!(watch.died(PartitionId(1), Offset(100 + offset)), Death::Common);
            }
            assert_eq!(watch.died(P, Offset(5)), expected);
        }
    }

    #[test]
    fn skipping_has_a_limit() {
        let mut watch = PoisonWatch::new(PoisonPolicy::Skip);
        let mut skipped = 0;
        let last = (0..10_000).find(|offset| {
            let deaths: Vec<Death> = (0..3).map(|_| watch.died(P, Offset(*offset))).collect();
            skipped += u32::from(deaths[2] == Death::Skip);
            deaths[2] == Death::Stop
        });
        assert_eq!((skipped, last), (SKIPS_MAX, Some(i64::from(SKIPS_MAX))));
    }

    proptest! {
        #[test]
        fn nothing_is_poison_before_three_deaths_in_a_row_on_it(
            deaths in proptest::collection::vec((0u32..3, 0i64..3), 1..200),
        ) {
            let mut watch = PoisonWatch::new(PoisonPolicy::Skip);
            let mut runs: BTreeMap<u32, (i64, u32)> = BTreeMap::new();
            for (partition, offset) in deaths {
                let run = runs.entry(partition).or_insert((-1, 0));
                *run = if run.0 == offset { (offset, run.1 + 1) } else { (offset, 1) };
                let death = watch.died(PartitionId(partition), Offset(offset));
                prop_assert_eq!(death == Death::Skip, run.1 == POISON_DEATHS);
                if death == Death::Skip {
                    run.1 = 0;
                }
            }
        }
    }
}
