//! Programs that are started, and what the system says about them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take until it accepts connections, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the program that counts system calls takes until it counts.
const ATTACH: Duration = Duration::from_millis(300);

/// A program that was started here. It is ended when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, its output going to the file `log`, and waits until `is_up`: it accepts connections.
    ///
    /// # Errors
    /// When it cannot be started or does not listen; the text has what it wrote.
    pub fn start(command: &[String], is_up: &dyn Fn() -> bool, log: &Path) -> Result<Process, String> {
        let (name, arguments) = command.split_first().ok_or("an empty command line")?;
        let file = File::create(log).map_err(|error| error.to_string())?;
        let again = file.try_clone().map_err(|error| error.to_string())?;
        let child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut process = Process { child };
        let limit = Instant::now() + PATIENCE;
        while !is_up() {
            let has_ended = process.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || Instant::now() >= limit {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} does not listen: {}", command.join(" "), said.trim()));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    /// The CPU time that it has used, user and system together.
    pub fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }

    /// How much of its memory is resident, in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Begins to count its system calls.
    ///
    /// # Errors
    /// When no program that can do so is here, or it may not.
    pub fn count_calls(&self, counter: Counter, out: &Path) -> io::Result<Counting> {
        let mut command = match counter {
            Counter::Perf => Command::new("perf"),
            Counter::Strace => Command::new("strace"),
        };
        match counter {
            Counter::Perf => command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"]),
            Counter::Strace => command.args(["-c", "-f", "-q"]),
        };
        command.arg("-p").arg(self.child.id().to_string()).arg("-o").arg(out);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        sleep(ATTACH);
        Ok(Counting { child, counter, out: out.to_owned() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child, Signal::SIGTERM);
    }
}

/// Asks a program to end, and makes it end if it does not.
fn end(child: &mut Child, signal: Signal) {
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(id), signal);
    }
    let limit = Instant::now() + PATIENCE;
    while child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < limit {
        sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The CPU time of process `id`: of all its threads, in nanoseconds where the system accounts so.
pub fn cpu(id: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let times: Option<Vec<u64>> = tasks
        .map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        })
        .collect();
    match times {
        Some(times) if times.iter().any(|time| *time > 0) => Duration::from_nanos(times.iter().sum()),
        _ => ticks(id).unwrap_or_default(),
    }
}

/// The same in hundredths of a second, from the fields utime and stime of proc(5).
fn ticks(id: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

/// What system calls are counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// A kernel counter; it does not slow the program down.
    Perf,
    /// Slows the program down, so that more of its requests come together than otherwise.
    Strace,
}

impl Counter {
    /// The best one that works here.
    pub fn find() -> Option<Counter> {
        let works = |command: &[&str]| {
            Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if works(&["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"]) {
            Some(Counter::Perf)
        } else if works(&["strace", "-c", "true"]) {
            Some(Counter::Strace)
        } else {
            None
        }
    }
}

/// Counts the system calls of a program.
#[derive(Debug)]
pub struct Counting {
    child: Child,
    counter: Counter,
    out: PathBuf,
}

impl Counting {
    /// Ends counting.
    pub fn finish(mut self) -> Option<u64> {
        end(&mut self.child, Signal::SIGINT);
        let text = fs::read_to_string(&self.out).ok()?;
        match self.counter {
            Counter::Perf => text.lines().find(|line| line.contains("sys_enter"))?.split(',').next()?.parse().ok(),
            Counter::Strace => {
                let total = text.lines().find(|line| line.ends_with("total"))?;
                total.split_whitespace().filter_map(|word| word.parse().ok()).next()
            }
        }
    }
}

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
