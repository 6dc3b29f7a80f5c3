//! The limits of a simulation. They end a simulation that does not end by itself or does not fit into memory.

use std::fmt;

use crate::base::Time;

/// Number of events between two checks.
pub(super) const CHECK_EVERY: u64 = 1 << 14;
/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimLimits {
    /// Virtual time at which the run must have ended.
    pub until: Time,
    /// Largest number of events.
    pub events: u64,
    /// Largest number of bytes in messages that are in flight, or at brokers that do not take them.
    pub bytes: usize,
}

impl SimLimits {
    /// The limits of a run that ends before `until`: ten billion events, which take an hour or more, and 2 GiB.
    pub fn until(until: Time) -> SimLimits {
        SimLimits { until, events: 10_000_000_000, bytes: 2 << 30 }
    }
}

/// A limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Virtual time: the run has not ended.
    Time(Time),
    /// Number of events, and the time.
    Events(u64, Time),
    /// Bytes in flight, and the time.
    Bytes(usize, Time),
    /// A limit outside the simulation.
    Other(String),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exceeded::Time(at) => {
                write!(
                    f,
                    "the simulation did not end: its virtual time is {at}, past every limit of the run"
                )
            }
            Exceeded::Events(events, at) => write!(
                f,
                "the simulation has had {events} events up to virtual time {at}, and more are not allowed; lower \
                 `load.rate`, or shorten `run.duration`"
            ),
            Exceeded::Bytes(bytes, at) => write!(
                f,
                "messages of {} MiB are under way in the simulation at virtual time {at}, and more do not fit; lower \
                 `load.rate` or `load.payload`, raise `sim.bandwidth`, or let producers wait with `load.acks = \"all\"`",
                bytes >> 20
            ),
            Exceeded::Other(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::{Clock, Seed};
    use crate::broker::model::ClusterSettings;
    use crate::broker::model::group::GroupSettings;
    use crate::broker::protocol::{Batch, Produce, Request};
    use crate::broker::sim::{Kernel, NetworkSettings, StepOutcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn kernel(limits: SimLimits) -> Kernel {
        let cluster = ClusterSettings {
            brokers: 1,
            cores: 1,
            request_cost: Duration::ZERO,
            partitions: 1,
            replication_factor: 1,
            min_insync: 1,
            unclean_elections: false,
            link: Duration::ZERO,
            broker_session: SECOND,
            replica_lag_max: SECOND,
            leader_balance: None,
            retention_bytes: 1 << 30,
            group: GroupSettings::default(),
        };
        let network =
            NetworkSettings { latency: SECOND / 1000, jitter: Duration::ZERO, bandwidth: None };
        let never = tokio::sync::watch::channel(false).1;
        Kernel::new(Clock::simulated().1, Seed(1), cluster, network, 1, limits, never)
    }

    fn ends(kernel: &mut Kernel) -> Exceeded {
        loop {
            match kernel.step() {
                StepOutcome::Exceeded(exceeded) => return exceeded,
                StepOutcome::ActorsBusy | StepOutcome::Interrupted => {}
                StepOutcome::Finished => panic!("something is always to come"),
            }
        }
    }

    #[test]
    fn what_goes_on_for_ever_ends_at_a_time() {
        let until = Time::ZERO + 3600 * SECOND;
        let mut kernel = kernel(SimLimits::until(until));
        kernel.handle().at(Time::ZERO, Box::new(|now| Some(now + SECOND)));
        assert_eq!(ends(&mut kernel), Exceeded::Time(until + SECOND));
    }

    #[test]
    fn what_goes_on_at_one_instant_ends_after_some_events() {
        let limits = SimLimits { events: 100_000, ..SimLimits::until(Time::NEVER) };
        let mut kernel = kernel(limits);
        kernel.handle().at(Time::ZERO, Box::new(Some));
        let Exceeded::Events(events, Time::ZERO) = ends(&mut kernel) else { panic!("of events") };
        assert!((100_000..100_000 + CHECK_EVERY).contains(&events), "{events}");
    }

    #[test]
    fn messages_under_way_are_counted_and_those_of_connections_that_ended_are_cleared_away() {
        let limits = SimLimits { bytes: 16 << 20, ..SimLimits::until(Time::NEVER) };
        let mut kernel = kernel(limits);
        kernel.network.request_arrives(Time::ZERO, 0, 0, 0);
        let mut send = |count: i64| {
            for i in 0..count {
                let mut produce = Box::<Produce>::default();
                let mut batch = Batch::default();
                batch.push(&[0; 1024]);
                produce.batch = Some(Arc::new(batch));
                let key = kernel.queue.key(Time(i64::MAX / 2 + i), 0);
                kernel.put_request(key, 0, 0, Request::Produce(produce));
            }
            kernel.exceeded()
        };
        assert_eq!(send(12_000), None);
        assert!(matches!(send(5_000), Some(Exceeded::Bytes(..))));
        kernel.network.end(0, 0);
        assert_eq!((kernel.exceeded(), kernel.network.requests().count()), (None, 0));
    }

    #[test]
    fn another_machine_can_end_it() {
        let mut kernel = kernel(SimLimits::until(Time::NEVER));
        kernel.handle().fail("full".to_owned());
        assert_eq!(ends(&mut kernel), Exceeded::Other("full".to_owned()));
    }
}
