//! Through moxi to real memcached servers: every command, 1, 2 and 4 servers, both protocols, every way to choose
//! a server.

use std::time::{Duration, Instant};

use moxi_test_support::{Memcached, Moxi, MoxiBuilder, Wire, moxi, wait_for};

const KEYS: usize = 12;

/// The ways to choose a server.
const HASHES: [&str; 4] = ["ketama weighted", "ketama", "modula", "vbucket"];

fn builder(servers: &[Memcached], protocol: &str, hash: &str) -> MoxiBuilder {
    let ports = servers.iter().map(Memcached::port);
    let builder = moxi!().threads(2).speaking(protocol);
    match hash {
        "vbucket" => {
            let masters: Vec<_> = (0..64).map(|vbucket| vbucket % servers.len() as i32).collect();
            builder.vbuckets(ports, &masters)
        }
        "ketama" => builder.servers(ports).set("mcs_opts=distribution:ketama"),
        "modula" => builder.servers(ports).set("mcs_opts=distribution:modula"),
        _ => builder.servers(ports),
    }
}

/// Runs `test` with every combination of servers and hashes.
fn everywhere(protocol: &str, arguments: &[&str], test: impl Fn(&Moxi, &[Memcached])) {
    for count in [1, 2, 4] {
        for hash in HASHES {
            let servers = Memcached::several(count, arguments);
            let moxi = builder(&servers, protocol, hash).start();
            println!("{count} servers, {protocol}, {hash}");
            test(&moxi, &servers);
        }
    }
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 5 0 {}\r\n{value}\r\n", value.len())
}

fn value(key: &str, value: &str) -> String {
    format!("VALUE {key} 5 {}\r\n{value}\r\n", value.len())
}

/// The CAS id of a key, by `gets`.
fn cas(client: &mut Wire, key: &str) -> u64 {
    client.send(format!("gets {key}\r\n"));
    let line = String::from_utf8(client.line()).expect("text");
    let words: Vec<_> = line.trim_end().split(' ').collect();
    assert_eq!((words[0], words[1], words.len()), ("VALUE", key, 5), "{line:?}");
    let length: usize = words[3].parse().expect("length");
    client.take(length + 2);
    client.expect("END\r\n");
    words[4].parse().expect("CAS id")
}

