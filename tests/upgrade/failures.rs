//! A process that cannot take over changes nothing.

use std::fs;

use crate::launch::{self, Daemon, free_port, text, wait_for};
use crate::service::{Service, copy, replace, served_by};
use moxi_test_support::{Memcached, Wire};

/// A moxi at a path of its own, in front of a memcached, with a client.
struct Place {
    service: Service,
    program: std::path::PathBuf,
    client: Wire,
    port: u16,
    _server: Memcached,
}

impl Place {
    fn new(behavior: &str) -> Place {
        let (server, port) = (Memcached::start(&[]), free_port());
        let directory = tempfile::tempdir().expect("a directory");
        let program = copy(directory.path());
        let file = directory.path().join("cluster.cfg");
        fs::write(&file, format!("{port}=127.0.0.1:{}", server.port())).expect("written");
        let behavior = format!("downstream_protocol=ascii,{behavior}");
        let template = launch::moxi(&["-z", text(&file), "-Z", &behavior]);
        let mut command = std::process::Command::new(&program);
        command.args(template.get_args()).env_remove("NOTIFY_SOCKET").env_remove("LISTEN_PID");
        let service = Service::start_as(directory, &mut command);
        let mut client = Wire::connect("client", port);
        client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
        Place { service, program, client, port, _server: server }
    }

    /// The old process goes on, and has said this about the new one.
    fn expect_failure(&mut self, why: &str) {
        self.service.wait_to_log(&format!("{why}; this process goes on\n"));
        self.client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        Wire::connect("a new client", self.port).ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    }

    fn signal(&self) {
        self.service.current().signal("USR2");
    }
}

#[test]
fn programs_that_are_none() {
    let mut place = Place::new("upgrade_timeout=0");
    let program = place.program.clone();
    let name = program.display().to_string();
    // One that ends, with its exit code.
    replace(&program, "#!/bin/sh\nexit 3\n");
    place.signal();
    place.expect_failure("cannot take over: it has ended (exit status: 3)");
    // What is no program.
    replace(&program, "#!/nonexistent/interpreter\n");
    place.signal();
    place.expect_failure(&format!("{name} cannot be started: No such file or directory"));
    fs::remove_file(&program).expect("removed");
    fs::write(&program, "text").expect("written");
    place.signal();
    place.expect_failure(&format!("{name} cannot be started: Permission denied"));
    // And after all that one that works.
    fs::remove_file(&program).expect("removed");
    copy(program.parent().expect("a directory"));
    place.service.upgrade().wait_gone();
    place.client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn one_that_is_not_ready_in_time_is_ended() {
    let mut place = Place::new("upgrade_timeout=300");
    replace(&place.program, "#!/bin/sh\nexec sleep 1000\n");
    place.signal();
    let successor = place.service.successor();
    place.expect_failure("cannot take over: it was not ready within 300 ms");
    assert!(!successor.is_alive());
}

#[test]
fn one_that_closes_the_channel_is_ended() {
    let mut place = Place::new("upgrade_timeout=0");
    replace(&place.program, "#!/bin/sh\nexec sleep 1000 </dev/null\n");
    place.signal();
    let successor = place.service.successor();
    place.expect_failure("it has closed its standard input: it is no moxi, or an old one");
    assert!(!successor.is_alive());
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let mut place = Place::new("upgrade_timeout=0");
    let file = place.service.path("cluster.cfg");
    let good = fs::read_to_string(&file).expect("text");
    fs::write(&file, "11211=").expect("written");
    place.signal();
    place.expect_failure("cannot take over: it has ended (exit status: 1)");
    // A reload that came meanwhile is not forgotten.
    fs::write(&file, "11211=").expect("written");
    replace(&place.program, "#!/bin/sh\nexec sleep 1000\n");
    place.signal();
    let successor = place.service.successor();
    place.service.current().signal("HUP");
    place.service.wait_to_log("Log Cycled");
    successor.signal("KILL");
    place.service.wait_to_log("SIGHUP: ");
    fs::remove_file(&place.program).expect("removed");
    copy(place.program.parent().expect("a directory"));
    // A port that somebody else has.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("bound").port();
    fs::write(&file, format!("{good};{taken}=127.0.0.1:1")).expect("written");
    place.signal();
    place.service.wait_to_log(&format!("ERROR: could not listen on port {taken}."));
    wait_for("the third failure", || place.service.log().matches("cannot take over").count() == 3);
    place.client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn one_that_is_killed() {
    let mut place = Place::new("upgrade_timeout=0");
    replace(&place.program, "#!/bin/sh\nexec sleep 1000\n");
    place.signal();
    let successor = place.service.successor();
    // Another signal while it is under way.
    place.signal();
    place.service.wait_to_log(&format!("SIGUSR2 ignored: process {} is being started\n", successor.id));
    successor.signal("KILL");
    place.expect_failure("cannot take over: it has ended (signal: 9 (SIGKILL))");
}

#[test]
fn a_stop_while_it_is_under_way_ends_both() {
    for signal in ["TERM", "INT"] {
        let mut place = Place::new("upgrade_timeout=0");
        replace(&place.program, "#!/bin/sh\nexec sleep 1000\n");
        place.signal();
        let successor = place.service.successor();
        assert!(successor.is_alive());
        place.service.current().signal(signal);
        assert_eq!(place.service.first_code(), Some(0));
        successor.wait_gone();
        assert!(launch::refuses(place.port));
    }
}

/// The file that runs has been replaced, or removed and written anew; the kernel shows it as deleted.
#[test]
fn the_program_on_disk_is_the_one_that_is_started() {
    let mut place = Place::new("upgrade_timeout=0");
    let note = place.service.path("note");
    let real = env!("CARGO_BIN_EXE_moxi");
    replace(&place.program, &format!("#!/bin/sh\necho \"$0 $*\" >'{}'\nexec '{real}' \"$@\"\n", note.display()));
    place.service.upgrade().wait_gone();
    let noted = launch::content(&note);
    assert!(noted.starts_with(&format!("{} -z ", place.program.display())), "{noted}");
    let id = place.service.current().id;
    assert_eq!(served_by(&mut place.client, "stats proxy", "memcached:stats:pid"), id);
}

#[test]
fn who_must_not_be_replaced() {
    let port = free_port();
    let section = launch::section(port);
    let mut command = launch::moxi(&["-Y", "y", "-z", &section]);
    command.stdin(std::process::Stdio::piped());
    let service = Service::start_as(tempfile::tempdir().expect("a directory"), &mut command);
    service.current().signal("USR2");
    service.wait_to_log("SIGUSR2 ignored: with -Y, whoever has started this process waits for its end\n");
    assert!(Daemon { id: service.current().id }.is_alive());
}
