//! The properties of a run's clients, by librdkafka's names: lanekeeper's own, the scenario's, and those from outside
//! it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::client_file::ClientFile;
use super::hidden::Hidden;
use super::properties::{Properties, Source};
use crate::base::RunId;
use crate::broker::secure::{Access, AccessError, AccessSettings};
use crate::broker::{ConsumerSpec, GroupSpec, run_group};
use crate::plan::{GroupPlan, GroupProtocol, Identity, LoadPlan, Plan, PropertyPlan};

/// The properties of all clients of a run.
#[derive(Clone)]
pub struct ClientSettings {
    common: Side,
    consumer: Side,
    producer: Side,
    outside: ClientFile,
    /// Properties that overrule all others: the cluster, and its protocol if it is an embedded one.
    decided: BTreeMap<String, String>,
    takes_access: bool,
    run: RunId,
    group: Option<GroupSettings>,
    hidden: Arc<Hidden>,
}

/// Properties for all clients, or for the clients of one kind.
#[derive(Clone)]
struct Side {
    /// lanekeeper's own properties, which the scenario's and those from outside overrule.
    ours: BTreeMap<String, String>,
    scenario: BTreeMap<String, String>,
}

impl Side {
    fn new(ours: BTreeMap<String, String>, scenario: &BTreeMap<String, PropertyPlan>) -> Side {
        let text = |(name, given): (&String, &PropertyPlan)| (name.clone(), given.value.clone());
        Side { ours, scenario: scenario.iter().map(text).collect() }
    }
}

/// The properties that the members of a group share.
#[derive(Clone, Debug)]
struct GroupSettings {
    properties: BTreeMap<String, String>,
    /// Properties that the broker decides in this group. The client refuses them.
    not_ours: &'static [&'static str],
    plan: GroupPlan,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings").field("outside", &self.outside).finish_non_exhaustive()
    }
}

impl ClientSettings {
    /// The settings of a plan for the cluster at `bootstrap`, without checks. Properties that may not be set are left
    /// out.
    pub(in crate::broker) fn merged(
        plan: &Plan,
        bootstrap: &str,
        run: RunId,
        file: ClientFile,
    ) -> ClientSettings {
        let capability = plan.broker.capability();
        let takes_access = capability.takes_access;
        let mut consumer = consumer_defaults(capability.long_polls);
        if plan.group().is_some() && capability.can_grow {
            // The member that assigns partitions must see new ones first. librdkafka's default is 5 min.
            let interval = plan.topic.discover.as_millis().to_string();
            consumer.insert("topic.metadata.refresh.interval.ms".to_owned(), interval);
        }
        let mut decided = texts(&[("bootstrap.servers", bootstrap)]);
        if !takes_access {
            let protocol = [("security.protocol", "plaintext"), ("broker.address.family", "v4")];
            decided.extend(texts(&protocol));
        }
        ClientSettings {
            common: Side::new(common_defaults(), &plan.client.common),
            consumer: Side::new(consumer, &plan.client.consumer),
            producer: Side::new(producer_properties(&plan.load), &plan.client.producer),
            hidden: Arc::new(Hidden::of(&file)),
            outside: file,
            decided,
            takes_access,
            run,
            group: plan.group().map(group_settings),
        }
    }

    /// Removes the values from outside the scenario from the texts of the client library.
    pub(in crate::broker) fn hidden(&self) -> Arc<Hidden> {
        self.hidden.clone()
    }

    /// The group of all members; with explicit assignment, a name that no other client uses.
    pub fn group_id(&self) -> String {
        run_group(self.run)
    }

    /// The properties of a consumer's client.
    pub(in crate::broker) fn consumer(&self, spec: &ConsumerSpec) -> Properties {
        let mut properties = self.client(&spec.name, Some(&self.consumer));
        properties.set("group.id", &self.group_id(), Source::Lanekeeper);
        if let Some(group) = &self.group {
            for property in group.not_ours {
                properties.remove(property);
            }
            properties.ours(&group.properties);
            if let Some(id) = spec.group.as_ref().and_then(|member| self.instance(group, member)) {
                properties.set("group.instance.id", &id, Source::Lanekeeper);
            }
        }
        properties
    }

    /// A static member sends no LeaveGroup when it closes, so that the group takes a kill for a crash. With a new id
    /// for each start, a restarted member does not get its old assignment. With the same id it does.
    fn instance(&self, group: &GroupSettings, member: &GroupSpec) -> Option<String> {
        let (run, consumer) = (self.run, member.consumer);
        match group.plan.identity_of(consumer) {
            Identity::Dynamic => None,
            Identity::Crashable => Some(format!("{run}-{consumer}-{}", member.incarnation)),
            Identity::Static => Some(format!("{run}-{consumer}")),
        }
    }

