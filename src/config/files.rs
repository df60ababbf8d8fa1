//! Option texts that name a file: those beginning with `.` or `/` (05 §2.5).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::reason;

/// How many files may name each other, one after the other.
const DEEPEST: usize = 8;

/// A text that was given, or what the file says that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text, trimmed.
    pub text: String,
    /// The file that it stands in, as written.
    pub file: Option<String>,
}

impl Text {
    /// Without the lines of a file whose first character is `#`; the others keep their numbers.
    pub fn without_comments(mut self) -> Text {
        if self.file.is_some() {
            let lines = self.text.split('\n').map(|line| if line.trim_start().starts_with('#') { "" } else { line });
            self.text = lines.collect::<Vec<_>>().join("\n");
        }
        self
    }
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path as written.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A file that is read again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path as written.
    text: String,
    /// Where relative paths begin.
    base: PathBuf,
}

impl Source {
    /// The file that an option text names, if it names one.
    pub fn new(text: &str, base: &Path) -> Option<Source> {
        let text = text.trim();
        is_path(text).then(|| Source { text: text.to_owned(), base: base.to_owned() })
    }

    /// What it says now.
    ///
    /// # Errors
    /// As for [`substitute`].
    pub fn read(&self) -> Result<Text, Unreadable> {
        substitute(&self.text, &self.base)
    }
}

impl fmt::Display for Source {
    /// The absolute path, which holds in every directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.base.join(&self.text);
        std::path::absolute(&path).unwrap_or(path).display().fmt(f)
    }
}

/// `text` itself, or the contents of the file it names. A file may name another one. Relative paths begin at `base`,
/// in files, too: the program may have changed its directory since they were read first.
///
/// # Errors
/// When a file cannot be read, or is not a plain file with at least one byte of UTF-8 text.
pub fn substitute(text: &str, base: &Path) -> Result<Text, Unreadable> {
    let mut text = Text { text: text.trim().to_owned(), file: None };
    for _ in 0..DEEPEST {
        if !is_path(&text.text) {
            return Ok(text);
        }
        let path = text.text;
        match read(&base.join(&path)) {
            Ok(contents) => text = Text { text: contents.trim().to_owned(), file: Some(path) },
            Err(reason) => return Err(Unreadable { path, reason }),
        }
    }
    Err(Unreadable { path: text.text, reason: "too many files that name each other".to_owned() })
}

/// Whether a trimmed text names a file.
pub fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/'])
}

/// Where relative paths begin: the current directory. Where that has no name, paths stay as they are.
pub fn base() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

fn read(path: &Path) -> Result<String, String> {
    let system = |error: io::Error| reason(&error);
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(system)?.is_file() {
        return Err("not a plain file".to_owned());
    }
    let contents = fs::read(path).map_err(system)?;
    if contents.is_empty() {
        return Err("it is empty".to_owned());
    }
    String::from_utf8(contents).map_err(|_| "not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(option: &str) -> (String, Option<String>) {
        let Text { text, file } = substitute(option, Path::new("")).unwrap();
        (text, file)
    }

    #[test]
    fn plain_text_is_itself() {
        assert_eq!(text(" a=b\n"), ("a=b".into(), None));
        assert_eq!(text("conf/x.cfg"), ("conf/x.cfg".into(), None));
    }

    #[test]
    fn comments_are_lines_of_files() {
        let text = |text: &str, file: Option<&str>| Text { text: text.into(), file: file.map(Into::into) };
        let commented = "# 1=a;\n11211=x # no comment\n  # another, with = in it\n;11311=y";
        let plain = "\n11211=x # no comment\n\n;11311=y";
        assert_eq!(text(commented, Some("f")).without_comments(), text(plain, Some("f")));
        assert_eq!(text(commented, None).without_comments(), text(commented, None));
    }

    #[test]
    fn files_and_files_that_name_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("a"), "\n11211=x\n").unwrap();
        fs::write(path("b"), path("a")).unwrap();
        fs::write(path("relative"), "./a\n").unwrap();
        fs::write(path("empty"), "").unwrap();
        fs::write(path("binary"), b"\xff\xfe").unwrap();
        fs::write(path("loop"), path("loop")).unwrap();
        assert_eq!(text(&path("a")), ("11211=x".into(), Some(path("a"))));
        assert_eq!(text(&path("b")), ("11211=x".into(), Some(path("a"))));
        let relative = substitute("./relative", dir.path()).unwrap();
        assert_eq!(relative, Text { text: "11211=x".into(), file: Some("./a".into()) });
        for (bad, reason) in [
            ("missing", "No such file or directory"),
            ("empty", "it is empty"),
            ("binary", "not UTF-8 text"),
            ("loop", "too many files that name each other"),
            (".", "not a plain file"),
            ("a/b", "Not a directory"),
        ] {
            let want = Unreadable { path: path(bad), reason: reason.to_owned() };
            assert_eq!(substitute(&path(bad), Path::new("")), Err(want), "{bad}");
        }
        let null = substitute("/dev/null", Path::new("")).unwrap_err();
        assert_eq!((null.path.as_str(), null.reason.as_str()), ("/dev/null", "not a plain file"));
    }

    #[test]
    fn a_source_holds_in_every_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.cfg"), "1=a").unwrap();
        fs::write(dir.path().join("b.cfg"), "./a.cfg").unwrap();
        let source = Source::new(" ./b.cfg\n", dir.path()).unwrap();
        assert_eq!(source.read().unwrap().text, "1=a");
        assert_eq!(source.to_string(), dir.path().join("b.cfg").display().to_string());
        assert_eq!(Source::new("/a/b.cfg", dir.path()).unwrap().to_string(), "/a/b.cfg");
        assert_eq!(Source::new("11211=a", dir.path()), None);
    }
}
