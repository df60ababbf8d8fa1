//! What all servers must do: `flush_all`, `stats reset`, `cache_memlimit`. Done is what every server has confirmed; else
//! the client learns which have not.

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Down, Memcached, Mock, Moxi, MoxiBuilder, PROTOCOLS, Wire, moxi, wait_for};
use nix::sys::signal::Signal;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const WRITE: &str = "SERVER_ERROR proxy write to downstream";
const TIMEOUT: &str = "SERVER_ERROR proxy downstream timeout";

fn over(protocol: &str, ports: impl IntoIterator<Item = u16>) -> MoxiBuilder {
    moxi!().servers(ports).speaking(protocol)
}

/// The text of an order that the servers with these ports have not confirmed.
fn missing(why: &str, ports: &[u16]) -> String {
    let names: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("{why}: not confirmed by {}\r\n", names.join(", "))
}

/// An ASCII client's order is answered like this.
fn say(moxi: &Moxi, order: &str, answer: &str) {
    let mut client = moxi.client();
    client.send(order);
    client.expect(answer);
}

/// The status and the text that a binary client's order is answered with.
fn ask(client: &mut Wire, order: Packet) -> (u16, String) {
    client.send(order.clone().opaque(7).bytes());
    let reply = client.packet();
    assert_eq!((reply.opcode, reply.opaque), (order.opcode, 7));
    (reply.status, String::from_utf8(reply.value).expect("text"))
}

fn flush(delay: u32) -> Packet {
    Packet::request(op::FLUSH).extra32(delay)
}

/// The orders of both kinds of clients.
fn all_orders(moxi: &Moxi, answer: &str) {
    for order in ["flush_all\r\n", "flush_all 0\r\n", "flush_all 86400\r\n"] {
        say(moxi, order, answer);
    }
    let mut client = moxi.client();
    let wanted = if answer == "OK\r\n" { (0, String::new()) } else { (0x84, answer.to_owned()) };
    for order in [flush(0), Packet::request(op::FLUSH), flush(86400)] {
        assert_eq!(ask(&mut client, order), wanted);
    }
    say(moxi, "stats reset\r\n", if answer == "OK\r\n" { "RESET\r\n" } else { answer });
    assert_eq!(ask(&mut client, Packet::request(op::STAT).key("reset")), wanted);
}

#[test]
fn a_dead_server_is_named() {
    for protocol in PROTOCOLS {
        let mut servers = Memcached::several(3, &[]);
        let moxi = over(protocol, servers.iter().map(Memcached::port)).set("connect_max_errors=0").threads(2).start();
        all_orders(&moxi, "OK\r\n");
        let first = servers.remove(0).kill();
        all_orders(&moxi, &missing(WRITE, &[first.number()]));
        let last = servers.remove(1).kill();
        all_orders(&moxi, &missing(WRITE, &[first.number(), last.number()]));
        let middle = servers.remove(0).kill();
        let ports = [first.number(), middle.number(), last.number()];
        all_orders(&moxi, &missing(WRITE, &ports));
        let _servers = [first, middle, last].map(|port| Memcached::revive(port, &[]));
        all_orders(&moxi, "OK\r\n");
    }
}

#[test]
fn so_is_the_only_one() {
    for protocol in PROTOCOLS {
        let down = Down::new();
        let moxi = over(protocol, [down.port()]).set("connect_max_errors=0").start();
        all_orders(&moxi, &missing(WRITE, &[down.port()]));
    }
}

/// A suspended server is not even asked.
#[test]
fn a_suspended_server_is_named() {
    for protocol in PROTOCOLS {
        let (server, down) = (Memcached::start(&[]), Down::new());
        let moxi = over(protocol, [server.port(), down.port()]).set("connect_max_errors=2").start();
        for _ in 0..3 {
            all_orders(&moxi, &missing(WRITE, &[down.port()]));
        }
    }
}

