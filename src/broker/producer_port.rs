//! The port of a pool's clients: records that are sent, and their answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{FillerRing, PartitionId, ProducerId, Stamp, Time};
use crate::measure::Ack;

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct SendRecord<'a> {
    /// Producer of the record.
    pub producer: ProducerId,
    /// Partition of the record.
    pub partition: PartitionId,
    /// Sequence in the lane, which the acknowledgement repeats. Less than 2^40.
    pub sequence: u64,
    /// The stamped payload, or the whole record in its packed form; copied by the client.
    pub payload: &'a [u8],
    /// True if `payload` is a packed record, with key and headers.
    pub is_packed: bool,
    /// Send time, as in the stamp.
    pub sent: Time,
    /// True if no other record is sent at the same time, so that its batch need not wait for more.
    pub is_alone: bool,
}

/// A record to be sent whose payload is made later, when it is written to a request.
#[derive(Clone, Copy, Debug)]
pub struct StampedRecord<'a> {
    /// The stamp of the record.
    pub stamp: Stamp,
    /// The ring that the filler is cut from. All records of a client have the same.
    pub ring: &'a Arc<FillerRing>,
    /// Position of the filler in the ring.
    pub position: u32,
    /// True if no other record is sent at the same time, so that its batch need not wait for more.
    pub is_alone: bool,
}

/// The reason why a record was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client's queue is full: try again later.
    Full,
    /// This record will never be sent.
    Refused(String),
}

/// The answers of a producer's client.
#[derive(Debug, Default)]
pub struct Answers {
    /// The outcomes of records.
    pub acks: Vec<Ack>,
    /// Number of occurrences of each error, by name.
    pub errors: BTreeMap<String, u64>,
}

impl Answers {
    /// Counts an error that came `times` times.
    pub fn add_error(&mut self, name: &str, times: u64) {
        match self.errors.get_mut(name) {
            Some(count) => *count += times,
            None => _ = self.errors.insert(name.to_owned(), times),
        }
    }

    /// True if there are no answers.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.errors.is_empty()
    }

    /// Moves everything from `others` here.
    #[inline]
    pub fn append(&mut self, others: &mut Answers) {
        match self.is_empty() {
            true => std::mem::swap(self, others),
            false => {
                self.acks.append(&mut others.acks);
                let errors = std::mem::take(&mut others.errors);
                errors.into_iter().for_each(|(name, times)| self.add_error(&name, times));
            }
        }
    }
}

impl StampedRecord<'_> {
    /// The record with its payload, which is written to `payload`.
    pub fn with_payload<'p>(&self, payload: &'p mut Vec<u8>) -> SendRecord<'p> {
        let StampedRecord { stamp, ring, position, is_alone } = *self;
        payload.clear();
        ring.append_payload(&stamp, position, payload);
        SendRecord {
            producer: stamp.producer,
            partition: stamp.partition,
            sequence: stamp.sequence,
            payload,
            is_packed: false,
            sent: stamp.sent,
            is_alone,
        }
    }
}

/// A pool's client or clients, on the thread that owns them. The time is an argument of each call. In a simulation it
/// may be later than the present, see [`sends_immediately_at`](Self::sends_immediately_at).
pub trait ProducerPort {
    /// Hands a record to the client; never waits.
    ///
    /// # Errors
    /// The queue of the client is full, or the client refuses the record.
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError>;

    /// True if the client makes payloads itself, so that [`send_stamped`](Self::send_stamped) is cheaper than
    /// [`send`](Self::send): memory is then written once, when a request is.
    fn makes_payloads(&self) -> bool {
        false
    }

    /// The same as [`send`](Self::send) with the payload that the stamp and the filler make.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    fn send_stamped(&mut self, now: Time, record: &StampedRecord<'_>) -> Result<(), SendError> {
        let mut payload = Vec::with_capacity(record.ring.payload_bytes());
        self.send(now, &record.with_payload(&mut payload))
    }

    /// In a client without threads of its own, sends what has waited long enough. Returns the time of the next call.
    fn send_due(&mut self, _now: Time) -> Time {
        Time::NEVER
    }

    /// True if a record that is sent alone at `at`, which may be later than now, leaves the client at once,
    /// independently of earlier responses, if nothing is due in the client before.
    fn sends_immediately_at(&self, _at: Time) -> bool {
        true
    }

    /// Waits for `wait`, or less if acknowledgements come, and appends the answers since the last call. The wait of a
    /// simulated port is always zero.
    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers);

    /// True if records may be sent to partitions below `partitions`. If not, the client asks for its metadata. Never
    /// waits.
    fn ensure_partitions(&mut self, now: Time, partitions: u32) -> bool;

    /// Gives up the records that are queued or in flight: each of them is answered as failed or indeterminate, within
    /// about `limit`.
    fn give_up(&mut self, now: Time, limit: Duration);
}

impl<P: ProducerPort + ?Sized> ProducerPort for Box<P> {
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        (**self).send(now, record)
    }

    fn makes_payloads(&self) -> bool {
        (**self).makes_payloads()
    }

    fn send_stamped(&mut self, now: Time, record: &StampedRecord<'_>) -> Result<(), SendError> {
        (**self).send_stamped(now, record)
    }

    fn send_due(&mut self, now: Time) -> Time {
        (**self).send_due(now)
    }

    fn sends_immediately_at(&self, at: Time) -> bool {
        (**self).sends_immediately_at(at)
    }

    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers) {
        (**self).answers(now, wait, answers);
    }

    fn ensure_partitions(&mut self, now: Time, partitions: u32) -> bool {
        (**self).ensure_partitions(now, partitions)
    }

    fn give_up(&mut self, now: Time, limit: Duration) {
        (**self).give_up(now, limit);
    }
}
