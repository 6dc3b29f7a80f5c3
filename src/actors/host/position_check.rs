//! Asking for watermarks when a client cannot read where it should: is the position gone for good?
//!
//! Beside the host, because a broker may take its time to answer and a host has other work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::actors::lease::{HostReport, ReportChannel};
use crate::actors::runtime::{Context, Inquiry};
use crate::base::{ConsumerId, Offset, PartitionId};
use crate::broker::{BrokerError, ErrorClass, Watermarks};
use crate::logic::{Definite, Standing};

/// Questions asked before a broker that does not answer counts as a failure.
const TRIES: u32 = 3;

/// What made a host ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PositionDoubt {
    /// The client says that the position is out of range. It reads there no more, whatever the answer is.
    OutOfRange,
    /// The partition ended before the record it was left at. A leader that was just elected may be behind with
    /// its high watermark, so that alone proves nothing.
    EndBeforeResumePoint,
}

/// A partition whose position is in doubt, and the channel for the result.
pub(super) struct DoubtfulPartition {
    pub(super) partition: PartitionId,
    pub(super) channel: ReportChannel,
}

/// Asks about `doubtful` beside the host. `under_way` is true meanwhile.
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
            asker.note_client_error("inquiry", consumer, &error.message);
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
        let standing = Standing::of(checkpoint, low, high);
        let message = match Definite::of(standing, checkpoint) {
            Some(definite) => {
                let error =
                    BrokerError { class: ErrorClass::Position, message: definite.to_string() };
                channel.report(HostReport::Failed(error));
                guilty += 1;
                continue;
            }
            None if standing == Standing::AtTheLow => at_the_low(checkpoint),
            // What is left before the checkpoint is no record.
            None if cell.start().reads_from() < low => at_the_low(checkpoint),
            None => continue,
        };
        // Nothing to read back any more: the next start goes straight to the checkpoint.
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
