//! Text of others on its way to a terminal: what would act there is shown instead.

use std::borrow::Cow;

/// The text in one line that acts on no terminal. Control characters, line feeds among them, and characters that turn
/// the direction of writing are written as in a Rust string, for example `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something about it, or a reader sees another order than there is.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_and_the_rest_stays() {
        assert_eq!(visible("café µs `a`"), "café µs `a`");
        assert_eq!(visible("a\u{1b}[2Jb\nc\td"), r"a\u{1b}[2Jb\nc\td");
        assert_eq!(visible("\u{9b}31m"), r"\u{9b}31m");
        assert_eq!(visible("a\u{202e}b"), r"a\u{202e}b");
    }
}
