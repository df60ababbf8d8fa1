//! `--check`: what is wrong with a command line, before it is used, and what it would serve (01 §15.1).

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::launch::{self, Finished, finish, free_port, moxi, refuses, run, section, text};

/// What a check of these words says; nothing else may have happened.
fn check(arguments: &[&str]) -> Finished {
    checked("--check", arguments)
}

/// The same with this depth.
pub fn checked(check: &str, arguments: &[&str]) -> Finished {
    run(&[&[check], arguments].concat())
}

/// The check must find exactly these problems.
#[track_caller]
pub fn problems(finished: &Finished, lines: &[&str]) {
    assert_eq!(finished.stderr.lines().collect::<Vec<_>>(), lines);
    assert_eq!(finished.code, Some(i32::from(!lines.is_empty())));
}

/// The words of each line of the table.
pub fn table(finished: &Finished) -> Vec<Vec<&str>> {
    finished.stdout.lines().map(|line| line.split_whitespace().collect()).collect()
}

const HEAD: [&str; 5] = ["port", "bucket", "protocol", "server", "vbuckets"];

#[test]
fn a_good_command_line_is_a_table_and_nothing_else() {
    let (one, two) = (free_port(), free_port());
    let (first, second) = (one.to_string(), two.to_string());
    let good = check(&["-z", &format!("{one}=a.example,b.example:5;{two}=/run/x.sock"), "-Z", "protocol=ascii"]);
    problems(&good, &[]);
    let want: [&[&str]; 4] = [
        &HEAD,
        &[&first, "default", "ascii", "a.example:11211", "-"],
        &[&first, "default", "ascii", "b.example:5", "-"],
        &[&second, "default", "ascii", "/run/x.sock", "-"],
    ];
    assert_eq!(table(&good), want);
    assert!(refuses(one) && refuses(two));
}

#[test]
fn the_table_counts_the_vbuckets_of_each_server() {
    let port = free_port();
    let document = r#"{"numReplicas":1,"serverList":["a:1","b:2","c:3"],
        "vBucketMap":[[0,1],[0,1],[1,0],[0,1],[1,0],[-1,0],[0,1],[0,1]]}"#;
    let good = check(&["-z", &format!("{port}={document}")]);
    problems(&good, &[]);
    let port = port.to_string();
    let want: [&[&str]; 5] = [
        &HEAD,
        &[&port, "default", "binary", "a:1", "5"],
        &[&port, "default", "binary", "b:2", "2"],
        &[&port, "default", "binary", "c:3", "0"],
        &[&port, "default", "-", "(none)", "1"],
    ];
    assert_eq!(table(&good), want);
}

#[test]
fn the_table_has_whatever_clients_can_connect_to() {
    let (own, other) = (free_port().to_string(), free_port());
    let line = |finished: &Finished, index: usize| finished.stdout.lines().nth(index).unwrap_or_default().to_owned();
    let both = check(&["-p", &own, "-U", "-1", "-z", &section(other)]);
    problems(&both, &[]);
    assert_eq!(table(&both)[2], [&own, "-", "-", "built-in", "memcached", "-"]);
    assert!(line(&both, 3).starts_with("any/udp "), "{}", both.stdout);
    let named = check(&["-X", "-p", &own]);
    problems(&named, &[]);
    assert!(line(&named, 1).contains("as clients say"), "{}", named.stdout);
    let url = "http://fred:sesame@cm.example/p";
    let managed = check(&["-z", url, "-Z", &format!("port_listen={other}")]);
    problems(&managed, &[]);
    assert!(line(&managed, 1).contains("as http://cm.example/p says"), "{}", managed.stdout);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let last = check(&["-s", text(&socket), "-z", "1=a;2=b"]);
    problems(&last, &[]);
    assert_eq!(table(&last)[1..], [[text(&socket), "default", "binary", "b:11211", "-"]]);
    assert!(!socket.exists());
}

