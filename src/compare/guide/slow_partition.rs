//! The slow partition of a load in the suite, and the settings that make it slow.

use crate::plan::{PartitionUse, Plan};

/// Utilisation of the slow partition's consumer, as in the scenarios of the guide's claims.
const BUSY: f64 = 0.67;
/// The slow partition of the guide's load.
const OF_GUIDE: u32 = 4;

/// The partition whose records take longer than others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SlowPartition {
    /// Id of the partition.
    pub(super) id: u32,
    /// Seconds of work for each of its records; `None` if the load itself makes it slow.
    pub(super) work_s: Option<f64>,
}

impl SlowPartition {
    /// The slow partition of the guide's load, which sends `partition_rate` records per second to each of `partitions`
    /// partitions.
    pub(super) fn of_guide(partition_rate: f64, partitions: u32) -> SlowPartition {
        SlowPartition { id: OF_GUIDE.min(partitions - 1), work_s: Some(BUSY / partition_rate) }
    }

    /// The slow partition of a user's load. If the busiest partition reaches the utilisation without more work, it is
    /// the slow one. Otherwise the slow one is a partition with a median rate.
    pub(super) fn of_load(plan: &Plan, partition_rate: f64) -> SlowPartition {
        let utilisation = plan.utilisation();
        let busiest = utilisation.busiest_partition().filter(|it| it.consumers() >= BUSY);
        if let Some(busiest) = busiest {
            return SlowPartition { id: busiest.partition, work_s: None };
        }
        let mut by_rate: Vec<&PartitionUse> =
            utilisation.partitions.iter().filter(|it| it.per_second > 0.0).collect();
        by_rate.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        match by_rate.get(by_rate.len() / 2) {
            Some(median) => {
                SlowPartition { id: median.partition, work_s: Some(BUSY / median.per_second) }
            }
            None => SlowPartition::of_guide(partition_rate, plan.topic.partitions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Overrides;
    use crate::scenario::Source;

    fn slow(consumers: &str, load: &str) -> SlowPartition {
        let text = format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\n{load}\n\
             [consumers]\n{consumers}\n[run]\nduration = \"5s\"\n"
        );
        let source = Source { name: "load.toml".to_owned(), text };
        let (plan, found) = crate::plan::compile(&source, &[], &Overrides::default());
        SlowPartition::of_load(&plan.unwrap_or_else(|| panic!("{found:?}")), 100.0)
    }

    #[test]
    fn a_partition_that_the_load_makes_slow_is_the_slow_one() {
        let skewed = slow("work = { wait = \"3ms\" }", "partition = \"random\"\nskew = 1.0");
        assert_eq!(skewed, SlowPartition { id: 0, work_s: None });
    }

    #[test]
    fn otherwise_one_with_a_median_rate_gets_work_for_its_own_rate() {
        let SlowPartition { id, work_s } =
            slow("work = { wait = \"10us\" }", "partition = \"random\"\nskew = 1.0");
        // Zipf: the first partition gets most records, the last one least.
        assert!((1..5).contains(&id), "{id}");
        let rate = BUSY / work_s.expect("work");
        assert!(rate < 100.0, "the mean rate is no median of a skewed load: {rate}");
    }

    #[test]
    fn without_known_work_it_is_that_of_the_guide() {
        let SlowPartition { id, work_s } = slow("", "");
        assert_eq!((id, work_s.map(|it| (it * 100.0 * 100.0).round())), (4, Some(67.0)));
    }
}
