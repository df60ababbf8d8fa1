//! Detaching, pid file, user, limits (01 §13).
//!
//! Everything here runs while the process has one thread.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, User};

use crate::failure::{Failure, GENERAL, NO_USER, SYSTEM};
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
        log!(1, "cannot detach: {error}");
        Failure::new(GENERAL, "failed to daemon() in order to daemonize")
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

impl Detached {
    /// Tells the parent that the daemon works. From here on nobody watches: unless `keep_directory` the
    /// working directory becomes `/`, and unless `keep_stdio` the standard streams become `/dev/null`.
    pub fn ready(mut self, keep_directory: bool, keep_stdio: bool) {
        if !keep_directory && let Err(error) = std::env::set_current_dir("/") {
            log!(0, "WARNING: cannot change to the root directory: {error}");
        }
        if !keep_stdio && let Err(error) = fork::redirect_stdio() {
            log!(0, "WARNING: cannot redirect the standard streams: {error}");
        }
        // A parent that is gone does not need to know.
        let _ = self.verdict.write_all(&[0]);
    }
}

/// The file that holds the process id of a daemon.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Writes the id of this process to `path`. Failure is only logged. To be called before the privileges
    /// are dropped, so that the file may be in a directory of root's.
    pub fn write(path: &Path) -> Option<PidFile> {
        let content = format!("{}\n", std::process::id());
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .and_then(|mut file: File| file.write_all(content.as_bytes()));
        match written {
            Ok(()) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
                Some(PidFile { path, content })
            }
            Err(error) => {
                log!(0, "Could not open the pid file {} for writing: {error}", path.display());
                None
            }
        }
    }

    /// Removes the file, unless another process has put its own id there.
    pub fn remove(self) {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.content)
            && let Err(error) = fs::remove_file(&self.path)
        {
            // Normal when the directory belongs to root and we do not any more.
            log!(1, "cannot remove the pid file {}: {error}", self.path.display());
        }
    }
}

/// The user to become, looked up early so that a wrong name is found before anything was done.
///
/// `None` if there is nothing to change: only root can become somebody else.
pub fn find_user(name: &str) -> Result<Option<User>, Failure> {
    if !Uid::current().is_root() && !Uid::effective().is_root() {
        return Ok(None);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some(user)),
        _ => Err(Failure::new(NO_USER, format!("can't find the user {name} to switch to"))),
    }
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
        log!(1, "cannot become the user {}: {}", user.name, errno.desc());
        if already {
            return Ok(());
        }
        let name = &user.name;
        Err(Failure::new(SYSTEM, format!("failed to assume identity of user {name}")))
    })
}

/// Raises the limit of open files to `wanted`. A higher limit is left alone.
pub fn raise_open_files(wanted: u64) -> Result<(), Failure> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|_| Failure::new(SYSTEM, "failed to getrlimit number of files"))?;
    let Some((soft, hard)) = raised(soft, hard, wanted) else {
        return Ok(());
    };
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(|_| {
        Failure::new(
            SYSTEM,
            "failed to set rlimit for open files. Try running as root or requesting smaller \
             maxconns value.",
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
        _ => Err(Failure::new(SYSTEM, "failed to ensure corefile creation")),
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
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        file.remove();
        assert!(!path.exists());

        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove();
        assert!(path.exists());
        assert!(PidFile::write(&directory.path().join("no/such/pid")).is_none());
    }
}
