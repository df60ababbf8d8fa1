//! Lines about requests that take long, and about samples of all of them (06 §11.6).

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use crate::launch::{self, Running, free_port, wait_for};
use crate::proxy_stats::ask;
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Mock, Moxi, MoxiBuilder, Wire, moxi};
use tempfile::TempDir;

/// A file for lines, and what was written to it.
struct File {
    folder: TempDir,
    path: PathBuf,
}

/// A line: its first word, and the value of each name.
#[derive(Debug)]
struct Line {
    kind: String,
    fields: HashMap<String, String>,
}

impl Line {
    /// What follows the time.
    fn parse(text: &str) -> Line {
        let mut words = text.split(' ');
        let kind = words.next().expect("a word").to_owned();
        let field = |word: &str| {
            let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} in {text}"));
            (name.to_owned(), value.to_owned())
        };
        Line { kind, fields: words.map(field).collect() }
    }

    fn get(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    fn millis(&self, name: &str) -> f64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name} in {self:?}"))
    }

    /// Command, key, outcome and protocol.
    fn essence(&self) -> String {
        ["command", "key", "outcome", "protocol"].map(|name| self.get(name)).join(" ")
    }
}

impl File {
    fn new() -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow.log");
        File { folder, path }
    }

    fn set(&self, moxi: MoxiBuilder) -> MoxiBuilder {
        moxi.set(format!("slow_log_file={}", self.path.display()))
    }

    fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        // The time is two words.
        whole.lines().map(|line| Line::parse(line.splitn(3, ' ').nth(2).expect("a line"))).collect()
    }

    /// The lines, once there are so many.
    fn wait(&self, count: usize) -> Vec<Line> {
        wait_for("the lines", || self.lines().len() >= count);
        let lines = self.lines();
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }

    /// What they are about, once there are so many.
    fn essences(&self, count: usize) -> Vec<String> {
        self.wait(count).iter().map(Line::essence).collect()
    }
}

#[test]
fn every_kind_of_client_and_of_request_is_shown() {
    let servers = Memcached::several(2, &[]);
    for protocol in ["ascii", "binary"] {
        let file = File::new();
        let builder = moxi!().servers(servers.iter().map(Memcached::port)).speaking(protocol);
        let moxi = file.set(builder.set("sample=1/1").set("mcs_opts=distribution:modula")).start();
        let mut client = moxi.client();
        ask(&mut client, "flush_all\r\n", "OK\r\n");
        ask(&mut client, "set k 0 0 6\r\nsecret\r\n", "STORED\r\n");
        ask(&mut client, "get k\r\n", "VALUE k 0 6\r\nsecret\r\nEND\r\n");
        ask(&mut client, "get a k b\r\n", "VALUE k 0 6\r\nsecret\r\nEND\r\n");
        ask(&mut client, "delete no noreply\r\nget no\r\n", "END\r\n");
        ask(&mut client, "mg k v\r\n", "VA 6\r\nsecret\r\n");
        ask(&mut client, "mg no v\r\n", "EN\r\n");
        ask(&mut client, "ms k 6\r\nsecret\r\n", "HD\r\n");
        // What moxi answers by itself has no line.
        ask(&mut client, "verbosity 0\r\n", "OK\r\n");
        ask(&mut client, "nonsense\r\n", "ERROR\r\n");
        let behind = "get no\r\nversion\r\nmn\r\n";
        client.send(behind);
        client.expect(format!("END\r\nVERSION {}\r\nMN\r\n", env!("CARGO_PKG_VERSION")));
        let mut binary = moxi.client();
        binary.send(Packet::request(op::SET).key("x y").extras([0; 8]).value("secret").bytes());
        assert_eq!(binary.packet().status, 0);
        binary.send(Packet::request(op::GET).key("x y").bytes());
        assert_eq!(binary.packet().status, 0);
        let quiet = [Packet::request(op::GETQ).key("q1").bytes(), Packet::request(op::GETQ).key("q2").bytes()];
        binary.send([quiet.concat(), Packet::request(op::NOOP).bytes()].concat());
        assert_eq!(binary.packet().opcode, op::NOOP);
        let want = [
            "flush_all - answered ascii",
            "set k answered ascii",
            "get k hit ascii",
            "get a hit:1/3 ascii",
            "delete no answered ascii",
            "get no miss ascii",
            "mg k hit meta",
            "mg no miss meta",
            "ms k answered meta",
            "get no miss ascii",
            "set x\\x20y answered binary",
            "get x\\x20y answered binary",
            "get q1 answered binary",
        ];
        assert_eq!(file.essences(want.len()), want, "{protocol}");
        let lines = file.lines();
        let bucket = format!("{}:default", moxi.port());
        for line in &lines {
            assert_eq!((line.kind.as_str(), line.get("retries"), line.get("bucket")), ("sample", "0", bucket.as_str()));
            assert!(servers.iter().any(|server| line.get("server") == format!("127.0.0.1:{}", server.port())));
            assert!(line.get("client").starts_with("127.0.0.1:"));
            let parts = line.millis("queue_ms") + line.millis("server_ms");
            assert!((parts - line.millis("total_ms")).abs() < 0.0015, "{line:?}");
        }
        assert_eq!((lines[3].get("more"), lines[2].fields.get("more")), ("2", None));
        assert!(!fs::read_to_string(&file.path).expect("text").contains("secret"));
    }
}

