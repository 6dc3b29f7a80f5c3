//! A summary whose texts a terminal may have: it may come from a file of anyone's making.

use std::borrow::Cow;

use serde_json::Value;

use crate::base::printable;
use crate::summary::Summary;

/// Characters of a text that are shown, at most.
const TEXT_MAX: usize = 4_096;

/// The summary with [`printable`] texts of a limited length. The error is of a figure that is no number.
pub(super) fn readable(summary: &Summary) -> serde_json::Result<Cow<'_, Summary>> {
    let mut value = serde_json::to_value(summary)?;
    if !clean(&mut value) {
        return Ok(Cow::Borrowed(summary));
    }
    serde_json::from_value(value).map(Cow::Owned)
}

/// Whether anything in it was not readable before.
fn clean(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let Some(shown) = shown(text) else { return false };
            *text = shown;
            true
        }
        Value::Array(items) => any(items.iter_mut()),
        Value::Object(fields) => {
            let wrong: Vec<(String, String)> =
                fields.keys().filter_map(|key| Some((key.clone(), shown(key)?))).collect();
            let has_wrong = !wrong.is_empty();
            for (key, shown) in wrong {
                let value = fields.remove(&key).unwrap_or_default();
                fields.insert(shown, value);
            }
            any(fields.values_mut()) || has_wrong
        }
        _ => false,
    }
}

/// Whether anything in any of them was not readable before. All are cleaned.
fn any<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    values.map(clean).filter(|changed| *changed).count() > 0
}

/// What is shown of a text, if that is something else.
fn shown(text: &str) -> Option<String> {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => Some(format!("{} …", printable(&text[..end]))),
        None => match printable(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(shown),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_obeys_is_changed() {
        let mut summary = Summary { scenario: "größer".to_owned(), ..Summary::default() };
        assert!(matches!(readable(&summary), Ok(Cow::Borrowed(_))));
        summary.warnings.push("\u{1b}[31mred".to_owned());
        summary.warnings.push("x".repeat(TEXT_MAX + 1));
        summary.given_up.insert(7, "a\nb".to_owned());
        summary.not_measured.insert("\u{202e}".to_owned(), String::new());
        let shown = readable(&summary).unwrap();
        assert_eq!(shown.warnings[0], "\\u{1b}[31mred");
        assert_eq!(shown.warnings[1].chars().count(), TEXT_MAX + 2);
        assert_eq!(shown.given_up[&7], "a\\nb");
        assert!(shown.not_measured.contains_key("\\u{202e}"));
        assert_eq!(shown.scenario, summary.scenario);
    }
}
