//! Metadata, coordinators, ids of producers, offsets and topics in each version, compared with the message codec.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::super::cluster::{
    KnownNodes, coordinator, coordinator_response, metadata, producer_id, put_find_coordinator,
    put_init_producer_id, put_metadata,
};
use super::super::hints::Endpoint;
use super::super::list_offsets::{LogEnd, listed_offsets, put_list_offsets};
use super::super::topics::{
    NewTopic, created_partitions, created_topic, deleted_topic, put_create_partitions,
    put_create_topic, put_delete_topic,
};
use super::super::versions::{Api, VersionsAnswer, api_versions, put_api_versions};
use super::samples::{TOPIC_ID, sample};
use crate::base::{Offset, PartitionId};
use crate::broker::protocol::{ErrorCode, Response};

/// Decodes a request with the message codec, for each version of its API.
fn each<M: Decodable>(
    api: Api,
    mut write: impl FnMut(&mut Vec<u8>, i16),
    mut look: impl FnMut(M, i16),
) {
    for version in api.ours().min..=api.ours().max {
        let mut out = Vec::new();
        write(&mut out, version);
        let mut bytes = Bytes::from(out);
        look(M::decode(&mut bytes, version).expect("a request"), version);
        assert!(bytes.is_empty(), "{} {version}", api.name());
    }
}

#[test]
fn metadata_is_asked_and_answered() {
    let write = |out: &mut Vec<u8>, version| put_metadata(out, version, "lanes").expect("short");
    each(Api::Metadata, write, |request: MetadataRequest, _| {
        let topics = request.topics.expect("topics");
        assert_eq!(topics[0].name.as_ref().map(|name| name.as_str()), Some("lanes"));
        assert!(!request.allow_auto_topic_creation);
    });
    for version in Api::Metadata.ours().min..=Api::Metadata.ours().max {
        let answer = metadata(&sample(Api::Metadata, version, 0), version, "lanes").expect("one");
        assert_eq!((answer.controller, answer.error), (2, None));
        assert_eq!(answer.topic_id, if version >= 10 { TOPIC_ID } else { [0; 16] });
        let [none, led] = &answer.partitions[..] else { panic!("{answer:?}") };
        assert_eq!((none.leader, none.error.map(|error| error.code())), (None, Some(5)));
        assert_eq!((led.leader, led.error), (Some(2), None));
        assert_eq!(led.leader_epoch, if version >= 7 { 4 } else { -1 });
        assert_eq!((&led.replicas[..], &led.in_sync[..]), (&[2, 1][..], &[2][..]));
        let mut nodes = KnownNodes::default();
        nodes.learn(&answer.brokers);
        nodes.learn(&[Endpoint { node_id: 1, host: "moved".to_owned(), port: 1 }]);
        assert_eq!((nodes.len(), nodes.number(2), nodes.number(3)), (2, Some(1), None));
        assert_eq!(nodes.endpoint(0).map(|known| known.host.as_str()), Some("moved"));
        assert_eq!(nodes.endpoint(1).map(|known| known.port), Some(9002));
        let Response::Metadata(leaders) = answer.response(&nodes) else { panic!("{answer:?}") };
        assert_eq!(leaders, [None, Some(1)]);
        let unknown = metadata(&sample(Api::Metadata, version, 3), version, "lanes").expect("one");
        let refused = unknown.response(&nodes);
        assert!(matches!(refused, Response::Refused(ErrorCode::Unavailable)), "{refused:?}");
        assert!(metadata(&sample(Api::Metadata, version, 0), version, "other").is_err());
    }
}