fn all_commands(moxi: &Moxi, servers: &[Memcached]) {
    let mut client = moxi.client();
    let client = &mut client;
    for number in 0..KEYS {
        let key = format!("key{number}");
        client.ask(format!("get {key}\r\n"), "END\r\n");
        client.ask(set(&key, &key), "STORED\r\n");
        client.ask(format!("get {key}\r\n"), value(&key, &key) + "END\r\n");

        client.ask(format!("add {key} 5 0 1\r\nx\r\n"), "NOT_STORED\r\n");
        client.ask(format!("add new-{key} 5 0 1\r\nx\r\n"), "STORED\r\n");
        client.ask(format!("replace none-{key} 5 0 1\r\nx\r\n"), "NOT_STORED\r\n");
        client.ask(format!("replace {key} 5 0 1\r\nr\r\n"), "STORED\r\n");
        client.ask(format!("append {key} 9 0 2\r\n>>\r\n"), "STORED\r\n");
        client.ask(format!("prepend {key} 9 0 2\r\n<<\r\n"), "STORED\r\n");
        client.ask(format!("append none-{key} 9 0 2\r\n>>\r\n"), "NOT_STORED\r\n");
        client.ask(format!("get {key}\r\n"), value(&key, "<<r>>") + "END\r\n");

        let id = cas(client, &key);
        client.ask(format!("cas {key} 5 0 1 {id}\r\nc\r\n"), "STORED\r\n");
        client.ask(format!("cas {key} 5 0 1 {id}\r\nd\r\n"), "EXISTS\r\n");
        client.ask(format!("cas {key} 5 0 1 0\r\nd\r\n"), "EXISTS\r\n");
        client.ask(format!("cas none-{key} 5 0 1 {id}\r\nd\r\n"), "NOT_FOUND\r\n");
        client.ask(format!("cas none-{key} 5 0 1 0\r\nd\r\n"), "NOT_FOUND\r\n");
        client.ask(format!("get {key}\r\n"), value(&key, "c") + "END\r\n");

        client.ask(set(&format!("n-{key}"), "10"), "STORED\r\n");
        client.ask(format!("incr n-{key} 5\r\n"), "15\r\n");
        client.ask(format!("decr n-{key} 1\r\n"), "14\r\n");
        client.ask(format!("decr n-{key} 100\r\n"), "0\r\n");
        client.ask(format!("incr n-{key} 18446744073709551615\r\n"), "18446744073709551615\r\n");
        // memcached does not always count on from there: `tests/matrix/cells.rs`.
        client.ask(set(&format!("n-{key}"), "1"), "STORED\r\n");
        client.ask(format!("incr n-{key} 18446744073709551615\r\n"), "0\r\n");
        client.ask(format!("incr none-{key} 1\r\n"), "NOT_FOUND\r\n");
        client.ask(format!("decr none-{key} 1\r\n"), "NOT_FOUND\r\n");
        let text = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
        client.ask(format!("incr {key} 1\r\n"), text);

        client.ask(format!("touch {key} 1000\r\n"), "TOUCHED\r\n");
        client.ask(format!("touch none-{key} 1000\r\n"), "NOT_FOUND\r\n");
        client.ask(format!("gat 1000 {key}\r\n"), value(&key, "c") + "END\r\n");
        client.ask(format!("gat 1000 none-{key}\r\n"), "END\r\n");
        let id = cas(client, &key);
        client.ask(format!("gats 1000 {key}\r\n"), format!("VALUE {key} 5 1 {id}\r\nc\r\nEND\r\n"));

        client.ask(format!("delete new-{key}\r\n"), "DELETED\r\n");
        client.ask(format!("delete new-{key}\r\n"), "NOT_FOUND\r\n");
        client.ask(format!("get new-{key}\r\n"), "END\r\n");
        // Expired before it is stored.
        client.ask(format!("set gone-{key} 5 -1 1\r\nx\r\n"), "STORED\r\n");
        client.ask(format!("get gone-{key}\r\n"), "END\r\n");
        // Binary and line ends in values; flags at their limit.
        client.ask(format!("set bin-{key} 4294967295 0 9\r\nEND\r\n\0\r\n\0\r\n"), "STORED\r\n");
        client.ask(format!("get bin-{key}\r\n"), format!("VALUE bin-{key} 4294967295 9\r\nEND\r\n\0\r\n\0\r\nEND\r\n"));
    }

    // Each key is where it belongs, and only there.
    let mut direct: Vec<_> = servers.iter().map(Memcached::client).collect();
    for number in 0..KEYS {
        let mut found = 0;
        for server in &mut direct {
            server.send(format!("get key{number}\r\n"));
            if server.line() != b"END\r\n" {
                found += 1;
                server.expect("c\r\nEND\r\n");
            }
        }
        assert_eq!(found, 1, "key{number}");
    }

    let names: Vec<_> = (0..KEYS).rev().map(|number| format!("key{number} none{number}")).collect();
    let values: String = (0..KEYS).rev().map(|number| value(&format!("key{number}"), "c")).collect();
    client.ask(format!("get {}\r\n", names.join(" ")), values + "END\r\n");
    client.ask(format!("gat 100 {}\r\n", "none ".repeat(3)), "END\r\n");

    client.ask("flush_all\r\n", "OK\r\n");
    client.ask(format!("get {}\r\n", names.join(" ")), "END\r\n");
    client.send("quit\r\n");
    client.expect_closed();
}

#[test]
fn all_commands_over_ascii() {
    everywhere("ascii", &[], all_commands);
}

#[test]
fn all_commands_over_binary() {
    everywhere("binary", &[], all_commands);
}

/// Many requests in one write, of which some have no reply: the replies come in order, and a get sees what the same
/// client has written before.
fn pipelined(moxi: &Moxi, _servers: &[Memcached]) {
    let mut client = moxi.client();
    let mut requests = String::new();
    let mut replies = String::new();
    for number in 0..300 {
        let key = format!("key{}", number % 50);
        let text = format!("{key}-{number}");
        requests += &format!("set {key} 5 0 {} noreply\r\n{text}\r\nget {key}\r\n", text.len());
        replies += &(value(&key, &text) + "END\r\n");
        match number % 5 {
            0 => {
                requests += &format!("delete {key} noreply\r\nget {key} other\r\n");
                replies += "END\r\n";
            }
            1 => {
                requests += &format!("append {key} 0 0 1 noreply\r\n+\r\nget none {key}\r\n");
                replies += &(value(&key, &(text + "+")) + "END\r\n");
            }
            2 => {
                requests += &format!("add {key} 0 0 1 noreply\r\n+\r\nget {key}\r\n");
                replies += &(value(&key, &text) + "END\r\n");
            }
            3 => {
                requests += &format!("{}incr {key} 1 noreply\r\nincr {key} 2\r\n", set(&key, "1"));
                replies += "STORED\r\n4\r\n";
            }
            _ => {
                requests += "bogus\r\n";
                replies += "ERROR\r\n";
            }
        }
    }
    client.ask(requests, replies);
}

#[test]
fn pipelined_over_ascii() {
    everywhere("ascii", &[], pipelined);
}

