//! The front cache (03 §14, 06 §6.3) and `optimize_set` (03 §14.4).

use moxi_test_support::packet::op;
use moxi_test_support::{Memcached, Mock, MoxiBuilder, Packet, Wire, moxi};

/// Keys that begin with `c` but not `cold` are cached for longer than any test takes.
fn cached(builder: MoxiBuilder) -> MoxiBuilder {
    builder.set("front_cache_lifespan=600000,front_cache_max=100,front_cache_spec=c|x,front_cache_unspec=cold")
}

fn value(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
}

fn hit(key: &str, text: &str) -> String {
    value(key, text) + "END\r\n"
}

/// Sets a key behind moxi's back.
fn set(server: &mut Wire, key: &str, text: &str) {
    server.ask(format!("set {key} 0 0 {}\r\n{text}\r\n", text.len()), "STORED\r\n");
}

#[test]
fn gets_are_answered_from_it() {
    let server = Memcached::start(&[]);
    // One cache for all workers: the second client is another one's.
    let moxi = cached(moxi!().servers([server.port()]).ascii()).threads(2).start();
    let (mut client, mut other, mut direct) = (moxi.client(), moxi.client(), server.client());
    for key in ["c1", "cold1", "d1"] {
        set(&mut direct, key, "old");
        client.ask(format!("get {key}\r\n"), hit(key, "old"));
        set(&mut direct, key, "new");
    }
    for client in [&mut client, &mut other] {
        client.ask("get c1\r\n", hit("c1", "old"));
        client.ask("get cold1\r\n", hit("cold1", "new"));
        client.ask("get d1\r\n", hit("d1", "new"));
        // What is cached comes first; but in its places if a key is repeated.
        let values = [value("c1", "old"), value("d1", "new"), value("cold1", "new")].concat();
        client.ask("get d1 c1 none cold1\r\n", &(values + "END\r\n"));
        let values = [value("d1", "new"), value("c1", "old"), value("cold1", "new"), value("c1", "old")].concat();
        client.ask("get d1 c1 none cold1 c1\r\n", &(values + "END\r\n"));
        let values = [value("d1", "new"), value("c1", "old"), value("d1", "new")].concat();
        client.ask("get d1 c1 d1\r\n", &(values + "END\r\n"));
        client.ask("get c1 c1\r\n", &(value("c1", "old") + &hit("c1", "old")));
        // The CAS id has to be the server's.
        client.send("gets c1\r\n");
        assert!(client.line().starts_with(b"VALUE c1 0 3 "));
        client.expect("new\r\nEND\r\n");
    }
    assert_eq!(moxi.counter("frontcache:tot_get_hits"), 2 * 7);
    assert_eq!(moxi.counter("frontcache:tot_get_bytes"), 2 * 7 * 5);
    assert_eq!(moxi.counter("frontcache:tot_get_misses"), 1);
    assert_eq!(moxi.counter("frontcache:tot_adds"), 1);
    assert_eq!(moxi.counter("frontcache:tot_add_bytes"), 5);
    assert_eq!(moxi.counter("frontcache:tot_add_skips"), 2);
    assert_eq!(moxi.counter("frontcache:size"), 1);
    assert_eq!(moxi.counter("frontcache:max"), 100);
    // Commands are counted whether they need a server or not: 11 keys that were there, and "none".
    assert_eq!(moxi.counter("pstd_stats_cmd:regular_get_key:hits"), 3 + 2 * (3 + 3 + 4 + 3 + 2 + 1));
    client.ask("stats proxy reset\r\n", "OK\r\n");
    assert_eq!(moxi.counter("frontcache:tot_get_hits"), 0);
    client.ask("get c1\r\n", hit("c1", "old"));
}

#[test]
fn over_binary_servers_several_keys_are_answered_from_it() {
    let server = Memcached::start(&[]);
    let moxi = cached(moxi!().servers([server.port()]).binary()).start();
    let (mut client, mut direct) = (moxi.client(), server.client());
    set(&mut direct, "c1", "old");
    set(&mut direct, "d1", "old");
    client.ask("get c1\r\n", hit("c1", "old"));
    set(&mut direct, "c1", "new");
    client.ask("get d1 c1\r\n", &(value("c1", "old") + &hit("d1", "old")));
    client.ask("get c1\r\n", hit("c1", "new"));
}

#[test]
fn values_expire() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().servers([server.port()]).ascii();
    let moxi = moxi.set("front_cache_lifespan=1,front_cache_spec=c").start();
    let (mut client, mut direct) = (moxi.client(), server.client());
    set(&mut direct, "c1", "old");
    client.ask("get c1\r\n", hit("c1", "old"));
    set(&mut direct, "c1", "new");
    // Longer than the life of an entry, a millisecond.
    std::thread::sleep(std::time::Duration::from_millis(5));
    client.ask("get c1\r\n", hit("c1", "new"));
}

