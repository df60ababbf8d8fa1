//! ASCII clients over binary servers: the exact bytes both ways (04 §6, §7, §12), whole and at every split.
//!
//! With a server list the vbucket is 0, and so is the opaque of a request for one key.

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Exchange, Mock, Stage, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn stage() -> Stage {
    let mock = Mock::new();
    let builder = moxi!().servers([mock.port()]);
    Stage::binary(builder, VERSION, vec![mock])
}

fn exchange(request: &str, seen: Packet, says: Packet, gets: &str) -> Exchange {
    let name = format!("{request:?} status {:#x}", says.status);
    Exchange::new(name, request).server(seen.bytes(), says.bytes()).gets(gets)
}

fn local(request: &str, reply: &str) -> Exchange {
    Exchange::new(format!("{request:?}"), request).gets(reply)
}

fn keyed(opcode: u8) -> Packet {
    Packet::request(opcode).key("a")
}

/// A storage request for `a` with flags 5, expiry 9 and the value `abc`.
fn storing(opcode: u8) -> Packet {
    keyed(opcode).extra32(5).extra32(9).value("abc")
}

fn arithmetic(opcode: u8, delta: u64) -> Packet {
    keyed(opcode).extra64(delta).extra64(0).extra32(0xffff_ffff)
}

fn hit(opcode: u8, key: &str, flags: u32, value: &str) -> Packet {
    Packet::reply(opcode).extra32(flags).key(key).value(value)
}

