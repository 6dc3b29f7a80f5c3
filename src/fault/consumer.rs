//! Faults of consumers, of the records they process, of their group, and of producer pools.

use std::time::Duration;

use super::effect::{ClusterFault, ConsumerFault, FaultEffect, PartitionFault, PoolFault};
use super::kind::{Ending, FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned, draw_ms};
use super::targets::{Aim, ConsumerAim, PartitionAim, Pick};
use crate::base::{format_count, format_duration};
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

section! {
    /// Actors that are killed.
    Kill {
        /// Consumers, from 0. In assigned mode they have their partition's number.
        consumer: Pick = ("none"), 7;
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
    }
}

impl FaultKind for Kill {
    type Keys = Kill;
    const NAME: &'static str = "kill";
    const DOC: &'static str = "Kills actors without any cleanup; a group sees a crash. A restarted pool continues its \
                               schedule.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const ENDS: Option<Ending> = Some(Ending::Crash);
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::at_once(Hits::Consumer), FaultDraw::at_once(Hits::Pool)];

    fn plan(keys: &At<Kill>, _: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let (effect, aim) = match (&keys.value.consumer, &keys.value.pool) {
            (Some(consumer), None) => (
                FaultEffect::Consumers(ConsumerFault::Kill),
                Aim::Consumers(consumer.value.clone()),
            ),
            (None, Some(pool)) => {
                (FaultEffect::Pools(PoolFault::Kill), Aim::Pools(pool.value.clone()))
            }
            _ => {
                let message = "`kill` needs exactly one of `consumer` and `pool`";
                found.push(
                    Diagnostic::error(codes::EXACTLY_ONE, keys.origin, message)
                        .remedy("for example `{ consumer = 7 }`"),
                );
                return None;
            }
        };
        Some(Planned::new(effect, Lasts::Never, aim))
    }
}

/// `panic`
pub(super) struct Panic;

impl FaultKind for Panic {
    type Keys = ConsumerAim;
    const NAME: &'static str = "panic";
    const DOC: &'static str = "The handler panics on the next record.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Consumer)];

    fn plan(keys: &At<ConsumerAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(ConsumerFault::Panic, Lasts::Never)
    }
}

/// `stop`
pub(super) struct Stop;

impl FaultKind for Stop {
    type Keys = ConsumerAim;
    const NAME: &'static str = "stop";
    const DOC: &'static str =
        "Consumers shut down gracefully and are started again; a group sees them leave.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const ENDS: Option<Ending> = Some(Ending::Stop);
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Consumer)];

    fn plan(keys: &At<ConsumerAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(ConsumerFault::Stop, Lasts::Never)
    }
}

/// `hang`
pub(super) struct Hang;

impl FaultKind for Hang {
    type Keys = ConsumerAim;
    const NAME: &'static str = "hang";
    const DOC: &'static str =
        "The poll loop hangs and ignores all commands, for `for`, or permanently without it.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const WITHOUT_FOR: &'static str = " forever";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Consumer)];

    fn plan(keys: &At<ConsumerAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(ConsumerFault::Hang, Lasts::May)
    }
}

/// `stall`
pub(super) struct Stall;

impl FaultKind for Stall {
    type Keys = ConsumerAim;
    const NAME: &'static str = "stall";
    const DOC: &'static str = "The handler blocks for `for` on the next record.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Consumer)];

    fn plan(keys: &At<ConsumerAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(ConsumerFault::Stall, Lasts::Must)
    }
}

/// `late_close`
pub(super) struct LateClose;

impl FaultKind for LateClose {
    type Keys = ConsumerAim;
    const NAME: &'static str = "late_close";
    const DOC: &'static str = "Kills consumers whose old client then takes `for` to close.";
    const EXAMPLE: &'static str = "{ consumer = 7 }";
    const VERB: &'static str = "close late";
    const ENDS: Option<Ending> = Some(Ending::Crash);
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Consumer)];

    fn plan(keys: &At<ConsumerAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(ConsumerFault::LateClose, Lasts::Must)
    }
}