#[test]
fn whatever_changes_a_key_drops_it() {
    let server = Memcached::start(&[]);
    for protocol in ["ascii", "binary"] {
        let moxi = moxi!().servers([server.port()]).speaking(protocol);
        let moxi = cached(moxi).start();
        let (mut client, mut direct) = (moxi.client(), server.client());
        // Two keys, so that it is asked over binary servers, too.
        let both = "get c1 d1\r\n";
        for (command, reply, then) in [
            ("set c1 0 0 1\r\n7\r\n", "STORED\r\n", "7"),
            ("replace c1 0 0 1\r\n7\r\n", "STORED\r\n", "7"),
            ("append c1 0 0 1\r\n7\r\n", "STORED\r\n", "57"),
            ("prepend c1 0 0 1\r\n7\r\n", "STORED\r\n", "75"),
            ("add c1 0 0 1\r\n7\r\n", "NOT_STORED\r\n", "5"),
            ("cas c1 0 0 1 1\r\n7\r\n", "EXISTS\r\n", "5"),
            ("incr c1 2\r\n", "7\r\n", "7"),
            ("decr c1 2\r\n", "3\r\n", "3"),
            ("delete c1\r\n", "DELETED\r\n", ""),
            ("touch c1 0\r\n", "TOUCHED\r\n", "5"),
            ("gat -1 c1\r\n", "VALUE c1 0 1\r\n5\r\nEND\r\n", ""),
            ("flush_all\r\n", "OK\r\n", ""),
            ("set c1 0 0 1 noreply\r\n7\r\n", "", "7"),
            ("append c1 0 0 1 noreply\r\n7\r\n", "", "57"),
            ("incr c1 2 noreply\r\n", "", "7"),
            ("delete c1 noreply\r\n", "", ""),
            ("flush_all noreply\r\n", "", ""),
        ] {
            set(&mut direct, "c1", "5");
            client.ask(both, hit("c1", "5"));
            let then = if then.is_empty() { "END\r\n".into() } else { hit("c1", then) };
            client.ask(format!("{command}{both}"), format!("{reply}{then}"));
            client.ask(both, &then);
            client.ask("delete c1 noreply\r\nversion\r\n", format!("VERSION {}\r\n", env!("CARGO_PKG_VERSION")));
            client.ask(both, "END\r\n");
        }
    }
}

#[test]
fn binary_clients_drop_keys_too() {
    let server = Memcached::start(&[]);
    for protocol in ["ascii", "binary"] {
        let moxi = moxi!().servers([server.port()]).speaking(protocol);
        let moxi = cached(moxi).start();
        let (mut client, mut binary, mut direct) = (moxi.client(), moxi.client(), server.client());
        let set_packet = |opcode: u8| Packet::storing(opcode, "c1", "7");
        for (packets, replies, then) in [
            (vec![set_packet(op::SET)], 1, "7"),
            (vec![Packet::request(op::DELETE).key("c1")], 1, ""),
            // Quiet ones, with what closes them.
            (vec![set_packet(0x11), Packet::noop(0)], 1, "7"),
            (vec![set_packet(0x11), Packet::request(op::GETK).key("c1")], 1, "7"),
            (vec![Packet::request(op::FLUSH)], 1, ""),
            (vec![Packet::request(0x18), Packet::noop(0)], 1, ""),
            (vec![Packet::request(op::GETK).key("c1")], 1, "5"),
        ] {
            set(&mut direct, "c1", "5");
            client.ask("get c1 d1\r\n", hit("c1", "5"));
            for packet in &packets {
                binary.send(packet.bytes());
            }
            for _ in 0..replies {
                binary.packet();
            }
            client.ask("get c1 d1\r\n", &if then.is_empty() { "END\r\n".into() } else { hit("c1", then) });
            client.ask("delete c1 noreply\r\nget c1 d1\r\n", "END\r\n");
        }
    }
}

/// A get that was asked before a set brings the old value after it.
#[test]
fn a_late_value_is_not_kept() {
    let mock = Mock::new();
    let moxi = cached(moxi!().servers([mock.port()]).ascii()).start();
    let (mut slow, mut quick) = (moxi.client(), moxi.client());
    slow.send("get c1\r\n");
    let mut first = mock.accept();
    first.expect("get c1\r\n");
    quick.send("set c1 0 0 3\r\nnew\r\n");
    let mut second = mock.accept();
    second.expect("set c1 0 0 3\r\nnew\r\n");
    second.send("STORED\r\n");
    quick.expect("STORED\r\n");
    first.send(hit("c1", "old"));
    slow.expect(hit("c1", "old"));
    slow.send("get c1\r\n");
    // The connection that was used last.
    first.expect("get c1\r\n");
    first.send(hit("c1", "new"));
    slow.expect(hit("c1", "new"));
    quick.ask("get c1\r\n", hit("c1", "new"));
}

