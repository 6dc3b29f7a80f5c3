//! `schema`: JSON Schemas of the files that lanekeeper reads and writes.

use clap::{Args, ValueEnum};

use super::terminal::print;
use crate::error::{Error, Exit};
use crate::report::result_schema;
use crate::scenario::json_schema;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// What it describes.
    #[arg(value_enum, default_value = "scenario")]
    of: SchemaOf,
}

/// Files with a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// A scenario in TOML.
    Scenario,
    /// result.json, which is also what `--format json` prints.
    Result,
}

/// Prints the schema.
pub(super) fn schema(arguments: &SchemaArguments) -> Result<Exit, Error> {
    let schema = match arguments.of {
        SchemaOf::Scenario => json_schema(),
        SchemaOf::Result => result_schema(),
    };
    let text = serde_json::to_string_pretty(&schema);
    let text = text.map_err(|error| Error::Bug(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(Exit::Passed)
}
