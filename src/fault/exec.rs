//! Commands of the user's own.

use std::time::Duration;

use super::effect::{ExecPlan, FaultEffect};
use super::kind::{FaultFacts, FaultKind, Lasts, Planned};
use super::targets::Aim;
use crate::base::BrokerKind;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

section! {
    /// Commands and their arguments. No shell is involved.
    Exec {
        /// Runs when the fault begins.
        start: Vec<At<String>> = required, ["docker", "kill", "broker-2"];
        /// Runs when `for` has passed, and always, also when the run is interrupted.
        end: Vec<At<String>> = ("none"), ["docker", "start", "broker-2"];
        /// A command that takes longer is killed, with every process it has started.
        limit: Duration = "30s", "10s";
    }
}

impl FaultKind for Exec {
    type Keys = Exec;
    const NAME: &'static str = "exec";
    const DOC: &'static str = "Runs commands of your own; needs `--allow-exec`.";
    const EXAMPLE: &'static str = "{ start = [\"docker\", \"kill\", \"broker-2\"], end = [\"docker\", \"start\", \"broker-2\"] }";

    fn plan(keys: &At<Exec>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if facts.broker == BrokerKind::Sim {
            let message = "the simulator does not model `exec`";
            found.push(
                Diagnostic::error(codes::NOT_SIMULATED, keys.key, message)
                    .remedy("use `--broker embedded`, or remove the fault"),
            );
        }
        let plan = commands(keys, found)?;
        let lasts = if plan.end.is_empty() { Lasts::May } else { Lasts::Must };
        let mut details = format!(" {}", typed(&plan.start));
        if !plan.end.is_empty() {
            details = format!("{details}, then {}", typed(&plan.end));
        }
        let planned = Planned::new(FaultEffect::Exec(plan), lasts, Aim::Cluster);
        Some(planned.described(details))
    }
}

fn commands(exec: &At<Exec>, found: &mut Findings) -> Option<ExecPlan> {
    let Exec { start, end, limit } = &exec.value;
    let words = |command: &Option<At<Vec<At<String>>>>| -> Vec<String> {
        let words = command.iter().flat_map(|at| at.value.iter());
        words.map(|word| word.value.clone()).collect()
    };
    for (key, command) in [("start", start), ("end", end)] {
        let Some(command) = command else { continue };
        if command.value.first().is_none_or(|program| program.value.trim().is_empty()) {
            let message = format!("`exec.{key}` names no program");
            found.push(
                Diagnostic::error(codes::MISSING_KEY, command.origin, message)
                    .remedy("for example `[\"docker\", \"kill\", \"broker-2\"]`"),
            );
            return None;
        }
    }
    let default = Duration::from_secs(30);
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    let reason = "a command that hangs must not hang the run";
    let limit = found.duration(GivenKey::new("exec.limit", limit.as_ref()), default, range, reason);
    start.as_ref()?;
    Some(ExecPlan { start: words(start), end: words(end), limit })
}

impl ExecPlan {
    /// The first command as it would be typed, as far as that matters to a reader.
    pub fn start_typed(&self) -> String {
        typed(&self.start)
    }
}

fn typed(command: &[String]) -> String {
    let quoted = command.iter().map(|word| match word.contains([' ', '"', '\'']) {
        true => format!("{word:?}"),
        false => word.clone(),
    });
    format!("`{}`", quoted.collect::<Vec<_>>().join(" "))
}
