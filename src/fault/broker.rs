//! Faults of brokers themselves. Their links are in `link`.

use std::time::Duration;

use super::effect::BrokerChange;
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Planned, brokers, draw_ms};
use super::targets::{BrokerAim, Pick};
use crate::base::format_duration;
use crate::reader::section::section;
use crate::reader::{At, Findings, GivenKey};

/// `broker_down`
pub(super) struct BrokerDown;

impl FaultKind for BrokerDown {
    type Keys = BrokerAim;
    const NAME: &'static str = "broker_down";
    const DOC: &'static str = "Brokers of the embedded cluster are unreachable for `for`; brokers of the simulator \
                               crash and restart.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "take away";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_own_cluster(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::Down, Some(BrokerChange::Up))
    }
}

section! {
    /// Brokers that answer later.
    BrokerRtt {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each response.
        delay: Duration = required, "50ms";
    }
}

impl FaultKind for BrokerRtt {
    type Keys = BrokerRtt;
    const NAME: &'static str = "broker_rtt";
    const DOC: &'static str =
        "Brokers of the embedded cluster or the simulator delay their responses for `for`.";
    const EXAMPLE: &'static str = "{ broker = 1, delay = \"50ms\" }";
    const VERB: &'static str = "slow down";
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::lasting(Hits::Broker)
            .with(|keys, random| draw_ms(keys, "delay", 200, random))];

    fn plan(keys: &At<BrokerRtt>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_own_cluster(Self::NAME, keys.key, found);
        let (_, delay) = (keys.value.broker.as_ref()?, keys.value.delay.as_ref()?);
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        let reason = "the embedded cluster counts whole milliseconds";
        let key = GivenKey::new("broker_rtt.delay", Some(delay));
        let delay = found.duration(key, delay.value, range, reason);
        let end = BrokerChange::Rtt(Duration::ZERO);
        let planned = brokers(&keys.value.broker, BrokerChange::Rtt(delay), Some(end))?;
        Some(planned.described(format!(" +{}", format_duration(delay))))
    }
}

/// `broker_pause`
pub(super) struct BrokerPause;

impl FaultKind for BrokerPause {
    type Keys = BrokerAim;
    const NAME: &'static str = "broker_pause";
    const DOC: &'static str =
        "Brokers of the simulator pause for `for` (as with SIGSTOP); requests wait.";
    const EXAMPLE: &'static str = "{ broker = 1 }";
    const VERB: &'static str = "pause";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Broker)];

    fn plan(keys: &At<BrokerAim>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        brokers(&keys.value.broker, BrokerChange::Pause, Some(BrokerChange::GoOn))
    }
}

section! {
    /// Brokers with a slow disk.
    SlowDisk {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each append.
        add: Duration = required, "20ms";
    }
}

impl FaultKind for SlowDisk {
    type Keys = SlowDisk;
    const NAME: &'static str = "slow_disk";
    const DOC: &'static str =
        "Each append to the disks of brokers of the simulator takes longer for `for`.";
    const EXAMPLE: &'static str = "{ broker = 1, add = \"20ms\" }";
    const VERB: &'static str = "slow down";
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::lasting(Hits::Broker).with(|keys, random| draw_ms(keys, "add", 20, random))];

    fn plan(keys: &At<SlowDisk>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let (_, add) = (keys.value.broker.as_ref()?, keys.value.add.as_ref()?);
        let range = Duration::from_micros(1)..=Duration::from_secs(60);
        let reason = "a disk that needs longer is broken";
        let key = GivenKey::new("slow_disk.add", Some(add));
        let add = found.duration(key, add.value, range, reason);
        let end = BrokerChange::SlowDisk(Duration::ZERO);
        let planned = brokers(&keys.value.broker, BrokerChange::SlowDisk(add), Some(end))?;
        Some(planned.described(format!(" +{}", format_duration(add))))
    }
}
