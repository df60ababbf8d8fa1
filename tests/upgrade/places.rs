//! Ports, sockets and files that the new process takes over, and who is told of it.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::launch::{self, Daemon, connect, content, free_port, text, wait_for};
use crate::service::{self, Service, served_by};
use moxi_test_support::scrape::{ask, ask_on};
use moxi_test_support::{LIMIT, Memcached, Wire};

#[test]
fn a_unix_socket_stays_where_it_is() {
    let server = Memcached::start(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let z = format!("11211=127.0.0.1:{}", server.port());
    let arguments = ["-s", text(&path), "-z", &z, "-Z", "downstream_protocol=ascii"];
    let mut service = Service::start_in(directory, &arguments);
    let number = || fs::metadata(&path).expect("a socket").ino();
    let before = number();
    let mut client = Wire::connect_unix("client", &path);
    client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    for _ in 0..2 {
        service.upgrade().wait_gone();
        assert_eq!(number(), before);
        client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        Wire::connect_unix("a new client", &path).ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    }
    service.stop();
    assert!(!path.exists(), "the last one removes it");
}

/// Also any free port, and datagrams; the items are not handed over.
#[test]
fn the_built_in_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("ports");
    let mut command = launch::moxi(&["-p", "-1", "-U", "-1"]);
    command.env("MEMCACHED_PORT_FILENAME", &note);
    let mut service = Service::start_as(directory, &mut command);
    let ports = || -> Vec<u16> {
        let lines = content(&note);
        lines.lines().map(|line| line.rsplit(' ').next().expect("a word").parse().expect("a number")).collect()
    };
    let before = ports();
    let [tcp, udp] = before.as_slice() else { panic!("{before:?}") };
    let mut client = Wire::connect("client", *tcp);
    client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    datagrams.connect(("127.0.0.1", *udp)).expect("connected");
    datagrams.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let old = service.upgrade();
    old.wait_gone();
    service.wait_to_log("WARNING: the items of the built-in server end with this process\n");
    assert_eq!(ports(), before);
    client.ask("get a\r\n", "END\r\n");
    assert_eq!(served_by(&mut client, "stats", "pid"), service.current().id);
    datagrams.send(b"\0\x07\0\0\0\x01\0\0version\r\n").expect("sent");
    let mut reply = [0; 64];
    let length = datagrams.recv(&mut reply).expect("an answer");
    assert!(reply[8..length].starts_with(b"VERSION "));
}

#[test]
fn metrics_and_probes() {
    let (port, metrics) = (free_port(), free_port());
    let behavior = format!("metrics={metrics},downstream_protocol=ascii");
    let mut service = Service::start(&["-z", &launch::section(port), "-Z", &behavior]);
    let mut kept = Wire::connect("one that keeps its connection", metrics);
    assert_eq!(ask_on(&mut kept, "/readyz").status, 200);
    // A client whose request is half there keeps the old process.
    let mut half = Wire::connect("in the middle", port);
    half.send("set a 0 0 5\r\n12");
    wait_for("what it has sent", || {
        let page = ask(metrics, "/metrics").body;
        let line = page.lines().find(|line| line.starts_with("moxi_read_bytes_total ")).expect("a metric").to_owned();
        !line.ends_with(" 0")
    });
    let mut asking = Wire::connect("one that has begun to ask", metrics);
    asking.send("GET /readyz HTTP/1.1\r\n");
    // The connection is accepted before later ones are answered.
    assert_eq!(ask(metrics, "/healthz").status, 200);
    let old = service.upgrade();
    assert_eq!(ask(metrics, "/readyz").status, 200);
    kept.expect_closed();
    asking.send("Host: moxi\r\n\r\n");
    let response = moxi_test_support::scrape::Response::read(&mut asking, true);
    assert_eq!(response.status, 503);
    assert_eq!(response.body, format!("draining: process {} has taken over\n", service.current().id));
    assert_eq!(response.field("connection"), Some("close"));
    drop(half);
    old.wait_gone();
}

#[test]
fn a_daemon_and_its_pid_file() {
    let port = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (pid_file, log) = (at("pid"), at("log"));
    fs::write(at("cluster.cfg"), launch::section(port)).expect("written");
    // Relative paths begin where the first process began.
    let arguments = ["-d", "-P", "pid", "-O", "log", "-l", "127.0.0.1", "-z", "./cluster.cfg"];
    let mut command = launch::moxi(&arguments);
    assert!(command.current_dir(directory.path()).status().expect("it starts").success());
    let mut current = Daemon::of(&pid_file);
    for _ in 0..3 {
        let old = Daemon { id: current.id };
        current.signal("USR2");
        let own = format!("{}\n", old.id);
        wait_for("the pid file", || ![own.as_str(), ""].contains(&content(&pid_file).as_str()));
        old.wait_gone();
        current = Daemon::of(&pid_file);
        assert!(current.is_alive());
        connect(port);
    }
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", current.id)).expect("a directory"), Path::new("/"));
    current.signal("TERM");
    current.wait_gone();
    assert!(!pid_file.exists());
    assert!(content(&log).ends_with("stopped: SIGTERM\n"));
}