section! {
    /// Consumers that become slow. One of `factor` and `add`.
    Slow {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Factor of each record's work.
        factor: f64 = ("none"), 10;
        /// Time added to the work of each record.
        add: Duration = ("none"), "2ms";
    }
}

impl FaultKind for Slow {
    type Keys = Slow;
    const NAME: &'static str = "slow";
    const DOC: &'static str = "Records take longer to process for `for`.";
    const EXAMPLE: &'static str = "{ consumer = 7, factor = 10 }";
    const VERB: &'static str = "slow down";
    const DRAWS: &'static [FaultDraw] =
        &[FaultDraw::lasting(Hits::Consumer).with(|keys, random| draw_ms(keys, "add", 20, random))];

    fn plan(keys: &At<Slow>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let aim = Aim::Consumers(keys.value.consumer.clone()?.value);
        let Slow { factor, add, .. } = &keys.value;
        let (fault, details) = match (factor, add) {
            (Some(factor), None) => {
                let factor = factor_of_work(factor, facts, found);
                let details = if factor == 1.0 { String::new() } else { format!(" x{factor}") };
                (ConsumerFault::Slow { factor, add: Duration::ZERO }, details)
            }
            (None, Some(add)) => {
                let minute = Duration::from_secs(60);
                let range = Duration::from_micros(1)..=minute;
                let reason = "it is added to each record";
                let add =
                    found.duration(GivenKey::new("slow.add", Some(add)), minute, range, reason);
                (ConsumerFault::Slow { factor: 1.0, add }, format!(" +{}", format_duration(add)))
            }
            _ => {
                let message = "`slow` needs exactly one of `factor` and `add`";
                found.push(
                    Diagnostic::error(codes::EXACTLY_ONE, keys.origin, message)
                        .remedy("for example `{ consumer = 7, add = \"2ms\" }`"),
                );
                return None;
            }
        };
        let planned = Planned::new(FaultEffect::Consumers(fault), Lasts::Must, aim);
        Some(planned.described(details))
    }
}

fn factor_of_work(given: &At<f64>, facts: &FaultFacts<'_>, found: &mut Findings) -> f64 {
    let reason = "it is what a record's work is multiplied with";
    let factor = found.number(GivenKey::new("slow.factor", Some(given)), 1.0, 1.0..=1e6, reason);
    refuse_factor_of_one("slow", given, found);
    if !facts.has_work {
        let message = "`slow.factor` has no effect where records cost nothing";
        found.push(Diagnostic::warning(codes::NO_EFFECT, given.origin, message).remedy(
            "set `consumers.work`, use `add = \"2ms\"`, or run it with a handler of your own",
        ));
    }
    factor
}

/// Refuses a factor of 1, which has no effect.
pub(super) fn refuse_factor_of_one(kind: &str, factor: &At<f64>, found: &mut Findings) {
    if factor.value == 1.0 {
        let message = format!("`{kind}.factor` of 1 changes nothing");
        found.push(
            Diagnostic::error(codes::NO_EFFECT, factor.origin, message)
                .remedy("choose another factor, for example 3, or remove the fault"),
        );
    }
}

section! {
    /// Consumers that crash repeatedly.
    CrashLoop {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Number of crashes of each consumer.
        times: u64 = ("as long as `for` lasts"), 3;
    }
}

impl FaultKind for CrashLoop {
    type Keys = CrashLoop;
    const NAME: &'static str = "crash_loop";
    const DOC: &'static str = "The consumer crashes at each start, `times` times or for `for`.";
    const EXAMPLE: &'static str = "{ consumer = 7, times = 3 }";
    const VERB: &'static str = "crash";

