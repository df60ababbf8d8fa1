//! Lists of keys: `stats cachedump`, `lru_crawler metadump` and `mgdump`, by hand and by the tools that use them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use moxi_test_support::ports::Port;
use moxi_test_support::{Down, LIMIT, Memcached, Mock, Moxi, MoxiBuilder, Wire, moxi};

const NOT_OVER_BINARY: &str = "CLIENT_ERROR binary servers have no such command\r\n";
const TOOL: &str = "/usr/share/memcached/scripts/memcached-tool";

fn over_ascii(ports: impl IntoIterator<Item = u16>) -> MoxiBuilder {
    moxi!().servers(ports).ascii()
}

fn keys(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("key:{number}")).collect()
}

fn fill(client: &mut Wire, keys: &BTreeSet<String>) {
    for key in keys {
        client.send(format!("set {key} 5 0 3\r\nabc\r\n"));
    }
    client.expect("STORED\r\n".repeat(keys.len()));
}

/// The lines of a list, and what ends it.
fn list(client: &mut Wire, request: &str) -> (Vec<String>, String) {
    client.send(request);
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8(client.line()).expect("text");
        if !["ITEM ", "key=", "mg "].iter().any(|start| line.starts_with(start)) {
            return (lines, line);
        }
        lines.push(line);
    }
}

/// The keys in a `metadump`, each of which must be there once.
fn metadump(client: &mut Wire, classes: &str) -> BTreeSet<String> {
    let (lines, end) = list(client, &format!("lru_crawler metadump {classes}\r\n"));
    assert_eq!(end, "END\r\n");
    let key = |line: &String| {
        let words: Vec<_> = line.strip_suffix('\n').expect("a line").split(' ').collect();
        let names = ["key=", "exp=", "la=", "cas=", "fetch=", "cls=", "size="];
        assert!(words.len() == 7 && words.iter().zip(names).all(|(word, name)| word.starts_with(name)), "{line:?}");
        words[0]["key=".len()..].replace("%3A", ":")
    };
    let found: BTreeSet<String> = lines.iter().map(key).collect();
    assert_eq!(found.len(), lines.len(), "a key appears twice");
    found
}

/// What a tool writes. Those of memcached wait for ever for an `END` that does not come.
fn output(command: &[&str]) -> String {
    let limit = LIMIT.as_secs().to_string();
    let mut bounded = Command::new("timeout");
    let output = bounded.arg(limit).args(command).stdin(Stdio::null()).output().expect("the tool runs");
    String::from_utf8(output.stdout).expect("text")
}

/// Lists the keys on `port` with memcached's own tool and with libmemcached's.
fn by_tools(port: u16, wanted: &BTreeSet<String>) {
    if Path::new(TOOL).exists() {
        let tool = |mode: &str| output(&["perl", TOOL, &format!("127.0.0.1:{port}"), mode]).replace("\r\n", "\n");
        let dumped = tool("dump");
        for key in wanted {
            assert!(dumped.contains(&format!("add {key} 5 0 3\nabc\n")), "{key} is missing in {dumped}");
        }
        assert_eq!(dumped.matches("add ").count(), wanted.len());
        assert_eq!(tool("keys").lines().count(), wanted.len());
    } else {
        println!("{TOOL} is not installed");
    }
    let memcdump = Command::new("memcdump").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if memcdump.is_err() {
        return println!("memcdump is not installed (Debian: apt-get install libmemcached-tools)");
    }
    let dumped = output(&["memcdump", &format!("--servers=127.0.0.1:{port}")]);
    let found: BTreeSet<String> = dumped.lines().map(str::to_owned).collect();
    assert_eq!(found, *wanted, "memcdump on {port}");
}

/// A moxi with a server of its own, and a proxy in front of it.
fn built_in() -> (Moxi, Port) {
    let server = Port::reserve();
    let number = server.number();
    let moxi = over_ascii([number]).threads(2).argument("-p").argument(number.to_string()).start();
    (moxi, server)
}

/// Servers whose `cachedump` shows items at once.
fn servers(count: usize) -> Vec<Memcached> {
    Memcached::several(count, &["-o", "no_modern,lru_crawler"])
}

#[test]
fn tools_list_the_keys_of_all_servers() {
    for count in [1, 3] {
        let servers = servers(count);
        let moxi = over_ascii(servers.iter().map(Memcached::port)).threads(2).start();
        let wanted = keys(60);
        fill(&mut moxi.client(), &wanted);
        by_tools(moxi.port(), &wanted);
    }
}

#[test]
fn tools_list_the_keys_of_the_built_in_server() {
    let (moxi, server) = built_in();
    let wanted = keys(60);
    fill(&mut moxi.client(), &wanted);
    by_tools(server.number(), &wanted);
    by_tools(moxi.port(), &wanted);
}

