//! ASCII commands (02 §5–§8).

use super::*;
use crate::memcached::session::OUTPUT_MAX;
use proptest::prelude::*;

/// Requests and what they are answered, in this order.
#[track_caller]
fn talk(server: &Server, lines: &[(&str, &str)]) {
    for (request, reply) in lines {
        assert_eq!(server.say(format!("{request}\r\n")), reply.replace('|', "\r\n") + "\r\n", "{request}");
    }
}

#[test]
fn storing_and_getting() {
    talk(
        &Server::default(),
        &[
            ("get k", "END"),
            ("add k 1 0 3\r\nabc", "STORED"),
            ("add k 1 0 3\r\nxyz", "NOT_STORED"),
            ("replace k 2 0 3\r\ndef", "STORED"),
            ("replace nk 2 0 3\r\ndef", "NOT_STORED"),
            ("append k 9 9 2\r\ngh", "STORED"),
            ("prepend k 9 9 1\r\n-", "STORED"),
            ("append nk 0 0 1\r\nx", "NOT_STORED"),
            ("prepend nk 0 0 1\r\nx", "NOT_STORED"),
            ("get k", "VALUE k 2 6|-defgh|END"),
            ("gets k", "VALUE k 2 6 4|-defgh|END"),
            ("set k2 4294967295 0 0\r\n", "STORED"),
            ("get k2 nk k k2", "VALUE k2 4294967295 0||VALUE k 2 6|-defgh|VALUE k2 4294967295 0||END"),
            ("bget k2", "VALUE k2 4294967295 0||END"),
            ("delete k2", "DELETED"),
            ("delete k2", "NOT_FOUND"),
            ("delete k x", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
            ("delete k 17", "DELETED"),
        ],
    );
}

#[test]
fn cas() {
    talk(
        &Server::default(),
        &[
            ("cas k 0 0 1 1\r\nx", "NOT_FOUND"),
            ("set k 0 0 1\r\nx", "STORED"),
            ("cas k 0 0 1 0\r\ny", "EXISTS"),
            ("cas k 0 0 1 2\r\ny", "EXISTS"),
            ("cas k 0 0 1 1\r\ny", "STORED"),
            ("cas k 0 0 1 1\r\nz", "EXISTS"),
            ("gets k", "VALUE k 0 1 2|y|END"),
            ("cas k 0 0 1 2 and more words\r\nz", "ERROR|ERROR"),
            ("cas k 0 0 1 2 more\r\nz", "STORED"),
            ("cas k 0 0 1\r\nz", "ERROR|ERROR"),
            ("cas k 0 0 1 x", "CLIENT_ERROR bad command line format"),
        ],
    );
}

#[test]
fn without_cas_ids_all_are_equal() {
    let server = Server::new(Settings { cas: false, ..Settings::default() });
    talk(
        &server,
        &[
            ("set k 0 0 1\r\nx", "STORED"),
            ("gets k", "VALUE k 0 1 0|x|END"),
            ("cas k 0 0 1 99\r\ny", "STORED"),
            ("cas nk 0 0 1 99\r\ny", "NOT_FOUND"),
            ("gets k", "VALUE k 0 1 0|y|END"),
        ],
    );
    assert_eq!(server.stat("settings", "cas_enabled"), "no");
    assert_eq!(server.stat("", "bytes"), "59");
}

#[test]
fn arithmetic_is_unsigned() {
    talk(
        &Server::default(),
        &[
            ("incr n 1", "NOT_FOUND"),
            ("set n 7 0 19\r\n9223372036854775807", "STORED"),
            ("incr n 1", "9223372036854775808"),
            ("incr n 1", "9223372036854775809"),
            ("decr n 1", "9223372036854775808"),
            ("decr n 9223372036854775809", "0"),
            ("get n", "VALUE n 7 19|0                  |END"),
            ("incr n 18446744073709551615", "18446744073709551615"),
            ("get n", "VALUE n 7 20|18446744073709551615|END"),
            ("incr n 2", "1"),
            ("decr n 18446744073709551615", "0"),
            ("set n 0 0 3\r\n100", "STORED"),
            ("decr n 1", "99"),
            ("get n", "VALUE n 0 3|99 |END"),
            ("incr n 1 ignored", "100"),
            ("set n 0 0 3\r\n007", "STORED"),
            ("incr n 1", "8"),
            ("get n", "VALUE n 0 3|8  |END"),
            ("set n 0 0 0\r\n", "STORED"),
            ("incr n 5", "5"),
            ("get n", "VALUE n 0 1|5|END"),
        ],
    );
}

#[test]
fn what_is_not_a_number() {
    const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";
    let server = Server::default();
    for value in ["abc", "-1", "1.5", "0x10", "12abc", "18446744073709551616"] {
        server.say(format!("set n 0 0 {}\r\n{value}\r\n", value.len()));
        talk(&server, &[("incr n 1", NON_NUMERIC), ("decr n 1", NON_NUMERIC)]);
        assert!(server.say("get n\r\n").contains(value));
    }
    for delta in ["", "x", "-1", "18446744073709551616"] {
        let expected = if delta.is_empty() { "ERROR" } else { "CLIENT_ERROR invalid numeric delta argument" };
        talk(&server, &[(&format!("incr n {delta}"), expected)]);
    }
}

#[test]
fn refusals() {
    const FORMAT: &str = "CLIENT_ERROR bad command line format";
    const EXPTIME: &str = "CLIENT_ERROR invalid exptime argument";
    let long = "k".repeat(251);
    talk(
        &Server::default(),
        &[
            ("", "ERROR"),
            ("nonsense", "ERROR"),
            ("GET k", "ERROR"),
            ("get", "ERROR"),
            ("bget", "ERROR"),
            ("set k 0 0", "ERROR"),
            ("set k -1 0 1", FORMAT),
            ("set k 4294967296 0 1", FORMAT),
            ("set k 0 x 1", FORMAT),
            ("set k 0 0 -1", FORMAT),
            ("set k 0 0 4294967295", FORMAT),
            ("set k 0 0 2147483647", FORMAT),
            ("set k 0 0 1\r\nxyz", "CLIENT_ERROR bad data chunk|ERROR"),
            ("set k 0 0 1 nonsense\r\nx", "STORED"),
            (&format!("get {long}"), FORMAT),
            (&format!("get k {long} k"), FORMAT),
            (&format!("bget k {long}"), FORMAT),
            (&format!("set {long} 0 0 1"), FORMAT),
            ("verbosity", "ERROR"),
            ("verbosity x", FORMAT),
            ("quit now", "ERROR"),
            ("getl k", "ERROR"),
            ("unl k 1", "ERROR"),
            ("stats proxy", "ERROR"),
            ("slabs reassign 1 2", "CLIENT_ERROR Slab reassignment not supported"),
            ("slabs automove", "ERROR"),
            ("flush_all 99999999999999999999", EXPTIME),
            ("flush_all 99999999999999999999abc", EXPTIME),
            ("flush_all nonsense", EXPTIME),
            ("flush_all 12abc", EXPTIME),
            ("flush_all -", EXPTIME),
            ("flush_all -5", "OK"),
            ("version", concat!("VERSION ", env!("CARGO_PKG_VERSION"))),
        ],
    );
}

#[test]
fn touch_and_gat() {
    let mut server = Server::default();
    talk(
        &server,
        &[
            ("touch k 5", "NOT_FOUND"),
            ("set k 3 1 1\r\nx", "STORED"),
            ("touch k 5", "TOUCHED"),
            ("gat 5 nk k", "VALUE k 3 1|x|END"),
            ("gats 5 k", "VALUE k 3 1 1|x|END"),
            ("gat x k", "CLIENT_ERROR invalid exptime argument"),
        ],
    );
    server.wait(4900);
    assert!(server.has("k"));
    server.wait(100);
    assert!(!server.has("k"));
}

#[test]
fn noreply_silences_everything_but_error() {
    let server = Server::default();
    for request in [
        "set k 0 0 1 noreply\r\nx",
        "add k 0 0 1 noreply\r\nx",
        "cas k 0 0 1 99 noreply\r\nx",
        "append k 0 0 1 noreply\r\ny",
        "incr k 1 noreply",
        "incr k x noreply",
        "touch k 0 noreply",
        "verbosity 1 noreply",
        "set k x 0 1 noreply",
        "set k 0 0 1 noreply\r\nxyz\r\nverbosity 0 noreply",
    ] {
        let answer = server.say(format!("{request}\r\n"));
        assert_eq!(answer, if request.contains("xyz") { "ERROR\r\n" } else { "" }, "{request}");
    }
    assert_eq!(server.say("get k\r\n"), "VALUE k 0 2\r\nxy\r\nEND\r\n");
    assert_eq!(server.say("delete k noreply\r\nget k\r\n"), "END\r\n");
    assert_eq!(server.say("set k 0 0 1\r\nx\r\nflush_all noreply\r\nget k\r\n"), "STORED\r\nEND\r\n");
    assert_eq!(server.say("set k noreply\r\n"), "ERROR\r\n");
}

#[test]
fn oversized_values_are_swallowed_and_leave_nothing_stale() {
    let server = Server::default();
    let too_large = "SERVER_ERROR object too large for cache\r\n";
    for length in [1_048_503, 1 << 20, (1 << 20) + 1, 5 << 20] {
        for noreply in ["", " noreply"] {
            server.fill("foo", 3);
            let value = "x".repeat(length);
            let answer = server.say(format!("set foo 0 0 {length}{noreply}\r\n{value}\r\nget foo\r\n"));
            let expected = if noreply.is_empty() { too_large } else { "" };
            assert_eq!(answer, format!("{expected}END\r\n"), "{length}{noreply}");
        }
        server.fill("foo", 3);
        let answer = server.say(format!("add foo 0 0 {length}\r\n{}\r\n", "x".repeat(length)));
        assert_eq!((answer.as_str(), server.has("foo")), (too_large, true));
    }
    assert_eq!(server.fill("foo", 1_048_502), "STORED\r\n");
    assert_eq!(server.say("append foo 0 0 1\r\nx\r\n"), "NOT_STORED\r\n");
    assert_eq!(server.say("get foo\r\n").len(), "VALUE foo 0 1048502\r\n\r\nEND\r\n".len() + 1_048_502);
}

#[test]
fn a_reply_in_progress_keeps_the_old_value() {
    let server = Server::default();
    server.fill("k", 300_000);
    let mut client = Client::default();
    let mut answer = Vec::new();
    let hold = |client: &mut Client| {
        let space = client.input.space(&mut client.pool);
        space[..7].copy_from_slice(b"get k\r\n");
        client.input.filled(7);
        let access = server.memcached.access(&server.counters, server.clock);
        assert_eq!(client.session.step(&access, &mut client.input, &mut client.pool, &mut client.output), Step::Done);
    };
    hold(&mut client);
    server.say("delete k\r\n");
    server.fill("k", 5);
    client.read(&mut answer);
    assert_eq!(answer.len(), "VALUE k 0 300000\r\n\r\nEND\r\n".len() + 300_000);
}

#[test]
fn a_client_that_does_not_read_is_not_served() {
    let server = Server::default();
    server.fill("k", 100_000);
    let access = server.memcached.access(&server.counters, server.clock);
    let mut client = Client::default();
    let request = "get k k k k k k k k\r\n";
    client.input.space(&mut client.pool)[..request.len()].copy_from_slice(request.as_bytes());
    client.input.filled(request.len());
    let mut step = || {
        let step = client.session.step(&access, &mut client.input, &mut client.pool, &mut client.output);
        (step, client.output.unsent())
    };
    let (first, unsent) = step();
    assert_eq!(first, Step::Full);
    assert!(unsent < OUTPUT_MAX + 100_100, "{unsent}");
    assert_eq!(step(), (Step::Full, unsent), "nothing is added");
    let mut answer = Vec::new();
    client.read(&mut answer);
    client.serve(&server, &mut answer);
    client.read(&mut answer);
    assert_eq!(answer.len(), 8 * ("VALUE k 0 100000\r\n\r\n".len() + 100_000) + 5);
    assert!(answer.ends_with(b"x\r\nEND\r\n"));
}

#[test]
fn quit_and_endless_lines_close() {
    let server = Server::default();
    let mut client = Client::default();
    assert_eq!(client.send(&server, b"quit\r\nget k\r\n"), b"");
    assert!(client.is_closed);
    let mut client = Client::default();
    assert_eq!(client.send(&server, &[b'x'; 8200]), b"CLIENT_ERROR line too long\r\n");
    assert!(client.is_closed);
    let mut client = Client::default();
    assert_eq!(client.send(&server, b"verbosity 99\r\n"), b"OK\r\n");
    assert_eq!(client.verbosity, Some(4));
}

#[test]
fn the_protocol_is_that_of_the_first_byte_or_the_configured_one() {
    let server = Server::default();
    let noop = [&[0x80, 0x0a][..], &[0; 22]].concat();
    let mut client = Client::default();
    assert_eq!(client.send(&server, &noop)[..2], [0x81, 0x0a]);
    client.send(&server, b"get k\r\n");
    assert!(client.is_closed);
    assert_eq!(Client::new(Some(Protocol::Ascii)).send(&server, b"\x80\x0b\0\0\0\r\n"), b"ERROR\r\n");
    let mut client = Client::new(Some(Protocol::Binary));
    assert_eq!(client.send(&server, b"get k\r\n"), b"");
    assert!(client.is_closed);
}

const GOLDEN: &str = "set k 0 0 5\r\nab\r\nc\r\nget k k2\r\nset k2 1 0 3 noreply\r\nxyz\r\ngets k k2\r\nset k 0 0 3\r\nabcd\r\n\
                      bget k k2\r\nincr n 1\r\nadd n 0 0 2\r\n41\r\nincr n 1\nstats nonsense\r\nflush_all\r\nget n\r\n";

#[test]
fn bytes_may_arrive_in_any_pieces() {
    let whole = Server::default().say(GOLDEN);
    assert!(whole.ends_with("OK\r\nEND\r\n"), "{whole}");
    for split in 1..GOLDEN.len() {
        let (server, mut client) = (Server::default(), Client::default());
        let mut answer = client.send(&server, &GOLDEN.as_bytes()[..split]);
        answer.extend(client.send(&server, &GOLDEN.as_bytes()[split..]));
        assert_eq!(text(&answer), whole, "split at {split}");
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes: Vec<u8>) {
        let server = Server::default();
        Client::default().send(&server, &bytes);
        Client::new(Some(Protocol::Ascii)).send(&server, &bytes);
        Client::new(Some(Protocol::Binary)).send(&server, &bytes);
    }

    #[test]
    fn any_words_do_no_harm(words in prop::collection::vec(prop::sample::select(vec![
        "get", "gets", "bget", "gat", "touch", "set", "add", "append", "cas", "incr", "decr", "delete", "flush_all",
        "stats", "detail", "dump", "on", "cachedump", "sizes", "slabs", "reassign", "k", "n", "0", "1", "5", "-1",
        "99999999999999999999", "noreply", "\r\n", "\r\n", "\n", "\0", " ", "xxxxx",
    ]), 0..60)) {
        let server = Server::default();
        Client::default().send(&server, words.join(" ").as_bytes());
        prop_assert!(server.say("get k\r\n").ends_with("END\r\n"));
    }
}
