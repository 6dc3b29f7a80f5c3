//! The messages between the processes of a run. Each is one record of the control topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Offset, PartitionId, Share, Time};

/// The progress of a process, in the order of the phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SharePhase {
    /// The process takes part in the run.
    #[default]
    Joined,
    /// The topic exists. Only share 1 has this phase.
    TopicReady,
    /// The consumers of the process are ready.
    Ready,
    /// The process has sent all its records, and has the answers to them.
    Sent,
    /// The consumers of the process have read to the ends of their partitions, or were told to stop.
    Read,
    /// The process has sent its part.
    Told,
    /// The process needs no more messages from the others.
    Left,
}

/// A message and its sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Envelope {
    /// The process id of share 1 of the run; 0 if the sender has not joined.
    pub(super) session: u64,
    /// The sender's share.
    pub(super) share: Share,
    /// The sender's process id, which differs between processes of the same share.
    pub(super) process: u64,
    /// The message.
    pub(super) message: Message,
}

/// A message between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// Asks share 1 to accept the sender.
    Hello {
        /// Digest of what all processes must have in common.
        digest: String,
        /// The scenario's name, seed and version of the program, as a text for messages.
        scenario: String,
    },
    /// Share 1 accepts the addressee.
    Welcome {
        /// Share and process id of the addressee.
        to: (u32, u64),
        /// The id of the run.
        run: u64,
        /// Identifies the clock of share 1, with its epoch on that clock in nanoseconds.
        clock: Option<(String, i64)>,
    },
    /// Share 1 refuses the addressee.
    Refused {
        /// Share and process id of the addressee.
        to: (u32, u64),
        /// The reason.
        why: String,
    },
    /// A heartbeat, about once a second.
    Beat {
        /// The sender's phase.
        phase: SharePhase,
        /// The sender's time, which share 1 answers; `None` from a process on the clock of share 1.
        asks: Option<i64>,
        /// Next offsets to process of the sender's consumers.
        progress: BTreeMap<PartitionId, Offset>,
    },
    /// The answer of share 1 to a heartbeat.
    Answer {
        /// The share that has sent the heartbeat.
        to: u32,
        /// The time in the heartbeat, on the sender's clock.
        asked: i64,
        /// Time of receipt on the clock of share 1.
        received: i64,
        /// Time of the answer on the clock of share 1.
        answered: i64,
    },
    /// The start of the load.
    Start {
        /// The start, in the time of the run.
        at: Time,
    },
    /// Bounds of the unread records of the sender's partitions.
    Positions {
        /// From the next offset to process, or the low watermark if that is larger, to the end.
        positions: BTreeMap<PartitionId, (Offset, Offset)>,
    },
    /// A piece of the sender's part. Its bytes follow the message.
    Piece {
        /// Number of the piece, from 0.
        number: usize,
        /// Number of pieces.
        of: usize,
    },
    /// Ends the run now.
    Stop {
        /// The reason.
        why: String,
    },
}

impl Envelope {
    /// The record: the envelope in one line, followed by `bytes`.
    pub(super) fn written(&self, bytes: &[u8]) -> Vec<u8> {
        let mut record = serde_json::to_vec(self).unwrap_or_default();
        record.push(b'\n');
        record.extend_from_slice(bytes);
        record
    }

    /// The envelope of a record, and the bytes that follow it. `None` if the record has no valid envelope.
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
