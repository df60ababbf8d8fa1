//! Lines of clients that broke others. After each the connection is in step, or closed.

use std::time::Duration;

use moxi_test_support::{Wire, moxi, wait_for};

use crate::{Targets, VERSION, VERSION_IS};

/// What is sent, and what is answered before the version is.
struct Row {
    /// Of whom, as in the list.
    of: &'static str,
    sent: String,
    answered: String,
}

fn row(of: &'static str, sent: impl Into<String>, answered: impl Into<String>) -> Row {
    Row { of, sent: sent.into(), answered: answered.into() }
}

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_DATA: &str = "CLIENT_ERROR bad data chunk\r\n";
const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";

/// The same for proxies and the built-in server.
fn rows() -> Vec<Row> {
    let (longest, too_long) = ("k".repeat(250), "k".repeat(251));
    let blanks = " ".repeat(3000);
    let keys = |bad: &str| (0..500).map(|n| format!(" contact:email:{n}{}", if n == 2 { bad } else { "" })).collect();
    let (with_tab, with_control): (String, String) = (keys("\t"), keys("\x01"));
    vec![
        row("memcached e8364b58", format!("{blanks}\r\n"), "ERROR\r\n"),
        row("memcached e8364b58", format!("get{blanks}\r\n"), "ERROR\r\n"),
        row("memcached 14189cfc", format!("get {blanks} a {blanks} b\r\n"), "END\r\n"),
        row("memcached d4fd459d", " \r\n", "ERROR\r\n"),
        row("memcached af05c930", "\r\n\r\n\n\n\r\n", "ERROR\r\n".repeat(5)),
        row("memcached af05c930", "\r\n".repeat(3000), "ERROR\r\n".repeat(3000)),
        row("memcached 5f366ccb", "lru\r\nlr\r\nge k\r\ngett k\r\nversions\r\n", "ERROR\r\n".repeat(5)),
        row("memcached 5267f14c", "set k 0 0 2\r\nabcd\r\n", format!("{BAD_DATA}ERROR\r\n")),
        row("memcached 5267f14c", "set k 0 0 2 noreply\r\nabcd\r\n", "ERROR\r\n"),
        row(
            "memcached 5267f14c",
            "set k 0 0 2\r\nabcd\r\nset k 0 0 2\r\nhi\r\nget k\r\n",
            format!("{BAD_DATA}ERROR\r\nSTORED\r\nVALUE k 0 2\r\nhi\r\nEND\r\n"),
        ),
        row(
            "memcached #1306",
            format!("set k 0 0 600000\r\n{}\r\n", "x".repeat(600_002)),
            format!("{BAD_DATA}ERROR\r\n"),
        ),
        row(
            "memcached 5e26fb6d",
            "set z 0 0 0\r\n\r\nget z\r\nappend z 0 0 0\r\n\r\nprepend z 0 0 0\r\n\r\nget z\r\n",
            "STORED\r\nVALUE z 0 0\r\n\r\nEND\r\nSTORED\r\nSTORED\r\nVALUE z 0 0\r\n\r\nEND\r\n",
        ),
        row("memcached 11b5f9bb", format!("set {longest} 0 0 1\r\n1\r\nincr {longest} 1\r\n"), "STORED\r\n2\r\n"),
        row(
            "memcached 11b5f9bb",
            format!("get {longest}\r\ntouch {longest} 0\r\ndelete {longest}\r\n"),
            "END\r\nNOT_FOUND\r\nNOT_FOUND\r\n",
        ),
        row("twemproxy #115, #138", format!("get a {too_long} b\r\n"), BAD_LINE),
        row("twemproxy #115, #138", format!("set {too_long} 0 0 1\r\nx\r\n"), format!("{BAD_LINE}ERROR\r\n")),
        row(
            "memcached 7d8ef8fc",
            "set k 0 0 1\r\n1\r\nincr k\r\nincr k \r\ntouch k \r\ncas k 0 0 1 \r\n",
            "STORED\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\n",
        ),
        row("memcached #1312", "set k 0 0 3\r\nabc\r\ndelete k noreply\r\nget k\r\n", "STORED\r\nEND\r\n"),
        row("memcached #1312", "set k 0 0 3\r\nabc\r\ndelete k 0 noreply\r\nget k\r\n", "STORED\r\nEND\r\n"),
        row("memcached #1312", "set k 0 0 1\r\na\r\nincr k 1 noreply\r\ndecr k x noreply\r\n", "STORED\r\n"),
        row("mcrouter #186, #334", "set k 0 0 1\r\na\r\nincr k 1\r\n", format!("STORED\r\n{NON_NUMERIC}")),
        row("mcrouter #186", "incr k 0.2\r\nincr k -1\r\n", BAD_DELTA.repeat(2)),
        row("mcrouter d6ab87fa", "incr k 18446744073709551616\r\n", BAD_DELTA),
        row("mcrouter #186", "touch k 0.2\r\n", "CLIENT_ERROR invalid exptime argument\r\n"),
        row("mcrouter d6ab87fa", "set k 0 0 18446744073709551616\r\n", BAD_LINE),
        row("mcrouter d6ab87fa", "set k 0 0 18446744073709551617\r\n", BAD_LINE),
        row("memcached 9981d748", "set k 0 0 4294967295\r\n", BAD_LINE),
        row("memcached 229cf41b", "set k 0 0 -1\r\n", BAD_LINE),
        row("mcrouter d6ab87fa", "cas k 0 0 1 18446744073709551616\r\nx\r\n", format!("{BAD_LINE}ERROR\r\n")),
        row("twemproxy #357", "get \r\ngets \r\nget\r\ngat 0\r\n", "ERROR\r\n".repeat(4)),
        row("twemproxy f9b688e", "set\r\nappend\r\ndelete\r\nincr\r\ncas\r\ntouch\r\n", "ERROR\r\n".repeat(6)),
        row("mcrouter #95", format!("get{with_tab}\r\n"), "END\r\n"),
        row("mcrouter #95", format!("get{with_control}\r\n"), "END\r\n"),
        row("mcrouter #125", "set Ñandú 0 0 1\r\nx\r\nget Ñandú\r\n", "STORED\r\nVALUE Ñandú 0 1\r\nx\r\nEND\r\n"),
        row("mcrouter #322", "version    \r\n", VERSION_IS),
    ]
}

