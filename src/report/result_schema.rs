//! The JSON Schema of `result.json`, made from the types of the summary.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::summary::{SCHEMA_VERSION, Summary};

/// The schema. It allows fields that a later version adds.
pub fn result_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<Summary>();
    let mut schema = schema.to_value();
    schema["title"] = json!("lanekeeper result");
    schema["description"] = json!(format!(
        "A result of lanekeeper, format {SCHEMA_VERSION}: `result.json`, and what `--format json` prints. The last word \
         of a name is its unit; what was not measured is `null`."
    ));
    schema["properties"]["schema_version"]["const"] = json!(SCHEMA_VERSION);
    // The file has these in addition, see `directory` and `sums`.
    schema["properties"]["files"] = json!({
        "description": "Length and checksum (XXH3, 64 bits, hexadecimal) of each file beside it.",
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {"bytes": {"type": "integer", "minimum": 0}, "xxh3": checksum()},
            "required": ["bytes", "xxh3"],
        },
    });
    schema["properties"]["checksum"] = checksum();
    schema["properties"]["checksum"]["description"] =
        json!("Checksum of every byte before its own digits.");
    schema
}

fn checksum() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{16}$"})
}
