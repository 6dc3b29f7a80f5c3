//! The summary of a run: facts from before the load, measurements, and warnings with remedies.

use std::time::Duration;

use tokio::sync::watch;

use super::environment::RunEnvironment;
use super::shares::SharedRun;
use crate::actors::{Context, Status};
use crate::base::Time;
use crate::logic::unprocessed_ages;
use crate::measure::{
    Collector, Ended, Event, Measurements, RunFacts, SharePart, assemble, without_accounts,
};
use crate::plan::Pace;
use crate::summary::Summary;

/// Makes the run's summary: once a second during the run, and at its end.
#[derive(Clone)]
pub(super) struct SummaryBuilder {
    context: Context,
    status: watch::Receiver<Status>,
    /// The facts that do not change any more.
    fixed: RunFacts,
}

impl SummaryBuilder {
    /// The builder for a load that begins at `start`. The consumers needed `startup` to be ready.
    pub(super) fn new(
        context: &Context,
        environment: &RunEnvironment,
        status: watch::Receiver<Status>,
        start: Time,
        startup: Duration,
    ) -> SummaryBuilder {
        let times = context.plan.times;
        let fixed = RunFacts {
            run: Some(context.run),
            topic: environment.topic.clone(),
            resumed: environment.from.resumed.clone(),
            broker_version: environment.broker_version.clone(),
            client: environment.client.clone(),
            client_config: environment.client_config.clone(),
            sending: Some(environment.sending.clone()),
            host: environment.host.clone(),
            start,
            measured: (start + times.warmup, start + times.load_end()),
            clock: Some(context.clock),
            handler: context.handlers.as_ref().map(|handlers| handlers.name().to_owned()),
            startup_ms: Some(startup.as_secs_f64() * 1e3),
            requests: environment.requests.clone(),
            ..RunFacts::default()
        };
        if let Some(requests) = &fixed.requests {
            requests.measure(fixed.measured.0, fixed.measured.1);
        }
        SummaryBuilder { context: context.clone(), status, fixed }
    }

    /// The measurements of the run.
    pub(super) fn measurements(&self) -> &Measurements {
        &self.context.measurements
    }

    /// The summary of a run whose load ended at `until`, or which continues and has progressed to `until`.
    pub(super) fn summary(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        warnings: Vec<String>,
    ) -> Summary {
        let facts = self.facts(ended, until, warnings);
        assemble(&self.context.plan, &facts, &self.context.measurements, collector)
    }

    /// The part of one of several processes, whose load ended at `until`.
    pub(super) fn part(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        warnings: Vec<String>,
        shared: &SharedRun,
    ) -> SharePart {
        let facts = self.facts(ended, until, warnings);
        let measurements = &self.context.measurements;
        let alone = assemble(&self.context.plan, &facts, measurements, collector);
        let mut part = shared.empty_part(without_accounts(alone));
        (part.run_id, part.ended) = (self.context.run.to_string(), ended);
        (part.start, part.until, part.measured) = (facts.start, facts.until, facts.measured);
        (part.over, part.warnings) = (self.context.clock.now(), facts.warnings);
        measurements.into_part(&mut part, collector);
        part
    }

    fn facts(&self, ended: Ended, until: Time, mut warnings: Vec<String>) -> RunFacts {
        let status = self.status.borrow().clone();
        self.context.runtime.note_leaders(&self.context.measurements);
        warnings.extend(all_warnings(&self.context, &status));
        let (from, to) = self.fixed.measured;
        let measured = (from, to.min(until).max(from));
        let unprocessed = match ended {
            Ended::NotYet => None,
            Ended::InOrder | Ended::Interrupted => {
                let now = self.context.clock.now();
                let (plan, measurements) = (&self.context.plan, &self.context.measurements);
                unprocessed_ages(plan, measurements, self.fixed.start, measured, now)
            }
        };
        RunFacts {
            until,
            measured,
            unprocessed,
            consumers_started: status.consumers_started as u32,
            restarts: status.restarts,
            given_up: status.given_up,
            abandoned: status.abandoned,
            simulation: self.context.runtime.simulation(),
            ended,
            warnings,
            ..self.fixed.clone()
        }
    }
}

/// All warnings of a run, from its measurements and from the supervision.
fn all_warnings(context: &Context, status: &Status) -> Vec<String> {
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

/// Warnings about assumptions that the figures depend on.
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
    if context.clock.is_simulated() {
        warnings.push(
            "simulated: latencies come from the `[sim]` model, not from a cluster (uncalibrated)"
                .to_owned(),
        );
    }
    warnings
}

/// Warnings about consumers that were given up, abandoned threads, and skipped records.
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

/// Warnings about records in the log that are not of this run.
fn of_records(context: &Context) -> Vec<String> {
    let sends = context.plan.load.sends();
    let mut warnings = Vec::new();
    let (mut gaps, mut other_producers, mut earlier) = (0, 0, 0);
    for cell in context.measurements.cells.iter() {
        let cell = cell.lock();
        gaps += cell.offset_gaps;
        other_producers += cell.counts().other_producers;
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
    if other_producers > 0 && sends {
        warnings.push(format!(
            "{other_producers} records were not sent by this run: another producer writes to the topic; use one of the run's \
             own (leave `topic.name` out)"
        ));
    }
    warnings
}
