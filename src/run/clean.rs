//! What earlier runs have left on a cluster, without a run.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::administrator::environment;
use super::inspect::cleaner_at;
use crate::base::Clock;
use crate::broker::settings::ClientFile;
use crate::broker::setup::{Cleaner, Deadline, LeftBehind};
use crate::error::Error;
use crate::plan::Plan;

/// The longest search.
const SEARCH: Duration = Duration::from_secs(60);
/// The longest removal of one topic or group.
const REMOVAL: Duration = Duration::from_secs(20);

/// A cluster on which runs may have left something.
pub struct Cleaning {
    cleaner: Box<dyn Cleaner>,
    clock: Clock,
    runtime: Runtime,
}

impl Cleaning {
    /// For the cluster of `plan`, of which nothing else is used.
    ///
    /// # Errors
    /// The plan is for no cluster elsewhere, its properties are refused, or this build cannot do it.
    pub fn new(plan: &Plan, client: ClientFile) -> Result<Cleaning, Error> {
        let bootstrap = plan.broker.bootstrap.as_deref().unwrap_or_default();
        let (cleaner, clock, runtime) = cleaner_at(plan, bootstrap, client)?;
        Ok(Cleaning { cleaner, clock, runtime })
    }

    /// Topics, then groups, that carry the mark of a run. Blocks for a minute at most.
    ///
    /// # Errors
    /// No broker answers.
    pub fn find(&self) -> Result<Vec<LeftBehind>, Error> {
        self.cleaner.left_behind(&Deadline::of(self.clock, SEARCH)).map_err(environment)
    }

    /// Removes one of them. Blocks for 20 s at most.
    ///
    /// # Errors
    /// What the broker said.
    pub fn remove(&self, left: &LeftBehind) -> Result<(), Error> {
        let deadline = Deadline::of(self.clock, REMOVAL);
        self.runtime.block_on(self.cleaner.remove(left, &deadline)).map_err(environment)
    }
}
