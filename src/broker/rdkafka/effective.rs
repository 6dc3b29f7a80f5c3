//! The effective client properties, for results: each with its origin and with the settings it overruled.

use std::collections::BTreeMap;

use crate::broker::ConsumerSpec;
use crate::broker::settings::{ClientSettings, Properties, Setting, Source};
use crate::plan::LoadPlan;
use crate::summary::{ClientProperty, OverruledProperty, PropertyOrigin, Sending};

/// The effective properties of a consumer's and of a producer's client: those that are set, and librdkafka's defaults
/// of the ones listed below. Properties that the broker decides are left out.
pub(super) fn effective_config(settings: &ClientSettings) -> BTreeMap<String, ClientProperty> {
    let spec = ConsumerSpec { name: "consumer".to_owned(), group: None };
    let (consumer, producer) = (settings.consumer(&spec), settings.producer("producer"));
    let not_ours = settings.not_ours();
    let mut effective = BTreeMap::new();
    for (side, properties, shown) in
        [("consumer", &consumer, CONSUMER_SHOWN), ("producer", &producer, PRODUCER_SHOWN)]
    {
        let shown: Vec<&str> =
            shown.iter().copied().filter(|name| !not_ours.contains(name)).collect();
        for (name, property) in held(properties, &shown) {
            effective.insert(format!("{side}.{name}"), property);
        }
    }
    effective
}

/// The settings with which producers send.
pub(super) fn sending(settings: &ClientSettings, load: &LoadPlan) -> Sending {
    let config = effective_config(settings);
    let value = |name: &str| config.get(&format!("producer.{name}"))?.value.as_deref();
    let number = |name: &str| value(name)?.parse().ok();
    Sending {
        acks: load.acks.to_string(),
        idempotence: load.idempotence,
        linger_ms: value("linger.ms").and_then(|text| text.parse().ok()),
        batch_bytes_max: number("batch.size"),
        batch_records_max: number("batch.num.messages"),
        compression: load.compression.to_string(),
        // The default is -1, the codec's own level, and is reported as `None`.
        compression_level: value("compression.level")
            .and_then(|text| text.parse().ok())
            .filter(|level| *level >= 0),
        in_flight_max: number("max.in.flight.requests.per.connection"),
        ..Sending::default()
    }
}

fn held(properties: &Properties, shown: &[&str]) -> BTreeMap<String, ClientProperty> {
    let new = |value, origin| ClientProperty { value, origin, overruled: Vec::new() };
    let mut held: BTreeMap<String, ClientProperty> = properties
        .all()
        .map(|(name, setting)| (name.to_owned(), new(Some(text(setting)), origin(setting.source))))
        .collect();
    for (name, settings) in properties.overruled() {
        // A property without a value was removed by lanekeeper.
        let property =
            held.entry(name.to_owned()).or_insert_with(|| new(None, PropertyOrigin::Lanekeeper));
        property.overruled = settings
            .iter()
            .map(|setting| OverruledProperty {
                value: text(setting),
                origin: origin(setting.source),
            })
            .collect();
    }
    // Values from outside the scenario are left out, because an alias could show them. Properties that load plugins are
    // left out as well, because the query would load the code.
    let Ok(native) = properties.open().create_native_config() else { return held };
    for name in shown {
        if held.contains_key(*name) {
            continue;
        }
        let value = adjusted(name, properties).map(str::to_owned).or_else(|| native.get(name).ok());
        if value.is_some() {
            held.insert((*name).to_owned(), new(value, PropertyOrigin::Client));
        }
    }
    held
}

/// The value that librdkafka gives a property that is not set, where that differs from its default:
/// `rd_kafka_conf_finalize` in rdkafka_conf.c.
fn adjusted(name: &str, properties: &Properties) -> Option<&'static str> {
    let is_idempotent = || {
        let mut all = properties.all();
        all.any(|(name, setting)| name == "enable.idempotence" && setting.value == "true")
    };
    (name == "max.in.flight.requests.per.connection" && is_idempotent()).then_some("5")
}

fn text(setting: &Setting) -> String {
    if setting.source.is_open() { setting.value.clone() } else { "(hidden)".to_owned() }
}

fn origin(source: Source) -> PropertyOrigin {
    match source {
        Source::Lanekeeper => PropertyOrigin::Lanekeeper,
        Source::Scenario => PropertyOrigin::Scenario,
        Source::File => PropertyOrigin::ClientFile,
        Source::Environment => PropertyOrigin::Environment,
    }
}

