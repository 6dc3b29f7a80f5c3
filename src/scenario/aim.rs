//! The targets of a fault: a number, a list, all, or some at random.

use serde_json::{Value as Json, json};

use super::{At, Diagnostic, Origin, codes};
use crate::reader::section::section;
use crate::reader::tree::{Kind, Node};
use crate::reader::value::{Place, Value, wrong_type};

section! {
    /// Random targets, drawn anew for each repetition.
    RandomPick {
        /// Number of targets.
        random: u64 = required, 3;
    }
}

/// The targets of a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// These, with the places of their numbers.
    These(Vec<(u64, Origin)>),
    /// All.
    All,
    /// This number of targets, drawn from the seed.
    Random(At<u64>),
}

impl Value for Pick {
    fn wanted() -> String {
        "a number, a list of numbers, `\"all\"` or `{ random = 3 }`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [
            u64::schema(),
            {"type": "array", "items": u64::schema(), "minItems": 1},
            {"const": "all"},
            RandomPick::schema(),
        ]})
    }

    fn read(node: &Node, place: Place<'_>, out: &mut Vec<Diagnostic>) -> Option<Pick> {
        match &node.kind {
            Kind::Integer(_) => {
                u64::read(node, place, out).map(|one| Pick::These(vec![(one, node.origin)]))
            }
            Kind::Array(items) if !items.is_empty() => {
                let each = |item: &Node| u64::read(item, place, out).map(|one| (one, item.origin));
                items.iter().map(each).collect::<Option<_>>().map(Pick::These)
            }
            Kind::Text(text) if text == "all" => Some(Pick::All),
            Kind::Text(text) => {
                let message = format!("`{text}` is not a value of `{}`", place.path);
                out.push(
                    Diagnostic::error(codes::UNKNOWN_WORD, node.origin, message)
                        .remedy(format!("it is {}", Self::wanted())),
                );
                None
            }
            Kind::Array(_) => {
                let message = format!("`{}` names none: the list is empty", place.path);
                out.push(
                    Diagnostic::error(codes::WRONG_TYPE, node.origin, message)
                        .remedy(format!("write {}", Self::wanted())),
                );
                None
            }
            Kind::Table(_) => RandomPick::read(node, place, out)?.random.map(Pick::Random),
            _ => {
                out.push(wrong_type::<Pick>(node, place));
                None
            }
        }
    }
}
