//! What is to be started in place of this process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::VARIABLE;

/// What the kernel shows behind the path of a program whose file has been removed.
const DELETED: &[u8] = b" (deleted)";

/// A program on disk, and how it was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Its words, the first one its name.
    words: Vec<OsString>,
    directory: PathBuf,
}

impl Program {
    /// This process's. To be called at the start, when the file is still the one that runs, and the directory the one
    /// that relative paths begin in.
    ///
    /// # Errors
    /// When the system does not tell where the program or the directory is.
    pub fn of_this_process() -> io::Result<Program> {
        let words: Vec<OsString> = env::args_os().collect();
        let directory = env::current_dir()?;
        let running = fs::read_link("/proc/self/exe").map(without_mark);
        let named = words.first().and_then(|name| named(name, &directory));
        // By its name if that leads to the same file: a link on the way may lead to another version later.
        let path = match (running, named) {
            (Ok(running), Some(named)) if is_same(&running, &named) => named,
            (Ok(running), _) => running,
            (Err(_), Some(named)) => named,
            (Err(error), None) => return Err(error),
        };
        Ok(Program { path, words, directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it, with `channel` as its standard input.
    pub(super) fn start(&self, channel: OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        if let Some((name, arguments)) = self.words.split_first() {
            command.arg0(name).args(arguments);
        }
        // Those of systemd come with the others.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        command.env(VARIABLE, std::process::id().to_string()).current_dir(&self.directory);
        command.stdin(Stdio::from(channel)).spawn()
    }
}

/// Where `name`, the first word of a command line, leads as a shell has it.
fn named(name: &OsStr, directory: &Path) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(directory.join(name));
    }
    let path = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&path).map(|folder| directory.join(folder).join(name));
    candidates.find(|candidate| candidate.is_file())
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(bare) if !path.exists() => PathBuf::from(OsString::from_vec(bare.to_vec())),
        _ => path,
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_name_leads() {
        let here = Path::new("/srv/moxi");
        assert_eq!(named(OsStr::new("/usr/bin/moxi"), here), Some("/usr/bin/moxi".into()));
        assert_eq!(named(OsStr::new("bin/moxi"), here), Some("/srv/moxi/bin/moxi".into()));
        assert!(named(OsStr::new("sh"), here).is_some_and(|path| path.ends_with("sh") && path.is_absolute()));
        assert_eq!(named(OsStr::new("there-is-no-such-program"), here), None);
    }

    #[test]
    fn the_mark_of_a_removed_file_is_no_part_of_its_path() {
        assert_eq!(without_mark("/nonexistent/moxi (deleted)".into()), Path::new("/nonexistent/moxi"));
        assert_eq!(without_mark("/nonexistent/moxi".into()), Path::new("/nonexistent/moxi"));
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("moxi (deleted)");
        fs::write(&odd, "").unwrap();
        assert_eq!(without_mark(odd.clone()), odd);
    }

    #[test]
    fn this_process() {
        let program = Program::of_this_process().unwrap();
        assert!(is_same(program.path(), Path::new("/proc/self/exe")));
    }
}
