//! The files of the packaged crate, from which `cargo install` builds the program.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::support::{files_below, root, text_of};

/// The files of the package, as `cargo package` lists them.
fn packaged() -> BTreeSet<String> {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("readable names");
    listed.lines().map(|line| line.replace('\\', "/")).collect()
}

/// The files that sources name in `include_str!`, as paths from the root.
fn included() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files_below("src", "rs") {
        let text = text_of(&path);
        for rest in text.split(concat!("include_str", "!(\"")).skip(1) {
            let (name, _) = rest.split_once('"').expect("a name");
            let folder = Path::new(&path).parent().expect("a folder");
            found.insert(plain(&folder.join(name)));
        }
    }
    found
}

/// A path without `..`.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain.to_str().expect("a readable name").replace('\\', "/")
}

#[test]
fn the_package_holds_what_it_is_built_from() {
    let packaged = packaged();
    let included = included();
    assert!(included.contains("scenarios/guide-option-2.toml"), "{included:?}");
    let texts =
        ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "CHANGELOG.md"].map(str::to_owned);
    for path in files_below("src", "rs").into_iter().chain(included).chain(texts) {
        assert!(packaged.contains(&path), "{path} is not in the package");
    }
}

#[test]
fn the_package_holds_nothing_that_no_build_of_it_needs() {
    for path in packaged() {
        let folder = path.split('/').next().unwrap_or_default();
        let is_known = !path.contains('/') || matches!(folder, "src" | "scenarios" | "examples");
        assert!(is_known, "{path} is in the package");
    }
}
