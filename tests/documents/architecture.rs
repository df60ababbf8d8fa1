//! `docs/ARCHITECTURE.md`: who may import whom, where the functions of a get's life are, which files the engine has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{code, sources};

const PAGE: &str = include_str!("../../docs/ARCHITECTURE.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The rows of the table below the line that begins with `head`, cell by cell.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let start = PAGE.find(&format!("\n{head}")).expect(head) + 1;
    let rows = PAGE[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backquotes.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What each module imports of the others.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let source = Path::new(ROOT).join("src");
    for path in sources(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = code(&path);
        let imported = found.entry(module.clone()).or_default();
        for rest in ["crate::", "moxi::"].iter().flat_map(|root| text.split(root).skip(1)) {
            // One name, or a list of them in braces.
            let list = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            for name in list.unwrap_or(rest).split(", ").take(if list.is_some() { usize::MAX } else { 1 }) {
                let name: String = name.chars().take_while(|&c| c.is_ascii_lowercase() || c == '_').collect();
                if source.join(&name).is_dir() || source.join(format!("{name}.rs")).is_file() {
                    imported.insert(name);
                }
            }
        }
        imported.remove(&module);
        imported.remove("");
    }
    found
}

/// The modules that are in a circle of imports, or between two.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<BTreeSet<&str>> {
    let mut left: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    // Whoever imports none of those that are left is in no circle.
    while let Some(free) =
        left.iter().copied().find(|&module| !imports[module].iter().any(|name| left.contains(name.as_str())))
    {
        left.remove(free);
    }
    // Nor is who is imported by none of them.
    while let Some(free) =
        left.iter().copied().find(|&module| !left.iter().any(|&other| imports[other].contains(module)))
    {
        left.remove(free);
    }
    (!left.is_empty()).then_some(left)
}

#[test]
fn modules_import_what_the_page_says() {
    let mut allowed = BTreeMap::new();
    for row in table("| module |") {
        for module in names(row[0]) {
            allowed.insert(module, (row[1] == "everything", names(row[1]).collect::<BTreeSet<_>>()));
        }
    }
    for (module, imported) in imports() {
        let Some((everything, allowed)) = allowed.get(module.as_str()) else {
            assert!(module == "lib", "{module} is not in the table");
            continue;
        };
        let imported: BTreeSet<&str> = imported.iter().map(String::as_str).collect();
        assert!(*everything || imported == *allowed, "{module} imports {imported:?}");
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let imports = imports();
    assert!(imports.len() > 10 && imports["main"].contains("net") && imports["net"].contains("proxy"));
    assert_eq!(circle(&imports), None);
    let list = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("e", "d"), ("f", "")];
    let bent = list.map(|(module, name)| (module.to_owned(), BTreeSet::from([name.to_owned()])));
    assert_eq!(circle(&bent.into()), Some(BTreeSet::from(["b", "c", "d"])));
}

#[test]
fn the_functions_of_a_gets_life_are_where_the_page_says() {
    let rows = table("| | function |");
    assert_eq!(rows.len(), 20);
    for (index, row) in rows.iter().enumerate() {
        let number = index + 1;
        let function = names(row[1]).next().unwrap();
        let file = names(row[2]).next().unwrap();
        assert_eq!(row[0], number.to_string());
        assert!(code(&Path::new(ROOT).join(file)).contains(&format!("fn {function}")), "{function} is not in {file}");
        assert!(PAGE.contains(&format!("{number} {function}")), "{number} {function} is not in the drawing");
    }
}

/// The rooms of the engine.
const ROOMS: [&str; 3] = ["downstream", "request", "upstream"];

#[test]
fn all_files_of_the_engine_are_on_the_page_or_on_that_of_a_room() {
    let engine = Path::new(ROOT).join("src/proxy");
    let mut real: BTreeSet<PathBuf> =
        sources(&engine).into_iter().map(|path| path.strip_prefix(&engine).unwrap().to_owned()).collect();
    for room in ROOMS {
        let page = std::fs::read_to_string(engine.join(room).join("mod.rs")).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("//! | "));
        let listed: BTreeSet<&str> = rows.flat_map(|row| names(row.split(" | ").next().unwrap())).collect();
        let inside: Vec<PathBuf> = real.iter().filter(|path| path.starts_with(room)).cloned().collect();
        for path in &inside {
            let file = path.strip_prefix(room).unwrap().iter().next().unwrap().to_str().unwrap();
            let name = file.trim_end_matches(".rs");
            assert!(name == "mod" || listed.contains(name), "{name} is not on the page of {room}");
            real.remove(path);
        }
        for name in listed {
            let is_it = |path: &PathBuf| {
                path.strip_prefix(room).unwrap().starts_with(name) || path.ends_with(format!("{name}.rs"))
            };
            assert!(inside.iter().any(is_it), "{room} has no {name}");
        }
    }
    let listed = table("| files |").iter().flat_map(|row| names(row[0])).map(PathBuf::from).collect();
    assert_eq!(real.into_iter().filter(|path| !path.starts_with("merge")).collect::<BTreeSet<_>>(), listed);
}