#[test]
fn a_coordinator_is_found() {
    let write =
        |out: &mut Vec<u8>, version| put_find_coordinator(out, version, "group").expect("short");
    each(Api::FindCoordinator, write, |request: FindCoordinatorRequest, version| {
        let key = if version >= 4 { &request.coordinator_keys[0] } else { &request.key };
        assert_eq!((key.as_str(), request.key_type), ("group", 0));
    });
    let mut nodes = KnownNodes::default();
    for version in Api::FindCoordinator.ours().min..=Api::FindCoordinator.ours().max {
        let read = |error| {
            coordinator(&sample(Api::FindCoordinator, version, error), version, "group")
                .expect("an answer")
        };
        let found = read(0);
        let endpoint = found.clone().expect("a coordinator");
        assert_eq!((endpoint.node_id, endpoint.host.as_str(), endpoint.port), (2, "host", 9002));
        nodes.learn(&[endpoint]);
        let response = coordinator_response(&found, &nodes);
        assert!(matches!(response, Response::Coordinator(0)), "{response:?}");
        let response = coordinator_response(&found, &KnownNodes::default());
        assert!(matches!(response, Response::Refused(_)), "{response:?}");
        let response = coordinator_response(&read(15), &nodes);
        assert!(matches!(response, Response::Refused(ErrorCode::Unavailable)), "{response:?}");
    }
}

#[test]
fn a_producer_gets_an_id_and_later_an_epoch() {
    let current = Some((9, 3));
    let write = |out: &mut Vec<u8>, version| {
        put_init_producer_id(out, version, current).expect("short");
    };
    each(Api::InitProducerId, write, |request: InitProducerIdRequest, version| {
        let expected = if version >= 3 { (9, 3) } else { (-1, -1) };
        assert_eq!((request.producer_id.0, request.producer_epoch), expected);
        assert_eq!(request.transactional_id, None);
    });
    for version in Api::InitProducerId.ours().min..=Api::InitProducerId.ours().max {
        let read = |error| producer_id(&sample(Api::InitProducerId, version, error), version);
        assert_eq!(read(0).expect("an answer"), Ok((9, 3)));
        assert_eq!(read(14).expect("an answer").expect_err("loads").code(), 14);
    }
}

#[test]
fn offsets_are_listed() {
    let partitions = [(PartitionId(0), 4), (PartitionId(1), -1)];
    let write = |out: &mut Vec<u8>, version| {
        put_list_offsets(out, version, "lanes", &partitions, LogEnd::Earliest).expect("short");
    };
    each(Api::ListOffsets, write, |request: ListOffsetsRequest, version| {
        let [first, second] = &request.topics[0].partitions[..] else { panic!("{request:?}") };
        assert_eq!((first.partition_index, first.timestamp), (0, -2));
        assert_eq!(first.current_leader_epoch, if version >= 4 { 4 } else { -1 });
        assert_eq!((second.partition_index, second.current_leader_epoch), (1, -1));
        assert_eq!(request.replica_id.0, -1);
    });
    let write = |out: &mut Vec<u8>, version| {
        put_list_offsets(out, version, "lanes", &partitions[..1], LogEnd::Latest).expect("short");
    };
    each(Api::ListOffsets, write, |request: ListOffsetsRequest, _| {
        assert_eq!(request.topics[0].partitions[0].timestamp, -1);
    });
    for version in Api::ListOffsets.ours().min..=Api::ListOffsets.ours().max {
        let body = sample(Api::ListOffsets, version, 6);
        let listed = listed_offsets(&body, version, "lanes").expect("an answer");
        assert_eq!(listed[0], (PartitionId(0), Ok(Offset(100))));
        assert_eq!(listed[1].1.expect_err("moved").code(), 6);
        assert!(listed_offsets(&body, version, "other").is_err());
    }
}

