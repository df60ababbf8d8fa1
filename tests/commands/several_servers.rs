//! Requests that several servers answer: multi-key gets and broadcasts (03 §10, §11; 04 §7, §12).

use std::time::Duration;

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Down, Exchange, Mock, MoxiBuilder, Stage, Wire, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Two servers. With four vbuckets `hello` (0) and `doctor` (0) are the first one's, `tomorrow` (1), `foo` (3) and
/// `name` (3) the second one's (05 §10.1).
const MAP: [i32; 4] = [0, 1, 0, 1];

fn builder(ports: [u16; 2]) -> MoxiBuilder {
    moxi!().vbuckets(ports, &MAP)
}

fn ascii() -> Stage {
    ascii_with_ports().0
}

fn ascii_with_ports() -> (Stage, [u16; 2]) {
    let mocks = Mock::several(2);
    let ports = [mocks[0].port(), mocks[1].port()];
    (Stage::ascii(builder(ports), VERSION, mocks), ports)
}

fn binary() -> Stage {
    binary_with_ports().0
}

fn binary_with_ports() -> (Stage, [u16; 2]) {
    let mocks = Mock::several(2);
    let ports = [mocks[0].port(), mocks[1].port()];
    (Stage::binary(builder(ports), VERSION, mocks), ports)
}

/// The line of an order that the servers with these ports have not confirmed.
fn not_confirmed(why: &str, ports: &[u16]) -> String {
    let names: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("{why}: not confirmed by {}\r\n", names.join(", "))
}

fn value(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
}

#[test]
fn multi_get_ascii() {
    let (hello, foo) = (value("hello", "1"), value("foo", "22"));
    let (doctor, name) = (value("doctor", ""), value("name", "4444"));
    ascii().run_all(&[
        Exchange::new("request order, answers in it", "get hello foo\r\n")
            .server_at(0, "get hello\r\n", format!("{hello}END\r\n"))
            .server_at(1, "get foo\r\n", format!("{foo}END\r\n"))
            .gets(format!("{hello}{foo}END\r\n")),
        Exchange::new("request order, answers reversed", "get hello foo\r\n")
            .server_at(1, "get foo\r\n", format!("{foo}END\r\n"))
            .server_at(0, "get hello\r\n", format!("{hello}END\r\n"))
            .gets(format!("{hello}{foo}END\r\n")),
        Exchange::new("interleaved", "get foo hello name doctor\r\n")
            .server_at(0, "get hello doctor\r\n", format!("{hello}{doctor}END\r\n"))
            .server_at(1, "get foo name\r\n", format!("{foo}{name}END\r\n"))
            .gets(format!("{foo}{hello}{name}{doctor}END\r\n")),
        Exchange::new("some missing", "get foo hello name doctor\r\n")
            .server_at(1, "get foo name\r\n", format!("{name}END\r\n"))
            .server_at(0, "get hello doctor\r\n", "END\r\n")
            .gets(format!("{name}END\r\n")),
        Exchange::new("all missing", "get foo hello\r\n")
            .server_at(1, "get foo\r\n", "END\r\n")
            .server_at(0, "get hello\r\n", "END\r\n")
            .gets("END\r\n"),
        Exchange::new("one server refuses", "get foo hello\r\n")
            .server_at(1, "get foo\r\n", "SERVER_ERROR oom\r\n")
            .server_at(0, "get hello\r\n", format!("{hello}END\r\n"))
            .gets(format!("{hello}END\r\n")),
        Exchange::new("repeated keys", "get foo hello foo\r\n")
            .server_at(1, "get foo\r\n", format!("{foo}END\r\n"))
            .server_at(0, "get hello\r\n", format!("{hello}END\r\n"))
            .gets(format!("{foo}{hello}{foo}END\r\n")),
        Exchange::new("one server's keys only", "get foo name\r\n")
            .server_at(1, "get foo name\r\n", format!("{name}{foo}END\r\n"))
            .gets(format!("{name}{foo}END\r\n")),
    ]);
}

