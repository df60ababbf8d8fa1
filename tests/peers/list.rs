//! `docs/PEERS.md` names tests that there are.

use std::path::Path;

const LIST: &str = include_str!("../../docs/PEERS.md");

#[test]
fn the_list_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = 0;
    for line in LIST.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what ")) {
        let last = line.trim_end_matches(" |").rsplit(" | ").next().expect("a cell");
        if last == "–" {
            continue;
        }
        rows += 1;
        for name in last.split(", ") {
            let name = name.trim_matches('`');
            let (file, function) = name.split_once("::").unwrap_or_else(|| panic!("{name} in {line}"));
            let path = if file.starts_with("src/") { root.join(file) } else { root.join("tests").join(file) };
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(text.contains(&format!("fn {function}(")), "no {function} in {file}");
        }
    }
    assert!(rows > 30, "{rows} rows");
}
