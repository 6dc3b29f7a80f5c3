//! Responses of a broker, one for each API and version, encoded by the message codec.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatResponse, CreatePartitionsResponse, CreateTopicsResponse,
    DeleteRecordsResponse, DeleteTopicsResponse, DescribeConfigsResponse, FindCoordinatorResponse,
    HeartbeatResponse, InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse,
    ListOffsetsResponse, MetadataResponse, OffsetCommitResponse, OffsetFetchResponse,
    SaslAuthenticateResponse, SaslHandshakeResponse, SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use super::super::consumer_protocol::{assignment_bytes, subscription_bytes};
use super::super::versions::Api;
use crate::base::PartitionId;

/// The id of the topic in the samples.
pub(super) const TOPIC_ID: [u8; 16] = [7; 16];

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn bytes(message: &impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).expect("a response");
    out.to_vec()
}

/// A response of an API of the message codec in `version`, with this error in each field for an error.
pub(super) fn sample(api: Api, version: i16, error: i16) -> Vec<u8> {
    match api {
        Api::Metadata => bytes(&metadata(version, error), version),
        Api::InitProducerId => {
            let response = InitProducerIdResponse::default().with_error_code(error);
            bytes(&response.with_producer_id(9.into()).with_producer_epoch(3), version)
        }
        Api::ListOffsets => bytes(&list_offsets(version, error), version),
        Api::FindCoordinator => bytes(&coordinator(version, error), version),
        Api::CreateTopics | Api::DeleteTopics | Api::CreatePartitions => topic(api, version, error),
        Api::DeleteRecords => bytes(&delete_records(error), version),
        Api::DescribeConfigs => bytes(&describe_configs(version, error), version),
        Api::SaslHandshake => {
            let response = SaslHandshakeResponse::default().with_error_code(error);
            bytes(&response.with_mechanisms(vec![text("PLAIN"), text("SCRAM-SHA-256")]), version)
        }
        Api::SaslAuthenticate => {
            let response = SaslAuthenticateResponse::default()
                .with_error_code(error)
                .with_error_message(Some(text("why")))
                .with_auth_bytes(Bytes::from_static(b"v=abc"))
                .with_session_lifetime_ms(60_000);
            bytes(&response, version)
        }
        _ => of_group(api, version, error),
    }
}

fn metadata(version: i16, error: i16) -> MetadataResponse {
    let broker = |node: i32| {
        MetadataResponseBroker::default()
            .with_node_id(node.into())
            .with_host(text("host"))
            .with_port(9000 + node)
            .with_rack((node == 2).then(|| text("rack")))
    };
    let partition = |index: i32| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(if index == 0 { 5 } else { 0 })
            .with_leader_id(if index == 0 { -1 } else { 2 }.into())
            .with_replica_nodes(vec![2.into(), 1.into()])
            .with_isr_nodes(vec![2.into()]);
        if version >= 7 { partition.with_leader_epoch(4) } else { partition }
    };
    let mut topic = MetadataResponseTopic::default()
        .with_error_code(error)
        .with_name(Some(text("lanes").into()))
        .with_partitions(vec![partition(1), partition(0)]);
    if version >= 10 {
        topic.topic_id = Uuid::from_bytes(TOPIC_ID);
    }
    MetadataResponse::default()
        .with_brokers(vec![broker(1), broker(2)])
        .with_cluster_id(Some(text("c")))
        .with_controller_id(2.into())
        .with_topics(vec![topic])
}

fn list_offsets(version: i16, error: i16) -> ListOffsetsResponse {
    let partition = |index: i32| {
        let partition = ListOffsetsPartitionResponse::default()
            .with_partition_index(index)
            .with_error_code(if index == 1 { error } else { 0 })
            .with_offset(100 + i64::from(index));
        if version >= 4 { partition.with_leader_epoch(4) } else { partition }
    };
    let topic = ListOffsetsTopicResponse::default()
        .with_name(text("lanes").into())
        .with_partitions(vec![partition(0), partition(1)]);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

fn coordinator(version: i16, error: i16) -> FindCoordinatorResponse {
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_node_id(2.into())
            .with_host(text("host"))
            .with_port(9002);
    }
    let other = Coordinator::default().with_key(text("other"));
    let ours = Coordinator::default()
        .with_key(text("group"))
        .with_error_code(error)
        .with_error_message(Some(text("why")))
        .with_node_id(2.into())
        .with_host(text("host"))
        .with_port(9002);
    FindCoordinatorResponse::default().with_coordinators(vec![other, ours])
}

fn delete_records(error: i16) -> DeleteRecordsResponse {
    let partition = |index: i32, error| {
        DeleteRecordsPartitionResult::default()
            .with_partition_index(index)
            .with_low_watermark(7)
            .with_error_code(error)
    };
    let topic = DeleteRecordsTopicResult::default()
        .with_name(text("lanes").into())
        .with_partitions(vec![partition(0, 0), partition(1, error)]);
    DeleteRecordsResponse::default().with_topics(vec![topic])
}