#[test]
fn pipelined_over_binary() {
    everywhere("binary", &[], pipelined);
}

fn large_values(moxi: &Moxi, _servers: &[Memcached]) {
    let mut client = moxi.client();
    let sizes = [0, 1, 1000, 2047, 2048, 2049, 16_384, 65_535, 65_536, 65_537, 300_000, 1_000_000, 1 << 20];
    for size in sizes {
        let text: String = (0..size).map(|at| char::from(b'!' + (at * 7 + at / 251 + size) as u8 % 90)).collect();
        let key = format!("size{size}");
        client.ask(set(&key, &text), "STORED\r\n");
        client.ask(format!("get {key}\r\n"), value(&key, &text) + "END\r\n");
        client.ask(format!("get none {key}\r\n"), value(&key, &text) + "END\r\n");
        // Without reply, then at once the reply that shows it.
        let changed = text.replace('a', "b");
        client.send(format!("set {key} 5 0 {size} noreply\r\n{changed}\r\nget {key}\r\n"));
        client.expect(value(&key, &changed) + "END\r\n");
    }
    let request = format!("get {}\r\n", sizes.map(|size| format!("size{size}")).join(" "));
    client.send(&request);
    for size in sizes {
        client.expect(format!("VALUE size{size} 5 {size}\r\n"));
        client.take(size + 2);
    }
    client.expect("END\r\n");
}

#[test]
fn large_values_over_ascii() {
    everywhere("ascii", &["-I", "2m", "-m", "256"], large_values);
}

#[test]
fn large_values_over_binary() {
    everywhere("binary", &["-I", "2m", "-m", "256"], large_values);
}

/// What the server finds too large is its affair; the connection goes on, with and without noreply (04 §8.6).
#[test]
fn a_value_the_server_refuses() {
    for protocol in ["ascii", "binary"] {
        let servers = Memcached::several(2, &["-I", "1m"]);
        let moxi = builder(&servers, protocol, "vbucket").start();
        let mut client = moxi.client();
        let large = "x".repeat(3 << 20);
        for _ in 0..2 {
            client.ask(set("large", &large), "SERVER_ERROR object too large for cache\r\n");
            client.ask(set("small", "1"), "STORED\r\n");
            client.send(format!("set large 5 0 {} noreply\r\n{large}\r\nget large small\r\n", large.len()));
            client.expect(value("small", "1") + "END\r\n");
        }
    }
}

/// MB-24509: a large value without reply is stored whole although its client has gone.
#[test]
fn a_large_noreply_set_of_a_client_that_leaves() {
    for protocol in ["ascii", "binary"] {
        let servers = Memcached::several(1, &["-I", "32m", "-m", "256"]);
        let moxi = builder(&servers, protocol, "ketama").start();
        let length = 8 << 20;
        for fill in ["a", "b"] {
            let text = fill.repeat(length);
            let mut client = moxi.client();
            client.send(format!("set large 5 0 {length} noreply\r\n{text}\r\n"));
            client.close();
            let mut reader = moxi.client();
            wait_for("the value to be stored", || {
                reader.send("get large\r\n");
                if reader.line() == b"END\r\n" {
                    return false;
                }
                let got = reader.take(length);
                reader.expect("\r\nEND\r\n");
                // The old value or the new one, never a mixture.
                assert!(got.iter().all(|byte| *byte == got[0]), "{protocol}: a mixture");
                got[0] == fill.as_bytes()[0]
            });
        }
    }
}

fn sum(moxi: &Moxi, name: &str) -> u64 {
    let mut client = moxi.client();
    client.send("stats\r\n");
    let mut value = None;
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if line == "END\r\n" {
            return value.expect("the statistic");
        }
        let words: Vec<_> = line.trim_end().splitn(3, ' ').collect();
        assert_eq!((words[0], words.len()), ("STAT", 3), "{line:?}");
        if words[1] == name {
            value = Some(words[2].parse().expect("a number"));
        }
    }
}

#[test]
fn statistics() {
    for protocol in ["ascii", "binary"] {
        for hash in ["ketama", "vbucket"] {
            let servers = Memcached::several(4, &[]);
            let moxi = builder(&servers, protocol, hash).start();
            let mut client = moxi.client();
            for number in 0..KEYS {
                client.ask(set(&format!("key{number}"), "1"), "STORED\r\n");
            }
            assert_eq!(sum(&moxi, "curr_items"), KEYS as u64, "{protocol} {hash}");
            assert_eq!(sum(&moxi, "cmd_set"), KEYS as u64, "{protocol} {hash}");
            assert_eq!(sum(&moxi, "pointer_size"), 64, "{protocol} {hash}");
            client.ask("stats reset\r\n", "RESET\r\n");
            assert_eq!(sum(&moxi, "cmd_set"), 0, "{protocol} {hash}");
            for request in ["stats settings\r\n", "stats items\r\n", "stats slabs\r\n"] {
                client.send(request);
                let mut count = 0;
                while client.line() != b"END\r\n" {
                    count += 1;
                }
                assert!(count > 3, "{protocol} {hash} {request:?}");
            }
        }
    }
}

