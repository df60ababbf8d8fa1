//! `moxi-top`: the statistics of a running moxi as rates, on standard output and on a terminal.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};

use crate::launch::{self, Finished, Running};
use moxi_test_support::mock::Down;
use moxi_test_support::{Memcached, Mock, Wire, moxi, wait_for};

fn top(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxi-top"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Finished {
    launch::finish(&mut top(arguments))
}

/// The words of the only line that begins with `name`.
fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let mut rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&name) && row.len() > 1).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A rate as it is shown.
fn number(text: &str) -> f64 {
    let (digits, scale) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1e3),
        None => (text, 1.0),
    };
    scale * digits.parse::<f64>().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Each get is of one key that there is and one that there is not.
#[test]
fn the_rates_are_those_of_the_load() {
    let memcached = Memcached::start(&[]);
    let moxi = moxi!().servers([memcached.port()]).ascii().start();
    let mut client = moxi.client();
    client.ask("set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let shown = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                client.ask("get a b\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
                asked.fetch_add(1, SeqCst);
            }
        });
        let shown = run(&["--once", "--interval", "0.5", &format!("127.0.0.1:{}", moxi.port())]);
        is_over.store(true, SeqCst);
        shown
    });
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let text = shown.stdout;
    assert!(text.starts_with(concat!("moxi ", env!("CARGO_PKG_VERSION"), " at 127.0.0.1:")), "{text}");
    // The two clients are the load and moxi-top.
    let bucket = row(&text, &format!("{}:default", moxi.port()));
    assert_eq!((bucket[1], bucket[2]), ("2", "1"), "{text}");
    // What was asked during the interval is no more than everything; three digits are shown.
    let most = asked.load(SeqCst) as f64 / 0.5 * 1.01;
    let (requests, hits) = (number(bucket[3]), number(bucket[4].trim_end_matches('%')));
    assert!(requests > 0.0 && requests <= most, "{asked:?} {text}");
    assert!((40.0..=60.0).contains(&hits), "{text}");
    let get = row(&text, "get");
    assert!(number(get[1]) > 0.0 && number(get[1]) <= most, "{asked:?} {text}");
    // Seven bytes of a line for five of a value.
    assert!(number(get[3]) > number(get[4]) && number(get[4]) > number(get[1]), "{text}");
    assert_eq!(row(&text, "set").last(), Some(&"1"), "{text}");
    // It asks for three parts; a question is not in its own answer.
    assert_eq!(row(&text, "stats").last(), Some(&"3"), "{text}");
    let server = row(&text, &format!("127.0.0.1:{}", memcached.port()));
    assert_eq!((server[1], server[2], server[6]), ("up", "1", "0.0"), "{text}");
    assert!(number(server[5]) > 0.0 && number(server[5]) <= most, "{asked:?} {text}");
    assert!(text.contains("TIME SINCE RESET"), "{text}");
    assert!(!text.contains("TROUBLE") && !text.contains(" -"), "{text}");
}