    fn plan(keys: &At<CrashLoop>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let aim = Aim::Consumers(keys.value.consumer.clone()?.value);
        let planned = |times, lasts| {
            let effect = FaultEffect::Consumers(ConsumerFault::CrashLoop { times });
            Planned::new(effect, lasts, aim)
        };
        match (&keys.value.times, &facts.schedule.span) {
            (Some(times), None) => {
                let key = GivenKey::new("crash_loop.times", Some(times));
                let times = found.count(key, 1, 1..=10_000, "it crashes once at least");
                Some(planned(Some(times), Lasts::Never).described(format!(" {times} times")))
            }
            (None, Some(_)) => Some(planned(None, Lasts::Must)),
            _ => {
                let message = "`crash_loop` needs exactly one of `times` and the fault's `for`";
                found.push(
                    Diagnostic::error(codes::EXACTLY_ONE, keys.origin, message)
                        .remedy("for example `{ consumer = 7, times = 3 }`"),
                );
                None
            }
        }
    }
}

/// `poison`
pub(super) struct Poison;

impl FaultKind for Poison {
    type Keys = PartitionAim;
    const NAME: &'static str = "poison";
    const DOC: &'static str = "The next record makes its consumer panic each time it is processed.";
    const EXAMPLE: &'static str = "{ partition = 3 }";

    fn plan(keys: &At<PartitionAim>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        keys.value.planned(PartitionFault::Poison, Lasts::Never)
    }
}

section! {
    /// The new coordinator of the group.
    CoordinatorMove {
        /// A broker, from 1.
        to: u64 = ("the next one that runs"), 2;
    }
}

impl FaultKind for CoordinatorMove {
    type Keys = CoordinatorMove;
    const NAME: &'static str = "coordinator_move";
    const DOC: &'static str = "Another broker of the simulator becomes the group coordinator.";
    const EXAMPLE: &'static str = "{ to = 2 }";
    const IS_OVER_AT_ONCE: bool = true;
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Cluster)];

    fn plan(
        keys: &At<CoordinatorMove>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let brokers = facts.there.brokers;
        let given = keys.value.to.as_ref();
        if let Some(to) = given.filter(|to| !(1..=u64::from(brokers)).contains(&to.value)) {
            let message = format!("there is no broker {} to move the coordinator to", to.value);
            let remedy = match brokers {
                1 => "the only broker is number 1".to_owned(),
                brokers => format!("brokers are numbered 1 to {brokers}"),
            };
            found.push(Diagnostic::error(codes::NO_SUCH_MEMBER, to.origin, message).remedy(remedy));
        }
        let to = given.and_then(|at| u32::try_from(at.value).ok());
        let effect = FaultEffect::Cluster(ClusterFault::MoveCoordinator(to));
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(to.map_or_else(String::new, |to| format!(" to broker {to}"))))
    }
}

/// `second_owner`
pub(super) struct SecondOwner;

impl FaultKind for SecondOwner {
    type Keys = PartitionAim;
    const NAME: &'static str = "second_owner";
    const DOC: &'static str = "A second process reads the same partitions for `for`: explicit assignment does not \
                               prevent it. Only on the simulator.";
    const EXAMPLE: &'static str = "{ partition = 3 }";
    const VERB: &'static str = "give to a second process";

    fn plan(
        keys: &At<PartitionAim>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        if facts.is_group {
            let message = "`second_owner` is what a group prevents";
            found.push(Diagnostic::error(codes::CONFLICT, keys.key, message).remedy(
                "let a second process `join` the group instead, or set `consumers.mode = \"assigned\"`",
            ));
        }
        keys.value.planned(PartitionFault::SecondOwner, Lasts::Must)
    }
}

/// Most members that one fault may add.
const MEMBERS_MAX: u32 = 100;

section! {
    /// Members that join a group.
    Join {
        /// Number of new members.
        members: u64 = 1, 2;
    }
}

impl FaultKind for Join {
    type Keys = Join;
    const NAME: &'static str = "join";
    const DOC: &'static str = "More members join the group, numbered above the existing ones, for `for` or until the end.";
    const EXAMPLE: &'static str = "{ members = 1 }";

