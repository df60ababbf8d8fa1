//! Servers on unix sockets: in lists with weights, in vbucket maps, over both protocols, gone and back.

use std::path::{Path, PathBuf};

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, SocketMemcached, Wire, moxi};
use tempfile::TempDir;

/// A folder whose name is short enough for sockets in it.
fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

fn sockets(folder: &TempDir, count: usize) -> Vec<PathBuf> {
    (0..count).map(|number| folder.path().join(format!("m{number}.sock"))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// How many items the server has.
fn items(path: &Path) -> u32 {
    let mut wire = Wire::connect_unix("direct", path);
    wire.send("stats\r\n");
    let mut items = None;
    loop {
        let line = String::from_utf8(wire.line()).expect("text");
        if let Some(number) = line.strip_prefix("STAT curr_items ") {
            items = number.trim_end().parse().ok();
        }
        if line.trim_end() == "END" {
            return items.expect("curr_items");
        }
    }
}

/// A hundred keys are stored and read, one by one and together.
fn exercise(client: &mut Wire) {
    let keys: Vec<String> = (0..100).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        client.send(format!("set {key} 7 0 {}\r\n{key}\r\n", key.len()));
        client.expect("STORED\r\n");
    }
    let block = |key: &String| format!("VALUE {key} 7 {}\r\n{key}\r\n", key.len());
    for key in &keys {
        client.send(format!("get {key}\r\n"));
        client.expect(block(key) + "END\r\n");
    }
    client.send(format!("get {}\r\n", keys.join(" ")));
    client.expect(keys.iter().map(block).collect::<String>() + "END\r\n");
}

#[test]
fn lists_with_weights_and_tcp_neighbours() {
    for protocol in ["ascii", "binary"] {
        let folder = folder();
        let paths = sockets(&folder, 2);
        let _servers: Vec<_> = paths.iter().map(|path| SocketMemcached::start(path)).collect();
        let tcp = Memcached::start(&[]);
        let list = format!("{}:3, {} ,127.0.0.1:{}", text(&paths[0]), text(&paths[1]), tcp.port());
        let moxi = moxi!().cluster(list).speaking(protocol).start();
        exercise(&mut moxi.client());
        let (heavy, light) = (items(&paths[0]), items(&paths[1]));
        assert!(heavy > light && light > 0, "{protocol}: {heavy} and {light}");
        assert!(heavy + light < 100, "{protocol}: the third has some, too");
    }
}

#[test]
fn a_vbucket_map_over_sockets() {
    for protocol in ["ascii", "binary"] {
        let folder = folder();
        let paths = sockets(&folder, 2);
        let _servers: Vec<_> = paths.iter().map(|path| SocketMemcached::start(path)).collect();
        let map = format!(
            r#"{{"hashAlgorithm":"CRC","numReplicas":0,"serverList":["{}","{}"],"vBucketMap":[[0],[1],[0],[1]]}}"#,
            text(&paths[0]),
            text(&paths[1])
        );
        let moxi = moxi!().cluster(map).speaking(protocol).start();
        exercise(&mut moxi.client());
        let (first, second) = (items(&paths[0]), items(&paths[1]));
        assert_eq!(first + second, 100, "{protocol}");
        assert!(first > 0 && second > 0, "{protocol}: {first} and {second}");
    }
}

#[test]
fn a_socket_that_goes_and_comes_back() {
    let folder = folder();
    let path = folder.path().join("m.sock");
    let moxi = moxi!().cluster(text(&path)).binary().start();
    let mut client = moxi.client();
    let lost = format!("SERVER_ERROR proxy write to downstream {}\r\n", text(&path));
    client.send("set a 0 0 1\r\n1\r\n");
    client.expect(&*lost);
    let server = SocketMemcached::start(&path);
    client.send("set a 0 0 1\r\n1\r\n");
    client.expect("STORED\r\n");
    let mut binary = moxi.client();
    binary.send(Packet::request(op::GETK).key("a").bytes());
    let got = binary.packet();
    assert_eq!((got.key.as_slice(), got.value.as_slice()), (&b"a"[..], &b"1"[..]));
    drop(server);
    client.send("set a 0 0 1\r\n1\r\n");
    client.expect(&*lost);
    let _server = SocketMemcached::start(&path);
    client.send("get a\r\n");
    client.expect("END\r\n");
}

/// A unix socket whose server does not accept takes no more connections at once, where TCP would wait.
#[test]
fn a_full_queue_is_waited_for() {
    let folder = folder();
    let path = folder.path().join("m.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("bound");
    socket.listen(0).expect("listens");
    let connect = || {
        let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
        other.set_nonblocking(true).expect("non-blocking");
        other.connect(&socket2::SockAddr::unix(&path).expect("a path")).map(|()| other)
    };
    let mut queue = Vec::new();
    while let Ok(other) = connect() {
        queue.push(other);
    }
    let moxi = moxi!().cluster(text(&path)).ascii().set("connect_timeout=15000").start();
    let mut client = moxi.client();
    client.send("set a 0 0 1\r\n1\r\n");
    client.expect_nothing(std::time::Duration::from_millis(100));
    for _ in 0..queue.len() {
        drop(socket.accept().expect("one of the queue"));
    }
    let (conn, _) = socket.accept().expect("moxi");
    let mut conn = moxi_test_support::Wire::new("server", conn);
    conn.expect("set a 0 0 1\r\n1\r\n");
    conn.send("STORED\r\n");
    client.expect("STORED\r\n");
}
