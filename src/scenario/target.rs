//! The partition that a record is sent to: chosen by a rule, or always the same.

use serde_json::{Value as Json, json};

use super::Diagnostic;
use crate::reader::section::{Section, section};
use crate::reader::tree::{Kind, Node};
use crate::reader::value::words;
use crate::reader::value::{Field, Value, ValueContext, wrong_type};

words! {
    /// Partition of a record.
    PartitionWord {
        /// Always the same partition for a producer.
        Fixed = "fixed",
        /// Partitions in turn.
        RoundRobin = "round-robin",
        /// A random partition.
        Random = "random",
        /// The partition of a random key.
        Keyed = "keyed",
    }
}

section! {
    /// The only partition that records are sent to.
    OnlyPartition {
        /// Its id.
        only: u64 = required, 7;
    }
}

/// The partition of a record: a rule, or a single partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A rule that chooses a partition for each record or for each producer.
    Choice(PartitionWord),
    /// A single partition.
    Only(Box<OnlyPartition>),
}

impl Value for Target {
    fn wanted() -> String {
        format!("{}, or `{{ only = 7 }}`", PartitionWord::wanted())
    }

    fn schema() -> Json {
        json!({"anyOf": [PartitionWord::schema(), OnlyPartition::schema()]})
    }

    fn fields() -> &'static [Field] {
        OnlyPartition::FIELDS
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Target> {
        match &node.kind {
            Kind::Table(_) => {
                OnlyPartition::read(node, place, out).map(|only| Target::Only(Box::new(only)))
            }
            Kind::Text(_) => PartitionWord::read(node, place, out).map(Target::Choice),
            _ => {
                out.push(wrong_type::<Target>(node, place));
                None
            }
        }
    }
}