#[test]
fn multi_get_binary() {
    let asked = |key: &str, vbucket: u16, offset: u32| {
        join([Packet::request(op::GETKQ).key(key).status(vbucket).opaque(offset), Packet::noop(0)])
    };
    let hit =
        |key: &str, value: &str, offset: u32| Packet::reply(op::GETKQ).extra32(0).key(key).value(value).opaque(offset);
    let noop = Packet::noop_done(0);
    binary().run_all(&[
        Exchange::new("answers reversed", "get hello foo\r\n")
            .server_at(1, asked("foo", 3, 10), join([hit("foo", "22", 10), noop.clone()]))
            .server_at(0, asked("hello", 0, 4), join([hit("hello", "1", 4), noop.clone()]))
            .gets(format!("{}{}END\r\n", value("hello", "1"), value("foo", "22"))),
        Exchange::new("one missing", "get hello foo\r\n")
            .server_at(1, asked("foo", 3, 10), noop.bytes())
            .server_at(0, asked("hello", 0, 4), join([hit("hello", "1", 4), noop.clone()]))
            .gets(format!("{}END\r\n", value("hello", "1"))),
    ]);
}

/// Nothing of a small reply is sent before all of it can be (04 §1, Reply coalescing).
#[test]
fn a_small_reply_waits_for_its_last_server() {
    let mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).ascii().start();
    let mut client = moxi.client();
    client.send("get hello foo\r\n");
    let (mut first, mut second) = (mocks[0].accept(), mocks[1].accept());
    first.expect_piece("get hello\r\n");
    second.expect_piece("get foo\r\n");
    first.send(format!("{}END\r\n", value("hello", "1")));
    client.expect_nothing(Duration::from_millis(20));
    second.send("END\r\n");
    client.expect_piece(format!("{}END\r\n", value("hello", "1")));
}

#[test]
fn flush_all_ascii() {
    let flush = |first: &str, second: &str, gets: &str| {
        [[0, 1], [1, 0]].map(|order| {
            let says = [first, second];
            order
                .iter()
                .fold(Exchange::new(format!("{says:?} {order:?}"), "flush_all\r\n"), |exchange, &server| {
                    exchange.server_at(server, "flush_all\r\n", says[server])
                })
                .gets(gets)
        })
    };
    let mut table = Vec::new();
    let (mut stage, ports) = ascii_with_ports();
    let [one, both] = [1, 2].map(|count| not_confirmed("SERVER_ERROR nope", &ports[..count]));
    table.extend(flush("OK\r\n", "OK\r\n", "OK\r\n"));
    table.extend(flush("SERVER_ERROR nope\r\n", "OK\r\n", &one));
    table.extend(flush("CLIENT_ERROR nope\r\n", "OK\r\n", &one));
    table.extend(flush("SERVER_ERROR nope\r\n", "SERVER_ERROR nope\r\n", &both));
    // What any server says, whichever is asked.
    table.extend(flush("CLIENT_ERROR nope\r\n", "CLIENT_ERROR nope\r\n", "CLIENT_ERROR nope\r\n"));
    table.extend(flush("ERROR\r\n", "ERROR\r\n", "ERROR\r\n"));
    stage.run_all(&table);
}

#[test]
fn flush_all_binary() {
    let seen = Packet::request(op::FLUSH).extra32(0).bytes();
    let flush = |first: u16, second: u16, gets: &str| {
        Exchange::new(format!("{first:#x} {second:#x}"), "flush_all\r\n")
            .server_at(0, &seen, Packet::reply(op::FLUSH).status(first).bytes())
            .server_at(1, &seen, Packet::reply(op::FLUSH).status(second).bytes())
            .gets(gets)
    };
    let (mut stage, ports) = binary_with_ports();
    let unsupported = |ports: &[u16]| not_confirmed("SERVER_ERROR flush_all not supported", ports);
    let temporary = |ports: &[u16]| not_confirmed("SERVER_ERROR temporary failure", ports);
    let moved = not_confirmed("SERVER_ERROR a2b not_my_vbucket", &ports[1..]);
    stage.run_all(&[
        flush(0, 0, "OK\r\n"),
        flush(0x86, 0, &temporary(&ports[..1])),
        flush(0, 0x86, &temporary(&ports[1..])),
        flush(0, 0x07, &moved),
        flush(0x83, 0, &unsupported(&ports[..1])),
        flush(0, 0x83, &unsupported(&ports[1..])),
        flush(0x83, 0x83, &unsupported(&ports)),
        flush(0x86, 0x86, &temporary(&ports)),
    ]);
}

/// The lines up to `END`, sorted: their order is not specified.
fn stats(client: &mut Wire) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if line == "END\r\n" {
            lines.sort();
            return lines;
        }
        lines.push(line.trim_end().to_owned());
    }
}

