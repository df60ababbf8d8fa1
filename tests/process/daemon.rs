//! The program in the background: what its parent reports, the pid file, the user it becomes, its log (01 §4, §10, §13).

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::launch::{
    Daemon, Running, connect, content, finish, free_port, moxi, occupied, refuses, run, section, text, wait_for,
};

#[test]
fn an_unknown_user() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root can become somebody else
    }
    let finished = run(&["-u", "fictional-user", "-z", &section(free_port())]);
    assert_eq!(finished.code, Some(67));
    assert!(finished.stderr.ends_with(") can't find the user fictional-user to switch to\n"));
}

#[test]
fn privileges_are_dropped_completely_and_after_everything_that_needs_them() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root can become somebody else
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let pid_file = directory.path().join("pid");
    let port = free_port();
    let arguments = ["-d", "-u", "nobody", "-P", text(&pid_file), "-z", &section(port), "-t", "1"];
    assert_eq!(run(&arguments).code, Some(0));
    let daemon = Daemon::of(&pid_file);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id)).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let field = |name: &str| -> Vec<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(field("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(field("Gid:"), vec![nobody.gid.to_string(); 4]);
    assert!(!field("Groups:").contains(&"0".to_owned()));
    connect(port);
    daemon.signal("TERM");
    daemon.wait_gone();
}

#[test]
fn a_daemon_is_ready_when_its_parent_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let port = free_port();
    let finished = run(&["-d", "-P", text(&pid_file), "-z", &section(port)]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let daemon = Daemon::of(&pid_file);
    TcpStream::connect(("127.0.0.1", port)).expect("it listens already");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", daemon.id)).unwrap(), Path::new("/"));
    for stream in 0..3 {
        let link = fs::read_link(format!("/proc/{}/fd/{stream}", daemon.id)).unwrap();
        assert_eq!(link, Path::new("/dev/null"));
    }
    // Without a log file there is nothing to open again, and it must live.
    daemon.signal("HUP");
    connect(port);
    assert!(daemon.is_alive());
    daemon.signal("TERM");
    daemon.wait_gone();
    assert!(!pid_file.exists());
}

#[test]
fn relative_paths_of_a_daemon_start_in_the_starting_directory() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let port = free_port();
    fs::write(at("moxi.cfg"), section(port)).unwrap();
    fs::write(at("behavior.cfg"), "downstream_max=8").unwrap();
    let arguments =
        ["-d", "-z", "./moxi.cfg", "-Z", "./behavior.cfg", "-P", "pid", "-O", "moxi.log", "-s", "moxi.sock"];
    let finished = finish(moxi(&arguments).current_dir(directory.path()));
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let daemon = Daemon::of(&at("pid"));
    UnixStream::connect(at("moxi.sock")).expect("it listens already");
    fs::rename(at("moxi.log"), at("moxi.log.1")).unwrap();
    daemon.signal("HUP");
    // What reading the file again says may be there as well.
    wait_for("the new log", || content(&at("moxi.log")).contains(") Log Cycled \n"));
    daemon.signal("INT");
    daemon.wait_gone();
    assert!(!at("pid").exists());
    assert!(!at("moxi.sock").exists());
}

#[test]
fn a_daemon_may_stay_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = section(port);
    let mut command = moxi(&["-d", "-r", "-P", "pid", "-z", &config]);
    let finished = finish(command.current_dir(directory.path()));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let daemon = Daemon::of(&directory.path().join("pid"));
    let there = fs::read_link(format!("/proc/{}/cwd", daemon.id)).unwrap();
    assert_eq!(there, directory.path().canonicalize().unwrap());
    daemon.signal("TERM");
    daemon.wait_gone();
}

#[test]
fn the_parent_reports_what_stops_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let (port, _held) = occupied();
    let finished = run(&["-d", "-P", text(&pid_file), "-z", &section(port)]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(&format!("could not listen on port {port}")));
    let finished = run(&["-d", "-P", text(&pid_file), "-z", "./nonexistent"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("could not read cfg file: ./nonexistent"));
    assert!(!pid_file.exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("moxi.log");
    let port = free_port();
    let finished = run(&["-d", "-O", text(&log), "-P", "/nonexistent/pid", "-z", &section(port)]);
    let line = "Could not open the pid file /nonexistent/pid for writing: No such file or directory\n";
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), line));
    assert!(content(&log).ends_with(&format!(") {line}")));
    assert!(refuses(port));
}

/// The pid file of a daemon that runs is not touched by a start that fails.
#[test]
fn a_start_that_fails_leaves_the_pid_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    fs::write(&pid_file, "12345\n").unwrap();
    let (port, _held) = occupied();
    assert_eq!(run(&["-d", "-P", text(&pid_file), "-z", &section(port)]).code, Some(1));
    assert_eq!(content(&pid_file), "12345\n");
}

/// A daemon that has become somebody else, whose log and pid file are in directories of root's.
#[test]
fn privileges_that_are_gone_do_not_leave_an_old_pid_or_lose_the_log() {
    if !nix::unistd::Uid::effective().is_root() {
        return; // only root can become somebody else
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| directory.path().join(name);
    let (pid_file, log, old, older) = (at("pid"), at("moxi.log"), at("moxi.log.1"), at("moxi.log.2"));
    let port = free_port();
    let arguments = ["-d", "-u", "nobody", "-P", text(&pid_file), "-O", text(&log), "-z", &section(port)];
    assert_eq!(run(&arguments).code, Some(0));
    let daemon = Daemon::of(&pid_file);
    // It may not make a new file here: it says so and goes on.
    fs::rename(&log, &old).unwrap();
    daemon.signal("HUP");
    let why = "failed: Permission denied. The old file stays in use\n";
    wait_for("the reason", || content(&old).ends_with(why));
    assert!(!log.exists());
    // logrotate makes the new one with the owner of the old one.
    let owner = fs::metadata(&old).unwrap().uid();
    assert_eq!(owner, nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw());
    fs::write(&log, "").unwrap();
    std::os::unix::fs::chown(&log, Some(owner), None).unwrap();
    daemon.signal("HUP");
    wait_for("the new log", || content(&log).ends_with(") Log Cycled \n"));
    // And where the directory belongs to that user, nothing more is needed.
    std::os::unix::fs::chown(directory.path(), Some(owner), None).unwrap();
    fs::rename(&log, &older).unwrap();
    daemon.signal("HUP");
    wait_for("the new log", || content(&log).ends_with(") Log Cycled \n"));
    std::os::unix::fs::chown(directory.path(), Some(0), None).unwrap();
    daemon.signal("TERM");
    daemon.wait_gone();
    // The file is still there, but names nobody.
    assert_eq!(fs::read(&pid_file).unwrap(), b"");
    let log = content(&log);
    let removed = format!("cannot remove the pid file {}: Permission denied; it is empty now\n", pid_file.display());
    let end = [removed.as_str(), "moxi 7.0.0 stopped: SIGTERM\n"];
    let lines: Vec<&str> = log.split_inclusive('\n').map(|line| line.split_once(") ").unwrap().1).collect();
    assert_eq!(lines[lines.len() - 2..], end);
}

#[test]
fn a_pid_file_is_only_written_by_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let port = free_port();
    let running = Running::listening(port, &["-P", text(&pid_file), "-z", &section(port)]);
    assert!(!pid_file.exists());
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}
