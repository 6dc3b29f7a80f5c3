//! The versions of each API: those that this client knows, and those of a broker.
//!
//! Sources: KIP-35 (ApiVersions), KIP-511 (the response to an unknown version), and the message definitions of Kafka.
//! The lowest versions have every field that this client sends, and are older than Kafka 2.8, so that Redpanda is
//! supported as well. The highest versions are those of which the message codec knows each field.

use std::collections::BTreeMap;
use std::fmt;

use super::primitives::{WireError, WireReader, WireWriter};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
#[expect(clippy::enum_variant_names, reason = "ApiVersions is Kafka's name")]
pub(crate) enum Api {
    /// Appends records.
    Produce = 0,
    /// Reads records.
    Fetch = 1,
    /// Asks for the beginnings and ends of partitions.
    ListOffsets = 2,
    /// Asks for the brokers, and for the leaders of partitions.
    Metadata = 3,
    /// Commits offsets of a group.
    OffsetCommit = 8,
    /// Asks for the committed offsets of a group.
    OffsetFetch = 9,
    /// Asks for the coordinator of a group.
    FindCoordinator = 10,
    /// Joins a group of the classic protocol.
    JoinGroup = 11,
    /// Keeps a membership in such a group alive.
    Heartbeat = 12,
    /// Leaves such a group.
    LeaveGroup = 13,
    /// Sends or gets the assignment of such a group.
    SyncGroup = 14,
    /// Selects the SASL mechanism of a login.
    SaslHandshake = 17,
    /// Asks for the versions of requests that the broker supports.
    ApiVersions = 18,
    /// Creates topics.
    CreateTopics = 19,
    /// Deletes topics.
    DeleteTopics = 20,
    /// Deletes records up to an offset.
    DeleteRecords = 21,
    /// Asks for the id of an idempotent producer.
    InitProducerId = 22,
    /// Asks for the configuration of topics and brokers.
    DescribeConfigs = 32,
    /// Makes one step of a login.
    SaslAuthenticate = 36,
    /// Adds partitions to topics.
    CreatePartitions = 37,
    /// Joins and leaves a group of KIP-848, and keeps a membership alive.
    ConsumerGroupHeartbeat = 68,
}

/// A range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    /// The lowest.
    pub(crate) min: i16,
    /// The highest.
    pub(crate) max: i16,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

impl Api {
    /// Every API.
    pub(crate) const ALL: [Api; 21] = [
        Api::Produce,
        Api::Fetch,
        Api::ListOffsets,
        Api::Metadata,
        Api::OffsetCommit,
        Api::OffsetFetch,
        Api::FindCoordinator,
        Api::JoinGroup,
        Api::Heartbeat,
        Api::LeaveGroup,
        Api::SyncGroup,
        Api::SaslHandshake,
        Api::ApiVersions,
        Api::CreateTopics,
        Api::DeleteTopics,
        Api::DeleteRecords,
        Api::InitProducerId,
        Api::DescribeConfigs,
        Api::SaslAuthenticate,
        Api::CreatePartitions,
        Api::ConsumerGroupHeartbeat,
    ];

    /// Number of the API in the protocol.
    pub(crate) fn key(self) -> i16 {
        self as i16
    }