/// And when it goes on, what it says late is nobody's.
#[test]
fn a_hung_server_is_named() {
    for protocol in PROTOCOLS {
        let mut servers = Memcached::several(2, &[]);
        let ports = [servers[0].port(), servers[1].port()];
        let moxi = over(protocol, ports).set("downstream_timeout=800,downstream_conn_max=1").start();
        let mut client = moxi.client();
        client.send("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset c 0 0 1\r\n1\r\nset d 0 0 1\r\n1\r\n");
        client.expect("STORED\r\n".repeat(4));
        let mut binary = moxi.client();
        assert_eq!(ask(&mut binary, Packet::noop(0)), (0, String::new()));
        servers[1].process().signal(Signal::SIGSTOP);
        client.send("flush_all 86400\r\n");
        client.expect(missing(TIMEOUT, &ports[1..]));
        let (status, text) = ask(&mut binary, flush(86400));
        assert_eq!((status, text.ends_with(&format!(": not confirmed by 127.0.0.1:{}\r\n", ports[1]))), (0x84, true));
        servers[1].process().signal(Signal::SIGCONT);
        for _ in 0..3 {
            client.send("get a b c d\r\nincr a 1\r\ndelete none\r\n");
            let mut lines = Vec::new();
            for _ in 0..11 {
                lines.push(client.line());
            }
            assert_eq!((&lines[8][..], &lines[10][..]), (&b"END\r\n"[..], &b"NOT_FOUND\r\n"[..]), "{protocol}");
        }
        assert_eq!(ask(&mut binary, Packet::noop(0)), (0, String::new()));
    }
}

/// The order is overdue, the connection lives on for others, and the answer comes after all.
#[test]
fn a_late_confirmation_is_nobodys() {
    let mocks = Mock::several(2);
    // `hello` is in vbucket 0, `foo` in 3.
    let moxi = moxi!()
        .vbuckets(mocks.iter().map(Mock::port), &[0, 1, 0, 1])
        .ascii()
        .set("downstream_timeout=800,downstream_conn_max=1,downstream_conn_queue_timeout=0")
        .start();
    let (mut operator, mut other) = (moxi.client(), moxi.client());
    operator.send("flush_all\r\n");
    let (mut first, mut second) = (mocks[0].accept(), mocks[1].accept());
    first.expect("flush_all\r\n");
    second.expect("flush_all\r\n");
    other.send("incr foo 1\r\n");
    second.expect("incr foo 1\r\n");
    first.send("OK\r\n");
    operator.expect(missing(TIMEOUT, &[mocks[1].port()]));
    operator.send("delete hello\r\n");
    first.expect("delete hello\r\n");
    second.send("OK\r\n8\r\n");
    other.expect("8\r\n");
    first.send("DELETED\r\n");
    operator.expect("DELETED\r\n");
    operator.send("flush_all\r\n");
    first.expect("flush_all\r\n");
    second.expect("flush_all\r\n");
    second.send("OK\r\n");
    first.send("OK\r\n");
    operator.expect("OK\r\n");
}

#[test]
fn who_wants_no_answer_gets_none_and_the_log_tells() {
    for protocol in PROTOCOLS {
        let (server, down) = (Memcached::start(&[]), Down::new());
        let mut moxi = over(protocol, [server.port(), down.port()]).set("connect_max_errors=0").argument("-v").start();
        say(&moxi, "flush_all noreply\r\nversion\r\n", &format!("VERSION {VERSION}\r\n"));
        let told = format!("flush_all: {}", missing(WRITE, &[down.port()]).trim_end());
        wait_for(&told, || moxi.process().stderr().contains(&told));
    }
}

