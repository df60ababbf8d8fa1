//! Detaching, pid file, user, limits (01 §13).
//!
//! Everything here runs while the process has one thread.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, User};

use crate::failure::{Failure, GENERAL, NO_USER, SYSTEM, reason};
use crate::log;

/// The child's side of a detached process: it owes the parent a verdict.
///
/// If it is dropped, or the process dies, the parent ends with the child's own exit code.
#[derive(Debug)]
#[must_use = "the parent waits for the verdict"]
pub struct Detached {
    verdict: PipeWriter,
}

/// Goes into the background. Returns in the child; the parent waits for the verdict and exits with it.
///
/// Must be called before any thread is started.
pub fn detach() -> Result<Detached, Failure> {
    let failed = |error: io::Error| {
        Failure::new(GENERAL, format!("failed to daemon() in order to daemonize: {}", reason(&error)))
    };
    let (reader, verdict) = io::pipe().map_err(failed)?;
    match fork::fork().map_err(failed)? {
        fork::Fork::Parent(child) => {
            drop(verdict);
            std::process::exit(await_verdict(reader, child));
        }
        fork::Fork::Child => {
            drop(reader);
            nix::unistd::setsid().map_err(|errno| failed(errno.into()))?;
            Ok(Detached { verdict })
        }
    }
}

fn await_verdict(mut reader: PipeReader, child: i32) -> i32 {
    let mut verdict = [0];
    if matches!(reader.read(&mut verdict), Ok(1)) {
        return 0;
    }
    match waitpid(Pid::from_raw(child), None) {
        Ok(WaitStatus::Exited(_, code)) => code,
        Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
        _ => i32::from(GENERAL),
    }
}

/// The start of a daemon has succeeded, and nobody will watch: unless `keep_directory` the working directory becomes `/`,
/// and unless `keep_stdio` the standard streams become `/dev/null`.
pub fn settle(keep_directory: bool, keep_stdio: bool) {
    if !keep_directory && let Err(error) = std::env::set_current_dir("/") {
        log!(0, "WARNING: cannot change to the root directory: {}", reason(&error));
    }
    if !keep_stdio && let Err(error) = fork::redirect_stdio() {
        log!(0, "WARNING: cannot redirect the standard streams: {}", reason(&error));
    }
}

impl Detached {
    /// Tells the parent that the daemon works.
    pub fn ready(mut self) {
        // A parent that is gone does not need to know.
        let _ = self.verdict.write_all(&[0]);
    }
}

/// The file that holds the process id of a daemon.
///
/// It stays open: who has given up the right to remove it can still empty it, so that it names no process that is not
/// ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    /// What we have written.
    content: String,
    /// Whether it was not there before.
    is_new: bool,
}

impl PidFile {
    /// Opens `path`, as long as there is somebody to tell that it cannot be written: before the process detaches. What
    /// is in it stays for now.
    pub fn open(path: &Path) -> Result<PidFile, Failure> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let opened = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                options.create(true).truncate(false).open(path).map(|file| (file, false))
            }
            opened => opened.map(|file| (file, true)),
        };
        let (file, is_new) = opened.map_err(|error| cannot_write(path, &error))?;
        // A daemon leaves the directory that a relative path starts in.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(PidFile { path, file, content: String::new(), is_new })
    }

    /// The file that another process of ours has open, if it is still the one at `path`; else as [`PidFile::open`].
    ///
    /// # Errors
    /// When there is another file, which cannot be written.
    pub fn inherited(path: &Path, left: Option<(PathBuf, File)>) -> Result<PidFile, Failure> {
        let wanted = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let left = left.filter(|(path, _)| *path == wanted);
        let left = left.map(|(path, file)| PidFile { path, file, content: String::new(), is_new: false });
        left.filter(PidFile::is_here).map_or_else(|| PidFile::open(path), Ok)
    }

    /// Where it is, and the open file: for a process that takes our place.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn share(&self) -> io::Result<(PathBuf, OwnedFd)> {
        Ok((self.path.clone(), self.file.try_clone()?.into()))
    }

    /// Writes the id of this process. To be called before the privileges are dropped: the file may be root's.
    pub fn write(&mut self) -> Result<(), Failure> {
        self.content = format!("{}\n", std::process::id());
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(self.content.as_bytes(), 0));
        written.map_err(|error| cannot_write(&self.path, &error))
    }

    /// Removes the file, or empties it where that is not allowed any more; unless another process has put its own id,
    /// or its own file, there.
    pub fn remove(self) {
        if !self.is_ours() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            match self.file.set_len(0) {
                Ok(()) => log!(0, "cannot remove the pid file {path}: {}; it is empty now", reason(&error)),
                Err(_) => log!(0, "cannot remove the pid file {path}: {}", reason(&error)),
            }
        }
    }

    /// Whether the file at the path is still this one.
    fn is_here(&self) -> bool {
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
            // A directory that we may not look into any more.
            (Err(error), Ok(_)) => error.kind() == io::ErrorKind::PermissionDenied,
            (_, Err(_)) => false,
        }
    }

    fn is_ours(&self) -> bool {
        let is_here = self.is_here();
        if self.content.is_empty() {
            return is_here && self.is_new;
        }
        // One byte more than we have written, to see that there is no more.
        let mut found = vec![0; self.content.len() + 1];
        let length = self.file.read_at(&mut found, 0).unwrap_or(0);
        is_here && found.get(..length) == Some(self.content.as_bytes())
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let (path, why) = (path.display(), reason(error));
    Failure::new(GENERAL, format!("Could not open the pid file {path} for writing: {why}"))
}

