//! Checks of a run's client properties, from all sources. They need no broker.

use super::registry::{client_libraries, client_library};
use super::settings::{ClientFile, ClientSettings, Given, may_be_given};
use crate::base::{CLIENT_MESSAGE_BYTES, ClientKind, RunId, client_payload_max};
use crate::plan::{Plan, PropertyPlan};
use crate::scenario::known::{self, Danger, PLUGINS, Treatment};
use crate::scenario::{Diagnostic, Origin, codes};

/// A diagnostic for each error in the properties of a plan and a client file. No text contains a value from outside the
/// scenario. Opens no connection and no file, and loads nothing.
pub fn refusals(plan: &Plan, file: &ClientFile) -> Vec<Diagnostic> {
    if let Some(refusal) = not_built_in(plan) {
        return vec![refusal];
    }
    let mut outside: Vec<(&str, &Given)> = file.all().collect();
    outside.sort_by_key(|(_, given)| &given.place);
    let decided = outside.iter().filter_map(|(name, given)| decided(plan, name, given));
    let mut wrong: Vec<Diagnostic> = decided.collect();
    let capability = plan.broker.capability();
    if capability.is_modelled {
        return wrong;
    }
    let takes_access = capability.takes_access;
    let is_native = plan.broker.client() == ClientKind::Native;
    let refused = |name: &str, value: &str| match is_native && known::is_native(name) {
        // librdkafka does not check the properties that the native client handles.
        true => None,
        // The features of the librdkafka build do not matter to the native client.
        false => { client_libraries() }
            .find_map(|library| library.refused_value(name, value))
            .filter(|why| !is_native || why.code != codes::NOT_BUILT_IN),
    };
    for (side, name, property) in
        plan.client.all().filter(|(_, name, _)| may_be_given(name, takes_access))
    {
        wrong.extend(twice(side, name, property, file));
        wrong.extend(refused(name, &property.value).map(|why| {
            let message = format!("the client refuses `client.{side}{name}`: {}", why.text);
            Diagnostic::error(why.code, property.written, message).remedy(why.remedy)
        }));
    }
    for (name, given) in outside.into_iter().filter(|(name, _)| may_be_given(name, takes_access)) {
        wrong.extend(refused(name, &given.value).map(|why| {
            let message =
                format!("{}: the client refuses `{}`: {}", given.place, given.name, why.text);
            Diagnostic::error(why.code, Origin::CommandLine, message).remedy(why.remedy)
        }));
    }
    wrong.extend(talking_plugin(plan, file));
    let library = client_library(plan.broker.client());
    wrong.extend(library.and_then(|library| library.no_access(plan, file)));
    wrong.extend(too_small(plan, file));
    if wrong.is_empty() {
        wrong.extend(library.and_then(|library| library.refused_together(plan, file)));
    }
    wrong
}

/// Refuses a broker or a client that this build does not have.
pub fn not_built_in(plan: &Plan) -> Option<Diagnostic> {
    let (kind, client) = (plan.broker.kind(), plan.broker.client());
    let (missing, instead) = match (kind.is_built_in(), client.is_built_in()) {
        (true, true) => return None,
        (false, _) => (
            format!("broker `{kind}`"),
            "use `--broker sim`, or a cluster with `--bootstrap HOST:PORT`",
        ),
        (true, false) => (format!("client `{client}`"), "use `--client native`"),
    };
    let message = format!("{missing} is not part of this build, which has no librdkafka");
    let refusal = Diagnostic::error(codes::NOT_BUILT_IN, Origin::CommandLine, message);
    Some(refusal.remedy(format!("{instead}, or build with `--features rdkafka`")))
}

/// The properties that need consent before a run, each with its place and its effect.
pub fn needs_consent(plan: &Plan, file: &ClientFile) -> Vec<String> {
    if plan.broker.capability().is_modelled {
        return Vec::new();
    }
    let danger = |name: &str| match known::treatment(name) {
        Some(Treatment::Needs(danger)) => Some(danger),
        _ => None,
    };
    let scenario = plan.client.all().filter_map(|(side, name, _)| {
        Some(format!("`client.{side}{name}` of the scenario {}", danger(name)?.meaning()))
    });
    // Files and servers in the user's own client file need no consent, only properties that load code.
    let outside = file.all().filter_map(|(name, given)| {
        let danger = danger(name).filter(|danger| *danger == Danger::Code)?;
        Some(format!("`{}` ({}) {}", given.name, given.place, danger.meaning()))
    });
    scenario.chain(outside).collect()
}

