//! The first records for which a count was raised that ought to be 0.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::{Offset, ProducerId};

/// Records that are kept of a partition, and that a run has.
pub const WRONG_KEPT: usize = 10;

/// A record that a count counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// The count's name.
    pub figure: Cow<'static, str>,
    /// Producer and sequence, where they are known.
    pub lane: Option<(ProducerId, u64)>,
    /// Where it is in its partition.
    pub offset: Offset,
}

/// The first records of a partition that are counted by a figure that ought to be 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WrongRecords {
    records: Vec<Counted>,
}

impl WrongRecords {
    /// Notes that `figure` counts the record at `offset`, of this lane and with this sequence.
    #[cold]
    pub fn note(&mut self, figure: &'static str, lane: Option<(ProducerId, u64)>, offset: Offset) {
        if self.records.len() < WRONG_KEPT {
            self.records.push(Counted { figure: figure.into(), lane, offset });
        }
    }

    /// They, in the order in which they came.
    pub fn records(&self) -> &[Counted] {
        &self.records
    }
}