    fn plan(keys: &At<Join>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if !facts.is_group {
            let message = "`join` needs a consumer group";
            found.push(
                Diagnostic::error(codes::CONFLICT, keys.key, message)
                    .label("with explicit assignment there is no group to join")
                    .remedy("set `consumers.mode` to `group`, or remove the fault"),
            );
        }
        let key = GivenKey::new("join.members", keys.value.members.as_ref());
        let count = found.count(key, 1, 1..=MEMBERS_MAX, "each is a client of its own");
        Some(Planned::new(FaultEffect::Join, Lasts::May, Aim::New(count)))
    }
}

/// Most messages per second of all producers together. No process reaches this rate.
const PER_SECOND_MAX: f64 = 100e6;

/// Refuses a rate in messages per second that no process can send.
pub fn check_rate(which: &str, per_second: f64, origin: Origin, found: &mut Findings) {
    if per_second <= PER_SECOND_MAX {
        return;
    }
    let message = format!(
        "{} messages a second in {which} are more than a process can send",
        format_count(per_second as u64)
    );
    let remedy = format!(
        "at most {}: choose a lower `load.rate`, fewer `load.producers`, or `rate = \"max\"`",
        format_count(PER_SECOND_MAX as u64)
    );
    found.push(Diagnostic::error(codes::OUT_OF_RANGE, origin, message).remedy(remedy));
}

section! {
    /// Producer pools.
    Pause {
        /// Producer pools, from 0.
        pool: Pick = required, 0;
    }
}

impl FaultKind for Pause {
    type Keys = Pause;
    const NAME: &'static str = "pause";
    const DOC: &'static str = "Pools send nothing for `for`, then send the overdue records late.";
    const EXAMPLE: &'static str = "{ pool = 0 }";
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::lasting(Hits::Pool)];

    fn plan(keys: &At<Pause>, _: &FaultFacts<'_>, _: &mut Findings) -> Option<Planned> {
        let aim = Aim::Pools(keys.value.pool.clone()?.value);
        Some(Planned::new(FaultEffect::Pools(PoolFault::Pause), Lasts::Must, aim))
    }
}

section! {
    /// Pools that send faster.
    Burst {
        /// Producer pools, from 0.
        pool: Pick = required, 0;
        /// Factor of the rate.
        factor: f64 = required, 3;
    }
}

impl FaultKind for Burst {
    type Keys = Burst;
    const NAME: &'static str = "burst";
    const DOC: &'static str = "Pools send `factor` times as fast for `for`. The burst is part of the schedule, so its \
                               records are not late.";
    const EXAMPLE: &'static str = "{ pool = 0, factor = 3 }";
    const IS_FAILURE: bool = false;

    fn plan(keys: &At<Burst>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let (pool, given) = (keys.value.pool.as_ref()?, keys.value.factor.as_ref()?);
        let reason = "it is what the rate is multiplied with";
        let key = GivenKey::new("burst.factor", Some(given));
        let factor = found.number(key, 1.0, 0.01..=1000.0, reason);
        refuse_factor_of_one("burst", given, found);
        match facts.per_second {
            // A load with this rate is refused itself.
            Some(per_second) if per_second > PER_SECOND_MAX => {}
            Some(per_second) => {
                check_rate("a burst", per_second * given.value, given.origin, found);
            }
            None => {
                let message = "`burst` has no effect with `rate = \"max\"`";
                found.push(
                    Diagnostic::error(codes::NO_EFFECT, keys.key, message)
                        .remedy("remove it, or set `load.rate` to a rate"),
                );
            }
        }
        let effect = FaultEffect::Pools(PoolFault::Burst { factor });
        let planned = Planned::new(effect, Lasts::Must, Aim::Pools(pool.value.clone()));
        Some(planned.described(format!(" x{factor}")))
    }
}