#[test]
fn topics_are_created_and_deleted_and_grow() {
    let configs = [("retention.ms", "1000")];
    let topic = NewTopic {
        name: "lanes",
        partitions: 18,
        replication: 3,
        configs: &configs,
        is_check: false,
    };
    let write = |out: &mut Vec<u8>, version| {
        put_create_topic(out, version, &topic, 5000).expect("short");
    };
    each(Api::CreateTopics, write, |request: CreateTopicsRequest, _| {
        let its = &request.topics[0];
        assert_eq!((its.num_partitions, its.replication_factor), (18, 3));
        assert_eq!(its.configs[0].name.as_str(), "retention.ms");
        assert_eq!((request.timeout_ms, request.validate_only), (5000, false));
    });
    let write =
        |out: &mut Vec<u8>, version| put_delete_topic(out, version, "lanes", 5000).expect("short");
    each(Api::DeleteTopics, write, |request: DeleteTopicsRequest, version| {
        let name = match version >= 6 {
            true => request.topics[0].name.clone().expect("a name"),
            false => request.topic_names[0].clone(),
        };
        assert_eq!(name.as_str(), "lanes");
    });
    let write = |out: &mut Vec<u8>, version| {
        put_create_partitions(out, version, ("lanes", 36), 5000).expect("short");
    };
    each(Api::CreatePartitions, write, |request: CreatePartitionsRequest, _| {
        assert_eq!((request.topics[0].count, &request.topics[0].assignments), (36, &None));
    });
    for (api, read) in [
        (Api::CreateTopics, created_topic as fn(&[u8], i16, &str) -> _),
        (Api::DeleteTopics, deleted_topic),
        (Api::CreatePartitions, created_partitions),
    ] {
        for version in api.ours().min..=api.ours().max {
            assert_eq!(read(&sample(api, version, 0), version, "lanes"), Ok(Ok(())));
            let refused = read(&sample(api, version, 36), version, "lanes").expect("an answer");
            let (error, message) = refused.expect_err("there already");
            assert_eq!(error.code(), 36);
            let is_said = api != Api::DeleteTopics || version >= 5;
            assert_eq!(message.as_deref(), is_said.then_some("why"));
            assert!(read(&sample(api, version, 0), version, "other").is_err());
        }
    }
}

#[test]
fn versions_are_asked_and_answered() {
    let write = |out: &mut Vec<u8>, version| put_api_versions(out, version).expect("short");
    each(Api::ApiVersions, write, |request: ApiVersionsRequest, version| {
        let expected = if version >= 3 { "lanekeeper" } else { "" };
        assert_eq!(request.client_software_name.as_str(), expected);
    });
    for version in Api::ApiVersions.ours().min..=Api::ApiVersions.ours().max {
        let fetch = ApiVersion::default().with_api_key(1).with_min_version(4).with_max_version(11);
        let mut response = ApiVersionsResponse::default().with_api_keys(vec![fetch]);
        if version >= 3 {
            response.finalized_features_epoch = 5;
        }
        let mut out = BytesMut::new();
        response.encode(&mut out, version).expect("a response");
        let Ok(VersionsAnswer::Known(known)) = api_versions(&out, version) else {
            panic!("version {version}")
        };
        assert_eq!(known.version(Api::Fetch), Ok(11));
        assert!(!known.serves_consumer_groups());
    }
}

/// Kafka 3.9 lists the request of KIP-848, and its feature is disabled.
#[test]
fn groups_of_the_consumer_protocol_are_served_where_their_feature_is_turned_on() {
    let served = |features: &[(&'static str, i16)]| {
        let heartbeat = ApiVersion::default().with_api_key(68).with_max_version(1);
        let mut response = ApiVersionsResponse::default().with_api_keys(vec![heartbeat]);
        let level = |(name, level): &(&'static str, i16)| {
            FinalizedFeatureKey::default()
                .with_name(StrBytes::from_static_str(name))
                .with_max_version_level(*level)
                .with_min_version_level(*level)
        };
        response.finalized_features = features.iter().map(level).collect();
        let mut out = BytesMut::new();
        response.encode(&mut out, 3).expect("a response");
        match api_versions(&out, 3) {
            Ok(VersionsAnswer::Known(known)) => known.serves_consumer_groups(),
            other => panic!("{other:?}"),
        }
    };
    assert!(!served(&[("metadata.version", 21)]));
    assert!(!served(&[("group.version", 0), ("metadata.version", 21)]));
    assert!(served(&[("metadata.version", 27), ("group.version", 1)]));
    // A broker that reports no features serves all requests that it lists.
    assert!(served(&[]));
}
