//! Finds and removes topics and groups that earlier runs have left on a cluster, without a run.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::administrator::environment;
use super::inspect::cleaner_at;
use crate::base::Clock;
use crate::broker::settings::ClientFile;
use crate::broker::setup::{Cleaner, Deadline, LeftBehind};
use crate::error::Error;
use crate::plan::Plan;

/// Time limit of a search.
const SEARCH: Duration = Duration::from_secs(60);
/// Time limit of the removal of one topic or group.
const REMOVAL: Duration = Duration::from_secs(20);

/// A cluster on which earlier runs may have left topics and groups.
pub struct Cleaning {
    cleaner: Box<dyn Cleaner>,
    clock: Clock,
    runtime: Runtime,
}

impl Cleaning {
    /// For the cluster of `plan`. Other parts of the plan are not used.
    ///
    /// # Errors
    /// The plan is for no cluster elsewhere, its properties are refused, or this build cannot do it.
    pub fn new(plan: &Plan, client: ClientFile) -> Result<Cleaning, Error> {
        let bootstrap = plan.broker.bootstrap.as_deref().unwrap_or_default();
        let (cleaner, clock, runtime) = cleaner_at(plan, bootstrap, client)?;
        Ok(Cleaning { cleaner, clock, runtime })
    }

    /// Topics, then groups, that runs have named. Blocks for at most one minute.
    ///
    /// # Errors
    /// No broker answers.
    pub fn find(&self) -> Result<Vec<LeftBehind>, Error> {
        self.cleaner.left_behind(&Deadline::of(self.clock, SEARCH)).map_err(environment)
    }

    /// Removes one of them. Blocks for at most 20 s.
    ///
    /// # Errors
    /// The error of the broker.
    pub fn remove(&self, left: &LeftBehind) -> Result<(), Error> {
        let deadline = Deadline::of(self.clock, REMOVAL);
        self.runtime.block_on(self.cleaner.remove(left, &deadline)).map_err(environment)
    }
}
