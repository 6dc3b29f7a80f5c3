//! Kinds of faults that hit the calls of clients, on whatever cluster.

use crate::reader::GivenKey;
use std::time::Duration;

use super::aim::Aim;
use super::kind::Span;
use crate::plan::{Call, CallAction, CallRule, FaultKind};
use crate::reader::Findings;
use crate::scenario::{
    At, CallErrorWord, Diagnostic, Fault, FetchCall, Origin, Pick, ProduceCall, codes,
};

/// Longest delay of a call: a client that waits longer has given up long before.
const DELAY_MAX: Duration = Duration::from_secs(60);
const DELAY_MIN: Duration = Duration::from_micros(1);

/// What is written, as far as it is one of these kinds.
pub(super) fn of_kind<'a>(
    fault: &'a Fault,
    found: &mut Findings,
) -> Option<(FaultKind, Span, Aim<'a>)> {
    let (written, aim) = match (&fault.produce_call, &fault.fetch_call) {
        (Some(at), _) => {
            let ProduceCall { pool, partition, delay, drop, error, share } = &at.value;
            let call = Call::Produce;
            let aim = aim(call, at.origin, pool.as_ref().map(Aim::Pools), partition, found);
            (Written { call, origin: at.origin, delay, drop, error, share }, aim)
        }
        (None, Some(at)) => {
            let FetchCall { consumer, partition, delay, drop, error, share } = &at.value;
            let call = Call::Fetch;
            let consumer = consumer.as_ref().map(Aim::Consumers);
            let aim = aim(call, at.origin, consumer, partition, found);
            (Written { call, origin: at.origin, delay, drop, error, share }, aim)
        }
        (None, None) => return None,
    };
    let action = written.action(found);
    let share = written.share(found);
    Some((
        FaultKind::Calls(CallRule { call: written.call, action: action?, share }),
        Span::Must,
        aim?,
    ))
}

/// What both kinds say.
struct Written<'a> {
    call: Call,
    origin: Origin,
    delay: &'a Option<At<Duration>>,
    drop: &'a Option<At<bool>>,
    error: &'a Option<At<CallErrorWord>>,
    share: &'a Option<At<f64>>,
}

impl Written<'_> {
    fn action(&self, found: &mut Findings) -> Option<CallAction> {
        let is_dropped = self.drop.as_ref().is_some_and(|drop| drop.value);
        match (self.delay, is_dropped, self.error) {
            (Some(_), false, None) => {
                let key = format!("{}.delay", name(self.call));
                let reason = "a client that waits longer has given up long before";
                let (given, range) = (self.delay.as_ref(), DELAY_MIN..=DELAY_MAX);
                let delay = found.duration(GivenKey::new(&*key, given), DELAY_MAX, range, reason);
                Some(CallAction::Delay(delay))
            }
            (None, true, None) => Some(CallAction::Drop),
            (None, false, Some(error)) => Some(CallAction::Error(error.value)),
            _ => {
                let message = format!(
                    "`{}` needs exactly one of `delay`, `drop` and `error`",
                    name(self.call)
                );
                found.push(
                    Diagnostic::error(codes::EXACTLY_ONE, self.origin, message)
                        .remedy(format!("for example `{}`", example(self.call))),
                );
                None
            }
        }
    }

    fn share(&self, found: &mut Findings) -> f64 {
        let key = format!("{}.share", name(self.call));
        let reason = "it is the part of the calls that is hit, and 1 is all of them";
        found.number(GivenKey::new(&*key, self.share.as_ref()), 1.0, 1e-6..=1.0, reason)
    }
}

fn aim<'a>(
    call: Call,
    origin: Origin,
    caller: Option<Aim<'a>>,
    partition: &'a Option<At<Pick>>,
    found: &mut Findings,
) -> Option<Aim<'a>> {
    match (caller, partition) {
        (Some(caller), None) => Some(caller),
        (None, Some(partition)) => Some(Aim::Partitions(partition)),
        _ => {
            let caller = match call {
                Call::Produce => "pool",
                Call::Fetch => "consumer",
            };
            let message =
                format!("`{}` needs exactly one of `{caller}` and `partition`", name(call));
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, origin, message)
                    .remedy(format!("for example `{}`", example(call))),
            );
            None
        }
    }
}

fn name(call: Call) -> &'static str {
    match call {
        Call::Produce => "produce_call",
        Call::Fetch => "fetch_call",
    }
}

fn example(call: Call) -> &'static str {
    match call {
        Call::Produce => "{ pool = \"all\", delay = \"50ms\" }",
        Call::Fetch => "{ consumer = 7, drop = true, share = 0.1 }",
    }
}
