//! Texts with placeholders: `{"id": {{sequence}}}`. Placeholders are replaced, and nothing else. A language with loops
//! and conditions could take unlimited time, and produce a text of any length.

use crate::base::{PartitionId, ProducerId, Random, Time};
use crate::reader::closest;

/// Largest number of random characters of a placeholder.
const LENGTH_MAX: u64 = 1_000_000;
const HEX: &[u8; 16] = b"0123456789abcdef";
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz      ";

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// The values that a record is made from.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacts {
    /// Producer of the record.
    pub producer: ProducerId,
    /// Partition of the record.
    pub partition: PartitionId,
    /// Sequence of the record in its lane.
    pub sequence: u64,
    /// The number of its key; `None` unless keys are numbered (`keyed`).
    pub key: Option<u32>,
    /// Send time of the record.
    pub now: Time,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Sequence,
    Producer,
    Partition,
    Key,
    SentMs,
    Int(i64, i64),
    Hex(u64),
    Text32(u64),
    Uuid,
    Flag,
    OneOf(Vec<String>),
}

/// The placeholders as written, each with its meaning.
pub const PLACEHOLDERS: [(&str, &str); 11] = [
    ("sequence", "number of the record in its lane (producer and partition), from 0"),
    ("producer", "number of the producer"),
    ("partition", "number of the partition"),
    ("key", "number of the key, with `load.partition = \"keyed\"`"),
    ("sent_ms", "milliseconds from the start of the run to the send"),
    ("int 1 100", "a random whole number from 1 to 100"),
    ("hex 16", "16 random hexadecimal digits"),
    ("text 40", "40 random lower-case letters and spaces"),
    ("uuid", "a random UUID"),
    ("bool", "`true` or `false`"),
    ("one_of a|b|c", "one of the words"),
];

/// An error in a template, with a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The error.
    pub message: String,
    /// The remedy.
    pub remedy: String,
}

impl Template {
    /// Reads a template. `has_keys` is true if records have numbered keys.
    ///
    /// # Errors
    /// A placeholder is not closed, is unknown, or lacks its argument or keys.
    pub fn parse(text: &str, has_keys: bool) -> Result<Template, TemplateError> {
        let (mut pieces, mut characters, mut rest) = (Vec::new(), 0, text);
        while let Some((before, behind)) = rest.split_once("{{") {
            let Some((inner, after)) = behind.split_once("}}") else {
                return Err(TemplateError {
                    message: "a placeholder begins with `{{` and does not end".to_owned(),
                    remedy: "write `}}` behind its name".to_owned(),
                });
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let piece = piece(inner.trim(), has_keys)?;
            if let Piece::Hex(count) | Piece::Text32(count) = &piece {
                characters += count;
            }
            pieces.push(piece);
            rest = after;
        }
        if characters > LENGTH_MAX {
            return Err(TemplateError {
                message: format!("its placeholders give {characters} characters"),
                remedy: "a text has up to a million random characters".to_owned(),
            });
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Template { pieces })
    }

    /// Appends the text of a record to `out`.
    pub fn write(&self, out: &mut Vec<u8>, facts: &RecordFacts, random: &mut Random) {
        let number = |out: &mut Vec<u8>, value: i64| out.extend(value.to_string().as_bytes());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Sequence => number(out, facts.sequence as i64),
                Piece::Producer => number(out, facts.producer.0.into()),
                Piece::Partition => number(out, facts.partition.0.into()),
                Piece::Key => number(out, facts.key.unwrap_or_default().into()),
                Piece::SentMs => number(out, facts.now.0 / 1_000_000),
                Piece::Int(least, most) => number(out, between(random, *least, *most)),
                Piece::Hex(count) => letters(out, random, *count, HEX),
                Piece::Text32(count) => letters(out, random, *count, LETTERS),
                Piece::Uuid => uuid(out, random),
                Piece::Flag => {
                    let text = if random.below(2) == 0 { "false" } else { "true" };
                    out.extend_from_slice(text.as_bytes());
                }
                Piece::OneOf(words) => {
                    let word = &words[random.below(words.len() as u64) as usize];
                    out.extend_from_slice(word.as_bytes());
                }
            }
        }
    }
}

