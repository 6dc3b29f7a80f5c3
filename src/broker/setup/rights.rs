//! The rights that a run needs, and if its user has them. They are queried on a separate connection, after the login.

use std::time::Duration;

use super::missing_right::acl_option;
use crate::broker::listener::{Dialogue, DialogueError, Operation, Rights, TopicRights};
use crate::broker::secure::{Access, SecureStream};
use crate::broker::settings::without_hidden;
use crate::plan::{CheckpointPlan, Plan};

/// A right that the run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededRight {
    /// The operation, by Kafka's name.
    pub operation: &'static str,
    /// The resource, as in a message.
    pub resource: String,
    /// True if the user has the right; `None` if the broker does not report it.
    pub has: Option<bool>,
    /// The options of `kafka-acls.sh` for the resource.
    pub option: String,
}

/// Longest wait for each answer.
const ANSWER: Duration = Duration::from_secs(3);

/// A connection, after the login.
type Opened = Result<Dialogue<SecureStream>, DialogueError>;

/// The rights that a run needs on `topic`, which exists if `exists` is true, and on its group. The error text contains
/// no value from outside the scenario.
///
/// # Errors
/// No broker answers, with the reason.
pub(in crate::broker) fn needed_rights(
    access: &Access,
    bootstrap: &str,
    plan: &Plan,
    (topic, group): (&str, String),
    exists: bool,
) -> Result<Vec<NeededRight>, String> {
    let open = |other: Option<(String, u16)>| -> Opened {
        let other = other.map(|(host, port)| format!("{host}:{port}"));
        Dialogue::log_in_at(other.as_deref().unwrap_or(bootstrap), access, ANSWER)
    };
    let asked = open(None).and_then(|mut dialogue| TopicRights::ask(&mut dialogue, topic));
    let asked = asked.map_err(|error| without_hidden(&error.to_string()))?;
    let mut rights = of_topic(plan, topic, exists, &asked);
    let mut groups = Vec::new();
    groups.extend(plan.group().map(|_| group));
    if let CheckpointPlan::Commit { group, .. } = &plan.consumers.checkpoint {
        groups.push(group.clone());
    }
    for group in groups {
        // Without the offsets topic, the query would create it.
        let has = match asked.has_offsets {
            true => group_right(&group, open),
            false => None,
        };
        let option = acl_option("group", &group);
        let resource = format!("group `{group}`");
        rights.push(NeededRight { operation: "Read", resource, has, option });
    }
    Ok(rights)
}

fn of_topic(plan: &Plan, name: &str, exists: bool, asked: &TopicRights) -> Vec<NeededRight> {
    // Every right that a run needs on a topic implies Describe, except Create.
    let of_topic = |operation| match asked.is_denied && operation != Operation::Create {
        true => Some(false),
        false => asked.topic.and_then(|rights: Rights| rights.has(operation)),
    };
    let topic = |operation: &'static str, has| NeededRight {
        operation,
        resource: format!("topic `{name}`"),
        has,
        option: acl_option("topic", name),
    };
    let either = |one: Option<bool>, other: Option<bool>| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    };
    let mut rights = vec![topic("Describe", of_topic(Operation::Describe))];
    if !exists {
        let of_cluster = asked.cluster.has(Operation::Create);
        rights.push(topic("Create", either(of_topic(Operation::Create), of_cluster)));
        if !plan.topic.keep {
            rights.push(topic("Delete", of_topic(Operation::Delete)));
        }
    }
    if plan.load.sends() {
        rights.push(topic("Write", of_topic(Operation::Write)));
    }
    rights.push(topic("Read", of_topic(Operation::Read)));
    rights
}

/// True if the user may read with a group; `None` if its coordinator does not report it.
fn group_right(group: &str, open: impl Fn(Option<(String, u16)>) -> Opened) -> Option<bool> {
    const GROUP_AUTHORIZATION_FAILED: i16 = 30;
    let asked = || {
        let coordinator = Rights::coordinator(&mut open(None)?, group)?;
        Rights::of_group(&mut open(Some(coordinator))?, group)
    };
    match asked() {
        Ok(rights) => rights.has(Operation::Read),
        Err(DialogueError::Refused { code: GROUP_AUTHORIZATION_FAILED, .. }) => Some(false),
        Err(_) => None,
    }
}