#[test]
fn nothing_in_the_texts_is_forgiven() {
    let section = section(free_port());
    for (behavior, complaint) in [
        ("frob=1", "ERROR: config error in key: frob value: 1 (there is no such key)"),
        (
            "downstream_timeout=5s",
            "ERROR: config error in key: downstream_timeout value: 5s (it is a number of milliseconds)",
        ),
        ("cycle=5 s", "WARNING: value of cycle: only the number counts, it is a number of milliseconds: 5 s"),
        ("conn=5", "WARNING: key is abbreviated: conn is taken as connect_timeout"),
        ("strict=1,frob=1", "ERROR: config error in key: frob value: 1 (there is no such key)"),
    ] {
        problems(&check(&["-z", &section, "-Z", behavior]), &[complaint]);
    }
    problems(&check(&["-z", &section, "-Z", "cycle=5,strict=1"]), &[]);
    let stray = "WARNING: the last word of the command line is not used as cluster configuration: files need -z";
    problems(&check(&["-z", &section, "./moxi.cfg"]), &[stray]);
    problems(&check(&["-Z", "cycle=5"]), &["ERROR: need cluster configuration. See usage (-h)."]);
    let port = format!("port_listen={}", free_port());
    problems(&check(&["-z", "url=http://a.example/,usr=x", "-Z", &port]), &["unknown configuration key: usr"]);
    problems(&check(&["-z", "url=", "-Z", &port]), &["ERROR: missing -z configuration for url/host"]);
}

#[test]
fn files_and_documents_that_cannot_be_used_are_named_together() {
    let why = "(No such file or directory)";
    let none = check(&["-z", "/nonexistent", "-Z", "./nonexistent"]);
    problems(
        &none,
        &[
            &format!("ERROR: could not read behavior file: ./nonexistent {why}"),
            &format!("ERROR: could not read cfg file: /nonexistent {why}"),
        ],
    );
    assert_eq!(none.stdout, "");
    let json =
        "bad moxi config, Failed to parse data. Invalid JSON? (section 1, port 1, line 1 column 2 of the document)";
    problems(
        &check(&["-z", "1={bad json", "-Z", "frob=1"]),
        &["ERROR: config error in key: frob value: 1 (there is no such key)", json],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cfg");
    fs::write(&path, "1={\"numReplicas\":0,\"saslPassword\":\"sesame\"}").unwrap();
    let want = format!("bad moxi config, Expected array for serverList (section 1, port 1) in {}", path.display());
    problems(&check(&["-z", text(&path)]), &[&want]);
}

#[test]
fn ports_that_cannot_be_had() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, free) = (held.local_addr().unwrap().port(), free_port());
    let taken = format!("bind(127.0.0.1:{port}): Address already in use");
    let here = ["-l", "127.0.0.1"];
    let check = |arguments: &[&str]| check(&[&here, arguments].concat());
    problems(
        &check(&["-z", &format!("{port}=a;{free}=b")]),
        &[&format!("ERROR: could not listen on port {port}. {taken}. It is the one before the = of a section in -z.")],
    );
    let hint = "Please use -Z port_listen=PORT_NUM to specify a different port number.";
    problems(
        &check(&["http://cm.example/p", "-Z", &format!("port_listen={port}")]),
        &[&format!("ERROR: could not listen on port {port}. {taken}. {hint}")],
    );
    problems(
        &check(&["-p", &port.to_string()]),
        &[&format!("ERROR: could not listen on port {port}. {taken}. It is the one of -p.")],
    );
    problems(
        &check(&["-p", &free.to_string(), "-z", &section(free)]),
        &[&format!("ERROR: port {free} is wanted twice. It is the one before the = of a section in -z.")],
    );
    let hint = "It is the one of -Z metrics.";
    problems(
        &check(&["-z", &section(free), "-Z", &format!("metrics={port}")]),
        &[&format!("ERROR: could not listen on 127.0.0.1:{port}. {taken}. {hint}")],
    );
    problems(
        &check(&["-z", &section(free), "-Z", &format!("metrics={free}")]),
        &[&format!("ERROR: port {free} is wanted twice. {hint}")],
    );
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = datagrams.local_addr().unwrap().port();
    problems(
        &check(&["-U", &port.to_string()]),
        &[&format!("failed to listen on UDP port {port}: bind(127.0.0.1:{port}): Address already in use")],
    );
    problems(
        &self::check(&["-l", "192.0.2.1", "-p", "-1"]),
        &[
            "ERROR: could not listen on port 0. bind(192.0.2.1:0): Cannot assign requested address. It is the one of -p.",
        ],
    );
}