#[test]
fn clients_on_a_unix_socket() {
    let directory = tempfile::tempdir().expect("directory");
    for protocol in ["ascii", "binary"] {
        let servers = Memcached::several(2, &[]);
        let path = directory.path().join(protocol);
        let _moxi = builder(&servers, protocol, "ketama").unix(&path).start();
        let mut client = Wire::connect_unix("client", &path);
        for number in 0..20 {
            let key = format!("key{number}");
            client.ask(set(&key, &key), "STORED\r\n");
            client.ask(format!("get {key} none\r\n"), value(&key, &key) + "END\r\n");
        }
        let large = "x".repeat(900_000);
        client.ask(set("large", &large), "STORED\r\n");
        client.ask("get large\r\n", value("large", &large) + "END\r\n");
        client.send("quit\r\n");
        client.expect_closed();
    }
}

/// `getl` and `unl` on a plain memcached, which does not know them, harm nobody (04 §8.6).
#[test]
fn commands_that_memcached_does_not_know() {
    for protocol in ["ascii", "binary"] {
        let servers = Memcached::several(1, &[]);
        let moxi = builder(&servers, protocol, "ketama").threads(1).set("downstream_timeout=800").start();
        let mut client = moxi.client();
        let mut other = moxi.client();
        for round in 0..3 {
            client.ask(set("key", "1"), "STORED\r\n");
            client.send("getl key 10\r\nget key\r\n");
            for number in 0..20 {
                let key = format!("key{number}");
                other.ask(set(&key, &round.to_string()), "STORED\r\n");
                other.ask(format!("get {key}\r\n"), value(&key, &round.to_string()) + "END\r\n");
            }
            client.expect("END\r\n");
            client.expect(value("key", "1") + "END\r\n");
            client.send("unl key 10\r\nget key\r\n");
            let line = client.line();
            assert!(!line.starts_with(b"VALUE"), "{}", line.escape_ascii());
            client.expect(value("key", "1") + "END\r\n");
        }
    }
}

/// The server dies and comes back: errors and misses meanwhile, no hang, then as before.
#[test]
fn a_server_that_dies_and_comes_back() {
    for protocol in ["ascii", "binary"] {
        let mut servers = Memcached::several(1, &[]);
        let moxi = builder(&servers, protocol, "ketama").start();
        let mut clients: Vec<_> = (0..8).map(|_| moxi.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.ask(set(&format!("key{number}"), "1"), "STORED\r\n");
        }
        let port = servers.remove(0).kill();
        for _ in 0..3 {
            for client in &mut clients {
                let start = Instant::now();
                client.send("set key 0 0 1\r\n1\r\nget key\r\n");
                let line = client.line();
                assert!(line.starts_with(b"SERVER_ERROR proxy "), "{}", line.escape_ascii());
                client.expect("END\r\n");
                assert!(start.elapsed() < Duration::from_secs(2), "{protocol}: {:?}", start.elapsed());
            }
        }
        let _server = Memcached::revive(port, &[]);
        // Suspended by now; a probe ends that long before the 30 seconds of `connect_retry_interval` (03 §21.2).
        for client in &mut clients {
            wait_for("the end of the suspension", || {
                client.send(set("key", "2"));
                client.line() == b"STORED\r\n"
            });
            client.ask("get key\r\n", value("key", "2") + "END\r\n");
        }
    }
}

/// The clients' bytes arrive in small pieces, which a proxy must not answer with pauses.
#[test]
fn line_and_data_in_separate_writes() {
    let servers = Memcached::several(1, &[]);
    for protocol in ["ascii", "binary"] {
        let moxi = builder(&servers, protocol, "ketama").start();
        let mut client = moxi.client();
        // As simple clients do: Nagle's algorithm on, two writes.
        client.socket().set_tcp_nodelay(false).expect("no delay off");
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let start = Instant::now();
                client.send("set key 5 0 5\r\n");
                client.send("hello\r\n");
                client.expect("STORED\r\n");
                start.elapsed()
            })
            .collect();
        times.sort();
        // 40 ms each, were the first half not acknowledged at once: all but those few at the beginning that the kernel
        // acknowledges at once anyway. On a busy machine some take as long for another reason.
        assert!(times[50] < Duration::from_millis(30), "{protocol}: {times:?}");
    }
}
