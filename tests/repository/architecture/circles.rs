//! The search for circles of source files that use each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{code, first_word};

/// The words of a path, `crate` left out.
type Path = Vec<String>;

/// The imports and uses of a file.
#[derive(Default)]
struct Names {
    /// Imported paths, by the imported name.
    imports: Vec<(String, Path)>,
    /// Used paths: imports that are not re-exported, and paths within the code.
    uses: Vec<Path>,
}

/// A circle of files in which each uses the next; `None` if there is none. Only files of the same top-level module are
/// compared, because modules have an order.
pub(super) fn circle(sources: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let files: BTreeMap<Path, &String> =
        sources.keys().map(|file| (module_path(file), file)).collect();
    let names: BTreeMap<Path, Names> = sources
        .iter()
        .map(|(file, text)| (module_path(file), names_in(&code(text), &module_path(file), &files)))
        .collect();
    let mut arrows: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    for (module, its) in &names {
        let used = its.uses.iter().map(|path| defined_in(path, &names, 0));
        let is_near = |used: &Path| used != module && used.first() == module.first();
        arrows.insert(module.clone(), used.filter(is_near).collect());
    }
    let way = arrows.keys().find_map(|start| way_back(start, &arrows))?;
    Some(way.iter().map(|module| files[module].clone()).collect())
}

/// The shortest path from a file along arrows back to it; `None` if there is none.
fn way_back(start: &Path, arrows: &BTreeMap<Path, BTreeSet<Path>>) -> Option<Vec<Path>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in arrows.get(way.last()?)?.clone() {
                if next == *start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.clone(), vec![next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

fn module_path(file: &str) -> Path {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
    parts.map(str::to_owned).collect()
}

/// The file that defines the item of a path. The path may name an import of a module.
fn defined_in(path: &[String], names: &BTreeMap<Path, Names>, depth: u32) -> Path {
    let mut depth_of_module = 0;
    while depth_of_module < path.len() && names.contains_key(&path[..=depth_of_module]) {
        depth_of_module += 1;
    }
    let (module, rest) = path.split_at(depth_of_module);
    let imported = rest.first().and_then(|name| {
        let its = names.get(module)?;
        its.imports.iter().find(|(known, _)| known == name).map(|(_, from)| from)
    });
    match imported {
        Some(from) if depth < 10 => defined_in(&[from, &rest[1..]].concat(), names, depth + 1),
        _ => module.to_vec(),
    }
}

fn names_in(code: &str, module: &Path, files: &BTreeMap<Path, &String>) -> Names {
    // Tests may use any file.
    let code = code.split("\nmod tests {").next().unwrap_or_default();
    let mut names = Names::default();
    let mut item = String::new();
    for line in code.lines() {
        let visibility_ends = line.find("use ").filter(|_| line.trim_start().starts_with("pub"));
        let begins = line.trim_start().starts_with("use ") || visibility_ends.is_some();
        if item.is_empty() && !begins {
            let line = line.replace("pub(in crate::", "(");
            names.uses.extend(paths_in(&line).filter_map(|path| absolute(&path, module, files)));
            continue;
        }
        item.push_str(line.trim());
        if !line.trim_end().ends_with(';') {
            continue;
        }
        let is_public = item.starts_with("pub");
        let tree = item[item.find("use ").unwrap_or_default()..].to_owned();
        item.clear();
        for path in branches(tree.trim_start_matches("use ").trim_end_matches(';')) {
            let (path, alias) = path.split_once(" as ").unwrap_or((&path, ""));
            let path: Path = path.split("::").map(|part| part.trim().to_owned()).collect();
            let ends = path.iter().take_while(|part| !matches!(part.as_str(), "*")).count();
            let Some(absolute) = absolute(&path[..ends], module, files) else { continue };
            let last = path.last().cloned().unwrap_or_default();
            let name = if alias.is_empty() { last } else { alias.to_owned() };
            // A re-export of an item of a submodule is no use.
            let is_passed_on = is_public && absolute.starts_with(module);
            names.imports.push((name, absolute.clone()));
            if !is_passed_on {
                names.uses.push(absolute);
            }
        }
    }
    names
}

/// Paths such as `crate::a::b` and `super::a` in a line of code.
fn paths_in(line: &str) -> impl Iterator<Item = Path> {
    let begins = ["crate::", "super::", "self::"];
    let starts = begins.into_iter().flat_map(|begin| line.match_indices(begin));
    starts.filter_map(|(at, _)| {
        let is_inside = line[..at].ends_with(|c: char| super::is_word(c) || c == ':');
        let mut rest = &line[at..];
        let mut path = Path::new();
        while !first_word(rest).is_empty() {
            path.push(first_word(rest).to_owned());
            rest = &rest[first_word(rest).len()..];
            let Some(next) = rest.strip_prefix("::") else { break };
            rest = next;
        }
        (!is_inside && path.len() > 1).then_some(path)
    })
}

/// The path from the root of the crate; `None` if it leads out of the crate.
fn absolute(path: &[String], module: &Path, files: &BTreeMap<Path, &String>) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    let own = |rest: &[String]| [module, rest].concat();
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(own(rest)),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => files.contains_key(&own(std::slice::from_ref(first))).then(|| own(path)),
    }
}

/// The paths of a tree of imports: `a::{b, c::{d}}` has `a::b` and `a::c::d`.
fn branches(tree: &str) -> Vec<String> {
    let Some((stem, list)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
    let (mut depth, mut item, mut all) = (0, String::new(), Vec::new());
    for c in list.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = std::mem::take(&mut item);
                if !item.trim().is_empty() {
                    let whole = format!("{}{}", stem.trim(), item.trim());
                    all.extend(branches(&whole));
                }
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    all.into_iter().map(|path| path.trim_end_matches("::self").to_owned()).collect()
}
