//! The figures of each stage of the load.

use super::{Measurements, StageShard};
use crate::base::Time;
use crate::plan::{Plan, StagePlan};
use crate::summary::{Digest, StageSummary};

/// The stages that a load from `start` to `until` reached.
pub(super) fn stages(
    plan: &Plan,
    (start, until): (Time, Time),
    measurements: &Measurements,
    shards: &[StageShard],
) -> Vec<StageSummary> {
    let state = measurements.stages.state();
    let mut due = vec![0; state.bounds.count()];
    for pool in &measurements.pools {
        due.iter_mut().zip(pool.lock().due_in_stages()).for_each(|(all, its)| *all += its);
    }
    let one = |(number, plan): (usize, &StagePlan)| {
        let (from, to) = state.bounds.span(number)?;
        let to = to.min(until);
        let seconds = to.since_ns(from) as f64 / 1e9;
        let shard = shards.get(number);
        (seconds > 0.0).then(|| StageSummary {
            stage: number as u32,
            name: plan.name.clone(),
            from_s: from.since_ns(start) as f64 / 1e9,
            to_s: to.since_ns(start) as f64 / 1e9,
            ended_early: state.ends.iter().any(|(ended, _)| *ended == number),
            offered: due[number],
            offered_per_s: Some(due[number] as f64 / seconds),
            processed_per_s: Some(shard.map_or(0, |shard| shard.processed) as f64 / seconds),
            response_us: shard.map_or_else(Digest::default, |shard| shard.response.digest()),
            lag_max: state.lag_max[number],
        })
    };
    plan.load.stages.iter().enumerate().map_while(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerKind, Offset, PartitionId, ProducerId};
    use crate::measure::{LaneShape, StageBounds};
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn s(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    fn plan() -> Plan {
        let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"1/s\"\n\
                    [[load.stage]]\nname = \"first\"\nfor = \"10s\"\n\
                    [[load.stage]]\nfor = \"10s\"\n[[load.stage]]\nfor = \"10s\"\n";
        let source = Source { name: "test".to_owned(), text: text.to_owned() };
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let (plan, found) = compile(&source, &[], &overrides);
        plan.unwrap_or_else(|| panic!("{found:?}"))
    }

    #[test]
    fn each_stage_that_began_has_its_own_rates() {
        let shape = LaneShape { fixed: true, partitions: 1, pools: 1 };
        let measurements = Measurements::new(shape, &[Offset(0)]);
        // A warmup of 5 s; the load is cut off in the middle of the second stage.
        let bounds = StageBounds::new([5, 15, 25, 35].map(s).to_vec());
        measurements.begin(s(0), (s(5), s(35)), Vec::new());
        measurements.begin_stages(&bounds, vec![false; 3]);
        for due in [4, 5, 9, 14, 15] {
            let mut pool = measurements.pools[0].lock();
            pool.sent(ProducerId(0), PartitionId(0), s(due), s(due));
        }
        measurements.stages.observe_lag(7, s(14));
        let mut shards = vec![StageShard::default(), StageShard::default()];
        shards[0].processed = 2;
        shards[0].response.record(5_000_000);
        let stages = stages(&plan(), (s(0), s(20)), &measurements, &shards);
        let facts = |it: &StageSummary| (it.stage, it.name.clone(), it.from_s, it.to_s, it.offered);
        assert_eq!(
            stages.iter().map(facts).collect::<Vec<_>>(),
            [(0, "first".to_owned(), 5.0, 15.0, 3), (1, "hold".to_owned(), 15.0, 20.0, 1),]
        );
        let rates =
            |it: &StageSummary| (it.offered_per_s, it.processed_per_s, it.response_us.count);
        assert_eq!(
            stages.iter().map(rates).collect::<Vec<_>>(),
            [(Some(0.3), Some(0.2), 1), (Some(0.2), Some(0.0), 0),]
        );
        assert_eq!((stages[0].lag_max, stages[1].lag_max, stages[0].ended_early), (7, 0, false));
    }
}
