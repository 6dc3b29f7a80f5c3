//! Advice as a section of a page.

use maud::{Markup, html};

use super::advice::Advice;

/// A section of advice, each sentence followed by its figures; empty without advice.
pub(in crate::compare) fn advice_section(all: &[Advice]) -> Markup {
    html! {
        @if !all.is_empty() {
            section #advice aria-labelledby="advice-h" {
                h2 #advice-h { "Advice" }
                @for it in all {
                    p { (it.advice) }
                    ul { @for figure in &it.figures { li { (figure) } } }
                }
            }
        }
    }
}