fn piece(inner: &str, has_keys: bool) -> Result<Piece, TemplateError> {
    let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    let wrong =
        |message: String, remedy: &str| TemplateError { message, remedy: remedy.to_owned() };
    let count = || match rest.trim().parse::<u64>() {
        Ok(count) if count <= LENGTH_MAX => Ok(count),
        _ => Err(wrong(
            format!("`{{{{{name}}}}}` needs its number of characters, up to a million"),
            &format!("for example `{{{{{name} 16}}}}`"),
        )),
    };
    let plain = |piece: Piece| match rest.trim().is_empty() {
        true => Ok(piece),
        false => Err(wrong(
            format!("`{{{{{name}}}}}` takes nothing behind its name"),
            &format!("write `{{{{{name}}}}}`"),
        )),
    };
    match name {
        "sequence" => plain(Piece::Sequence),
        "producer" => plain(Piece::Producer),
        "partition" => plain(Piece::Partition),
        "key" if has_keys => plain(Piece::Key),
        "key" => Err(wrong(
            "`{{key}}` is the number of a key, and records have none".to_owned(),
            "set `load.partition` to `keyed`",
        )),
        "sent_ms" => plain(Piece::SentMs),
        "uuid" => plain(Piece::Uuid),
        "bool" => plain(Piece::Flag),
        "hex" => count().map(Piece::Hex),
        "text" => count().map(Piece::Text32),
        "int" => {
            let mut bounds = rest.split_whitespace().map(str::parse::<i64>);
            match (bounds.next(), bounds.next(), bounds.next()) {
                (Some(Ok(least)), Some(Ok(most)), None) if least <= most => {
                    Ok(Piece::Int(least, most))
                }
                _ => Err(wrong(
                    "`{{int}}` needs its smallest and its largest number".to_owned(),
                    "for example `{{int 1 100}}`",
                )),
            }
        }
        "one_of" => match rest.trim() {
            "" => {
                Err(wrong("`{{one_of}}` needs words".to_owned(), "for example `{{one_of a|b|c}}`"))
            }
            words => Ok(Piece::OneOf(words.split('|').map(|it| it.trim().to_owned()).collect())),
        },
        unknown => {
            let names = PLACEHOLDERS.map(|(line, _)| line.split(' ').next().unwrap_or(line));
            let remedy = match closest(unknown, names) {
                Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
                None => format!("known here: {}", names.join(", ")),
            };
            Err(wrong(format!("there is no placeholder `{{{{{unknown}}}}}`"), &remedy))
        }
    }
}

/// A whole number from `least` to `most`.
pub(super) fn between(random: &mut Random, least: i64, most: i64) -> i64 {
    let span = most.wrapping_sub(least) as u64;
    match span.checked_add(1) {
        Some(count) => least.wrapping_add(random.below(count) as i64),
        None => random.next_u64() as i64,
    }
}

/// Appends `count` random letters of this alphabet. The number of its letters is a power of two.
fn letters<const N: usize>(out: &mut Vec<u8>, random: &mut Random, count: u64, of: &[u8; N]) {
    let from = out.len();
    out.resize(from + count as usize, 0);
    random.fill(&mut out[from..]);
    out[from..].iter_mut().for_each(|byte| *byte = of[usize::from(*byte) % N]);
}

/// Appends a random UUID (version 4).
pub(super) fn uuid(out: &mut Vec<u8>, random: &mut Random) {
    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
}

/// A random text of `count` letters.
pub(super) fn random_text(random: &mut Random, count: u64) -> String {
    let mut out = Vec::new();
    letters(&mut out, random, count, LETTERS);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    fn written(text: &str) -> String {
        let facts = RecordFacts {
            producer: ProducerId(7),
            partition: PartitionId(3),
            sequence: 12,
            key: Some(5),
            now: Time(4_000_000),
        };
        let mut out = Vec::new();
        let template = Template::parse(text, true).unwrap_or_else(|error| panic!("{error:?}"));
        template.write(&mut out, &facts, &mut Seed(1).random());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn placeholders_are_replaced_and_the_rest_stays() {
        let text = "{\"a\": {{sequence}}, {{producer}}/{{ partition }}/{{key}} {{sent_ms}}}";
        assert_eq!(written(text), "{\"a\": 12, 7/3/5 4}");
        assert_eq!(written("{{int -3 -3}}"), "-3");
        assert_eq!(written("{{hex 9}}{{text 11}}").len(), 20);
        let id = written("{{uuid}}");
        assert!(uuid::Uuid::parse_str(&id).is_ok_and(|id| id.get_version_num() == 4), "{id}");
        assert!(["red", "dark blue"].contains(&&*written("{{one_of red | dark blue}}")));
    }

    #[test]
    fn a_wrong_placeholder_is_refused_with_a_remedy() {
        let refused = |text: &str| Template::parse(text, false).expect_err(text);
        assert_eq!(refused("{{sequnce}}").remedy, "did you mean `{{sequence}}`?");
        assert!(refused("{{colour}}").remedy.starts_with("known here: sequence, producer"));
        assert!(refused("a {{key}}").remedy.contains("keyed"));
        for text in ["{{", "{{int 5}}", "{{int 5 1}}", "{{hex}}", "{{hex 1000001}}", "{{uuid 4}}"] {
            assert!(!refused(text).remedy.is_empty(), "{text}");
        }
    }
}
