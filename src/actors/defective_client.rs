//! Defects planted on purpose between the host of a simulated consumer and its client. Compiled for tests only.

use std::collections::BTreeMap;
use std::time::Duration;

use super::runtime::ConsumerStart;
use crate::base::{Defect, Offset, PartitionId, RecordView, Time};
use crate::broker::native::NativeConsumer;
use crate::broker::{BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow, Positions};

/// A consumer's client, with the defect that is planted in this process, if any.
pub(super) struct DefectiveConsumer {
    inner: NativeConsumer,
    defect: ClientDefect,
}

enum ClientDefect {
    None,
    /// A restarted consumer reads the partition after its own, modulo this number of partitions.
    WrongPartition(u32),
    /// A record counts as processed for the group as soon as it is handed over. The map has the offsets to commit.
    CommitFirst(BTreeMap<PartitionId, Offset>, Positions),
}

/// The client of a host that begins with `start`.
pub(super) fn consumer_client(inner: NativeConsumer, start: &ConsumerStart) -> DefectiveConsumer {
    let is_restarted = start.owner.as_ref().is_some_and(|(owner, _)| owner.incarnation.0 > 1);
    let defect = match &start.spec.group {
        None if is_restarted && Defect::WrongPartition.is_planted() => {
            ClientDefect::WrongPartition(start.context.plan.topic.partitions)
        }
        Some(group) if Defect::CommitFirst.is_planted() => {
            ClientDefect::CommitFirst(BTreeMap::new(), group.positions.clone())
        }
        _ => ClientDefect::None,
    };
    DefectiveConsumer { inner, defect }
}

impl ClientDefect {
    /// The partition that is read in place of this one.
    fn read_for(&self, partition: PartitionId) -> PartitionId {
        match self {
            ClientDefect::WrongPartition(all) => PartitionId((partition.0 + 1) % all),
            ClientDefect::None | ClientDefect::CommitFirst(..) => partition,
        }
    }

    /// The partition whose place this partition takes: the inverse of `read_for`.
    fn read_as(&self, partition: PartitionId) -> PartitionId {
        match self {
            ClientDefect::WrongPartition(all) => PartitionId((partition.0 + all - 1) % all),
            ClientDefect::None | ClientDefect::CommitFirst(..) => partition,
        }
    }

    /// The positions that are committed in place of these.
    fn committed_for(
        &self,
        mut positions: BTreeMap<PartitionId, Offset>,
    ) -> BTreeMap<PartitionId, Offset> {
        if let ClientDefect::CommitFirst(handed, _) = self {
            for (partition, next) in &mut positions {
                *next = handed.get(partition).copied().unwrap_or(*next);
            }
        }
        positions
    }

    /// These partitions are assigned again, or not any more.
    fn forget(&mut self, partitions: &[PartitionId]) {
        if let ClientDefect::CommitFirst(handed, _) = self {
            handed.retain(|partition, _| !partitions.contains(partition));
        }
    }
}

impl AsRef<NativeConsumer> for DefectiveConsumer {
    fn as_ref(&self) -> &NativeConsumer {
        &self.inner
    }
}

impl AsMut<NativeConsumer> for DefectiveConsumer {
    fn as_mut(&mut self) -> &mut NativeConsumer {
        &mut self.inner
    }
}

impl ConsumerPort for DefectiveConsumer {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        let DefectiveConsumer { inner, defect } = self;
        let command = match command {
            ConsumerCommand::Assign(partition, from) => {
                ConsumerCommand::Assign(defect.read_for(partition), from)
            }
            ConsumerCommand::Seek(partition, from) => {
                defect.forget(&[partition]);
                ConsumerCommand::Seek(defect.read_for(partition), from)
            }
            ConsumerCommand::Unassign(partition) => {
                ConsumerCommand::Unassign(defect.read_for(partition))
            }
            ConsumerCommand::Commit(positions) => {
                ConsumerCommand::Commit(defect.committed_for(positions))
            }
        };
        inner.submit(now, command)
    }

    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        let DefectiveConsumer { inner, defect } = self;
        inner.poll(now, wait, &mut DefectiveEvents { defect, events })
    }

    fn close(self: Box<Self>, limit: Duration) -> bool {
        Box::new(self.inner).close(limit)
    }
}

/// Passes the events of a client on to the host, with the defect applied.
struct DefectiveEvents<'a> {
    defect: &'a mut ClientDefect,
    events: &'a mut dyn ConsumerEvents,
}

impl ConsumerEvents for DefectiveEvents<'_> {
    fn present(&mut self, now: Time) {
        self.events.present(now);
    }

    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow {
        if let ClientDefect::CommitFirst(handed, positions) = self.defect {
            let next = Offset(offset.0 + 1);
            handed.insert(partition, next);
            positions.begin(partition).advance(next);
        }
        self.events.record(self.defect.read_as(partition), offset, record, arrived)
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        self.events.end_of_partition(self.defect.read_as(partition));
    }

    fn assigned(&mut self, now: Time, partitions: &[PartitionId]) {
        self.defect.forget(partitions);
        self.events.assigned(now, partitions);
    }

    fn revoked(&mut self, now: Time, partitions: &[PartitionId]) {
        self.defect.forget(partitions);
        self.events.revoked(now, partitions);
    }

    fn error(&mut self, now: Time, error: BrokerError) {
        self.events.error(now, error);
    }
}