/// A quiet order fails loudly, in front of the answer of what closes it; the closing noop is a ping, and is well.
#[test]
fn a_quiet_order_that_failed_is_told_before_the_noop() {
    for protocol in PROTOCOLS {
        let (server, down) = (Memcached::start(&[]), Down::new());
        let moxi = over(protocol, [server.port(), down.port()]).set("connect_max_errors=0").start();
        let mut client = moxi.client();
        client.send([Packet::request(op::FLUSHQ).opaque(1).bytes(), Packet::noop(2).bytes()].concat());
        let failed = client.packet();
        assert_eq!((failed.opcode, failed.status, failed.opaque), (op::FLUSHQ, 0x84, 1), "{protocol}");
        assert_eq!(failed.value, missing(WRITE, &[down.port()]).into_bytes());
        let noop = client.packet();
        assert_eq!((noop.opcode, noop.status, noop.opaque), (op::NOOP, 0, 2));
        // An order that closes quiet packets is judged by itself.
        client.send([Packet::request(op::GETKQ).key("none").bytes(), flush(0).opaque(3).bytes()].concat());
        let failed = client.packet();
        assert_eq!((failed.opcode, failed.status, failed.opaque), (op::FLUSH, 0x84, 3), "{protocol}");
        assert_eq!(failed.value, missing(WRITE, &[down.port()]).into_bytes());
    }
}

/// A noop says whether there is anybody, as every get of several keys ends with it: the servers that are there answer
/// for their keys.
#[test]
fn a_noop_needs_one_server() {
    for protocol in PROTOCOLS {
        let (server, downs) = (Memcached::start(&[]), [Down::new(), Down::new()]);
        let moxi = over(protocol, [server.port(), downs[0].port()]).set("connect_max_errors=0").start();
        assert_eq!(ask(&mut moxi.client(), Packet::noop(0)), (0, String::new()), "{protocol}");
        let moxi = over(protocol, downs.iter().map(Down::port)).set("connect_max_errors=0").start();
        assert_eq!(ask(&mut moxi.client(), Packet::noop(0)), (0x84, format!("{WRITE}\r\n")), "{protocol}");
    }
}

/// These set moxi's own level, and end the client's own connection: servers have nothing to do with it (04 §4).
#[test]
fn verbosity_and_quit_need_no_server() {
    for protocol in PROTOCOLS {
        let downs = [Down::new(), Down::new()];
        let moxi = over(protocol, downs.iter().map(Down::port)).set("connect_max_errors=0").start();
        say(&moxi, "verbosity 0\r\n", "OK\r\n");
        let mut client = moxi.client();
        assert_eq!(ask(&mut client, Packet::request(0x1b).extra32(0)), (0, String::new()));
        assert_eq!(ask(&mut client, Packet::request(0x07)), (0, String::new()));
        client.expect_closed();
    }
}

/// A memcached that refuses.
#[test]
fn refusals() {
    let servers = [Memcached::start(&["-F"]), Memcached::start(&[])];
    let ports = [servers[0].port(), servers[1].port()];
    let direct = {
        let mut client = servers[0].client();
        client.send("flush_all\r\n");
        String::from_utf8(client.line()).expect("text")
    };
    assert!(direct.starts_with("CLIENT_ERROR "), "{direct}");
    let moxi = over("ascii", [ports[0]]).start();
    say(&moxi, "flush_all\r\n", &direct);
    let moxi = over("ascii", ports).start();
    let why = direct.trim_end().replacen("CLIENT_ERROR", "SERVER_ERROR", 1);
    say(&moxi, "flush_all\r\n", &missing(&why, &ports[..1]));
    assert_eq!(ask(&mut moxi.client(), flush(0)), (0x84, missing(&why, &ports[..1])));
    // The other protocol has a status for it.
    let moxi = over("binary", ports).start();
    let (status, text) = ask(&mut moxi.client(), flush(0));
    assert_eq!(
        (status, text.ends_with(&format!(": not confirmed by 127.0.0.1:{}\r\n", ports[0]))),
        (0x84, true),
        "{text}"
    );
}

fn setting(server: &Memcached, name: &str) -> String {
    settings(&mut server.client())
        .into_iter()
        .find_map(|line| line.strip_prefix(&format!("STAT {name} ")).map(str::to_owned))
        .unwrap_or_default()
}

