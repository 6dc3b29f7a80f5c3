//! What a start checks before anything counts: is this the log, and the place in it, that was left?
//!
//! Two questions, because neither is enough. The record before the checkpoint is read again and compared: it
//! tells a topic that was created again, whatever its length. The watermarks tell records that are gone, and are
//! only asked for when the client cannot read where it should, so that an ordinary restart costs nothing.

use std::fmt;

use crate::base::{Offset, StampCheck, verify};
use crate::measure::ResumePoint;

/// What the first record of a restart says about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The record of the resume point: this is the log.
    Same,
    /// Another record at its offset: another log, or a rewritten one.
    Other,
    /// A later record: that of the resume point is gone (compaction), so nothing can be said.
    Later,
    /// An earlier record, which says nothing.
    Earlier,
}

/// Compares a record with the resume point.
pub fn sight(resume_point: &ResumePoint, offset: Offset, payload: &[u8]) -> Sighting {
    match offset.cmp(&resume_point.offset) {
        std::cmp::Ordering::Less => Sighting::Earlier,
        std::cmp::Ordering::Greater => Sighting::Later,
        std::cmp::Ordering::Equal => match verify(payload, resume_point.stamp.run) {
            StampCheck::Intact(stamp) if stamp == resume_point.stamp => Sighting::Same,
            _ => Sighting::Other,
        },
    }
}

/// How a checkpoint stands to a partition's watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be read from.
    Within,
    /// It can be read from, but everything before it is gone.
    AtTheLow,
    /// Records from it on are gone: this one is the first that is left.
    Lost {
        /// The low watermark.
        low: Offset,
    },
    /// The partition ends before it.
    Cut {
        /// The high watermark.
        high: Offset,
    },
}

impl Standing {
    /// How `checkpoint` stands to a partition from `low` to `high`.
    pub fn of(checkpoint: Offset, low: Offset, high: Offset) -> Standing {
        // A log that was created again can be both; that it ends too early says more.
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

/// Something no restart can mend. Its text is the reason in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definite {
    /// Records were removed before they were read.
    DataLoss {
        /// Where reading has to go on.
        checkpoint: Offset,
        /// The first record that is left.
        low: Offset,
    },
    /// The log is shorter than it was.
    Truncated {
        /// Where reading has to go on.
        checkpoint: Offset,
        /// Where it ends now.
        high: Offset,
    },
    /// The log holds something else than it did.
    Rewritten {
        /// The record that is another one.
        offset: Offset,
    },
}

impl Definite {
    /// What is definite about a standing, if anything.
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
}
