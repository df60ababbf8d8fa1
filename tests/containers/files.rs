//! The example configurations. Each has the command line in it that it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::world::World;

/// The examples, by the paths they have in command lines.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.filter(|path| path.extension().is_some_and(|ending| ending == "conf" || ending == "cfg"));
    named
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (format!("/etc/moxi/{name}"), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn each_starts_as_it_says() {
    let files = files();
    assert!(files.len() > 5, "{:?}", files.keys());
    for (name, content) in &files {
        let lines: Vec<&str> = content.lines().filter_map(|line| line.strip_prefix("#     moxi ")).collect();
        assert!(!lines.is_empty(), "{name} has no command line");
        for line in lines {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert!(words.contains(name), "{name}: {line} is not about it");
            World::new(files.clone(), &[]).try_out(&words, &[]);
        }
    }
}

#[test]
fn the_list_of_examples_is_whole() {
    let list = include_str!("../../examples/README.md");
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || list.contains(&format!("[{name}]({name})")), "{name}");
    }
}
