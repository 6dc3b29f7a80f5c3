//! A second process that was given a partition as well: the hazard of explicit assignment, which nothing prevents.
//!
//! It has no incarnation, no supervisor and no fence; what it does with records is done a second time.

use std::time::Duration;

use super::simulated::{Hosting, profile};
use crate::actors::Context;
use crate::base::{Offset, PartitionId, Time};
use crate::broker::native::NativeConsumer;
use crate::broker::protocol::Client;
use crate::broker::sim::{NextTurn, SimProcess, TurnRequest};
use crate::broker::{BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow};

/// A consumer of another process.
struct SecondOwner {
    client: NativeConsumer,
    events: Work,
    until: Time,
}

/// What it does with records: counts them as processed by another process, too.
struct Work {
    context: Context,
    partition: PartitionId,
}

/// Lets a second process read `partition` from its checkpoint on, until then. Only in simulation.
pub(in crate::actors) fn start_rogue_consumer(
    context: &Context,
    partition: PartitionId,
    until: Time,
) {
    let Hosting::Kernel(kernel) = &context.hosting else { return };
    let next = context.measurements.cell(partition).lock().next_offset();
    let mut client = NativeConsumer::new(profile(context), context.clock);
    // It takes every command.
    let _ = client.submit(ConsumerCommand::Assign(partition, next));
    let events = Work { context: context.clone(), partition };
    kernel.host(Box::new(SecondOwner { client, events, until }), Duration::ZERO);
}

impl SimProcess for SecondOwner {
    fn turn(&mut self) -> NextTurn {
        if self.events.context.clock.now() >= self.until {
            return NextTurn::Over;
        }
        self.client.poll(Duration::ZERO, &mut self.events);
        NextTurn::At(self.until)
    }

    fn name(&self) -> String {
        format!("second-owner-{}", self.events.partition)
    }

    fn client(&mut self) -> &mut dyn Client {
        &mut self.client
    }

    fn wish(&self) -> TurnRequest {
        if self.client.has_events() { TurnRequest::Now } else { TurnRequest::None }
    }
}

impl ConsumerEvents for Work {
    fn record(&mut self, partition: PartitionId, _offset: Offset, _payload: &[u8]) -> Flow {
        self.context.measurements.cell(partition).lock().two_owners += 1;
        Flow::More
    }

    fn end_of_partition(&mut self, _partition: PartitionId) {}

    fn assigned(&mut self, _partitions: &[PartitionId]) {}

    fn revoked(&mut self, _partitions: &[PartitionId]) {}

    fn error(&mut self, error: BrokerError) {
        self.context.note_client_error("second owner", None, &error.message);
    }
}
