//! The life of the built program: listeners, signals, daemon, pid file, log (01 §4, §5, §10, §12, §13).

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::launch::{self, Running, connect, content, free_port, moxi, refuses, run, section, text, wait_for};

#[test]
fn interrupt_ends_with_exit_code_0() {
    let port = free_port();
    let running = Running::listening(port, &["-z", &section(port)]);
    running.signal("INT");
    let finished = running.finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "SIGINT handled.\n"));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let [started, stopped] = lines[..] else { panic!("{}", finished.stderr) };
    assert!(started.ends_with(&format!(") moxi 7.0.0 started: port {port} to 127.0.0.1:1; 4 workers")), "{started}");
    assert!(stopped.ends_with(") moxi 7.0.0 stopped: SIGINT"), "{stopped}");
}

#[test]
fn terminate_ends_with_exit_code_0_and_refuses_new_clients() {
    let port = free_port();
    let running = Running::listening(port, &["-z", &section(port)]);
    let _idle = connect(port);
    running.signal("TERM");
    let finished = running.finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    assert!(finished.stderr.ends_with(") moxi 7.0.0 stopped: SIGTERM\n"), "{}", finished.stderr);
    assert!(refuses(port));
}

#[test]
fn hangup_and_broken_pipe_do_not_end_it() {
    let port = free_port();
    let mut running = Running::listening(port, &["-z", &section(port)]);
    running.signal("HUP");
    running.signal("PIPE");
    running.signal("HUP");
    connect(port);
    assert!(running.is_alive());
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn hangup_without_a_log_file_is_logged() {
    let port = free_port();
    let mut running = Running::listening(port, &["-z", &section(port)]);
    running.signal("HUP");
    assert!(running.error_line().contains(" started: "));
    assert!(running.error_line().ends_with(") SIGHUP ignored: the log is not a file\n"));
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn each_section_has_its_port() {
    let (one, two) = (free_port(), free_port());
    let config = format!("{};{}", section(one), section(two));
    let running = Running::listening(one, &["-z", &config, "-t", "2", "-R", "5", "-b", "8"]);
    connect(two);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn the_command_line_of_the_cluster_manager() {
    let port = free_port();
    let config = section(port);
    let mut command = moxi(&["-z", &config, "-p", "0", "-Y", "y", "-O", "stderr", ""]);
    command.stdin(Stdio::piped()).env("EVENT_NOSELECT", "1");
    let mut running = Running::start(&mut command);
    connect(port);
    running.input(b"bytes before a line end are skipped");
    connect(port);
    assert!(running.is_alive());
    running.input(b"\n");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.complaints(), "EOL on stdin.  Exiting\n");
    let end = ") moxi 7.0.0 stopped: a line end on standard input, or its end (-Y)\n";
    assert!(finished.stderr.ends_with(end), "{}", finished.stderr);
}

#[test]
fn the_end_of_standard_input_ends_it() {
    let port = free_port();
    let config = section(port);
    let mut command = moxi(&["-z", &config, "-Y", "y"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    connect(port);
    running.close_input();
    let finished = running.finish();
    assert_eq!((finished.code, finished.complaints().as_str()), (Some(0), "EOF on stdin.  Exiting\n"));
}

#[test]
fn standard_input_is_not_watched_by_default() {
    let port = free_port();
    let config = section(port);
    for arguments in [&["-z", &config][..], &["-z", &config, "-Y", "n"]] {
        let mut running = Running::listening(port, arguments);
        connect(port);
        assert!(running.is_alive());
        running.signal("INT");
        assert_eq!(running.finish().code, Some(0));
    }
}

#[test]
fn the_log_is_opened_again_on_hangup() {
    let directory = tempfile::tempdir().unwrap();
    let (log, old) = (directory.path().join("moxi.log"), directory.path().join("moxi.log.1"));
    let port = free_port();
    let running = Running::listening(port, &["-v", "-O", text(&log), "-z", &section(port)]);
    assert!(content(&log).contains(&format!(") moxi log, mode=2, file={}\n", log.display())));
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o133, 0);
    fs::rename(&log, &old).unwrap();
    running.signal("HUP");
    wait_for("the new log", || content(&log).ends_with(") Log Cycled \n"));
    assert!(content(&old).ends_with(") About to cycle log \n"));
    running.signal("INT");
    let finished = running.finish();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert!(content(&log).ends_with(") moxi 7.0.0 stopped: SIGINT\n"));
}

/// A log that cannot be opened again is written on, and says why.
#[test]
fn a_log_that_cannot_be_opened_again_stays_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (log, old) = (at("moxi.log"), at("moxi.log.1"));
    let port = free_port();
    let running = Running::listening(port, &["-O", text(&log), "-z", &section(port)]);
    wait_for("the start", || content(&log).contains(" started: "));
    fs::rename(&log, &old).unwrap();
    // In the way of the new file, for root, too.
    fs::create_dir(&log).unwrap();
    running.signal("HUP");
    let why = format!(") cycling errorlog '{}' failed: Is a directory. The old file stays in use\n", log.display());
    wait_for("the reason", || content(&old).ends_with(&why));
    // The way is free again.
    fs::remove_dir(&log).unwrap();
    running.signal("HUP");
    wait_for("the new log", || content(&log).ends_with(") Log Cycled \n"));
    assert!(content(&old).ends_with(") About to cycle log \n"));
    running.signal("INT");
    let finished = running.finish();
    // The old file may be packed already; so this is also told where a log goes otherwise.
    assert!(finished.stderr.ends_with(&why) && finished.stderr.lines().count() == 1, "{}", finished.stderr);
}

#[test]
fn a_log_that_cannot_be_opened_is_not_fatal() {
    let port = free_port();
    let arguments = ["-v", "-O", "/nonexistent/moxi.log", "-z", &section(port)];
    let running = Running::listening(port, &arguments);
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0));
    assert!(finished.stderr.starts_with(
        "ERROR: opening errorlog '/nonexistent/moxi.log' failed. error: No such file or \
         directory, Switching to stderr.\n"
    ));
    assert!(finished.stderr.contains(") moxi log, mode=1, file=(null)\n"));
}

