//! The properties that librdkafka knows, and how a run treats each of them.
//!
//! Every property of librdkafka's CONFIGURATION.md and every hidden one is in exactly one of these lists. Other names
//! are refused.
//!
//! For properties of the Java client that librdkafka does not have, there are remedies.

use crate::reader::suggest::closest;

/// The treatment of a property from a scenario, a client file or the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The client gets the property.
    Free,
    /// The property belongs to the access to a cluster: its protocol or the login. The embedded cluster, which speaks
    /// plaintext, does not get it.
    Access,
    /// The property has an effect that needs consent.
    Needs(Danger),
    /// The property is refused, with this remedy: a run decides it, or only a program can set it.
    Ours(&'static str),
}

/// The reason why a property needs consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// The property loads code or runs a command. It needs consent wherever it is written.
    Code,
    /// The property opens a file of this machine. It needs no consent in the user's own client file or environment.
    File,
    /// The property lets the client talk to another server than the cluster, or accept another server as the cluster.
    /// It needs no consent in the user's own client file or environment.
    Elsewhere,
}

impl Danger {
    /// The effect of the property, for a message.
    pub fn meaning(self) -> &'static str {
        match self {
            Danger::Code => "loads code or runs a command",
            Danger::File => "opens a file of this machine",
            Danger::Elsewhere => "lets the client talk to another server than the cluster",
        }
    }
}

/// The canonical name of a property, which may have several names.
pub fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// The treatment of the property `name`; `None` if librdkafka has no such property.
pub fn treatment(name: &str) -> Option<Treatment> {
    let name = canonical(name);
    let is_in = |list: &[&str]| list.contains(&name);
    if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Some(Treatment::Ours(instead));
    }
    if is_in(NOT_TEXT) {
        return Some(Treatment::Ours("remove it: only a program can set it"));
    }
    if is_in(FREE) {
        return Some(Treatment::Free);
    }
    if is_in(ACCESS) {
        return Some(Treatment::Access);
    }
    let dangers =
        [(CODE, Danger::Code), (FILES, Danger::File), (SERVERS, Danger::Elsewhere)].into_iter();
    { dangers }.find(|(list, _)| is_in(list)).map(|(_, danger)| Treatment::Needs(danger))
}

/// True if the native client supports the property `name` as well: it belongs to the access to a cluster.
pub fn is_native(name: &str) -> bool {
    NATIVE.contains(&canonical(name))
}

/// The property that loads code as soon as it is set in librdkafka.
pub const PLUGINS: &str = "plugin.library.paths";

/// Environment variables with this prefix are properties: `LANEKEEPER_CLIENT_SASL_PASSWORD` is `sasl.password`.
pub const VARIABLES: &str = "LANEKEEPER_CLIENT_";

/// All names of properties, aliases included.
pub fn names() -> impl Iterator<Item = &'static str> {
    let lists = [FREE, ACCESS, CODE, FILES, SERVERS, NOT_TEXT];
    let ours = OURS.iter().map(|(name, _)| *name);
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    lists.into_iter().flatten().copied().chain(ours).chain(aliases)
}

/// The remedy for a name that librdkafka does not have.
pub(super) fn remedy(name: &str) -> String {
    closest(name, names()).map_or_else(
        || "the names are those of librdkafka's CONFIGURATION.md".to_owned(),
        |candidate| format!("did you mean `{candidate}`?"),
    )
}

/// Aliases of properties, each with the canonical name.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("auto.commit.enable", "enable.auto.commit"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("message.send.max.retries", "retries"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// The properties that the native client supports.
const NATIVE: &[&str] = &[
    "broker.address.family",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
];

const OFFSETS_ELSEWHERE: &str =
    "remove it: offsets are committed to the cluster by `consumers.commit_interval`";
const MOCK: &str = "use `embedded.brokers` and `--broker embedded`";

