//! The messages of a group in each version, compared with the message codec.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::Decodable;

use super::super::consumer_heartbeat::{MemberHeartbeat, member_heartbeat, put_member_heartbeat};
use super::super::consumer_protocol::{assignment, subscription};
use super::super::group::{GroupAnswer, GroupContext, group_answer, group_api, put_group};
use super::super::versions::Api;
use super::samples::{TOPIC_ID, sample};
use crate::base::{Offset, PartitionId};
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupError, GroupRequest, GroupResponse, HeartbeatAccepted,
    HeartbeatSettings, JOINS, Join, Joined, MemberRef, TargetAssignment,
};
use crate::plan::{Assignor, RemoteAssignor};

const CONTEXT: GroupContext<'static> = GroupContext {
    group: "group",
    topic: "lanes",
    topic_id: TOPIC_ID,
    assignor: Assignor::CooperativeSticky,
};

fn member() -> MemberRef {
    MemberRef { member_id: "a".to_owned(), instance_id: Some("static".to_owned()), generation: 6 }
}

/// Decodes a request with the message codec, for each version of its API.
fn each<M: Decodable>(request: &GroupRequest, mut look: impl FnMut(M, i16)) {
    let api = group_api(request);
    for version in api.ours().min..=api.ours().max {
        let mut out = Vec::new();
        put_group(&mut out, version, request, &CONTEXT).expect("short");
        let mut bytes = Bytes::from(out);
        look(M::decode(&mut bytes, version).expect("a request"), version);
        assert!(bytes.is_empty(), "{} {version}", api.name());
    }
}

fn answer(api: Api, version: i16, error: i16) -> GroupAnswer {
    group_answer(&sample(api, version, error), (api, version), &CONTEXT).expect("an answer")
}

/// The result for each version of an API. Asserts that all are equal.
fn answers(api: Api, error: i16) -> GroupResponse {
    let mut all: Vec<_> =
        (api.ours().min..=api.ours().max).map(|version| answer(api, version, error)).collect();
    assert!(all.iter().all(|one| one.response == all[0].response), "{all:?}");
    assert!(all.iter().all(|one| one.error.map_or(0, |error| error.code()) == error), "{all:?}");
    all.remove(0).response
}

#[test]
fn a_member_joins() {
    let join = Join {
        client_id: "me".to_owned(),
        member_id: "a".to_owned(),
        instance_id: Some("static".to_owned()),
        session_timeout: Duration::from_secs(45),
        rebalance_timeout: Duration::MAX,
        assignor: Assignor::CooperativeSticky,
        owned: vec![PartitionId(3)],
        generation: 5,
    };
    each(&GroupRequest::Join(join), |request: JoinGroupRequest, _| {
        assert_eq!((request.group_id.as_str(), request.member_id.as_str()), ("group", "a"));
        assert_eq!(request.group_instance_id.as_deref(), Some("static"));
        assert_eq!((request.session_timeout_ms, request.rebalance_timeout_ms), (45_000, i32::MAX));
        assert_eq!(request.protocol_type.as_str(), "consumer");
        let protocol = &request.protocols[0];
        assert_eq!(protocol.name.as_str(), "cooperative-sticky");
        let owned = subscription(&protocol.metadata, "lanes").expect("a subscription");
        assert_eq!((&owned.partitions[..], owned.generation), (&[PartitionId(3)][..], 5));
    });
    let GroupResponse::Join(id, Ok(Joined { generation: 6, leader, members })) =
        answers(Api::JoinGroup, 0)
    else {
        panic!("not joined")
    };
    assert_eq!((id.as_str(), leader.as_str(), members.len()), ("a", "a", 2));
    assert_eq!(members[1].member_id, "b");
    assert_eq!((&members[1].owned[..], members[1].generation), (&[PartitionId(1)][..], 5));
    assert_eq!(members[1].instance_id.as_deref(), Some("static"));
    let refused = GroupResponse::Join("a".to_owned(), Err(GroupError::MemberIdRequired));
    assert_eq!(answers(Api::JoinGroup, 79), refused);
}

