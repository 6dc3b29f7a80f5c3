//! Writes the backlog before any consumer is started.

use std::sync::Arc;

use super::run_control::{RunControl, Waited};
use crate::actors::{PoolShared, SupervisorMsg};
use crate::base::{PoolId, Time, format_duration};
use crate::error::Error;
use crate::logic::Pacer;

impl RunControl {
    /// Writes the plan's backlog, if there is one, and waits for its acknowledgements. The next step is to start the
    /// consumers.
    pub(super) async fn write_backlog(&mut self) -> Result<(), Error> {
        let plan = self.context.plan.clone();
        if plan.load.backlog.is_none() {
            return Ok(());
        }
        let began = self.context.clock.now();
        let pool = |pool: u32| {
            let pool = PoolId(pool);
            Arc::new(PoolShared { pool, pacer: Pacer::of_backlog(&plan, pool, began).into() })
        };
        self.tell(SupervisorMsg::StartBacklog { pools: (0..plan.load.pools).map(pool).collect() });
        self.until_written(began).await?;
        self.tell(SupervisorMsg::EndBacklog);
        // The load has pools of its own.
        if self.until_done(plan.times.startup, |status| !status.pools_over).await
            != Waited::Happened
        {
            return Err(Error::Bug("the pools of the backlog are still there".to_owned()));
        }
        let now = self.context.clock.now();
        self.context.measurements.begin_backlog(began, now);
        Ok(())
    }

    /// Waits until every record is acknowledged, as long as acknowledgements arrive.
    async fn until_written(&mut self, began: Time) -> Result<(), Error> {
        let limit = self.context.plan.times.startup;
        let mut acked = 0;
        loop {
            let waited = self.until(limit, |status| status.pools_over).await;
            let (before, refused) = (acked, self.refused());
            acked = self.acked();
            let of = self.context.plan.load.backlog.unwrap_or(0);
            match waited {
                Waited::Interrupted => return Err(Error::Interrupted),
                Waited::TooLong if acked > before => {}
                Waited::TooLong => {
                    return Err(Error::Environment(format!(
                        "no record of the backlog was acknowledged within {}, {acked} of {of} before; check the cluster's \
                         health, or raise `run.startup`",
                        format_duration(limit)
                    )));
                }
                Waited::Happened if acked < of => {
                    let why = refused.map_or_else(String::new, |name| format!(" ({name})"));
                    return Err(Error::Environment(format!(
                        "only {acked} of {of} records of the backlog were acknowledged{why}; check the topic and this \
                         user's rights"
                    )));
                }
                Waited::Happened => {
                    let took = self.context.clock.now().remaining(began);
                    tracing::info!(records = acked, took = %format_duration(took), "the backlog is written");
                    return Ok(());
                }
            }
        }
    }

    fn acked(&self) -> u64 {
        let of = |pool: &crate::measure::PoolCell| -> u64 {
            pool.lock().totals().map(|total| total.acked).sum()
        };
        self.context.measurements.pools.iter().map(of).sum()
    }

    /// The error with which most records were refused, if any were.
    fn refused(&self) -> Option<String> {
        let pools = self.context.measurements.pools.iter();
        let worst = |pool: &crate::measure::PoolCell| {
            let pool = pool.lock();
            pool.errors.iter().max_by_key(|(_, times)| **times).map(|it| it.0.clone())
        };
        pools.filter_map(worst).next()
    }
}