/// The properties that a run decides, with the remedy for setting one.
const OURS: &[(&str, &str)] = &[
    // The cluster, which only the command line and the scenario select.
    ("bootstrap.servers", "give the cluster with `--bootstrap` or in `kafka.bootstrap`"),
    ("test.mock.num.brokers", MOCK),
    ("test.mock.broker.rtt", MOCK),
    // The names of the clients and the group on the cluster.
    ("client.id", "remove it: each client has a name of its own, `lanekeeper-<what>`"),
    ("client.software.name", "remove it: the client says what it is"),
    ("client.software.version", "remove it: the client says what it is"),
    ("group.id", "remove it: each run has a group of its own"),
    ("group.instance.id", "use `consumers.membership`"),
    ("transactional.id", "remove it: producers are not transactional"),
    // The guarantees for records, and the keys of the scenario that define them.
    ("acks", "use `load.acks`"),
    ("enable.idempotence", "use `load.idempotence`"),
    ("linger.ms", "use `load.linger`"),
    ("compression.type", "use `load.compression`"),
    ("partitioner", "use `load.partition`"),
    ("queuing.strategy", "remove it: the order of each lane is checked"),
    ("delivery.report.only.error", "remove it: every record's answer is counted"),
    ("allow.auto.create.topics", "remove it: a run creates its topic as `[topic]` says"),
    ("topic.blacklist", "remove it: a run has one topic, `topic.name`"),
    // Positions and groups.
    ("group.protocol", "use `consumers.protocol`"),
    ("group.protocol.type", "use `consumers.protocol`"),
    ("group.remote.assignor", "use `consumers.assignor`"),
    ("partition.assignment.strategy", "use `consumers.assignor`"),
    ("session.timeout.ms", "use `consumers.session_timeout`"),
    ("heartbeat.interval.ms", "use `consumers.heartbeat_interval`"),
    ("max.poll.interval.ms", "use `consumers.max_poll_interval`"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.interval.ms", "use `consumers.commit_interval`"),
    ("enable.auto.offset.store", "remove it: an offset counts once its record is processed"),
    ("auto.offset.reset", "use `consumers.start`"),
    ("enable.partition.eof", "remove it: the consumers depend on it"),
    ("offset.store.method", OFFSETS_ELSEWHERE),
    ("offset.store.path", OFFSETS_ELSEWHERE),
    ("offset.store.sync.interval.ms", OFFSETS_ELSEWHERE),
    // Properties on which the wrapper around librdkafka depends, and properties that would end the process.
    ("enabled_events", "remove it: lanekeeper depends on every event"),
    ("enable_sasl_queue", "remove it: that queue is not served"),
    ("log.queue", "remove it: `-vv` shows what clients say"),
    ("builtin.features", "remove it: it says what librdkafka was built with"),
    ("internal.termination.signal", "remove it: signals end or interrupt a run"),
];

const OFFSETS: &str = "remove it: offsets are committed by `consumers.commit_interval`";

/// Properties whose values are functions or handles, and not text. One of them is a hook of librdkafka's own tests that
/// takes a text.
const NOT_TEXT: &[&str] = &[
    "background_event_cb",
    "closesocket_cb",
    "connect_cb",
    "consume_cb",
    "default_topic_conf",
    "dr_cb",
    "dr_msg_cb",
    "error_cb",
    "interceptors",
    "log_cb",
    "msg_order_cmp",
    "oauthbearer_token_refresh_cb",
    "offset_commit_cb",
    "opaque",
    "open_cb",
    "partitioner_cb",
    "rebalance_cb",
    "resolve_cb",
    "socket_cb",
    "ssl.certificate.verify_cb",
    "ssl_ca",
    "ssl_certificate",
    "ssl_engine_callback_data",
    "ssl_key",
    "stats_cb",
    "throttle_cb",
    "ut_handle_ProduceResponse",
];

/// Properties that run code: libraries that are loaded, and the parts of the command that fetches Kerberos tickets.
const CODE: &[&str] = &[
    "plugin.library.paths",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.principal",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.providers",
];

/// Properties that open files. A scenario from another author must not open a file without consent.
const FILES: &[&str] = &[
    "https.ca.location",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// Properties about other servers: token servers, and servers that pretend to be the cluster.
const SERVERS: &[&str] = &[
    "enable.ssl.certificate.verification",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.endpoint.identification.algorithm",
];

/// Properties of the access to a cluster: its protocol and the login.
const ACCESS: &[&str] = &[
    "broker.address.family",
    "client.dns.lookup",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "https.ca.pem",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.certificate.stores",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl.sigalgs.list",
];

/// Properties of the client's operation: sizes, times, retries, and logs.
const FREE: &[&str] = &[
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "batch.num.messages",
    "batch.size",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.rack",
    "compression.level",
    "connections.max.idle.ms",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "debug",
    "enable.gapless.guarantee",
    "enable.metrics.push",
    "enable.random.seed",
    "enable.sparse.connections",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "isolation.level",
    "log.connection.close",
    "log.thread.name",
    "log_level",
    "max.in.flight.requests.per.connection",
    "message.copy.max.bytes",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "metadata.request.timeout.ms",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
    "transaction.timeout.ms",
];

const PASSWORD: &str = "write user and password as `sasl.username` and `sasl.password`, and the mechanism as `sasl.mechanism`; \
     for OAUTHBEARER there is `sasl.oauthbearer.config`";
const TRUST: &str = "librdkafka reads certificates as PEM: export them with `keytool -exportcert -rfc`, and name that file in \
     `ssl.ca.location`";
const NO_TRUST_PASSWORD: &str = "remove it: the PEM file of `ssl.ca.location` has no password";
const KEY_STORE_TYPE: &str = "remove it: `ssl.keystore.location` is PKCS#12 here (`keytool -importkeystore -deststoretype PKCS12` makes \
     one of a JKS); PEM files go into `ssl.certificate.location` and `ssl.key.location`";
const CLASSES: &str = "remove it: it names a class of Java";
const RECORDS: &str = "remove it: lanekeeper makes and reads the records itself";
const TLS: &str = "remove it: OpenSSL agrees on the version of TLS with the broker; `ssl.cipher.suites` is known here, too";
const METRICS: &str = "remove it: the metrics of the Java client are not there";

/// The remedy for the Java client's property `name`; `None` if librdkafka has it or it is not a property of the Java
/// client.
pub fn instead(name: &str) -> Option<&'static str> {
    let remedy = match name {
        "sasl.jaas.config" => PASSWORD,
        "ssl.truststore.location" | "ssl.truststore.type" => TRUST,
        "ssl.truststore.password" => NO_TRUST_PASSWORD,
        "ssl.truststore.certificates" => "use `ssl.ca.pem`",
        "ssl.keystore.type" => KEY_STORE_TYPE,
        "ssl.keystore.certificate.chain" => "use `ssl.certificate.pem`",
        "ssl.keystore.key" => "use `ssl.key.pem`",
        "ssl.protocol" | "ssl.enabled.protocols" => TLS,
        "ssl.provider" | "security.providers" => "use `ssl.providers`, with providers of OpenSSL",
        "ssl.keymanager.algorithm"
        | "ssl.trustmanager.algorithm"
        | "ssl.secure.random.implementation" => "remove it: OpenSSL decides it",
        "ssl.engine.factory.class"
        | "sasl.login.class"
        | "sasl.login.callback.handler.class"
        | "sasl.client.callback.handler.class"
        | "interceptor.classes"
        | "partitioner.class"
        | "config.providers" => CLASSES,
        "key.serializer" | "value.serializer" | "key.deserializer" | "value.deserializer" => {
            RECORDS
        }
        "metric.reporters"
        | "metrics.num.samples"
        | "metrics.recording.level"
        | "metrics.sample.window.ms"
        | "auto.include.jmx.reporter" => METRICS,
        "sasl.kerberos.ticket.renew.jitter" | "sasl.kerberos.ticket.renew.window.factor" => {
            "use `sasl.kerberos.min.time.before.relogin`"
        }
        "buffer.memory" => "use `queue.buffering.max.kbytes`",
        "max.request.size" => "use `message.max.bytes`",
        "max.block.ms" => "remove it: a producer that cannot send is late, and is counted so",
        "max.poll.records" => "remove it: records are read one by one",
        "fetch.max.wait.ms" => "use `fetch.wait.max.ms`",
        "default.api.timeout.ms" => "use `socket.timeout.ms`",
        "send.buffer.bytes" => "use `socket.send.buffer.bytes`",
        "receive.buffer.bytes" => "use `socket.receive.buffer.bytes`",
        "socket.connection.setup.timeout.max.ms" => "use `socket.connection.setup.timeout.ms`",
        _ => return None,
    };
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_property_stands_in_one_list_and_each_alias_leads_to_one() {
        let mut seen = BTreeSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} stands twice");
            assert!(treatment(name).is_some(), "{name}");
        }
        assert!(ALIASES.iter().all(|(_, name)| canonical(name) == *name && seen.contains(name)));
    }

    #[test]
    fn the_cluster_and_the_promises_of_a_run_are_its_own() {
        for name in ["bootstrap.servers", "metadata.broker.list", "request.required.acks"] {
            assert!(matches!(treatment(name), Some(Treatment::Ours(_))), "{name}");
        }
        assert_eq!(treatment("plugin.library.paths"), Some(Treatment::Needs(Danger::Code)));
        assert_eq!(treatment("sasl.pasword"), None);
        assert_eq!(remedy("sasl.pasword"), "did you mean `sasl.password`?");
    }
}
