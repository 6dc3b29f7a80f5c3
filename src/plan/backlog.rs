//! The estimated time for catching up with the backlog that exists when the consumers start.

use super::{Placement, Plan};

/// The estimated time that consumers need for the backlog, from rates and work.
#[derive(Clone, Debug, PartialEq)]
pub struct CatchUp {
    /// Seconds until the slowest consumer has caught up; `None` if it never does.
    pub seconds: Option<f64>,
    /// Name of the slowest consumer or partition in texts.
    pub slowest: String,
    /// Records of the backlog that it has to read.
    pub records: f64,
    /// Records that it can process per second.
    pub capacity: f64,
    /// Records that arrive for it per second, at the load's own rate.
    pub arrives: f64,
}

impl Plan {
    /// The time that consumers need for the backlog: records / (capacity - rate), for the slowest partition, or the
    /// slowest member with several partitions. `None` without a backlog, at maximum rate, or if the work on a record is
    /// not known.
    pub fn catch_up(&self) -> Option<CatchUp> {
        let backlog = self.load.backlog.filter(|_| self.consumers.work.is_some())? as f64;
        let load = &self.load;
        let placement =
            Placement::new(load.partition, self.topic.partitions, load.skew, self.seed, self.seed)
                .with_key_skew(load.key_skew);
        let shares = placement.shares(load.producers);
        let per_second = load.per_second()?;
        let utilisation = self.utilisation();
        let groups: Vec<(String, Vec<u32>)> = match utilisation.members.is_empty() {
            true => {
                let ids = utilisation.partitions.iter().map(|its| its.partition);
                ids.map(|id| (format!("partition {id}"), vec![id])).collect()
            }
            false => utilisation.members.into_iter().map(|it| (it.name, it.partitions)).collect(),
        };
        let of = |(slowest, ids): (String, Vec<u32>)| {
            let share: f64 = ids.iter().map(|id| shares[*id as usize]).sum();
            let work =
                |id: &u32| shares[*id as usize] * self.consumers.work.of(*id).mean().as_secs_f64();
            // Seconds of work of this consumer for each record of the whole load.
            let work_s: f64 = ids.iter().map(work).sum();
            let free = 1.0 - per_second * work_s;
            CatchUp {
                seconds: (free > 0.0).then(|| backlog * work_s / free),
                slowest,
                records: backlog * share,
                capacity: share / work_s,
                arrives: per_second * share,
            }
        };
        let time = |it: &CatchUp| it.seconds.unwrap_or(f64::INFINITY);
        let all = groups.into_iter().map(of).filter(|it| it.records > 0.0);
        all.max_by(|a, b| time(a).total_cmp(&time(b)))
    }
}
