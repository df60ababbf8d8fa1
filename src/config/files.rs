//! Option texts that name a file: those beginning with `.` or `/` (05 §2.5).

use std::borrow::Cow;
use std::fs;

/// How many files may name each other, one after the other.
const DEEPEST: usize = 8;

/// `text` itself, trimmed, or the contents of the file it names. A file may name another one.
///
/// The error is the path that could not be read: a plain file with at least one byte of UTF-8 text is wanted.
pub fn substitute(text: &str) -> Result<Cow<'_, str>, String> {
    let mut text = Cow::Borrowed(text.trim());
    for _ in 0..DEEPEST {
        if !text.starts_with(['.', '/']) {
            return Ok(text);
        }
        let contents = read(&text).ok_or_else(|| text.to_string())?;
        text = Cow::Owned(contents.trim().to_owned());
    }
    Err(text.into_owned())
}

/// The file that an option text names, to be found later from another current directory, too.
pub fn absolute(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with(['.', '/']) {
        return None;
    }
    std::path::absolute(text).ok()?.into_os_string().into_string().ok()
}

fn read(path: &str) -> Option<String> {
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    fs::read_to_string(path).ok().filter(|contents| !contents.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_itself() {
        assert_eq!(substitute(" a=b\n").unwrap(), "a=b");
        assert_eq!(substitute("conf/x.cfg").unwrap(), "conf/x.cfg");
    }

    #[test]
    fn files_and_files_that_name_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("a"), "\n11211=x\n").unwrap();
        fs::write(path("b"), path("a")).unwrap();
        fs::write(path("empty"), "").unwrap();
        fs::write(path("binary"), b"\xff\xfe").unwrap();
        fs::write(path("loop"), path("loop")).unwrap();
        assert_eq!(substitute(&path("a")).unwrap(), "11211=x");
        assert_eq!(substitute(&path("b")).unwrap(), "11211=x");
        for bad in ["missing", "empty", "binary", "loop", "."] {
            assert_eq!(substitute(&path(bad)).unwrap_err(), path(bad));
        }
        assert_eq!(substitute("/dev/null").unwrap_err(), "/dev/null");
    }

    #[test]
    fn paths_that_hold_everywhere() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(" ./a.cfg\n").map(Into::into), Some(here.join("a.cfg")));
        assert_eq!(absolute("/a/b.cfg").as_deref(), Some("/a/b.cfg"));
        assert_eq!(absolute("11211=a"), None);
    }
}