/// A moxi over this server, whose lines go to a file.
fn over(mock: &Mock, settings: &[&str]) -> (File, Moxi) {
    let file = File::new();
    let mut builder = moxi!().servers([mock.port()]).ascii().threads(1);
    for setting in settings {
        builder = builder.set(*setting);
    }
    let moxi = file.set(builder).start();
    (file, moxi)
}

/// Long enough to be seen.
const PAUSE: Duration = Duration::from_millis(30);

#[test]
fn what_takes_long_is_shown_with_where_the_time_has_gone() {
    let mock = Mock::new();
    let (file, moxi) = over(&mock, &["slow_log=20", "downstream_max=1", "wait_queue_timeout=0"]);
    let (mut one, mut other) = (moxi.client(), moxi.client());
    one.send("get k\r\n");
    let mut server = mock.accept();
    server.expect_piece("get k\r\n");
    // It waits for a place first.
    other.send("delete d\r\n");
    moxi.turn();
    sleep(PAUSE);
    server.send("VALUE k 0 1\r\n1\r\nEND\r\n");
    server.expect_piece("delete d\r\n");
    sleep(PAUSE);
    server.send("DELETED\r\n");
    other.expect_piece("DELETED\r\n");
    let lines = file.wait(2);
    assert_eq!(lines[0].essence(), "get k hit ascii");
    assert_eq!(lines[1].essence(), "delete d answered ascii");
    assert!(lines.iter().all(|line| line.kind == "slow"));
    assert!(lines[0].millis("server_ms") >= 30.0 && lines[0].millis("total_ms") >= 30.0, "{lines:?}");
    assert!(lines[1].millis("server_ms") >= 30.0 && lines[1].millis("queue_ms") >= 30.0, "{lines:?}");
    assert!(lines[1].millis("total_ms") >= 60.0, "{lines:?}");
}

#[test]
fn what_is_quick_is_not_shown() {
    let memcached = Memcached::start(&[]);
    let file = File::new();
    let builder = moxi!().servers([memcached.port()]).ascii();
    let moxi = file.set(builder.set("slow_log=3600000").set("sample=1/3")).threads(1).start();
    let mut client = moxi.client();
    for number in 1..=8 {
        ask(&mut client, &format!("get k{number}\r\n"), "END\r\n");
    }
    assert_eq!(file.essences(2), ["get k3 miss ascii", "get k6 miss ascii"]);
    assert!(file.lines().iter().all(|line| line.kind == "sample"));
}

