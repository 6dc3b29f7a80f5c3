//! A broker under test: the embedded one, the simulated one, or the cluster in `BOOTSTRAP`. Also the topics that tests
//! create on a cluster.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::FinalizedFeatureKey;
use kafka_protocol::protocol::Decodable as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::Tool;

/// Longest wait for the response to a request of a test.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// A broker under test.
pub(crate) enum Arm {
    /// The embedded broker, in the process of the program.
    Embedded,
    /// The broker model, in virtual time.
    Sim,
    /// A cluster at these addresses.
    Cluster(String),
}

impl Arm {
    /// A run of a scenario with this text, through the client library in `CLIENT`, if that is set.
    pub(crate) fn run(&self, text: &str) -> Tool {
        let tool = Tool::run_text(text);
        let tool = match self {
            Arm::Embedded => tool,
            Arm::Sim => return tool.args(["--broker", "sim"]),
            // Most tests create the topic before the run.
            Arm::Cluster(bootstrap) => {
                tool.args(["--bootstrap", bootstrap, "--allow-existing-topic"])
            }
        };
        match std::env::var("CLIENT") {
            Ok(client) => tool.args(["--client", &client]),
            Err(_) => tool,
        }
    }

    /// True if its clients are the native ones.
    pub(crate) fn has_the_native_client(&self) -> bool {
        matches!(self, Arm::Sim) || std::env::var("CLIENT").is_ok_and(|client| client == "native")
    }

    /// The group protocols that it supports. A cluster is queried, because not every broker supports the consumer
    /// protocol.
    pub(crate) fn group_protocols(&self) -> &'static [&'static str] {
        const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
        let has_both = match self {
            Arm::Sim | Arm::Embedded => true,
            Arm::Cluster(_) => self.serves(CONSUMER_GROUP_HEARTBEAT, "group.version"),
        };
        if has_both { &["classic", "consumer"] } else { &["classic"] }
    }

    /// True if the cluster lists a request and has enabled its feature (ApiVersions 3, KIP-584). In a cluster that
    /// reports no features, all requests that it lists are enabled.
    pub(crate) fn serves(&self, api: i16, feature: &str) -> bool {
        // API 18, version 3, correlation id, no client id, no tags; name and version of the software, no tags.
        const REQUEST: &[u8] = b"\x00\x12\x00\x03\x00\x00\x00\x00\xff\xff\x00\x05test\x021\x00";
        let first = self.bootstrap().split(',').next().expect("an address");
        let mut socket = TcpStream::connect(first).expect("a broker");
        socket.set_read_timeout(Some(ANSWER)).expect("a limit");
        let length = (REQUEST.len() as u32).to_be_bytes();
        socket.write_all(&[&length, REQUEST].concat()).expect("a broker that listens");
        let mut length = [0; 4];
        socket.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        socket.read_exact(&mut answer).expect("a whole answer");
        // The body begins after the correlation id.
        let mut answer = Bytes::from(answer.split_off(4));
        let answer = ApiVersionsResponse::decode(&mut answer, 3).expect("versions");
        let features = &answer.finalized_features;
        let is_on =
            |it: &FinalizedFeatureKey| it.name.as_str() == feature && it.max_version_level > 0;
        answer.api_keys.iter().any(|it| it.api_key == api)
            && (features.is_empty() || features.iter().any(is_on))
    }

    /// True if the cluster is franz-go's kfake, according to its cluster id.
    pub(crate) fn is_kfake(&self) -> bool {
        let Arm::Cluster(_) = self else { return false };
        let client: BaseConsumer = self.config().create().expect("a client");
        client.client().fetch_cluster_id(ANSWER).is_some_and(|id| id == "kfake")
    }

    /// Its name in results.
    pub(crate) fn name(&self) -> &str {
        match self {
            Arm::Embedded => "embedded",
            Arm::Sim => "sim",
            Arm::Cluster(_) => "kafka",
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Arm::Embedded)
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Arm::Cluster(_))
    }

    pub(crate) fn bootstrap(&self) -> &str {
        let Arm::Cluster(bootstrap) = self else { panic!("a cluster is needed") };
        bootstrap
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// The number of partitions of a topic; `None` if it does not exist.
    pub(crate) fn partitions_of(&self, topic: &str) -> Option<usize> {
        let client: BaseConsumer = self.config().create().expect("a client");
        let metadata = client.fetch_metadata(None, ANSWER).expect("metadata");
        let topic = metadata.topics().iter().find(|found| found.name() == topic)?;
        Some(topic.partitions().len())
    }

    /// The sum of high watermarks minus low watermarks over all partitions.
    pub(crate) fn records_in(&self, topic: &str) -> u64 {
        let client: BaseConsumer = self.config().create().expect("a client");
        let partitions = self.partitions_of(topic).expect("a topic");
        let in_one = |partition: usize| {
            let marks = client.fetch_watermarks(topic, partition as i32, ANSWER);
            let (low, high) = marks.expect("watermarks");
            (high - low) as u64
        };
        (0..partitions).map(in_one).sum()
    }

    pub(crate) fn admin<T>(
        &self,
        work: impl AsyncFnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let admin = self.config().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        runtime.expect("a runtime").block_on(work(admin, options))
    }

    /// Creates a topic, which is deleted when the value is dropped.
    pub(crate) fn topic(&self, name: &str, partitions: i32) -> TestTopic<'_> {
        self.topic_named(format!("lanekeeper-test-{name}-{}", std::process::id()), partitions)
    }

    /// Creates a topic with exactly this name.
    pub(crate) fn topic_named(&self, name: String, partitions: i32) -> TestTopic<'_> {
        let made = self.admin(async |admin, options| {
            let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
            admin.create_topics([&topic], &options).await
        });
        made.expect("an answer").remove(0).expect("a topic");
        // Until the metadata has the topic.
        while self.partitions_of(&name) != Some(partitions as usize) {
            std::thread::sleep(Duration::from_millis(50));
        }
        TestTopic { arm: self, name }
    }
}

