//! The figures of each stage of the load.

use super::{Measurements, StageShard};
use crate::base::Time;
use crate::plan::{Plan, StagePlan};
use crate::summary::{Digest, StageSummary};

/// The stages the run came to, of a load from `start` to `until`.
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