#[test]
fn failures_are_named() {
    let mock = Mock::new();
    let settings = ["sample=1/1", "downstream_timeout=300", "wait_queue_timeout=20", "downstream_max=1"];
    let (file, moxi) = over(&mock, &settings);
    let (mut one, mut other) = (moxi.client(), moxi.client());
    one.send("get slow\r\n");
    let mut server = mock.accept();
    server.expect_piece("get slow\r\n");
    other.send("delete d\r\n");
    other.expect_piece("SERVER_ERROR proxy wait queue timeout\r\n");
    one.expect_piece("END\r\n");
    let lines = file.wait(2);
    assert_eq!(lines[0].essence(), "delete d wait_queue_timeout ascii");
    assert_eq!((lines[0].get("server_ms"), lines[0].get("server")), ("-", "-"));
    assert!(lines[0].millis("queue_ms") >= 20.0, "{lines:?}");
    assert_eq!(lines[1].essence(), "get slow timeout ascii");
    assert!(lines[1].millis("server_ms") >= 290.0, "{lines:?}");
    assert_eq!(lines[1].get("server"), format!("127.0.0.1:{}", mock.port()));
    // A lost connection, and what is sent again.
    drop(server);
    one.send("get again\r\n");
    mock.accept().expect_piece("get again\r\n"); // and is closed
    let mut server = mock.accept();
    server.expect_piece("get again\r\n");
    server.send("VALUE again 0 1\r\n1\r\nEND\r\n");
    one.expect_piece("VALUE again 0 1\r\n1\r\nEND\r\n");
    one.send("incr n 1\r\n");
    server.expect_piece("incr n 1\r\n");
    drop(server);
    assert!(one.line().starts_with(b"SERVER_ERROR"));
    // A client that does not wait.
    one.send("get gone\r\n");
    let mut server = mock.accept();
    server.expect_piece("get gone\r\n");
    one.reset();
    let lines = file.wait(5);
    let essences: Vec<String> = lines[2..].iter().map(Line::essence).collect();
    assert_eq!(essences, ["get again hit ascii", "incr n connection_lost ascii", "get gone client_left ascii"]);
    assert_eq!(lines[2].get("retries"), "1");
    assert_eq!(lines[4].get("client"), "-");
}

#[test]
fn servers_that_are_not_there() {
    let mock = Mock::new();
    let down = mock.down();
    let file = File::new();
    let moxi = file.set(moxi!().servers([down.port()]).ascii().set("sample=1/1")).start();
    let mut client = moxi.client();
    client.send("delete d\r\n");
    assert!(client.line().starts_with(b"SERVER_ERROR"));
    assert_eq!(file.essences(1), ["delete d connect_failed ascii"]);
}

#[test]
fn very_many_lines_are_counted_instead() {
    let memcached = Memcached::start(&[]);
    let file = File::new();
    let moxi = file.set(moxi!().servers([memcached.port()]).ascii().set("sample=1/1")).threads(1).start();
    let mut client = moxi.client();
    client.send("get k\r\n".repeat(500));
    client.expect("END\r\n".repeat(500));
    let told = |lines: &[Line]| {
        let left_out = lines.iter().filter_map(|line| line.fields.get("left_out"));
        let left_out: usize = left_out.map(|count| count.parse::<usize>().expect("a number")).sum();
        let shown = lines.iter().filter(|line| line.fields.contains_key("key")).count();
        (shown, left_out)
    };
    wait_for("all to be told of", || {
        let (shown, left_out) = told(&file.lines());
        shown + left_out == 500
    });
    let (shown, left_out) = told(&file.lines());
    assert!(shown >= 100 && left_out > 0, "{shown} {left_out}");
}

/// No value and no password, whatever a client sends.
#[test]
fn secrets_are_not_shown() {
    let memcached = Memcached::start(&[]);
    let file = File::new();
    let moxi = file.set(moxi!().servers([memcached.port()]).ascii().set("sample=1/1")).start();
    let mut binary = moxi.client();
    binary.send(Packet::request(op::SASL_AUTH).key("PLAIN").value("\0user\0hush").bytes());
    binary.packet();
    binary.send(Packet::request(op::SET).key("k").extras([0; 8]).value("hush").bytes());
    assert_eq!(binary.packet().status, 0);
    let mut client = moxi.client();
    ask(&mut client, "set k 0 0 4\r\nhush\r\n", "STORED\r\n");
    ask(&mut client, "append k 0 0 x\r\nhush\r\n", "CLIENT_ERROR bad command line format\r\nERROR\r\n");
    file.wait(2);
    assert!(!fs::read_to_string(&file.path).expect("text").contains("hush"));
}

fn started(port: u16, server: u16, behavior: &str) -> Running {
    let list = format!("{port}=127.0.0.1:{server}");
    let behavior = format!("downstream_protocol=ascii,{behavior}");
    let mut moxi = Running::start(&mut launch::moxi(&["-z", &list, "-Z", &behavior, "-t", "1", "-l", "127.0.0.1"]));
    moxi.wait_started();
    assert!(launch::is_milestone(&moxi.error_line()));
    moxi
}

