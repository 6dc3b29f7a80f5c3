//! Keys that take one of several words.

use super::tree::{Kind, Node};
use super::value::{Place, Value, wrong_type};
use super::{Diagnostic, codes, suggest};

/// Defines an enum of the words a key takes.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// The word, as it is written.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::reader::value::Value for $name {
            fn wanted() -> String {
                $crate::reader::suggest::one_of(&[$($word),+])
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": [$($word),+]})
            }
            fn read(
                node: &$crate::reader::tree::Node,
                place: $crate::reader::value::Place<'_>,
                out: &mut Vec<$crate::reader::Diagnostic>,
            ) -> Option<$name> {
                let words = [$(($word, $name::$variant)),+];
                $crate::reader::words::read_word(node, place, out, &words)
            }
        }
    };
}
pub(crate) use words;

/// Reads one of `words`.
pub fn read_word<T: Value + Copy>(
    node: &Node,
    place: Place<'_>,
    out: &mut Vec<Diagnostic>,
    words: &[(&str, T)],
) -> Option<T> {
    let Kind::Text(text) = &node.kind else {
        out.push(wrong_type::<T>(node, place));
        return None;
    };
    let found = words.iter().find(|(word, _)| word == text);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{text}` is not a value of `{}`", place.path);
        out.push(
            Diagnostic::error(codes::UNKNOWN_WORD, node.origin, message)
                .remedy(suggest::word(text, &known)),
        );
    }
    found.map(|(_, value)| *value)
}
