//! The content of the checkpoint file, which lets a later run continue where this one stopped.
//!
//! The file has three lines: a header with the version, the content as JSON, and the CRC-32 (IEEE) of all before the
//! third line. A file that was truncated or changed is refused as a whole, so no offset is derived from a part of it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::{Offset, PartitionId, ProducerId, RunId, Stamp, Time};
use crate::measure::{ResumePoint, Start};

/// The progress of a run, with the topic and cluster that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// The cluster's own id; `None` if the cluster reports none.
    pub cluster: Option<String>,
    /// The topic's name.
    pub topic: String,
    /// The runs whose records may be after a checkpoint, the latest last.
    pub runs: Vec<RunId>,
    /// The start positions of the next run, by partition id.
    pub partitions: Vec<Start>,
}

/// The reason why a file cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// Another kind of file.
    #[error("it is no checkpoint file of lanekeeper")]
    Other,
    /// Written by a later version.
    #[error(
        "its format is {0:?}, and this lanekeeper knows format {VERSION:?}; use the version that wrote it"
    )]
    TooNew(String),
    /// Truncated or changed.
    #[error("it was cut or changed: its checksum does not fit")]
    Damaged,
}

/// Earlier runs kept. Records of older ones count as those of other producers.
const RUNS_MAX: usize = 100;
const HEADER: &str = "lanekeeper checkpoints ";
const VERSION: &str = "1";
const CHECKSUM: &str = "crc32 ";

impl Checkpoints {
    /// The text of the file.
    pub fn encode(&self) -> String {
        let runs = &self.runs[self.runs.len().saturating_sub(RUNS_MAX)..];
        let body = Body {
            cluster: self.cluster.clone(),
            topic: self.topic.clone(),
            runs: runs.iter().map(|run| run.0).collect(),
            partitions: self.partitions.iter().map(Entry::of).collect(),
        };
        // Numbers and texts can always be written as JSON.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let text = format!("{HEADER}{VERSION}\n{body}\n");
        let checksum = crc32fast::hash(text.as_bytes());
        format!("{text}{CHECKSUM}{checksum:08x}\n")
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The text is no checkpoint file, is damaged, or has an unknown version.
    pub fn decode(text: &[u8]) -> Result<Checkpoints, Unreadable> {
        let text = std::str::from_utf8(text).map_err(|_| Unreadable::Other)?;
        let (header, rest) = text.split_once('\n').ok_or(Unreadable::Other)?;
        let version = header.strip_prefix(HEADER).ok_or(Unreadable::Other)?;
        if version != VERSION {
            return Err(Unreadable::TooNew(version.to_owned()));
        }
        let (body, last) = rest.split_once('\n').ok_or(Unreadable::Damaged)?;
        let covered = &text[..text.len() - last.len()];
        if last != format!("{CHECKSUM}{:08x}\n", crc32fast::hash(covered.as_bytes())) {
            return Err(Unreadable::Damaged);
        }
        let body: Body = serde_json::from_str(body).map_err(|_| Unreadable::Damaged)?;
        Ok(Checkpoints {
            cluster: body.cluster,
            topic: body.topic,
            runs: body.runs.into_iter().map(RunId).collect(),
            partitions: body.partitions.iter().map(Entry::start).collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Body {
    cluster: Option<String>,
    topic: String,
    runs: Vec<u64>,
    partitions: Vec<Entry>,
}

/// One partition: the next offset to process, and the record before it, which identifies the log.
#[derive(Serialize, Deserialize)]
struct Entry {
    next: i64,
    last: Option<Last>,
}

#[derive(Serialize, Deserialize)]
struct Last {
    offset: i64,
    run: u64,
    producer: u32,
    partition: u32,
    sequence: u64,
    intended_ns: i64,
    sent_ns: i64,
}

impl Entry {
    fn of(start: &Start) -> Entry {
        let last = start.resume_point.map(|ResumePoint { offset, stamp }| Last {
            offset: offset.0,
            run: stamp.run.0,
            producer: stamp.producer.0,
            partition: stamp.partition.0,
            sequence: stamp.sequence,
            intended_ns: stamp.intended.0,
            sent_ns: stamp.sent.0,
        });
        Entry { next: start.checkpoint.0, last }
    }

    fn start(&self) -> Start {
        let resume_point = self.last.as_ref().map(|last| ResumePoint {
            offset: Offset(last.offset),
            stamp: Stamp {
                run: RunId(last.run),
                producer: ProducerId(last.producer),
                partition: PartitionId(last.partition),
                sequence: last.sequence,
                intended: Time(last.intended_ns),
                sent: Time(last.sent_ns),
            },
        });
        Start { checkpoint: Offset(self.next), resume_point }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> impl Strategy<Value = Start> {
        let stamp = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u64>(), any::<[i64; 2]>());
        let resume_point =
            stamp.prop_map(|(run, producer, partition, sequence, [intended, sent])| Stamp {
                run: RunId(run),
                producer: ProducerId(producer),
                partition: PartitionId(partition),
                sequence,
                intended: Time(intended),
                sent: Time(sent),
            });
        (0..i64::MAX, proptest::option::of(resume_point)).prop_map(|(next, stamp)| Start {
            checkpoint: Offset(next),
            resume_point: stamp.map(|stamp| ResumePoint { offset: Offset(next - 1), stamp }),
        })
    }

    fn checkpoints() -> impl Strategy<Value = Checkpoints> {
        let cluster = proptest::option::of("[a-zA-Z0-9_-]{22}");
        let runs = proptest::collection::vec(any::<u64>().prop_map(RunId), 1..4);
        let partitions = proptest::collection::vec(start(), 0..6);
        (cluster, "[a-z\\\\\"\n]{1,9}", runs, partitions).prop_map(
            |(cluster, topic, runs, partitions)| Checkpoints { cluster, topic, runs, partitions },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(checkpoints in checkpoints()) {
            let text = checkpoints.encode();
            prop_assert_eq!(text.lines().count(), 3);
            prop_assert_eq!(Checkpoints::decode(text.as_bytes()), Ok(checkpoints));
        }

        #[test]
        fn a_file_cut_anywhere_is_refused_as_a_whole(checkpoints in checkpoints()) {
            let text = checkpoints.encode();
            for length in 0..text.len() {
                prop_assert!(Checkpoints::decode(&text.as_bytes()[..length]).is_err(), "{}", length);
            }
        }

        #[test]
        fn a_changed_byte_is_refused(
            checkpoints in checkpoints(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let mut text = checkpoints.encode().into_bytes();
            let at = at.index(text.len());
            text[at] ^= flip;
            prop_assert!(Checkpoints::decode(&text).is_err());
        }
    }

    #[test]
    fn a_later_format_is_named_and_other_files_are_not_taken_for_one() {
        let later = "lanekeeper checkpoints 2\nwhatever\n";
        assert_eq!(Checkpoints::decode(later.as_bytes()), Err(Unreadable::TooNew("2".to_owned())));
        for other in ["", "{}\n", "[topic]\npartitions = 3\n"] {
            assert_eq!(Checkpoints::decode(other.as_bytes()), Err(Unreadable::Other));
        }
    }

    #[test]
    fn only_the_latest_runs_are_kept() {
        let runs: Vec<RunId> = (0..250).map(RunId).collect();
        let all = Checkpoints { cluster: None, topic: "t".into(), runs, partitions: Vec::new() };
        let read = Checkpoints::decode(all.encode().as_bytes()).unwrap();
        assert_eq!((read.runs.len(), read.runs.last()), (RUNS_MAX, Some(&RunId(249))));
    }
}
