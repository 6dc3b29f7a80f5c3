//! The right that a user lacks when a broker refuses a request.
//!
//! The operations that each request needs are in Kafka's documentation, "Authorization and ACLs", section "Protocols".
//! The error codes are in section "Error Codes" of its protocol guide.

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;

/// The action that a broker refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Doing {
    /// Describing a topic.
    Describe,
    /// Creating a topic.
    Create,
    /// Deleting a topic.
    Delete,
    /// Reading records, joining a group, or committing for it.
    Read,
    /// Appending records.
    Write,
}

/// The right that is missing, its resource, and how to grant it, for an error code of Kafka's protocol. `None` if the
/// code is not an authorization error.
pub(in crate::broker) fn right_missing_by(
    code: i16,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    let operation = match doing {
        Doing::Describe => "Describe",
        Doing::Create => "Create",
        Doing::Delete => "Delete",
        Doing::Read => "Read",
        Doing::Write => "Write",
    };
    let (operation, resource, option) = match code {
        TOPIC_AUTHORIZATION_FAILED => {
            (operation, format!("topic `{topic}`"), acl_option("topic", topic))
        }
        GROUP_AUTHORIZATION_FAILED => {
            let group = group
                .map_or("the group of this run".to_owned(), |group| format!("group `{group}`"));
            let operation = if doing == Doing::Delete { "Delete" } else { "Read" };
            (operation, group, acl_option("group", "lanekeeper-"))
        }
        CLUSTER_AUTHORIZATION_FAILED => {
            let operation = if doing == Doing::Write { "IdempotentWrite" } else { operation };
            (operation, "the cluster".to_owned(), "--cluster".to_owned())
        }
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
            ("Write", "the transactional id".to_owned(), "--transactional-id ID".to_owned())
        }
        _ => return None,
    };
    Some(format!(
        "this user lacks the right {operation} on {resource}; give it with `kafka-acls.sh --add --allow-principal \
         User:NAME --operation {operation} {option}`"
    ))
}

/// The option of `kafka-acls.sh` for a topic or a group. Names that a run generates differ each time, so their option
/// is a prefix.
pub(in crate::broker) fn acl_option(kind: &str, name: &str) -> String {
    match name.starts_with("lanekeeper-") {
        true => format!("--{kind} lanekeeper- --resource-pattern-type prefixed"),
        false => format!("--{kind} {name}"),
    }
}
