//! A producer port with native clients: one for a pool, or one for each of its producers.
//!
//! The pool's thread waits for its sockets between two records. The time of an acknowledgement is therefore that of the
//! read that delivered it, for any number of clients.

use std::time::Duration;

use super::transport::Transport;
use crate::base::{ProducerId, Time};
use crate::broker::native::NativeProducer;
use crate::broker::{Answers, ProducerPort, SendError, SendRecord, StampedRecord};

/// A pool's clients.
pub(super) struct TcpProducer {
    transport: Transport<NativeProducer>,
    pools: u32,
    /// Time at which a client has something to do.
    next: Time,
    /// Time at which the sockets were last read.
    looked: Time,
}

/// Sockets that were read less than this ago are not read again without a wait, because the pool asks for
/// acknowledgements before each wait for them.
const LOOK_AGAIN: Duration = Duration::from_micros(50);

impl TcpProducer {
    /// The clients of one of `pools` pools.
    pub(super) fn new(transport: Transport<NativeProducer>, pools: u32) -> TcpProducer {
        TcpProducer { transport, pools, next: Time::ZERO, looked: Time::ZERO }
    }

    /// The client that sends the records of a producer. It has something to do from now on.
    #[inline]
    fn client_of(&mut self, producer: ProducerId, now: Time) -> &mut NativeProducer {
        let count = self.transport.len();
        let number = match count {
            1 => 0,
            _ => (producer.0 / self.pools) as usize % count,
        };
        self.next = now;
        self.transport.client(number)
    }
}

impl ProducerPort for TcpProducer {
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        self.client_of(record.producer, now).send(now, record)
    }

    fn makes_payloads(&self) -> bool {
        true
    }

    fn send_stamped(&mut self, now: Time, record: &StampedRecord<'_>) -> Result<(), SendError> {
        self.client_of(record.stamp.producer, now).send_stamped(now, record)
    }

    fn send_due(&mut self, now: Time) -> Time {
        if self.next <= now {
            self.next = self.transport.send_due(now);
        }
        self.next
    }

    fn sends_immediately_at(&self, _at: Time) -> bool {
        false
    }

    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers) {
        if !wait.is_zero() || now >= self.looked + LOOK_AGAIN {
            self.looked = self.transport.turn(now, wait);
            self.next = self.looked;
        }
        let now = self.looked.max(now);
        self.transport.take_served(|_, client| client.answers(now, Duration::ZERO, answers));
    }

    fn ensure_partitions(&mut self, now: Time, partitions: u32) -> bool {
        let mut all = true;
        for number in 0..self.transport.len() {
            all &= self.transport.client(number).ensure_partitions(now, partitions);
        }
        all
    }

    fn give_up(&mut self, now: Time, limit: Duration) {
        for number in 0..self.transport.len() {
            self.transport.client(number).give_up(now, limit);
        }
        // The acknowledgements have arrived, and are asked for without a wait.
        self.looked = Time::ZERO;
    }
}
