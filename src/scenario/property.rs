//! librdkafka properties in a scenario: their values, and those that do not belong there.

use serde_json::{Value as Json, json};

use super::known::{self, Treatment};
use super::{Diagnostic, codes, java};
use crate::reader::suggest::closest;
use crate::reader::tree::{Entry, Kind, Node};
use crate::reader::value::{Place, Value, wrong_type};

/// The value of a property, as librdkafka wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property(pub String);

impl Value for Property {
    fn wanted() -> String {
        "text, a number, `true` or `false`".to_owned()
    }

    fn schema() -> Json {
        json!({"type": ["string", "number", "boolean"]})
    }

    fn read(node: &Node, place: Place<'_>, out: &mut Vec<Diagnostic>) -> Option<Property> {
        match &node.kind {
            Kind::Text(text) => Some(Property(text.clone())),
            Kind::Integer(number) => Some(Property(number.to_string())),
            Kind::Float(number) => Some(Property(number.to_string())),
            Kind::Flag(flag) => Some(Property(flag.to_string())),
            Kind::Date | Kind::Array(_) | Kind::Table(_) => {
                out.push(wrong_type::<Property>(node, place));
                None
            }
        }
    }
}

/// Says why the property `name` may not be in a scenario, if it may not.
pub(super) fn refuse(name: &str, entry: &Entry) -> Option<Diagnostic> {
    let refusal = |code, message: String, remedy: String| {
        Some(Diagnostic::error(code, entry.key_origin, message).remedy(remedy))
    };
    if let Some(instead) = java::instead(name) {
        let message = format!("`{name}` is a property of the Java client");
        return refusal(codes::UNKNOWN_PROPERTY, message, instead.to_owned());
    }
    let treatment = known::treatment(name);
    if is_secret(name) && treatment.is_some() {
        let message = format!("`{name}` is a secret and does not belong in a scenario");
        return refusal(codes::SECRET_PROPERTY, message, elsewhere(name));
    }
    match treatment {
        None => {
            let message = format!("librdkafka has no property `{name}`");
            // A slip in the name of a secret makes its value no less secret.
            match closest(name, known::names()).filter(|meant| is_secret(meant) || is_secret(name))
            {
                Some(meant) => {
                    let remedy = format!("did you mean `{meant}`? Then {}", elsewhere(meant));
                    refusal(codes::SECRET_PROPERTY, message, remedy)
                }
                None => refusal(codes::UNKNOWN_PROPERTY, message, known::remedy(name)),
            }
        }
        Some(Treatment::Ours(instead)) => {
            let message = format!("`{name}` is set by lanekeeper itself");
            refusal(codes::CONTROLLED_PROPERTY, message, instead.to_owned())
        }
        Some(_) => None,
    }
}

/// Where a secret belongs.
fn elsewhere(name: &str) -> String {
    let variable = name.to_uppercase().replace(['.', '-'], "_");
    format!(
        "put it in the environment as {}{variable}, or in a file given by `--client-config`",
        known::VARIABLES
    )
}

/// Whether a property, or a line of a scenario that is not even TOML, may hold a secret.
pub fn is_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // What librdkafka marks as sensitive, and what looks like it.
    let words = [
        "password",
        "secret",
        "passphrase",
        "ssl.key.pem",
        "ssl.keystore.key",
        "private.key",
        "sasl.oauthbearer.config",
        "jaas",
    ];
    words.iter().any(|word| text.contains(word))
}

/// Whether a line of a scenario or an option may hold a secret, if only under a name with a slip in it, or in an
/// address.
pub(super) fn may_hold_secret(line: &str) -> bool {
    is_secret(line) || has_credentials(line) || keys(line).any(is_nearly_secret)
}

/// Whether a text has something like `user:password@host` in it.
pub(super) fn has_credentials(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// What stands before each `=` of a line.
fn keys(line: &str) -> impl Iterator<Item = &str> {
    let end = line.rfind('=').unwrap_or(0);
    line[..end].split('=').map(|before| {
        let before = before.trim();
        let key = before.rsplit([' ', '\t', '{', ',']).next().unwrap_or(before);
        key.trim_matches(['"', '\''])
    })
}

fn is_nearly_secret(key: &str) -> bool {
    let name = key.strip_prefix("client.").unwrap_or(key);
    let name = name.strip_prefix("producer.").or(name.strip_prefix("consumer.")).unwrap_or(name);
    closest(name, known::names()).is_some_and(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_secret_is_known_by_its_name_even_with_a_slip() {
        for line in [
            "sasl.password = \"x\"",
            "sasl.pasword = \"x\"",
            "client = { acks = 1, 'sasl.pasword' = \"x\" }",
            "client.producer.sasl.passwrod=x",
            "bootstrap = \"me:x@host:1\"",
        ] {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in ["acks = 1", "partitions = 18", "[client]", "", "rate = \"2/s\" # me@home"] {
            assert!(!may_hold_secret(line), "{line}");
        }
    }
}
