//! Which kind a `[[fault]]` is, and what that kind needs.

use std::time::Duration;

use super::aim::Aim;
use super::{calls, cluster};
use crate::base::{BrokerKind, format_duration};
use crate::plan::FaultKind;
use crate::reader::Findings;
use crate::reader::GivenKey;
use crate::scenario::{
    At, CrashLoop, Diagnostic, Fault, Kill, Origin, Rate, Scenario, Slow, codes,
};

/// Longest time a fault may last, as a run.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const SHORTEST: Duration = Duration::from_millis(1);

/// Whether a kind takes the key `for`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Never,
    May,
    Must,
}

/// What a `[[fault]]` says: its kind, how long it lasts, and its targets.
pub(super) fn build<'a>(
    entry: usize,
    fault: &'a At<Fault>,
    scenario: &Scenario,
    broker: BrokerKind,
    found: &mut Findings,
) -> Option<(FaultKind, Option<Duration>, Aim<'a>)> {
    let written = written(&fault.value);
    let (name, key) = match written.as_slice() {
        [one] => *one,
        [] => {
            let message = format!("`fault[{entry}]` does not say what happens");
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, fault.origin, message)
                    .remedy("add what it does, for example `kill = { consumer = 7 }`"),
            );
            return None;
        }
        [_, (second, key), ..] => {
            let message = format!("`fault[{entry}]` does a second thing, `{second}`");
            found
                .push(Diagnostic::error(codes::EXACTLY_ONE, *key, message).remedy(
                    "give it a `[[fault]]` of its own, at the same time if it is meant so",
                ));
            return None;
        }
    };
    let (kind, span, aim) = of_kind(&fault.value, scenario, found)
        .or_else(|| calls::of_kind(&fault.value, found))
        .or_else(|| cluster::of_kind(&fault.value, scenario, broker, found))?;
    let lasts = lasts(entry, name, key, span, &fault.value, found);
    Some((kind, lasts, aim))
}

/// The kinds that are written, with the places of their keys.
fn written(fault: &Fault) -> Vec<(&'static str, Origin)> {
    macro_rules! keys {
        ($($key:ident),+) => {
            [$((stringify!($key), fault.$key.as_ref().map(|at| at.key))),+]
        };
    }
    let all = keys!(
        kill,
        panic,
        stop,
        hang,
        stall,
        slow,
        late_close,
        crash_loop,
        poison,
        pause,
        burst,
        produce_call,
        fetch_call,
        broker_down,
        broker_rtt,
        broker_pause,
        slow_disk,
        link,
        link_cut,
        link_reset,
        half_open,
        coordinator_move,
        second_owner,
        request_error,
        join,
        grow,
        delete_records,
        exec
    );
    let mut written: Vec<_> =
        all.into_iter().filter_map(|(name, key)| Some((name, key?))).collect();
    written.sort_by_key(|(_, key)| *key);
    written
}

fn of_kind<'a>(
    fault: &'a Fault,
    scenario: &Scenario,
    found: &mut Findings,
) -> Option<(FaultKind, Span, Aim<'a>)> {
    if let Some(kill) = &fault.kill {
        return Some((FaultKind::Kill, Span::Never, killed(kill, found)?));
    }
    if let Some(slow) = &fault.slow {
        let aim = Aim::Consumers(slow.value.consumer.as_ref()?);
        return Some((slowdown(slow, scenario, found)?, Span::Must, aim));
    }
    if let Some(crash) = &fault.crash_loop {
        let aim = Aim::Consumers(crash.value.consumer.as_ref()?);
        let (kind, span) = crash_loop(crash, fault, found)?;
        return Some((kind, span, aim));
    }
    if let Some(poison) = &fault.poison {
        let aim = Aim::Partitions(poison.value.partition.as_ref()?);
        return Some((FaultKind::Poison, Span::Never, aim));
    }
    if let Some(pause) = &fault.pause {
        return Some((FaultKind::Pause, Span::Must, Aim::Pools(pause.value.pool.as_ref()?)));
    }
    if let Some(burst) = &fault.burst {
        let (pool, given) = (burst.value.pool.as_ref()?, burst.value.factor.as_ref()?);
        let reason = "it is what the rate is multiplied with";
        let factor =
            found.number(GivenKey::new("burst.factor", Some(given)), 1.0, 0.01..=1000.0, reason);
        unchanged("burst", given, found);
        if scenario.load.rate.as_ref().is_some_and(|rate| rate.value == Rate::Max) {
            let message = "`burst` has no effect with `rate = \"max\"`";
            found.push(
                Diagnostic::error(codes::NO_EFFECT, burst.key, message)
                    .remedy("remove it, or set `load.rate` to a rate"),
            );
        }
        return Some((FaultKind::Burst { factor }, Span::Must, Aim::Pools(pool)));
    }
    let simple = [
        (&fault.panic, FaultKind::Panic, Span::Never),
        (&fault.stop, FaultKind::Stop, Span::Never),
        (&fault.hang, FaultKind::Hang, Span::May),
        (&fault.stall, FaultKind::Stall, Span::Must),
        (&fault.late_close, FaultKind::LateClose, Span::Must),
    ];
    let (at, kind, span) =
        simple.into_iter().find_map(|(at, kind, span)| Some((at.as_ref()?, kind, span)))?;
    Some((kind, span, Aim::Consumers(at.value.consumer.as_ref()?)))
}

