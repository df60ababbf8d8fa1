//! What `stats` of a proxied port makes of its servers' answers, in each pair of protocols (06 §2.3, §2.4).

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Mock, Moxi, PROTOCOLS, Wire, moxi};

use crate::proxy_stats::{ask_for_packets, take_packets};

/// What each server says of a name, and what becomes of it: in `stats`, and where nothing is added.
struct Row {
    name: &'static str,
    says: [&'static str; 4],
    stats: &'static str,
    settings: &'static str,
}

const fn row(name: &'static str, says: [&'static str; 4], stats: &'static str, settings: &'static str) -> Row {
    Row { name, says, stats, settings }
}

const ROWS: [Row; 30] = [
    row("pid", ["11", "22", "33", "44"], "11", "11"),
    row("version", ["1.4.5", "1.4.6", "1.6.18", "1"], "1.4.5", "1.4.5"),
    row("libevent", ["2.0", "2.1", "2.1", "2.1"], "2.0", "2.0"),
    row("ep_dbname", ["/a", "/b", "/c", "/d"], "/a", "/a"),
    row("ep_storage_type", ["featured", "b", "b", "b"], "featured", "featured"),
    row("ep_flusher_state", ["running", "b", "b", "b"], "running", "running"),
    row("ep_warmup_thread", ["complete", "b", "b", "b"], "complete", "complete"),
    row("uptime", ["5", "9", "7", "1"], "9", "9"),
    row("time", ["1000", "900", "1001", "1"], "1001", "1001"),
    row("pointer_size", ["32", "64", "64", "32"], "64", "64"),
    row("limit_maxbytes", ["5", "9", "7", "1"], "9", "9"),
    row("maxbytes", ["5", "9", "7", "1"], "9", "9"),
    row("accepting_conns", ["0", "1", "1", "1"], "1", "1"),
    row("hash_power_level", ["16", "17", "16", "16"], "17", "17"),
    row("1:chunk_size", ["96", "120", "96", "96"], "120", "120"),
    row("1:chunks_per_page", ["10", "20", "10", "10"], "20", "20"),
    row("items:1:age", ["7", "3", "8", "1"], "8", "8"),
    row("items:1:age_hot", ["7", "3", "8", "1"], "8", "8"),
    row("items:1:age_warm", ["7", "3", "8", "1"], "8", "8"),
    row("items:1:evicted_time", ["7", "3", "8", "1"], "8", "8"),
    row("items:1:number", ["1", "2", "3", "4"], "10", "1"),
    row("curr_items", ["10", "20", "30", "40"], "100", "10"),
    row("bytes", ["10", "30", "1", "1"], "42", "10"),
    row("threads", ["4", "4", "4", "4"], "16", "4"),
    row("rusage_user", ["0.5", "0.25", "1", "0.000001"], "1.750001", "0.5"),
    row("neg", ["-5", "-6", "1", "0"], "-10", "-5"),
    row("wraps", ["18446744073709551615", "1", "0", "2"], "2", "18446744073709551615"),
    row("address", ["127.0.0.1", "127.0.0.2", "1.5", "2"], "127.0.0.1", "127.0.0.1"),
    row("word", ["yes", "no", "1", "2"], "yes", "yes"),
    row("text", ["x", "1", "2", "3"], "x", "x"),
];

/// The answer of server number `server`.
fn answer(protocol: &str, server: usize) -> Vec<u8> {
    if protocol == "ascii" {
        let lines = ROWS.iter().map(|row| format!("STAT {} {}\r\n", row.name, row.says[server]));
        return (lines.collect::<String>() + "END\r\n").into_bytes();
    }
    let statistics = ROWS.iter().map(|row| Packet::reply(op::STAT).key(row.name).value(row.says[server]).bytes());
    statistics.chain([Packet::reply(op::STAT).bytes()]).flatten().collect()
}

/// Servers, what stands before them, and another client that knows when it is done with what it has.
struct World {
    protocol: &'static str,
    moxi: Moxi,
    servers: Vec<Wire>,
    other: Wire,
}

