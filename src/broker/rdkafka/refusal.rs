//! What a run refuses of its client's properties, wherever they come from; found without a broker.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

use super::client_file::{ClientFile, Given};
use super::config::ClientSettings;
use super::error::Hidden;
use super::properties::may_be_given;
use crate::base::{BrokerKind, CLIENT_MESSAGE_BYTES, RunId, client_payload_max};
use crate::broker::ConsumerSpec;
use crate::plan::{BrokerPlan, Plan, PropertyPlan};
use crate::scenario::known::{self, Danger, Treatment};
use crate::scenario::{Diagnostic, Origin, codes};

/// Loads code as soon as the client library hears of it.
const PLUGINS: &str = "plugin.library.paths";

/// Everything that is wrong with the properties of a plan and of a client file. Values from outside the scenario are
/// not part of any text. Opens no connection and no file, and loads nothing.
pub fn refusals(plan: &Plan, file: &ClientFile) -> Vec<Diagnostic> {
    let mut outside: Vec<(&str, &Given)> = file.all().collect();
    outside.sort_by_key(|(_, given)| &given.place);
    let decided = outside.iter().filter_map(|(name, given)| decided(plan, name, given));
    let mut wrong: Vec<Diagnostic> = decided.collect();
    let kind = plan.broker.kind();
    if kind == BrokerKind::Sim {
        return wrong;
    }
    let is_embedded = kind == BrokerKind::Embedded;
    for (side, name, property) in
        plan.client.all().filter(|(_, name, _)| may_be_given(name, is_embedded))
    {
        wrong.extend(twice(side, name, property, file));
        wrong.extend(refused(name, &property.value).map(|why| {
            let message = format!("the client refuses `client.{side}{name}`: {}", why.text);
            Diagnostic::error(why.code, property.written, message).remedy(why.remedy)
        }));
    }
    for (name, given) in outside.into_iter().filter(|(name, _)| may_be_given(name, is_embedded)) {
        wrong.extend(refused(name, &given.value).map(|why| {
            let message =
                format!("{}: the client refuses `{}`: {}", given.place, given.name, why.text);
            Diagnostic::error(why.code, Origin::CommandLine, message).remedy(why.remedy)
        }));
    }
    wrong.extend(talking_plugin(plan, file));
    wrong.extend(too_small(plan, file));
    if wrong.is_empty() {
        wrong.extend(combined(plan, file));
    }
    wrong
}

/// What needs consent before a run: each property with its place and what it does.
pub fn needs_consent(plan: &Plan, file: &ClientFile) -> Vec<String> {
    if plan.broker.kind() == BrokerKind::Sim {
        return Vec::new();
    }
    let danger = |name: &str| match known::treatment(name) {
        Some(Treatment::Needs(danger)) => Some(danger),
        _ => None,
    };
    let scenario = plan.client.all().filter_map(|(side, name, _)| {
        Some(format!("`client.{side}{name}` of the scenario {}", danger(name)?.meaning()))
    });
    // Files and servers that are named by the user's own file are meant.
    let outside = file.all().filter_map(|(name, given)| {
        let danger = danger(name).filter(|danger| *danger == Danger::Code)?;
        Some(format!("`{}` ({}) {}", given.name, given.place, danger.meaning()))
    });
    scenario.chain(outside).collect()
}

/// The properties from outside that the clients of a run are given: their names and places.
pub fn from_outside(plan: &Plan, file: &ClientFile) -> Vec<String> {
    let kind = plan.broker.kind();
    let is_given =
        |name: &str| kind != BrokerKind::Sim && may_be_given(name, kind == BrokerKind::Embedded);
    let given = file.all().filter(|(name, _)| is_given(name));
    given.map(|(_, given)| format!("{} from {}", given.name, given.place)).collect()
}

