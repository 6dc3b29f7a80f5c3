//! The run's account: what was known when the load began, put together with what was measured since.

use std::time::Duration;

use tokio::sync::watch;

use super::environment::RunEnvironment;
use super::{host, sim, unprocessed, warnings};
use crate::actors::{Context, Hosting, Status};
use crate::base::Time;
use crate::measure::{Collector, Ended, Facts, assemble};
use crate::summary::Summary;

/// Makes the run's summary: once a second while it goes on, and at its end.
#[derive(Clone)]
pub(super) struct Account {
    context: Context,
    status: watch::Receiver<Status>,
    /// What does not change any more.
    begun: Facts,
}

impl Account {
    /// The account of a load that begins at `start`, after the consumers needed `startup` to be ready.
    pub(super) fn new(
        context: &Context,
        environment: &RunEnvironment,
        status: watch::Receiver<Status>,
        start: Time,
        startup: Duration,
    ) -> Account {
        let times = context.plan.times;
        let begun = Facts {
            run: Some(context.run),
            topic: environment.topic.clone(),
            resumed: environment.from.resumed.clone(),
            broker_version: environment.broker_version.clone(),
            client: environment.client.clone(),
            client_config: environment.client_config.clone(),
            host: environment.host.clone(),
            start,
            measured: (start + times.warmup, start + times.load_end()),
            load_started_at: host::wall_clock(&context.clock, start),
            handler: context.handlers.as_ref().map(|handlers| handlers.name().to_owned()),
            startup_ms: Some(startup.as_secs_f64() * 1e3),
            ..Facts::default()
        };
        Account { context: context.clone(), status, begun }
    }

    /// The summary of a run whose load ended at `until`, or that goes on and has come to `until`.
    pub(super) fn summary(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        mut warnings: Vec<String>,
    ) -> Summary {
        let status = self.status.borrow().clone();
        warnings.extend(warnings::warnings(&self.context, &status));
        let (from, to) = self.begun.measured;
        let measured = (from, to.min(until).max(from));
        let unprocessed = match ended {
            Ended::NotYet => None,
            Ended::InOrder | Ended::Interrupted => {
                let now = self.context.clock.now();
                unprocessed::ages(&self.context, self.begun.start, measured, now)
            }
        };
        let facts = Facts {
            until,
            measured,
            unprocessed,
            consumers_started: status.consumers_started as u32,
            restarts: status.restarts,
            given_up: status.given_up,
            abandoned: status.abandoned,
            simulation: match &self.context.hosting {
                Hosting::Kernel(kernel) => Some(sim::account(kernel)),
                Hosting::Threads => None,
            },
            ended,
            warnings,
            ..self.begun.clone()
        };
        assemble(&self.context.plan, &facts, &self.context.measurements, collector)
    }
}