impl World {
    fn new(protocol: &'static str, servers: usize) -> World {
        let mocks = Mock::several(servers);
        let moxi = moxi!().servers(mocks.iter().map(Mock::port)).speaking(protocol).start();
        let (mut first, other) = (moxi.client(), moxi.client());
        ask_for_packets(&mut first, "");
        let mut servers: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
        if protocol == "ascii" {
            // What they understand is asked once, because a binary client has come.
            for server in &mut servers {
                server.expect_piece("mn\r\n");
                server.send("ERROR\r\n");
            }
        }
        let order: Vec<usize> = (0..servers.len()).collect();
        let mut world = World { protocol, moxi, servers, other };
        world.answer("", &order);
        take_packets(&mut first);
        world
    }

    /// Each server is asked for the statistics `args`, and answers when the one before has been heard.
    fn answer(&mut self, args: &str, order: &[usize]) {
        for server in &mut self.servers {
            match self.protocol {
                "ascii" => server.expect_piece(format!("stats {args}").trim_end().to_owned() + "\r\n"),
                _ => {
                    let packet = server.packet();
                    assert_eq!((packet.opcode, packet.key), (op::STAT, args.as_bytes().to_vec()));
                }
            }
        }
        for &number in order {
            self.servers[number].send(answer(self.protocol, number));
            self.other.send("version\r\n");
            assert!(self.other.line().starts_with(b"VERSION"));
        }
    }
}

fn expected(args: &str, servers: usize) -> Vec<(String, String)> {
    let value = |row: &Row| match (servers, args) {
        (1, _) => row.says[0],
        (_, "settings" | "conns") => row.settings,
        _ => row.stats,
    };
    ROWS.iter().map(|row| (row.name.to_owned(), value(row).to_owned())).collect()
}

#[test]
fn every_rule_over_one_server_and_over_four_whoever_answers_first() {
    for protocol in PROTOCOLS {
        for (servers, orders) in [(1, &[&[0][..]][..]), (4, &[&[0, 1, 2, 3][..], &[3, 2, 1, 0], &[2, 0, 3, 1]])] {
            let mut world = World::new(protocol, servers);
            let (mut client, mut binary) = (world.moxi.client(), world.moxi.client());
            for args in ["", "settings", "items", "slabs", "sizes", "conns"] {
                for order in orders {
                    let what = format!("{protocol} {args:?} {order:?}");
                    client.send(format!("stats {args}\r\n"));
                    world.answer(args, order);
                    let wanted = expected(args, servers);
                    for (name, value) in &wanted {
                        let line = client.line();
                        assert_eq!(String::from_utf8_lossy(&line), format!("STAT {name} {value}\r\n"), "{what}");
                    }
                    client.expect("END\r\n");
                    ask_for_packets(&mut binary, args);
                    world.answer(args, order);
                    assert_eq!(take_packets(&mut binary), wanted, "{what}, binary client");
                }
            }
        }
    }
}

#[test]
fn what_is_no_statistic_of_three_words_is_passed_on_and_of_settings_once() {
    let long = format!("STAT long {}", "1".repeat(290));
    let lines = ["STAT n 1", "STAT empty ", "STAT text a b", &long, "PREFIX p get 1 hit 0 set 0 del 0", "ITEM x 1"];
    let twice = format!("{0}\r\n{1}\r\n{2}\r\n{3}\r\n", lines[1], lines[2], lines[3], lines[4]).repeat(2);
    for (args, wanted) in [
        ("", format!("{twice}STAT n 2\r\nITEM x 2\r\nEND\r\n")),
        ("settings", format!("{}\r\nEND\r\n", lines.join("\r\n"))),
    ] {
        let mut world = World::new("ascii", 2);
        let mut client = world.moxi.client();
        client.send(format!("stats {args}\r\n"));
        for server in &mut world.servers {
            server.expect_piece(format!("stats {args}").trim_end().to_owned() + "\r\n");
            server.send(lines.join("\r\n") + "\r\nEND\r\n");
        }
        client.expect(wanted);
    }
}