/// Refuses what the run decides itself, and names who decides it.
fn decided(plan: &Plan, name: &str, given: &Given) -> Option<Diagnostic> {
    let Some(Treatment::Ours(instead)) = known::treatment(name) else { return None };
    let place = &given.place;
    let message = match name {
        "bootstrap.servers" | "test.mock.num.brokers" => {
            let here = match &plan.broker {
                BrokerPlan::Embedded { .. } => {
                    "this run is on the cluster embedded in this process"
                }
                BrokerPlan::Sim(_) => "this run is simulated",
                BrokerPlan::Kafka { .. } => {
                    "this run is on the cluster given by `--bootstrap` or `kafka.bootstrap`"
                }
            };
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

/// Refuses a property that the scenario and the outside set to different values.
fn twice(side: &str, name: &str, property: &PropertyPlan, file: &ClientFile) -> Option<Diagnostic> {
    let (_, given) = file.all().find(|(other, _)| *other == name)?;
    if given.value == property.value {
        return None;
    }
    let message = format!("`client.{side}{name}` has another value in {}", given.place);
    let refusal = Diagnostic::error(codes::CONFLICT, property.written, message);
    Some(refusal.remedy("remove one of them"))
}

/// A limit from outside that is smaller than the payload: each record would be refused, by the client itself.
fn too_small(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let (_, given) = file.all().find(|(name, _)| *name == "message.max.bytes")?;
    // What is no number is refused by the client.
    let largest = client_payload_max(given.value.trim().parse().ok()?);
    let payload = u64::from(plan.load.payload_bytes);
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

/// While a plugin is loaded, the library prints what `debug` asks for by itself, paths included.
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

/// Why a value is refused.
struct Why {
    code: &'static str,
    text: String,
    remedy: &'static str,
}

/// Asks the client library whether it takes a value. What it says quotes values, so it is not passed on.
fn refused(name: &str, value: &str) -> Option<Why> {
    // Setting it would load the code.
    if name == PLUGINS {
        return None;
    }
    let said = match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => return None,
        Err(KafkaError::ClientConfig(_, said, ..)) => said,
        Err(_) => String::new(),
    };
    Some(why(&said))
}

fn why(said: &str) -> Why {
    let bad = |text: String| Why {
        code: codes::BAD_PROPERTY,
        text,
        remedy: "correct it or remove it; librdkafka's CONFIGURATION.md has the values of each property",
    };
    let missing =
        |text: &str, remedy| Why { code: codes::NOT_BUILT_IN, text: text.to_owned(), remedy };
    let is_missing =
        said.contains("not supported in this build") || said.starts_with("Unsupported value");
    if is_missing && said.contains("libsasl2") {
        return missing("Kerberos is not built in", "use SCRAM, PLAIN or OAUTHBEARER");
    }
    if is_missing && said.contains("libcurl") {
        return missing("asking a server for tokens is not built in", "use SCRAM or PLAIN");
    }
    if is_missing && said.contains("OpenSSL") {
        return missing("this build has no TLS", "build it with `--features tls`");
    }
    if is_missing {
        return missing("this build has no such thing", "remove it");
    }
    let range = said
        .strip_prefix("Configuration property \"")
        .and_then(|said| said.rsplit_once("outside allowed range "))
        .map(|(_, range)| range.trim())
        .filter(|range| {
            range.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e'))
        });
    match range {
        Some(range) => bad(format!("its value must be in {range}")),
        None if said.starts_with("Expected bool") => bad("it is `true` or `false`".to_owned()),
        None => bad("its value is none that it takes".to_owned()),
    }
}

impl ClientSettings {
    /// The settings of a plan against the cluster at `bootstrap`.
    ///
    /// # Errors
    /// What the run or its client refuses of `[client]`, the client file and the environment.
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

/// Makes a consumer and a producer that know no broker and so connect to none: what is refused then is a
/// combination. Left out is what needs consent, and the certificates, which belong to files that are left out.
fn combined(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let settings = ClientSettings::merged(plan, "", RunId(0), file.clone());
    let spec = ConsumerSpec { name: "check".to_owned(), group: None };
    let sides = [
        (RDKafkaType::RD_KAFKA_CONSUMER, "consumer", settings.consumer_properties(&spec)),
        (RDKafkaType::RD_KAFKA_PRODUCER, "producer", settings.producer_properties("check")),
    ];
    for (kind, side, properties) in sides {
        let mut offline = BTreeMap::new();
        for (name, setting) in properties.all() {
            let is_left_out = name == "bootstrap.servers"
                || name.starts_with("ssl.")
                || name.starts_with("https.")
                || name.starts_with("sasl.oauthbearer.")
                || matches!(known::treatment(name), Some(Treatment::Needs(_)));
            let value = match (name, setting.value.to_ascii_lowercase().as_str()) {
                ("security.protocol", "ssl") => "plaintext",
                ("security.protocol", "sasl_ssl") => "sasl_plaintext",
                _ => setting.value.as_str(),
            };
            if !is_left_out {
                offline.insert(name, value);
            }
        }
        let asks_for_tokens = offline
            .get("sasl.mechanism")
            .is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("oauthbearer"));
        if asks_for_tokens {
            offline.retain(|name, _| !name.starts_with("sasl.") && *name != "security.protocol");
        }
        let mut config = ClientConfig::new();
        for (name, value) in offline {
            config.set(name, value);
        }
        let made = config
            .create_native_config()
            .and_then(|native| Client::new(&config, native, kind, DefaultClientContext));
        if let Err(error) = made {
            let said = match &error {
                KafkaError::ClientCreation(said) => Hidden::of(file).hide(said),
                _ => "it says no more".to_owned(),
            };
            return Some(refused_together(plan, file, side, &said));
        }
    }
    None
}

/// Points to the first property of the scenario that the client library names, and lists those from outside.
fn refused_together(plan: &Plan, file: &ClientFile, side: &str, said: &str) -> Diagnostic {
    let is_named = |name: &str| {
        let names = known::names().filter(|alias| known::canonical(alias) == name);
        { names }.any(|name| said.contains(&format!("`{name}`")))
    };
    let written = plan.client.all().find(|(_, name, _)| is_named(name));
    let origin = written.map_or(Origin::CommandLine, |(_, _, property)| property.written);
    let places = |is_meant: &dyn Fn(&str) -> bool| -> Vec<String> {
        let meant = file.all().filter(|(name, _)| is_meant(name));
        meant.map(|(_, given)| format!("`{}` is in {}", given.name, given.place)).collect()
    };
    let message = format!("the {side}'s client refuses its properties: {said}");
    let (named, every) = (places(&is_named), places(&|_| true));
    let remedy = match (written, named.is_empty()) {
        (_, false) => format!("correct them: {}", named.join(", ")),
        (None, true) if !every.is_empty() => format!("look at them: {}", every.join(", ")),
        _ => "correct it or remove it".to_owned(),
    };
    Diagnostic::error(codes::BAD_PROPERTY, origin, message).remedy(remedy)
}
