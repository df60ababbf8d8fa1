//! The built-in memcached server and the proxy in one process: both serve, and each counts its own (02 §2, 01 §5).

use std::collections::HashMap;

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::ports::Port;
use moxi_test_support::{Moxi, Wire, moxi};

/// A moxi with its own server behind it.
struct Both {
    moxi: Moxi,
    server: Port,
}

impl Both {
    fn start(protocol: &str, threads: usize) -> Both {
        let server = Port::reserve();
        let number = server.number();
        let moxi = moxi!()
            .servers([number])
            .speaking(protocol)
            .threads(threads)
            .argument("-p")
            .argument(number.to_string())
            .start();
        Both { moxi, server }
    }

    /// A client of the server.
    fn direct(&self) -> Wire {
        Wire::connect("direct client", self.server.number())
    }

    /// A client of the proxy.
    fn proxied(&self) -> Wire {
        self.moxi.client()
    }
}

/// What `stats` and a further word show.
fn stats(client: &mut Wire, word: &str) -> HashMap<String, String> {
    client.send(format!("stats {word}\r\n"));
    let mut found = HashMap::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if line == "END\r\n" {
            return found;
        }
        let statistic = line.trim_end().strip_prefix("STAT ").unwrap_or_else(|| panic!("{line:?}"));
        // Of the proxy, some are empty.
        let (name, value) = statistic.split_once(' ').unwrap_or((statistic, ""));
        found.insert(name.to_owned(), value.to_owned());
    }
}

/// Of these statistics, those that are numbers.
fn numbers<const N: usize>(stats: &HashMap<String, String>, names: [&str; N]) -> [u64; N] {
    names.map(|name| stats[name].parse().unwrap_or_else(|_| panic!("{name} is {}", stats[name])))
}

const COUNTED: [&str; 5] = ["cmd_get", "cmd_set", "get_hits", "curr_items", "total_items"];

#[test]
fn both_serve() {
    for (protocol, threads) in [("ascii", 1), ("ascii", 4), ("binary", 1), ("binary", 4)] {
        println!("{protocol}, {threads} workers");
        let both = Both::start(protocol, threads);
        let (mut direct, mut proxied) = (both.direct(), both.proxied());
        proxied.ask("set a 5 0 1\r\n1\r\n", "STORED\r\n");
        direct.ask("get a\r\n", "VALUE a 5 1\r\n1\r\nEND\r\n");
        direct.ask("append a 0 0 1\r\n2\r\n", "STORED\r\n");
        proxied.ask("get a\r\n", "VALUE a 5 2\r\n12\r\nEND\r\n");
        proxied.ask("incr a 1\r\n", "13\r\n");
        direct.ask("decr a 4\r\n", "9\r\n");
        let large = "x".repeat(1_000_000);
        proxied.ask(format!("set large 0 0 1000000\r\n{large}\r\n"), "STORED\r\n");
        direct.ask("get large\r\n", format!("VALUE large 0 1000000\r\n{large}\r\nEND\r\n"));
        proxied.ask("get large a\r\n", format!("VALUE large 0 1000000\r\n{large}\r\nVALUE a 5 2\r\n9 \r\nEND\r\n"));
        // The server refuses what is too large; the proxy has no such limit of its own.
        let huge = "x".repeat(1_100_000);
        for client in [&mut proxied, &mut direct] {
            client.ask(format!("set large 0 0 1100000\r\n{huge}\r\n"), "SERVER_ERROR object too large for cache\r\n");
            client.ask("get large\r\n", "END\r\n");
        }
        // Binary clients of both.
        for (port, name) in [(both.server.number(), "direct"), (both.moxi.port(), "proxied")] {
            let mut client = Wire::connect(format!("binary {name} client"), port);
            client.send(Packet::request(op::GET).key("a").opaque(3).bytes());
            let reply = client.packet();
            assert_eq!((reply.status, reply.opaque, reply.value.as_slice()), (0, 3, &b"9 "[..]), "{name}");
        }
        proxied.ask("flush_all\r\n", "OK\r\n");
        direct.ask("get a\r\n", "END\r\n");
        // Commands that only one of them knows.
        direct.ask("stats proxy\r\n", "ERROR\r\n");
        assert!(!stats(&mut proxied, "proxy").is_empty());
    }
}

