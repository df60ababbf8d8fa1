//! ASCII clients over ASCII servers: the exact bytes both ways (04 §2–§5, §7, §12), whole and at every split.

use moxi_test_support::{Exchange, Mock, Stage, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NO_WORD: &str = "CLIENT_ERROR unknown word behind stats proxy, valid: \
                       all info settings behaviors frontcache keystats stats timings config buckets hotkeys latency servers reset route\r\n";

fn key(length: usize) -> String {
    "k".repeat(length)
}

fn stage() -> Stage {
    let mock = Mock::new();
    let builder = moxi!().servers([mock.port()]);
    Stage::ascii(builder, VERSION, vec![mock])
}

/// Sent on as it is, answered as it is.
fn same(request: &str, reply: &str) -> Exchange {
    Exchange::new(format!("{request:?} {reply:?}"), request).server(request, reply).gets(reply)
}

/// Sent on in another form.
fn rewritten(request: &str, seen: &str, reply: &str) -> Exchange {
    Exchange::new(format!("{request:?}"), request).server(seen, reply).gets(reply)
}

/// Answered differently from what the server says.
fn translated(request: &str, says: &str, gets: &str) -> Exchange {
    Exchange::new(format!("{request:?} {says:?}"), request).server(request, says).gets(gets)
}

/// Sent on as `seen`, whatever is answered the client hears nothing.
fn silent(request: &str, seen: &str, says: &str) -> Exchange {
    Exchange::new(format!("{request:?} {says:?}"), request).server(seen, says)
}

/// Answered by moxi alone.
fn local(request: impl AsRef<[u8]>, reply: &str) -> Exchange {
    let request = request.as_ref();
    Exchange::new(format!("\"{}\"", request.escape_ascii()), request).gets(reply)
}

#[test]
fn get() {
    stage().run_all(&[
        same("get a\r\n", "END\r\n"),
        same("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
        same("get a\r\n", "VALUE a 0 0\r\n\r\nEND\r\n"),
        same("get a\r\n", "VALUE a 4294967295 3\r\nabc\r\nEND\r\n"),
        // A value may look like protocol.
        same("get a\r\n", "VALUE a 5 14\r\nEND\r\nVALUE \0\r\n\r\nEND\r\n"),
        same("gets a\r\n", "VALUE a 5 3 77\r\nabc\r\nEND\r\n"),
        same("gets a\r\n", "VALUE a 5 3 18446744073709551615\r\nabc\r\nEND\r\n"),
        same("gets a\r\n", "END\r\n"),
        rewritten("get a\n", "get a\r\n", "END\r\n"),
        rewritten("  get   a  \r\n", "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
        rewritten("get a\0b\r\n", "get a\r\n", "END\r\n"),
    ]);
}

#[test]
fn a_failed_get_is_a_miss() {
    stage().run_all(&[
        translated("get a\r\n", "SERVER_ERROR oom\r\n", "END\r\n"),
        translated("get a\r\n", "CLIENT_ERROR bad\r\n", "END\r\n"),
        translated("get a\r\n", "ERROR\r\n", "END\r\n"),
        translated("gets a\r\n", "SERVER_ERROR oom\r\n", "END\r\n"),
        translated("get a b\r\n", "SERVER_ERROR oom\r\n", "END\r\n"),
        translated("get a b\r\n", "VALUE a 0 1\r\n1\r\nSERVER_ERROR oom\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
    ]);
}

#[test]
fn multi_get() {
    stage().run_all(&[
        same("get a b\r\n", "END\r\n"),
        same("get a b\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"),
        same("get a b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n"),
        same("get a b\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 1 2\r\n22\r\nEND\r\n"),
        same("gets a b\r\n", "VALUE a 0 1 8\r\n1\r\nVALUE b 1 2 9\r\n22\r\nEND\r\n"),
        // One server's order is passed on (DESIGN, Whole pieces).
        same("get a b\r\n", "VALUE b 1 2\r\n22\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        rewritten(" get  a   b \n", "get a b\r\n", "VALUE b 1 2\r\n22\r\nEND\r\n"),
    ]);
}

/// Each value stands in every place where its key was named, as with memcached, in whatever order the server sends.
#[test]
fn a_key_named_twice_is_asked_for_once() {
    stage().run_all(&[
        Exchange::new("twice", "get a a\r\n")
            .server("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n")
            .gets("VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange::new("twice, missing", "get a a\r\n").server("get a\r\n", "END\r\n").gets("END\r\n"),
        Exchange::new("among others", "get a a b a\r\n")
            .server("get a b\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n")
            .gets("VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange::new("among others, with CAS", "gets a b a\r\n")
            .server("gets a b\r\n", "VALUE a 0 1 5\r\n1\r\nVALUE b 0 1 6\r\n2\r\nEND\r\n")
            .gets("VALUE a 0 1 5\r\n1\r\nVALUE b 0 1 6\r\n2\r\nVALUE a 0 1 5\r\n1\r\nEND\r\n"),
        Exchange::new("in another order", "get a b c a\r\n")
            .server("get a b c\r\n", "VALUE c 0 1\r\n3\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
            .gets("VALUE a 0 1\r\n1\r\nVALUE c 0 1\r\n3\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        Exchange::new("touched", "gat 10 b a b\r\n")
            .server("gat 10 b a\r\n", "VALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
            .gets("VALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n"),
        Exchange::new("one of two missing", "get a b a\r\n")
            .server("get a b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n")
            .gets("VALUE b 0 1\r\n2\r\nEND\r\n"),
    ]);
}

#[test]
fn store() {
    let mut table = vec![
        same("set a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        same("set a 0 0 0\r\n\r\n", "STORED\r\n"),
        same("set a 0 0 7\r\na\r\nb\0\r\n\r\n", "STORED\r\n"),
        same("set a 4294967295 0 1\r\n1\r\n", "STORED\r\n"),
        same("set a 0 -1 1\r\n1\r\n", "STORED\r\n"),
        same("set a 0 2147483647 1\r\n1\r\n", "STORED\r\n"),
        same("set a 0 0 1\r\n1\r\n", "SERVER_ERROR out of memory storing object\r\n"),
        same("set a 0 0 1\r\n1\r\n", "CLIENT_ERROR whatever it is\r\n"),
        same("set a 0 0 1\r\n1\r\n", "ERROR\r\n"),
        same("add a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        same("add a 5 0 3\r\nabc\r\n", "NOT_STORED\r\n"),
        same("replace a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        same("replace a 5 0 3\r\nabc\r\n", "NOT_STORED\r\n"),
        same("append a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        same("append a 5 0 3\r\nabc\r\n", "NOT_STORED\r\n"),
        same("prepend a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        same("prepend a 5 0 3\r\nabc\r\n", "NOT_STORED\r\n"),
        same("cas a 5 0 3 77\r\nabc\r\n", "STORED\r\n"),
        same("cas a 5 0 3 77\r\nabc\r\n", "EXISTS\r\n"),
        same("cas a 5 0 3 77\r\nabc\r\n", "NOT_FOUND\r\n"),
        same("cas a 5 0 3 18446744073709551615\r\nabc\r\n", "EXISTS\r\n"),
        rewritten("  set   a  5 0   3  \r\nabc\r\n", "set a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        rewritten("set a 5 0 3 foo\r\nabc\r\n", "set a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        rewritten("set a 5 0 3\nabc\r\n", "set a 5 0 3\r\nabc\r\n", "STORED\r\n"),
        translated("set a 0 0 1\r\n1\r\n", "NOT_FOUND and more\r\n", "NOT_FOUND\r\n"),
        translated("set a 0 0 1\r\n1\r\n", "LOCK_ERROR and more\r\n", "LOCK_ERROR\r\n"),
    ];
    let long = format!("set {} 0 0 1\r\n1\r\n", key(250));
    table.push(same(&long, "STORED\r\n"));
    stage().run_all(&table);
}

#[test]
fn arithmetic_delete_touch() {
    stage().run_all(&[
        same("incr a 1\r\n", "2\r\n"),
        same("incr a 18446744073709551615\r\n", "18446744073709551614\r\n"),
        same("incr a 1\r\n", "NOT_FOUND\r\n"),
        same("incr a 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        same("decr a 7\r\n", "0\r\n"),
        same("decr a 7\r\n", "NOT_FOUND\r\n"),
        rewritten("  incr   a  1  \r\n", "incr a 1\r\n", "2\r\n"),
        same("delete a\r\n", "DELETED\r\n"),
        same("delete a\r\n", "NOT_FOUND\r\n"),
        same("delete a\r\n", "SERVER_ERROR busy\r\n"),
        rewritten("delete a 0\r\n", "delete a\r\n", "DELETED\r\n"),
        rewritten("delete a 17\r\n", "delete a\r\n", "DELETED\r\n"),
        rewritten("delete a \r\n", "delete a\r\n", "DELETED\r\n"),
        same("touch a 10\r\n", "TOUCHED\r\n"),
        same("touch a -1\r\n", "TOUCHED\r\n"),
        same("touch a 10\r\n", "NOT_FOUND\r\n"),
    ]);
}

#[test]
fn get_and_touch() {
    stage().run_all(&[
        same("gat 10 a\r\n", "END\r\n"),
        same("gat 10 a\r\n", "VALUE a 3 1\r\n1\r\nEND\r\n"),
        same("gats 10 a\r\n", "VALUE a 3 1 99\r\n1\r\nEND\r\n"),
        same("gat -1 a\r\n", "VALUE a 3 1\r\n1\r\nEND\r\n"),
        same("gat 10 a b\r\n", "VALUE a 3 1\r\n1\r\nVALUE b 3 1\r\n2\r\nEND\r\n"),
        translated("gat 10 a\r\n", "SERVER_ERROR oom\r\n", "END\r\n"),
    ]);
}

#[test]
fn lock_and_unlock() {
    stage().run_all(&[
        same("getl a 10\r\n", "VALUE a 5 3 77\r\nabc\r\nEND\r\n"),
        same("getl a\r\n", "VALUE a 5 3 77\r\nabc\r\nEND\r\n"),
        same("getl a 10\r\n", "LOCK_ERROR\r\n"),
        same("getl a 10\r\n", "NOT_FOUND\r\n"),
        same("unl a 77\r\n", "UNLOCKED\r\n"),
        same("unl a 77\r\n", "NOT_FOUND\r\n"),
        same("unl a 77\r\n", "LOCK_ERROR\r\n"),
    ]);
}

#[test]
fn flush_and_stats_with_one_server() {
    stage().run_all(&[
        same("flush_all\r\n", "OK\r\n"),
        same("flush_all 0\r\n", "OK\r\n"),
        same("flush_all 10\r\n", "OK\r\n"),
        // 03 §21.3 item 8: nobody confirmed, so the server's line is shown.
        same("flush_all\r\n", "SERVER_ERROR nope\r\n"),
        same("stats\r\n", "STAT pid 17\r\nEND\r\n"),
        same("stats\r\n", "END\r\n"),
        same("stats reset\r\n", "RESET\r\n"),
        same("stats settings\r\n", "STAT maxbytes 64\r\nEND\r\n"),
    ]);
}

#[test]
fn noreply_is_ours_alone() {
    stage().run_all(&[
        silent("set a 0 0 1 noreply\r\n1\r\n", "set a 0 0 1\r\n1\r\n", "STORED\r\n"),
        silent("set a 0 0 1 noreply  \r\n1\r\n", "set a 0 0 1\r\n1\r\n", "STORED\r\n"),
        silent("set a 0 0 1 noreply\r\n1\r\n", "set a 0 0 1\r\n1\r\n", "SERVER_ERROR out of memory storing object\r\n"),
        silent("add a 0 0 1 noreply\r\n1\r\n", "add a 0 0 1\r\n1\r\n", "NOT_STORED\r\n"),
        silent("replace a 0 0 1 noreply\r\n1\r\n", "replace a 0 0 1\r\n1\r\n", "STORED\r\n"),
        silent("append a 0 0 1 noreply\r\n1\r\n", "append a 0 0 1\r\n1\r\n", "STORED\r\n"),
        silent("prepend a 0 0 1 noreply\r\n1\r\n", "prepend a 0 0 1\r\n1\r\n", "STORED\r\n"),
        silent("cas a 0 0 1 5 noreply\r\n1\r\n", "cas a 0 0 1 5\r\n1\r\n", "EXISTS\r\n"),
        silent("incr a 1 noreply\r\n", "incr a 1\r\n", "7\r\n"),
        silent("decr a 1 noreply\r\n", "decr a 1\r\n", "NOT_FOUND\r\n"),
        silent("delete a noreply\r\n", "delete a\r\n", "DELETED\r\n"),
        silent("delete a noreply \r\n", "delete a\r\n", "DELETED\r\n"),
        silent("delete a 0 noreply\r\n", "delete a\r\n", "NOT_FOUND\r\n"),
        silent("touch a 10 noreply\r\n", "touch a 10\r\n", "TOUCHED\r\n"),
        silent("flush_all noreply\r\n", "flush_all\r\n", "OK\r\n"),
        silent("flush_all 10 noreply\r\n", "flush_all 10\r\n", "OK\r\n"),
        // D4: the flag belongs to one command.
        Exchange::new("noreply, then not", "delete a noreply\r\ndelete b\r\n")
            .server("delete a\r\ndelete b\r\n", "NOT_FOUND\r\nDELETED\r\n")
            .gets("DELETED\r\n")
            .several(),
        // D3: six values, each its own.
        Exchange::new(
            "pipelined noreply sets",
            (0..6).map(|n| format!("set k{n} 0 0 2 noreply\r\nv{n}\r\n")).collect::<String>(),
        )
        .server((0..6).map(|n| format!("set k{n} 0 0 2\r\nv{n}\r\n")).collect::<String>(), "STORED\r\n".repeat(6))
        .several(),
        Exchange::new("noreply set, then get", "set a 0 0 1 noreply\r\n1\r\nget a\r\n")
            .server("set a 0 0 1\r\n1\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
            .gets("VALUE a 0 1\r\n1\r\nEND\r\n")
            .several(),
    ]);
}

#[test]
fn answered_by_moxi() {
    let version = format!("VERSION {VERSION}\r\n");
    stage().run_all(&[
        local("version\r\n", &version),
        local("version\n", &version),
        local("  version \r\n", &version),
        local("version and more\r\n", &version),
        local("verbosity 0\r\n", "OK\r\n"),
        local("verbosity 0 noreply\r\n", ""),
        local("quit\r\n", "").closed(),
        local("get\r\n", "ERROR\r\n"),
        local("get \r\n", "ERROR\r\n"),
        local("gets\r\n", "ERROR\r\n"),
        local("delete\r\n", "ERROR\r\n"),
        local("incr a\r\n", "ERROR\r\n"),
        local("touch a\r\n", "ERROR\r\n"),
        local("unl a\r\n", "ERROR\r\n"),
        local("verbosity\r\n", "ERROR\r\n"),
        local("GET a\r\n", "ERROR\r\n"),
        local("get\ta\r\n", "ERROR\r\n"),
        local("getfoo a\r\n", "ERROR\r\n"),
        local("getq a\r\n", "ERROR\r\n"),
        local("bogus\r\n", "ERROR\r\n"),
        local("\r\n", "ERROR\r\n"),
        local("\n", "ERROR\r\n"),
        local(" \r\n", "ERROR\r\n"),
        local("mn\r\n", "MN\r\n"),
        local("mx a\r\n", "ERROR\r\n"),
        local("shutdown\r\n", "ERROR\r\n"),
        local("slabs reassign 1 2\r\n", "CLIENT_ERROR not through a proxy: ask the server itself\r\n"),
        local("lru_crawler enable\r\n", "CLIENT_ERROR not through a proxy: ask the server itself\r\n"),
        local("stats proxy nonsense\r\n", NO_WORD),
        local("stats proxy keystats\r\n", "END\r\n"),
        // Binary on an ASCII connection is text.
        local(b"x\x80\x00\x00\r\n", "ERROR\r\n"),
        local(b"\x81\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn argument_errors() {
    const DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
    const EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
    const FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
    let mut table = vec![
        local("incr a x\r\n", DELTA),
        local("incr a -1\r\n", DELTA),
        local("decr a 18446744073709551616\r\n", DELTA),
        local("incr a x noreply\r\n", ""),
        local("touch a foo\r\n", EXPTIME),
        local("gat foo a\r\n", EXPTIME),
        local("getl a foo\r\n", EXPTIME),
        local("unl a foo\r\n", FORMAT),
        local("flush_all foo\r\n", EXPTIME),
    ];
    let long = key(251);
    for line in [
        format!("get {long}\r\n"),
        format!("gets a {long} b\r\n"),
        format!("get {long} a\r\n"),
        format!("gat 10 {long}\r\n"),
        format!("delete {long}\r\n"),
        format!("incr {long} 1\r\n"),
        format!("touch {long} 1\r\n"),
        format!("getl {long} 1\r\n"),
        format!("unl {long} 1\r\n"),
    ] {
        table.push(local(&line, FORMAT));
    }
    stage().run_all(&table);
}

#[test]
fn bad_storage_lines() {
    const FORMAT: &str = "CLIENT_ERROR bad command line format\r\nERROR\r\n";
    let long = key(251);
    stage().run_all(&[
        local("set a 0 0 -1\r\nabc\r\n", FORMAT).several(),
        local("set a x 0 3\r\nabc\r\n", FORMAT).several(),
        local("set a -1 0 3\r\nabc\r\n", FORMAT).several(),
        local("set a 4294967296 0 3\r\nabc\r\n", FORMAT).several(),
        local("set a 0 x 3\r\nabc\r\n", FORMAT).several(),
        local("set a 0 0 x\r\nabc\r\n", FORMAT).several(),
        local("set a 0 0 2147483647\r\nabc\r\n", FORMAT).several(),
        local("cas a 0 0 1 -1\r\n1\r\n", FORMAT).several(),
        local("cas a 0 0 1 zz\r\n1\r\n", FORMAT).several(),
        local("cas a 0 0 1 18446744073709551616\r\n1\r\n", FORMAT).several(),
        local("cas a 0 0 1\r\n1\r\n", "ERROR\r\nERROR\r\n").several(),
        local("set a 0 0\r\nabc\r\n", "ERROR\r\nERROR\r\n").several(),
        local("set a 0 0 3 x y\r\nabc\r\n", "ERROR\r\nERROR\r\n").several(),
        local(format!("set {long} 0 0 1\r\n1\r\n"), FORMAT).several(),
        local("set a 0 0 -1 noreply\r\nabc\r\n", "ERROR\r\n").several(),
    ]);
}

#[test]
fn bad_data_chunk() {
    stage().run_all(&[
        local("set a 0 0 3\r\nabcdef\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n").several(),
        local("set a 0 0 3 noreply\r\nabcdef\r\n", "ERROR\r\n").several(),
        // The line end of the data block is two bytes, whatever they are.
        Exchange::new("short block", "set a 0 0 3\nabc\nversion\r\n")
            .gets("CLIENT_ERROR bad data chunk\r\nERROR\r\n")
            .several(),
    ]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    stage().run_all(&[
        Exchange::new("mixed", "get a\r\nversion\r\nset b 0 0 1\r\n1\r\nbogus\r\nget c d\r\nincr e 1\r\n")
            .server(
                "get a\r\nset b 0 0 1\r\n1\r\nget c d\r\nincr e 1\r\n",
                "VALUE a 0 1\r\nx\r\nEND\r\nSTORED\r\nVALUE d 0 1\r\ny\r\nEND\r\n6\r\n",
            )
            .gets(format!(
                "VALUE a 0 1\r\nx\r\nEND\r\nVERSION {VERSION}\r\nSTORED\r\nERROR\r\nVALUE d 0 1\r\ny\r\nEND\r\n6\r\n"
            ))
            .several(),
        Exchange::new("then quit", "get a\r\nquit\r\nget b\r\n")
            .server("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n")
            .gets("VALUE a 0 1\r\nx\r\nEND\r\n")
            .several()
            .closed(),
    ]);
}

#[test]
fn large_values_pass_both_ways() {
    let value = "0123456789abcdef".repeat(65_536);
    let item = format!("{}\r\n{value}\r\n", value.len());
    stage().run_whole(&[
        same(&format!("set big 0 0 {item}"), "STORED\r\n"),
        same("get big\r\n", &format!("VALUE big 0 {item}END\r\n")),
        same("get big small\r\n", &format!("VALUE big 0 {item}VALUE small 0 1\r\n1\r\nEND\r\n")),
    ]);
}

#[test]
fn a_thousand_keys() {
    let keys: Vec<_> = (0..1000).map(|n| format!("key{n}")).collect();
    let line = format!("get {}\r\n", keys.join(" "));
    let reply: String = keys.iter().map(|key| format!("VALUE {key} 0 {}\r\n{key}\r\n", key.len())).collect();
    stage().run_whole(&[same(&line, "END\r\n"), same(&line, &format!("{reply}END\r\n"))]);
}
