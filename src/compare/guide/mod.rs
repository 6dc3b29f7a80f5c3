//! The guide as a suite: its set-ups, its conditions, and a verdict on each of its claims.

mod advice;
mod advice_html;
mod claim;
mod claims;
mod condition;
mod evidence;
mod facts;
mod html;
mod measures;
mod slow_partition;
mod suite;
mod text;

pub use advice::{Advice, Assigning, SetUpRounds, Situation, advice, advice_lines};
pub(super) use advice_html::advice_section;
pub use claim::{Claim, ClaimVerdict};
pub use claims::claims;
pub use condition::Condition;
pub use html::guide_page;
pub use suite::{GuideSuite, Saturation, before_members, guide_load, quiet_overrides};
pub use text::{GuideReport, guide_text};