/// Refuses a factor that leaves everything as it is.
fn unchanged(kind: &str, factor: &At<f64>, found: &mut Findings) {
    if factor.value == 1.0 {
        let message = format!("`{kind}.factor` of 1 changes nothing");
        found.push(
            Diagnostic::error(codes::NO_EFFECT, factor.origin, message)
                .remedy("choose another factor, for example 3, or remove the fault"),
        );
    }
}

fn killed<'a>(kill: &'a At<Kill>, found: &mut Findings) -> Option<Aim<'a>> {
    match (&kill.value.consumer, &kill.value.pool) {
        (Some(consumer), None) => Some(Aim::Consumers(consumer)),
        (None, Some(pool)) => Some(Aim::Pools(pool)),
        _ => {
            let message = "`kill` needs exactly one of `consumer` and `pool`";
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, kill.origin, message)
                    .remedy("for example `{ consumer = 7 }`"),
            );
            None
        }
    }
}

fn slowdown(slow: &At<Slow>, scenario: &Scenario, found: &mut Findings) -> Option<FaultKind> {
    let Slow { factor, add, .. } = &slow.value;
    let (None, Some(add)) = (factor, add) else {
        let (Some(given), None) = (factor, add) else {
            let message = "`slow` needs exactly one of `factor` and `add`";
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, slow.origin, message)
                    .remedy("for example `{ consumer = 7, add = \"2ms\" }`"),
            );
            return None;
        };
        let reason = "it is what a record's work is multiplied with";
        let factor =
            found.number(GivenKey::new("slow.factor", Some(given)), 1.0, 1.0..=1e6, reason);
        unchanged("slow", given, found);
        if scenario.consumers.work.is_none() && scenario.consumers.work_of.is_none() {
            let message = "`slow.factor` has no effect where records cost nothing";
            found.push(Diagnostic::warning(codes::NO_EFFECT, given.origin, message).remedy(
                "set `consumers.work`, use `add = \"2ms\"`, or run it with a handler of your own",
            ));
        }
        return Some(FaultKind::Slow { factor, add: Duration::ZERO });
    };
    let minute = Duration::from_secs(60);
    let range = Duration::from_micros(1)..=minute;
    let add = found.duration(
        GivenKey::new("slow.add", Some(add)),
        minute,
        range,
        "it is added to each record",
    );
    Some(FaultKind::Slow { factor: 1.0, add })
}

fn crash_loop(
    crash: &At<CrashLoop>,
    fault: &Fault,
    found: &mut Findings,
) -> Option<(FaultKind, Span)> {
    match (&crash.value.times, &fault.span) {
        (Some(times), None) => {
            let reason = "it crashes once at least";
            let times =
                found.count(GivenKey::new("crash_loop.times", Some(times)), 1, 1..=10_000, reason);
            Some((FaultKind::CrashLoop { times: Some(times) }, Span::Never))
        }
        (None, Some(_)) => Some((FaultKind::CrashLoop { times: None }, Span::Must)),
        _ => {
            let message = "`crash_loop` needs exactly one of `times` and the fault's `for`";
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, crash.origin, message)
                    .remedy("for example `{ consumer = 7, times = 3 }`"),
            );
            None
        }
    }
}

fn lasts(
    entry: usize,
    name: &str,
    key: Origin,
    span: Span,
    fault: &Fault,
    found: &mut Findings,
) -> Option<Duration> {
    match (&fault.span, span) {
        (None, Span::Must) => {
            let message = format!("`{name}` needs the key `for`");
            found.push(
                Diagnostic::error(codes::MISSING_KEY, key, message)
                    .remedy("say how long it lasts, for example `for = \"3s\"`"),
            );
            None
        }
        (Some(given), Span::Never) => {
            let message = format!("`for` has no effect with `{name}`");
            let diagnostic = Diagnostic::error(codes::NO_EFFECT, given.key, message);
            found.push(diagnostic.remedy("remove it: that fault is over at once"));
            None
        }
        (None, _) => None,
        (Some(given), _) => {
            let reason = format!("at most a week, at least {}", format_duration(SHORTEST));
            let key = format!("fault[{entry}].for");
            Some(found.duration(
                GivenKey::new(&*key, Some(given)),
                SHORTEST,
                SHORTEST..=LONGEST,
                &reason,
            ))
        }
    }
}