/// Binary clients over ASCII get what only meta commands can say: the built-in server knows those.
#[test]
fn binary_clients_of_the_proxy_get_meta_commands() {
    let both = Both::start("ascii", 1);
    let (mut client, mut direct) = (both.proxied(), both.direct());
    let mut ask = |packet: Packet| {
        client.send(packet.bytes());
        client.packet()
    };
    let stored = ask(Packet::storing(op::SET, "a b\r\n", "value"));
    assert_eq!(stored.status, 0);
    assert_ne!(stored.cas, 0);
    let got = ask(Packet::request(op::GET).key("a b\r\n"));
    assert_eq!((got.value.as_slice(), got.cas), (&b"value"[..], stored.cas));
    assert_eq!(ask(Packet::storing(op::SET, "a b\r\n", "other").cas(stored.cas + 1)).status, 2);
    assert_eq!(ask(Packet::request(op::APPEND).key("a b\r\n").value("+").cas(stored.cas)).status, 0);
    let counted = ask(Packet::counting(op::INCR, "n", 5, 40, 0));
    assert_eq!((counted.status, counted.value.as_slice()), (0, &40u64.to_be_bytes()[..]));
    assert_eq!(ask(Packet::counting(op::INCR, "n", 5, 40, 0)).value, 45u64.to_be_bytes());
    direct.ask("mg YSBiDQo= b v\r\n", "VA 6\r\nvalue+\r\n");
    assert_eq!(ask(Packet::request(op::DELETE).key("a b\r\n")).status, 0);
    assert_eq!(ask(Packet::request(op::GET).key("a b\r\n")).status, 1);
}

/// Many clients at once of a process that waits for itself.
#[test]
fn many_clients_of_both() {
    for threads in [1, 3] {
        let both = Both::start("ascii", threads);
        let mut clients: Vec<(Wire, Wire)> = (0..20).map(|_| (both.proxied(), both.direct())).collect();
        for round in 0..5 {
            for (number, (proxied, direct)) in clients.iter_mut().enumerate() {
                let sets: String =
                    (0..40).map(|key| format!("set k{number}-{key} 0 0 1\r\n{round}\r\n")).collect::<Vec<_>>().concat();
                proxied.send(sets + &format!("get k{number}-39\r\n"));
                direct.send(format!("set d{number} 0 0 1\r\n{round}\r\nget d{number}\r\n"));
            }
            for (number, (proxied, direct)) in clients.iter_mut().enumerate() {
                proxied.expect("STORED\r\n".repeat(40));
                proxied.expect(format!("VALUE k{number}-39 0 1\r\n{round}\r\nEND\r\n"));
                direct.expect(format!("STORED\r\nVALUE d{number} 0 1\r\n{round}\r\nEND\r\n"));
            }
        }
    }
}

#[test]
fn each_counts_its_own() {
    for protocol in ["ascii", "binary"] {
        let both = Both::start(protocol, 2);
        let (mut direct, mut proxied) = (both.direct(), both.proxied());
        direct.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
        direct.ask("get a none\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        proxied.ask("set b 0 0 1\r\n1\r\n", "STORED\r\n");
        proxied.ask("get b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
        proxied.ask("bogus\r\n", "ERROR\r\n");

        // The server has seen all of it, whichever way it came, and the proxy's `stats` are those of its one server.
        let of_server = stats(&mut direct, "");
        assert_eq!(numbers(&of_server, COUNTED), [3, 2, 2, 2, 2], "{protocol}");
        let merged = stats(&mut proxied, "");
        assert_eq!(numbers(&merged, COUNTED), numbers(&of_server, COUNTED), "{protocol}");
        assert_eq!(merged["pid"], of_server["pid"]);
        assert_eq!(merged["limit_maxbytes"], "67108864");

        // The proxy has seen what came through it.
        let port = both.moxi.port();
        let of_proxy = stats(&mut proxied, "proxy stats");
        let counter =
            |name: &str| of_proxy[&format!("{port}:default:pstd_stats_cmd:{name}")].parse::<u64>().expect("a number");
        assert_eq!((counter("regular_get:seen"), counter("regular_set:seen")), (1, 1), "{protocol}");
        assert_eq!((counter("regular_get_key:hits"), counter("regular_get_key:misses")), (1, 0), "{protocol}");
        // What it says of the process includes the server.
        assert_eq!(of_proxy["memcached:stats:pid"], of_server["pid"]);
        assert_eq!(of_proxy["memcached:stats:cmd_set"], "2", "{protocol}");

        // A reset of one leaves the other.
        direct.ask("stats reset\r\n", "RESET\r\n");
        assert_eq!(numbers(&stats(&mut direct, ""), COUNTED), [0, 0, 0, 2, 0]);
        let of_proxy = stats(&mut proxied, "proxy stats");
        assert_eq!(of_proxy[&format!("{port}:default:pstd_stats_cmd:regular_set:seen")], "1");
        direct.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        proxied.ask("stats proxy reset\r\n", "OK\r\n");
        assert_eq!(numbers(&stats(&mut direct, ""), ["cmd_get"]), [1]);

        // Settings: of the process, and its server's port.
        let settings = stats(&mut direct, "settings");
        assert_eq!(settings["tcpport"], both.server.number().to_string());
        assert_eq!(stats(&mut proxied, "settings")["tcpport"], settings["tcpport"]);
    }
}