    /// Kafka's name of the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Api::Produce => "Produce",
            Api::Fetch => "Fetch",
            Api::ListOffsets => "ListOffsets",
            Api::Metadata => "Metadata",
            Api::OffsetCommit => "OffsetCommit",
            Api::OffsetFetch => "OffsetFetch",
            Api::FindCoordinator => "FindCoordinator",
            Api::JoinGroup => "JoinGroup",
            Api::Heartbeat => "Heartbeat",
            Api::LeaveGroup => "LeaveGroup",
            Api::SyncGroup => "SyncGroup",
            Api::SaslHandshake => "SaslHandshake",
            Api::ApiVersions => "ApiVersions",
            Api::CreateTopics => "CreateTopics",
            Api::DeleteTopics => "DeleteTopics",
            Api::DeleteRecords => "DeleteRecords",
            Api::DescribeConfigs => "DescribeConfigs",
            Api::InitProducerId => "InitProducerId",
            Api::SaslAuthenticate => "SaslAuthenticate",
            Api::CreatePartitions => "CreatePartitions",
            Api::ConsumerGroupHeartbeat => "ConsumerGroupHeartbeat",
        }
    }

    /// The versions that this client supports.
    pub(crate) fn ours(self) -> Versions {
        let (min, max) = match self {
            // 3 has record batches (KIP-98), 10 the hints of KIP-951; 13 names topics by id.
            Api::Produce => (3, 12),
            // 4 has record batches, 13 topic ids (KIP-516), 16 the endpoints of KIP-951; 17 and 18 are for replicas.
            Api::Fetch => (4, 16),
            // 1 has one offset for each timestamp; 8 and 9 add special timestamps for tiered storage.
            Api::ListOffsets => (1, 7),
            // 4 can forbid that topics are created (KIP-204), 10 has topic ids; 13 has an error of KIP-1102.
            Api::Metadata => (4, 12),
            // 7 has `group.instance.id` (KIP-345); 9 may answer STALE_MEMBER_EPOCH (KIP-848).
            Api::OffsetCommit => (7, 9),
            // 5 has leader epochs, 8 several groups (KIP-709), 9 the member's epoch.
            Api::OffsetFetch => (5, 9),
            // 4 has several groups (KIP-699).
            Api::FindCoordinator => (1, 4),
            // 5 has `group.instance.id`; 6 has the same fields in another form, which the mock cluster cannot read.
            Api::JoinGroup => (5, 5),
            Api::Heartbeat => (3, 3),
            // 3 has several members; Redpanda has 2 at most.
            Api::LeaveGroup => (1, 5),
            Api::SyncGroup => (3, 3),
            // Sent before the versions are known. With 1, the steps of a login are requests, and the response has its
            // lifetime (KIP-368).
            Api::SaslHandshake | Api::SaslAuthenticate => (1, 1),
            Api::ApiVersions => (0, 3),
            Api::CreateTopics => (2, 7),
            Api::DeleteTopics => (1, 6),
            Api::DeleteRecords => (0, 2),
            Api::DescribeConfigs => (1, 4),
            Api::InitProducerId => (0, 4),
            Api::CreatePartitions => (0, 3),
            // With 1 the client makes the member id (KIP-1082).
            Api::ConsumerGroupHeartbeat => (0, 1),
        };
        Versions { min, max }
    }

    /// The first version with compact lengths and tagged fields (KIP-482).
    pub(crate) fn first_flexible(self) -> i16 {
        match self {
            Api::Produce | Api::Metadata => 9,
            Api::Fetch => 12,
            Api::ListOffsets | Api::OffsetFetch | Api::JoinGroup => 6,
            Api::OffsetCommit => 8,
            Api::FindCoordinator | Api::ApiVersions => 3,
            Api::Heartbeat
            | Api::LeaveGroup
            | Api::SyncGroup
            | Api::DeleteTopics
            | Api::DescribeConfigs => 4,
            Api::CreateTopics => 5,
            Api::InitProducerId
            | Api::CreatePartitions
            | Api::DeleteRecords
            | Api::SaslAuthenticate => 2,
            Api::SaslHandshake => i16::MAX,
            Api::ConsumerGroupHeartbeat => 0,
        }
    }

    /// True if `version` has compact lengths and tagged fields.
    pub(crate) fn is_flexible(self, version: i16) -> bool {
        version >= self.first_flexible()
    }
}

/// An API of which this client and a broker have no version in common.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// The ranges do not overlap.
    #[error("{api}: this client speaks versions {ours}, the broker {theirs}")]
    Apart {
        /// The api's name.
        api: &'static str,
        /// The versions of this client.
        ours: Versions,
        /// The versions of the broker.
        theirs: Versions,
    },
    /// The broker does not support the API.
    #[error("{api}: this client speaks versions {ours}, the broker none")]
    Missing {
        /// The api's name.
        api: &'static str,
        /// The versions of this client.
        ours: Versions,
    },
}

/// The versions that a broker supports, by the number of the API, and the level of `group.version`, if it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BrokerVersions(BTreeMap<i16, Versions>, Option<GroupVersion>);

/// The level of the feature `group.version` (KIP-584). From 1 on, groups of KIP-848 are served.
type GroupVersion = i16;

