//! Reading TOML into typed tables: every value with its place, every mistake with a remedy.
//!
//! A key is defined once, by `section!`: from that come the struct's field, its reader, the list of
//! known keys, the JSON Schema and the reference in the book.

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
pub use value::{At, Bytes, Fallback, Field, Place, Rate, Value};

/// Reading stops after this number of mistakes: a file with more is probably not a scenario.
pub const MISTAKES_MAX: usize = 1_000;
