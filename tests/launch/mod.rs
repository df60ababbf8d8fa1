//! Starts the built program and watches it from outside.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

pub use moxi_test_support::process::is_milestone;
pub use moxi_test_support::wait_for;

use moxi_test_support::ports::Port;
use moxi_test_support::wait_to_get;

/// A run that has ended.
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Finished {
    /// What is on standard error besides the lines of a start, a stop, or a new configuration.
    pub fn complaints(&self) -> String {
        self.stderr.split_inclusive('\n').filter(|line| !is_milestone(line)).collect()
    }
}

/// A command for the program, with nothing inherited that could change its behaviour.
pub fn moxi(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxi"));
    command.args(arguments).stdin(Stdio::null()).env("TZ", "UTC");
    for name in ["MOXI_SASL_PLAIN_USR", "MOXI_SASL_PLAIN_PWD", "MEMCACHED_PORT_FILENAME", "NOTIFY_SOCKET", "LISTEN_PID"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Finished {
    finish(&mut moxi(arguments))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    Running::start(command).finish()
}

/// A program that runs; it is killed when the test ends before it.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts a command with its output captured.
    pub fn start(command: &mut Command) -> Running {
        Running::start_on(command, Stdio::piped())
    }

    /// The same with another standard output, such as a terminal.
    pub fn start_on(command: &mut Command, stdout: impl Into<Stdio>) -> Running {
        let child = command.stdout(stdout).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("captured"));
        Running { child, stderr }
    }

    /// Starts the program and waits until it serves `port`.
    pub fn listening(port: u16, arguments: &[&str]) -> Running {
        let running = Running::start(&mut moxi(arguments));
        connect(port);
        running.wait_started();
        running
    }

    /// Waits until it has its signal handlers: they are there before the threads.
    pub fn wait_started(&self) {
        let tasks = format!("/proc/{}/task", self.id());
        wait_for("the threads", || fs::read_dir(&tasks).expect("it lives").count() > 1);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Writes to its standard input, which must be a pipe.
    pub fn input(&mut self, bytes: &[u8]) {
        let mut stdin = self.child.stdin.take().expect("a pipe");
        stdin.write_all(bytes).expect("it reads");
        self.child.stdin = Some(stdin);
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// The next line of its standard error.
    pub fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("text");
        line
    }

    /// The next line of its standard error that is no [`is_milestone`].
    pub fn complaint(&mut self) -> String {
        loop {
            let line = self.error_line();
            if !is_milestone(&line) {
                return line;
            }
        }
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let status = self.wait();
        let mut finished = Finished { code: status.code(), stdout: String::new(), stderr: String::new() };
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut finished.stdout).expect("text");
        }
        self.stderr.read_to_string(&mut finished.stderr).expect("text");
        finished
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    fn wait(&mut self) -> ExitStatus {
        wait_to_get("the end of the program", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon, known by its pid file; it is stopped when the test ends.
pub struct Daemon {
    /// Its process id.
    pub id: u32,
}

impl Daemon {
    /// The daemon that has written `pid_file`.
    pub fn of(pid_file: &Path) -> Daemon {
        let text = fs::read_to_string(pid_file).expect("a pid file");
        Daemon { id: text.strip_suffix('\n').expect("a line").parse().expect("a number") }
    }

    /// The daemon that was started with this argument, which no other process has.
    pub fn with_argument(argument: &str) -> Daemon {
        let started_with = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
        };
        let processes = fs::read_dir("/proc").expect("a list of processes");
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Daemon { id: ids.into_iter().find(started_with).expect("it runs") }
    }

    /// Whether it runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.id)) else {
            return false;
        };
        !stat.contains(") Z ")
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id, name);
    }

    /// Waits until it has gone.
    pub fn wait_gone(&self) {
        wait_for("the end of the daemon", || !self.is_alive());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_alive() {
            self.signal("KILL");
        }
    }
}

/// Sends a signal.
pub fn signal(id: u32, name: &str) {
    let number = match name {
        "INT" => nix::sys::signal::SIGINT,
        "TERM" => nix::sys::signal::SIGTERM,
        "HUP" => nix::sys::signal::SIGHUP,
        "PIPE" => nix::sys::signal::SIGPIPE,
        "USR2" => nix::sys::signal::SIGUSR2,
        "STOP" => nix::sys::signal::SIGSTOP,
        "CONT" => nix::sys::signal::SIGCONT,
        "KILL" => nix::sys::signal::SIGKILL,
        _ => panic!("unknown signal {name}"),
    };
    let id = nix::unistd::Pid::from_raw(i32::try_from(id).expect("a process id"));
    let _ = nix::sys::signal::kill(id, number);
}

/// A port that nobody listens on, and no other test takes while this process lives.
pub fn free_port() -> u16 {
    let port = Port::reserve();
    let number = port.number();
    std::mem::forget(port);
    number
}

/// Connects to a port of this machine, when somebody listens there.
pub fn connect(port: u16) -> TcpStream {
    wait_to_get("a listener", || TcpStream::connect(("127.0.0.1", port)).ok())
}

/// Whether nobody listens on a port of this machine.
pub fn refuses(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// `path` as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The content of a file; empty if it is not there.
pub fn content(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A static section on `port` whose server does not exist; nothing connects to it.
pub fn section(port: u16) -> String {
    format!("{port}=127.0.0.1:1")
}

/// A port held at both halves of "all addresses", so that neither is left to the program.
pub fn occupied() -> (u16, Vec<TcpListener>) {
    let first = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let second = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None);
    let second = second.and_then(|socket| {
        socket.set_only_v6(true)?;
        socket.bind(&std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)).into())?;
        socket.listen(1)?;
        Ok(TcpListener::from(socket))
    });
    (port, std::iter::once(first).chain(second.ok()).collect())
}
