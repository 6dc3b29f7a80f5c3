//! Long lines in several.

use std::fmt::Write;

/// Spaces before whatever stands below a heading.
pub(super) const INDENT: usize = 2;

/// The line in several, broken between words, if it is longer than `width`; what follows the first is indented.
pub(super) fn wrapped(line: &str, width: Option<usize>) -> String {
    let shown = |text: &str| anstream::adapter::strip_str(text).to_string().chars().count();
    let Some(width) = width.filter(|width| shown(line) > *width) else {
        return line.to_owned();
    };
    let mut out = String::new();
    let mut taken = 0;
    for word in line.split_inclusive(' ') {
        let own = shown(word.trim_end());
        if taken + own > width && taken > 2 * INDENT {
            out.truncate(out.trim_end().len());
            let _ = write!(out, "\n{:1$}", "", 2 * INDENT);
            taken = 2 * INDENT;
        }
        out.push_str(word);
        taken += shown(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_colours_take_no_room() {
        let line = "  lost 0, \u{1b}[1mduplicated 3\u{1b}[0m, late 0";
        assert_eq!(wrapped(line, None), line);
        assert_eq!(wrapped(line, Some(32)), line);
        assert_eq!(
            wrapped(line, Some(22)),
            "  lost 0, \u{1b}[1mduplicated\n    3\u{1b}[0m, late 0"
        );
        // A word that is too long stays in one piece.
        assert_eq!(wrapped("  at results/a-long-name", Some(8)), "  at\n    results/a-long-name");
    }
}
