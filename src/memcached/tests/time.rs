//! Expiry and flushes (02 §8).

use super::*;

fn set(server: &Server, key: &str, exptime: impl std::fmt::Display) {
    assert_eq!(server.say(format!("set {key} 0 {exptime} 1\r\nx\r\n")), "STORED\r\n");
}

#[test]
fn items_expire() {
    let mut server = Server::default();
    set(&server, "never", 0);
    set(&server, "soon", 1);
    set(&server, "at", server.unix() + 2);
    set(&server, "past", server.unix() - 1);
    set(&server, "now", server.unix());
    set(&server, "month", 2_592_000);
    set(&server, "far", i32::MAX);
    assert!(!server.has("past") && !server.has("now"));
    server.wait(999);
    assert!(server.has("soon") && server.has("at"));
    server.wait(1);
    assert!(!server.has("soon") && server.has("at"));
    assert_eq!(server.say("add soon 0 0 1\r\nx\r\n"), "STORED\r\n");
    server.wait(1000);
    assert!(!server.has("at"));
    server.wait(2_592_000_000);
    assert!(server.has("never") && server.has("far") && !server.has("month"));
}

#[test]
fn every_negative_expiry_is_past() {
    let server = Server::default();
    for exptime in [-1, -2, -100, -2_147_483_648i64, i64::MIN] {
        set(&server, "k", 0);
        set(&server, "k", exptime);
        assert!(!server.has("k"), "{exptime}");
    }
}

/// The number of an ASCII command is one of 32 bits with a sign (`protocol::expiry`).
#[test]
fn large_expiries_are_negative() {
    let server = Server::default();
    for (exptime, lives) in [((1u64 << 31) - 1, true), (1 << 31, false), ((1 << 32) - 1, false), (1 << 32, true)] {
        set(&server, "k", 0);
        set(&server, "k", exptime);
        assert_eq!(server.has("k"), lives, "{exptime}");
    }
}

#[test]
fn expired_items_are_not_there_for_any_command() {
    let mut server = Server::default();
    for (request, reply) in [
        ("get k", "END"),
        ("add k 0 0 1\r\nx", "STORED"),
        ("replace k 0 0 1\r\nx", "NOT_STORED"),
        ("append k 0 0 1\r\nx", "NOT_STORED"),
        ("cas k 0 0 1 1\r\nx", "NOT_FOUND"),
        ("incr k 1", "NOT_FOUND"),
        ("touch k 0", "NOT_FOUND"),
        ("delete k", "NOT_FOUND"),
    ] {
        set(&server, "k", 1);
        server.wait(1000);
        assert_eq!(server.say(format!("{request}\r\n")), format!("{reply}\r\n"), "{request}");
        server.say("delete k\r\n");
    }
    assert_eq!(server.stat("", "curr_items"), "0");
}

#[test]
fn a_flush_removes_what_is_there_and_nothing_else() {
    let server = Server::default();
    for form in ["flush_all", "flush_all 0", "flush_all -3"] {
        set(&server, "k", 0);
        assert_eq!(server.say(format!("{form}\r\n")), "OK\r\n");
        assert!(!server.has("k"));
        set(&server, "k", 0);
        assert!(server.has("k"), "{form}");
    }
    assert_eq!(server.stat("settings", "oldest"), "1");
}

#[test]
fn a_delayed_flush_happens_at_its_time() {
    for absolute in [false, true] {
        let mut server = Server::default();
        let time = if absolute { server.unix() + 2 } else { 2 };
        set(&server, "before", 0);
        server.say(format!("flush_all {time}\r\n"));
        assert_eq!(server.stat("settings", "oldest"), "3");
        server.wait(1999);
        set(&server, "meanwhile", 0);
        assert!(server.has("before"));
        server.wait(1);
        assert!(!server.has("before") && !server.has("meanwhile"));
        set(&server, "after", 0);
        assert!(server.has("after"), "in the same second");
        server.wait(5000);
        assert!(server.has("after"));
    }
}

#[test]
fn a_flush_replaces_a_pending_one() {
    let mut server = Server::default();
    server.say("flush_all 2\r\nflush_all 4\r\n");
    set(&server, "k", 0);
    server.wait(3000);
    assert!(server.has("k"));
    server.wait(1000);
    assert!(!server.has("k"));
    server.say("flush_all 2\r\nflush_all\r\n");
    set(&server, "k", 0);
    server.wait(3000);
    assert!(server.has("k"));
    server.say(format!("flush_all {}\r\n", server.unix() - 100));
    assert!(!server.has("k"), "a time that is past is now");
}