/// Properties that a result shows even if they are not set.
const CONSUMER_SHOWN: &[&str] = &[
    "fetch.wait.max.ms",
    "fetch.min.bytes",
    "fetch.message.max.bytes",
    "fetch.queue.backoff.ms",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "isolation.level",
    "check.crcs",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "group.protocol",
    "socket.timeout.ms",
    "reconnect.backoff.ms",
];
const PRODUCER_SHOWN: &[&str] = &[
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "batch.num.messages",
    "batch.size",
    "compression.level",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "request.timeout.ms",
    "retry.backoff.ms",
    "socket.timeout.ms",
    "reconnect.backoff.ms",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerKind, RunId};
    use crate::broker::settings::ClientFile;
    use crate::plan::{Overrides, compile};
    use crate::scenario;

    /// The client settings of a run with these lines in the scenario and in the client file, and with these environment
    /// variables.
    fn settings(
        text: &str,
        file: &str,
        environment: &[(&str, &str)],
        kind: BrokerKind,
    ) -> ClientSettings {
        let text =
            format!("[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"1/s\"\n{text}");
        let source = scenario::Source { name: "x.toml".to_owned(), text };
        let bootstrap = (kind == BrokerKind::KAFKA).then(|| "127.0.0.1:9".to_owned());
        let overrides = Overrides { broker: Some(kind), bootstrap, ..Overrides::default() };
        let (plan, found) = compile(&source, &[], &overrides);
        let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let file = ClientFile::read(Some(("c", file.as_bytes())), environment).expect("properties");
        ClientSettings::merged(&plan, "127.0.0.1:9", RunId(1), file)
    }

    fn property(
        value: Option<&str>,
        origin: PropertyOrigin,
        overruled: &[(&str, PropertyOrigin)],
    ) -> ClientProperty {
        let value = value.map(str::to_owned);
        let overruled = overruled
            .iter()
            .map(|(value, origin)| OverruledProperty {
                value: (*value).to_owned(),
                origin: *origin,
            })
            .collect();
        ClientProperty { value, origin, overruled }
    }

    #[test]
    fn each_value_that_held_has_its_origin_and_what_it_overruled() {
        use PropertyOrigin::{Client, ClientFile, Environment, Lanekeeper, Scenario};
        let scenario = "[client]\n\"socket.timeout.ms\" = 5000\n\"retry.backoff.ms\" = 70\n\
                        [client.consumer]\n\"fetch.wait.max.ms\" = 9\n\"fetch.queue.backoff.ms\" = 6\n";
        let file = "retry.backoff.ms=80\nfetch.queue.backoff.ms=7\nsasl.username=marker\n";
        let environment = [("LANEKEEPER_CLIENT_FETCH_QUEUE_BACKOFF_MS", "8")];
        let effective =
            effective_config(&settings(scenario, file, &environment, BrokerKind::KAFKA));
        for (name, expected) in [
            ("consumer.enable.auto.commit", property(Some("false"), Lanekeeper, &[])),
            ("consumer.check.crcs", property(Some("false"), Client, &[])),
            ("consumer.socket.timeout.ms", property(Some("5000"), Scenario, &[])),
            ("consumer.fetch.wait.max.ms", property(Some("9"), Scenario, &[])),
            (
                "consumer.fetch.queue.backoff.ms",
                property(
                    Some("(hidden)"),
                    Environment,
                    &[("5", Lanekeeper), ("6", Scenario), ("(hidden)", ClientFile)],
                ),
            ),
            (
                "producer.retry.backoff.ms",
                property(Some("(hidden)"), ClientFile, &[("70", Scenario)]),
            ),
            ("producer.sasl.username", property(Some("(hidden)"), ClientFile, &[])),
            // Not the default: librdkafka lowers it for an idempotent producer.
            ("producer.max.in.flight.requests.per.connection", property(Some("5"), Client, &[])),
        ] {
            assert_eq!(effective.get(name), Some(&expected), "{name}");
        }
        assert!(!format!("{effective:?}").contains("marker"));
    }

    #[test]
    fn what_a_run_decides_says_what_it_overruled() {
        use PropertyOrigin::{ClientFile, Lanekeeper, Scenario};
        // The connection properties of the user do not apply to an embedded cluster.
        let scenario = "[client]\n\"security.protocol\" = \"ssl\"\n";
        let embedded =
            effective_config(&settings(scenario, "sasl.username=me\n", &[], BrokerKind::EMBEDDED));
        let protocol = property(Some("plaintext"), Lanekeeper, &[("ssl", Scenario)]);
        assert_eq!(embedded["consumer.security.protocol"], protocol);
        let user = property(None, Lanekeeper, &[("(hidden)", ClientFile)]);
        assert_eq!(embedded["producer.sasl.username"], user);
        // In a group of the consumer protocol the broker decides the session timeout.
        let group = "[consumers]\nmode = \"group\"\ncount = 2\nprotocol = \"consumer\"\n";
        let kafka = effective_config(&settings(group, "", &[], BrokerKind::KAFKA));
        assert_eq!(kafka.get("consumer.session.timeout.ms"), None);
    }

    /// Each shown value is the one that the client library has with the same properties.
    #[test]
    fn what_is_shown_is_what_the_client_has() {
        for text in ["", "[consumers]\nmode = \"group\"\ncount = 2\n"] {
            let settings = settings(text, "", &[], BrokerKind::EMBEDDED);
            let effective = effective_config(&settings);
            let spec = ConsumerSpec { name: "consumer".to_owned(), group: None };
            let (consumer, producer) =
                (settings.consumer(&spec).config(), settings.producer("producer").config());
            for (side, config) in [("consumer", consumer), ("producer", producer)] {
                let native = config.create_native_config().expect("properties");
                for name in config.config_map().keys() {
                    let shown = effective[&format!("{side}.{name}")].value.as_deref();
                    let has = native.get(name).expect("a value");
                    let is_same = shown == Some(has.as_str())
                        || shown.and_then(|shown| shown.parse::<f64>().ok()) == has.parse().ok()
                        || (shown, has.as_str()) == (Some("all"), "-1");
                    assert!(is_same, "{side}.{name}: {shown:?} {has}");
                }
            }
        }
    }
}
