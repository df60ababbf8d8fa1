//! The manual pages: parts of moxi(1) are made from the tables (`make man`), and everything in them is so.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use moxi::cli::flags::FLAGS;
use moxi::config::behavior::KEYS;

use super::{code, roff, sources};

const PAGE: &str = include_str!("../../man/moxi.1");
const FILES: &str = include_str!("../../man/moxi.conf.5");
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man");

/// The page with the parts between `begin` and `end` marks made anew.
fn generated(page: &str) -> String {
    let flags: String = FLAGS.iter().map(roff::flag).collect();
    let keys: String = KEYS.iter().map(roff::key).collect();
    let mut page = page.to_owned();
    for (name, entries) in [("flags", flags), ("keys", keys)] {
        let begin = format!(".\\\" begin {name} (written by \"make man\")\n");
        let end = format!(".\\\" end {name}\n");
        let (head, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no mark {begin}"));
        let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end}"));
        page = format!("{head}{begin}{entries}{end}{tail}");
    }
    page
}

/// With `MOXI_MAN=write`, which is `make man`, the page is written instead.
#[test]
fn the_manual_page_has_the_entries_of_the_tables() {
    let page = generated(PAGE);
    if std::env::var_os("MOXI_MAN").is_some_and(|what| what == "write") {
        fs::write(Path::new(DIRECTORY).join("moxi.1"), page).unwrap();
    } else {
        let different = page.lines().zip(PAGE.lines()).find(|(new, old)| new != old);
        assert!(page == PAGE, "the tables have changed, \"make man\" is due: {different:?}");
    }
}

#[test]
fn every_flag_has_an_entry_with_its_default() {
    for flag in FLAGS {
        let entry = roff::flag(flag);
        assert!(entry.contains(flag.default) && entry.starts_with(".TP\n.B"), "{}: {entry}", flag.form());
        assert_eq!(flag.deprecated, entry.contains("Deprecated"), "{}: deprecated or not?", flag.form());
        assert!(flag.also.iter().all(|(form, _)| entry.contains(&form.replace('-', "\\-"))), "{entry}");
        assert_eq!(entry.matches('`').count(), 0, "{entry}");
    }
}

#[test]
fn every_key_has_an_entry_with_its_default_and_other_names() {
    for key in KEYS {
        let entry = roff::key(key);
        let head = entry.lines().nth(1).unwrap_or_default();
        assert!(head.starts_with(&format!(".BR {} =", key.name)), "{entry}");
        assert!(head.replace('\\', "").contains(&key.default_text()), "{entry}");
        assert!(key.synonyms.iter().all(|name| entry.contains(name)), "{entry}");
        assert_eq!(entry.matches('`').count(), 0, "{entry}");
    }
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
        moxi::builtin::PORT_FILE,
        moxi::builtin::INITIAL_MALLOC,
    ] {
        assert!(environment.contains(name), "{name}");
    }
    let statistics = PAGE.split(".SH STATISTICS").nth(1).unwrap().split(".SH").next().unwrap();
    let complaint = moxi::proxy::report::Question::parse(b"no such word").unwrap_err();
    for word in complaint.trim_end().split_once("valid: ").unwrap().1.split(' ') {
        assert!(statistics.contains(&format!(".TP\n.B {word}\n")), "{word}");
    }
}

/// The literal blocks of a page that stand behind the comment `mark`, as they look.
pub fn blocks(page: &str, mark: &str) -> Vec<String> {
    let mark = format!(".\\\" {mark}\n.nf\n");
    let blocks = page.split(&mark).skip(1).map(|rest| rest.split(".fi\n").next().unwrap_or_default());
    blocks.map(|block| block.replace("\\-", "-").replace("\\e", "\\")).collect()
}

#[test]
fn the_examples_of_files_are_understood() {
    let none = |_: &str| None;
    let cluster = blocks(FILES, "example -z");
    assert_eq!(cluster.len(), 4);
    for text in cluster {
        let loaded = moxi::config::load(&text, Some("strict=1"), &none);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(loaded.log, [""; 0], "{text}");
        assert!(!loaded.sections.is_empty() || !loaded.agents.is_empty(), "{text}");
    }
    let behavior = blocks(FILES, "example -Z");
    assert_eq!(behavior.len(), 1);
    for text in behavior {
        let (_, log) = moxi::config::load_behavior(Some(&text), &none).unwrap();
        assert_eq!(log, [""; 0], "{text}");
    }
}

/// Every program has a page, and the sessions on the pages of the companions are real ones.
#[test]
fn the_companions_do_what_their_pages_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = fs::read_dir(root.join("src/bin")).unwrap().map(|entry| entry.unwrap().path());
    let mut sessions = 0;
    for program in programs {
        let name = program.file_stem().unwrap().to_str().unwrap().to_owned();
        let page = fs::read_to_string(Path::new(DIRECTORY).join(format!("{name}.1"))).expect(&name);
        let directory = tempfile::tempdir().unwrap();
        let map = directory.path().join("map.json");
        fs::write(&map, blocks(&page, "file map.json").concat()).unwrap();
        for session in blocks(&page, "session") {
            let (command, want) = session.split_once('\n').unwrap();
            let words = command.strip_prefix(&format!("$ {name} map.json ")).expect(command).split(' ');
            let arguments: Vec<OsString> =
                std::iter::once(map.clone().into_os_string()).chain(words.map(OsString::from)).collect();
            let output = match name.as_str() {
                "vbuckettool" => moxi::tools::vbuckettool::run(&arguments, &mut &b""[..]),
                "vbucketkeygen" => moxi::tools::vbucketkeygen::run(&arguments, &mut &b""[..]),
                _ => panic!("how is {name} run?"),
            };
            assert_eq!((String::from_utf8(output.stdout).unwrap().as_str(), output.code), (want, 0), "{command}");
            sessions += 1;
        }
    }
    assert_eq!(sessions, 2);
}

/// All of them.
fn pages() -> Vec<PathBuf> {
    let pages: Vec<PathBuf> = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() >= 4);
    pages
}

/// What a page refers to is there, and the version is that of the program.
#[test]
fn the_manual_pages_belong_together() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let version = concat!("\"moxi ", env!("CARGO_PKG_VERSION"), "\"");
        assert!(text.lines().next().unwrap().contains(version), "{}", page.display());
        for line in text.split(".SH SEE ALSO\n").nth(1).expect("what else to see").lines() {
            let (name, section) =
                line.trim_start_matches(".BR ").trim_end_matches([',', ')']).split_once(" (").unwrap();
            let other = Path::new(DIRECTORY).join(format!("{name}.{section}"));
            assert!(name == "memcached" || other.exists(), "{}: {line}", page.display());
        }
    }
}

#[test]
fn the_manual_pages_are_well_formed() {
    for page in pages() {
        let page = page.to_str().unwrap();
        for (program, arguments) in
            [("mandoc", &["-T", "lint", page][..]), ("man", &["--warnings", "-E", "UTF-8", "-l", page])]
        {
            // Only where it is installed.
            let Ok(output) = Command::new(program).args(arguments).output() else { continue };
            let said = if program == "mandoc" { &output.stdout } else { &output.stderr };
            assert_eq!(String::from_utf8_lossy(said), "", "{program} {page}");
        }
    }
}
