//! The properties of a run's clients, for every client library: from the scenario, a client file and the environment,
//! merged with those of the run, each with its source. Values that may be secrets are removed from messages.

mod client_file;
mod client_settings;
mod hidden;
mod properties;

pub use client_file::ClientFile;
pub(super) use client_file::Given;
pub use client_settings::ClientSettings;
pub(super) use hidden::Hidden;
pub use hidden::{remember_hidden, without_hidden};
pub(super) use properties::{Properties, Setting, Source, may_be_given};
