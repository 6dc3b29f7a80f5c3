//! The one place where the properties of a client come together, each with its source; and the properties that held, for
//! results, each with its origin and with what it overruled.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::client_file::{ClientFile, Place};
use crate::scenario::known::{self, Treatment};
use crate::summary::{ClientProperty, OverruledProperty, PropertyOrigin};

/// Where the value of a property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From lanekeeper: a default of its own, or what a key of the scenario means.
    Lanekeeper,
    /// From `[client]` of the scenario.
    Scenario,
    /// From a client file.
    File,
    /// From the environment.
    Environment,
}

impl Source {
    /// Whether the value may be shown.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Source::Lanekeeper | Source::Scenario)
    }
}

/// A value and its source.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) source: Source,
}

/// The properties of one client, by the names under which they are kept.
#[derive(Clone, Default)]
pub(super) struct Properties {
    held: BTreeMap<String, Setting>,
    /// What was set and does not hold, in the order in which it was overruled.
    overruled: BTreeMap<String, Vec<Setting>>,
}

/// Whether a scenario, a client file or the environment may set `name` for clients of a cluster that `takes_access`. The
/// clients of one that does not are told nothing of how a cluster is reached, and so can reach no other.
pub(super) fn may_be_given(name: &str, takes_access: bool) -> bool {
    match known::treatment(name) {
        Some(Treatment::Free) => true,
        Some(Treatment::Access | Treatment::Needs(_)) => takes_access,
        Some(Treatment::Ours(_)) | None => false,
    }
}

impl Properties {
    /// What lanekeeper says.
    pub(super) fn ours(&mut self, properties: &BTreeMap<String, String>) {
        for (name, value) in properties {
            self.set(name, value, Source::Lanekeeper);
        }
    }

    /// What the scenario says, as far as it may.
    pub(super) fn scenario(&mut self, properties: &BTreeMap<String, String>, takes_access: bool) {
        for (name, value) in properties {
            match may_be_given(name, takes_access) {
                true => self.set(name, value, Source::Scenario),
                false => self.overrule(name, value, Source::Scenario),
            }
        }
    }

    /// What a client file and the environment say, as far as they may.
    pub(super) fn outside(&mut self, file: &ClientFile, takes_access: bool) {
        for (name, given) in file.overruled().chain(file.all()) {
            let source = match given.place {
                Place::File { .. } => Source::File,
                Place::Environment { .. } => Source::Environment,
            };
            match may_be_given(name, takes_access) {
                true => self.set(name, &given.value, source),
                false => self.overrule(name, &given.value, source),
            }
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        if let Some(old) = self.held.insert(name.to_owned(), setting)
            && (old.source, source) != (Source::Lanekeeper, Source::Lanekeeper)
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(old) = self.held.remove(name)
            && old.source != Source::Lanekeeper
        {
            self.overrule(name, &old.value, old.source);
        }
    }

    /// Notes a value that does not hold. That lanekeeper changes a default of its own is no news.
    fn overrule(&mut self, name: &str, value: &str, source: Source) {
        let setting = Setting { value: value.to_owned(), source };
        self.overruled.entry(name.to_owned()).or_default().push(setting);
    }

    /// What was set and does not hold, by property.
    pub(super) fn overruled(&self) -> impl Iterator<Item = (&str, &[Setting])> {
        self.overruled.iter().map(|(name, settings)| (name.as_str(), settings.as_slice()))
    }

    /// Every property with its value and its source.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.held.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// Those whose values may be shown and that load nothing, as the client library wants them.
    pub(super) fn open(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let is_plain = |name: &str| !matches!(known::treatment(name), Some(Treatment::Needs(_)));
        for (name, setting) in self.held.iter().filter(|(name, _)| is_plain(name)) {
            if setting.source.is_open() {
                config.set(name, &setting.value);
            }
        }
        config
    }

    /// As the client library wants them.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        if tracing::enabled!(tracing::Level::DEBUG) {
            // What it says by itself, or what `debug` asks for.
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        for (name, setting) in &self.held {
            config.set(name, &setting.value);
        }
        config
    }
}

