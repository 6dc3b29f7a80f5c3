//! What a run has changed outside this process and has to take back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are not taken back yet, each with what a user does about it if the run cannot. Cheap to clone; every
/// clone has the same list.
#[derive(Clone, Debug, Default)]
pub struct Leftovers(Arc<Mutex<BTreeMap<String, String>>>);

impl Leftovers {
    /// Notes a change before it is made: `what` it is, and the remedy.
    pub fn add(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.lock().insert(what.into(), remedy.into());
    }

    /// The change was taken back, or was not made after all.
    pub fn remove(&self, what: &str) {
        self.lock().remove(what);
    }

    /// Says why a change that was noted could not be taken back.
    pub fn explain(&self, what: &str, why: &str) {
        if let Some(remedy) = self.lock().get_mut(what) {
            *remedy = format!("{why}; {remedy}");
        }
    }

    /// What is left, a line for each.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|(what, remedy)| format!("{what}: {remedy}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_is_not_listed() {
        let leftovers = Leftovers::default();
        leftovers.clone().add("topic `a`", "delete it");
        leftovers.add("topic `b`", "delete it, too");
        leftovers.remove("topic `a`");
        leftovers.explain("topic `b`", "no answer");
        assert_eq!(leftovers.lines(), ["topic `b`: no answer; delete it, too"]);
    }
}
