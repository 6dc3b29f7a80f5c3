//! Times in which the cluster was taken to be down, from the journal.

use super::Event;
use crate::base::Time;
use crate::summary::Outage;

/// The outages of a run whose load began at `start`.
pub fn outages(journal: &[(Time, Event)], start: Time) -> Vec<Outage> {
    let mut outages: Vec<Outage> = Vec::new();
    for (at, event) in journal {
        let at_s = at.since_ns(start) as f64 / 1e9;
        match (event, outages.last_mut()) {
            (Event::GateShut { failed }, _) => {
                outages.push(Outage { from_s: at_s, to_s: None, failed: *failed, probes: 0 });
            }
            (Event::GateProbe { .. }, Some(last)) => last.probes += 1,
            (Event::GateOpened { .. }, Some(last)) => last.to_s = Some(at_s),
            _ => {}
        }
    }
    outages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ConsumerId;

    #[test]
    fn an_outage_lasts_from_the_shut_gate_to_the_open_one() {
        let s = |s: i64| Time(s * 1_000_000_000);
        let journal = [
            (s(12), Event::GateShut { failed: 6 }),
            (s(13), Event::GateProbe { consumer: ConsumerId(1) }),
            (s(14), Event::GateProbe { consumer: ConsumerId(2) }),
            (s(15), Event::GateOpened { held: 5 }),
            (s(20), Event::GateShut { failed: 7 }),
        ];
        let first = Outage { from_s: 2.0, to_s: Some(5.0), failed: 6, probes: 2 };
        let second = Outage { from_s: 10.0, to_s: None, failed: 7, probes: 0 };
        assert_eq!(outages(&journal, s(10)), [first, second]);
    }
}
