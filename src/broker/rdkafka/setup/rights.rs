//! Which right a user lacks, when a broker refuses something.
//!
//! The operations that each request needs: Kafka's documentation, "Authorization and ACLs", section "Protocols".

use rdkafka::error::RDKafkaErrorCode;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker::rdkafka) enum Doing {
    /// Looking at a topic.
    Describe,
    /// Creating a topic.
    Create,
    /// Deleting a topic.
    Delete,
    /// Reading records, or taking part in a group and committing for it.
    Read,
    /// Appending records.
    Write,
}

/// Which right is missing on which resource, and how to give it. `None` if the code is another error.
pub(in crate::broker::rdkafka) fn missing_right(
    code: RDKafkaErrorCode,
    doing: Doing,
    topic: &str,
    group: Option<&str>,
) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let operation = match doing {
        Doing::Describe => "Describe",
        Doing::Create => "Create",
        Doing::Delete => "Delete",
        Doing::Read => "Read",
        Doing::Write => "Write",
    };
    let (operation, resource, option) = match code {
        Code::TopicAuthorizationFailed => {
            (operation, format!("topic `{topic}`"), format!("--topic {topic}"))
        }
        Code::GroupAuthorizationFailed => {
            let group = group
                .map_or("the group of this run".to_owned(), |group| format!("group `{group}`"));
            ("Read", group, "--group lanekeeper- --resource-pattern-type prefixed".to_owned())
        }
        Code::ClusterAuthorizationFailed => {
            let operation = if doing == Doing::Write { "IdempotentWrite" } else { operation };
            (operation, "the cluster".to_owned(), "--cluster".to_owned())
        }
        Code::TransactionalIdAuthorizationFailed => {
            ("Write", "the transactional id".to_owned(), "--transactional-id ID".to_owned())
        }
        _ => return None,
    };
    Some(format!(
        "this user lacks the right {operation} on {resource}; give it with `kafka-acls.sh --add --allow-principal \
         User:NAME --operation {operation} {option}`"
    ))
}
