//! `schema`: the JSON Schema of scenario files.

use super::output::print;
use crate::error::{Error, Exit};
use crate::scenario::json_schema;

/// Prints the schema.
pub(super) fn schema() -> Result<Exit, Error> {
    let text = serde_json::to_string_pretty(&json_schema())
        .map_err(|error| Error::Bug(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(Exit::Passed)
}
