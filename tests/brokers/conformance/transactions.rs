//! A topic into which another producer writes transactions, so that its partitions end with offsets that no consumer
//! gets.

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::{Arm, TestTopic, on_the_cluster};
use crate::cluster::ANSWER;
use crate::support::Finished;

/// The run sends to partition 0, and another producer to both.
const SCENARIO: &str = "[topic]\npartitions = 2\n[load]\nproducers = 1\nrate = \"20/s\"\n\
    [consumers]\nstart = \"beginning\"\n[run]\nwarmup = \"0s\"\nduration = \"4s\"\ndrain = \"20s\"\n\
    [expect]\nlost = 0\nunaccounted = 0\n";
/// Records of a transaction in each partition.
const RECORDS: u64 = 5;

/// The other producer.
struct Transactions<'a>(BaseProducer, &'a TestTopic<'a>);

impl Transactions<'_> {
    fn begin<'a>(topic: &'a TestTopic<'a>) -> Transactions<'a> {
        let mut config = topic.arm.config();
        let producer: BaseProducer =
            config.set("transactional.id", &topic.name).create().expect("a client");
        producer.init_transactions(ANSWER).expect("a coordinator");
        Transactions(producer, topic)
    }

    fn write(&self, keep: bool) {
        let Transactions(producer, topic) = self;
        producer.begin_transaction().expect("no transaction is open");
        for partition in (0..2).cycle().take(2 * RECORDS as usize) {
            let record = BaseRecord::<(), str>::to(&topic.name).partition(partition);
            let record = record.payload("in a transaction");
            producer.send(record).map_err(|(error, _)| error).expect("a queue");
        }
        producer.flush(ANSWER).expect("all acknowledged");
        match keep {
            true => producer.commit_transaction(ANSWER).expect("a commit"),
            false => producer.abort_transaction(ANSWER).expect("an abort"),
        }
    }

    fn both(&self) {
        self.write(true);
        self.write(false);
    }
}

/// A run that starts after two transactions, with two more during it. `check` gets the run and the end offsets of its
/// topic.
fn beside(arm: &Arm, name: &str, set: &[&str], check: impl Fn(&Finished, [i64; 2])) {
    let topic = arm.topic(name, 2);
    let transactions = Transactions::begin(&topic);
    transactions.both();
    let mut run = arm.run(SCENARIO).set([topic.set().as_str()]).set(set.iter().copied()).start();
    run.await_text("events.jsonl", "pool_started");
    transactions.both();
    let finished = run.finish();
    assert_eq!(finished.code, 0, "{}", finished.output());
    let summary = finished.summary();
    let client: BaseConsumer = arm.config().create().expect("a client");
    let end = |partition| client.fetch_watermarks(&topic.name, partition, ANSWER).expect("marks").1;
    let ends = [end(0), end(1)];
    // Two of the four transactions were committed. Each left a marker, and the aborted ones also left records.
    let left_out = 4 + 2 * RECORDS as i64;
    assert_eq!(ends[1], 2 * RECORDS as i64 + left_out);
    assert_eq!(summary.offset_gaps, 2 * left_out as u64, "{:?}", summary.warnings);
    let l = &summary.ledger;
    assert_eq!((l.delivered, l.lost, l.other_producers), (l.sent, 0, 4 * RECORDS), "{l:?}");
    let unread = summary.warnings.iter().find(|warning| warning.contains("not read to"));
    assert_eq!(unread, None);
    check(&finished, ends);
}

#[test]
fn a_partition_that_ends_in_a_transaction_is_read_to_its_end() {
    on_the_cluster(|arm| {
        beside(arm, "txn", &[], |finished, _| {
            let seconds = finished.read("seconds.jsonl");
            let last = seconds.lines().rfind(|line| line.contains("\"partition\":1,"));
            assert!(last.is_some_and(|line| line.contains("\"lag\":0,")), "{last:?}");
        });
    });
}

#[test]
fn a_shared_client_does_so_too() {
    on_the_cluster(|arm| beside(arm, "txn-shared", &["consumers.clients=shared"], |_, _| {}));
}

#[test]
fn a_restarted_consumer_goes_on_behind_a_transaction() {
    on_the_cluster(|arm| {
        let topic = arm.topic("txn-kill", 2);
        let transactions = Transactions::begin(&topic);
        let kill =
            |consumer| format!("[[fault]]\nat = \"6s\"\nkill = {{ consumer = {consumer} }}\n");
        let text = format!("{SCENARIO}restarts = 2\n{}{}", kill(0), kill(1));
        // Partition 0 gets a record before the kill and one after it. Between them there are only transaction markers.
        let set = ["load.rate=6/m", "load.phases=uniform", "run.duration=12s"];
        let mut run = arm.run(&text).set([topic.set().as_str()]).set(set).start();
        run.await_text("seconds.jsonl", "\"delivered\":1,");
        transactions.both();
        run.await_text("events.jsonl", "pool_finished");
        let finished = run.finish();
        assert_eq!(finished.code, 0, "{}", finished.output());
        let summary = finished.summary();
        assert_eq!((summary.ledger.redelivered, summary.ledger.other_producers), (0, 2 * RECORDS));
        let first_record = summary.faults[0].first_record_ms;
        assert!(first_record.is_some(), "{:?}", summary.faults);
    });
}

#[test]
fn a_group_commits_the_end_behind_a_transaction() {
    on_the_cluster(|arm| {
        for protocol in arm.group_protocols() {
            let protocol = format!("consumers.protocol={protocol}");
            let set = ["consumers.mode=group", "consumers.count=2", protocol.as_str()];
            beside(arm, "txn-group", &set, |finished, ends| {
                let summary = finished.summary();
                let mut config = arm.config();
                config.set("group.id", format!("lanekeeper-{}", summary.run_id));
                let client: BaseConsumer = config.create().expect("a client");
                let mut list = TopicPartitionList::new();
                for partition in 0..2 {
                    list.add_partition(&summary.topic, partition);
                }
                let committed = client.committed_offsets(list, ANSWER).expect("what is committed");
                let committed = committed.elements();
                let committed: Vec<Offset> = committed.iter().map(|e| e.offset()).collect();
                assert_eq!(committed, ends.map(Offset::Offset));
            });
        }
    });
}
