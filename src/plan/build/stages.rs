//! `[[load.stage]]`: each stage with its rates, from the end of the warmup to the end of the load.

use std::time::Duration;

use crate::base::format_duration;
use crate::fault::check_rate;
use crate::plan::{StagePlan, Times};
use crate::reader::{Findings, GivenKey};
use crate::scenario::{At, Diagnostic, Load, Origin, Stage, StageRate, codes};

/// Largest number of stages of a load. Each has its own distributions.
const STAGES_MAX: usize = 100;

/// Sum of the durations of all stages; `None` without stages.
pub(super) fn total(load: &Load) -> Option<Duration> {
    let stages = &load.stage.as_ref().filter(|stages| !stages.value.is_empty())?.value;
    Some(stages.iter().filter_map(|stage| Some(stage.value.span.as_ref()?.value)).sum())
}

/// The stages of a load whose own rate is `own` messages per second, up to the end of the run. Empty at maximum rate.
pub(super) fn build(
    load: &Load,
    own: Option<f64>,
    times: &Times,
    found: &mut Findings,
) -> Vec<StagePlan> {
    let Some(written) = load.stage.as_ref().filter(|stages| !stages.value.is_empty()) else {
        return Vec::new();
    };
    let Some(own) = own else {
        let now = "`rate = \"max\"`, which has no schedule";
        found.no_effect("load.stage", Some(written), "`load.rate` to a rate", now);
        return Vec::new();
    };
    if written.value.len() > STAGES_MAX {
        let message = format!("`load.stage` has {} stages", written.value.len());
        let remedy = format!("at most {STAGES_MAX}: each has a line in the report");
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, written.origin, message).remedy(remedy));
        return Vec::new();
    }
    let mut rate = own;
    let numbered = written.value.iter().enumerate();
    let mut stages: Vec<StagePlan> =
        numbered.map(|(number, stage)| one(number, stage, own, &mut rate, found)).collect();
    let all: Duration = stages.iter().map(|stage| stage.lasts).sum();
    if all > times.duration {
        let message = format!(
            "the stages last {}, longer than the {} of `run.duration`",
            format_duration(all),
            format_duration(times.duration)
        );
        let remedy = "leave `run.duration` out, or make stages shorter";
        found.push(Diagnostic::error(codes::CONFLICT, written.key, message).remedy(remedy));
    } else if all < times.duration {
        stages.push(StagePlan {
            name: "rest".to_owned(),
            lasts: times.duration - all,
            per_second: [rate; 2],
            until_lag_is_zero: false,
        });
    }
    stages
}

/// One stage. `rate` is the rate before it, and is set to the rate at its end.
fn one(
    number: usize,
    stage: &At<Stage>,
    own: f64,
    rate: &mut f64,
    found: &mut Findings,
) -> StagePlan {
    let Stage { name, ramp, step, spike, pause, until, .. } = &stage.value;
    let pause = pause.as_ref().filter(|pause| pause.value);
    let kinds = [
        ramp.as_ref().map(|at| ("ramp", at.key)),
        step.as_ref().map(|at| ("step", at.key)),
        spike.as_ref().map(|at| ("spike", at.key)),
        pause.map(|at| ("pause", at.key)),
    ];
    let kinds: Vec<(&str, Origin)> = kinds.into_iter().flatten().collect();
    if let [(first, _), (second, place), ..] = kinds[..] {
        let message = format!("stage {number} has `{first}` and `{second}`");
        let remedy = "a stage has one of them: write another `[[load.stage]]` for the other";
        found.push(Diagnostic::error(codes::EXACTLY_ONE, place, message).remedy(remedy));
    }
    let mut of = |given: &At<StageRate>| per_second(number, given, own, found);
    let (per_second, after) = match (ramp, step, spike, pause) {
        (Some(ramp), ..) => {
            let from = ramp.value.from.as_ref().map_or(*rate, &mut of);
            let to = ramp.value.to.as_ref().map_or(*rate, &mut of);
            ([from, to], to)
        }
        (_, Some(step), ..) => {
            let step = of(step);
            ([step; 2], step)
        }
        (_, _, Some(spike), _) => ([of(spike); 2], *rate),
        (_, _, _, Some(_)) => ([0.0; 2], *rate),
        (None, None, None, None) => ([*rate; 2], *rate),
    };
    *rate = after;
    let kind = kinds.first().map_or("hold", |(kind, _)| kind);
    StagePlan {
        name: name.as_ref().map_or_else(|| kind.to_owned(), |name| name.value.clone()),
        lasts: found.duration(
            GivenKey::new(format!("load.stage[{number}].for"), stage.value.span.as_ref()),
            Duration::from_secs(1),
            Duration::from_millis(1)..=Duration::from_secs(7 * 86_400),
            "a stage has to last",
        ),
        per_second,
        until_lag_is_zero: until.is_some(),
    }
}

/// A rate of a stage in messages per second of all producers.
fn per_second(number: usize, given: &At<StageRate>, own: f64, found: &mut Findings) -> f64 {
    let rate = match given.value {
        StageRate::PerSecond(rate) => rate,
        StageRate::Factor(factor) => factor * own,
    };
    if !rate.is_finite() || rate < 0.0 {
        let message = format!("the rate of stage {number} must be a rate from 0 on");
        let remedy = "for example `step = \"3000/s\"`, or `step = 1.5` for one and a half of the load's rate";
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, given.origin, message).remedy(remedy));
        return own;
    }
    check_rate(&format!("stage {number}"), rate, given.origin, found);
    rate
}
