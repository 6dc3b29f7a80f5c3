//! The rights of a user.
//!
//! Sources: KIP-430 (a broker returns the operations that the connection's user is authorized for), Kafka's
//! `AclOperation` for the numbers of the operations, and the message definitions of Metadata 8, FindCoordinator 1 and
//! DescribeGroups 3.

use std::io::{Read, Write};

use super::dialogue::{Dialogue, DialogueError, accepted, put_string};
use crate::broker::wire::{Api, WireError, WireReader};

const DESCRIBE_GROUPS: i16 = 15;

/// An operation that a user may be authorized for.
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
    /// See that the topic exists.
    Describe = 8,
}

/// The rights of a user on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(i32);

impl Rights {
    /// True if the user has the right; `None` if the broker does not report it.
    pub(crate) fn has(self, operation: Operation) -> Option<bool> {
        (self.0 != i32::MIN).then(|| self.0 & (1 << operation as u8) != 0)
    }
}

/// The rights of a user on a topic and on the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicRights {
    /// The rights on the topic, which need not exist; `None` if the broker returns none, for example for a hidden
    /// topic.
    pub(crate) topic: Option<Rights>,
    /// True if the broker hides the topic from this user.
    pub(crate) is_denied: bool,
    /// The rights on the cluster.
    pub(crate) cluster: Rights,
    /// True if the offsets topic exists. If not, a request for a coordinator would create it.
    pub(crate) has_offsets: bool,
}

/// Brokers return the rights on a topic before it exists, together with this error.
const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const OFFSETS: &str = "__consumer_offsets";

impl TopicRights {
    /// Queries a broker, after the login.
    ///
    /// # Errors
    /// There is no valid response.
    pub(crate) fn ask<S: Read + Write>(
        dialogue: &mut Dialogue<S>,
        topic: &str,
    ) -> Result<TopicRights, DialogueError> {
        let mut fields = 2_u32.to_be_bytes().to_vec();
        put_string(&mut fields, topic);
        put_string(&mut fields, OFFSETS);
        // The flags: create no topic, and return the rights on the cluster and on the topics.
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
    /// The address of a group's coordinator, which knows the user's rights on the group.
    ///
    /// # Errors
    /// The group has no coordinator, or the user may not see the group.
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

    /// The rights of the user on a group, as its coordinator returns them. The group need not exist.
    ///
    /// # Errors
    /// There is no valid response, or the user may not see the group.
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
