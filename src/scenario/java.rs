//! Properties of the Java client that librdkafka does not have, and what to write instead.

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

/// What to do instead of setting the Java client's property `name`, if it is one that librdkafka does not have.
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