    /// The properties of a producer's client.
    pub(in crate::broker) fn producer(&self, name: &str) -> Properties {
        self.client(name, Some(&self.producer))
    }

    /// The properties of a client that only sends queries.
    pub(in crate::broker) fn observer(&self, name: &str) -> Properties {
        self.client(name, None)
    }

    /// The settings of connections without librdkafka, before the files that they name are opened.
    pub(in crate::broker) fn access_settings(&self) -> Result<AccessSettings, AccessError> {
        let properties = self.observer("access");
        AccessSettings::of(&|name| properties.get(name).map(str::to_owned))
    }

    /// The access of connections without librdkafka. Reads the files that the properties name.
    ///
    /// # Errors
    /// A property is not usable. The text contains the reason and the remedy.
    pub(in crate::broker) fn access(&self) -> Result<Access, String> {
        let access = self.access_settings().and_then(Access::open);
        access.map_err(|error| format!("`{}`: {}; {}", error.property, error.text, error.remedy))
    }

    /// The properties of a client that queries end offsets. `isolation.level` is that of the consumers, because it
    /// decides if the records of an open transaction count.
    pub(in crate::broker) fn end_offsets(&self) -> Properties {
        let mut properties = self.observer("end-offsets");
        let level = "isolation.level";
        let spec = ConsumerSpec { name: "end-offsets".to_owned(), group: None };
        if let Some(value) = self.consumer(&spec).get(level) {
            properties.set(level, value, Source::Lanekeeper);
        }
        properties
    }

    /// The properties of a consumer that commits for the group without joining it.
    pub(in crate::broker) fn committer(&self) -> Properties {
        let mut properties = self.observer("start-offsets");
        let group = self.group_id();
        properties.ours(&texts(&[("group.id", &group), ("enable.auto.commit", "false")]));
        properties
    }

    /// The properties of a client that commits checkpoints for other tools. The socket timeout is short, so that a
    /// broker that does not answer cannot delay the end of a run.
    pub(in crate::broker) fn mirror(&self, group: &str) -> Properties {
        let mut properties = self.observer("checkpoints");
        properties.ours(&texts(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("socket.timeout.ms", "5000"),
        ]));
        properties
    }

    /// The properties of a client called `name`, of one kind or of none. Later properties overrule earlier ones.
    fn client(&self, name: &str, side: Option<&Side>) -> Properties {
        let mut properties = Properties::default();
        let sides = || std::iter::once(&self.common).chain(side);
        sides().for_each(|side| properties.ours(&side.ours));
        sides().for_each(|side| properties.scenario(&side.scenario, self.takes_access));
        properties.outside(&self.outside, self.takes_access);
        properties.ours(&self.decided);
        properties.set("client.id", &format!("lanekeeper-{name}"), Source::Lanekeeper);
        properties
    }

    /// Properties that the broker decides in this run's group.
    pub(in crate::broker) fn not_ours(&self) -> &'static [&'static str] {
        self.group.as_ref().map_or(NONE, |group| group.not_ours)
    }
}

fn common_defaults() -> BTreeMap<String, String> {
    texts(&[
        // With KIP-714 every client pushes metrics, which a run does not need.
        ("enable.metrics.push", "false"),
        // The default of `reconnect.backoff.max.ms`, 10 s, would dominate every recovery that needs a new connection.
        // librdkafka connects to a broker that it has not used yet at most once in half of `reconnect.backoff.ms`
        // (rdkafka_conf.c, `sparse_connect_intvl`). With the default of 100 ms, one in thirty new clients waits 50 ms.
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "1000"),
        ("socket.nagle.disable", "true"),
    ])
}

fn consumer_defaults(long_polls: bool) -> BTreeMap<String, String> {
    let mut properties = texts(&[
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // The default of 1,000 ms adds a second of latency after each time that a small queue was full.
        ("fetch.queue.backoff.ms", "5"),
        ("queued.max.messages.kbytes", "16384"),
        // Limits the time for which a close can wait for the coordinator.
        ("session.timeout.ms", "6000"),
    ]);
    if !long_polls {
        // The mock cluster does not long-poll, and delays every empty fetch by this time.
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
/// Properties that the client refuses with `group.protocol=consumer`.
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
