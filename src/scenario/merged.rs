//! A scenario with its overrides laid over it, as TOML that can be changed and written again.

use toml::Value;

use super::{Source, overrides};
use crate::reader::tree::{self, Kind, Node, Table};

/// The scenario's sections and keys. What cannot be read is left out: [`super::read`] reports it.
pub fn merged(source: &Source, set: &[String]) -> toml::Table {
    let (mut root, _) = tree::parse_document(&source.text);
    for (index, text) in set.iter().enumerate() {
        // A refused override is reported by `read`, too.
        let _ = overrides::apply(&mut root, index, text);
    }
    table(&root)
}

fn table(entries: &Table) -> toml::Table {
    let value = |entry: &tree::Entry| Some((entry.key.clone(), value(&entry.node)?));
    entries.iter().filter_map(value).collect()
}

fn value(node: &Node) -> Option<Value> {
    Some(match &node.kind {
        Kind::Text(text) => Value::String(text.clone()),
        Kind::Integer(number) => Value::Integer(i64::try_from(*number).ok()?),
        Kind::Float(number) => Value::Float(*number),
        Kind::Flag(flag) => Value::Boolean(*flag),
        Kind::Date => return None,
        Kind::Array(items) => Value::Array(items.iter().filter_map(value).collect()),
        Kind::Table(entries) => Value::Table(table(entries)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_win_and_the_text_can_be_read_again() {
        let text =
            "[run]\nduration = \"9s\"\n[[fault]]\nat = \"1s\"\nkill = { consumer = [1, 2] }\n";
        let source = Source { name: "a.toml".to_owned(), text: text.to_owned() };
        let merged = merged(&source, &["run.duration=3s".to_owned(), "run.seed=7".to_owned()]);
        let again = Source { text: merged.to_string(), ..source };
        let (read, diagnostics) = crate::scenario::read(&again, &[]);
        assert_eq!(diagnostics, []);
        assert_eq!(read.run.duration.map(|at| at.value), Some(std::time::Duration::from_secs(3)));
        assert_eq!(read.run.seed.map(|at| at.value), Some(7));
        assert_eq!(read.fault.len(), 1);
    }
}