const FIRST: [(&str, &str); 10] = [
    ("pid", "1"),
    ("version", "1.6.18"),
    ("uptime", "10"),
    ("time", "100"),
    ("get_hits", "18446744073709551610"),
    ("rusage_user", "0.500000"),
    ("only_first", "7"),
    ("text", "yes"),
    ("n", "1"),
    ("x:age", "5"),
];
const SECOND: [(&str, &str); 10] = [
    ("pid", "2"),
    ("version", "1.6.19"),
    ("uptime", "7"),
    ("time", "101"),
    ("get_hits", "5"),
    ("rusage_user", "0.250000"),
    ("only_second", "8"),
    ("text", "no"),
    ("n", "2"),
    ("x:age", "3"),
];
const MERGED: [&str; 11] = [
    "STAT get_hits 18446744073709551615",
    "STAT n 3",
    "STAT only_first 7",
    "STAT only_second 8",
    "STAT pid 1",
    "STAT rusage_user 0.750000",
    "STAT text yes",
    "STAT time 101",
    "STAT uptime 10",
    "STAT version 1.6.18",
    "STAT x:age 5",
];

#[test]
fn statistics_are_merged() {
    let mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).ascii().start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    let lines = |table: [(&str, &str); 10]| -> String {
        table.iter().map(|(name, value)| format!("STAT {name} {value}\r\n")).collect()
    };
    let mut servers = Vec::new();
    for (mock, table) in mocks.iter().zip([FIRST, SECOND]) {
        let mut line = mock.accept();
        line.expect_piece("stats\r\n");
        // What is first is decided by arrival: wait until moxi has taken it.
        line.send(lines(table) + "END\r\n");
        let mut control = moxi.client();
        control.send("version\r\n");
        control.line();
        servers.push(line);
    }
    assert_eq!(stats(&mut client), MERGED);
}

#[test]
fn statistics_of_binary_servers_are_merged() {
    let mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).binary().start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    let mut lines = Vec::new();
    for (mock, table) in mocks.iter().zip([FIRST, SECOND]) {
        let mut line = mock.accept();
        line.expect_piece(Packet::request(op::STAT).bytes());
        let packets = table.iter().map(|(name, value)| Packet::reply(op::STAT).key(name).value(value));
        line.send(join(packets.chain([Packet::reply(op::STAT)])));
        let mut control = moxi.client();
        control.send("version\r\n");
        control.line();
        lines.push(line);
    }
    assert_eq!(stats(&mut client), MERGED);
}

#[test]
fn statistics_with_several_words_are_passed_on_before_the_merged() {
    let mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).ascii().start();
    let mut client = moxi.client();
    client.send("stats\r\n");
    let mut lines: Vec<_> = mocks.iter().map(Mock::accept).collect();
    for line in &mut lines {
        line.expect_piece("stats\r\n");
        line.send("STAT n 1\r\nSTAT words a b\r\nEND\r\n");
    }
    client.expect("STAT words a b\r\nSTAT words a b\r\nSTAT n 2\r\nEND\r\n");
}

#[test]
fn stats_reset() {
    ascii().run_all(&[Exchange::new("stats reset", "stats reset\r\n")
        .server_at(0, "stats reset\r\n", "RESET\r\n")
        .server_at(1, "stats reset\r\n", "RESET\r\n")
        .gets("RESET\r\n")]);
}

/// One server that is down costs only its own keys; statistics leave it out (03 §10.3, §11), orders name it.
#[test]
fn one_server_down() {
    for protocol in ["ascii", "binary"] {
        let mock = Mock::new();
        let down = Down::new();
        let moxi = builder([mock.port(), down.port()]).speaking(protocol).set("connect_max_errors=0").start();
        let mut client = moxi.client();
        let mut server = None;
        // Twice: cold and warm.
        for _ in 0..2 {
            client.send("get foo hello\r\n");
            let line = server.get_or_insert_with(|| mock.accept());
            if protocol == "ascii" {
                line.expect_piece("get hello\r\n");
                line.send("VALUE hello 0 1\r\n1\r\nEND\r\n");
            } else {
                let asked = Packet::request(op::GETKQ).key("hello").opaque(8);
                line.expect_piece(join([asked, Packet::noop(0)]));
                let hit = Packet::reply(op::GETKQ).key("hello").opaque(8).extra32(0).value("1");
                line.send(join([hit, Packet::noop_done(0)]));
            }
            client.expect_piece("VALUE hello 0 1\r\n1\r\nEND\r\n");

            client.send("flush_all\r\n");
            if protocol == "ascii" {
                line.expect_piece("flush_all\r\n");
                line.send("OK\r\n");
            } else {
                line.expect_piece(Packet::request(op::FLUSH).extra32(0).bytes());
                line.send(Packet::reply(op::FLUSH).bytes());
            }
            client.expect_piece(not_confirmed("SERVER_ERROR proxy write to downstream", &[down.port()]));

            client.send("stats\r\n");
            if protocol == "ascii" {
                line.expect_piece("stats\r\n");
                line.send("STAT n 1\r\nEND\r\n");
            } else {
                line.expect_piece(Packet::request(op::STAT).bytes());
                line.send(join([Packet::reply(op::STAT).key("n").value("1"), Packet::reply(op::STAT)]));
            }
            client.expect_piece("STAT n 1\r\nEND\r\n");
        }
    }
}