#[test]
fn lines_that_broke_others() {
    let targets = Targets::start();
    for Row { of, sent, answered } in rows() {
        let wanted = format!("{answered}{VERSION_IS}");
        for (name, mut client) in targets.clients() {
            println!("{of} {name} {:?}", sent.get(..60).unwrap_or(&sent));
            client.send(format!("{sent}{VERSION}"));
            client.expect(&wanted);
        }
        if sent.len() > 200 {
            continue;
        }
        for (name, mut client) in targets.clients() {
            println!("{of} {name} {sent:?}, byte by byte");
            for byte in sent.bytes().chain(VERSION.bytes()) {
                client.send([byte]);
            }
            client.expect(&wanted);
        }
    }
}

/// What only the built-in server understands, of flags without their arguments and the like.
#[test]
fn meta_commands_that_broke_others() {
    let targets = Targets::start();
    let token = "CLIENT_ERROR bad token in command line format\r\n";
    let flag = "CLIENT_ERROR invalid or duplicate flag\r\n";
    for (of, sent, answered) in [
        ("memcached 17684bfa", "mg k T\r\n", token),
        ("memcached 17684bfa", "mg k v N R T O E\r\n", token),
        ("memcached 7c5f1bb4", "ms k 2 F\r\nhi\r\n", BAD_LINE),
        ("memcached 7c5f1bb4", "ms k 2 T\r\nhi\r\n", token),
        ("memcached 17684bfa", "ma k D\r\n", flag),
        ("memcached 17684bfa", "md k C\r\n", flag),
        ("memcached 93b5e10f", "ms k 2 MZ\r\nhi\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("memcached 93b5e10f", "ms k -1\r\n", BAD_LINE),
        ("memcached 93b5e10f", "ms k 99999999999\r\n", BAD_LINE),
        ("memcached 5e26fb6d", "ms k 0\r\n\r\nmg k v\r\n", "HD\r\nVA 0\r\n\r\n"),
    ] {
        let mut client = targets.built_in();
        println!("{of} {sent:?}");
        client.ask(format!("{sent}{VERSION}"), format!("{answered}{VERSION_IS}"));
    }
}

/// Memory is not moved between classes, whatever they are (memcached 0240ddee).
#[test]
fn slabs_are_not_reassigned() {
    let targets = Targets::start();
    for classes in ["255 255", "-1 -1", "0 300", "1 2147483648"] {
        for (name, mut client) in targets.clients() {
            println!("{name} {classes}");
            client.send(format!("slabs reassign {classes}\r\n{VERSION}"));
            assert!(client.line().starts_with(b"CLIENT_ERROR "));
            client.expect(VERSION_IS);
        }
    }
}

/// An opaque that is too long, thousands of times: nothing is leaked, and the item stays what it is.
#[test]
fn opaques_that_are_too_long() {
    let targets = Targets::start();
    let mut client = targets.built_in();
    let too_long = format!("O{}", "o".repeat(40));
    let said = "CLIENT_ERROR opaque token too long\r\n";
    client.ask("ms k 2\r\nhi\r\n", "HD\r\n");
    for _ in 0..40 {
        client.ask(format!("mg k v {too_long}\r\n").repeat(100), said.repeat(100));
        client.ask(format!("ms k 2 {too_long}\r\nno\r\n").repeat(100), said.repeat(100));
    }
    client.ask("mg k v s\r\n", "VA 2 s2\r\nhi\r\n");
    client.ask("md k\r\nmg k v\r\n", "HD\r\nEN\r\n");
}

/// A get that never ends, and blanks that never end (memcached 8b852b61, e8364b58).
#[test]
fn a_line_that_never_ends() {
    let targets = Targets::start();
    for (begins, piece) in [("get a", " b"), ("", " "), ("set ", " ")] {
        for (name, mut client) in targets.clients() {
            println!("{name} {begins:?} {piece:?}");
            client.send(begins);
            let piece = piece.repeat(32 * 1024);
            // It is refused long before.
            for _ in 0..400 {
                client.send_into_the_dark(&piece);
            }
            let said = client.rest();
            assert!(b"CLIENT_ERROR line too long\r\n".starts_with(&said[..]), "{}", said.escape_ascii());
        }
    }
}

/// What comes behind `quit` is not looked at (mcrouter #322, twemproxy a5c182b).
#[test]
fn behind_quit() {
    let targets = Targets::start();
    for behind in ["version\r\n", "version", "get a\r\nset a 0 0 1\r\n1\r\n", "\x00\x01", "quit\r\n"] {
        for (name, mut client) in targets.clients() {
            println!("{name} {behind:?}");
            client.send(format!("quit\r\n{behind}"));
            assert_eq!(client.rest(), b"");
        }
    }
}

/// A value that is still on its way while the answer to what was sent before it comes (memcached 28f4abf8).
#[test]
fn a_value_that_waits_while_others_are_answered() {
    let targets = Targets::start();
    for (name, mut client) in targets.clients() {
        println!("{name}");
        client.send("set a 0 0 1\r\n1\r\nget a\r\nget b\r\nset b 0 0 20000\r\n");
        client.expect("STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nEND\r\n");
        let value = "x".repeat(10_000);
        client.send(&value);
        client.expect_nothing(Duration::from_millis(5));
        client.send(format!("{value}\r\nget b\r\n"));
        client.expect(format!("STORED\r\nVALUE b 0 20000\r\n{value}{value}\r\nEND\r\n"));
    }
}

/// Values whose end falls on the edge of somebody's buffer (twemproxy #19, 68860c9, memcached #997).
#[test]
fn values_of_every_length_around_a_buffer() {
    let targets = Targets::start();
    let around = |middle: usize| middle.saturating_sub(40)..middle + 12;
    let lengths: Vec<usize> = [2048, 4096, 8192, 16_384, 32_768, 65_536].into_iter().flat_map(around).collect();
    for (name, mut client) in targets.clients() {
        println!("{name}");
        for &length in &lengths {
            let value = "v".repeat(length);
            client.ask(format!("set 0123456789 0 0 {length}\r\n{value}\r\n"), "STORED\r\n");
            client.ask(
                "get 0123456789 other\r\nget 0123456789\r\n",
                format!("VALUE 0123456789 0 {length}\r\n{value}\r\nEND\r\n").repeat(2),
            );
        }
    }
}

/// A great many keys at once, found and not (twemproxy #276, #481, mcrouter #95).
#[test]
fn a_get_of_thousands_of_keys() {
    let targets = Targets::start();
    for (name, mut client) in targets.clients() {
        println!("{name}");
        client.send((0..3000).map(|n| format!("set key:{n} 0 0 1\r\nx\r\n")).collect::<String>());
        client.expect("STORED\r\n".repeat(3000));
        let line: String = (0..6000).map(|n| format!(" key:{n}")).collect();
        for _ in 0..5 {
            client.send(format!("get{line}\r\n"));
            let mut found = 0;
            loop {
                let line = client.line();
                if line == b"END\r\n" {
                    break;
                }
                assert!(line.starts_with(b"VALUE key:"), "{}", line.escape_ascii());
                client.expect("x\r\n");
                found += 1;
            }
            assert_eq!(found, 3000);
        }
        client.ask(VERSION, VERSION_IS);
    }
}

/// Whoever does not read does not fill the memory (twemproxy #433, #296, mcrouter #198), and what one burst has needed
/// does for the next (mcrouter #297).
#[test]
fn requests_whose_answers_nobody_reads() {
    let server = moxi_test_support::Memcached::start(&[]);
    let patient = "downstream_conn_queue_timeout=20000,wait_queue_timeout=20000,downstream_timeout=20000";
    let mut moxi = moxi!().servers([server.port()]).ascii().set("downstream_max=200").set(patient).start();
    let mut other = moxi.client();
    let value = "v".repeat(100_000);
    other.ask(format!("set a 0 0 100000\r\n{value}\r\n"), "STORED\r\n");
    let before = moxi.process().memory();
    // Each may have `upstream_output_max` unread; what is under way comes on top. A buffer for a value is up to an eighth
    // longer than that; and 16 MiB of such buffers are kept for what comes next, of clients and of servers.
    let values = 4 * (16 << 20) + 200 * 100_000;
    let most = before + values / 8 * 9 + 2 * (16 << 20) + (16 << 20);
    for burst in 0..3 {
        let mut greedy: Vec<Wire> = (0..4).map(|_| moxi.client()).collect();
        for client in &mut greedy {
            // 2 GB in all, if they were answered.
            client.send("get a\r\n".repeat(5_000));
        }
        for _ in 0..20 {
            other.ask("get a\r\n", format!("VALUE a 0 100000\r\n{value}\r\nEND\r\n"));
        }
        let memory = moxi.process().memory();
        assert!(memory < most, "burst {burst}: {memory} bytes, {before} before");
        drop(greedy);
        wait_for("them to be gone", || moxi.counter("pstd_stats:num_upstream") == 2);
    }
}
