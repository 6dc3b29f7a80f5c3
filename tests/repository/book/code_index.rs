//! The index of the code names files and items that exist, and so do all paths in the documents.

use super::documents;
use crate::support::{root, text_of};

/// The parts of `text` in backticks.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True if a source has this word.
fn mentions(source: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(name).any(|(at, _)| {
        !source[at + name.len()..].starts_with(is_word) && !source[..at].ends_with(is_word)
    })
}

/// True if a source defines an item or a kind of fault of this name, with a keyword or a macro.
fn defines(source: &str, name: &str) -> bool {
    let before = ["fn", "struct", "enum", "trait", "const", "impl FaultKind for"];
    before.iter().any(|before| mentions(source, &format!("{before} {name}")))
        || name.ends_with('!') && source.contains(&format!("{name} {{"))
}

/// Each row of the index names files and items: each item is defined in one of the files, and each file has one of
/// them.
#[test]
fn the_index_of_the_code_names_what_is_there() {
    let mut rows = 0;
    let page = text_of("book/src/reading-the-code.md");
    for row in page.lines().filter(|line| line.contains(".rs`")) {
        let cells: Vec<&str> = row.split('|').collect();
        let [_, _, files, items, _] = cells[..] else { panic!("{row}") };
        let source = |file| text_of(&format!("src/{file}"));
        let sources: Vec<String> = in_backticks(files).map(source).collect();
        let items: Vec<&str> = in_backticks(items).collect();
        assert!(!items.is_empty(), "{row}");
        for item in &items {
            assert!(sources.iter().any(|text| defines(text, item)), "no `{item}`: {row}");
        }
        for (file, text) in in_backticks(files).zip(&sources) {
            assert!(items.iter().any(|item| mentions(text, item)), "none in `{file}`: {row}");
        }
        rows += 1;
    }
    assert!(rows > 25, "{rows}");
}

/// True for a path of a source or script from the root of the repository.
fn is_path(name: &str) -> bool {
    let is_below = ["src/", "tests/", "benches/", "examples/", "fuzz/"];
    is_below.iter().any(|folder| name.starts_with(folder))
        && [".rs", ".sh"].iter().any(|ending| name.ends_with(ending))
        && !name.contains([' ', '*', '<'])
}

#[test]
fn paths_in_the_documents_exist() {
    let mut seen = 0;
    for document in documents() {
        for path in in_backticks(&text_of(&document)).filter(|name| is_path(name)) {
            assert!(root().join(path).is_file(), "{document} names `{path}`");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn items_are_found_by_their_whole_names() {
    assert!(defines("pub(super) fn restart(&mut self) {}", "restart"));
    assert!(!defines("fn restarted() {}", "restart") && !defines("a.restart()", "restart"));
    assert!(mentions("a.restart()", "restart") && !mentions("a.restarted()", "restart"));
}