/// What is set, and what librdkafka does where nothing is set, for the properties that matter: of a consumer's and of a
/// producer's client. Nothing is said of what is set by the broker (`not_ours`).
pub(super) fn effective(
    consumer: &Properties,
    producer: &Properties,
    not_ours: &[&str],
) -> BTreeMap<String, ClientProperty> {
    let mut effective = BTreeMap::new();
    for (side, properties, shown) in
        [("consumer", consumer, CONSUMER_SHOWN), ("producer", producer, PRODUCER_SHOWN)]
    {
        let shown: Vec<&str> =
            shown.iter().copied().filter(|name| !not_ours.contains(name)).collect();
        for (name, property) in held(properties, &shown) {
            effective.insert(format!("{side}.{name}"), property);
        }
    }
    effective
}

fn held(properties: &Properties, shown: &[&str]) -> BTreeMap<String, ClientProperty> {
    let new = |value, origin| ClientProperty { value, origin, overruled: Vec::new() };
    let mut held: BTreeMap<String, ClientProperty> = properties
        .all()
        .map(|(name, setting)| (name.to_owned(), new(Some(text(setting)), origin(setting.source))))
        .collect();
    for (name, settings) in properties.overruled() {
        // What has no value now was left out by lanekeeper.
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
    // Without those from outside, whose values must not come to light under another name; plugins are loaded by
    // the client that asks.
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

/// What the client makes of a property that is not set when it is created, where that is not its default:
/// `rd_kafka_conf_finalize` in librdkafka's rdkafka_conf.c.
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

/// Properties shown with a result although they were not set.
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
    use crate::broker::ConsumerSpec;
    use crate::broker::rdkafka::ClientFile;
    use crate::broker::rdkafka::config::ClientSettings;
    use crate::plan::{Overrides, compile};
    use crate::scenario;

    /// The effective properties of a run with these lines in the scenario and in the client file, and with these
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
            settings(scenario, file, &environment, BrokerKind::KAFKA).effective_config();
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
            // Not the default: an idempotent producer takes less.
            ("producer.max.in.flight.requests.per.connection", property(Some("5"), Client, &[])),
        ] {
            assert_eq!(effective.get(name), Some(&expected), "{name}");
        }
        assert!(!format!("{effective:?}").contains("marker"));
    }

    #[test]
    fn what_a_run_decides_says_what_it_overruled() {
        use PropertyOrigin::{ClientFile, Lanekeeper, Scenario};
        // An embedded cluster is told nothing of how another one is reached.
        let scenario = "[client]\n\"security.protocol\" = \"ssl\"\n";
        let embedded =
            settings(scenario, "sasl.username=me\n", &[], BrokerKind::EMBEDDED).effective_config();
        let protocol = property(Some("plaintext"), Lanekeeper, &[("ssl", Scenario)]);
        assert_eq!(embedded["consumer.security.protocol"], protocol);
        let user = property(None, Lanekeeper, &[("(hidden)", ClientFile)]);
        assert_eq!(embedded["producer.sasl.username"], user);
        // What the broker decides for a group of the consumer protocol is no property of its members.
        let group = "[consumers]\nmode = \"group\"\ncount = 2\nprotocol = \"consumer\"\n";
        let kafka = settings(group, "", &[], BrokerKind::KAFKA).effective_config();
        assert_eq!(kafka.get("consumer.session.timeout.ms"), None);
    }

    /// Whatever is shown is what the client library has when it is given the same.
    #[test]
    fn what_is_shown_is_what_the_client_has() {
        for text in ["", "[consumers]\nmode = \"group\"\ncount = 2\n"] {
            let settings = settings(text, "", &[], BrokerKind::EMBEDDED);
            let effective = settings.effective_config();
            let spec = ConsumerSpec { name: "consumer".to_owned(), group: None };
            let (consumer, producer) = (settings.consumer(&spec), settings.producer("producer"));
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
