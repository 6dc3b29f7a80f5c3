//! The section `[[load.stage]]`: the duration and the rate of a stage of the load.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Diagnostic;
use crate::base::{Quantity, parse_rate};
use crate::reader::codes;
use crate::reader::section::section;
use crate::reader::tree::{Kind, Node};
use crate::reader::value::{Value, ValueContext, words, wrong_type};

section! {
    /// A stage of the load. Its rates are those of all producers together, or factors of the load's own rate. A stage
    /// without a rate continues at the rate of the stage before it.
    Stage {
        /// Its name in reports.
        name: String = ("what it does, as in `ramp` or `pause`"), "rush hour";
        /// Duration; with `until` the longest one.
        span as "for": Duration = required, "30s";
        /// The rate goes in a straight line to another one.
        ramp: Ramp = ("none"), { to = "3000/s" };
        /// The rate from here on.
        step: StageRate = ("none"), "3000/s";
        /// The rate of this stage only. The next stage continues at the rate before it.
        spike: StageRate = ("none"), 5.0;
        /// Nothing is sent in this stage. The next stage continues at the rate before it.
        pause: bool = false, true;
        /// What ends the stage before its time: the consumers have processed everything (`lag is 0`). The stages after it
        /// then begin earlier.
        until: UntilWord = ("its time only"), "lag is 0";
    }
}

section! {
    /// A rate that changes.
    Ramp {
        /// The rate at the beginning.
        from: StageRate = ("the rate before it"), "500/s";
        /// The rate at the end.
        to: StageRate = required, "3000/s";
    }
}

words! {
    /// What ends a stage before its time.
    UntilWord {
        /// Every record is processed.
        LagIsZero = "lag is 0",
    }
}

/// The rate of a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StageRate {
    /// Records per second of all producers together.
    PerSecond(f64),
    /// A factor of the load's own rate.
    Factor(f64),
}

impl Value for StageRate {
    fn wanted() -> String {
        "a rate of all producers, or a factor of the load's rate".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [
            {"type": "string", "pattern": "^\\s*[0-9]+(_[0-9]+)*(\\.[0-9]+(_[0-9]+)*)?\\s*/\\s*(s|m|min|h)\\s*$"},
            {"type": "number", "minimum": 0},
        ]})
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<StageRate> {
        match &node.kind {
            Kind::Integer(number) => Some(StageRate::Factor(*number as f64)),
            Kind::Float(number) => Some(StageRate::Factor(*number)),
            Kind::Text(text) => match parse_rate(text) {
                Ok(rate) => Some(StageRate::PerSecond(rate)),
                Err(error) => {
                    let message = format!("`{}` is not a rate: {error}", place.path);
                    let remedy = format!(
                        "units are {}; for example `\"3000/s\"`, or `1.5` for one and a half of the load's rate",
                        Quantity::Rate.units()
                    );
                    out.push(
                        Diagnostic::error(codes::WRONG_UNIT, node.origin, message).remedy(remedy),
                    );
                    None
                }
            },
            _ => {
                out.push(wrong_type::<StageRate>(node, place));
                None
            }
        }
    }
}
