//! What the processes of a run tell each other, one record of the control topic each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Offset, PartitionId, Share, Time};

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SharePhase {
    /// It takes part.
    #[default]
    Joined,
    /// The topic is there. Of share 1 only.
    TopicReady,
    /// Its consumers are ready.
    Ready,
    /// It has sent everything, and knows what became of it.
    Sent,
    /// Its consumers have come to the ends of their partitions, or were told to stop.
    Read,
    /// Its part is told.
    Told,
    /// It needs nothing more from the others.
    Left,
}

/// A message and its sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The process of share 1 whose run it belongs to; 0 of a process that has not joined one.
    pub(super) session: u64,
    /// The sender's share.
    pub(super) share: Share,
    /// Tells the sender from other processes of the same share.
    pub(super) process: u64,
    /// What it says.
    pub(super) message: Message,
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// A process wants to take part.
    Hello {
        /// What all processes must have in common.
        digest: String,
        /// The scenario's name, seed and version of the program, for a reader.
        scenario: String,
    },
    /// Share 1 takes it.
    Welcome {
        /// The share and the process that are meant.
        to: (u32, u64),
        /// Tells the run from others.
        run: u64,
        /// Names the clock of share 1, and says when its epoch was on it.
        clock: Option<(String, i64)>,
    },
    /// Share 1 does not take it.
    Refused {
        /// The share and the process that are meant.
        to: (u32, u64),
        /// Why.
        why: String,
    },
    /// A sign of life, about once a second.
    Beat {
        /// How far it has come.
        phase: SharePhase,
        /// Its time, to be answered by share 1; `None` from a process that reads the clock of share 1.
        asks: Option<i64>,
        /// Next offsets to process.
        progress: BTreeMap<PartitionId, Offset>,
    },
    /// What share 1 answers to a sign of life.
    Answer {
        /// The share that has asked.
        to: u32,
        /// When, in its time.
        asked: i64,
        /// When share 1 had it, and when it answered, in its own.
        received: i64,
        /// See `received`.
        answered: i64,
    },
    /// The load begins.
    Start {
        /// When, in the time of the run.
        at: Time,
    },
    /// Where the consumers of a process have come to, and where their logs end.
    Positions {
        /// From the next offset, or where the log begins if that is later, to the end.
        positions: BTreeMap<PartitionId, (Offset, Offset)>,
    },
    /// A piece of what a process has measured; its bytes follow the message.
    Piece {
        /// Which, from 0.
        number: usize,
        /// Of how many.
        of: usize,
    },
    /// The run is to end now.
    Stop {
        /// Why.
        why: String,
    },
}

impl Envelope {
    /// The record: the envelope in one line, and `bytes` behind it.
    pub(super) fn written(&self, bytes: &[u8]) -> Vec<u8> {
        let mut record = serde_json::to_vec(self).unwrap_or_default();
        record.push(b'\n');
        record.extend_from_slice(bytes);
        record
    }

    /// The envelope of a record, and the bytes behind it. `None` of a record that has none.
    pub(super) fn read(record: &[u8]) -> Option<(Envelope, &[u8])> {
        let line = record.iter().position(|byte| *byte == b'\n')?;
        let envelope = serde_json::from_slice(&record[..line]).ok()?;
        Some((envelope, &record[line + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let progress = BTreeMap::from([(PartitionId(3), Offset(7))]);
        let positions = BTreeMap::from([(PartitionId(3), (Offset(7), Offset(9)))]);
        let to = (2, u64::MAX);
        let hello = Message::Hello { digest: "d".into(), scenario: "s".into() };
        let welcome = Message::Welcome { to, run: 7, clock: Some(("c".into(), -5)) };
        let beat = Message::Beat { phase: SharePhase::Read, asks: Some(1), progress };
        let answer = Message::Answer { to: 2, asked: 1, received: 2, answered: 3 };
        for message in [
            hello,
            welcome,
            Message::Refused { to, why: "no".into() },
            beat,
            answer,
            Message::Start { at: Time(5) },
            Message::Positions { positions },
            Message::Piece { number: 1, of: 2 },
            Message::Stop { why: "over".into() },
        ] {
            let share = Share { number: 1, count: 2 };
            let envelope = Envelope { session: 1, share, process: 3, message };
            let record = envelope.written(b"a\nb");
            assert_eq!(Envelope::read(&record), Some((envelope, &b"a\nb"[..])));
        }
        assert_eq!(Envelope::read(b"of another program"), None);
    }
}
