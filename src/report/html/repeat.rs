//! The section on repeating the run: the scenario as it was read, and the command.

use maud::{Markup, html};

use crate::report::command::command;
use crate::summary::Summary;

/// The section.
pub(super) fn repeat(summary: &Summary, scenario: Option<&str>) -> Markup {
    html! {
        section #repeat aria-labelledby="repeat-h" {
            h2 #repeat-h { "Scenario and command" }
            pre.command { code { (command(summary)) } }
            @match scenario {
                Some(text) => { pre tabindex="0" { code { (text) } } }
                None => { p { "The scenario is not in the result directory any more." } }
            }
        }
    }
}
