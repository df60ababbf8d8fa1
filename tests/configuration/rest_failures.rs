//! A cluster manager that is down, refuses, or says what cannot be used, from outside (05 §6, 01 §6.4).

use std::fs;

use crate::launch::{Running, free_port, refuses};
use crate::rest::{Bench, SET, Served, bucket, command, served, through};
use moxi_test_support::{Manager, Mock};

#[test]
fn a_wrong_password_ends_the_program_at_the_start() {
    let bench = Bench::start("");
    let exchange = bench.manager.answer("401 Unauthorized", "");
    let finished = bench.moxi.finish();
    drop(exchange);
    assert_eq!(finished.code, Some(1));
    let complaints = finished.complaints();
    assert!(complaints.ends_with(") ERROR: Authentication failure\n"), "{complaints}");
    assert_eq!(complaints.lines().count(), 1);
    let end = ") moxi 7.0.0 stopped: exit code 1, for the reason above\n";
    assert!(finished.stderr.ends_with(end), "{}", finished.stderr);
}

/// Later it is the manager that has a problem: clients are served on.
#[test]
fn a_wrong_password_later_disturbs_nobody() {
    let Served { mut bench, stream, server, mut client, mut conn } = served();
    stream.end();
    assert!(bench.moxi.complaint().contains("ERROR: invalid, empty config from REST server "));
    bench.manager.answer("401 Unauthorized", "");
    let logged = bench.moxi.complaint();
    assert!(logged.contains("HTTP status 401") && logged.contains("the last configuration stays in force"), "{logged}");
    through(&mut client, &mut conn, SET, "STORED\r\n");
    let mut stream = bench.manager.stream();
    stream.document(&bucket("a", &[&server]));
    through(&mut client, &mut conn, SET, "STORED\r\n");
    assert!(bench.moxi.is_alive());
}

#[test]
fn a_port_that_is_taken_ends_the_program() {
    let (manager, taken) = (Manager::new(), Mock::new());
    let moxi = Running::start(&mut command(&manager.url("p"), taken.port(), ""));
    let mut stream = manager.stream();
    stream.document(&bucket("a", &[&taken]));
    let finished = moxi.finish();
    let want = format!(
        "ERROR: could not listen on port {}. Please use -Z port_listen=PORT_NUM to specify a different port number.\n",
        taken.port()
    );
    assert_eq!(finished.code, Some(1));
    assert!(finished.complaints().ends_with(&want), "{}", finished.stderr);
}

/// MB-3575: what standard error shows of a bad URL before a good one, and nothing more.
#[test]
fn alternative_urls() {
    let (bad, good, server) = (Manager::new(), Manager::new(), Mock::new());
    let mut moxi = Running::start(&mut command(&format!("{},{}", bad.url("bad"), good.url("good")), free_port(), ""));
    bad.answer("200 OK", "This is just a bad response that is not JSON.\n");
    let mut stream = good.stream();
    stream.document(&bucket("a", &[&server]));
    stream.end();
    let mut line = || {
        let line = moxi.complaint();
        line.splitn(4, ' ').nth(3).expect("three fields before").to_owned()
    };
    let url = bad.url("bad");
    assert_eq!(
        line(),
        format!("ERROR: parse JSON failed, from REST server: {url}, This is just a bad response that is not JSON.\n")
    );
    assert_eq!(line(), "\n");
    assert_eq!(line(), format!("ERROR: invalid, empty config from REST server {}\n", good.url("good")));
    // From the first one again.
    bad.answer("404 Not Found", "");
    assert_eq!(line(), format!("WARNING: REST server {url}: HTTP status 404\n"));
}

/// With a log file, what operators look for is on standard error, too.
#[test]
fn a_manager_that_is_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let port = free_port();
    let url = format!("http://127.0.0.1:{}/p", free_port());
    let mut moxi = Running::start(command(&format!("http://fred:sesame@{}", &url[7..]), port, "").arg("-O").arg(&log));
    let why = "cannot connect: Connection refused";
    let line = format!(
        "WARNING: could not contact REST server(s): {url} ({why}); perhaps they are unavailable or still initializing\n"
    );
    assert_eq!(moxi.complaint(), line);
    let logged = fs::read_to_string(&log).expect("a log");
    assert!(logged.contains(&line), "{logged}");
    assert!(refuses(port));
}

#[test]
fn urls_that_cannot_be_used_at_all() {
    for (cluster, behavior, want) in [
        #[cfg(not(feature = "tls"))]
        ("https://cm.example/p", "", "ERROR: https:// URLs need a build of moxi with TLS, which this is not\n"),
        ("url=", "", "ERROR: missing -z configuration for url/host\n"),
        ("http://cm.example/p", "port_listen=0", "ERROR: bad port_listen in -Z: 0 is not a port from 1 to 65535\n"),
    ] {
        let finished = Running::start(&mut command(cluster, 1, behavior)).finish();
        assert_eq!(finished.code, Some(1), "{cluster}");
        assert!(finished.stderr.ends_with(want), "{cluster}: {}", finished.stderr);
    }
}
