//! The Dockerfile, as far as that can be told without an engine. `t/image` builds and starts it where there is one.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Instructions and their arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("{ROOT}/Dockerfile")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (name.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

/// The arguments of the one instruction of this name.
fn only<'a>(stage: &'a [(String, String)], name: &str) -> &'a str {
    let found: Vec<&str> = stage.iter().filter(|(it, _)| it == name).map(|(_, rest)| rest.as_str()).collect();
    let [one] = found[..] else { panic!("{name}: {found:?}") };
    one
}

fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn two_stages_and_nothing_but_the_program_in_the_second() {
    let all = instructions();
    let stages: Vec<usize> = (0..all.len()).filter(|&index| all[index].0 == "FROM").collect();
    let [first, second] = stages[..] else { panic!("two stages") };
    assert!(all[first].1.ends_with(" AS build") && all[second].1 == "scratch");
    let image = &all[second..];
    assert_eq!(only(image, "COPY"), "--from=build /image/ /");
    assert!(image.iter().all(|(name, _)| name != "RUN" && name != "ADD"), "nothing runs where there is no shell");
    let (user, group) = only(image, "USER").split_once(':').unwrap();
    assert!([user, group].iter().all(|id| id.parse::<u32>().unwrap() > 0), "a number, not root");
    assert_eq!(list(only(image, "ENTRYPOINT")), ["/usr/bin/moxi"]);
    assert_eq!(list(only(image, "CMD")), ["-z", "/etc/moxi/moxi.conf"]);
    assert_eq!(only(image, "STOPSIGNAL"), "SIGTERM");
    let (options, check) = only(image, "HEALTHCHECK").split_once(" CMD ").unwrap();
    assert!(options.contains("--timeout=7s"), "longer than the check itself takes");
    assert_eq!(list(check.trim()), ["/usr/bin/moxi", "--check-alive", &format!("127.0.0.1:{}", only(image, "EXPOSE"))]);
    // The user has a name there, too.
    assert!(include_str!("../../packaging/image").contains(&format!("moxi:x:{user}:{group}:")));
}

#[test]
fn the_compiler_is_new_enough() {
    let all = instructions();
    let version =
        all.iter().find_map(|(name, rest)| Some(rest.strip_prefix("RUST_VERSION=")?).filter(|_| name == "ARG"));
    let minor = |text: &str| text.strip_prefix("1.").unwrap().parse::<u32>().unwrap();
    let manifest = include_str!("../../Cargo.toml");
    let least = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(minor(version.unwrap()) >= minor(least));
}

/// What `.dockerignore` leaves of the tree: it forbids all and then names what is needed.
fn is_in_context(path: &Path) -> bool {
    let text = fs::read_to_string(format!("{ROOT}/.dockerignore")).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    lines.any(|line| path.starts_with(line.strip_prefix('!').expect("an exception")))
}

#[test]
fn everything_that_the_program_is_built_from_is_sent_to_the_engine() {
    // The compiler's own lists of what the program and its library are made of.
    let folder = Path::new(env!("CARGO_BIN_EXE_moxi")).with_file_name("deps");
    let lists = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("moxi-") && name.ends_with(".d")
    });
    let text: String = lists.map(|path| fs::read_to_string(path).unwrap()).collect();
    // "OUTPUT: SOURCES", with paths in the tree as cargo has them.
    let sources = text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, list)| list.split_whitespace());
    let inside: Vec<&Path> = sources.map(Path::new).map(|path| path.strip_prefix(ROOT).unwrap_or(path)).collect();
    // Of clippy's own lists is what only clippy reads.
    let is_built = |path: &&Path| path.is_relative() && *path != Path::new("clippy.toml");
    let inside: Vec<&Path> = inside.into_iter().filter(is_built).collect();
    assert!(inside.len() > 100, "{inside:?}");
    for path in inside {
        assert!(is_in_context(path), "{}", path.display());
    }
    let manifest = include_str!("../../Cargo.toml");
    for name in ["Cargo.toml", "Cargo.lock", "LICENSE", "packaging/static", "packaging/image", "src/bin", "benches"] {
        assert!(is_in_context(Path::new(name)), "{name}");
    }
    // Path dependencies, which cargo wants to see even if it does not build them.
    for path in manifest.split("path = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(is_in_context(Path::new(path)), "{path}");
    }
    assert!(["target", ".git", "t", "docs"].iter().all(|name| !is_in_context(Path::new(name))));
}
