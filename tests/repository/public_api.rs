//! The public API, which is what the documentation shows. It is read from the source and compared with a list in the
//! repository.
//!
//! `BLESS=1 cargo test --test repository the_public_api` writes the list, so each change of the API is in a diff. It needs
//! neither a nightly toolchain, as lists made from rustdoc's JSON do, nor a release to compare with.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, Type, UseTree, Visibility};

use crate::support::{files_below, root, text_of};

const LIST: &str = "tests/public-api.txt";

/// The beginning of the list.
const HEAD: &str = "\
// The public API, made from the source by `tests/repository/public_api.rs`. Private fields and bodies are left out.
// `BLESS=1 cargo test --test repository the_public_api` writes it. What is removed or changed here breaks users.
";

/// An item of the API: its definition and its impl blocks.
type Shown = Vec<Item>;

fn parsed(path: &str) -> syn::File {
    syn::parse_file(&text_of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// True if rustdoc omits an item.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| it.to_token_stream().to_string().contains("hidden"))
}

/// True if an item exists in some builds only, such as tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| it.path().is_ident("cfg"))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The names that a `use` item re-exports, each with the first module on its path.
fn passed_on(tree: &UseTree, module: Option<&str>, names: &mut Vec<(String, String)>) {
    match tree {
        UseTree::Path(path) => {
            let first = module.map_or_else(|| path.ident.to_string(), str::to_owned);
            passed_on(&path.tree, Some(&first), names);
        }
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| passed_on(tree, module, names));
        }
        UseTree::Name(name) => {
            names.push((module.expect("a path").to_owned(), name.ident.to_string()));
        }
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("the API names its items one by one"),
    }
}

/// The names that a file re-exports to users.
fn names_in(file: &syn::File) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for item in &file.items {
        if let Item::Use(item) = item
            && is_public(&item.vis)
            && !is_hidden(&item.attrs)
        {
            passed_on(&item.tree, None, &mut names);
        }
    }
    names
}

/// Keeps the attributes on which users rely: derives, `non_exhaustive` and `must_use`.
fn keep_promises(attributes: &mut Vec<Attribute>) {
    let kept = ["derive", "non_exhaustive", "must_use"];
    attributes.retain(|it| kept.iter().any(|name| it.path().is_ident(name)));
}

fn without_private(fields: &mut Fields) {
    let kept = |field: &syn::Field| is_public(&field.vis);
    match fields {
        Fields::Named(named) => {
            named.named = std::mem::take(&mut named.named).into_iter().filter(kept).collect();
            named.named.iter_mut().for_each(|field| field.attrs.clear());
        }
        Fields::Unnamed(unnamed) => {
            unnamed.unnamed =
                std::mem::take(&mut unnamed.unnamed).into_iter().filter(kept).collect();
            unnamed.unnamed.iter_mut().for_each(|field| field.attrs.clear());
        }
        Fields::Unit => {}
    }
}

fn empty() -> syn::Block {
    syn::Block { brace_token: Default::default(), stmts: Vec::new() }
}

/// The definition of a public item, as users see it; `None` for other items.
fn definition(item: &Item) -> Option<(String, Item)> {
    let mut item = item.clone();
    let name = match &mut item {
        Item::Struct(it) if is_public(&it.vis) => {
            keep_promises(&mut it.attrs);
            without_private(&mut it.fields);
            it.ident.to_string()
        }
        Item::Enum(it) if is_public(&it.vis) => {
            keep_promises(&mut it.attrs);
            for variant in &mut it.variants {
                variant.attrs.clear();
                variant.fields.iter_mut().for_each(|field| field.attrs.clear());
            }
            it.ident.to_string()
        }
        Item::Trait(it) if is_public(&it.vis) => {
            keep_promises(&mut it.attrs);
            for inner in &mut it.items {
                if let syn::TraitItem::Fn(function) = inner {
                    keep_promises(&mut function.attrs);
                }
            }
            it.ident.to_string()
        }
        Item::Fn(it) if is_public(&it.vis) => {
            keep_promises(&mut it.attrs);
            *it.block = empty();
            it.sig.ident.to_string()
        }
        Item::Const(it) if is_public(&it.vis) => {
            keep_promises(&mut it.attrs);
            it.ident.to_string()
        }
        // The macro that defines id types.
        Item::Macro(it) if it.mac.path.is_ident("id") => {
            let text = it.mac.tokens.to_string();
            let name = text.rsplit_once('(')?.0.split_whitespace().last()?.to_owned();
            let inner = text.rsplit_once('(')?.1.trim_end_matches([')', ' ']).to_owned();
            item = syn::parse_str(&format!("id!({name}({inner}));")).expect("a macro");
            name
        }
        _ => return None,
    };
    Some((name, item))
}