#[test]
fn lists_of_several_servers_are_one() {
    let servers = Memcached::several(3, &[]);
    let ports: Vec<u16> = servers.iter().map(Memcached::port).collect();
    let moxi = over_ascii(ports.clone()).start();
    let wanted = keys(300);
    let mut client = moxi.client();
    fill(&mut client, &wanted);
    for classes in ["all", "hash", "1", "1,2,3"] {
        assert_eq!(metadump(&mut client, classes), wanted, "{classes}");
    }
    assert_eq!(metadump(&mut client, "2"), BTreeSet::new());
    client.send("lru_crawler metadump 0\r\nlru_crawler metadump 200\r\nlru_crawler metadump\r\n");
    client.expect("BADCLASS invalid class id\r\nBADCLASS invalid class id\r\nERROR\r\n");
    client.send("stats cachedump 200 0\r\nstats cachedump 1\r\nstats cachedump x 1\r\n");
    client.expect("CLIENT_ERROR Illegal slab id\r\nCLIENT_ERROR bad command line\r\n");
    client.expect("CLIENT_ERROR bad command line format\r\n");
    // What comes behind a list is answered behind it; what comes before it is in it.
    client.send("set late 5 0 3\r\nabc\r\n");
    client.send("lru_crawler metadump all\r\nget late\r\nstats cachedump 200 0\r\n");
    client.expect("STORED\r\n");
    let mut lines = 0;
    while client.line().starts_with(b"key=") {
        lines += 1;
    }
    assert_eq!(lines, wanted.len() + 1);
    client.expect("VALUE late 5 3\r\nabc\r\nEND\r\nCLIENT_ERROR Illegal slab id\r\n");
    // A server that is listed several times is asked once.
    let moxi = moxi!().vbuckets([ports[0]; 4], &[0, 1, 2, 3]).ascii().start();
    let mut direct = servers[0].client();
    assert_eq!(metadump(&mut moxi.client(), "all"), metadump(&mut direct, "all"));
    // And one that the client has named.
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    let (lines, end) = list(&mut client, &format!("A:127.0.0.1:{} lru_crawler metadump all\r\n", ports[0]));
    assert_eq!((lines.len(), &end[..]), (metadump(&mut direct, "all").len(), "END\r\n"));
    client.send(format!("B:127.0.0.1:{} lru_crawler metadump all\r\nlru_crawler metadump all\r\n", ports[0]));
    client.expect(format!("{NOT_OVER_BINARY}ERROR\r\n"));
}

#[test]
fn at_most_so_many() {
    let servers = servers(3);
    let moxi = over_ascii(servers.iter().map(Memcached::port)).start();
    let mut client = moxi.client();
    fill(&mut client, &keys(60));
    for (limit, count) in [(0, 60), (1, 1), (7, 7), (1000, 60)] {
        let (lines, end) = list(&mut client, &format!("stats cachedump 1 {limit}\r\n"));
        assert_eq!((lines.len(), &end[..]), (count, "END\r\n"), "{limit}");
    }
}

#[test]
fn binary_servers_have_none() {
    let server = Memcached::start(&[]);
    let moxi = moxi!().servers([server.port()]).binary().start();
    let mut client = moxi.client();
    for request in ["stats cachedump 1 0", "lru_crawler metadump all", "lru_crawler mgdump hash"] {
        client.send(format!("{request}\r\n"));
        client.expect(NOT_OVER_BINARY);
    }
    client.send("get a\r\n");
    client.expect("END\r\n");
}

/// Two scripted servers, a client and its request, and the connections that the request has come on.
fn scripted(request: &str, behavior: &str) -> (Vec<Mock>, Moxi, Wire, Vec<Wire>) {
    let mocks = Mock::several(2);
    let moxi = over_ascii(mocks.iter().map(Mock::port)).set(behavior).argument("-v").start();
    let mut client = moxi.client();
    client.send(request);
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    for line in &mut lines {
        line.expect(request);
    }
    (mocks, moxi, client, lines)
}

