//! Records as payloads and as stamps, in the batches of one client.

use std::sync::Arc;

use super::*;
use crate::base::{FillerRing, Offset, ProducerId, RunId, Seed, Stamp};
use crate::plan::{Overrides, Plan, compile};
use crate::scenario::Source;

const NOW: Time = Time(1_000);

fn plan() -> Plan {
    let text = "[topic]\npartitions = 1\n[load]\nlinger = \"0ms\"\n".to_owned();
    let source = Source { name: "x.toml".to_owned(), text };
    compile(&source, &[], &Overrides::default()).0.expect("a plan")
}

/// A client that knows its leader and its producer id.
fn client() -> NativeProducer {
    let mut client = NativeProducer::new(&plan().load, 1, NativeSettings::default());
    client.tick(NOW);
    client.outbox().clear();
    client.receive(0, Response::Metadata(vec![Some(0)]), &(), NOW);
    client.tick(NOW);
    client.outbox().clear();
    client.receive(0, Response::InitProducerId(Ok(7)), &(), NOW);
    client
}

/// Hands over a record, as a stamp or with the payload that the stamp makes.
fn send(client: &mut NativeProducer, ring: &Arc<FillerRing>, sequence: u64, as_stamp: bool) {
    let (run, producer, partition) = (RunId(1), ProducerId(2), PartitionId(0));
    let stamp = Stamp { run, producer, partition, sequence, intended: NOW, sent: NOW };
    let record = StampedRecord { stamp, ring, position: 0, is_alone: false };
    let accepted = match as_stamp {
        true => client.send_stamped(NOW, &record),
        false => client.send(NOW, &record.with_payload(&mut Vec::new())),
    };
    accepted.expect("room");
}

#[test]
fn a_batch_has_records_of_one_form_and_all_are_acknowledged_in_order() {
    let mut client = client();
    let ring = Arc::new(FillerRing::new(64, 1, Seed(1)));
    for (sequence, as_stamp) in (0..).zip([true, true, false, true, false, false]) {
        send(&mut client, &ring, sequence, as_stamp);
    }
    assert_eq!((client.queued, client.queued_bytes), (6, 6 * 64));
    client.tick(NOW);
    let mut sent = Vec::new();
    for (_, broker, request) in std::mem::take(client.outbox()) {
        let Request::Produce(produce) = request else { panic!("{request:?}") };
        let (payloads, stamps) =
            (produce.batch().ends.len(), produce.batch().stamped.records.len());
        sent.push((produce.sequence, payloads, stamps));
        let answer = Response::Produce(produce.number, Ok(Offset(100 * sent.len() as i64)));
        client.reuse(produce);
        client.receive(broker, answer, &(), NOW);
    }
    let batch = |sequence, payloads, stamps| (Some((7, sequence)), payloads, stamps);
    assert_eq!(sent, [batch(0, 0, 2), batch(2, 1, 0), batch(3, 0, 1), batch(4, 2, 0)]);
    let mut answers = Answers::default();
    client.answers(NOW, Duration::ZERO, &mut answers);
    let acks = answers.acks.iter().map(|ack| (ack.sequence, ack.offset, ack.sent, ack.outcome));
    let acked = |sequence, offset| (sequence, Some(Offset(offset)), NOW, Outcome::Acked);
    let expected =
        [acked(0, 100), acked(1, 101), acked(2, 200), acked(3, 300), acked(4, 400), acked(5, 401)];
    assert_eq!(acks.collect::<Vec<_>>(), expected);
    assert_eq!((client.queued, client.queued_bytes), (0, 0));
}
