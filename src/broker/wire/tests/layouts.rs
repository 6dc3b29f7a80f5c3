//! The layouts, compared with messages of the message codec, and readers with bytes that no broker sends.

use proptest::prelude::*;

use super::super::cluster::{coordinator, metadata, producer_id};
use super::super::configs::described_config;
use super::super::consumer_heartbeat::member_heartbeat;
use super::super::delete_records::deleted_records;
use super::super::group::{GroupContext, group_answer};
use super::super::layout::{Field, check};
use super::super::layouts::*;
use super::super::list_offsets::listed_offsets;
use super::super::primitives::WireError;
use super::super::topics::{created_partitions, created_topic, deleted_topic};
use super::super::versions::{Api, answer_of, api_versions};
use super::samples::{TOPIC_ID, sample};
use super::{Changes, changed, changes};
use crate::plan::Assignor;

const CONTEXT: GroupContext<'static> =
    GroupContext { group: "group", topic: "lanes", topic_id: TOPIC_ID, assignor: Assignor::Range };

const LAYOUTS: [(Api, &[Field]); 15] = [
    (Api::Metadata, METADATA),
    (Api::InitProducerId, INIT_PRODUCER_ID),
    (Api::ListOffsets, LIST_OFFSETS),
    (Api::FindCoordinator, FIND_COORDINATOR),
    (Api::JoinGroup, JOIN_GROUP),
    (Api::Heartbeat, HEARTBEAT),
    (Api::LeaveGroup, LEAVE_GROUP),
    (Api::OffsetCommit, OFFSET_COMMIT),
    (Api::OffsetFetch, OFFSET_FETCH),
    (Api::ConsumerGroupHeartbeat, CONSUMER_GROUP_HEARTBEAT),
    (Api::CreateTopics, CREATE_TOPICS),
    (Api::DeleteTopics, DELETE_TOPICS),
    (Api::DeleteRecords, DELETE_RECORDS),
    (Api::DescribeConfigs, DESCRIBE_CONFIGS),
    (Api::CreatePartitions, CREATE_PARTITIONS),
];

/// Reads a response as the client does.
fn read(body: &[u8], api: Api, version: i16) -> Result<(), WireError> {
    match api {
        Api::Metadata => metadata(body, version, "lanes").map(drop),
        Api::InitProducerId => producer_id(body, version).map(drop),
        Api::ListOffsets => listed_offsets(body, version, "lanes").map(drop),
        Api::FindCoordinator => coordinator(body, version, "group").map(drop),
        Api::CreateTopics => created_topic(body, version, "lanes").map(drop),
        Api::DeleteTopics => deleted_topic(body, version, "lanes").map(drop),
        Api::DeleteRecords => deleted_records(body, version).map(drop),
        Api::DescribeConfigs => described_config(body, version, "n").map(drop),
        Api::CreatePartitions => created_partitions(body, version, "lanes").map(drop),
        Api::ConsumerGroupHeartbeat => member_heartbeat(body, version).map(drop),
        Api::ApiVersions => api_versions(body, version).map(drop),
        other => group_answer(body, (other, version), &CONTEXT).map(drop),
    }
}

#[test]
fn each_layout_is_that_of_the_message_codec() {
    for (api, layout) in LAYOUTS {
        for version in api.ours().min..=api.ours().max {
            let body = sample(api, version, 0);
            let what = format!("{} {version}", api.name());
            let flexible = api.is_flexible(version);
            assert_eq!(check(layout, &body, version, flexible), Ok(body.len()), "{what}");
            assert_eq!(read(&body, api, version), Ok(()), "{what}");
            for end in 0..body.len() {
                let short = check(layout, &body[..end], version, flexible);
                assert!(short.is_err(), "{what}: {end} of {} bytes", body.len());
            }
        }
    }
}

#[test]
fn every_api_is_by_hand_or_has_a_layout() {
    let by_hand = [
        Api::Produce,
        Api::Fetch,
        Api::ApiVersions,
        Api::SyncGroup,
        Api::SaslHandshake,
        Api::SaslAuthenticate,
    ];
    for api in Api::ALL {
        let has_layout = LAYOUTS.iter().any(|(its, _)| *its == api);
        assert_ne!(has_layout, by_hand.contains(&api), "{}", api.name());
    }
}

fn api_and_version() -> impl Strategy<Value = (Api, i16)> {
    let all: Vec<(Api, i16)> = LAYOUTS
        .iter()
        .flat_map(|(api, _)| (api.ours().min..=api.ours().max).map(|version| (*api, version)))
        .collect();
    prop::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_response_makes_a_reader_panic(
        (api, version) in api_and_version(),
        changes in changes(),
        random in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let changes: Changes = changes;
        let _ = read(&changed(&sample(api, version, 0), &changes), api, version);
        let _ = read(&random, api, version);
    }

    #[test]
    fn a_count_that_is_too_large_is_found_wherever_it_is(
        (api, version) in api_and_version(),
        at: prop::sample::Index,
    ) {
        // Writes a count of 2,000 million. In a field that is no count, it may be a valid number.
        let mut body = sample(api, version, 0);
        let at = at.index(body.len().saturating_sub(4) + 1);
        for (place, byte) in body[at..].iter_mut().zip([0x7f, 0xff, 0xff, 0xff]) {
            *place = byte;
        }
        let _ = read(&body, api, version);
        for (place, byte) in body[at..].iter_mut().zip([0xff, 0xff, 0xff, 0x7f]) {
            *place = byte;
        }
        let _ = read(&body, api, version);
    }

    #[test]
    fn no_versions_make_it_panic(
        version in 0i16..4,
        error in prop::sample::select(&[0i16, 35][..]),
        changes in changes(),
        random: Vec<u8>,
    ) {
        let changes: Changes = changes;
        let body = answer_of(&[(Api::Fetch, 4, 9), (Api::ApiVersions, 0, 2)], error);
        let _ = api_versions(&changed(&body, &changes), version);
        let _ = api_versions(&random, version);
    }
}
