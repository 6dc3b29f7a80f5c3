//! Random values of an Avro schema, in Avro's binary encoding without the schema.

use std::sync::Arc;

use apache_avro::schema::{ResolvedSchema, UnionSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema};

use super::budget::Budget;
use super::template::{between, random_text, uuid};
use crate::base::Random;

/// Depth beyond which lists and maps are empty and unions are null.
const DEPTH_MAX: usize = 8;
/// Depth at which a schema counts as infinitely recursive.
const DEPTH_END: usize = 64;

/// A schema for random values.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroPlan {
    schema: Arc<Schema>,
}

impl AvroPlan {
    /// Reads a schema (`.avsc`).
    ///
    /// # Errors
    /// The text is no valid schema.
    pub fn parse(text: &str) -> Result<AvroPlan, String> {
        let schema = Schema::parse_str(text).map_err(|error| error.to_string())?;
        Ok(AvroPlan { schema: Arc::new(schema) })
    }

    /// Appends a random value to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>, random: &mut Random) -> Result<(), String> {
        let text = |error: apache_avro::Error| error.to_string();
        let resolved = ResolvedSchema::try_from(&*self.schema).map_err(text)?;
        let value =
            Values { resolved: &resolved, random, left: Budget::new() }.of(&self.schema, 0)?;
        let writer = GenericDatumWriter::builder(&self.schema).build().map_err(text)?;
        writer.write_value(out, value).map_err(text)?;
        Ok(())
    }
}

/// The generator of values.
struct Values<'a, 's> {
    resolved: &'a ResolvedSchema<'s>,
    random: &'a mut Random,
    left: Budget,
}

impl Values<'_, '_> {
    fn of(&mut self, schema: &Schema, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_END {
            return Err("a record contains itself without end".to_owned());
        }
        self.left.spend(1)?;
        let next = depth + 1;
        Ok(match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.random.below(2) == 1),
            Schema::Int => Value::Int(between(self.random, 0, 999_999) as i32),
            Schema::Long => Value::Long(between(self.random, 0, 999_999_999)),
            Schema::Float => Value::Float(self.random.unit() as f32),
            Schema::Double => Value::Double(self.random.unit() * 1_000.0),
            Schema::Bytes => Value::Bytes(self.bytes(16)),
            Schema::String => Value::String(self.text()),
            Schema::Fixed(fixed) => {
                self.left.spend(fixed.size as u64)?;
                Value::Fixed(fixed.size, self.bytes(fixed.size))
            }
            Schema::Enum(words) => {
                let at = self.random.below(words.symbols.len() as u64) as usize;
                Value::Enum(at as u32, words.symbols[at].clone())
            }
            Schema::Array(array) => {
                let items = (0..self.count(depth)).map(|_| self.of(&array.items, next));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Schema::Map(map) => {
                // The library writes the entries of a map in an order that differs between runs. Therefore a map has at
                // most one entry.
                let count = self.count(depth).min(1);
                let entry = |at| Ok((format!("key{at}"), self.of(&map.types, next)?));
                Value::Map((0..count).map(entry).collect::<Result<_, String>>()?)
            }
            Schema::Union(union) => self.union(union, depth)?,
            Schema::Record(record) => {
                let field = |field: &apache_avro::schema::RecordField| {
                    Ok((field.name.clone(), self.of(&field.schema, next)?))
                };
                Value::Record(record.fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            Schema::Ref { name } => {
                let names = self.resolved.get_names();
                let found = *names.get(name).ok_or_else(|| format!("`{name}` is not defined"))?;
                self.of(found, next)?
            }
            other => self.logical(other)?,
        })
    }

    /// A value of a logical type, for example a date.
    fn logical(&mut self, schema: &Schema) -> Result<Value, String> {
        // Days within ten years from 2020 on.
        let day = between(self.random, 18_262, 21_914);
        let second = day * 86_400 + between(self.random, 0, 86_399);
        Ok(match schema {
            Schema::Date => Value::Date(day as i32),
            Schema::TimeMillis => Value::TimeMillis((second % 86_400 * 1_000) as i32),
            Schema::TimeMicros => Value::TimeMicros(second % 86_400 * 1_000_000),
            Schema::TimestampMillis => Value::TimestampMillis(second * 1_000),
            Schema::TimestampMicros => Value::TimestampMicros(second * 1_000_000),
            Schema::TimestampNanos => Value::TimestampNanos(second * 1_000_000_000),
            Schema::LocalTimestampMillis => Value::LocalTimestampMillis(second * 1_000),
            Schema::LocalTimestampMicros => Value::LocalTimestampMicros(second * 1_000_000),
            Schema::LocalTimestampNanos => Value::LocalTimestampNanos(second * 1_000_000_000),
            Schema::Decimal(_) => {
                // Two bytes, a number that fits every precision of at least 4.
                let number = between(self.random, 0, 9_999) as i16;
                Value::Decimal(Decimal::from(number.to_be_bytes().to_vec()))
            }
            Schema::Uuid(_) => {
                let mut text = Vec::new();
                uuid(&mut text, self.random);
                let id = uuid::Uuid::try_parse_ascii(&text).map_err(|error| error.to_string())?;
                Value::Uuid(id)
            }
            Schema::Duration(_) => Value::Duration(Duration::new(
                Months::new(self.random.below(12) as u32),
                Days::new(self.random.below(28) as u32),
                Millis::new(self.random.below(86_400_000) as u32),
            )),
            other => return Err(format!("values of {other:?} are not made")),
        })
    }

    /// A value of a random type of the union. Beyond the depth limit it is null, if the union has null.
    fn union(&mut self, union: &UnionSchema, depth: usize) -> Result<Value, String> {
        let variants = union.variants();
        let null = variants.iter().position(|schema| *schema == Schema::Null);
        let at = match null {
            Some(null) if depth >= DEPTH_MAX => null,
            _ => self.random.below(variants.len() as u64) as usize,
        };
        let schema = variants.get(at).ok_or("a union has no types")?;
        Ok(Value::Union(at as u32, Box::new(self.of(schema, depth + 1)?)))
    }

    fn count(&mut self, depth: usize) -> u64 {
        if depth >= DEPTH_MAX || self.left.is_low() { 0 } else { self.random.below(4) }
    }

    fn text(&mut self) -> String {
        let length = 1 + self.random.below(20);
        random_text(self.random, length)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.random.fill(&mut bytes);
        bytes
    }
}