#[test]
fn without_a_file_lines_go_to_the_log() {
    let memcached = Memcached::start(&[]);
    let port = free_port();
    let mut moxi = started(port, memcached.port(), "sample=1/1");
    ask(&mut Wire::connect("client", port), "get k\r\n", "END\r\n");
    let line = moxi.error_line();
    let line = Line::parse(line.split_once(") ").expect("a line of the log").1.trim_end());
    assert_eq!((line.kind.as_str(), line.essence().as_str()), ("sample", "get k miss ascii"));
}

#[test]
fn a_file_is_opened_again() {
    let memcached = Memcached::start(&[]);
    let (port, mut file) = (free_port(), File::new());
    let moxi = started(port, memcached.port(), &format!("sample=1/1,slow_log_file={}", file.path.display()));
    let mut client = Wire::connect("client", port);
    ask(&mut client, "get one\r\n", "END\r\n");
    assert_eq!(file.essences(1), ["get one miss ascii"]);
    let old = file.folder.path().join("old");
    fs::rename(&file.path, &old).expect("renamed");
    moxi.signal("HUP");
    wait_for("the new file", || file.path.exists());
    ask(&mut client, "get two\r\n", "END\r\n");
    assert_eq!(file.essences(1), ["get two miss ascii"]);
    file.path = old;
    assert_eq!(file.essences(1), ["get one miss ascii"]);
}

/// Requests do not care.
#[test]
fn a_file_that_cannot_be_written_is_told_of_once() {
    let memcached = Memcached::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("no").join("slow.log");
    for (path, why) in [(nowhere.to_str().expect("text"), "No such file"), ("/dev/full", "No space left on device")] {
        let port = free_port();
        let list = format!("{port}=127.0.0.1:{}", memcached.port());
        let behavior = format!("downstream_protocol=ascii,sample=1/1,slow_log_file={path}");
        let mut moxi = Running::start(&mut launch::moxi(&["-z", &list, "-Z", &behavior, "-l", "127.0.0.1"]));
        moxi.wait_started();
        let mut client = Wire::connect("client", port);
        for _ in 0..3 {
            ask(&mut client, "get k\r\n", "END\r\n");
        }
        let complaint = moxi.complaint();
        assert!(complaint.contains(&format!("ERROR: cannot write the slow log {path}: {why}")), "{complaint}");
        moxi.signal("TERM");
        assert_eq!(moxi.finish().stderr.matches("slow log").count(), 0);
    }
    fs::create_dir(folder.path().join("no")).expect("a folder");
}

#[test]
fn checks_know_the_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("no").join("slow.log");
    let nowhere = nowhere.to_str().expect("text");
    let port = free_port();
    let list = format!("{port}=127.0.0.1:1");
    for (behavior, complaint) in [
        ("slow_log=100,sample=1/1000,hot_keys=10", None),
        ("slow_log=100ms", Some("config error in key: slow_log value: 100ms (it is a number of milliseconds)")),
        ("sample=1%", Some("config error in key: sample value: 1% (it is 1/N, as in 1/1000, or 0)")),
        ("sample=100", Some("config error in key: sample value: 100 (it is 1/N, as in 1/1000, or 0)")),
        ("hot_keys=10001", Some("config error in key: hot_keys value: 10001 (it is a whole number from 0 to 10000)")),
        ("slow=100", Some("config error in key: slow value: 100 (there is no such key)")),
        ("slow_log=5,slow.log", Some("config error in key: slow.log value: (null) (there is no such key)")),
        (&format!("slow_log_file={nowhere}"), Some(&format!("cannot write the slow log {nowhere}: No such file"))),
    ] {
        let found = launch::run(&["--check", "-z", &list, "-Z", behavior]);
        match complaint {
            None => assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""), "{behavior}"),
            Some(complaint) => assert!(found.stderr.contains(complaint), "{behavior}: {}", found.stderr),
        }
    }
    let found = launch::run(&["--print-config", "-z", &list, "-Z", "slow_log=100,sample=1/1000,hot_keys=10"]);
    for (name, value) in [("slow_log", "100"), ("sample", "1/1000"), ("hot_keys", "10"), ("slow_log_file", "")] {
        let row = found.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row =
            row.into_iter().find(|row| row.iter().any(|word| *word == name || word.starts_with(&format!("{name}="))));
        let row = row.unwrap_or_else(|| panic!("no {name}: {}", found.stdout));
        assert!(row.iter().any(|word| word.ends_with(value)), "{row:?}");
    }
}