fn settings(client: &mut Wire) -> Vec<String> {
    client.send("stats settings\r\n");
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text").trim_end().to_owned();
        if line == "END" {
            return lines;
        }
        lines.push(line);
    }
}

#[test]
fn the_memory_limit_is_set_on_all_servers() {
    let mut servers = Memcached::several(2, &[]);
    let ports = [servers[0].port(), servers[1].port()];
    let moxi = over("ascii", ports).set("connect_max_errors=0").start();
    let limits = |servers: &[Memcached]| servers.iter().map(|server| setting(server, "maxbytes")).collect::<Vec<_>>();
    say(&moxi, "cache_memlimit 32\r\n", "OK\r\n");
    assert_eq!(limits(&servers), ["33554432", "33554432"]);
    // Answered by both servers, each behind the order.
    let keys: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    say(&moxi, &format!("cache_memlimit 16 noreply\r\nget {}\r\n", keys.join(" ")), "END\r\n");
    assert_eq!(limits(&servers), ["16777216", "16777216"]);
    // Whatever memcached says of the number.
    for order in ["cache_memlimit 3\r\n", "cache_memlimit 4294967295\r\n", "cache_memlimit x\r\n", "cache_memlimit\r\n"]
    {
        let mut direct = servers[0].client();
        direct.send(order);
        say(&moxi, order, &String::from_utf8(direct.line()).expect("text"));
    }
    let down = servers.remove(0).kill();
    say(&moxi, "cache_memlimit 32\r\n", &missing(WRITE, &[down.number()]));
    assert_eq!(limits(&servers), ["33554432"]);
    let refused = "CLIENT_ERROR binary servers have no such command\r\n";
    let moxi = over("binary", [servers[0].port()]).start();
    say(
        &moxi,
        "cache_memlimit 16\r\ncache_memlimit 16 noreply\r\nversion\r\n",
        &format!("{refused}VERSION {VERSION}\r\n"),
    );
    assert_eq!(limits(&servers), ["33554432"]);
    let moxi = moxi!().mcmux().start();
    say(&moxi, &format!("A:127.0.0.1:{} cache_memlimit 16\r\n", servers[0].port()), "OK\r\n");
    say(&moxi, &format!("B:127.0.0.1:{} cache_memlimit 16\r\n", servers[0].port()), refused);
    assert_eq!(limits(&servers), ["16777216"]);
}

/// The settings of several servers are those of one, but for what is different.
#[test]
fn settings_are_those_of_one_server() {
    let servers = Memcached::several(3, &[]);
    for protocol in PROTOCOLS {
        let moxi = over(protocol, servers.iter().map(Memcached::port)).start();
        let of = |client: &mut Wire| {
            let mut lines = settings(client);
            let port = lines.iter().position(|line| line.starts_with("STAT tcpport ")).expect("a port");
            let port = lines.remove(port);
            lines.sort();
            (port, lines)
        };
        let (port, merged) = of(&mut moxi.client());
        let direct: Vec<_> = servers.iter().map(|server| of(&mut server.client())).collect();
        assert!(direct.iter().any(|(other, _)| *other == port), "{port}");
        assert_eq!(merged, direct[0].1, "{protocol}");
        // A binary client gets the same.
        let mut client = moxi.client();
        client.send(Packet::request(op::STAT).key("settings").bytes());
        let mut packets = Vec::new();
        loop {
            let packet = client.packet();
            if packet.key.is_empty() {
                break;
            }
            let (key, value) = (String::from_utf8_lossy(&packet.key), String::from_utf8_lossy(&packet.value));
            packets.push(format!("STAT {key} {value}"));
        }
        packets.retain(|line| !line.starts_with("STAT tcpport "));
        packets.sort();
        assert_eq!(packets, merged, "{protocol}");
    }
}