impl BrokerVersions {
    /// The highest version of an API that both sides support.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn version(&self, api: Api) -> Result<i16, VersionError> {
        let (name, ours) = (api.name(), api.ours());
        let Some(theirs) = self.0.get(&api.key()).copied() else {
            return Err(VersionError::Missing { api: name, ours });
        };
        let max = ours.max.min(theirs.max);
        if max < ours.min.max(theirs.min) {
            return Err(VersionError::Apart { api: name, ours, theirs });
        }
        Ok(max)
    }

    /// True if the listener is that of a controller, which supports some requests but not Metadata.
    pub(crate) fn is_of_a_controller(&self) -> bool {
        !self.0.is_empty() && !self.0.contains_key(&Api::Metadata.key())
    }

    /// The highest version of an API that the broker supports; `None` if it supports none.
    pub(crate) fn highest(&self, api: Api) -> Option<i16> {
        self.0.get(&api.key()).map(|theirs| theirs.max)
    }

    /// True if groups of KIP-848 are served. Kafka 3.9 lists their requests, and rejects them while `group.version` is
    /// 0.
    pub(crate) fn serves_consumer_groups(&self) -> bool {
        self.highest(Api::ConsumerGroupHeartbeat).is_some() && self.1.is_none_or(|level| level > 0)
    }

    /// True if both sides support this version.
    pub(crate) fn speaks(&self, api: Api, version: i16) -> bool {
        let ours = api.ours();
        let is_in = |range: &Versions| (range.min..=range.max).contains(&version);
        is_in(&ours) && self.0.get(&api.key()).is_some_and(is_in)
    }

    /// The version of Fetch. Versions with topic ids need the topic's id, which Metadata has from version 10 on.
    ///
    /// # Errors
    /// There is none in common, or none without a topic id.
    pub(crate) fn fetch_version(&self, has_topic_id: bool) -> Result<i16, VersionError> {
        let version = self.version(Api::Fetch)?;
        if has_topic_id || version <= FETCH_BY_NAME_MAX {
            return Ok(version);
        }
        let theirs = self.0.get(&Api::Fetch.key()).copied();
        let theirs = theirs.unwrap_or(Versions { min: version, max: version });
        let ours = Versions { max: FETCH_BY_NAME_MAX, ..Api::Fetch.ours() };
        match theirs.min <= FETCH_BY_NAME_MAX {
            true => Ok(FETCH_BY_NAME_MAX),
            false => Err(VersionError::Apart { api: Api::Fetch.name(), ours, theirs }),
        }
    }
}

/// The last version of Fetch that names topics.
pub(crate) const FETCH_BY_NAME_MAX: i16 = 12;

/// The name of the client's software for brokers (KIP-511).
const SOFTWARE: &str = "lanekeeper";
/// The error code UNSUPPORTED_VERSION.
pub(crate) const UNSUPPORTED_VERSION: i16 = 35;
/// Bytes of the shortest form of an API in the response.
const API_BYTES: usize = 6;
/// Tag of the field `FinalizedFeatures` (ApiVersionsResponse.json), which has the enabled features.
const FINALIZED_FEATURES: u32 = 2;
/// Bytes of the shortest form of a feature in the response.
const FEATURE_BYTES: usize = 6;

/// Writes the body of an ApiVersions request, versions 0 to 3.
///
/// # Errors
/// None in practice: the texts are short.
pub(crate) fn put_api_versions(out: &mut Vec<u8>, version: i16) -> Result<(), WireError> {
    if Api::ApiVersions.is_flexible(version) {
        out.put_text(Some(SOFTWARE), true, "software name")?;
        out.put_text(Some(env!("CARGO_PKG_VERSION")), true, "software version")?;
        out.put_no_tags(true);
    }
    Ok(())
}

/// The response of a broker to an ApiVersions request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionsAnswer {
    /// The versions that the broker supports.
    Known(BrokerVersions),
    /// The broker does not support the version of the request. The next request has this lower one.
    AskAgain(i16),
    /// The broker rejects the request with this error code.
    Refused(i16),
}

/// Reads the body of an ApiVersions response to a request of `version`.
///
/// # Errors
/// The bytes are not such a response, or a broker rejects version 0.
pub(crate) fn api_versions(body: &[u8], version: i16) -> Result<VersionsAnswer, WireError> {
    let mut reader = WireReader::new(body);
    let error = reader.i16("the error of ApiVersions")?;
    // A broker that does not support the version responds in version 0 (KIP-511).
    let is_fallback = error == UNSUPPORTED_VERSION;
    let flexible = Api::ApiVersions.is_flexible(version) && !is_fallback;
    let known = match known_versions(&mut reader, flexible) {
        Ok(known) => known,
        // librdkafka's mock cluster writes this response in the form of the version that it does not support.
        Err(_) if is_fallback && version > 0 => return Ok(VersionsAnswer::AskAgain(0)),
        Err(error) => return Err(error),
    };
    if is_fallback {
        // Brokers before KIP-511 list no versions in this response.
        let next = known.version(Api::ApiVersions).unwrap_or(0);
        return match next < version {
            true => Ok(VersionsAnswer::AskAgain(next)),
            false if version > 0 => Ok(VersionsAnswer::AskAgain(0)),
            false => Err(WireError::Malformed("the refusal of ApiVersions 0")),
        };
    }
    if error != 0 {
        return Ok(VersionsAnswer::Refused(error));
    }
    if version >= 1 {
        reader.i32("a throttle time")?;
    }
    let mut known = known;
    reader.tags(flexible, |tag, features| {
        if tag == FINALIZED_FEATURES {
            known.1 = Some(group_version(features)?);
        }
        Ok(())
    })?;
    Ok(VersionsAnswer::Known(known))
}

