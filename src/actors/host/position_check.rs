//! The check of a position at which a client cannot read: a query for watermarks, which decides whether the position is
//! invalid for good.
//!
//! The query runs beside the host, because a broker may take long to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::actors::lease::{HostReport, ReportChannel};
use crate::actors::runtime::{Context, Inquiry};
use crate::base::{ConsumerId, Offset, PartitionId};
use crate::broker::{BrokerError, ErrorClass, Watermarks};
use crate::logic::{CheckpointStatus, PermanentFailure};

/// Queries until a broker without an answer counts as a failure.
const TRIES: u32 = 3;

/// The reason for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PositionDoubt {
    /// The client reported that the position is out of range. It does not read there any more, whatever the answer is.
    OutOfRange,
    /// The partition ended before the record of the resume point. That alone proves nothing: the high watermark of a
    /// leader that was just elected may be behind.
    EndBeforeResumePoint,
}

/// A partition whose position is doubtful, and the channel for the result.
pub(super) struct DoubtfulPartition {
    pub(super) partition: PartitionId,
    pub(super) channel: ReportChannel,
}

/// Asks about `doubtful` without blocking the host. `under_way` is true until the answer has come.
pub(super) fn inquire(
    context: &Context,
    consumer: Option<ConsumerId>,
    doubtful: Vec<DoubtfulPartition>,
    doubt: PositionDoubt,
    under_way: &Arc<AtomicBool>,
) {
    if doubtful.is_empty() {
        return;
    }
    under_way.store(true, Ordering::Release);
    let name = consumer.map_or("inquiry".to_owned(), |consumer| format!("inquiry-{consumer}"));
    let (asker, mut tries) = (context.clone(), 0);
    let goes_on = Box::new(move |error: &BrokerError| {
        tries += 1;
        let goes_on = tries < TRIES;
        if goes_on {
            asker.note_client_error(asker.clock.now(), "inquiry", consumer, &error.message);
        }
        goes_on
    });
    let (asker, running) = (context.clone(), under_way.clone());
    let answer = Arc::new(move |answered| {
        match answered {
            Ok(watermarks) => answer(&asker, &watermarks, &doubtful, doubt),
            Err(error) => fail(&doubtful, &format!("position unknown: {error}")),
        }
        running.store(false, Ordering::Release);
    });
    context.runtime.inquire(Inquiry { name, goes_on, answer });
}

fn answer(
    context: &Context,
    watermarks: &Watermarks,
    doubtful: &[DoubtfulPartition],
    doubt: PositionDoubt,
) {
    let mut guilty = 0;
    for DoubtfulPartition { partition, channel } in doubtful {
        let Some((low, high)) = watermarks.get(partition).copied() else {
            continue;
        };
        let mut cell = context.measurements.cell(*partition).lock();
        let checkpoint = cell.next_offset();
        let standing = CheckpointStatus::of(checkpoint, low, high);
        let message = match PermanentFailure::of(standing, checkpoint) {
            Some(definite) => {
                let error =
                    BrokerError { class: ErrorClass::Position, message: definite.to_string() };
                channel.report(HostReport::Failed(error));
                guilty += 1;
                continue;
            }
            None if standing == CheckpointStatus::AtTheLow => at_the_low(checkpoint),
            // The offsets that are left before the checkpoint have no record.
            None if cell.start().reads_from() < low => at_the_low(checkpoint),
            None => continue,
        };
        // No record before the checkpoint is left to compare: the next start is at the checkpoint.
        cell.set_resume_point(None);
        channel.report(HostReport::Failed(BrokerError::fatal(message)));
        guilty += 1;
    }
    if guilty == 0 && doubt == PositionDoubt::OutOfRange {
        fail(doubtful, "out of range, although the checkpoint is there");
    }
}

fn at_the_low(checkpoint: Offset) -> String {
    format!("everything before the checkpoint {checkpoint} was removed, nothing of it unread")
}

fn fail(doubtful: &[DoubtfulPartition], message: &str) {
    let error = BrokerError::fatal(message);
    doubtful.iter().for_each(|partition_in_doubt| {
        partition_in_doubt.channel.report(HostReport::Failed(error.clone()));
    });
}
