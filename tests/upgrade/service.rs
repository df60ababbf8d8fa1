//! A moxi that outlives its processes, and what takes their place.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::launch::{self, Daemon, content, wait_for};
use moxi_test_support::{Wire, wait_to_get};

/// A moxi that outlives its processes.
pub struct Service {
    /// Its log, and whatever a test wants to put there.
    directory: tempfile::TempDir,
    first: Child,
    /// The process that serves.
    current: Daemon,
}

impl Service {
    /// Starts the program with these arguments on 127.0.0.1 and waits until it has started.
    pub fn start(arguments: &[&str]) -> Service {
        Service::start_in(tempfile::tempdir().expect("a directory"), arguments)
    }

    /// The same, with this directory.
    pub fn start_in(directory: tempfile::TempDir, arguments: &[&str]) -> Service {
        Service::start_as(directory, &mut launch::moxi(arguments))
    }

    /// The same for a command whose last words are moxi's.
    pub fn start_as(directory: tempfile::TempDir, command: &mut Command) -> Service {
        Service::start_with(directory, command, Stdio::null())
    }

    /// The same with this standard output.
    pub fn start_with(directory: tempfile::TempDir, command: &mut Command, stdout: Stdio) -> Service {
        let log = directory.path().join("log");
        command.args([OsStr::new("-l"), OsStr::new("127.0.0.1"), OsStr::new("-O"), log.as_os_str()]);
        let first = command.stdout(stdout).stderr(Stdio::null()).spawn().expect("it starts");
        let current = Daemon { id: first.id() };
        let service = Service { directory, first, current };
        service.wait_to_log("started: ");
        service
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        content(&self.path("log"))
    }

    /// Waits until it has logged this.
    pub fn wait_to_log(&self, words: &str) {
        wait_for(words, || self.log().contains(words));
    }

    /// The process that serves.
    pub fn current(&self) -> &Daemon {
        &self.current
    }

    /// Has another process take over, and waits until it has. The result is the one of before, which may live.
    pub fn upgrade(&mut self) -> Daemon {
        self.current.signal("USR2");
        self.wait_upgraded()
    }

    /// Waits until another process has taken over. The result is the one of before.
    pub fn wait_upgraded(&mut self) -> Daemon {
        self.wait_to_log(&format!("; in place of process {}\n", self.current.id));
        let log = self.log();
        let line = log.lines().rev().find(|line| line.ends_with(" takes over")).expect("it is told");
        let id = line.split(' ').rev().nth(2).and_then(|id| id.parse().ok()).expect("a process");
        std::mem::replace(&mut self.current, Daemon { id })
    }

    /// The process that was started by SIGUSR2, and of which nothing has become yet.
    pub fn successor(&self) -> Daemon {
        let id = wait_to_get("a process", || {
            let log = self.log();
            let is_about_one = |line: &&str| ["take over", "takes over"].iter().any(|words| line.contains(words));
            let line = log.lines().rev().find(is_about_one)?.strip_suffix(", to take over")?;
            line.split("process ").nth(1)?.split(' ').next()?.parse().ok()
        });
        Daemon { id }
    }

    /// Ends it, and waits.
    pub fn stop(&mut self) {
        self.current.signal("TERM");
        self.wait_gone();
    }

    /// Waits for its end.
    pub fn wait_gone(&mut self) {
        self.current.wait_gone();
    }

    /// Waits until the process that was started first has ended, and tells its exit code.
    pub fn first_code(&mut self) -> Option<i32> {
        wait_to_get("the end of the first process", || self.first.try_wait().expect("a child")).code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log:\n{}---", self.log());
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
        // Those that a test has not come to know.
        let log = self.path("log");
        for id in self.log().lines().filter_map(|line| line.split("process ").nth(1)?.split(' ').next()?.parse().ok()) {
            let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            if words.split(|byte| *byte == 0).any(|word| word == log.as_os_str().as_encoded_bytes()) {
                launch::signal(id, "KILL");
            }
        }
    }
}

/// A copy of the program at a path of its own.
pub fn copy(directory: &Path) -> PathBuf {
    let path = directory.join("moxi");
    write_by(Command::new("cp").arg(env!("CARGO_BIN_EXE_moxi")).arg(&path));
    path
}

/// Puts a script in the place of a program, in one step.
pub fn replace(program: &Path, script: &str) {
    let draft = program.with_extension("new");
    write_by(Command::new("sh").args(["-c", "printf %s \"$0\" >\"$1\" && chmod 755 \"$1\"", script]).arg(&draft));
    fs::rename(draft, program).expect("replaced");
}

/// Has another process write a program: as long as this one had the file open to write, so could the children that other
/// tests start, and then it cannot be run.
fn write_by(command: &mut Command) {
    assert!(command.status().expect("it starts").success());
}

/// The process that serves a client; `stats` is what tells, and `name` what it calls it.
pub fn served_by(client: &mut Wire, stats: &str, name: &str) -> u32 {
    client.send(format!("{stats}\r\n"));
    let mut found = None;
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if let Some(id) = line.strip_prefix(&format!("STAT {name} ")) {
            found = id.trim_end().parse().ok();
        }
        if line == "END\r\n" {
            return found.expect("a process");
        }
    }
}
