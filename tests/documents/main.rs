//! The manual pages, the README, the page about the architecture and the manifests say what the program does, and those about
//! the tests what there is.
//!
//! | file | what it proves |
//! |---|---|
//! | `manual`, `roff` | moxi(1) has the entries of the tables, and is well formed |
//! | `architecture` | docs/ARCHITECTURE.md: imports, functions, files |
//! | `top` | README and moxi-top(1): the output that was recorded |
//! | `places` | tests/README.md and CONTRIBUTING.md: folders and files of tests |

mod architecture;
mod manual;
mod places;
mod roff;
#[cfg(feature = "top")]
mod top;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moxi::config::behavior::{Behavior, Key};

const README: &str = include_str!("../../README.md");

/// The files of the program below `directory`, without those of tests.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file, without comments and the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The lines `    key=value   text` of the README name keys that there are, with their defaults.
#[test]
fn the_readme_has_the_real_defaults() {
    let list = README.split("with their defaults:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in list.lines() {
        let (name, value) = line.split_whitespace().next().unwrap().split_once('=').unwrap();
        let key = Key::find(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(value, key.default_text(), "{line}");
    }
    assert!(list.lines().count() > 8);
    assert!(
        README.contains("Rust 1.88 or later") && include_str!("../../Cargo.toml").contains("rust-version = \"1.88\"")
    );
}

/// The README's file for `-Z` has prose in it, and ends the start if there is a mistake.
#[test]
fn the_readme_has_a_behaviour_file_without_a_mistake() {
    let example = README.split("`#` begins a comment:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(example.contains("strict=1") && example.contains(", "));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moxi.cfg");
    fs::write(&path, example).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_moxi"))
        .args(["--check=config", "-z", "1=127.0.0.1:1", "-Z"])
        .arg(&path)
        .output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// What the log says of a server that is left alone is what the README says: so many failures are tolerated.
#[test]
fn the_readme_counts_as_the_program_does() {
    let behavior = Behavior { connect_retry_interval: 1, ..Behavior::default() };
    let health = moxi::proxy::downstream::host::Health::default();
    let most = behavior.connect_max_errors;
    let line = format!("connect_max_errors={most}                failures in a row that are tolerated; one more, ");
    assert!(README.contains(&line));
    assert!((0..most).all(|_| !health.fail(&behavior)));
    assert!(health.fail(&behavior) && health.is_suspended());
}

/// No manifest names a library that its code does not.
#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let everything = |directories: &[&str]| {
        let mut text = String::new();
        let mut waiting: Vec<PathBuf> = directories.iter().map(|name| root.join(name)).collect();
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
        text
    };
    for (manifest, section, directories) in [
        ("Cargo.toml", "[dependencies]", &["src"][..]),
        ("Cargo.toml", "[dev-dependencies]", &["src", "tests", "benches"]),
        ("tests/fuzzing/Cargo.toml", "[dependencies]", &["tests/fuzzing/src"]),
        ("tests/support/Cargo.toml", "[dependencies]", &["tests/support/src"]),
    ] {
        let text = fs::read_to_string(root.join(manifest)).unwrap();
        let list = text.split(&format!("{section}\n")).nth(1).unwrap().split("\n[").next().unwrap();
        let code = everything(directories);
        for name in list.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")) {
            // The crate's own name differs from the package's.
            let name = if name == "md_5" { "md5".to_owned() } else { name };
            assert!(code.contains(&format!("{name}::")), "{manifest}: {name} is not used");
        }
    }
}