#[test]
fn what_came_before_the_end_of_stream_is_answered_however_long_it_is() {
    let port = free_port();
    let own = port.to_string();
    let running = Running::listening(port, &["-p", &own]);
    // 2048 bytes are what fills the C program's buffer (02 §3).
    for length in 2030..2066 {
        let mut requests = b"version\r\n".repeat(length / 9 - 2);
        let rest = length - requests.len() - b"get \r\nversion\r\n".len();
        requests.extend_from_slice(&[b"get ", "k".repeat(rest).as_bytes(), b"\r\nversion\r\n"].concat());
        assert_eq!(requests.len(), length);
        let mut stream = connect(port);
        stream.write_all(&requests).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        assert_eq!(replies.matches("VERSION ").count(), length / 9 - 1, "{length} bytes");
        assert_eq!(replies.matches("END\r\n").count(), 1, "{length} bytes");
    }
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn lines_of_the_log_begin_with_date_and_local_time() {
    let port = free_port();
    let config = section(port);
    let mut command = moxi(&["-v", "-z", &config]);
    // Nine hours ahead, in the notation that needs no time zone files.
    let running = Running::start(command.env("TZ", "XYZ-9"));
    connect(port);
    running.wait_started();
    running.signal("INT");
    let stderr = running.finish().stderr;
    let line = stderr.lines().next().expect("a line");
    let shape: String = line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert!(shape.starts_with("9999-99-99 99:99:99: (log.999) moxi log"), "{line}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let local = now.as_secs() / 3600 + 9;
    let hour: u64 = line[11..13].parse().unwrap();
    assert!(hour == local % 24 || hour == (local + 23) % 24, "{line}");
}

#[test]
fn a_file_limit_is_raised_but_not_lowered() {
    let port = free_port();
    let running = Running::listening(port, &["-c", "2000", "-z", &section(port)]);
    assert!(soft_file_limit(running.id()) >= 2000);
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

fn soft_file_limit(id: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(u64::MAX)
}

/// What the system lets us have is taken, so that there can be as many clients as -c says beside the servers.
#[test]
fn a_file_limit_has_room_for_clients_and_servers() {
    let port = free_port();
    for (limits, least, most) in [("ulimit -S -n 300", 364, 500), ("ulimit -n 320", 320, 320)] {
        let script = format!("{limits}; exec \"$0\" -t 1 -c 300 -z {}", section(port));
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_moxi")]).stdin(Stdio::null());
        let running = Running::start(&mut command);
        drop(connect(port));
        running.wait_started();
        let in_range = || (least..=most).contains(&soft_file_limit(running.id()));
        launch::wait_for("the limit", in_range);
        running.signal("INT");
        assert_eq!(running.finish().code, Some(0));
    }
}

/// The system's table of descriptors does not have to grow, for which it would stop a thread, when clients come.
#[test]
fn the_table_of_descriptors_has_room_from_the_beginning() {
    for (limit, most) in [(8192, 4096), (2048, 2048)] {
        let port = free_port();
        let script = format!("ulimit -n {limit}; exec \"$0\" -t 1 -c 1500 -z {}", section(port));
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_moxi")]).stdin(Stdio::null());
        let running = Running::start(&mut command);
        running.wait_started();
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert_eq!(size.trim().parse(), Ok(most));
        running.signal("INT");
        assert_eq!(running.finish().code, Some(0));
    }
}

/// More servers in the file need more descriptors.
#[test]
fn a_file_limit_that_a_new_configuration_exceeds() {
    let directory = tempfile::tempdir().unwrap();
    let (path, port) = (directory.path().join("moxi.cfg"), free_port());
    fs::write(&path, section(port)).unwrap();
    let script = format!("ulimit -n 200; exec \"$0\" -c 0 -z {}", path.display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_moxi")]).stdin(Stdio::null());
    let mut running = Running::start(&mut command);
    drop(connect(port));
    running.wait_started();
    let servers: Vec<String> = (1..=20).map(|number| format!("127.0.0.1:{number}")).collect();
    fs::write(&path, format!("{port}={}", servers.join(","))).unwrap();
    running.signal("HUP");
    while !running.error_line().contains(") WARNING: a limit of 200 open files is too low (ulimit -n): ") {
        assert!(running.is_alive());
    }
    running.signal("INT");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0));
    assert!(!finished.stderr.contains("WARNING"), "{}", finished.stderr);
}

#[test]
fn an_impossible_file_limit() {
    let finished = run(&["-c", "2147483647", "-z", &section(free_port())]);
    assert_eq!(finished.code, Some(71));
    assert!(finished.stderr.ends_with(
        ") failed to set rlimit for open files. Try running as root or requesting smaller \
         maxconns value. (-c 2147483647: Operation not permitted)\n"
    ));
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let port = free_port();
    // The shell lowers the limit; -c 0 leaves it alone.
    let script = format!("ulimit -n 24; exec \"$0\" -v -t 1 -c 0 -z {}", section(port));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_moxi")]).stdin(Stdio::null());
    let mut running = Running::start(&mut command);
    let _clients: Vec<TcpStream> = (0..40).map(|_| connect(port)).collect();
    while !running.error_line().ends_with(") Too many open connections\n") {
        assert!(running.is_alive());
    }
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}