#[test]
fn all_servers_down() {
    let downs = [Down::new(), Down::new()];
    for protocol in ["ascii", "binary"] {
        let moxi = builder([downs[0].port(), downs[1].port()]).speaking(protocol).set("connect_max_errors=0").start();
        let mut client = moxi.client();
        let none = not_confirmed("SERVER_ERROR proxy write to downstream", &[downs[0].port(), downs[1].port()]);
        for (request, reply) in [
            ("get hello foo\r\n", "END\r\n"),
            ("get hello\r\n", "END\r\n"),
            ("flush_all\r\n", &none),
            ("stats\r\n", "SERVER_ERROR proxy write to downstream\r\n"),
            ("stats reset\r\n", &none),
            ("flush_all noreply\r\nversion\r\n", &format!("VERSION {VERSION}\r\n")),
        ] {
            client.send(request);
            client.expect(reply);
        }
    }
}

/// A server that dies inside its part of the answer costs what it had not sent completely.
#[test]
fn a_server_dies_inside_its_part() {
    let mut mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).ascii().start();
    let mut client = moxi.client();
    client.send("get foo hello name\r\n");
    let (mut first, mut second) = (mocks[0].accept(), mocks[1].accept());
    first.expect_piece("get hello\r\n");
    second.expect_piece("get foo name\r\n");
    second.send("VALUE foo 0 1\r\n2\r\nVALUE name 0 5\r\nab");
    let down = mocks.pop().map(Mock::down);
    second.close();
    first.send("VALUE hello 0 1\r\n1\r\nEND\r\n");
    client.expect("VALUE foo 0 1\r\n2\r\nVALUE hello 0 1\r\n1\r\nEND\r\n");
    drop(down);
}

/// An order to servers of which one dies is answered when the others have answered, and names the one (03 §11; D7).
#[test]
fn a_server_dies_during_a_broadcast() {
    let mut mocks = Mock::several(2);
    let moxi = builder([mocks[0].port(), mocks[1].port()]).ascii().start();
    let mut client = moxi.client();
    client.send("flush_all\r\n");
    let (mut first, mut second) = (mocks[0].accept(), mocks[1].accept());
    first.expect_piece("flush_all\r\n");
    second.expect_piece("flush_all\r\n");
    let down = mocks.pop().map(Mock::down);
    second.close();
    client.expect_nothing(Duration::from_millis(20));
    first.send("OK\r\n");
    let port = down.as_ref().map_or(0, Down::port);
    client.expect(not_confirmed("SERVER_ERROR proxy write to downstream", &[port]));
    drop(down);
}

/// 06 §2.2: a list that names a server four times is asked once for a get, four times for a broadcast.
#[test]
fn the_same_server_several_times() {
    let mock = Mock::new();
    let moxi = moxi!().vbuckets([mock.port(); 4], &[0, 1, 2, 3]).ascii().set("downstream_conn_max=1").start();
    let mut client = moxi.client();
    client.send("get hello tomorrow foo\r\n");
    let mut line = mock.accept();
    line.expect_piece("get hello tomorrow foo\r\n");
    line.send("END\r\n");
    client.expect_piece("END\r\n");
    client.send("flush_all\r\n");
    line.expect("flush_all\r\n".repeat(4));
    line.send("OK\r\n".repeat(4));
    client.expect_piece("OK\r\n");
    // Once of four times is not always, and the only server's own words are the answer if it never does.
    client.send("flush_all\r\n");
    line.expect("flush_all\r\n".repeat(4));
    line.send("OK\r\nSERVER_ERROR nope\r\nOK\r\nOK\r\n");
    client.expect_piece(not_confirmed("SERVER_ERROR nope", &[mock.port()]));
    client.send("flush_all\r\n");
    line.expect("flush_all\r\n".repeat(4));
    line.send("SERVER_ERROR nope\r\n".repeat(4));
    client.expect_piece("SERVER_ERROR nope\r\n");
}
