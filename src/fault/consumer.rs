//! Faults of consumers and of the records they process. `kill` takes producer pools as well.

use std::time::Duration;

use super::effect::{ConsumerFault, FaultEffect, PartitionFault, PoolFault};
use super::kind::{Ending, FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned, draw_ms};
use super::targets::{Aim, ConsumerAim, PartitionAim, Pick};
use crate::base::format_duration;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

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
        /// Added to each record.
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

/// Refuses a factor that leaves everything as it is.
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
        /// Number of crashes of each.
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
