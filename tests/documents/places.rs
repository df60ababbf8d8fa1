//! The pages about the tests: every folder is on the one, every file of tests in the head of its folder, and every file that
//! the other names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../README.md");
const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What is in a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The name of a file, without `.rs`.
fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// The folders of tests that are a binary each.
fn binaries() -> Vec<PathBuf> {
    entries(&Path::new(ROOT).join("tests")).into_iter().filter(|path| path.join("main.rs").exists()).collect()
}

#[test]
fn every_folder_is_on_the_page() {
    let table = PAGE.split("## Which harness").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let named: BTreeSet<_> = rows.filter(|name| name.chars().all(|char| char.is_ascii_lowercase())).collect();
    let binaries = binaries();
    assert_eq!(named, binaries.iter().map(|path| name(path)).collect());
    let single = entries(&Path::new(ROOT).join("tests")).into_iter().filter(|path| path.extension().is_some());
    let single: Vec<_> = single.filter(|path| path.extension().unwrap() == "rs").collect();
    assert!(single.iter().all(|path| table.contains(&format!("| `{}.rs` |", name(path)))), "{single:?}");
}

#[test]
fn every_file_says_what_it_proves() {
    for folder in binaries() {
        let main = fs::read_to_string(folder.join("main.rs")).unwrap();
        let head: String = main.lines().take_while(|line| line.starts_with("//!")).collect();
        for path in entries(&folder).into_iter().filter(|path| !path.ends_with("main.rs")) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//! "), "{}", path.display());
            let is_named = head.contains(&format!("`{}`", name(&path)));
            assert!(is_named || !text.contains("#[test]"), "{} is not in the head of main.rs", path.display());
        }
    }
}

/// The list of places in which a new command is tested.
#[test]
fn the_places_of_a_new_command_are_there() {
    let list = CONTRIBUTING.split("Then its tests.").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut count = 0;
    for row in list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")) {
        let mut folder = PathBuf::new();
        for place in row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2) {
            // A name alone is beside the one before it.
            let path = if place.contains('/') { PathBuf::from(place) } else { folder.join(place) };
            assert!(Path::new(ROOT).join(&path).exists(), "{}", path.display());
            folder = path.parent().unwrap().to_path_buf();
            count += 1;
        }
    }
    assert!(count >= 11, "{count}");
}
