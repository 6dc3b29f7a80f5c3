//! Faults of the calls of clients, on any cluster.

use std::time::Duration;

use super::effect::{Call, CallAction, CallError, CallRule, FaultEffect};
use super::kind::{FaultFacts, FaultKind, Lasts, Planned};
use super::targets::{Aim, Pick};
use crate::base::format_duration;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

/// Longest delay of a call: a client that waits longer has given up long before.
const DELAY_MAX: Duration = Duration::from_secs(60);
const DELAY_MIN: Duration = Duration::from_micros(1);

section! {
    /// Records handed to a producer client. One of `pool` and `partition`, and one of `delay`, `drop` and `error`.
    ProduceCall {
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
        /// Partitions, for all producers.
        partition: Pick = ("none"), 3;
        /// Records are sent this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are not sent and no error is reported: they are indeterminate.
        drop: bool = false, true;
        /// Records are not sent, and the client reports an error.
        error: CallError = ("none"), "retriable";
        /// Share of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

impl FaultKind for ProduceCall {
    type Keys = ProduceCall;
    const NAME: &'static str = "produce_call";
    const DOC: &'static str =
        "Producer clients delay, drop or refuse records for `for`; on any cluster.";
    const EXAMPLE: &'static str = "{ pool = \"all\", delay = \"50ms\" }";
    const VERB: &'static str = "trouble";

    fn plan(keys: &At<ProduceCall>, _: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let ProduceCall { pool, partition, delay, drop, error, share } = &keys.value;
        let (kind, example) = (Self::NAME, Self::EXAMPLE);
        let pool = pool.as_ref().map(|at| Aim::Pools(at.value.clone()));
        let written = Written { kind, example, origin: keys.origin, delay, drop, error, share };
        written.plan(Call::Produce, ("pool", pool), partition, found)
    }
}

section! {
    /// Records returned by a consumer client. One of `consumer` and `partition`, and one of `delay`, `drop` and `error`.
    FetchCall {
        /// Consumers, from 0.
        consumer: Pick = ("none"), 7;
        /// Partitions, for all consumers.
        partition: Pick = ("none"), 3;
        /// Records arrive this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are discarded and fetched again 100 ms later.
        drop: bool = false, true;
        /// The client returns an error instead of records.
        error: CallError = ("none"), "retriable";
        /// Share of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

impl FaultKind for FetchCall {
    type Keys = FetchCall;
    const NAME: &'static str = "fetch_call";
    const DOC: &'static str =
        "Consumer clients delay, drop or fail to fetch records for `for`; on any cluster.";
    const EXAMPLE: &'static str = "{ consumer = 7, drop = true, share = 0.1 }";
    const VERB: &'static str = "trouble";

    fn plan(keys: &At<FetchCall>, _: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        let FetchCall { consumer, partition, delay, drop, error, share } = &keys.value;
        let (kind, example) = (Self::NAME, Self::EXAMPLE);
        let consumer = consumer.as_ref().map(|at| Aim::Consumers(at.value.clone()));
        let written = Written { kind, example, origin: keys.origin, delay, drop, error, share };
        written.plan(Call::Fetch, ("consumer", consumer), partition, found)
    }
}

/// What both kinds say.
struct Written<'a> {
    kind: &'static str,
    example: &'static str,
    origin: Origin,
    delay: &'a Option<At<Duration>>,
    drop: &'a Option<At<bool>>,
    error: &'a Option<At<CallError>>,
    share: &'a Option<At<f64>>,
}

impl Written<'_> {
    fn plan(
        &self,
        call: Call,
        caller: (&str, Option<Aim>),
        partition: &Option<At<Pick>>,
        found: &mut Findings,
    ) -> Option<Planned> {
        let aim = self.aim(caller, partition, found);
        let action = self.action(found);
        let share = self.share(found);
        let (aim, action) = (aim?, action?);
        let effect = FaultEffect::Calls(CallRule { call, action, share, count: None });
        let mut details = match action {
            CallAction::Delay(delay) => format!(" +{}", format_duration(delay)),
            CallAction::Drop => " dropped".to_owned(),
            CallAction::Error(error) => format!(" {} error", error.word()),
            CallAction::LoseAnswer => " answer lost".to_owned(),
        };
        if share < 1.0 {
            details = format!("{details} {}%", share * 100.0);
        }
        Some(Planned::new(effect, Lasts::Must, aim).described(details))
    }

    fn action(&self, found: &mut Findings) -> Option<CallAction> {
        let is_dropped = self.drop.as_ref().is_some_and(|drop| drop.value);
        match (self.delay, is_dropped, self.error) {
            (Some(_), false, None) => {
                let key = format!("{}.delay", self.kind);
                let reason = "a client that waits longer has given up long before";
                let (given, range) = (self.delay.as_ref(), DELAY_MIN..=DELAY_MAX);
                let delay = found.duration(GivenKey::new(&*key, given), DELAY_MAX, range, reason);
                Some(CallAction::Delay(delay))
            }
            (None, true, None) => Some(CallAction::Drop),
            (None, false, Some(error)) => Some(CallAction::Error(error.value)),
            _ => {
                self.refuse("`delay`, `drop` and `error`", found);
                None
            }
        }
    }

    fn share(&self, found: &mut Findings) -> f64 {
        let key = format!("{}.share", self.kind);
        let reason = "it is the part of the calls that is hit, and 1 is all of them";
        found.number(GivenKey::new(&*key, self.share.as_ref()), 1.0, 1e-6..=1.0, reason)
    }

    fn aim(
        &self,
        (noun, caller): (&str, Option<Aim>),
        partition: &Option<At<Pick>>,
        found: &mut Findings,
    ) -> Option<Aim> {
        match (caller, partition) {
            (Some(caller), None) => Some(caller),
            (None, Some(partition)) => Some(Aim::Partitions(partition.value.clone())),
            _ => {
                self.refuse(&format!("`{noun}` and `partition`"), found);
                None
            }
        }
    }

    fn refuse(&self, choices: &str, found: &mut Findings) {
        let message = format!("`{}` needs exactly one of {choices}", self.kind);
        found.push(
            Diagnostic::error(codes::EXACTLY_ONE, self.origin, message)
                .remedy(format!("for example `{}`", self.example)),
        );
    }
}