/// As root: a port and a pid file that the user of `-u` could not have.
#[test]
fn privileges_that_are_gone_are_not_needed() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root can become somebody else
    }
    let Some(port) = (600..1024).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("readable");
    let (pid_file, log) = (directory.path().join("pid"), directory.path().join("log"));
    // Where that user can reach the program.
    let program = service::copy(directory.path());
    let template = launch::moxi(&[
        "-d",
        "-u",
        "nobody",
        "-P",
        text(&pid_file),
        "-O",
        text(&log),
        "-l",
        "127.0.0.1",
        "-z",
        &launch::section(port),
    ]);
    let mut command = Command::new(program);
    command.args(template.get_args()).env_remove("NOTIFY_SOCKET").env_remove("LISTEN_PID");
    assert!(command.status().expect("it starts").success());
    let old = Daemon::of(&pid_file);
    old.signal("USR2");
    wait_for("the new process", || content(&log).contains("; in place of process "));
    old.wait_gone();
    let new = Daemon::of(&pid_file);
    assert_ne!(new.id, old.id);
    connect(port);
    new.signal("TERM");
    new.wait_gone();
    assert_eq!(content(&pid_file), "");
}

/// The service manager's end: it gets messages in the order in which they were sent.
struct Notified(UnixDatagram);

impl Notified {
    fn message(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_service_manager_is_told_who_is_the_main_process() {
    let port = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let notified = Notified(UnixDatagram::bind(&path).expect("a socket"));
    notified.0.set_read_timeout(Some(LIMIT)).expect("a time limit");
    let program = service::copy(directory.path());
    let mut command = Command::new(&program);
    command.args(["-z", &launch::section(port)]).env("NOTIFY_SOCKET", &path).env_remove("LISTEN_PID");
    let mut service = Service::start_as(directory, &mut command);
    assert_eq!(notified.message()[0], "READY=1");

    service.upgrade().wait_gone();
    assert_eq!(notified.message()[0], "RELOADING=1");
    let id = service.current().id;
    assert_eq!(notified.message(), [format!("MAINPID={id}"), "READY=1".to_owned()]);
    let ready = notified.message();
    assert_eq!(ready[..2], ["READY=1".to_owned(), format!("MAINPID={id}")]);
    assert!(ready[2].starts_with("STATUS=clients on port "), "{ready:?}");

    service::replace(&program, "#!/bin/sh\nexit 1\n");
    service.current().signal("USR2");
    assert_eq!(notified.message()[0], "RELOADING=1");
    assert_eq!(notified.message(), ["READY=1".to_owned(), format!("MAINPID={id}")]);

    service.stop();
    assert_eq!(notified.message(), ["STOPPING=1", "STATUS=stopping"]);
    notified.0.set_read_timeout(Some(Duration::from_millis(1))).expect("a time limit");
    assert!(notified.0.recv(&mut [0; 16]).is_err(), "the processes that have been replaced say nothing");
}

#[test]
fn sockets_of_the_service_manager_go_along() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("bound").port();
    let other = free_port();
    let z = format!("{port}=127.0.0.1:1;{other}=127.0.0.1:1");
    let program = launch::moxi(&["-z", &z, "-Z", "downstream_protocol=ascii"]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(program.get_args()).env("LISTEN_FDS", "2");
    command.env("LISTEN_FDNAMES", format!("moxi.socket:{other}")).env_remove("NOTIFY_SOCKET");
    command.stdin(std::os::fd::OwnedFd::from(tcp));
    let mut service = Service::start_with(directory, &mut command, std::os::fd::OwnedFd::from(unix).into());
    for _ in 0..2 {
        let old = service.upgrade();
        old.wait_gone();
        for mut client in [Wire::connect("client", port), Wire::connect_unix("client", &path)] {
            client.send("version\r\n");
            assert!(client.line().starts_with(b"VERSION "));
        }
        assert!(launch::refuses(other), "it is the unix socket's");
    }
    service.stop();
    assert!(path.exists(), "the socket's file is not ours");
}

/// A file that is to be read again while the new process starts is the one that it serves, even if it had read the old one
/// before.
#[test]
fn a_reload_meanwhile_is_not_lost() {
    let (first, second) = (free_port(), free_port());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("cluster.cfg");
    fs::write(&file, launch::section(first)).expect("written");
    let program = service::copy(directory.path());
    let mut command = Command::new(&program);
    command.args(["-vv", "-z", text(&file)]).env_remove("NOTIFY_SOCKET").env_remove("LISTEN_PID");
    let mut service = Service::start_as(directory, &mut command);
    // One that waits for this test, and then begins while the old one does not notice.
    service::replace(&program, &format!("#!/bin/sh\nkill -STOP $$\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_moxi")));
    service.current().signal("USR2");
    let successor = service.successor();
    service.current().signal("STOP");
    wait_for("the script", || content(&format!("/proc/{}/stat", successor.id).into()).contains(") T "));
    successor.signal("CONT");
    let line = format!("moxi listening on {first} with ");
    wait_for("the new process", || service.log().matches(&line).count() == 2);
    fs::write(&file, format!("{};{}", launch::section(first), launch::section(second))).expect("written");
    service.current().signal("HUP");
    service.current().signal("CONT");
    service.wait_upgraded();
    connect(second);
}
