//! The manual page, the README and the manifests say what the program does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moxi::config::behavior::{Behavior, KEYS, Key};

const PAGE: &str = include_str!("../man/moxi.1");
const README: &str = include_str!("../README.md");

#[test]
fn the_manual_page_describes_every_flag_and_its_default() {
    let page = PAGE;
    for flag in moxi::cli::flags::FLAGS {
        let letter = flag.form().split_off(1).replace('-', "\\-");
        let entry = format!(".BI \\-{letter} ");
        let switch = format!(".B \\-{letter}\n");
        let named = format!(".BR \\-{letter} \", \" \\-\\-{}", flag.name.unwrap_or_default());
        let start = [entry, switch, named].iter().find_map(|form| page.find(form.as_str()));
        let start = start.unwrap_or_else(|| panic!("-{letter} has no entry"));
        let entry = page[start..].split(".TP").next().unwrap_or_default();
        assert!(entry.contains(flag.default), "-{letter}: its default {} is not named", flag.default);
        assert_eq!(flag.deprecated, entry.contains("Deprecated"), "-{letter}: deprecated or not?");
    }
}

#[test]
fn the_manual_page_describes_every_behaviour_key_and_its_default() {
    let page = PAGE;
    let page = page.split(".SH PROXY BEHAVIOUR").nth(1).unwrap().split(".SH ENVIRONMENT").next().unwrap();
    let entries: Vec<(&str, &str)> = page
        .split(".TP\n.BR ")
        .skip(1)
        .map(|entry| entry.lines().next().unwrap_or_default())
        .map(|line| line.split_once('=').expect("a default"))
        .map(|(name, default)| (name.trim(), default))
        .collect();
    for key in KEYS {
        let (_, default) = *entries
            .iter()
            .find(|(name, _)| key.is_called(name))
            .unwrap_or_else(|| panic!("{} has no entry", key.name));
        if !key.is_secret() {
            let shown = default.trim_start_matches("\\fR").trim_matches('"');
            let real = key.value(&Behavior::default());
            assert!(shown == real || (key.name, shown) == ("downstream_protocol", "binary"), "{}: {shown}", key.name);
        }
        for synonym in key.synonyms {
            assert!(page.contains(synonym), "{synonym} is not named");
        }
    }
    assert_eq!(entries.len(), KEYS.len());
}

/// The page's text without its markup.
fn plain() -> String {
    PAGE.lines()
        .map(|line| {
            let line = line.trim_start_matches(|c: char| c == '.' || c.is_ascii_uppercase() && line.starts_with('.'));
            line.replace("\\-", "-").replace("\\fR", "").replace("\\fP", "").replace('"', "")
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The files of the program below `directory`, without those of tests.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    files
}

/// The code of a file, without comments and the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_manual_page_explains_every_server_error() {
    let page = plain();
    let mut count = 0;
    for path in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        for literal in code(&path).split("\"SERVER_ERROR").skip(1) {
            // Up to the line end, or what is put in.
            let end = literal.find(['"', '\\', '{']).unwrap_or(0);
            let text = format!("SERVER_ERROR{}", literal[..end].trim_end());
            assert!(page.contains(&text), "{text:?} of {} is not in the manual page", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} texts");
}

#[test]
fn the_manual_page_names_every_variable_and_every_word_of_stats_proxy() {
    let environment = PAGE.split(".SH ENVIRONMENT").nth(1).unwrap().split(".SH").next().unwrap();
    for name in [
        "MOXI_SASL_PLAIN_USR",
        "MOXI_SASL_PLAIN_PWD",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        moxi::server::PORT_FILE,
        moxi::server::INITIAL_MALLOC,
    ] {
        assert!(environment.contains(name), "{name}");
    }
    let statistics = PAGE.split(".SH STATISTICS").nth(1).unwrap().split(".SH").next().unwrap();
    let complaint = moxi::stats::report::Question::parse(b"no such word").unwrap_err();
    for word in complaint.trim_end().split_once("valid: ").unwrap().1.split(' ') {
        assert!(statistics.contains(&format!(".TP\n.B {word}\n")), "{word}");
    }
}

#[test]
fn the_manual_page_is_well_formed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/man/moxi.1");
    for (program, arguments) in
        [("mandoc", &["-T", "lint", page][..]), ("man", &["--warnings", "-E", "UTF-8", "-l", page])]
    {
        // Only where it is installed.
        let Ok(output) = Command::new(program).args(arguments).output() else { continue };
        let said = if program == "mandoc" { &output.stdout } else { &output.stderr };
        assert_eq!(String::from_utf8_lossy(said), "", "{program}");
    }
}

/// The lines `    key=value   text` of the README name keys that there are, with their defaults.
#[test]
fn the_readme_has_the_real_defaults() {
    let list = README.split("with their defaults:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in list.lines() {
        let (name, value) = line.split_whitespace().next().unwrap().split_once('=').unwrap();
        let key = Key::find(name).unwrap_or_else(|| panic!("{name}"));
        let real = key.value(&Behavior::default());
        assert!(value == real || (name, value) == ("downstream_protocol", "binary"), "{line}");
    }
    assert!(list.lines().count() > 8);
    assert!(README.contains("Rust 1.88 or later") && include_str!("../Cargo.toml").contains("rust-version = \"1.88\""));
}

/// The README's file for `-Z` has prose in it, and ends the start if there is a mistake.
#[test]
fn the_readme_has_a_behaviour_file_without_a_mistake() {
    let example = README.split("`#` begins a comment:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(example.contains("strict=1") && example.contains(", "));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moxi.cfg");
    fs::write(&path, example).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_moxi")).args(["--check", "-z", "1=127.0.0.1:1", "-Z"]).arg(&path).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// What the log says of a server that is left alone is what the README says: so many failures are tolerated.
#[test]
fn the_readme_counts_as_the_program_does() {
    let behavior = Behavior { connect_retry_interval: 1, ..Behavior::default() };
    let health = moxi::proxy::host::Health::default();
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
