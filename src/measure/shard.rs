//! What one partition measured since the collector last took it.

use super::Latencies;

/// The numbers of one partition over one interval (a second, as a rule).
#[derive(Clone, Debug)]
pub struct Shard {
    /// Processed - intended send, of records intended in the measured window.
    pub response: Latencies,
    /// Processed - actual send, of the same records.
    pub service: Latencies,
    /// Actual send -> arrival at the consumer, two digits.
    pub arrival: Latencies,
    /// Arrival -> processed, two digits.
    pub handling: Latencies,
    /// Distinct records processed in the interval, warm-up included.
    pub delivered: u64,
    /// Records processed while the measured window lasted, whenever they were sent.
    pub processed_in_window: u64,
    /// Their payload bytes.
    pub bytes_in_window: u64,
    /// Payload bytes processed in the interval.
    pub bytes: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Shard {
            response: Latencies::default(),
            service: Latencies::default(),
            arrival: Latencies::with_digits(2),
            handling: Latencies::with_digits(2),
            delivered: 0,
            processed_in_window: 0,
            bytes_in_window: 0,
            bytes: 0,
        }
    }
}

impl Shard {
    /// Adds another shard.
    pub fn merge(&mut self, other: &Shard) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.arrival.merge(&other.arrival);
        self.handling.merge(&other.handling);
        self.delivered += other.delivered;
        self.processed_in_window += other.processed_in_window;
        self.bytes_in_window += other.bytes_in_window;
        self.bytes += other.bytes;
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        self.arrival.clear();
        self.handling.clear();
        self.delivered = 0;
        self.processed_in_window = 0;
        self.bytes_in_window = 0;
        self.bytes = 0;
    }
}
