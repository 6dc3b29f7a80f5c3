//! Another producer appends records that look like those of the run, each with a known defect.

use std::collections::BTreeMap;
use std::time::Duration;

use lanekeeper::base::{PartitionId, ProducerId, RunId, Stamp, Time, write_payload};
use lanekeeper::summary::Summary;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::cluster::{ANSWER, TestTopic, on_the_cluster};

/// The other producer, which also reads the topic.
struct Intruder<'a> {
    topic: &'a TestTopic<'a>,
    reader: BaseConsumer,
    producer: BaseProducer,
}

impl Intruder<'_> {
    /// A producer that reads partition 0 from its beginning.
    fn new<'a>(topic: &'a TestTopic<'a>) -> Intruder<'a> {
        let reader: BaseConsumer =
            topic.arm.config().set("group.id", &topic.name).create().expect("a client");
        let mut first = TopicPartitionList::new();
        first.add_partition_offset(&topic.name, 0, Offset::Beginning).expect("a partition");
        reader.assign(&first).expect("an assignment");
        Intruder { topic, reader, producer: topic.arm.config().create().expect("a client") }
    }

    /// The next record of partition 0.
    fn next(&self) -> Vec<u8> {
        let record = self.reader.poll(ANSWER).expect("a record").expect("a record");
        record.payload().expect("a payload").to_vec()
    }

    fn append(&self, partition: i32, payload: &[u8]) {
        let record = BaseRecord::<(), [u8]>::to(&self.topic.name).partition(partition);
        self.producer.send(record.payload(payload)).map_err(|(error, _)| error).expect("a queue");
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).expect("all acknowledged");
    }
}

fn expected(summary: &Summary, name: &str) -> (Option<f64>, bool) {
    let its = summary.expectations.iter().find(|it| it.expression.starts_with(name));
    its.map(|it| (it.measured, it.passed)).expect("an expectation")
}

#[test]
fn changed_bytes_and_records_of_another_partition_are_counted_one_by_one() {
    on_the_cluster(|arm| {
        let topic = arm.topic("changed", 2);
        let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"50/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"15s\"\n\
                    [expect]\ncorrupt = 0\nwrong_partition = 0\nlost = 0\nduplicated = 0\n";
        let mut running = arm.run(text).set([topic.set().as_str()]).start();
        running.await_text("seconds.jsonl", "\"partition\":0");
        let intruder = Intruder::new(&topic);
        let own = intruder.next();
        // Changes a byte of the stamp, and the last byte of the filler.
        for at in [8, own.len() - 1] {
            let mut changed = own.clone();
            changed[at] ^= 1;
            intruder.append(0, &changed);
        }
        (0..3).for_each(|_| intruder.append(1, &own));
        intruder.flush();
        let finished = running.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        assert_eq!(expected(&summary, "corrupt"), (Some(2.0), false), "{summary:?}");
        assert_eq!(expected(&summary, "wrong_partition"), (Some(3.0), false), "{summary:?}");
        let ledger = &summary.ledger;
        assert_eq!((ledger.lost, ledger.duplicated, ledger.delivered), (0, 0, 1_500), "{ledger:?}");
    });
}

/// Decodes the stamp of a record by the layout in the source's documentation.
fn stamp(payload: &[u8]) -> Stamp {
    let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().expect("4 bytes"));
    Stamp {
        run: RunId(word(40)),
        producer: ProducerId(half(32)),
        partition: PartitionId(half(36)),
        sequence: word(8),
        intended: Time(word(16) as i64),
        sent: Time(word(24) as i64),
    }
}

/// The run's client drops some records, and the other producer appends them behind later ones. So each of them is in
/// the log, but out of order.
#[test]
fn records_that_come_behind_later_ones_are_reordered_one_by_one() {
    on_the_cluster(|arm| {
        let topic = arm.topic("swapped", 1);
        let text = format!(
            "{}[run]\nwarmup = \"0s\"\nduration = \"15s\"\n\
             [[fault]]\nat = \"1s\"\nfor = \"500ms\"\nproduce_call = {{ pool = \"all\", drop = true }}\n\
             [expect]\nreordered = 0\nindeterminate = \">= 1\"\n",
            super::EVEN
        );
        let running = arm.run(&text).set([topic.set().as_str()]).start();
        let intruder = Intruder::new(&topic);
        let mut missing = BTreeMap::new();
        for due in 0.. {
            let payload = intruder.next();
            let own = stamp(&payload);
            missing.extend((due + missing.len() as u64..own.sequence).map(|it| (it, own)));
            // These records were sent after the fault.
            if own.sequence >= 400 {
                break;
            }
        }
        assert!((1..250).contains(&missing.len()), "{missing:?}");
        for (sequence, later) in &missing {
            let mut payload = vec![0; 100];
            write_payload(&Stamp { sequence: *sequence, ..*later }, &mut payload);
            intruder.append(0, &payload);
        }
        intruder.flush();
        let finished = running.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        let count = missing.len() as u64;
        assert_eq!(expected(&summary, "reordered"), (Some(count as f64), false), "{summary:?}");
        let ledger = &summary.ledger;
        assert_eq!((ledger.sent, ledger.delivered), (1_500, 1_500), "{ledger:?}");
        assert_eq!((ledger.indeterminate, ledger.acked), (count, 1_500 - count), "{ledger:?}");
        assert_eq!((ledger.lost, ledger.duplicated, ledger.unaccounted()), (0, 0, 0), "{ledger:?}");
    });
}
