//! The parts that the administrators of all client libraries share: their operations, their results, the reasons for
//! failures, and time limits.
//!
//! The cause of a failure is found within seconds where that is possible: `closer` queries the listener itself, and
//! `find_unreachable` tries the addresses that the cluster advertises.

mod administrator;
mod connection;
mod failure;
mod found;
mod look;
mod missing_right;
mod reach;
mod rights;

pub use administrator::{Administrator, Answer, Cleaner};
pub use connection::ConnectionFailure;
pub(super) use connection::{Kind, Obstacle};
pub(super) use failure::counted_brokers;
pub use failure::{SetupError, UnreachableBroker};
pub use found::{ExistingTopic, Found, InUse, Inspection, LeftBehind, Requests, TopicReplicas};
pub(super) use look::{closer, controller};
pub(super) use missing_right::{Doing, right_missing_by};
pub use reach::Deadline;
pub(super) use reach::{Advertised, find_unreachable};
pub use rights::NeededRight;
pub(super) use rights::needed_rights;