#[test]
fn what_servers_say_instead() {
    const ALL: &str = "lru_crawler metadump all\r\n";
    const MG: &str = "lru_crawler mgdump 1,2\r\n";
    const CACHEDUMP: &str = "stats cachedump 63 5\r\n";
    for (request, says, gets) in [
        (MG, ["mg a\r\nEN\r\n", "mg Yg== b\r\nEN\r\n"], "mg a\r\nmg Yg== b\r\nEN\r\n"),
        (MG, ["ERROR\r\n", "ERROR\r\n"], "ERROR\r\n"),
        (MG, ["mg a\r\nEN\r\n", "ERROR\r\n"], "mg a\r\nSERVER_ERROR ERROR: no complete list from SECOND\r\n"),
        (ALL, ["key=a exp=-1\nEND\r\n", "key=b exp=-1\nEND\r\n"], "key=a exp=-1\nkey=b exp=-1\nEND\r\n"),
        (ALL, ["BUSY now\r\n", "BUSY now\r\n"], "BUSY now\r\n"),
        (
            ALL,
            ["key=a exp=-1\nEND\r\n", "BUSY now\r\n"],
            "key=a exp=-1\nSERVER_ERROR BUSY now: no complete list from SECOND\r\n",
        ),
        (
            ALL,
            ["CLIENT_ERROR off\r\n", "key=b exp=-1\nEND\r\n"],
            "key=b exp=-1\nSERVER_ERROR off: no complete list from FIRST\r\n",
        ),
        (
            CACHEDUMP,
            ["ITEM a [1 b; 0 s]\r\nEND\r\n", "CLIENT_ERROR Illegal slab id\r\n"],
            "ITEM a [1 b; 0 s]\r\nEND\r\n",
        ),
        (
            CACHEDUMP,
            ["CLIENT_ERROR Illegal slab id\r\n", "CLIENT_ERROR Illegal slab id\r\n"],
            "CLIENT_ERROR Illegal slab id\r\n",
        ),
        (CACHEDUMP, ["END\r\n", "END\r\n"], "END\r\n"),
    ] {
        let (mocks, moxi, mut client, mut lines) = scripted(request, "downstream_retry=0");
        for (line, says) in lines.iter_mut().zip(says) {
            line.send(says);
            taken(&moxi);
        }
        let gets = gets.replace("FIRST", &format!("127.0.0.1:{}", mocks[0].port()));
        client.expect(gets.replace("SECOND", &format!("127.0.0.1:{}", mocks[1].port())));
    }
}

/// Waits until moxi has read what was sent before.
fn taken(moxi: &Moxi) {
    let mut control = moxi.client();
    control.send("version\r\n");
    control.line();
}

/// Nothing that does not belong into a list is passed on.
#[test]
fn what_does_not_fit_ends_the_connection() {
    for says in ["VALUE a 0 1\r\n1\r\nEND\r\n", "\r\n"] {
        let (mocks, _moxi, mut client, mut lines) = scripted("lru_crawler metadump all\r\n", "downstream_retry=0");
        lines[0].send("END\r\n");
        lines[1].send(says);
        lines[1].expect_closed();
        let closed = "SERVER_ERROR proxy downstream closed: no complete list from";
        client.expect(format!("{closed} 127.0.0.1:{}\r\n", mocks[1].port()));
    }
}

#[test]
fn servers_that_are_down_are_named() {
    let (server, down) = (Memcached::start(&[]), Down::new());
    for errors in [0, 1] {
        let moxi = over_ascii([server.port(), down.port()]).set(format!("connect_max_errors={errors}")).start();
        for _ in 0..4 {
            let mut client = moxi.client();
            client.send("lru_crawler metadump all\r\nstats cachedump 1 0\r\n");
            let end =
                format!("SERVER_ERROR proxy write to downstream: no complete list from 127.0.0.1:{}\r\n", down.port());
            client.expect(end.repeat(2));
        }
    }
}

/// A server that stops inside its list, or dies there, spoils the list only; one that dies before is asked again.
#[test]
fn lists_that_break_off() {
    let request = "lru_crawler metadump all\r\n";
    let (mocks, moxi, mut client, mut lines) = scripted(request, "downstream_timeout=800");
    lines[0].send("key=a exp=-1\nEND\r\n");
    taken(&moxi);
    lines[1].send("key=b exp=-1\nkey=c");
    client.expect("key=a exp=-1\nkey=b exp=-1\n");
    let incomplete = format!("no complete list from 127.0.0.1:{}\r\n", mocks[1].port());
    client.expect(format!("SERVER_ERROR proxy downstream timeout: {incomplete}"));
    lines[1].expect_closed();

    let (mocks, moxi, mut client, mut lines) = scripted(request, "downstream_timeout=0");
    lines[0].send("key=a exp=-1\nEND\r\n");
    taken(&moxi);
    lines[1].send("key=b exp=-1\nkey=c");
    taken(&moxi);
    lines.remove(1).close();
    let incomplete = format!("no complete list from 127.0.0.1:{}\r\n", mocks[1].port());
    client.expect(format!("key=a exp=-1\nkey=b exp=-1\nSERVER_ERROR proxy downstream closed: {incomplete}"));

    let (mocks, _moxi, mut client, mut lines) = scripted(request, "downstream_timeout=0");
    lines.remove(0).close();
    let mut again = mocks[0].accept();
    again.expect(request);
    again.send("END\r\n");
    lines[0].send("key=b exp=-1\nEND\r\n");
    client.expect("key=b exp=-1\nEND\r\n");
}

