//! The properties of a run's clients, whatever library they are of: from the scenario, a client file and the environment,
//! merged with those of the run, each with its source; and kept out of messages where they may be secrets.

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
