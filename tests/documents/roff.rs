//! From the tables' texts to the language of manual pages.
//!
//! The notation: paragraphs are separated by an empty line, `` `words` `` are set in bold, lines that begin with a tab
//! stay as they are.

use std::fmt::Write as _;

use moxi::cli::flags::Flag;
use moxi::config::behavior::{Key, Unit};

/// Longest line of a page's source.
const WIDTH: usize = 78;

/// The entry of a flag, and of each of its further spellings.
pub fn flag(flag: &Flag) -> String {
    let letter = flag.short().map(|letter| format!("\\-{letter}"));
    let name = flag.name.map(|name| format!("\\-\\-{}", hyphens(name)));
    let form = letter.into_iter().chain(name).collect::<Vec<_>>().join(" \", \" ");
    let mut page = ".TP\n".to_owned();
    let _ = match flag.argument() {
        Some((argument, true)) => writeln!(page, ".BI {form} \" {argument}\""),
        Some((argument, false)) => writeln!(page, ".BR {form} [=\\fI{argument}\\fR]"),
        _ if form.contains(' ') => writeln!(page, ".BR {form}"),
        _ => writeln!(page, ".B {form}"),
    };
    let mut words = sentence(flag.help);
    if !flag.default.is_empty() {
        let _ = write!(words, " The default is {}.", flag.default);
    }
    let words = join(&words, flag.more);
    page.push_str(&body(&join(&words, if flag.deprecated { "Deprecated." } else { "" })));
    for (form, help) in flag.also {
        let _ = write!(page, ".TP\n.B {}\n{}", hyphens(form), body(&sentence(help)));
    }
    page
}

/// The entry of a key.
pub fn key(key: &Key) -> String {
    let default = key.default_text();
    let default = if default.contains(' ') { format!("\\fR\"{default}\"") } else { hyphens(&default) };
    let mut words = key.help.to_owned();
    // Milliseconds go without saying.
    if key.unit == Unit::Bytes {
        words.push_str(" In bytes.");
    }
    let mut more = key.more.to_owned();
    if let [names @ .., last] = key.synonyms {
        let names: String = names.iter().map(|name| format!("`{name}`, ")).collect();
        more = join(&more, &format!("Also {names}`{last}`."));
    }
    format!(".TP\n.BR {} ={default}\n{}", key.name, body(&join(&words, &more)))
}

/// A text of `-h` as a sentence.
fn sentence(words: &str) -> String {
    let mut rest = words.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).chain(['.']).collect()
}

fn join(first: &str, second: &str) -> String {
    [first, second].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The paragraphs of an entry; each sentence begins a line.
pub fn body(text: &str) -> String {
    let mut page = String::new();
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            page.push_str(".IP\n");
        }
        if paragraph.starts_with('\t') {
            let lines: String = paragraph.lines().map(|line| guarded(&hyphens(line.trim_start())) + "\n").collect();
            let _ = write!(page, ".nf\n{lines}.fi\n");
        } else {
            for line in paragraph.replace(". ", ".\n").lines().flat_map(|line| wrapped(&bold(line))) {
                page.push_str(&(guarded(&line) + "\n"));
            }
        }
    }
    page
}

/// Lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line that begins with what would make it a command of the language does so no longer.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// Backquotes to bold. Outside, hyphens stay hyphens, except in what is to be typed.
fn bold(line: &str) -> String {
    let mut out = String::new();
    for (number, part) in line.split('`').enumerate() {
        if number % 2 == 1 {
            let _ = write!(out, "\\fB{}\\fP", hyphens(part));
            continue;
        }
        let words = part.split(' ').map(|word| {
            let is_typed = word.starts_with(['-', '(']) || word.contains([':', '=', '_', '/']);
            if is_typed || word.starts_with("memcached-") || word.starts_with("membase-") {
                hyphens(word)
            } else {
                word.replace('\\', "\\e")
            }
        });
        out.push_str(&words.collect::<Vec<_>>().join(" "));
    }
    out
}

/// For what is typed: a hyphen is the character of that name, whatever the output can show.
fn hyphens(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[test]
fn the_notation() {
    let page = body("See `-d`. Not-typed, -1, a_b-c.\n\n\tA:x get k-1\n\t.B\n\n'Twas. `.x` too");
    let want = "See \\fB\\-d\\fP.\nNot-typed, \\-1, a_b\\-c.\n.IP\n.nf\nA:x get k\\-1\n\\&.B\n.fi\n.IP\n\\&'Twas.\n\
                \\fB.x\\fP too\n";
    assert_eq!(page, want);
    assert_eq!(sentence("a word"), "A word.");
}
