//! The number of brokers that the commands of a run stop at once, and the number that a topic's replicas allow.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{FaultPlan, Plan};
use crate::fault::FaultEffect;

/// The number of brokers that may be down at once while a topic with `copies` replicas accepts records. `min_insync`
/// replicas must be in sync for `acks = all` (`min.insync.replicas`), at least one.
pub fn brokers_down_max(copies: u32, min_insync: u32) -> u32 {
    copies.saturating_sub(min_insync.max(1))
}

/// Brokers that are down at once although the replicas do not allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownAtOnce {
    /// Index of the `[[fault]]` that stops the last of them.
    pub entry: usize,
    /// Time from the start of the load.
    pub at: Duration,
    /// Ids of the brokers.
    pub brokers: BTreeSet<u32>,
}

impl DownAtOnce {
    /// The ids as text.
    pub fn named(&self) -> String {
        let ids: Vec<String> = self.brokers.iter().map(ToString::to_string).collect();
        match ids.as_slice() {
            [one] => format!("broker {one}"),
            some => format!("brokers {}", some.join(", ")),
        }
    }
}

/// For each `[[fault]]` that does not allow an outage, its first occurrence with which more than `most` brokers are
/// down. `faults` are in the order of their times. A command without an end lasts until the end of the run.
pub(super) fn down_at_once(faults: &[FaultPlan], most: u32) -> Vec<DownAtOnce> {
    let mut found: Vec<DownAtOnce> = Vec::new();
    let mut down: Vec<(Duration, &BTreeSet<u32>)> = Vec::new();
    for fault in faults {
        let FaultEffect::Exec(exec) = &fault.kind.effect else { continue };
        if exec.brokers.is_empty() {
            continue;
        }
        down.retain(|(end, _)| *end > fault.at);
        down.push((if exec.end.is_empty() { Duration::MAX } else { fault.end() }, &exec.brokers));
        let brokers: BTreeSet<u32> = down.iter().flat_map(|(_, its)| its.iter().copied()).collect();
        let is_known = found.iter().any(|it| it.entry == fault.entry);
        if brokers.len() > most as usize && !exec.allow_outage && !is_known {
            found.push(DownAtOnce { entry: fault.entry, at: fault.at, brokers });
        }
    }
    found
}

impl Plan {
    /// True if the scenario names brokers that a fault's command stops.
    pub fn stops_brokers(&self) -> bool {
        !self.stopped_brokers().is_empty()
    }

    /// The brokers that commands of faults stop.
    pub fn stopped_brokers(&self) -> BTreeSet<u32> {
        let stopped = self.faults.iter().filter_map(|fault| match &fault.kind.effect {
            FaultEffect::Exec(exec) => Some(exec.brokers.iter().copied()),
            _ => None,
        });
        stopped.flatten().collect()
    }

    /// The first time at which more than `most` brokers are down, unless an outage is allowed.
    pub fn too_many_down(&self, most: u32) -> Option<DownAtOnce> {
        down_at_once(&self.faults, most).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn plan(faults: &str) -> Plan {
        let text =
            format!("[run]\nwarmup = \"0s\"\nduration = \"60s\"\n[topic]\nname = \"t\"\n{faults}");
        let source = Source { name: "test.toml".to_owned(), text };
        let bootstrap = Some("127.0.0.1:9".to_owned());
        let (plan, diagnostics) =
            compile(&source, &[], &Overrides { bootstrap, ..Overrides::default() });
        plan.unwrap_or_else(|| panic!("{diagnostics:?}"))
    }

    fn fault(at_s: u32, for_s: u32, more: &str) -> String {
        format!(
            "[[fault]]\nat = \"{at_s}s\"\nfor = \"{for_s}s\"\n\
             exec = {{ start = [\"true\"], end = [\"true\"], {more} }}\n"
        )
    }

    #[test]
    fn as_many_brokers_may_be_down_as_leave_the_replicas_that_are_needed() {
        let most = [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (5, 2), (1, 2), (3, 0)];
        let most = most.map(|(copies, min_insync)| brokers_down_max(copies, min_insync));
        assert_eq!(most, [0, 1, 2, 1, 0, 3, 0, 2]);
    }

    #[test]
    fn brokers_of_faults_that_overlap_are_down_at_once() {
        let apart = plan(&(fault(5, 5, "brokers = [1]") + &fault(10, 5, "brokers = [2]")));
        assert_eq!(apart.too_many_down(1), None);
        assert_eq!(apart.stopped_brokers(), BTreeSet::from([1, 2]));
        let together = fault(5, 6, "brokers = [1]") + &fault(10, 5, "brokers = [2]");
        let found = plan(&together).too_many_down(1).expect("two brokers");
        assert_eq!((found.entry, found.at), (1, Duration::from_secs(10)));
        assert_eq!(found.named(), "brokers 1, 2");
        assert_eq!(plan(&together).too_many_down(2), None);
        // The same broker twice counts once.
        let same = fault(5, 6, "brokers = [1]") + &fault(10, 5, "brokers = [1]");
        assert_eq!(plan(&same).too_many_down(1), None);
        // A command without brokers does not count, and an outage may be allowed.
        let other = fault(5, 6, "brokers = [1]") + &fault(10, 5, "brokers = []");
        assert_eq!(plan(&other).too_many_down(1), None);
        let meant =
            fault(5, 6, "brokers = [1]") + &fault(10, 5, "brokers = [2], allow_outage = true");
        assert_eq!(plan(&meant).too_many_down(1), None);
    }

    #[test]
    fn a_broker_that_is_never_started_again_stays_down() {
        let forever = "[[fault]]\nat = \"1s\"\nexec = { start = [\"true\"], brokers = [1] }\n";
        let found = plan(&(forever.to_owned() + &fault(50, 5, "brokers = [2]"))).too_many_down(1);
        assert_eq!(found.expect("two brokers").entry, 1);
    }
}