pub(crate) struct TestTopic<'a> {
    pub(crate) arm: &'a Arm,
    pub(crate) name: String,
}

impl TestTopic<'_> {
    /// Deletes the topic and creates it again, empty.
    pub(crate) fn create_again(&self, partitions: i32) {
        let name = self.name.as_str();
        let deleted =
            self.arm.admin(async |admin, options| admin.delete_topics(&[name], &options).await);
        deleted.expect("an answer").remove(0).expect("a topic that was there");
        // A cluster deletes asynchronously, and rejects the name until then.
        let topic = || NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let create = || {
            let made = self
                .arm
                .admin(async |admin, options| admin.create_topics([&topic()], &options).await);
            made.expect("an answer").remove(0).is_ok()
        };
        while !create() {
            std::thread::sleep(Duration::from_millis(50));
        }
        while self.arm.partitions_of(name) != Some(partitions as usize) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The override that makes a run use it.
    pub(crate) fn set(&self) -> String {
        format!("topic.name={}", self.name)
    }

    /// Appends records that no run sent.
    pub(crate) fn fill(&self, partitions: i32, records: i32) {
        let producer: BaseProducer = self.arm.config().create().expect("a client");
        for i in 0..records {
            let payload = format!("another producer's record {i}");
            let record = BaseRecord::<(), str>::to(&self.name).partition(i % partitions);
            producer.send(record.payload(&payload)).map_err(|(error, _)| error).expect("a queue");
        }
        producer.flush(ANSWER).expect("all acknowledged");
    }
}

impl Drop for TestTopic<'_> {
    fn drop(&mut self) {
        let name = self.name.as_str();
        // An error here does not matter, because a failed test has reported its own.
        let _ = self.arm.admin(async |admin, options| admin.delete_topics(&[name], &options).await);
    }
}

/// Runs a case on the cluster in `BOOTSTRAP`, if it is set.
pub(crate) fn on_the_cluster(case: fn(&Arm)) {
    if let Ok(bootstrap) = std::env::var("BOOTSTRAP") {
        case(&Arm::Cluster(bootstrap));
    }
}