/// Each status, with the line that a storage command other than `add` and `replace` gets for it.
const STATUSES: [(u16, &str); 17] = [
    (0x01, "NOT_FOUND\r\n"),
    (0x02, "EXISTS\r\n"),
    (0x03, "SERVER_ERROR object too large for cache\r\n"),
    (0x04, "SERVER_ERROR a2b einval\r\n"),
    (0x05, "NOT_STORED\r\n"),
    (0x06, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (0x07, "SERVER_ERROR a2b not_my_vbucket\r\n"),
    (0x20, "SERVER_ERROR a2b auth_error\r\n"),
    (0x21, "SERVER_ERROR a2b auth_continue\r\n"),
    (0x81, "SERVER_ERROR a2b unknown\r\n"),
    (0x82, "SERVER_ERROR out of memory storing object\r\n"),
    (0x83, "SERVER_ERROR a2b not supported\r\n"),
    (0x84, "SERVER_ERROR a2b einternal\r\n"),
    (0x85, "SERVER_ERROR a2b ebusy\r\n"),
    (0x86, "SERVER_ERROR temporary failure\r\n"),
    (0x99, "SERVER_ERROR a2b error\r\n"),
    (0xffff, "SERVER_ERROR a2b error\r\n"),
];

/// An exchange for every status; `different` lists those whose line is not the general one.
fn statuses(request: &str, seen: &Packet, different: &[(u16, &str)]) -> Vec<Exchange> {
    STATUSES
        .iter()
        .map(|&(status, line)| {
            let line = different.iter().find(|(other, _)| *other == status).map_or(line, |(_, line)| line);
            // Servers put a text into the body of an error.
            let reply = Packet::reply(seen.opcode).status(status).value("an error");
            exchange(request, seen.clone(), reply, line)
        })
        .collect()
}

#[test]
fn get() {
    stage().run_all(&[
        exchange("get a\r\n", keyed(op::GETK), Packet::reply(op::GETK).status(1).key("a"), "END\r\n"),
        exchange("get a\r\n", keyed(op::GETK), Packet::reply(op::GETK).status(1).value("Not found"), "END\r\n"),
        exchange("get a\r\n", keyed(op::GETK), hit(op::GETK, "a", 0, "1"), "VALUE a 0 1\r\n1\r\nEND\r\n"),
        exchange("get a\r\n", keyed(op::GETK), hit(op::GETK, "a", 7, ""), "VALUE a 7 0\r\n\r\nEND\r\n"),
        exchange("get a\r\n", keyed(op::GETK), hit(op::GETK, "a", 7, "1").cas(5), "VALUE a 7 1\r\n1\r\nEND\r\n"),
        exchange(
            "get a\r\n",
            keyed(op::GETK),
            hit(op::GETK, "a", u32::MAX, "x\r\n\0"),
            "VALUE a 4294967295 4\r\nx\r\n\0\r\nEND\r\n",
        ),
        exchange("gets a\r\n", keyed(op::GETK), hit(op::GETK, "a", 7, "1").cas(5), "VALUE a 7 1 5\r\n1\r\nEND\r\n"),
        exchange(
            "  gets   a \r\n",
            keyed(op::GETK),
            hit(op::GETK, "a", 7, "1").cas(u64::MAX),
            "VALUE a 7 1 18446744073709551615\r\n1\r\nEND\r\n",
        ),
    ]);
}

#[test]
fn a_failed_get_is_a_miss() {
    let all: Vec<_> = STATUSES.iter().map(|&(status, _)| (status, "END\r\n")).collect();
    stage().run_all(&statuses("get a\r\n", &keyed(op::GETK), &all));
}

#[test]
fn multi_get() {
    let asked = |pairs: &[(&str, u32)]| {
        let mut packets: Vec<_> =
            pairs.iter().map(|(key, offset)| Packet::request(op::GETKQ).key(key).opaque(*offset)).collect();
        packets.push(Packet::noop(0));
        join(packets)
    };
    let noop = Packet::noop_done(0);
    let quiet = |key: &str, offset: u32, value: &str| hit(op::GETKQ, key, 7, value).opaque(offset);
    stage().run_all(&[
        Exchange::new("all missing", "get aa b\r\n")
            .server(asked(&[("aa", 4), ("b", 7)]), noop.bytes())
            .gets("END\r\n"),
        Exchange::new("some found", "get aa b\r\n")
            .server(asked(&[("aa", 4), ("b", 7)]), join([quiet("aa", 4, "1"), noop.clone()]))
            .gets("VALUE aa 7 1\r\n1\r\nEND\r\n"),
        Exchange::new("all found", "get aa b\r\n")
            .server(asked(&[("aa", 4), ("b", 7)]), join([quiet("aa", 4, "1"), quiet("b", 7, "22"), noop.clone()]))
            .gets("VALUE aa 7 1\r\n1\r\nVALUE b 7 2\r\n22\r\nEND\r\n"),
        Exchange::new("in the server's order", "get aa b\r\n")
            .server(asked(&[("aa", 4), ("b", 7)]), join([quiet("b", 7, "22"), quiet("aa", 4, "1"), noop.clone()]))
            .gets("VALUE b 7 2\r\n22\r\nVALUE aa 7 1\r\n1\r\nEND\r\n"),
        Exchange::new("with CAS", "gets a b\r\n")
            .server(asked(&[("a", 5), ("b", 7)]), join([quiet("b", 7, "22").cas(9), noop.clone()]))
            .gets("VALUE b 7 2 9\r\n22\r\nEND\r\n"),
        Exchange::new("offsets count from the first word", "  get  a   b \r\n")
            .server(asked(&[("a", 5), ("b", 9)]), join([quiet("b", 9, "22"), noop.clone()]))
            .gets("VALUE b 7 2\r\n22\r\nEND\r\n"),
        Exchange::new("failures are misses", "get a b\r\n")
            .server(
                asked(&[("a", 4), ("b", 6)]),
                join([
                    Packet::reply(op::GETKQ).opaque(4).status(0x86).value("Temporary failure"),
                    quiet("b", 6, "22"),
                    noop.clone(),
                ]),
            )
            .gets("VALUE b 7 2\r\n22\r\nEND\r\n"),
        Exchange::new("misses may be told", "get a b\r\n")
            .server(
                asked(&[("a", 4), ("b", 6)]),
                join([Packet::reply(op::GETKQ).opaque(4).status(1).key("a"), quiet("b", 6, "22"), noop.clone()]),
            )
            .gets("VALUE b 7 2\r\n22\r\nEND\r\n"),
        Exchange::new("twice", "get a a b a\r\n")
            .server(asked(&[("a", 4), ("b", 8)]), join([quiet("a", 4, "1"), quiet("b", 8, "22"), noop.clone()]))
            .gets("VALUE a 7 1\r\n1\r\nVALUE a 7 1\r\n1\r\nVALUE b 7 2\r\n22\r\nVALUE a 7 1\r\n1\r\nEND\r\n"),
        Exchange::new("twice, in another order", "gets a b a\r\n")
            .server(asked(&[("a", 5), ("b", 7)]), join([quiet("b", 7, "22"), quiet("a", 5, "1").cas(9), noop.clone()]))
            .gets("VALUE a 7 1 9\r\n1\r\nVALUE b 7 2 0\r\n22\r\nVALUE a 7 1 9\r\n1\r\nEND\r\n"),
        // 04 §7 item 5: a reply with the opcode that is not quiet ends the server's turn.
        Exchange::new("ended by GETK", "get a b\r\n")
            .server(
                asked(&[("a", 4), ("b", 6)]),
                join([hit(op::GETK, "a", 7, "1").opaque(4), hit(op::GETK, "b", 7, "22").opaque(6), noop.clone()]),
            )
            .gets("VALUE a 7 1\r\n1\r\nEND\r\n")
            .dropped(),
    ]);
}

#[test]
fn store() {
    let mut table = vec![
        exchange("set a 5 9 3\r\nabc\r\n", storing(op::SET), Packet::reply(op::SET).cas(7), "STORED\r\n"),
        exchange(
            "set a 4294967295 2147483647 0\r\n\r\n",
            keyed(op::SET).extra32(u32::MAX).extra32(i32::MAX as u32),
            Packet::reply(op::SET),
            "STORED\r\n",
        ),
        // As to memcached, it is -1: a time that is past.
        exchange(
            "set a 5 4294967295 0\r\n\r\n",
            keyed(op::SET).extra32(5).extra32(2_592_001),
            Packet::reply(op::SET),
            "STORED\r\n",
        ),
        exchange("add a 5 9 3\r\nabc\r\n", storing(op::ADD), Packet::reply(op::ADD), "STORED\r\n"),
        exchange("replace a 5 9 3\r\nabc\r\n", storing(op::REPLACE), Packet::reply(op::REPLACE), "STORED\r\n"),
        exchange("append a 5 9 3\r\nabc\r\n", keyed(op::APPEND).value("abc"), Packet::reply(op::APPEND), "STORED\r\n"),
        exchange(
            "prepend a 5 9 3\r\nabc\r\n",
            keyed(op::PREPEND).value("abc"),
            Packet::reply(op::PREPEND),
            "STORED\r\n",
        ),
        exchange("cas a 5 9 3 77\r\nabc\r\n", storing(op::SET).cas(77), Packet::reply(op::SET), "STORED\r\n"),
        // 04 §6.1: an id of 0 must not store unconditionally.
        exchange(
            "cas a 5 9 3 0\r\nabc\r\n",
            storing(op::SET).cas(u64::MAX),
            Packet::reply(op::SET).status(2),
            "EXISTS\r\n",
        ),
        // Legal replies that C moxi did not survive: extras with a success, a key with an error.
        exchange(
            "set a 5 9 3\r\nabc\r\n",
            storing(op::SET),
            Packet::reply(op::SET).extra64(1).extra64(2).cas(7),
            "STORED\r\n",
        ),
        exchange(
            "set a 5 9 3\r\nabc\r\n",
            storing(op::SET),
            Packet::reply(op::SET).status(0x86).key("a"),
            "SERVER_ERROR temporary failure\r\n",
        ),
    ];
    table.extend(statuses("set a 5 9 3\r\nabc\r\n", &storing(op::SET), &[]));
    table.extend(statuses("cas a 5 9 3 77\r\nabc\r\n", &storing(op::SET).cas(77), &[]));
    table.extend(statuses("append a 5 9 3\r\nabc\r\n", &keyed(op::APPEND).value("abc"), &[]));
    table.extend(statuses("add a 5 9 3\r\nabc\r\n", &storing(op::ADD), &[(2, "NOT_STORED\r\n")]));
    table.extend(statuses("replace a 5 9 3\r\nabc\r\n", &storing(op::REPLACE), &[(1, "NOT_STORED\r\n")]));
    stage().run_all(&table);
}

#[test]
fn arithmetic_commands() {
    const FAILED: &str = "SERVER_ERROR a2b arith error\r\n";
    let number = |opcode, number: u64| Packet::reply(opcode).value(number.to_be_bytes()).cas(3);
    let mut table = vec![
        exchange("incr a 1\r\n", arithmetic(op::INCR, 1), number(op::INCR, 2), "2\r\n"),
        exchange(
            "incr a 18446744073709551615\r\n",
            arithmetic(op::INCR, u64::MAX),
            number(op::INCR, u64::MAX),
            "18446744073709551615\r\n",
        ),
        exchange("decr a 7\r\n", arithmetic(op::DECR, 7), number(op::DECR, 0), "0\r\n"),
        // 04 §16 no. 28: a number that is too short is none.
        exchange("incr a 1\r\n", arithmetic(op::INCR, 1), Packet::reply(op::INCR).value("1234"), FAILED),
    ];
    let different: Vec<_> = STATUSES
        .iter()
        .map(|&(status, line)| match status {
            // memcached's ASCII protocol has a text for these (DESIGN).
            0x01 | 0x02 | 0x03 | 0x05 | 0x06 | 0x82 => (status, line),
            _ => (status, FAILED),
        })
        .collect();
    table.extend(statuses("incr a 1\r\n", &arithmetic(op::INCR, 1), &different));
    table.extend(statuses("decr a 1\r\n", &arithmetic(op::DECR, 1), &different));
    stage().run_all(&table);
}

#[test]
fn delete_and_touch() {
    let touch = keyed(op::TOUCH).extra32(10);
    let mut table = vec![
        exchange("delete a\r\n", keyed(op::DELETE), Packet::reply(op::DELETE).cas(4), "DELETED\r\n"),
        exchange("delete a 0\r\n", keyed(op::DELETE), Packet::reply(op::DELETE), "DELETED\r\n"),
        exchange("touch a 10\r\n", touch.clone(), Packet::reply(op::TOUCH), "TOUCHED\r\n"),
        // memcached's own reply to it carries extras.
        exchange("touch a 10\r\n", touch.clone(), Packet::reply(op::TOUCH).extra32(0), "TOUCHED\r\n"),
    ];
    table.extend(statuses("delete a\r\n", &keyed(op::DELETE), &[(5, "NOT_FOUND\r\n")]));
    table.extend(statuses("touch a 10\r\n", &touch, &[]));
    stage().run_all(&table);
}

#[test]
fn get_and_touch() {
    let gatk = keyed(op::GATK).extra32(10);
    stage().run_all(&[
        exchange("gat 10 a\r\n", gatk.clone(), hit(op::GATK, "a", 3, "1").cas(9), "VALUE a 3 1\r\n1\r\nEND\r\n"),
        exchange("gats 10 a\r\n", gatk.clone(), hit(op::GATK, "a", 3, "1").cas(9), "VALUE a 3 1 9\r\n1\r\nEND\r\n"),
        exchange("gat 10 a\r\n", gatk.clone(), Packet::reply(op::GATK).status(1), "END\r\n"),
        exchange("gat 10 a\r\n", gatk, Packet::reply(op::GATK).status(0x86), "END\r\n"),
    ]);
}

#[test]
fn lock_and_unlock() {
    let getl = keyed(op::GETL).extra32(10);
    let unl = keyed(op::UNL).cas(258);
    let all: Vec<_> = STATUSES
        .iter()
        .map(|&(status, _)| match status {
            0x01 => (status, "NOT_FOUND\r\n"),
            0x81 | 0x86 => (status, "LOCK_ERROR\r\n"),
            _ => (status, "END\r\n"),
        })
        .collect();
    let mut table = vec![
        exchange(
            "getl a 10\r\n",
            getl.clone(),
            hit(op::GETL, "a", 5, "abc").cas(77),
            "VALUE a 5 3 77\r\nabc\r\nEND\r\n",
        ),
        // Servers that leave the key out: the one asked for is printed.
        exchange(
            "getl a 10\r\n",
            getl.clone(),
            Packet::reply(op::GETL).extra32(5).value("abc").cas(77),
            "VALUE a 5 3 77\r\nabc\r\nEND\r\n",
        ),
        exchange("unl a 258\r\n", unl.clone(), Packet::reply(op::UNL).value("UNLOCKED"), "UNLOCKED\r\n"),
        exchange("unl a 258\r\n", unl.clone(), Packet::reply(op::UNL).status(1).value("NOT_FOUND"), "NOT_FOUND\r\n"),
        exchange("unl a 258\r\n", unl.clone(), Packet::reply(op::UNL), "SERVER_ERROR\r\n"),
        exchange("unl a 258\r\n", unl, Packet::reply(op::UNL).status(0x86), "SERVER_ERROR\r\n"),
    ];
    table.extend(statuses("getl a 10\r\n", &getl, &all));
    stage().run_all(&table);
}

#[test]
fn flush_and_stats_with_one_server() {
    let flush = |delay: u32| Packet::request(op::FLUSH).extra32(delay);
    let stat = |name: &str, value: &str| Packet::reply(op::STAT).key(name).value(value);
    let all_stats = Packet::request(op::STAT);
    stage().run_all(&[
        exchange("flush_all\r\n", flush(0), Packet::reply(op::FLUSH), "OK\r\n"),
        exchange("flush_all 0\r\n", flush(0), Packet::reply(op::FLUSH), "OK\r\n"),
        exchange("flush_all 1234\r\n", flush(1234), Packet::reply(op::FLUSH), "OK\r\n"),
        exchange(
            "flush_all\r\n",
            flush(0),
            Packet::reply(op::FLUSH).status(0x83),
            "SERVER_ERROR flush_all not supported\r\n",
        ),
        Exchange::new("stats", "stats\r\n")
            .server(all_stats.bytes(), join([stat("pid", "17"), Packet::reply(op::STAT)]))
            .gets("STAT pid 17\r\nEND\r\n"),
        Exchange::new("no stats", "stats\r\n")
            .server(all_stats.bytes(), Packet::reply(op::STAT).bytes())
            .gets("END\r\n"),
        Exchange::new("stats refused", "stats\r\n")
            .server(all_stats.bytes(), Packet::reply(op::STAT).status(0x81).value("Unknown command").bytes())
            .gets("END\r\n"),
        // MB-4003: a statistic without a value.
        Exchange::new("empty statistic", "stats\r\n")
            .server(all_stats.bytes(), join([stat("e", ""), Packet::reply(op::STAT)]))
            .gets("STAT e \r\nEND\r\n"),
        Exchange::new("statistic with blanks", "stats\r\n")
            .server(all_stats.bytes(), join([stat("e", "a b c"), Packet::reply(op::STAT)]))
            .gets("STAT e a b c\r\nEND\r\n"),
        Exchange::new("stats reset", "stats reset\r\n")
            .server(Packet::request(op::STAT).key("reset").bytes(), Packet::reply(op::STAT).bytes())
            .gets("RESET\r\n"),
        Exchange::new("stats settings", "stats settings\r\n")
            .server(
                Packet::request(op::STAT).key("settings").bytes(),
                join([stat("maxbytes", "64"), Packet::reply(op::STAT)]),
            )
            .gets("STAT maxbytes 64\r\nEND\r\n"),
    ]);
}

#[test]
fn noreply_is_ours_alone() {
    let silent = |request: &str, seen: Packet, says: Packet| exchange(request, seen, says, "");
    let incr = arithmetic(op::INCR, 1);
    stage().run_all(&[
        silent("set a 5 9 3 noreply\r\nabc\r\n", storing(op::SET), Packet::reply(op::SET)),
        silent("set a 5 9 3 noreply\r\nabc\r\n", storing(op::SET), Packet::reply(op::SET).status(0x82)),
        silent("add a 5 9 3 noreply\r\nabc\r\n", storing(op::ADD), Packet::reply(op::ADD).status(2)),
        silent("replace a 5 9 3 noreply\r\nabc\r\n", storing(op::REPLACE), Packet::reply(op::REPLACE)),
        silent("append a 5 9 3 noreply\r\nabc\r\n", keyed(op::APPEND).value("abc"), Packet::reply(op::APPEND)),
        silent("prepend a 5 9 3 noreply\r\nabc\r\n", keyed(op::PREPEND).value("abc"), Packet::reply(op::PREPEND)),
        silent("cas a 5 9 3 77 noreply\r\nabc\r\n", storing(op::SET).cas(77), Packet::reply(op::SET).status(2)),
        silent("incr a 1 noreply\r\n", incr.clone(), Packet::reply(op::INCR).value(7_u64.to_be_bytes())),
        silent("decr a 1 noreply\r\n", arithmetic(op::DECR, 1), Packet::reply(op::DECR).status(1)),
        silent("delete a noreply\r\n", keyed(op::DELETE), Packet::reply(op::DELETE).status(1)),
        silent("delete a 0 noreply \r\n", keyed(op::DELETE), Packet::reply(op::DELETE)),
        silent("touch a 10 noreply\r\n", keyed(op::TOUCH).extra32(10), Packet::reply(op::TOUCH).extra32(0)),
        silent("flush_all noreply\r\n", Packet::request(op::FLUSH).extra32(0), Packet::reply(op::FLUSH)),
        Exchange::new("noreply, then not", "add a 5 9 3 noreply\r\nabc\r\nincr a 1\r\n")
            .server(
                join([storing(op::ADD), incr]),
                join([Packet::reply(op::ADD).status(2), Packet::reply(op::INCR).value(7_u64.to_be_bytes())]),
            )
            .gets("7\r\n")
            .several(),
    ]);
}

#[test]
fn argument_errors_cost_no_server_connection() {
    const DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
    const EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
    const FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
    let long = "k".repeat(251);
    stage().run_all(&[
        local("incr a x\r\n", DELTA),
        local("incr a -1\r\n", DELTA),
        local("decr a 18446744073709551616\r\n", DELTA),
        local("touch a foo\r\n", EXPTIME),
        local("getl a foo\r\n", EXPTIME),
        local("flush_all foo\r\n", EXPTIME),
        local("unl a foo\r\n", FORMAT),
        local(&format!("get {long}\r\n"), FORMAT),
        local(&format!("get a {long}\r\n"), FORMAT),
        local(&format!("delete {long}\r\n"), FORMAT),
        local("getfoo a\r\n", "ERROR\r\n"),
        local("quit\r\n", "").closed(),
    ]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    stage().run_all(&[Exchange::new("mixed", "get a\r\nbogus\r\nset a 5 9 3\r\nabc\r\ndelete a\r\n")
        .server(
            join([keyed(op::GETK), storing(op::SET), keyed(op::DELETE)]),
            join([hit(op::GETK, "a", 0, "1"), Packet::reply(op::SET), Packet::reply(op::DELETE)]),
        )
        .gets("VALUE a 0 1\r\n1\r\nEND\r\nERROR\r\nSTORED\r\nDELETED\r\n")
        .several()]);
}

#[test]
fn large_values_pass_both_ways() {
    let value = "0123456789abcdef".repeat(65_536);
    stage().run_whole(&[
        exchange(
            &format!("set big 5 9 {}\r\n{value}\r\n", value.len()),
            Packet::request(op::SET).extra32(5).extra32(9).key("big").value(&value),
            Packet::reply(op::SET),
            "STORED\r\n",
        ),
        exchange(
            "get big\r\n",
            Packet::request(op::GETK).key("big"),
            hit(op::GETK, "big", 5, &value),
            &format!("VALUE big 5 {}\r\n{value}\r\nEND\r\n", value.len()),
        ),
    ]);
}

/// With a vbucket map the vbucket of the key is in the header, and in the opaque of a request for one key.
#[test]
fn vbucket_ids() {
    let mocks = Mock::several(1);
    let builder = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, 0]);
    // `hello` is in vbucket 0, `tomorrow` in 1, `another key` has a blank, `foo` is in 3 (05 §10.1).
    let one = |key: &str, vbucket: u16| {
        let seen = Packet::request(op::GETK).key(key).status(vbucket).opaque(u32::from(vbucket));
        let says = hit(op::GETK, key, 0, "1").opaque(u32::from(vbucket));
        Exchange::new(key, format!("get {key}\r\n"))
            .server(seen.bytes(), says.bytes())
            .gets(format!("VALUE {key} 0 1\r\n1\r\nEND\r\n"))
    };
    let two = Exchange::new("two keys", "get hello foo\r\n")
        .server(
            join([
                Packet::request(op::GETKQ).key("hello").opaque(4),
                Packet::request(op::GETKQ).key("foo").status(3).opaque(10),
                Packet::noop(0),
            ]),
            join([hit(op::GETKQ, "foo", 0, "1").opaque(10), Packet::noop_done(0)]),
        )
        .gets("VALUE foo 0 1\r\n1\r\nEND\r\n");
    let flush = Exchange::new("flush", "flush_all\r\n")
        .server(Packet::request(op::FLUSH).extra32(0).bytes(), Packet::reply(op::FLUSH).bytes())
        .gets("OK\r\n");
    Stage::binary(builder, VERSION, mocks).run_whole(&[one("hello", 0), one("tomorrow", 1), one("foo", 3), two, flush]);
}
