//! The check of the log after a restart, and the failures that no restart can cure.
//!
//! After a restart two checks decide whether the log is still the one that was left. First, the record before the
//! checkpoint is read again and compared. That detects a topic that was created again, of any length. Second, the
//! watermarks detect records that are gone. They are asked for only if the client cannot read at its position, so that
//! an ordinary restart costs nothing.

use std::fmt;

use crate::base::{Offset, RecordView, StampCheck, verify_record};
use crate::measure::ResumePoint;

/// The result of comparing a record after a restart with the resume point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCheck {
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
pub fn check_log<'a>(
    resume_point: &ResumePoint,
    offset: Offset,
    record: impl Into<RecordView<'a>>,
) -> LogCheck {
    match offset.cmp(&resume_point.offset) {
        std::cmp::Ordering::Less => LogCheck::Earlier,
        std::cmp::Ordering::Greater => LogCheck::Later,
        std::cmp::Ordering::Equal => match verify_record(&record.into(), resume_point.stamp.run) {
            StampCheck::Intact(stamp) if stamp == resume_point.stamp => LogCheck::Same,
            _ => LogCheck::Other,
        },
    }
}

/// A checkpoint in relation to a partition's watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStatus {
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

impl CheckpointStatus {
    /// Compares `checkpoint` with the watermarks of a partition.
    pub fn of(checkpoint: Offset, low: Offset, high: Offset) -> CheckpointStatus {
        // A log that was created again can be both. Its early end says more.
        if high < checkpoint {
            CheckpointStatus::Cut { high }
        } else if low > checkpoint {
            CheckpointStatus::Lost { low }
        } else if low == checkpoint {
            CheckpointStatus::AtTheLow
        } else {
            CheckpointStatus::Within
        }
    }
}

/// A failure that no restart can cure. Its text is the reason in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermanentFailure {
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

impl PermanentFailure {
    /// The permanent failure that a standing means, if any.
    pub fn of(standing: CheckpointStatus, checkpoint: Offset) -> Option<PermanentFailure> {
        match standing {
            CheckpointStatus::Lost { low } => Some(PermanentFailure::DataLoss { checkpoint, low }),
            CheckpointStatus::Cut { high } => {
                Some(PermanentFailure::Truncated { checkpoint, high })
            }
            CheckpointStatus::Within | CheckpointStatus::AtTheLow => None,
        }
    }
}

impl fmt::Display for PermanentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PermanentFailure::DataLoss { checkpoint, low } => write!(
                f,
                "data loss: offsets {checkpoint} to {} were removed before they were read; keep records longer, \
                 or give consumers less work",
                low.0 - 1
            ),
            PermanentFailure::Truncated { checkpoint, high } => write!(
                f,
                "truncated: the partition ends at offset {high}, before the checkpoint {checkpoint}; the topic was \
                 created again, or an unclean leader election cut it"
            ),
            PermanentFailure::Rewritten { offset } => write!(
                f,
                "another log: offset {offset} does not hold the record processed there before; the topic was \
                 created again, or its log was rewritten"
            ),
        }
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
        assert_eq!(check_log(&resume_point, Offset(9), &own), LogCheck::Same);
        assert_eq!(check_log(&resume_point, Offset(9), &payload(&stamp(4))), LogCheck::Other);
        assert_eq!(check_log(&resume_point, Offset(9), b"of another run"), LogCheck::Other);
        assert_eq!(check_log(&resume_point, Offset(10), &own), LogCheck::Later);
        assert_eq!(check_log(&resume_point, Offset(8), &own), LogCheck::Earlier);
    }

    proptest! {
        #[test]
        fn a_checkpoint_is_readable_exactly_within_the_watermarks(
            checkpoint in 0i64..20, low in 0i64..20, length in 0i64..20,
        ) {
            let standing = CheckpointStatus::of(Offset(checkpoint), Offset(low), Offset(low + length));
            let readable = (low..=low + length).contains(&checkpoint);
            prop_assert_eq!(PermanentFailure::of(standing, Offset(checkpoint)).is_none(), readable);
            // Whatever is read back lies before the checkpoint.
            let is_there = low < checkpoint && checkpoint <= low + length;
            prop_assert_eq!(standing == CheckpointStatus::Within, is_there);
        }
    }
}
