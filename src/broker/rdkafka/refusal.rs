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
use crate::base::{CLIENT_MESSAGE_BYTES, ClientKind, RunId, client_payload_max};
use crate::broker::ConsumerSpec;
use crate::plan::{Plan, PropertyPlan};
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
    let capability = plan.broker.capability();
    if capability.is_modelled {
        return wrong;
    }
    let takes_access = capability.takes_access;
    let is_native = plan.broker.client() == ClientKind::Native;
    let refused = |name: &str, value: &str| match is_native && known::is_native(name) {
        // librdkafka is not asked about what it does not do here.
        true => None,
        false => refused(name, value),
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
    wrong.extend(match is_native {
        true => no_access(plan, file),
        false => mechanism_not_built_in(plan, file),
    });
    wrong.extend(too_small(plan, file));
    if wrong.is_empty() && !is_native {
        wrong.extend(combined(plan, file));
    }
    wrong
}

/// What needs consent before a run: each property with its place and what it does.
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
    // Files and servers that are named by the user's own file are meant.
    let outside = file.all().filter_map(|(name, given)| {
        let danger = danger(name).filter(|danger| *danger == Danger::Code)?;
        Some(format!("`{}` ({}) {}", given.name, given.place, danger.meaning()))
    });
    scenario.chain(outside).collect()
}

/// The properties from outside that the clients of a run are given: their names and places.
pub fn from_outside(plan: &Plan, file: &ClientFile) -> Vec<String> {
    let capability = plan.broker.capability();
    let is_given =
        |name: &str| !capability.is_modelled && may_be_given(name, capability.takes_access);
    let given = file.all().filter(|(name, _)| is_given(name));
    given.map(|(_, given)| format!("{} from {}", given.name, given.place)).collect()
}

/// Refuses what the run decides itself, and names who decides it.
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

/// Mechanisms of SASL, and what librdkafka calls each among the things it was built with.
const MECHANISMS: [(&str, &str); 5] = [
    ("PLAIN", "sasl_plain"),
    ("SCRAM-SHA-256", "sasl_scram"),
    ("SCRAM-SHA-512", "sasl_scram"),
    ("OAUTHBEARER", "sasl_oauthbearer"),
    ("GSSAPI", "sasl_gssapi"),
];

/// Refuses a mechanism that the client library was built without; it would say so after the first connection.
fn mechanism_not_built_in(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let properties = ClientSettings::merged(plan, "", RunId(0), file.clone()).observer("check");
    let value = |name: &str| properties.get(name).map(str::to_ascii_uppercase);
    if !value("security.protocol")?.starts_with("SASL_") {
        return None;
    }
    let given = value("sasl.mechanism");
    let wanted = given.as_deref().unwrap_or("GSSAPI");
    let (mechanism, feature) = MECHANISMS.into_iter().find(|(name, _)| *name == wanted)?;
    let native = ClientConfig::new().create_native_config().ok()?;
    let built_in = native.get("builtin.features").ok()?;
    let is_built_in = built_in.split(',').any(|it| it.trim() == feature);
    let has_tokens = value("sasl.oauthbearer.method").is_some_and(|it| it == "OIDC")
        || value("enable.sasl.oauthbearer.unsecure.jwt").is_some_and(|it| it == "TRUE");
    if is_built_in && (mechanism != "OAUTHBEARER" || has_tokens) {
        return None;
    }
    let written = ["sasl.mechanism", "security.protocol"].into_iter().find_map(|wanted| {
        let (_, _, property) = plan.client.all().find(|(_, name, _)| *name == wanted)?;
        Some(property.written)
    });
    let place =
        file.all().find(|(name, _)| matches!(*name, "sasl.mechanism" | "security.protocol"));
    let place = place.map_or(String::new(), |(_, given)| format!("{}: ", given.place));
    let (message, remedy) = match given {
        None => (
            "SASL without `sasl.mechanism` is GSSAPI (Kerberos), which is not built in".to_owned(),
            "set `sasl.mechanism` to what the listener takes, for example PLAIN",
        ),
        Some(_) if is_built_in => (
            "`sasl.mechanism` OAUTHBEARER has no source of tokens".to_owned(),
            "set `sasl.oauthbearer.method` to `oidc`, with its token endpoint, id and secret",
        ),
        Some(_) if mechanism == "GSSAPI" => (
            "`sasl.mechanism` GSSAPI (Kerberos) is not built in".to_owned(),
            "use SCRAM, PLAIN or OAUTHBEARER",
        ),
        Some(_) => (
            format!("`sasl.mechanism` {mechanism} is not part of this build"),
            "build it with `--features tls`, or use PLAIN",
        ),
    };
    let origin = written.unwrap_or(Origin::CommandLine);
    Some(Diagnostic::error(codes::NOT_BUILT_IN, origin, format!("{place}{message}")).remedy(remedy))
}

/// Refuses what the native client cannot reach a cluster by.
fn no_access(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let settings = ClientSettings::merged(plan, "", RunId(0), file.clone());
    let wrong = settings.access_settings().err()?;
    let is_it = |name: &str| name == wrong.property;
    let written = plan.client.all().find(|(_, name, _)| is_it(name));
    let place = file.all().find(|(name, _)| is_it(name));
    let place = place.map_or(String::new(), |(_, given)| format!("{}: ", given.place));
    let code = if wrong.is_missing_here { codes::NOT_NATIVE } else { codes::BAD_PROPERTY };
    let message = format!("{place}`{}`: {}", wrong.property, wrong.text);
    let origin = written.map_or(Origin::CommandLine, |(_, _, property)| property.written);
    Some(Diagnostic::error(code, origin, message).remedy(wrong.remedy))
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