/// The properties from outside the scenario that the clients of a run use: their names and places.
pub fn from_outside(plan: &Plan, file: &ClientFile) -> Vec<String> {
    let capability = plan.broker.capability();
    let is_given =
        |name: &str| !capability.is_modelled && may_be_given(name, capability.takes_access);
    let given = file.all().filter(|(name, _)| is_given(name));
    given.map(|(_, given)| format!("{} from {}", given.name, given.place)).collect()
}

/// Refuses a property that the run decides itself. The message names the key that decides it.
fn decided(plan: &Plan, name: &str, given: &Given) -> Option<Diagnostic> {
    let Some(Treatment::Ours(instead)) = known::treatment(name) else { return None };
    let place = &given.place;
    let message = match name {
        "bootstrap.servers" | "test.mock.num.brokers" => {
            let here = plan.broker.kind().here();
            format!("{place}: `{}` would choose another cluster, and {here}", given.name)
        }
        _ => {
            let by = match instead.strip_prefix("use ") {
                Some(key) => format!("{key} of the scenario decides it"),
                None => "lanekeeper sets it".to_owned(),
            };
            format!("{place}: `{}` may not be set here: {by}", given.name)
        }
    };
    let remedy = match instead.strip_prefix("remove it: ") {
        Some(reason) => format!("remove it: {reason}"),
        None => format!("remove it, and {instead}"),
    };
    let refusal = Diagnostic::error(codes::CONTROLLED_PROPERTY, Origin::CommandLine, message);
    Some(refusal.remedy(remedy))
}

/// Refuses a property to which the scenario and a source outside it give different values.
fn twice(side: &str, name: &str, property: &PropertyPlan, file: &ClientFile) -> Option<Diagnostic> {
    let (_, given) = file.all().find(|(other, _)| *other == name)?;
    if given.value == property.value {
        return None;
    }
    let message = format!("`client.{side}{name}` has another value in {}", given.place);
    let refusal = Diagnostic::error(codes::CONFLICT, property.written, message);
    Some(refusal.remedy("remove one of them"))
}

/// Refuses a `message.max.bytes` from outside the scenario that is too small for the payload. The client itself would
/// refuse each record.
fn too_small(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let (_, given) = file.all().find(|(name, _)| *name == "message.max.bytes")?;
    // The client refuses a value that is not a number.
    let largest = client_payload_max(given.value.trim().parse().ok()?);
    let payload = u64::from(plan.load.payload_bytes_max);
    (largest < payload).then(|| {
        let message = format!(
            "{}: this `{}` is too small for `load.payload` of {payload} B",
            given.place, given.name
        );
        let least = payload + (CLIENT_MESSAGE_BYTES - client_payload_max(CLIENT_MESSAGE_BYTES));
        Diagnostic::error(codes::OUT_OF_RANGE, Origin::CommandLine, message)
            .remedy(format!("make it {least} or more, or choose a smaller `load.payload`"))
    })
}

/// Refuses `debug` together with a plugin. While it loads a plugin, the library prints debug lines itself, with paths.
fn talking_plugin(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let is_set = |name: &str| {
        plan.client.all().any(|(_, other, _)| other == name)
            || file.all().any(|(other, _)| other == name)
    };
    let message = format!("`debug` and `{PLUGINS}` do not go together: paths would be printed");
    (is_set("debug") && is_set(PLUGINS)).then(|| {
        Diagnostic::error(codes::CONFLICT, Origin::CommandLine, message)
            .remedy("remove one of them")
    })
}

impl ClientSettings {
    /// The settings of a plan for the cluster at `bootstrap`.
    ///
    /// # Errors
    /// The run or its client refuses properties of `[client]`, the client file or the environment.
    pub fn new(
        plan: &Plan,
        bootstrap: &str,
        run: RunId,
        file: ClientFile,
    ) -> Result<ClientSettings, Vec<Diagnostic>> {
        let refused = refusals(plan, &file);
        match refused.is_empty() {
            true => Ok(ClientSettings::merged(plan, bootstrap, run, file)),
            false => Err(refused),
        }
    }
}
