//! What a record costs to process: `{ cpu = "50us" }`, perhaps random.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{At, Diagnostic};
use crate::reader::section::{Section, section};
use crate::reader::tree::{Kind, Node};
use crate::reader::value::{Field, Place, Value, wrong_type};

section! {
    /// Time to process a record. Exactly one key is written.
    Work {
        /// Time for which each record occupies a core.
        cpu: Span = ("nothing"), "50us";
        /// Time each record waits without using a core, as for a database.
        wait: Span = ("nothing"), "5ms";
    }
}

section! {
    /// A span of time that is random: either `mean`, or `min` and `max`.
    RandomSpan {
        /// The mean of an exponential distribution.
        mean: Duration = ("none"), "50us";
        /// Minimum of a uniform distribution.
        min: Duration = ("none"), "40us";
        /// Maximum of a uniform distribution.
        max: Duration = ("none"), "60us";
    }
}

/// A span of time, fixed or random.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// Always the same.
    Fixed(Duration),
    /// Random.
    Random(Box<RandomSpan>),
}

impl Value for Span {
    fn wanted() -> String {
        "a duration, `{ mean = .. }` or `{ min = .., max = .. }`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [Duration::schema(), RandomSpan::schema()]})
    }

    fn fields() -> &'static [Field] {
        RandomSpan::FIELDS
    }

    fn read(node: &Node, place: Place<'_>, out: &mut Vec<Diagnostic>) -> Option<Span> {
        match &node.kind {
            Kind::Text(_) => Duration::read(node, place, out).map(Span::Fixed),
            Kind::Table(_) => {
                RandomSpan::read(node, place, out).map(|span| Span::Random(Box::new(span)))
            }
            _ => {
                out.push(wrong_type::<Span>(node, place));
                None
            }
        }
    }
}

/// Work for single partitions.
pub type WorkOf = std::collections::BTreeMap<u32, At<Work>>;
