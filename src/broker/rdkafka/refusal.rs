//! Checks of properties that librdkafka refuses. They need no broker.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

use crate::base::RunId;
use crate::broker::ConsumerSpec;
use crate::broker::library::RefusedValue;
use crate::broker::settings::{ClientFile, ClientSettings, Hidden};
use crate::plan::Plan;
use crate::scenario::known::{self, PLUGINS, Treatment};
use crate::scenario::{Diagnostic, Origin, codes};

/// SASL mechanisms, and the librdkafka feature that each of them needs.
const MECHANISMS: [(&str, &str); 5] = [
    ("PLAIN", "sasl_plain"),
    ("SCRAM-SHA-256", "sasl_scram"),
    ("SCRAM-SHA-512", "sasl_scram"),
    ("OAUTHBEARER", "sasl_oauthbearer"),
    ("GSSAPI", "sasl_gssapi"),
];

/// Remedies for OAUTHBEARER: a build with another source of tokens, or the native client.
const TOKENS: &str = "build it with `--features oidc` to ask a server for tokens, or use `--client native` with a token from a file \
     (`sasl.oauthbearer.config = token_file=FILE`)";

/// Refuses a SASL mechanism that the client library was built without. librdkafka itself reports this only after the
/// first connection.
pub(super) fn mechanism_not_built_in(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
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
    let is_part = |feature: &str| built_in.split(',').any(|it| it.trim() == feature);
    let is_built_in = is_part(feature);
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
        Some(_) if is_built_in && is_part("oidc") => (
            "`sasl.mechanism` OAUTHBEARER has no source of tokens".to_owned(),
            "set `sasl.oauthbearer.method` to `oidc`, with its token endpoint, id and secret",
        ),
        Some(_) if is_built_in => {
            ("`sasl.mechanism` OAUTHBEARER has no source of tokens".to_owned(), TOKENS)
        }
        Some(_) if mechanism == "GSSAPI" => (
            "`sasl.mechanism` GSSAPI (Kerberos) is not built in".to_owned(),
            "use SCRAM, PLAIN or OAUTHBEARER",
        ),
        Some(_) if mechanism == "OAUTHBEARER" => {
            (format!("`sasl.mechanism` {mechanism} is not part of this build"), TOKENS)
        }
        Some(_) => (
            format!("`sasl.mechanism` {mechanism} is not part of this build"),
            "build it with `--features tls`, or use PLAIN",
        ),
    };
    let origin = written.unwrap_or(Origin::CommandLine);
    Some(Diagnostic::error(codes::NOT_BUILT_IN, origin, format!("{place}{message}")).remedy(remedy))
}

/// Returns why the client library refuses a value, or `None` if it takes it. The library's own text quotes values and
/// is not passed on.
pub(super) fn refused_value(name: &str, value: &str) -> Option<RefusedValue> {
    // Setting this property would load the code.
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

fn why(said: &str) -> RefusedValue {
    let bad = |text: String| RefusedValue {
        code: codes::BAD_PROPERTY,
        text,
        remedy: "correct it or remove it; librdkafka's CONFIGURATION.md has the values of each property",
    };
    let missing = |text: &str, remedy| RefusedValue {
        code: codes::NOT_BUILT_IN,
        text: text.to_owned(),
        remedy,
    };
    let is_missing =
        said.contains("not supported in this build") || said.starts_with("Unsupported value");
    if is_missing && said.contains("libsasl2") {
        return missing("Kerberos is not built in", "use SCRAM, PLAIN or OAUTHBEARER");
    }
    if is_missing && said.contains("libcurl") {
        return missing("asking a server for tokens is not built in", TOKENS);
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

/// Creates a consumer and a producer without brokers, so that they connect to none. An error means that properties are
/// refused in combination. Properties that need consent are left out, and so are certificates and the files they are
/// in.
pub(super) fn combined(plan: &Plan, file: &ClientFile) -> Option<Diagnostic> {
    let settings = ClientSettings::merged(plan, "", RunId(0), file.clone());
    let spec = ConsumerSpec { name: "check".to_owned(), group: None };
    let sides = [
        (RDKafkaType::RD_KAFKA_CONSUMER, "consumer", settings.consumer(&spec)),
        (RDKafkaType::RD_KAFKA_PRODUCER, "producer", settings.producer("check")),
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

/// Points to the first property of the scenario that the client library names. The remedy lists the properties from
/// outside the scenario.
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