#[test]
fn users_limits_and_files() {
    let section = section(free_port());
    let check = |arguments: &[&str]| check(&[&["-z", &section], arguments].concat());
    problems(&check(&["-u", "no-such-user"]), &["can't find the user no-such-user to switch to"]);
    problems(&check(&["-u", "root"]), &[]);
    let limit = check(&["-c", "2147483647"]);
    assert!(limit.stderr.starts_with("failed to set rlimit for open files. "), "{}", limit.stderr);
    assert_eq!((limit.code, limit.stderr.lines().count()), (Some(1), 1));
    problems(
        &check(&["-O", "/nonexistent/log", "-d", "-P", "/nonexistent/pid"]),
        &[
            "cannot write the log /nonexistent/log: No such file or directory",
            "Could not open the pid file /nonexistent/pid for writing: No such file or directory",
        ],
    );
    problems(&check(&["-P", "/nonexistent/pid"]), &[]);
    problems(&check(&["-O", "/"]), &["cannot write the log /: Is a directory"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "precious").unwrap();
    let told = format!("failed to listen on UNIX socket: {}: Address already in use", path.display());
    problems(&check(&["-s", text(&path)]), &[&told]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

/// Ten servers, of which each of four workers may have five connections: more than a hundred.
#[test]
fn too_few_descriptors_for_the_servers() {
    let servers = (1..=10).map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let section = format!("{}={servers}", free_port());
    let check = |limit: u32| {
        let words = format!("ulimit -n {limit} && exec \"$0\" --check -c 10 -z {section}");
        finish(std::process::Command::new("sh").args(["-c", &words, env!("CARGO_BIN_EXE_moxi")]))
    };
    let low = check(100);
    let start = "WARNING: a limit of 100 open files is too low (ulimit -n): ";
    assert!(low.stderr.starts_with(start) && low.stderr.contains(" which may need 232, "), "{}", low.stderr);
    assert_eq!((low.code, low.stderr.lines().count()), (Some(1), 1));
    problems(&check(1000), &[]);
}

#[test]
fn a_flag_that_is_refused_is_refused_as_ever() {
    assert_eq!(check(&["-p", "abc"]).code, Some(64));
    assert_eq!(check(&["-t", "0"]).code, Some(1));
    let unknown = checked("--check=far", &["-p", "1"]);
    assert_eq!(unknown.code, Some(64));
    assert_eq!(unknown.stderr, "Invalid argument for --check: expected config, deep, or nothing\n");
}

/// Every entry of a directory, with its content.
fn entries(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.map(|path| (text(&path).to_owned(), launch::content(&path))).collect();
    all.sort();
    all
}

#[test]
fn nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("old-log"), "a line\n").unwrap();
    fs::write(path("old-pid"), "12345\n").unwrap();
    fs::write(path("cluster"), section(free_port())).unwrap();
    let before = entries(directory.path());
    let port = free_port();
    for (log, pid) in [("log", "pid"), ("old-log", "old-pid")] {
        for depth in ["--check=config", "--check", "--check=deep"] {
            for place in [["-p", &port.to_string()], ["-s", &path("socket")]] {
                let mut command = moxi(&[depth, "-d", "-u", "root", "-O", &path(log), "-P", &path(pid)]);
                command.args(["-z", &path("cluster")]).args(place).current_dir(directory.path());
                let finished = finish(command.env("MEMCACHED_PORT_FILENAME", path("ports")));
                assert_eq!(finished.code, Some(i32::from(depth == "--check=deep")), "{}", finished.stderr);
                assert_eq!(entries(directory.path()), before, "{depth} {place:?}");
                assert!(refuses(port));
            }
        }
    }
}

/// For a moxi that runs: as patient as a start, and nobody's port is its business.
#[test]
fn a_check_of_the_configuration_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let log = log.to_str().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let section = section(held.local_addr().unwrap().port());
    let check = |arguments: &[&str]| checked("--check=config", &[&["-O", log, "-d"], arguments].concat());
    let good = check(&["-z", &section]);
    assert_eq!((good.code, good.stdout.as_str(), good.stderr.as_str()), (Some(0), "", ""));
    for (arguments, complaint) in [
        (["-z", "/nonexistent"], "ERROR: could not read cfg file: /nonexistent"),
        (["-z", "11211"], "bad moxi config, missing = (section 1)"),
        (["-Z", "cycle=5"], "ERROR: need cluster configuration."),
    ] {
        let bad = check(&arguments);
        assert_eq!(bad.code, Some(1));
        assert!(bad.stderr.contains(complaint), "{arguments:?}: {}", bad.stderr);
    }
    let warned = check(&["-z", &section, "-Z", "frob=1"]);
    assert_eq!(warned.code, Some(0));
    assert!(warned.stderr.contains("frob"), "{}", warned.stderr);
    assert_eq!(check(&["-z", &section, "-t", "0"]).code, Some(1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