fn describe_configs(version: i16, error: i16) -> DescribeConfigsResponse {
    let synonym = DescribeConfigsSynonym::default()
        .with_name(text("log.n"))
        .with_value(Some(text("7")))
        .with_source(5);
    let mut config = DescribeConfigsResourceResult::default()
        .with_name(text("n"))
        .with_value(Some(text("7")))
        .with_config_source(1)
        .with_synonyms(vec![synonym]);
    if version >= 3 {
        config = config.with_config_type(5).with_documentation(Some(text("what it is")));
    }
    let result = DescribeConfigsResult::default()
        .with_error_code(error)
        .with_error_message(Some(text("why")))
        .with_resource_type(2)
        .with_resource_name(text("lanes"))
        .with_configs(vec![config]);
    DescribeConfigsResponse::default().with_results(vec![result])
}

fn topic(api: Api, version: i16, error: i16) -> Vec<u8> {
    let name = || text("lanes").into();
    match api {
        Api::CreateTopics => {
            let mut result = CreatableTopicResult::default()
                .with_name(name())
                .with_error_code(error)
                .with_error_message(Some(text("why")));
            if version >= 5 {
                let config = CreatableTopicConfigs::default().with_name(text("n"));
                result.configs = Some(vec![config.clone(), config.with_value(None)]);
                result.topic_config_error_code = 29;
            }
            bytes(&CreateTopicsResponse::default().with_topics(vec![result]), version)
        }
        Api::DeleteTopics => {
            let mut result =
                DeletableTopicResult::default().with_name(Some(name())).with_error_code(error);
            if version >= 5 {
                result.error_message = Some(text("why"));
            }
            bytes(&DeleteTopicsResponse::default().with_responses(vec![result]), version)
        }
        _ => {
            let result = CreatePartitionsTopicResult::default()
                .with_name(name())
                .with_error_code(error)
                .with_error_message(Some(text("why")));
            bytes(&CreatePartitionsResponse::default().with_results(vec![result]), version)
        }
    }
}

fn of_group(api: Api, version: i16, error: i16) -> Vec<u8> {
    match api {
        Api::JoinGroup => bytes(&joined(version, error), version),
        Api::SyncGroup => {
            let own = assignment_bytes("lanes", &[PartitionId(4), PartitionId(2)]);
            let response = SyncGroupResponse::default()
                .with_error_code(error)
                .with_assignment(Bytes::from(own.expect("an assignment")));
            bytes(&response, version)
        }
        Api::Heartbeat => bytes(&HeartbeatResponse::default().with_error_code(error), version),
        Api::LeaveGroup => {
            let response = match version >= 3 {
                true => LeaveGroupResponse::default().with_members(vec![
                    MemberResponse::default().with_group_instance_id(None),
                    MemberResponse::default().with_member_id(text("m")).with_error_code(error),
                ]),
                false => LeaveGroupResponse::default().with_error_code(error),
            };
            bytes(&response, version)
        }
        Api::OffsetCommit => {
            let partition = OffsetCommitResponsePartition::default().with_partition_index(1);
            let failed = OffsetCommitResponsePartition::default().with_error_code(error);
            let topic = OffsetCommitResponseTopic::default()
                .with_name(text("lanes").into())
                .with_partitions(vec![partition, failed]);
            bytes(&OffsetCommitResponse::default().with_topics(vec![topic]), version)
        }
        Api::OffsetFetch => bytes(&offsets(version, error), version),
        Api::ConsumerGroupHeartbeat => {
            let its = TopicPartitions::default()
                .with_topic_id(Uuid::from_bytes(TOPIC_ID))
                .with_partitions(vec![3, 5]);
            let response = ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error)
                .with_error_message(Some(text("why")))
                .with_member_id(Some(text("m")))
                .with_member_epoch(6)
                .with_heartbeat_interval_ms(3000)
                .with_assignment(Some(Assignment::default().with_topic_partitions(vec![its])));
            bytes(&response, version)
        }
        other => panic!("{other:?} is by hand"),
    }
}

fn joined(version: i16, error: i16) -> JoinGroupResponse {
    let member = |id: &'static str| {
        let owned = subscription_bytes("lanes", &[PartitionId(1)], 5).expect("a subscription");
        let member = JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_metadata(Bytes::from(owned));
        member.with_group_instance_id(Some(text("static")))
    };
    let response = JoinGroupResponse::default()
        .with_error_code(error)
        .with_generation_id(6)
        .with_protocol_name(Some(text("range")))
        .with_leader(text("a"))
        .with_member_id(text("a"))
        .with_members(vec![member("a"), member("b")]);
    if version >= 7 { response.with_protocol_type(Some(text("consumer"))) } else { response }
}

fn offsets(version: i16, error: i16) -> OffsetFetchResponse {
    if version < 8 {
        let partition = |index: i32, offset: i64| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
        };
        let topic = OffsetFetchResponseTopic::default()
            .with_name(text("lanes").into())
            .with_partitions(vec![partition(0, 12), partition(1, -1)]);
        return OffsetFetchResponse::default().with_error_code(error).with_topics(vec![topic]);
    }
    let partition = |index: i32, offset: i64| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
    };
    let topic = |name: &'static str| {
        OffsetFetchResponseTopics::default()
            .with_name(text(name).into())
            .with_partitions(vec![partition(0, 12), partition(1, -1)])
    };
    let group = OffsetFetchResponseGroup::default()
        .with_group_id(text("group").into())
        .with_error_code(error)
        .with_topics(vec![topic("other"), topic("lanes")]);
    OffsetFetchResponse::default().with_groups(vec![group])
}
