//! What a reader of the result should know, each with what to do about it.

use crate::actors::{Context, Status};
use crate::measure::Event;
use crate::plan::Pace;

/// All warnings of a run, from its measurements and from the supervision.
pub(super) fn warnings(context: &Context, status: &Status) -> Vec<String> {
    let mut warnings = assumptions(context);
    warnings.extend(supervision(context, status));
    for pool in &context.measurements.pools {
        let pool = pool.lock();
        for (error, times) in &pool.errors {
            warnings.push(format!("producer pool {}: {error} ({times} x)", pool.pool()));
        }
    }
    for (error, times) in context.measurements.client_errors() {
        warnings.push(format!("consumers: {error} ({times} x)"));
    }
    warnings.extend(of_records(context));
    if context.plan.load.pace == Pace::Max && context.plan.load.messages.is_none() {
        warnings.push(
            "at maximum rate latency says how long the queue was, not how fast the path is"
                .to_owned(),
        );
    }
    let dropped = context.measurements.journal.dropped();
    if dropped > 0 {
        warnings.push(format!("{dropped} events found no room in the journal"));
    }
    warnings
}

/// What the figures depend on.
fn assumptions(context: &Context) -> Vec<String> {
    let mut warnings = Vec::new();
    if !context.plan.broker.kind().capability().timing_is_real {
        warnings.push(
            "latency, recovery and rebalance times are those of the embedded mock cluster; measure with \
             `--broker kafka --bootstrap HOST:PORT`"
                .to_owned(),
        );
    }
    if let Some(handlers) = &context.handlers
        && context.plan.consumers.work.is_some()
    {
        warnings.push(format!(
            "`consumers.work` was not done: records went to the handler `{}`; leave it out",
            handlers.name()
        ));
    }
    if context.hosting.is_kernel() {
        warnings.push(
            "simulated: times follow from `[sim]`'s settings, which are not fitted to a cluster (uncalibrated)"
                .to_owned(),
        );
    }
    warnings
}

/// Who was given up, what was abandoned, and what was skipped.
fn supervision(context: &Context, status: &Status) -> Vec<String> {
    let mut warnings = Vec::new();
    for (consumer, reason) in &status.given_up {
        warnings.push(format!("consumer {consumer} was given up: {reason}"));
    }
    if status.abandoned > 0 {
        warnings.push(format!(
            "{} threads of consumers that were given up have not ended; each keeps its client's memory and \
             connections (at most `watchdog.abandoned` = {} may)",
            status.abandoned, context.plan.watch.abandoned_max
        ));
    }
    for (pool, reason) in &status.pools_given_up {
        warnings.push(format!(
            "producer pool {pool} was given up: {reason}; its schedule was not kept"
        ));
    }
    for (_, event) in context.measurements.journal.since(0) {
        if let Event::RecordSkipped { .. } = event {
            warnings.push(format!("{event}: it could not be processed; mend it, or its handler"));
        }
    }
    warnings
}

/// What was found in the log that is not this run's.
fn of_records(context: &Context) -> Vec<String> {
    let mut warnings = Vec::new();
    let (mut gaps, mut foreign, mut earlier) = (0, 0, 0);
    for cell in context.measurements.cells.iter() {
        let cell = cell.lock();
        gaps += cell.offset_gaps;
        foreign += cell.counts().foreign;
        earlier += cell.counts().earlier;
    }
    if earlier > 0 {
        warnings.push(format!(
            "{earlier} records of earlier runs were processed: this run's own waited behind them, and their latency says \
             so; for latency without a backlog remove the checkpoint file"
        ));
    }
    if gaps > 0 {
        warnings
            .push(format!("{gaps} offsets held no record (compaction, transactions, or a loss)"));
    }
    if foreign > 0 {
        warnings.push(format!(
            "{foreign} records were not sent by this run: another producer writes to the topic; use one of the run's \
             own (leave `topic.name` out)"
        ));
    }
    warnings
}