/// The user to become, looked up early so that a wrong name is found before anything was done.
///
/// `None` if there is nothing to change: only root can become somebody else.
pub fn find_user(name: &str) -> Result<Option<User>, Failure> {
    if !Uid::current().is_root() && !Uid::effective().is_root() {
        return Ok(None);
    }
    user(name).map(Some)
}

/// The user of this name.
pub fn user(name: &str) -> Result<User, Failure> {
    let found = User::from_name(name).ok().flatten();
    found.ok_or_else(|| Failure::new(NO_USER, format!("can't find the user {name} to switch to")))
}

/// Becomes `user`, with the groups of `user` and no others.
pub fn become_user(user: &User) -> Result<(), Failure> {
    let switch = || -> nix::Result<()> {
        let name = CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
        nix::unistd::initgroups(&name, user.gid)?;
        nix::unistd::setgid(user.gid)?;
        nix::unistd::setuid(user.uid)
    };
    // In a container without the right to change groups, root may still "become" root.
    let already = user.uid == Uid::current()
        && user.uid == Uid::effective()
        && user.gid == Gid::current()
        && user.gid == Gid::effective();
    switch().or_else(|errno| {
        let (name, why) = (&user.name, errno.desc());
        if already {
            log!(1, "cannot become the user {name}: {why}");
            return Ok(());
        }
        Err(Failure::new(SYSTEM, format!("failed to assume identity of user {name}: {why}")))
    })
}

/// Raises the limit of open files to `wanted`. A higher limit is left alone.
pub fn raise_open_files(wanted: u64) -> Result<(), Failure> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|_| Failure::new(SYSTEM, "failed to getrlimit number of files"))?;
    let Some((soft, hard)) = raised(soft, hard, wanted) else {
        return Ok(());
    };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(|errno| {
        let why = errno.desc();
        Failure::new(
            SYSTEM,
            format!(
                "failed to set rlimit for open files. Try running as root or requesting smaller maxconns value. \
                 (-c {wanted}: {why})"
            ),
        )
    })
}

/// The limits to set, or `None` if `soft` is enough. "Infinity" is the largest number.
fn raised(soft: u64, hard: u64, wanted: u64) -> Option<(u64, u64)> {
    (soft < wanted).then(|| (wanted, hard.max(wanted)))
}

/// Allows core files of any size, or of the size that the hard limit allows.
pub fn allow_core_files() -> Result<(), Failure> {
    if setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).is_err()
        && let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE)
    {
        // Whether it worked is what counts, and looked at next.
        let _ = setrlimit(Resource::RLIMIT_CORE, hard, hard);
    }
    match getrlimit(Resource::RLIMIT_CORE) {
        Ok((soft, _)) if soft > 0 => Ok(()),
        _ => Err(Failure::new(SYSTEM, "failed to ensure corefile creation (-r)")),
    }
}

/// Locks all memory. Failure is only logged.
pub fn lock_memory() {
    use nix::sys::mman::{MlockAllFlags, mlockall};
    if let Err(errno) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        log!(0, "warning: -k invalid, mlockall() failed: {}", errno.desc());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_raised_and_never_lowered() {
        assert_eq!(raised(256, 4096, 1024), Some((1024, 4096)));
        assert_eq!(raised(256, 512, 1024), Some((1024, 1024)));
        assert_eq!(raised(1024, 4096, 1024), None);
        assert_eq!(raised(RLIM_INFINITY, RLIM_INFINITY, 1024), None);
    }

    #[test]
    fn a_pid_file_of_another_process_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let write = || {
            let mut file = PidFile::open(&path).unwrap();
            file.write().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
            file
        };
        write().remove();
        assert!(!path.exists());

        // Another process writes its id into it, or more, or puts a file in its place.
        for other in ["1\n".to_owned(), format!("{}\n1\n", std::process::id())] {
            let file = write();
            fs::write(&path, &other).unwrap();
            file.remove();
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        let file = write();
        let other = directory.path().join("other");
        fs::copy(&path, &other).unwrap();
        fs::rename(&other, &path).unwrap();
        file.remove();
        assert!(path.exists());
    }

    #[test]
    fn a_start_that_fails_leaves_the_pid_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        PidFile::open(&path).unwrap().remove();
        assert!(!path.exists());
        fs::write(&path, "12345\n").unwrap();
        PidFile::open(&path).unwrap().remove();
        assert_eq!(fs::read_to_string(&path).unwrap(), "12345\n");
        let failure = PidFile::open(Path::new("/nonexistent/pid")).unwrap_err();
        let message = "Could not open the pid file /nonexistent/pid for writing: No such file or directory";
        assert_eq!(failure, Failure::new(GENERAL, message));
    }

    #[test]
    fn a_pid_file_that_cannot_be_removed_is_emptied() {
        if Uid::effective().is_root() {
            return; // root can
        }
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut file = PidFile::open(&path).unwrap();
        file.write().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
        file.remove();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