/// The original defect: entries that were never asked for again filled the cache for ever.
#[test]
fn old_entries_make_room() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().servers([server.port()]).ascii();
    let moxi = moxi.set("front_cache_lifespan=600000,front_cache_max=2,front_cache_spec=c").start();
    let (mut client, mut direct) = (moxi.client(), server.client());
    for key in ["c1", "c2", "c3", "c4"] {
        set(&mut direct, key, "old");
        client.ask(format!("get {key}\r\n"), hit(key, "old"));
        set(&mut direct, key, "new");
    }
    client.ask("get c4 c3\r\n", &(value("c4", "old") + &hit("c3", "old")));
    client.ask("get c1\r\n", hit("c1", "new"));
    assert_eq!((moxi.counter("frontcache:tot_evictions"), moxi.counter("frontcache:size")), (3, 2));
}

#[test]
fn a_hit_needs_no_server() {
    let server = Memcached::start(&[]);
    let moxi = cached(moxi!().servers([server.port()]).ascii()).start();
    let mut client = moxi.client();
    set(&mut server.client(), "c1", "old");
    client.ask("get c1\r\n", hit("c1", "old"));
    let _port = server.kill();
    client.ask("get c1 d1\r\n", hit("c1", "old"));
    client.ask("get c1\r\n", hit("c1", "old"));
}

#[test]
fn one_bucket_is_not_served_from_another() {
    let servers = Memcached::several(2, &[]);
    let moxi = cached(moxi!().mcmux()).start();
    let mut client = moxi.client();
    for (server, text) in servers.iter().zip(["one", "two"]) {
        set(&mut server.client(), "c1", text);
        client.ask(format!("A:127.0.0.1:{} get c1\r\n", server.port()), hit("c1", text));
    }
}

#[test]
fn sets_are_answered_early() {
    let mock = Mock::new();
    let moxi = cached(moxi!().servers([mock.port()])).set("optimize_set=c|e");
    for (protocol, is_ascii) in [("ascii", true), ("binary", false)] {
        let moxi = moxi.clone().speaking(protocol).start();
        let mut client = moxi.client();
        client.send("set c1 0 0 1\r\n7\r\n");
        let mut server = mock.accept();
        client.expect("STORED\r\n");
        let mut receive = |want: &str| {
            if is_ascii {
                server.expect(want);
                server.send("SERVER_ERROR out of memory storing object\r\n");
            } else {
                let packet = server.packet();
                server.send(Packet::reply(packet.opcode).opaque(packet.opaque).status(0x82).bytes());
            }
        };
        // Nobody hears what the server says.
        receive("set c1 0 0 1\r\n7\r\n");
        client.send("set d1 0 0 1\r\n7\r\nset e1 0 0 1\r\n8\r\n");
        receive("set d1 0 0 1\r\n7\r\n");
        receive("set e1 0 0 1\r\n8\r\n");
        client.expect("SERVER_ERROR out of memory storing object\r\nSTORED\r\n");
        client.send("add c1 0 0 1\r\n7\r\n");
        receive("add c1 0 0 1\r\n7\r\n");
        client.expect("SERVER_ERROR out of memory storing object\r\n");
        assert_eq!(moxi.counter("pstd_stats:tot_optimize_sets"), 2);
    }
}

/// What a client has set, it gets, however early it was answered.
#[test]
fn a_client_sees_its_own_early_sets() {
    let servers = Memcached::several(2, &[]);
    for protocol in ["ascii", "binary"] {
        let moxi = cached(moxi!().servers(servers.iter().map(Memcached::port))).set("optimize_set=c");
        let moxi = moxi.speaking(protocol).threads(2).start();
        let mut client = moxi.client();
        for number in 0..200 {
            let key = format!("c{}", number % 7);
            let text = number.to_string();
            let request = format!("set {key} 0 0 {}\r\n{text}\r\nget {key}\r\nget {key} none\r\n", text.len());
            client.ask(&request, format!("STORED\r\n{0}{0}", hit(&key, &text)));
        }
    }
}

/// An ASCII client can write such a key in a line; a binary client's set of it goes to the server in base64.
#[test]
fn a_key_is_the_same_however_it_travels() {
    let server = Memcached::start(&[]);
    let moxi = cached(moxi!().servers([server.port()]).ascii()).start();
    let (mut client, mut binary) = (moxi.client(), moxi.client());
    let mut set_by_packet = |text: &str| {
        binary.send(Packet::storing(op::SET, "c\rk", text).bytes());
        assert_eq!(binary.packet().status, 0);
    };
    set_by_packet("old");
    client.ask("get c\rk\r\n", hit("c\rk", "old"));
    set(&mut server.client(), "c\rk", "unseen");
    client.ask("get c\rk\r\n", hit("c\rk", "old"));
    set_by_packet("new");
    client.ask("get c\rk\r\n", hit("c\rk", "new"));
}
