//! Builds a plan from a scenario: sets every default, and reports every error in one pass.

mod backlog;
mod broker;
mod broker_faults;
mod consumers;
mod expect;
mod faults;
mod group;
mod load;
mod payload;
mod payload_limits;
mod payload_sources;
mod run;
mod shares;
mod stages;

use std::collections::BTreeMap;

use super::{ClientProperties, Plan, PropertyPlan};
use crate::base::{BrokerKind, ClientKind, Seed, Share};
use crate::reader::Findings;
use crate::scenario::{self, At, Diagnostic, MISTAKES_MAX, Scenario, Source, codes};

/// Settings of the command line that override the scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--broker`.
    pub broker: Option<BrokerKind>,
    /// `--client`.
    pub client: Option<ClientKind>,
    /// `--bootstrap`.
    pub bootstrap: Option<String>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--allow-existing-topic`.
    pub allow_existing_topic: bool,
    /// `--share`.
    pub share: Option<Share>,
    /// True if the scenario is one of several variants that are compared. Then a setting without effect is a warning,
    /// and a group may have members without a partition.
    pub is_variant: bool,
}

/// Builds the plan of a scenario. `None` if a diagnostic is an error.
pub fn build(
    name: &str,
    source_text: &str,
    set: &[String],
    scenario: &Scenario,
    overrides: &Overrides,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut found = if overrides.is_variant { Findings::of_variant() } else { Findings::default() };
    let broker = broker::build(scenario, overrides, &mut found);
    let topic = broker::build_topic(name, scenario, overrides, &broker, &mut found);
    let mut load = load::build(scenario, &topic, &broker, &mut found);
    let times = run::times(scenario, &load, (&broker, topic.partitions), &mut found);
    load.stages = stages::build(&scenario.load, load.per_second(), &times, &mut found);
    load.backlog = backlog::build(scenario, &load, &mut found);
    let seed = overrides.seed.or(scenario.run.seed.as_ref().map(|seed| seed.value));
    let seed = Seed(seed.unwrap_or(1));
    let faults = faults::build(scenario, &topic, &load, &broker, &times, seed, &mut found);
    broker_faults::check(scenario, &topic, &broker, &faults, &mut found);
    let checkpoint =
        consumers::build_checkpoint(name, &scenario.consumers, &topic, &broker, &mut found);
    let consumers = consumers::build(scenario, &topic, &faults, checkpoint, &mut found);
    let restart = run::restart(scenario, &mut found);
    let watch = run::watch(scenario, &mut found);
    let limits = run::limits(scenario, &mut found);
    let mut plan = Plan {
        name: name.to_owned(),
        source: source_text.to_owned(),
        overrides: set.to_vec(),
        seed,
        share: overrides.share,
        broker,
        topic,
        load,
        consumers,
        restart,
        watch,
        times,
        limits,
        client: client(scenario),
        faults,
        expectations: Vec::new(),
    };
    plan.expectations = expect::build(scenario, &plan, &mut found);
    broker::check(scenario, &plan, &mut found);
    backlog::check(scenario, &plan, &mut found);
    run::check_sim(scenario, &plan, &mut found);
    broker::check_client(scenario, &plan, &mut found);
    consumers::check(scenario, &plan, &mut found);
    load::check_clients(scenario, &plan, &mut found);
    shares::divide(&mut plan, &mut found);
    let diagnostics = found.into_sorted();
    let possible = !diagnostics.iter().any(Diagnostic::is_error);
    (possible.then_some(plan), diagnostics)
}

/// Reads a scenario and builds its plan. Returns all diagnostics in one list.
pub fn compile(
    source: &Source,
    set: &[String],
    overrides: &Overrides,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let (scenario, mut diagnostics) = scenario::read(source, set);
    // Of a text that is not valid TOML, only a part is known. Errors that follow from the missing part would mislead.
    let is_unknown = |diagnostic: &Diagnostic| {
        matches!(
            diagnostic.code,
            codes::SYNTAX | codes::NOT_TEXT | codes::EMPTY_SCENARIO | codes::FILE_TOO_LARGE
        )
    };
    if diagnostics.iter().any(is_unknown) || diagnostics.len() >= MISTAKES_MAX {
        return (None, diagnostics);
    }
    let (plan, more) = build(&scenario_name(&source.name), &source.text, set, &scenario, overrides);
    let readable = !diagnostics.iter().any(Diagnostic::is_error);
    // A value that could not be read is not missing, so no missing key is reported at its place.
    let is_consequence = |diagnostic: &Diagnostic| {
        matches!(diagnostic.code, codes::EXACTLY_ONE | codes::MISSING_KEY)
            && diagnostics.iter().any(|cause| cause.origin.is_within(diagnostic.origin))
    };
    let more: Vec<Diagnostic> = more.into_iter().filter(|it| !is_consequence(it)).collect();
    diagnostics.extend(more);
    diagnostics.sort_by_key(|diagnostic| diagnostic.origin);
    (plan.filter(|_| readable), diagnostics)
}

/// A file's name without directories and extension.
fn scenario_name(path: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.strip_suffix(".toml").unwrap_or(file).to_owned()
}

fn client(scenario: &Scenario) -> ClientProperties {
    let planned = |properties: &BTreeMap<String, At<scenario::Property>>| {
        let each = |(name, at): (&String, &At<scenario::Property>)| {
            (name.clone(), PropertyPlan { value: at.value.0.clone(), written: at.key })
        };
        properties.iter().map(each).collect()
    };
    ClientProperties {
        common: planned(&scenario.client.common),
        producer: planned(&scenario.client.producer),
        consumer: planned(&scenario.client.consumer),
    }
}
