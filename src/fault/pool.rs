//! Faults of producer pools.

use super::consumer::refuse_factor_of_one;
use super::effect::{FaultEffect, PoolFault};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned};
use super::targets::{Aim, Pick};
use crate::base::format_count;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

/// Messages per second of all producers together: beyond any process, and any cluster.
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
        /// From 0.
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
            // The load alone is refused.
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
