//! librdkafka properties: ours, the scenario's, and secrets from outside it.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::base::{BrokerKind, RunId};
use crate::broker::{ConsumerSpec, GroupSpec};
use crate::plan::{GroupPlan, GroupProtocol, Identity, LoadPlan, Plan};

/// Properties from the environment and from `--client-config`: where secrets belong.
#[derive(Clone, Debug, Default)]
pub struct ClientFile {
    properties: BTreeMap<String, String>,
}

/// Environment variables with this prefix are properties: `LANEKEEPER_CLIENT_SASL_PASSWORD` is `sasl.password`.
const ENVIRONMENT_PREFIX: &str = "LANEKEEPER_CLIENT_";

impl ClientFile {
    /// Reads `key=value` lines (`#` begins a comment line), and then the environment, which wins.
    /// The error names the line.
    pub fn read(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<ClientFile, String> {
        let mut properties = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(format!("line {}: expected `property = value`", number + 1));
            };
            properties.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        for (name, value) in environment {
            if let Some(property) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                properties.insert(property.to_lowercase().replace('_', "."), value);
            }
        }
        Ok(ClientFile { properties })
    }
}

/// Everything needed to make a client of a run.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    base: BTreeMap<String, String>,
    consumer: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
    /// Never shown.
    secret: BTreeMap<String, String>,
    run: RunId,
    group: Option<GroupSettings>,
}

/// What the members of a group have in common.
#[derive(Clone, Debug)]
struct GroupSettings {
    properties: BTreeMap<String, String>,
    /// Properties that are the broker's business in this group; the client refuses them.
    not_ours: &'static [&'static str],
    plan: GroupPlan,
}

impl ClientSettings {
    /// The settings of a plan against the cluster at `bootstrap`.
    pub fn new(plan: &Plan, bootstrap: &str, run: RunId, file: ClientFile) -> ClientSettings {
        let kind = plan.broker.kind();
        let mut base = texts(&[
            ("bootstrap.servers", bootstrap),
            // KIP-714 pushes metrics from every client; 18 clients would do so for nothing.
            ("enable.metrics.push", "false"),
            // Its default of 10 s would dominate every recovery that needs a new connection.
            // librdkafka connects to brokers it has not used yet at most once in half of this time (rdkafka_conf.c,
            // `sparse_connect_intvl`): with the default of 100 ms one in thirty new clients waits 50 ms for nothing.
            ("reconnect.backoff.ms", "20"),
            ("reconnect.backoff.max.ms", "1000"),
            ("socket.nagle.disable", "true"),
            ("broker.address.family", "v4"),
        ]);
        if kind == BrokerKind::Kafka {
            base.remove("broker.address.family");
        }
        base.extend(plan.client.common.clone());
        let mut consumer = consumer_defaults(kind);
        if plan.group().is_some() && kind.capability().can_grow {
            // New partitions are dealt out when the member that deals has seen them; its default is 5 min.
            let interval = plan.topic.discover.as_millis().to_string();
            consumer.insert("topic.metadata.refresh.interval.ms".to_owned(), interval);
        }
        consumer.extend(plan.client.consumer.clone());
        let mut producer = producer_properties(&plan.load);
        producer.extend(plan.client.producer.clone());
        let group = plan.group().map(group_settings);
        ClientSettings { base, consumer, producer, secret: file.properties, run, group }
    }

    /// Whether librdkafka knows every property and takes every value. The error names the property.
    pub fn check(&self) -> Result<(), String> {
        let consumer = self.consumer(&ConsumerSpec { name: "check".to_owned(), group: None });
        for (side, config) in [("consumer", consumer), ("producer", self.producer("check"))] {
            if let Err(error) = config.create_native_config() {
                return Err(format!(
                    "the client refuses a {side} property: {error}; see `[client]` in the scenario, the \
                     --client-config file and LANEKEEPER_CLIENT_* in the environment"
                ));
            }
        }
        Ok(())
    }

    /// The group all members share, and under explicit assignment a name no other client uses.
    pub fn group_id(&self) -> String {
        format!("lanekeeper-{}", self.run)
    }

    /// Properties of a consumer's client.
    pub(super) fn consumer(&self, spec: &ConsumerSpec) -> ClientConfig {
        let mut config = self.client(&spec.name);
        apply(&mut config, &self.consumer);
        config.set("group.id", self.group_id());
        if let Some(group) = &self.group {
            for property in group.not_ours {
                config.remove(property);
            }
            apply(&mut config, &group.properties);
            if let Some(id) = spec.group.as_ref().and_then(|member| self.instance(group, member)) {
                config.set("group.instance.id", id);
            }
        }
        config
    }

    /// Static members do not send LeaveGroup when they close, so a kill is a crash as the group sees it. A fresh id
    /// for each start keeps the next one from taking the old place, the same id gives it back.
    fn instance(&self, group: &GroupSettings, member: &GroupSpec) -> Option<String> {
        let (run, consumer) = (self.run, member.consumer);
        match group.plan.identity_of(consumer) {
            Identity::Dynamic => None,
            Identity::Crashable => Some(format!("{run}-{consumer}-{}", member.incarnation)),
            Identity::Static => Some(format!("{run}-{consumer}")),
        }
    }