#[test]
fn a_leader_deals_out_and_a_member_gets_its_own() {
    let dealt = vec![PartitionId(0), PartitionId(1)];
    let assignments = BTreeMap::from([("a".to_owned(), dealt), ("b".to_owned(), Vec::new())]);
    let sync = GroupRequest::Sync { member: member(), assignments };
    each(&sync, |request: SyncGroupRequest, version| {
        assert_eq!((request.generation_id, request.member_id.as_str()), (6, "a"));
        let name = (version >= 5).then_some("cooperative-sticky");
        assert_eq!(request.protocol_name.as_deref(), name);
        assert_eq!(request.protocol_type.as_deref(), (version >= 5).then_some("consumer"));
        let [first, second] = &request.assignments[..] else { panic!("{request:?}") };
        let its = assignment(&first.assignment, "lanes").expect("an assignment");
        assert_eq!((first.member_id.as_str(), its.len()), ("a", 2));
        assert_eq!(assignment(&second.assignment, "lanes"), Ok(Vec::new()));
    });
    let own = vec![PartitionId(2), PartitionId(4)];
    assert_eq!(answers(Api::SyncGroup, 0), GroupResponse::Sync(Ok(own)));
    let error = GroupError::RebalanceInProgress;
    assert_eq!(answers(Api::SyncGroup, 27), GroupResponse::Sync(Err(error)));
}

#[test]
fn a_member_stays_and_leaves() {
    each(&GroupRequest::Heartbeat(member()), |request: HeartbeatRequest, _| {
        assert_eq!((request.generation_id, request.member_id.as_str()), (6, "a"));
        assert_eq!(request.group_instance_id.as_deref(), Some("static"));
    });
    assert_eq!(answers(Api::Heartbeat, 0), GroupResponse::Done(Ok(())));
    let illegal = GroupResponse::Done(Err(GroupError::IllegalGeneration));
    assert_eq!(answers(Api::Heartbeat, 22), illegal);
    each(&GroupRequest::Leave(member()), |request: LeaveGroupRequest, version| {
        let id = if version >= 3 { &request.members[0].member_id } else { &request.member_id };
        assert_eq!(id.as_str(), "a");
    });
    assert_eq!(answers(Api::LeaveGroup, 0), GroupResponse::Done(Ok(())));
    let unknown = GroupResponse::Done(Err(GroupError::UnknownMemberId));
    assert_eq!(answers(Api::LeaveGroup, 25), unknown);
}

#[test]
fn offsets_are_committed_and_fetched() {
    let offsets = BTreeMap::from([(PartitionId(1), Offset(12))]);
    let commit = GroupRequest::Commit { member: Some(member()), offsets: offsets.clone() };
    each(&commit, |request: OffsetCommitRequest, _| {
        assert_eq!((request.generation_id_or_member_epoch, request.member_id.as_str()), (6, "a"));
        let its = &request.topics[0].partitions[0];
        assert_eq!((its.partition_index, its.committed_offset), (1, 12));
        assert_eq!(its.committed_leader_epoch, -1);
    });
    let outside = GroupRequest::Commit { member: None, offsets };
    each(&outside, |request: OffsetCommitRequest, _| {
        assert_eq!((request.generation_id_or_member_epoch, request.member_id.as_str()), (-1, ""));
        assert_eq!(request.group_instance_id, None);
    });
    assert_eq!(answers(Api::OffsetCommit, 0), GroupResponse::Done(Ok(())));
    let fenced = GroupResponse::Done(Err(GroupError::FencedInstanceId));
    assert_eq!(answers(Api::OffsetCommit, 82), fenced);
    let all = GroupRequest::FetchOffsets(Vec::new());
    each(&all, |request: OffsetFetchRequest, version| match version >= 8 {
        true => assert_eq!(request.groups[0].topics, None),
        false => assert_eq!((request.group_id.as_str(), request.topics), ("group", None)),
    });
    let some = GroupRequest::FetchOffsets(vec![PartitionId(3), PartitionId(5)]);
    each(&some, |request: OffsetFetchRequest, version| {
        let indexes = match version >= 8 {
            true => request.groups[0].topics.as_ref().map(|all| all[0].partition_indexes.clone()),
            false => request.topics.as_ref().map(|all| all[0].partition_indexes.clone()),
        };
        assert_eq!(indexes, Some(vec![3, 5]));
    });
    let found = BTreeMap::from([(PartitionId(0), Offset(12))]);
    assert_eq!(answers(Api::OffsetFetch, 0), GroupResponse::Offsets(found));
    let moved = GroupResponse::Done(Err(GroupError::NotCoordinator));
    assert_eq!(answers(Api::OffsetFetch, 16), moved);
    let moved = answer(Api::OffsetFetch, 8, 14).response;
    assert_eq!(moved, GroupResponse::Done(Err(GroupError::Unavailable)));
}

