//! How long the old process may take, and how SIGTERM ends one.

use std::time::{Duration, Instant};

use crate::launch::free_port;
use crate::service::Service;
use moxi_test_support::wait::within;
use moxi_test_support::{Mock, Wire};

/// What no client is closed for.
const LONG: &str = "drain_timeout=600000";

fn start(port: u16, server: u16, behavior: &str) -> Service {
    let z = format!("{port}=127.0.0.1:{server}");
    let behavior = format!("downstream_protocol=ascii,downstream_timeout=0,connect_timeout=0,{behavior}");
    Service::start(&["-t", "1", "-z", &z, "-Z", &behavior])
}

/// Has the only worker read what was sent before.
fn sync(port: u16) {
    let mut control = Wire::connect("control", port);
    control.send("version\r\n");
    control.line();
}

#[test]
fn who_stays_too_long_is_closed_between_two_requests() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port(), "drain_timeout=400");
    let (mut half, mut asking) = (Wire::connect("in the middle", port), Wire::connect("one that waits", port));
    asking.send("get a\r\n");
    let mut line = server.accept();
    line.expect("get a\r\n");
    half.send("set b 0 0 5\r\n12");
    sync(port);
    let old = service.upgrade();
    // One that is in the middle of a request cannot go over, and has no answer to wait for.
    half.expect_closed();
    // One that waits is answered, if that does not take as long again.
    line.send("END\r\n");
    asking.expect("END\r\n");
    asking.expect_closed();
    old.wait_gone();
    assert!(service.log().contains("stopped: process "));
}

#[test]
fn there_is_an_end_even_for_requests() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port(), "drain_timeout=200");
    let mut asking = Wire::connect("one that waits", port);
    asking.send("get a\r\n");
    let mut line = server.accept();
    line.expect("get a\r\n");
    let began = Instant::now();
    let old = service.upgrade();
    asking.expect_closed();
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    old.wait_gone();
}

#[test]
fn sigterm_hastens_the_end_of_an_old_process() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port(), LONG);
    let mut half = Wire::connect("in the middle", port);
    half.send("set b 0 0 5\r\n12");
    half.ask("", "");
    let old = service.upgrade();
    old.signal("USR2");
    service.wait_to_log("SIGUSR2 ignored: this process is about to end\n");
    assert!(old.is_alive());
    old.signal("TERM");
    half.expect_closed();
    old.wait_gone();
    // The new one is not concerned.
    assert!(service.current().is_alive());
    sync(port);
}

/// SIGTERM closes whoever is owed nothing, and waits for the rest, longer than a second if need be.
#[test]
fn sigterm_waits_for_what_is_under_way_and_for_nobody_else() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port(), LONG);
    let (mut idle, mut asking) = (Wire::connect("idle", port), Wire::connect("one that waits", port));
    asking.send("get a\r\n");
    let mut line = server.accept();
    line.expect("get a\r\n");
    service.current().signal("TERM");
    idle.expect_closed();
    asking.expect_nothing(Duration::from_millis(1100));
    line.send("END\r\n");
    asking.expect("END\r\n");
    asking.expect_closed();
    assert_eq!(service.first_code(), Some(0));
}

/// One that does not take its answers has a second for it.
#[test]
fn sigterm_does_not_wait_for_one_that_does_not_read() {
    let (server, port) = (Mock::new(), free_port());
    let mut service = start(port, server.port(), LONG);
    let mut deaf = Wire::connect("one that does not read", port);
    deaf.send("get a\r\n");
    let mut line = server.accept();
    line.expect("get a\r\n");
    let length = 64 << 20;
    line.send(format!("VALUE a 0 {length}\r\n"));
    line.send(vec![b'x'; length]);
    line.send("\r\nEND\r\n");
    assert!(deaf.readable(moxi_test_support::LIMIT));
    service.current().signal("TERM");
    within(Duration::from_secs(10), "the end", || (!service.current().is_alive()).then_some(()));
    assert_eq!(service.first_code(), Some(0));
}