    /// Properties of a producer's client.
    pub(super) fn producer(&self, name: &str) -> ClientConfig {
        let mut config = self.client(name);
        apply(&mut config, &self.producer);
        config
    }

    /// Properties of a client that only asks questions.
    pub(super) fn observer(&self, name: &str) -> ClientConfig {
        self.client(name)
    }

    /// Properties of a consumer that commits for the group without joining it.
    pub(super) fn committer(&self) -> ClientConfig {
        let mut config = self.client("start-offsets");
        config.set("group.id", self.group_id()).set("enable.auto.commit", "false");
        config
    }

    /// Properties of a client that commits for other tools to see. A broker that does not answer must not hold
    /// a run's end up.
    pub(super) fn mirror(&self, group: &str) -> ClientConfig {
        let mut config = self.client("checkpoints");
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("socket.timeout.ms", "5000");
        config
    }

    fn client(&self, name: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        apply(&mut config, &self.base);
        apply(&mut config, &self.secret);
        config.set("client.id", format!("lanekeeper-{name}"));
        config
    }

    /// What is set, and what librdkafka does where nothing is set, for the properties that matter.
    pub(super) fn effective(&self) -> BTreeMap<String, String> {
        let mut effective = BTreeMap::new();
        let spec = ConsumerSpec { name: "consumer".to_owned(), group: None };
        let consumer = self.consumer(&spec);
        let not_ours = self.group.as_ref().map_or(NONE, |group| group.not_ours);
        for (side, config, defaults) in [
            ("consumer", consumer, CONSUMER_SHOWN),
            ("producer", self.producer("producer"), PRODUCER_SHOWN),
        ] {
            let set: BTreeMap<_, _> = config.config_map().iter().map(|(k, v)| (*k, *v)).collect();
            for (key, value) in set {
                let shown = if self.secret.contains_key(key) { "(from outside)" } else { value };
                effective.insert(format!("{side}.{key}"), shown.to_owned());
            }
            let Ok(native) = config.create_native_config() else {
                continue;
            };
            for key in defaults.iter().filter(|key| !not_ours.contains(key)) {
                if let Ok(value) = native.get(key) {
                    effective.entry(format!("{side}.{key}")).or_insert(value);
                }
            }
        }
        effective
    }
}

/// Properties shown with a result although nobody set them.
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
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "request.timeout.ms",
    "retry.backoff.ms",
    "socket.timeout.ms",
    "reconnect.backoff.ms",
];

fn consumer_defaults(kind: BrokerKind) -> BTreeMap<String, String> {
    let mut properties = texts(&[
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // Its default of 1,000 ms shows as a second of latency whenever a small queue was full.
        ("fetch.queue.backoff.ms", "5"),
        ("queued.max.messages.kbytes", "16384"),
        // Bounds how long a close can wait for the coordinator.
        ("session.timeout.ms", "6000"),
    ]);
    if kind == BrokerKind::Embedded {
        // The mock cluster does not long-poll: it holds every empty fetch for all of this.
        properties.insert("fetch.wait.max.ms".to_owned(), "3".to_owned());
    }
    properties
}

fn producer_properties(load: &LoadPlan) -> BTreeMap<String, String> {
    texts(&[
        ("acks", &load.acks.to_string()),
        ("enable.idempotence", &load.idempotence.to_string()),
        ("linger.ms", &format!("{}", load.linger.as_secs_f64() * 1e3)),
        ("compression.type", &load.compression.to_string()),
    ])
}

const NONE: &[&str] = &[];
/// What the client refuses with `group.protocol=consumer`.
const OF_THE_BROKER: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
];

fn group_settings(group: &GroupPlan) -> GroupSettings {
    let (properties, not_ours) = match &group.protocol {
        GroupProtocol::Classic { assignor, session_timeout, heartbeat_interval } => {
            let properties = texts(&[
                ("partition.assignment.strategy", &assignor.to_string()),
                ("session.timeout.ms", &session_timeout.as_millis().to_string()),
                ("heartbeat.interval.ms", &heartbeat_interval.as_millis().to_string()),
            ]);
            (properties, NONE)
        }
        GroupProtocol::Consumer { assignor } => {
            let mut properties = texts(&[("group.protocol", "consumer")]);
            let assignor =
                assignor.map(|name| ("group.remote.assignor".to_owned(), name.to_string()));
            properties.extend(assignor);
            (properties, OF_THE_BROKER)
        }
    };
    let mut properties = properties;
    let max_poll = group.max_poll_interval.as_millis().to_string();
    properties.insert("max.poll.interval.ms".to_owned(), max_poll);
    GroupSettings { properties, not_ours, plan: group.clone() }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn apply(config: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    for (key, value) in properties {
        config.set(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_a_file_or_the_environment_and_the_environment_wins() {
        let environment = [
            ("LANEKEEPER_CLIENT_SASL_PASSWORD".to_owned(), "from-env".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
        ];
        let text = "# a comment\nsasl.password = from-file\nsasl.username=me\n";
        let file = ClientFile::read(text, environment.into_iter()).unwrap();
        assert_eq!(file.properties["sasl.password"], "from-env");
        assert_eq!(file.properties["sasl.username"], "me");
        assert_eq!(file.properties.len(), 2);
        let error = ClientFile::read("x=1\nnonsense\n", std::iter::empty()).unwrap_err();
        assert_eq!(error, "line 2: expected `property = value`");
    }
}
