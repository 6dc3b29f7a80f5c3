//! Requests wait as they are while a socket is full.

use std::time::Duration;

use super::moves::{TestProducer, script};
use super::scripted::ScriptedCluster;
use crate::broker::tcp::brokers::Brokers;

/// More than the system keeps for a connection on its way.
const RECORDS: u64 = 600;
const RECORD_BYTES: usize = 100_000;
/// Counts of requests are known to others after a second.
const COUNTED: Duration = Duration::from_millis(1_500);

#[test]
fn requests_wait_unencoded_until_there_is_room_and_are_answered_in_order() {
    let cluster = ScriptedCluster::start(1, script());
    let mut producer = TestProducer::without_idempotence(Brokers::default(), &cluster);
    producer.send();
    let payload = vec![7; RECORD_BYTES];
    {
        // The broker waits for its script, and reads nothing meanwhile.
        let _script = cluster.script();
        (0..RECORDS).for_each(|_| producer.begin_with(&payload));
        producer.turns(COUNTED);
        let encoded = cluster.counted.batches().count;
        assert!((1..RECORDS).contains(&encoded), "{encoded} of {RECORDS} requests are encoded");
    }
    let acked = producer.await_acks(RECORDS as usize);
    let expected: Vec<u64> = (1..=RECORDS).collect();
    assert_eq!(acked, expected);
}