#[test]
fn a_member_of_the_consumer_protocol_beats() {
    let owned = [(TOPIC_ID, vec![PartitionId(3)])];
    let heartbeat = MemberHeartbeat {
        group: "group",
        member_id: "m",
        member_epoch: JOINS,
        rebalance_timeout_ms: Some(5000),
        topic: Some("lanes"),
        assignor: Some("uniform"),
        owned: Some(&owned),
        ..MemberHeartbeat::default()
    };
    for version in 0..=1 {
        let mut out = Vec::new();
        put_member_heartbeat(&mut out, version, &heartbeat).expect("short");
        let mut bytes = Bytes::from(out);
        let request =
            ConsumerGroupHeartbeatRequest::decode(&mut bytes, version).expect("a request");
        assert!(bytes.is_empty());
        assert_eq!((request.member_id.as_str(), request.member_epoch), ("m", 0));
        assert_eq!(request.rebalance_timeout_ms, 5000);
        let topics = request.subscribed_topic_names.expect("topics");
        assert_eq!((topics.len(), topics[0].as_str()), (1, "lanes"));
        let its = &request.topic_partitions.expect("partitions")[0];
        assert_eq!((its.topic_id.into_bytes(), &its.partitions[..]), (TOPIC_ID, &[3][..]));
        let body = sample(Api::ConsumerGroupHeartbeat, version, 0);
        let answer = member_heartbeat(&body, version).expect("an answer");
        assert_eq!((answer.error, answer.member_epoch, answer.interval_ms), (None, 6, 3000));
        let own = vec![(TOPIC_ID, vec![PartitionId(3), PartitionId(5)])];
        assert_eq!((answer.assignment, answer.member_id.as_deref()), (Some(own), Some("m")));
    }
}

#[test]
fn a_heartbeat_of_this_client_names_partitions_by_the_id_of_their_topic() {
    let settings = HeartbeatSettings {
        rebalance_timeout: Duration::from_secs(300),
        assignor: Some(RemoteAssignor::Range),
    };
    let joins = ConsumerHeartbeat {
        member: MemberRef { generation: JOINS, ..member() },
        settings: Some(settings),
        owned: Some(Vec::new()),
    };
    each(
        &GroupRequest::ConsumerHeartbeat(joins.clone()),
        |request: ConsumerGroupHeartbeatRequest, version| {
            assert_eq!((request.group_id.as_str(), request.member_id.as_str()), ("group", "a"));
            assert_eq!((request.member_epoch, request.rebalance_timeout_ms), (0, 300_000));
            assert_eq!(request.instance_id.as_deref(), Some("static"));
            assert_eq!(request.server_assignor.as_deref(), Some("range"));
            // Version 0 has no such field.
            let expression = request.subscribed_topic_regex.as_deref();
            assert_eq!(expression, (version > 0).then_some(""));
            // The field is empty, and not null.
            assert_eq!(request.topic_partitions, Some(Vec::new()));
        },
    );
    let stays =
        ConsumerHeartbeat { member: member(), settings: None, owned: Some(vec![PartitionId(3)]) };
    each(&GroupRequest::ConsumerHeartbeat(stays), |request: ConsumerGroupHeartbeatRequest, _| {
        assert_eq!((request.member_epoch, request.rebalance_timeout_ms), (6, -1));
        assert_eq!((request.subscribed_topic_names, request.server_assignor), (None, None));
        let its = &request.topic_partitions.expect("partitions")[0];
        assert_eq!((its.topic_id.into_bytes(), &its.partitions[..]), (TOPIC_ID, &[3][..]));
    });
    let accepted = HeartbeatAccepted {
        member_id: Some("m".to_owned()),
        epoch: 6,
        interval: Duration::from_secs(3),
        assignment: Some(TargetAssignment::Known(vec![PartitionId(3), PartitionId(5)])),
    };
    let api = Api::ConsumerGroupHeartbeat;
    let accepted = GroupResponse::ConsumerHeartbeat(Ok(accepted));
    assert_eq!(answers(api, 0), accepted);
    let other_topic = GroupContext { topic_id: [8; 16], ..CONTEXT };
    let answer = group_answer(&sample(api, 1, 0), (api, 1), &other_topic).expect("an answer");
    let GroupResponse::ConsumerHeartbeat(Ok(accepted)) = answer.response else { panic!("refused") };
    assert_eq!(accepted.assignment, Some(TargetAssignment::UnknownTopic));
    for (code, error) in [
        (110, GroupError::FencedMemberEpoch),
        (111, GroupError::Rejected("UnreleasedInstanceId")),
        (112, GroupError::Rejected("UnsupportedAssignor")),
        (25, GroupError::UnknownMemberId),
        (14, GroupError::Unavailable),
    ] {
        assert_eq!(answers(api, code), GroupResponse::ConsumerHeartbeat(Err(error)));
    }
    let stale = GroupResponse::Done(Err(GroupError::StaleMemberEpoch));
    assert_eq!(answers(Api::OffsetCommit, 113), stale);
}