/// As often as they are asked for, whatever they contain.
#[test]
fn the_keys_that_are_asked_for_most() {
    let memcached = Memcached::start(&[]);
    let moxi = moxi!().servers([memcached.port()]).ascii().set("hot_keys=2").start();
    let mut client = moxi.client();
    for key in ["a", "b", "c", "1:b:pstd_stats:x", "1:b:pstd_stats:x", "1:b:pstd_stats:x", "b"] {
        client.ask(format!("get {key}\r\n"), "END\r\n");
    }
    let shown = run(&["--once", "--interval=0.1", &format!("127.0.0.1:{}", moxi.port())]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let text = shown.stdout;
    // Nothing was asked in between.
    assert_eq!(row(&text, "1:b:pstd_stats:x")[1..], ["0.0", "-", "3"], "{text}");
    assert_eq!(row(&text, "b")[1..], ["0.0", "-", "2"], "{text}");
    assert!(!text.contains("\n1:b"), "a bucket of that name: {text}");
}

#[test]
fn a_unix_socket_and_timings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moxi.sock");
    let moxi = moxi!().mcmux().unix(&path).set("time_stats=1").start();
    let memcached = Memcached::start(&[]);
    Wire::connect_unix("client", &path).ask(format!("A:127.0.0.1:{} get a\r\n", memcached.port()), "END\r\n");
    let shown = run(&["--once", "--interval=0.1", path.to_str().unwrap()]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    // Nothing was asked in between.
    assert!(shown.stdout.contains("\n  servers      half within -, 99% within -\n"), "{}", shown.stdout);
    drop(moxi);
}

/// What the C program says, as far as it is looked at: the names that are new are not there.
fn of_c(uptime: u64, gets: u64) -> String {
    let mut text = format!(
        "STAT basic:version 5.0.0\r\nSTAT basic:nthreads 5\r\nSTAT memcached:stats:pid 7\r\n\
         STAT memcached:stats:uptime {uptime}\r\nSTAT memcached:stats:rusage_user 1.000000\r\n\
         STAT memcached:stats:rusage_system 1.000000\r\nSTAT 11211:default:behavior:time_stats 1\r\n"
    );
    for (name, value) in [
        ("pstd_stats:num_upstream", 4),
        ("pstd_stats:num_downstream_conn", 2),
        ("pstd_stats:tot_downstream_timeout", 0),
        ("pstd_stats:tot_upstream_paused", gets + 3),
        ("pstd_stats:tot_upstream_unpaused", gets),
        ("pstd_stats:tot_cmd_time", 200 * gets),
        ("pstd_stats:tot_cmd_count", gets),
        ("pstd_stats_cmd:regular_get:seen", gets),
        ("pstd_stats_cmd:regular_get_key:hits", 3 * gets),
        ("pstd_stats_cmd:regular_get_key:misses", gets),
    ] {
        text.push_str(&format!("STAT 11211:default:{name} {value}\r\n"));
    }
    text + "END\r\n"
}

/// That program ended when it was asked for timings.
#[test]
fn the_c_program_is_shown_too_and_not_asked_for_timings() {
    let mock = Mock::new();
    let running = Running::start(&mut top(&["--once", "--interval=0.1", &format!("127.0.0.1:{}", mock.port())]));
    let mut server = mock.accept();
    server.answer(10, 1_000_000);
    server.answer(11, 1_001_000);
    server.expect_closed();
    let shown = running.finish();
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    let text = shown.stdout;
    let place = format!("127.0.0.1:{}", mock.port());
    assert!(text.starts_with(&format!("moxi 5.0.0 at {place}, pid 7 on -, up 00:00:11\n")), "{text}");
    let bucket = row(&text, "11211:default");
    // A thousand, in a tenth of a second or more.
    assert!(number(bucket[3]) > 0.0 && number(bucket[3]) <= 10_000.0, "{text}");
    let others = [bucket[1], bucket[2], bucket[4], bucket[7], bucket[9]];
    assert_eq!(others, ["4", "2", "75.0%", "3", "200us"], "{text}");
    assert_eq!(row(&text, "touch")[1..], ["-", "-", "-", "-"], "{text}");
    assert!(!text.contains("server did not answer in time") && text.contains("idle client closed"), "{text}");
}

/// The other side of one question.
trait Answer {
    fn answer(&mut self, uptime: u64, gets: u64);
    fn answer_with(&mut self, reply: &str);
}

impl Answer for Wire {
    fn answer(&mut self, uptime: u64, gets: u64) {
        self.answer_with(&of_c(uptime, gets));
    }

    fn answer_with(&mut self, reply: &str) {
        self.expect("stats proxy\r\n");
        self.send(reply);
    }
}

#[test]
fn what_goes_wrong_says_what_was_expected() {
    let down = Down::new();
    let place = format!("127.0.0.1:{}", down.port());
    let failed = run(&["--once", &place]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert_eq!(failed.stderr, format!("moxi-top: {place}: Connection refused\n"));
    let mock = down.up();
    let running = Running::start(&mut top(&["--once", &place]));
    mock.accept().answer_with("ERROR\r\n");
    let failed = running.finish();
    let why = "its answer to \"stats proxy\" is \"ERROR\": expected STAT lines and END, as of a port of moxi's proxy";
    assert_eq!((failed.code, failed.stderr), (Some(1), format!("moxi-top: {place}: {why}\n")));
    let failed = run(&["--interval", "x"]);
    let why = "moxi-top: Invalid argument for --interval: expected seconds from 0.1 to 3600\n";
    assert_eq!((failed.code, failed.stderr.as_str()), (Some(64), why));
    // Its output is a pipe here.
    let failed = run(&[&place]);
    let why = "moxi-top: standard output is no terminal: expected one, or --once\n";
    assert_eq!((failed.code, failed.stderr.as_str()), (Some(1), why));
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(["--interval", "--once", "--help", "--version"].iter().all(|flag| help.stdout.contains(flag)));
    let version = run(&["-V"]);
    assert_eq!((version.code, version.stdout), (Some(0), format!("moxi-top {}\n", env!("CARGO_PKG_VERSION"))));
}

/// A program on a terminal.
struct Terminal {
    running: Running,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let keyboard = File::from(pty.master);
        let mut command = top(arguments);
        command.stdin(pty.slave.try_clone().expect("a descriptor"));
        let running = Running::start_on(&mut command, pty.slave);
        let screen = Arc::new(Mutex::new(String::new()));
        let (seen, mut reader) = (Arc::clone(&screen), keyboard.try_clone().expect("a descriptor"));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                match reader.read(&mut piece) {
                    Ok(count) if count > 0 => seen.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..count])),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // An error, too, when the last process has closed the other end.
                    _ => return,
                }
            }
        });
        Terminal { running, keyboard, screen }
    }

    /// Waits until this has been drawn, and forgets everything up to there.
    fn expect(&self, text: &str) {
        wait_for(text, || {
            let mut screen = self.screen.lock().unwrap();
            let end = screen.find(text).map(|start| start + text.len());
            end.is_some_and(|end| screen.drain(..end).count() > 0)
        });
    }
}

#[test]
fn the_screen_is_drawn_again_and_again_until_q() {
    let mock = Mock::new();
    let place = format!("127.0.0.1:{}", mock.port());
    let mut terminal = Terminal::start(&["--interval=0.1", &place]);
    let mut server = mock.accept();
    server.answer(10, 1000);
    terminal.expect("\u{1b}[?1049h");
    terminal.expect(&format!("moxi 5.0.0 at {place}, pid 7 on -, up 00:00:10"));
    server.answer(11, 2000);
    terminal.expect("up 00:00:11");
    terminal.expect("75.0%");
    // It goes, and comes back.
    server.expect("stats proxy\r\n");
    server.close();
    terminal.expect(&format!("gone: {place}: it closes the connection without an answer"));
    let mut server = mock.accept();
    server.answer(1, 10);
    terminal.expect("up 00:00:01");
    // It does not wait for an answer now.
    server.expect("stats proxy\r\n");
    terminal.keyboard.write_all(b"q").unwrap();
    terminal.expect("\u{1b}[?1049l");
    let ended = terminal.running.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
