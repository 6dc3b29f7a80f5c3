//! The embedded broker: librdkafka's mock cluster, on a thread of its own because the cluster cannot move to another
//! thread.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::broker::embedded::Embedded;
use crate::fault::{Api, ApiError, BrokerChange, ClusterFault};

/// Starts `brokers` mock brokers with one topic.
///
/// # Errors
/// The thread or the mock cluster cannot be started. The text is the reason.
pub(super) fn start_mock(
    brokers: u32,
    topic: &str,
    partitions: u32,
    replication_factor: u32,
) -> Result<Embedded, String> {
    let topic = topic.to_owned();
    Embedded::start(move |ready, faults| {
        let create = || -> Result<_, KafkaError> {
            let cluster = MockCluster::new(brokers as i32)?;
            cluster.create_topic(&topic, partitions as i32, replication_factor as i32)?;
            Ok(cluster)
        };
        match create() {
            Ok(cluster) => {
                let _ = ready.send(Ok(cluster.bootstrap_servers()));
                faults.carry_out(|cluster_fault| inject(&cluster, cluster_fault));
            }
            Err(error) => {
                let _ = ready.send(Err(error.to_string()));
            }
        }
    })
}

fn inject<C: rdkafka::ClientContext>(
    cluster: &MockCluster<'_, C>,
    cluster_fault: &ClusterFault,
) -> Result<(), String> {
    match cluster_fault {
        ClusterFault::Brokers(ids, change) => {
            ids.iter().try_for_each(|id| change_broker(cluster, *id as i32, *change))
        }
        ClusterFault::Refuse { api, code, count } => {
            cluster.request_errors(key_of(*api), &vec![answer_of(*code); *count as usize]);
            Ok(())
        }
        ClusterFault::DeleteRecords(_) => {
            Err("the embedded cluster cannot delete records".to_owned())
        }
        other => Err(format!("the embedded cluster cannot do {other:?}")),
    }
}

fn change_broker<C: rdkafka::ClientContext>(
    cluster: &MockCluster<'_, C>,
    broker: i32,
    change: BrokerChange,
) -> Result<(), String> {
    let done = match change {
        BrokerChange::Down => cluster.broker_down(broker),
        BrokerChange::Up => cluster.broker_up(broker),
        BrokerChange::Rtt(delay) => cluster.broker_round_trip_time(broker, delay),
        other => return Err(format!("the embedded cluster cannot do {other:?}")),
    };
    done.map_err(|error| error.to_string())
}

fn key_of(api: Api) -> RDKafkaApiKey {
    match api {
        Api::Produce => RDKafkaApiKey::Produce,
        Api::Fetch => RDKafkaApiKey::Fetch,
        Api::ListOffsets => RDKafkaApiKey::ListOffsets,
        Api::Metadata => RDKafkaApiKey::Metadata,
        Api::OffsetCommit => RDKafkaApiKey::OffsetCommit,
        Api::FindCoordinator => RDKafkaApiKey::FindCoordinator,
        Api::JoinGroup => RDKafkaApiKey::JoinGroup,
        Api::Heartbeat => RDKafkaApiKey::Heartbeat,
    }
}

fn answer_of(code: ApiError) -> RDKafkaRespErr {
    use RDKafkaRespErr as Answer;
    match code {
        ApiError::NotLeader => Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        ApiError::RequestTimedOut => Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ApiError::NotEnoughReplicas => Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ApiError::NotEnoughReplicasAfterAppend => {
            Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND
        }
        ApiError::CoordinatorLoading => Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        ApiError::NotCoordinator => Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        ApiError::UnknownTopicOrPartition => Answer::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        ApiError::StorageError => Answer::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        ApiError::Disconnect => Answer::RD_KAFKA_RESP_ERR__TRANSPORT,
    }
}