/// The type of an impl block, and the block as users see it; `None` if it has nothing public.
fn implementation(item: &Item) -> Option<(String, Item)> {
    let Item::Impl(block) = item else { return None };
    let Type::Path(path) = &*block.self_ty else { return None };
    let name = path.path.segments.last()?.ident.to_string();
    let mut block = block.clone();
    if is_for_tests(&block.attrs) {
        return None;
    }
    block.attrs.clear();
    if block.trait_.is_some() {
        block.items.clear();
        return Some((name, Item::Impl(block)));
    }
    block.items.retain_mut(|inner| match inner {
        ImplItem::Fn(function) if is_public(&function.vis) && !is_hidden(&function.attrs) => {
            keep_promises(&mut function.attrs);
            function.block = empty();
            true
        }
        ImplItem::Const(constant) if is_public(&constant.vis) && !is_hidden(&constant.attrs) => {
            keep_promises(&mut constant.attrs);
            // The value is not part of the API.
            constant.expr = syn::parse_quote!(..);
            true
        }
        _ => false,
    });
    (!block.items.is_empty()).then_some((name, Item::Impl(block)))
}

/// All items that the files of a module define, by name.
fn defined_in(module: &str) -> BTreeMap<String, Shown> {
    let mut files = match root().join(format!("src/{module}.rs")).exists() {
        true => vec![format!("src/{module}.rs")],
        false => files_below(&format!("src/{module}"), "rs"),
    };
    files.sort();
    let mut defined: BTreeMap<String, Shown> = BTreeMap::new();
    let mut blocks = Vec::new();
    for file in files {
        for item in parsed(&file).items {
            if let Some((name, item)) = definition(&item) {
                defined.entry(name).or_default().push(item);
            } else {
                blocks.extend(implementation(&item));
            }
        }
    }
    for (name, block) in blocks {
        defined.entry(name).or_default().push(block);
    }
    defined
}

/// The items of the API, by the path for users.
fn api() -> BTreeMap<String, Shown> {
    let library = parsed("src/lib.rs");
    let mut found = BTreeMap::new();
    for (module, name) in names_in(&library) {
        let shown = defined_in(&module).remove(&name);
        found.insert(name.clone(), shown.unwrap_or_else(|| panic!("no `{name}` in `{module}`")));
    }
    for item in &library.items {
        let Item::Mod(item) = item else { continue };
        if !is_public(&item.vis) || is_hidden(&item.attrs) {
            continue;
        }
        let module = item.ident.to_string();
        let head = parsed(&format!("src/{module}/mod.rs"));
        let own = head.items.iter().filter_map(definition).map(|(name, _)| name);
        let names: BTreeSet<String> =
            own.chain(names_in(&head).into_iter().map(|(_, name)| name)).collect();
        let mut defined = defined_in(&module);
        for name in names {
            let shown = defined.remove(&name).unwrap_or_else(|| panic!("no `{module}::{name}`"));
            // An item that is also at the root is listed there only.
            if !found.contains_key(&name) {
                found.insert(format!("{module}::{name}"), shown);
            }
        }
    }
    found
}

fn text(items: &Shown) -> String {
    let file =
        syn::File { shebang: None, frontmatter: None, attrs: Vec::new(), items: items.clone() };
    let text = prettyplease::unparse(&file).replace(" {}\n", ";\n").replace(" = ..;", ";");
    text.replace("(mut self", "(self")
}

#[test]
fn the_public_api_is_the_one_on_the_list() {
    let mut list = HEAD.to_owned();
    for (path, items) in api() {
        list.push_str(&format!("\n// lanekeeper::{path}\n{}", text(&items)));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join(LIST), &list).expect("a list");
    }
    let kept = text_of(LIST);
    for (is, was) in list.lines().zip(kept.lines()) {
        assert_eq!(
            is, was,
            "the API has changed: `BLESS=1 cargo test --test repository the_public_api`"
        );
    }
    assert_eq!(list, kept);
}

/// Each type that the API names has a page in the documentation.
#[test]
fn the_public_api_names_no_type_that_is_hidden() {
    let api = api();
    let shown: BTreeSet<&str> =
        api.keys().map(|path| path.rsplit("::").next().expect("a name")).collect();
    let modules = files_below("src", "rs");
    let own: BTreeSet<String> = modules
        .iter()
        .flat_map(|path| parsed(path).items)
        .filter_map(|item| definition(&item))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(char::is_uppercase))
        .collect();
    for (path, items) in &api {
        let variants: BTreeSet<String> = items
            .iter()
            .filter_map(|item| if let Item::Enum(it) = item { Some(&it.variants) } else { None })
            .flatten()
            .map(|variant| variant.ident.to_string())
            .collect();
        for word in text(items).split(|c: char| !c.is_alphanumeric() && c != '_') {
            let is_hidden = own.contains(word) && !shown.contains(word) && !variants.contains(word);
            assert!(!is_hidden, "`{path}` names `{word}`, which the documentation does not show");
        }
    }
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let manifest = text_of("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let oldest = version.expect("a version").trim_matches('"');
    for (path, phrase) in [
        // The workflow reads the version from this line.
        (".github/workflows/ci.yml", "s/^rust-version = ".to_owned()),
        (".ci/run", format!("install Rust {oldest} or newer")),
        ("README.md", format!("Rust {oldest} or newer")),
        ("book/src/quick-start.md", format!("Rust {oldest} or newer")),
        ("CONTRIBUTING.md", format!("**Rust {oldest}**")),
        ("src/lib.rs", format!("The oldest Rust that builds it is {oldest}.")),
    ] {
        assert!(text_of(path).contains(&phrase), "{path} does not say `{phrase}`");
    }
}
