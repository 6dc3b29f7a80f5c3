//! Random JSON by a JSON Schema. A schema with other keywords than those that are supported is refused.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::budget::Budget;
use super::template::{between, random_text, uuid};
use crate::base::Random;

/// Depth beyond which lists have their smallest length and optional keys are left out.
const DEPTH_MAX: usize = 8;
/// Depth at which a schema counts as infinitely recursive.
const DEPTH_END: usize = 64;

/// Supported keywords: those without effect on values, and those from which values are made.
const KNOWN: [&str; 29] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "additionalProperties",
    "type",
    "properties",
    "required",
    "items",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "enum",
    "const",
    "format",
    "oneOf",
    "anyOf",
    "$ref",
];

/// A schema for random values.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPlan {
    schema: Arc<Json>,
}

impl JsonPlan {
    /// Reads a schema.
    ///
    /// # Errors
    /// The text is not JSON, or has a keyword that is not supported.
    pub fn parse(text: &str) -> Result<JsonPlan, String> {
        let schema: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        check(&schema, "#", 0)?;
        Ok(JsonPlan { schema: Arc::new(schema) })
    }

    /// Appends a random value to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>, random: &mut Random) -> Result<(), String> {
        let value =
            Values { root: &self.schema, random, left: Budget::new() }.of(&self.schema, 0)?;
        serde_json::to_writer(out, &value).map_err(|error| error.to_string())
    }
}

/// Checks a schema for keywords that are not supported.
fn check(schema: &Json, place: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH_END {
        return Err(format!("{place} is nested too deeply"));
    }
    let Json::Object(keywords) = schema else {
        return match schema {
            Json::Bool(true) => Ok(()),
            _ => Err(format!("{place} must be an object")),
        };
    };
    if let Some(unknown) = keywords.keys().find(|keyword| !KNOWN.contains(&keyword.as_str())) {
        return Err(format!("no values are made by the keyword `{unknown}` at {place}"));
    }
    for group in ["properties", "$defs", "definitions"] {
        let schemas = keywords.get(group).and_then(Json::as_object).into_iter().flatten();
        for (name, inner) in schemas {
            check(inner, &format!("{place}/{group}/{name}"), depth + 1)?;
        }
    }
    for group in ["oneOf", "anyOf"] {
        let schemas = keywords.get(group).and_then(Json::as_array).into_iter().flatten();
        for (at, inner) in schemas.enumerate() {
            check(inner, &format!("{place}/{group}/{at}"), depth + 1)?;
        }
    }
    keywords.get("items").map_or(Ok(()), |inner| check(inner, &format!("{place}/items"), depth + 1))
}

/// The generator of values.
struct Values<'a> {
    root: &'a Json,
    random: &'a mut Random,
    left: Budget,
}

impl Values<'_> {
    fn of(&mut self, schema: &Json, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_END {
            return Err("an object contains itself without end".to_owned());
        }
        self.left.spend(1)?;
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let pointer = reference.strip_prefix('#').unwrap_or("no pointer");
            let root = self.root;
            let found = root.pointer(pointer);
            return self
                .of(found.ok_or(format!("`$ref` to {reference} leads nowhere"))?, depth + 1);
        }
        if let Some(constant) = schema.get("const") {
            return Ok(constant.clone());
        }
        for group in ["enum", "oneOf", "anyOf"] {
            if let Some(choice) = schema.get(group).and_then(Json::as_array) {
                let at = self.random.below(choice.len() as u64) as usize;
                let chosen = choice.get(at).ok_or(format!("`{group}` is empty"))?;
                return if group == "enum" {
                    Ok(chosen.clone())
                } else {
                    self.of(chosen, depth + 1)
                };
            }
        }
        let kind = match schema.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            Some(Json::Array(kinds)) if !kinds.is_empty() => {
                let at = self.random.below(kinds.len() as u64) as usize;
                kinds[at].as_str().unwrap_or_default()
            }
            None if schema.get("properties").is_some() => "object",
            None => "string",
            Some(_) => "",
        };
        let number =
            |key: &str, default: f64| schema.get(key).and_then(Json::as_f64).unwrap_or(default);
        match kind {
            "null" => Ok(Json::Null),
            "boolean" => Ok(json!(self.random.below(2) == 1)),
            "integer" => {
                let least = number("minimum", 0.0).ceil();
                let most = number("maximum", (least + 1e6).max(1e6)).floor();
                Ok(json!(between(self.random, least as i64, (most as i64).max(least as i64))))
            }
            "number" => {
                let least = number("minimum", 0.0);
                let most = number("maximum", (least + 1e3).max(1e3));
                Ok(json!(least + (most - least) * self.random.unit()))
            }
            "string" => Ok(json!(self.text(schema)?)),
            "array" => {
                let least = number("minItems", 0.0) as u64;
                let most = number("maxItems", (least + 3) as f64) as u64;
                let is_short = depth >= DEPTH_MAX || self.left.is_low();
                let more = if is_short { 0 } else { most.saturating_sub(least) };
                let count = least.saturating_add(self.random.below(more.min(1_000) + 1));
                let any = json!({});
                let items = schema.get("items").unwrap_or(&any);
                self.left.spend(count)?;
                (0..count).map(|_| self.of(items, depth + 1)).collect()
            }
            "object" => self.object(schema, depth),
            other => Err(format!("there is no type `{other}`")),
        }
    }

    fn object(&mut self, schema: &Json, depth: usize) -> Result<Json, String> {
        let required = schema.get("required").and_then(Json::as_array);
        let is_required = |name: &str| {
            required.is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name)))
        };
        let mut object = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, inner) in properties.into_iter().flatten() {
            if is_required(name) || (depth < DEPTH_MAX && self.random.below(2) == 1) {
                object.insert(name.clone(), self.of(inner, depth + 1)?);
            }
        }
        Ok(Json::Object(object))
    }

    fn text(&mut self, schema: &Json) -> Result<String, String> {
        let length = |key: &str| schema.get(key).and_then(Json::as_u64);
        Ok(match schema.get("format").and_then(Json::as_str) {
            Some("uuid") => {
                let mut id = Vec::new();
                uuid(&mut id, self.random);
                String::from_utf8(id).unwrap_or_default()
            }
            Some("date-time") => {
                // Seconds within ten years from 2020 on.
                let second = between(self.random, 1_577_836_800, 1_893_455_999);
                jiff::Timestamp::from_second(second).map_or(String::new(), |at| at.to_string())
            }
            Some("email") => format!("user{}@example.com", self.random.below(1_000_000)),
            _ => {
                let least = length("minLength").unwrap_or(1);
                let most = length("maxLength").unwrap_or(least.saturating_add(19)).max(least);
                let more = (most - least).min(1_000);
                let count = least.saturating_add(self.random.below(more + 1));
                self.left.spend(count)?;
                random_text(self.random, count)
            }
        })
    }
}
