//! The program under a service manager, from outside: what it is told, and the sockets it hands over (01 §19).

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::launch::{self, Daemon, Running, connect, free_port, wait_for};
use moxi_test_support::Manager;

/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service manager's end.
struct Listening {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Listening {
    fn new() -> Listening {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Listening { directory, socket }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = launch::moxi(arguments);
        command.env("NOTIFY_SOCKET", self.path("notify"));
        command
    }

    /// The next message, line by line.
    fn message(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message");
        let text = std::str::from_utf8(&bytes[..length]).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// Nothing may come within this time.
    fn expect_silence(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).expect("a time limit");
        assert!(self.socket.recv(&mut [0; 64]).is_err(), "a message");
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    }
}

#[test]
fn ready_reloading_ready_stopping() {
    let (manager, first, second) = (Listening::new(), free_port(), free_port());
    let file = manager.path("cluster.cfg");
    fs::write(&file, format!("{first}=127.0.0.1:1,127.0.0.1:2")).expect("written");
    let moxi = Running::start(&mut manager.command(&["-z", file.to_str().expect("text"), "-l", "127.0.0.1"]));
    let status = format!("STATUS=clients on port {first}; 1 bucket, 2 servers");
    assert_eq!(manager.message(), ["READY=1", &status]);
    connect(first);

    fs::write(&file, format!("{first}=127.0.0.1:1;{second}=127.0.0.1:2")).expect("written");
    moxi.signal("HUP");
    let reloading = manager.message();
    let [word, time] = reloading.as_slice() else { panic!("{reloading:?}") };
    assert_eq!(word, "RELOADING=1");
    let time: u64 = time.strip_prefix("MONOTONIC_USEC=").expect("the time").parse().expect("a number");
    let now = fs::read_to_string("/proc/uptime").expect("a clock");
    let now: f64 = now.split(' ').next().expect("a number").parse().expect("a number");
    assert!((time as f64 / 1e6 - now).abs() < 60.0, "{time} µs, {now} s");
    let status = format!("STATUS=clients on port {first}, port {second}; 2 buckets, 2 servers");
    assert_eq!(manager.message(), ["READY=1", &status]);
    connect(second);

    // A file that cannot be used is no end of the service.
    fs::write(&file, "nonsense").expect("written");
    moxi.signal("HUP");
    assert_eq!(manager.message()[0], "RELOADING=1");
    assert_eq!(manager.message(), ["READY=1"]);

    moxi.signal("TERM");
    assert_eq!(manager.message(), ["STOPPING=1", "STATUS=stopping"]);
    assert_eq!(moxi.finish().code, Some(0));
}

#[test]
fn ready_when_the_first_map_is_there() {
    let (manager, cluster, port) = (Listening::new(), Manager::new(), free_port());
    let behavior = format!("port_listen={port}");
    let url = format!("url={}", cluster.url("p"));
    let started = Instant::now();
    let moxi = Running::start(&mut manager.command(&["-z", &url, "-Z", &behavior, "-l", "127.0.0.1"]));
    let waiting = manager.message();
    let [status] = waiting.as_slice() else { panic!("ready too early: {waiting:?}") };
    assert!(status.ends_with("; waiting for a cluster manager"), "{status}");

    let mut stream = cluster.stream();
    stream.document(
        "{\"name\":\"default\",\"vBucketServerMap\":{\"numReplicas\":0,\"serverList\":[\"127.0.0.1:1\"],\
         \"vBucketMap\":[[0]]}}",
    );
    let ready = manager.message();
    let status = format!("STATUS=clients on port {port}; 1 bucket, 1 server");
    // Unless this machine was so busy that the patience of the start ran out before.
    if started.elapsed() < Duration::from_secs(5) || ready.len() > 1 {
        assert_eq!(ready, ["READY=1", &status]);
    }
    moxi.signal("INT");
    assert_eq!(moxi.finish().code, Some(0));
}

#[test]
fn ready_after_a_while_without_any_map() {
    let (manager, cluster) = (Listening::new(), Manager::new());
    let url = format!("url={}", cluster.url("p"));
    let moxi = Running::start(&mut manager.command(&["-z", &url, "-l", "127.0.0.1"]));
    assert_eq!(manager.message().len(), 1);
    // The manager accepts, and says nothing.
    let _stream = cluster.accept();
    assert_eq!(manager.message(), ["READY=1"]);
    drop(moxi);
}

#[test]
fn nothing_is_ready_that_cannot_start() {
    let (manager, port) = (Listening::new(), free_port());
    let _held = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let section = format!("{port}=127.0.0.1:1");
    let moxi = Running::start(&mut manager.command(&["-z", &section, "-l", "127.0.0.1"]));
    assert_eq!(moxi.finish().code, Some(1));
    manager.expect_silence(Duration::from_millis(1));
}

#[test]
fn a_daemon_names_its_process() {
    let (manager, port) = (Listening::new(), free_port());
    let (section, file) = (format!("{port}=127.0.0.1:1"), manager.path("pid"));
    let pid_file = file.to_str().expect("text");
    let mut command = manager.command(&["-d", "-P", pid_file, "-z", &section, "-l", "127.0.0.1"]);
    assert!(command.status().expect("it starts").success());
    let daemon = Daemon::of(&file);
    let ready = manager.message();
    assert_eq!(ready[..2], ["READY=1".to_owned(), format!("MAINPID={}", daemon.id)]);
    daemon.signal("TERM");
    assert_eq!(manager.message()[0], "STOPPING=1");
    wait_for("the end", || !daemon.is_alive());
}

/// A command for the program that inherits two sockets of these names, as descriptors 3 and 4.
fn with_sockets(first: impl Into<OwnedFd>, second: impl Into<OwnedFd>, names: &str, arguments: &[&str]) -> Command {
    let program = launch::moxi(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    command.stdin(Stdio::from(first.into())).stdout(Stdio::from(second.into())).stderr(Stdio::piped());
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names);
    command
}

/// A server that has nothing.
fn version(mut client: impl std::io::Read + std::io::Write) -> String {
    client.write_all(b"version\r\n").expect("sent");
    let mut reply = [0; 64];
    let length = client.read(&mut reply).expect("an answer");
    String::from_utf8_lossy(&reply[..length]).into_owned()
}

#[test]
fn inherited_sockets_serve_the_ports_they_stand_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("bound").port();
    let other = free_port();
    let unix = UnixListener::bind(&path).expect("a socket");
    let file = directory.path().join("cluster.cfg");
    let sections = format!(
        "# the first\n{port}=127.0.0.1:1\n# one that is only reached over the unix socket\n;{other}=127.0.0.1:1\n"
    );
    fs::write(&file, sections).expect("written");
    let arguments = ["-z", file.to_str().expect("text"), "-Z", "downstream_protocol=ascii", "-l", "127.0.0.1"];
    let mut command = with_sockets(tcp, unix, &format!("moxi.socket:{other}"), &arguments);
    let mut child = command.spawn().expect("it starts");
    // They are there before the program is.
    let replies =
        [version(connect(port)), version(std::os::unix::net::UnixStream::connect(&path).expect("a listener"))];
    for reply in replies {
        assert!(reply.starts_with("VERSION "), "{reply}");
    }
    assert!(launch::refuses(other), "the port is bound, too");
    launch::signal(child.id(), "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(path.exists(), "the socket's file is not ours");
}

#[test]
fn sockets_of_no_use_are_an_error() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (first, second) = (listener(), listener());
    let (port, stray) = (first.local_addr().expect("bound").port(), second.local_addr().expect("bound").port());
    let section = format!("{port}=127.0.0.1:1");
    let run = |mut command: Command| {
        let output = command.output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let clone = || first.try_clone().expect("a descriptor");
    let (code, said) = run(with_sockets(clone(), second, "a:b", &["-z", &section]));
    assert_eq!(code, Some(1));
    let complaint =
        format!("ERROR: LISTEN_FDS: descriptor 4 (b) is for port {stray}, which the configuration does not have");
    assert!(said.contains(&complaint), "{said}");
    let (code, said) =
        run(with_sockets(clone(), fs::File::open("/dev/null").expect("it is there"), "a:b", &["-z", &section]));
    assert_eq!(code, Some(1));
    let complaint = "ERROR: LISTEN_FDS: descriptor 4 (b) is no socket that listens for connections";
    assert!(said.contains(complaint), "{said}");
}