/// A list travels on a connection of its own, however few a server may have, and takes nobody's place.
#[test]
fn nobody_waits_for_a_list() {
    let behavior = "downstream_conn_max=1,downstream_max=1";
    let (mocks, moxi, mut client, mut lines) = scripted("lru_crawler metadump all\r\n", behavior);
    let mut other = moxi.client();
    other.send("get a b c d e f\r\nset a 0 0 1\r\n1\r\n");
    let mut served: Vec<Wire> = mocks.iter().filter_map(|mock| mock.try_accept(Duration::from_millis(500))).collect();
    for line in &mut served {
        assert!(line.line().starts_with(b"get "));
        line.send("END\r\n");
    }
    other.expect("END\r\n");
    let storing = served.iter_mut().find_map(|line| line.readable(Duration::from_millis(200)).then_some(line));
    let storing = storing.expect("the set");
    storing.expect("set a 0 0 1\r\n1\r\n");
    storing.send("STORED\r\n");
    other.expect("STORED\r\n");
    // Its own client's next requests are sent, too, and answered behind it.
    for line in &mut lines {
        line.send("END\r\n");
    }
    client.expect("END\r\n");
}

/// While one list is made the server's crawler is not asked for another, by whichever worker.
#[test]
fn one_list_at_a_time() {
    let mocks = Mock::several(2);
    let moxi = over_ascii(mocks.iter().map(Mock::port)).threads(4).start();
    let request = "lru_crawler metadump all\r\n";
    let mut client = moxi.client();
    client.send(request);
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    for line in &mut lines {
        line.expect(request);
    }
    for _ in 0..8 {
        let mut other = moxi.client();
        other.send("lru_crawler metadump all\r\nlru_crawler mgdump all\r\n");
        other.expect("BUSY currently processing crawler request\r\n".repeat(2));
    }
    for line in &mut lines {
        line.send("END\r\n");
    }
    client.expect("END\r\n");
    client.send(request);
    for line in &mut lines {
        line.expect(request);
        line.send("END\r\n");
    }
    client.expect("END\r\n");
    // A client that goes away, too, leaves the crawlers to others.
    client.send(request);
    for line in &mut lines {
        line.expect(request);
        line.send("key=a exp=-1\n");
    }
    client.close();
    for line in &mut lines {
        line.expect_closed();
    }
    let mut other = moxi.client();
    other.send(request);
    for mock in &mocks {
        let mut line = mock.accept();
        line.expect(request);
        line.send("END\r\n");
    }
    other.expect("END\r\n");
}

/// A list is read no faster than its client takes it, and given up when the client takes nothing.
#[test]
fn a_slow_client_holds_the_server_back() {
    // More than all socket buffers on the way can hold.
    const LINES: usize = 1_000_000;
    let text =
        |number: usize| format!("key=some_rather_long_name_of_a_key_number_{number:07} exp=-1 la=1 cas=1 size=1\n");
    for takes in [true, false] {
        let mock = Mock::new();
        let time = if takes { 60_000 } else { 300 };
        let moxi = over_ascii([mock.port()]).set(format!("downstream_timeout={time}")).start();
        let mut client = moxi.client();
        client.send("lru_crawler metadump all\r\n");
        let mut line = mock.accept();
        line.expect("lru_crawler metadump all\r\n");
        let (send, sent) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            for chunk in 0..LINES / 1000 {
                let lines: String = (chunk * 1000..(chunk + 1) * 1000).map(text).collect();
                line.send_into_the_dark(lines);
                let _ = send.send(chunk);
            }
            line.send_into_the_dark("END\r\n");
            line
        });
        // Until nothing goes on.
        let mut chunks = 0;
        while sent.recv_timeout(Duration::from_millis(500)).is_ok() {
            chunks += 1;
            assert!(takes || chunks <= LINES / 1000);
        }
        if !takes {
            // The connection was given up, and the rest went into the dark.
            server.join().expect("the server").expect_closed();
            let end =
                format!("SERVER_ERROR proxy downstream timeout: no complete list from 127.0.0.1:{}\r\n", mock.port());
            while client.line() != end.as_bytes() {}
            continue;
        }
        assert!(chunks < LINES / 2000, "the server was not held back");
        for number in 0..LINES {
            assert_eq!(client.line(), text(number).as_bytes());
        }
        client.expect("END\r\n");
        drop(server.join());
    }
}
