//! Text from outside, such as names of files and what a stored result says, as a terminal may have it.

use std::borrow::Cow;
use std::path::Path;

/// The text with escapes such as `\u{1b}` and `\n` in the place of what a terminal obeys instead of showing: control
/// characters, line feeds, characters that turn the direction of writing, and those that cannot be seen.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown(c) { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    Cow::Owned(out)
}

/// The path as a message may have it.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Whether a terminal shows the character and does nothing else.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // An accent is shown on the character before it.
    let mut buffer = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut buffer[1..]).len();
    str::from_utf8(&buffer[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stays_and_what_is_obeyed_is_written_out() {
        for text in ["", "lost = 0", "a \"b\" \\ 'c'", "größer → 5 µs", "क्षेत्र", "▲ ░▒█ ✓"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\nPASSED\r\t\u{7f}\u{0}"), "a\\nPASSED\\r\\t\\u{7f}\\0");
        assert_eq!(printable("\u{9b}2J"), "\\u{9b}2J");
        for c in
            ["\u{202e}", "\u{2066}", "\u{200f}", "\u{feff}", "\u{200b}", "\u{2028}", "\u{e0041}"]
        {
            assert_eq!(printable(c), c.escape_unicode().to_string());
        }
    }
}
