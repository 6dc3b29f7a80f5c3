//! What has come from the brokers and was not handed over yet.

use crate::base::{Offset, PartitionId, Time};
use crate::broker::{BrokerError, ConsumerEvents, Flow};

/// What came and was not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) lengths: Vec<u32>,
    pub(super) events: Vec<Event>,
    /// How far it is handed over: events, lengths, bytes.
    pub(super) done: usize,
    length_at: usize,
    byte_at: usize,
    /// Whether there is anything besides records and ends of partitions.
    pub(super) has_others: bool,
}

#[derive(Debug)]
pub(super) enum Event {
    /// So many records from this offset on.
    Records {
        partition: PartitionId,
        offset: i64,
        count: u32,
        arrived: Time,
    },
    End(PartitionId),
    Error(BrokerError),
    Assigned(Vec<PartitionId>),
    /// To be given up; with the word to the coordinator when it is.
    Revoked(Vec<PartitionId>),
    /// Given up already.
    Lost(Vec<PartitionId>),
}

impl Received {
    /// Bytes that are not handed over yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.byte_at
    }

    /// Something that is neither records nor the end of a partition.
    pub(super) fn push_other(&mut self, event: Event) {
        self.has_others = true;
        self.events.push(event);
    }

    /// Drops what came of a partition that is not read any more.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        let mut kept = Received { has_others: self.has_others, ..Received::default() };
        let (mut length_at, mut byte_at) = (self.length_at, self.byte_at);
        for event in self.events.drain(..).skip(self.done) {
            let Event::Records { partition: of, count, .. } = &event else {
                kept.events.push(event);
                continue;
            };
            let lengths = &self.lengths[length_at..length_at + *count as usize];
            let size: usize = lengths.iter().map(|length| *length as usize).sum();
            if *of != partition {
                kept.lengths.extend_from_slice(lengths);
                kept.bytes.extend_from_slice(&self.bytes[byte_at..byte_at + size]);
            }
            length_at += lengths.len();
            byte_at += size;
            if *of != partition {
                kept.events.push(event);
            }
        }
        *self = kept;
    }

    /// Forgets what is handed over, once that is everything.
    pub(super) fn tidy(&mut self) {
        if self.done == self.events.len() {
            self.bytes.clear();
            self.lengths.clear();
            self.events.clear();
            (self.done, self.length_at, self.byte_at) = (0, 0, 0);
            self.has_others = false;
        }
    }

    pub(super) fn hand_over(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        match &mut self.events[self.done] {
            Event::Records { partition, offset, count, arrived } => {
                events.came_at(*arrived);
                while *count > 0 {
                    let length = self.lengths[self.length_at] as usize;
                    let payload = &self.bytes[self.byte_at..self.byte_at + length];
                    let (partition, at) = (*partition, Offset(*offset));
                    self.length_at += 1;
                    self.byte_at += length;
                    *offset += 1;
                    *count -= 1;
                    if *count == 0 {
                        self.done += 1;
                        return events.record(partition, at, payload);
                    }
                    if events.record(partition, at, payload) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                self.done += 1;
                Flow::More
            }
            Event::End(partition) => {
                events.end_of_partition(*partition);
                self.done += 1;
                Flow::More
            }
            Event::Error(error) => {
                events.error(error.clone());
                self.done += 1;
                Flow::Stop
            }
            // The client's own affair.
            Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_) => Flow::More,
        }
    }
}
