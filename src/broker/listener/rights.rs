//! What a user may do.
//!
//! Sources: KIP-430 (a broker says what the user of the connection may do), `AclOperation` of Kafka for the numbers of the
//! operations, and the message definitions of Metadata 8, FindCoordinator 1 and DescribeGroups 3.

use std::io::{Read, Write};

use super::dialogue::{Dialogue, DialogueError, accepted, put_string};
use crate::broker::wire::{Api, WireError, WireReader};

const DESCRIBE_GROUPS: i16 = 15;

/// What can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Operation {
    /// Read records, or commit for a group.
    Read = 3,
    /// Append records.
    Write = 4,
    /// Create topics.
    Create = 5,
    /// Delete a topic.
    Delete = 6,
    /// See that it is there.
    Describe = 8,
}

/// What a user may do with one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(i32);

impl Rights {
    /// Whether the user may; `None` if the broker does not say.
    pub(crate) fn has(self, operation: Operation) -> Option<bool> {
        (self.0 != i32::MIN).then(|| self.0 & (1 << operation as u8) != 0)
    }
}

/// What a user may do with a topic, and with the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicRights {
    /// With the topic, which need not exist; `None` for one that is not shown.
    pub(crate) topic: Option<Rights>,
    /// Whether the broker does not show the topic to this user.
    pub(crate) is_denied: bool,
    /// With the cluster.
    pub(crate) cluster: Rights,
    /// Whether the topic of committed offsets is there: asking for a coordinator would create it.
    pub(crate) has_offsets: bool,
}

/// Brokers say what may be done with a topic of this name before it exists.
const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const OFFSETS: &str = "__consumer_offsets";

impl TopicRights {
    /// Asks a broker, after the login.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol.
    pub(crate) fn ask<S: Read + Write>(
        dialogue: &mut Dialogue<S>,
        topic: &str,
    ) -> Result<TopicRights, DialogueError> {
        let mut fields = 2_u32.to_be_bytes().to_vec();
        put_string(&mut fields, topic);
        put_string(&mut fields, OFFSETS);
        // No topic is created, and the rights of cluster and topics are asked for.
        fields.extend([0, 1, 1]);
        let answer = dialogue.ask(Api::Metadata.key(), 8, &fields)?;
        Ok(read(&mut WireReader::new(&answer), topic)?)
    }
}

fn read(reader: &mut WireReader<'_>, wanted: &str) -> Result<TopicRights, WireError> {
    reader.i32("a throttle time")?;
    for _ in 0..reader.i32("a count")?.max(0) {
        reader.i32("a broker")?;
        reader.string(false, "a host")?;
        reader.i32("a port")?;
        reader.nullable_string(false, "a rack")?;
    }
    reader.nullable_string(false, "a cluster")?;
    reader.i32("a controller")?;
    let (mut topic, mut is_denied, mut has_offsets) = (None, false, false);
    for _ in 0..reader.i32("a count")?.max(0) {
        let code = reader.i16("an error code")?;
        let name = reader.string(false, "a topic")?;
        reader.i8("whether it is internal")?;
        for _ in 0..reader.i32("a count")?.max(0) {
            reader.i16("an error code")?;
            for what in ["a partition", "a leader", "an epoch"] {
                reader.i32(what)?;
            }
            for _ in ["replicas", "in-sync replicas", "offline replicas"] {
                let count = reader.i32("a count")?.max(0);
                for _ in 0..count {
                    reader.i32("a replica")?;
                }
            }
        }
        let rights = Rights(reader.i32("rights")?);
        if matches!(code, 0 | UNKNOWN_TOPIC) && name == wanted {
            topic = Some(rights);
        }
        is_denied |= code == TOPIC_AUTHORIZATION_FAILED && name == wanted;
        has_offsets |= code == 0 && name == OFFSETS;
    }
    Ok(TopicRights { topic, is_denied, cluster: Rights(reader.i32("rights")?), has_offsets })
}

impl Rights {
    /// Where the coordinator of a group listens: what the user may do with the group is asked there.
    ///
    /// # Errors
    /// There is no coordinator, or the user may not see the group.
    pub(crate) fn coordinator<S: Read + Write>(
        dialogue: &mut Dialogue<S>,
        group: &str,
    ) -> Result<(String, u16), DialogueError> {
        let mut fields = Vec::new();
        put_string(&mut fields, group);
        fields.push(0);
        let answer = dialogue.ask(Api::FindCoordinator.key(), 1, &fields)?;
        let mut reader = WireReader::new(&answer);
        reader.i32("a throttle time")?;
        accepted(&mut reader, "FindCoordinator")?;
        reader.nullable_string(false, "a message")?;
        reader.i32("a broker")?;
        let host = reader.string(false, "a host")?.to_owned();
        let port = u16::try_from(reader.i32("a port")?).map_err(|_| DialogueError::NoKafka)?;
        Ok((host, port))
    }

    /// What the user may do with a group, asked of its coordinator. The group need not exist.
    ///
    /// # Errors
    /// There is no answer in Kafka's protocol, or the user may not see the group.
    pub(crate) fn of_group<S: Read + Write>(
        dialogue: &mut Dialogue<S>,
        group: &str,
    ) -> Result<Rights, DialogueError> {
        let mut fields = 1_u32.to_be_bytes().to_vec();
        put_string(&mut fields, group);
        fields.push(1);
        let answer = dialogue.ask(DESCRIBE_GROUPS, 3, &fields)?;
        let mut reader = WireReader::new(&answer);
        reader.i32("a throttle time")?;
        if reader.i32("a count")? < 1 {
            return Err(DialogueError::NoKafka);
        }
        accepted(&mut reader, "DescribeGroups")?;
        for what in ["a group", "a state", "a protocol type", "a protocol"] {
            reader.string(false, what)?;
        }
        for _ in 0..reader.i32("a count")?.max(0) {
            for what in ["a member", "a client", "a host"] {
                reader.string(false, what)?;
            }
            for what in ["metadata", "an assignment"] {
                reader.nullable_bytes(false, what)?;
            }
        }
        Ok(Rights(reader.i32("rights")?))
    }
}