/// The level of `group.version` among the enabled features; 0 if it is not enabled.
fn group_version(mut features: WireReader<'_>) -> Result<GroupVersion, WireError> {
    let mut level = 0;
    for _ in 0..features.count(true, FEATURE_BYTES, "features")?.unwrap_or_default() {
        let name = features.nullable_string(true, "a feature")?;
        let max = features.i16("the highest level of a feature")?;
        features.i16("the lowest level of a feature")?;
        features.skip_tags(true)?;
        if name == Some("group.version") {
            level = max;
        }
    }
    Ok(level)
}

fn known_versions(
    reader: &mut WireReader<'_>,
    flexible: bool,
) -> Result<BrokerVersions, WireError> {
    let mut known = BTreeMap::new();
    let least = API_BYTES + usize::from(flexible);
    let count = reader.count(flexible, least, "apis")?.unwrap_or_default();
    for _ in 0..count {
        let key = reader.i16("an api")?;
        let (min, max) = (reader.i16("a lowest version")?, reader.i16("a highest version")?);
        reader.skip_tags(flexible)?;
        known.insert(key, Versions { min, max });
    }
    Ok(BrokerVersions(known, None))
}

/// The body of a response in version 0, for tests.
#[cfg(test)]
pub(crate) fn answer_of(ranges: &[(Api, i16, i16)], error: i16) -> Vec<u8> {
    use bytes::BufMut as _;

    let mut body = error.to_be_bytes().to_vec();
    body.put_i32(ranges.len() as i32);
    for (api, min, max) in ranges {
        [api.key(), *min, *max].iter().for_each(|number| body.put_i16(*number));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(ranges: &[(Api, i16, i16)]) -> BrokerVersions {
        match api_versions(&answer_of(ranges, 0), 0) {
            Ok(VersionsAnswer::Known(known)) => known,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        let broker = known(&[(Api::Produce, 0, 9), (Api::Fetch, 4, 99)]);
        assert_eq!(broker.version(Api::Produce), Ok(9));
        assert_eq!(broker.version(Api::Fetch), Ok(16));
        assert_eq!(broker.fetch_version(true), Ok(16));
        assert_eq!(broker.fetch_version(false), Ok(12));
        let newest = known(&[(Api::Fetch, 13, 18)]);
        let message = newest.fetch_version(false).expect_err("no name").to_string();
        assert_eq!(message, "Fetch: this client speaks versions 4 to 12, the broker 13 to 18");
    }

    #[test]
    fn an_api_without_a_common_version_is_named_with_both_ranges() {
        let broker =
            known(&[(Api::Produce, 0, 2), (Api::JoinGroup, 9, 12), (Api::Heartbeat, 4, 3)]);
        let message = |api| broker.version(api).expect_err("none in common").to_string();
        assert_eq!(
            message(Api::Produce),
            "Produce: this client speaks versions 3 to 12, the broker 0 to 2"
        );
        assert_eq!(
            message(Api::JoinGroup),
            "JoinGroup: this client speaks versions 5 to 5, the broker 9 to 12"
        );
        assert_eq!(
            message(Api::Fetch),
            "Fetch: this client speaks versions 4 to 16, the broker none"
        );
        assert!(message(Api::Heartbeat).ends_with("the broker 4 to 3"));
    }

    #[test]
    fn a_broker_that_does_not_know_the_version_is_asked_again() {
        let old = answer_of(&[], 35);
        assert_eq!(api_versions(&old, 3), Ok(VersionsAnswer::AskAgain(0)));
        let newer = answer_of(&[(Api::ApiVersions, 0, 2)], 35);
        assert_eq!(api_versions(&newer, 3), Ok(VersionsAnswer::AskAgain(2)));
        // A broker that claims to support the version that it has just rejected.
        let odd = answer_of(&[(Api::ApiVersions, 0, 3)], 35);
        assert_eq!(api_versions(&odd, 3), Ok(VersionsAnswer::AskAgain(0)));
        assert!(api_versions(&odd, 0).is_err());
        assert_eq!(api_versions(&answer_of(&[], 58), 0), Ok(VersionsAnswer::Refused(58)));
    }
}
