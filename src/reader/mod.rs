//! Reads TOML into typed tables. Each value has a place, and each error has a remedy.
//!
//! `section!` defines a key once: the field of the struct, the reader, the list of known keys, the JSON Schema and the
//! reference in the book are generated from it.

pub mod codes;
mod diagnostic;
mod findings;
pub mod section;
pub mod suggest;
pub mod tree;
pub mod value;

pub use diagnostic::{Diagnostic, Origin, Severity, Source, Sources};
pub(crate) use findings::key;
pub use findings::{Findings, GivenKey};
pub use section::Section;
pub use suggest::closest;
pub use value::{At, Bytes, Fallback, Field, Rate, Value, ValueContext};

/// The reader stops after this number of errors. A file with more is probably not a scenario.
pub const MISTAKES_MAX: usize = 1_000;
