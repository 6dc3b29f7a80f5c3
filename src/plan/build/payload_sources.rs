//! Values of records from files, templates and schemas.

use std::path::Path;
use std::sync::Arc;

use crate::base::{FileError, format_bytes, printable, read_regular};
use crate::plan::{AvroPlan, JsonPlan, ProtobufPlan, Template, ValuePlan};
use crate::reader::Findings;
use crate::scenario::payload::PayloadTable;
use crate::scenario::{At, Diagnostic, codes};

/// Largest number of bytes of all values from files.
const FILES_BYTES_MAX: u64 = 64 << 20;
/// Largest number of values from files.
const VALUES_MAX: usize = 1_000_000;
/// Largest size of a schema in bytes.
const SCHEMA_BYTES_MAX: u64 = 4 << 20;

/// Values from the source of this name, a key of the payload table with the value `at`. `None` if they are wrong.
pub(super) fn sourced(
    name: &str,
    at: &At<String>,
    payload: &PayloadTable,
    is_keyed: bool,
    found: &mut Findings,
) -> Option<ValuePlan> {
    let is_json = at.value.trim_start().starts_with(['{', '[']);
    Some(match name {
        "lines" => ValuePlan::Given(Arc::new(lines(at, found)?)),
        "files" => ValuePlan::Given(Arc::new(files(at, found)?)),
        "template" => ValuePlan::Template(template("load.payload.template", at, is_keyed, found)?),
        "avro" => {
            let read = AvroPlan::parse(&schema_text(at, is_json, found)?);
            ValuePlan::Avro(schema(read, name, is_json, at, "Avro schema", found)?)
        }
        "json_schema" => {
            let read = JsonPlan::parse(&schema_text(at, is_json, found)?);
            let what = "JSON Schema that values can be made of";
            ValuePlan::Json(schema(read, name, is_json, at, what, found)?)
        }
        _ => {
            let is_inline = at.value.contains([';', '{', '\n']);
            let text = schema_text(at, is_inline, found)?;
            let directory = Path::new(&at.value).parent().filter(|_| !is_inline);
            let message = payload.message.as_ref().map(|at| at.value.as_str());
            let read = ProtobufPlan::parse(&text, directory, message);
            let what = "Protobuf schema that values can be made of";
            ValuePlan::Protobuf(schema(read, name, is_inline, at, what, found)?)
        }
    })
}

/// The text of a schema: `at` itself, or the file that it names.
fn schema_text(at: &At<String>, is_inline: bool, found: &mut Findings) -> Option<String> {
    if is_inline {
        return Some(at.value.clone());
    }
    let bytes = read(at, SCHEMA_BYTES_MAX, found)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The parsed schema; `None` with a diagnostic if it is wrong.
fn schema<T>(
    read: Result<T, String>,
    name: &str,
    is_inline: bool,
    at: &At<String>,
    what: &str,
    found: &mut Findings,
) -> Option<T> {
    let error = match read {
        Ok(schema) => return Some(schema),
        Err(error) => error,
    };
    let written = if is_inline { name } else { &at.value };
    let message = format!("`{}` is no {what}: {error}", printable(written));
    let message = printable(&message.split_whitespace().collect::<Vec<_>>().join(" ")).into();
    let diagnostic = Diagnostic { message, ..Diagnostic::error(codes::BAD_SCHEMA, at.origin, "") };
    found.push(diagnostic.remedy("see \"Your own payload\" in the book for what is supported"));
    None
}

/// A parsed template; `None` with a diagnostic if it is wrong.
pub(super) fn template(
    name: &str,
    at: &At<String>,
    is_keyed: bool,
    found: &mut Findings,
) -> Option<Template> {
    match Template::parse(&at.value, is_keyed) {
        Ok(template) => Some(template),
        Err(error) => {
            let message = format!("`{name}`: {}", printable(&error.message));
            found.push(
                Diagnostic::error(codes::BAD_TEMPLATE, at.origin, message).remedy(error.remedy),
            );
            None
        }
    }
}

/// The lines of a file without empty ones.
fn lines(at: &At<String>, found: &mut Findings) -> Option<Vec<Vec<u8>>> {
    let bytes = read(at, FILES_BYTES_MAX, found)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let values = lines.filter(|line| !line.is_empty()).take(VALUES_MAX + 1);
    some_values(values.map(<[u8]>::to_vec).collect(), at, found)
}

/// The contents of the files of a directory, in the order of their names.
fn files(at: &At<String>, found: &mut Findings) -> Option<Vec<Vec<u8>>> {
    let entries = match std::fs::read_dir(&at.value) {
        Ok(entries) => entries,
        Err(error) => {
            found.push(unreadable(at, &error.into()));
            return None;
        }
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.is_file()).take(VALUES_MAX + 1).collect();
    paths.sort();
    let (mut values, mut left) = (Vec::new(), FILES_BYTES_MAX);
    for path in paths {
        match read_regular(&path, left) {
            Ok(bytes) => {
                left -= bytes.len() as u64;
                values.push(bytes);
            }
            Err(error) => {
                found.push(unreadable(at, &error));
                return None;
            }
        }
    }
    some_values(values, at, found)
}

fn some_values(
    values: Vec<Vec<u8>>,
    at: &At<String>,
    found: &mut Findings,
) -> Option<Vec<Vec<u8>>> {
    if !(1..=VALUES_MAX).contains(&values.len()) {
        let message = match values.is_empty() {
            true => format!("`{}` has no values", printable(&at.value)),
            false => format!("`{}` has more than a million values", printable(&at.value)),
        };
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("a value is a line that is not empty, or a file"),
        );
        return None;
    }
    Some(values)
}

fn read(at: &At<String>, bytes_max: u64, found: &mut Findings) -> Option<Vec<u8>> {
    match read_regular(Path::new(&at.value), bytes_max) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            found.push(unreadable(at, &error));
            None
        }
    }
}

fn unreadable(at: &At<String>, error: &FileError) -> Diagnostic {
    let name = printable(&at.value);
    let (code, message) = match error {
        FileError::Missing => (codes::FILE_MISSING, format!("there is no `{name}`")),
        FileError::TooLarge(limit) => {
            (codes::FILE_TOO_LARGE, format!("`{name}` is larger than {}", format_bytes(*limit)))
        }
        other => (codes::FILE_UNREADABLE, format!("`{name}` cannot be read: {other}")),
    };
    let remedy = match error.is_not_found() {
        true => "paths are relative to the working directory",
        false => error.remedy(),
    };
    Diagnostic::error(code, at.origin, message).remedy(remedy)
}
