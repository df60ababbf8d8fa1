//! A child process that is always stopped.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// How long a child may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running child: stopped when dropped. What it wrote on standard error is printed when a test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    stopped: bool,
    farewell: Signal,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Process {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|mut pipe| {
            let stderr = Arc::clone(&stderr);
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                    stderr.lock().expect("reader of stderr").extend_from_slice(&chunk[..count]);
                }
            })
        });
        Process { name, child, stderr, reader, stopped: false, farewell: Signal::SIGINT }
    }

    /// The signal that ends it when it is dropped, instead of SIGINT.
    pub fn end_with(mut self, signal: Signal) -> Process {
        self.farewell = signal;
        self
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// What it has written on standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().expect("reader of stderr")).into_owned()
    }

    /// The same without the lines that tell of a start, a stop, or a new configuration.
    pub fn complaints(&self) -> String {
        self.stderr().split_inclusive('\n').filter(|line| !is_milestone(line)).collect()
    }

    /// The exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("waiting for a child")
    }

    /// Sends `signal`. After SIGSTOP, waits until all threads have stopped: one that runs on another processor may go
    /// on for a moment.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("pid");
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{}: {signal}: {error}", self.name));
        if signal == Signal::SIGSTOP {
            wait_for("all threads to stop", || self.all_threads_stopped());
        }
    }

    fn all_threads_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("threads");
        tasks.flatten().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Asks it to end with `signal` and waits; a child that does not obey is killed, and the test fails.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.stopped = true;
        if let Some(status) = self.ended() {
            return status;
        }
        self.signal(signal);
        let limit = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if Instant::now() > limit {
                self.kill();
                if thread::panicking() {
                    return self.child.wait().expect("waiting for a killed child");
                }
                panic!("{} did not end on {signal}; stderr:\n{}", self.name, self.stderr());
            }
            // There is nothing to wait on that has a limit.
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it at once, as a crash or a pulled plug would.
    pub fn kill(&mut self) {
        self.stopped = true;
        // It may have ended by itself in this moment.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a line of moxi's log tells of a start, a stop, or a new configuration.
pub fn is_milestone(line: &str) -> bool {
    let events = [") moxi 7.0.0 started: ", ") moxi 7.0.0 stopped: ", ") configuration from "];
    events.iter().any(|words| line.contains(words))
}

impl Drop for Process {
    fn drop(&mut self) {
        let died = if self.stopped { None } else { self.ended() };
        if died.is_none() && !self.stopped {
            self.stop(self.farewell);
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("--- stderr of {} ({died:?}):\n{}---", self.name, self.stderr());
        } else if let Some(status) = died {
            panic!("{} died: {status}; stderr:\n{}", self.name, self.stderr());
        }
    }
}
