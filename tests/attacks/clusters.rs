//! Managers of clusters, and names with very many addresses.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use moxi_test_support::{Memcached, Moxi, moxi};

use crate::field::{Attack, Signals, scale};

/// A manager of a cluster, which attacks, and the only server of its buckets that there is.
struct Managed {
    listener: TcpListener,
    server: Memcached,
}

impl Managed {
    fn new() -> Managed {
        Managed { listener: TcpListener::bind("127.0.0.1:0").expect("a port"), server: Memcached::start(&[]) }
    }

    /// A document of so many vbuckets and servers. The first server has the key that others ask for; nobody is where the
    /// rest should be.
    fn document(&self, vbuckets: usize, servers: usize) -> String {
        let port = self.server.port();
        let list: Vec<String> =
            (0..servers).map(|number| format!("\"127.0.{}.{}:{port}\"", number / 250, number % 250 + 1)).collect();
        let wanted = (crc32fast::hash(b"other") >> 16) as usize & 0x7fff & (vbuckets - 1);
        let master = |number| if number == wanted { 0 } else { number % servers };
        let rows: Vec<String> = (0..vbuckets).map(|number| format!("[{}]", master(number))).collect();
        format!(
            "{{\"name\":\"\",\"nodeLocator\":\"vbucket\",\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\
             \"serverList\":[{}],\"vBucketMap\":[{}]}}}}",
            list.join(","),
            rows.join(",")
        )
    }

    /// Starts the moxi that asks, and gives the connection on which it has asked.
    fn start(&self) -> (Moxi, TcpStream) {
        let url = format!("http://{}/p", self.listener.local_addr().expect("an address"));
        let document = self.document(4, 1);
        thread::scope(|scope| {
            let accepted = scope.spawn(|| {
                let mut stream = self.accept();
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sent");
                chunk(&mut stream, document.as_bytes());
                chunk(&mut stream, b"\n\n\n\n");
                stream
            });
            let moxi = moxi!().managed(&url).ascii().start();
            (moxi, accepted.join().expect("a manager"))
        })
    }

    fn accept(&self) -> TcpStream {
        let (mut stream, _) = self.listener.accept().expect("a request");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            asked.push(byte[0]);
        }
        stream
    }
}

/// Writes a chunk; whether there is somebody to take it.
fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    stream.write_all(&framed).is_ok()
}

#[test]
fn a_huge_map_again_and_again() {
    let managed = Managed::new();
    let (moxi, mut stream) = managed.start();
    let (vbuckets, servers) = (scale(4096, 65_536), scale(100, 1000));
    let name = format!("maps of {vbuckets} vbuckets and {servers} servers, four in a second");
    let maps = [managed.document(vbuckets, servers), managed.document(vbuckets, servers - 1)];
    // Text, JSON, rows, names: of two maps, while one takes the place of the other.
    let allowed = 2 * (vbuckets as u64 * 250 + servers as u64 * 4096);
    Attack { name, allowed, moxi }.judge(|signals: &Signals| {
        signals.begin();
        for map in maps.iter().cycle() {
            if signals.is_over() {
                break;
            }
            chunk(&mut stream, map.as_bytes());
            chunk(&mut stream, b"\n\n\n\n");
            thread::sleep(Duration::from_millis(250));
        }
    });
}

#[test]
fn a_document_without_end() {
    let managed = Managed::new();
    let (moxi, mut stream) = managed.start();
    // 100 MiB, in room that has grown to twice as much.
    Attack { name: "a document without end".to_owned(), allowed: 256 << 20, moxi }.judge(|signals| {
        let piece = vec![b'['; 64 << 10];
        signals.begin();
        while !signals.is_over() {
            if !chunk(&mut stream, &piece) {
                // It was too long: asked again, it goes on.
                stream = managed.accept();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            }
            if !crate::field::is_full() {
                thread::sleep(Duration::from_micros(500));
            }
        }
    });
}

/// Ten megabytes of nothing, packed into ten kilobytes: nobody has asked for it packed, so it is no document.
#[test]
fn a_packed_document() {
    let managed = Managed::new();
    let (moxi, stream) = managed.start();
    let packed = include_bytes!("../data/attacks/zeros.gz");
    Attack { name: "a packed document of 10 MB in 10 kB".to_owned(), allowed: 1 << 20, moxi }.judge(|signals| {
        drop(stream);
        signals.begin();
        let mut answered = 0;
        managed.listener.set_nonblocking(true).expect("non-blocking");
        while !signals.is_over() {
            let Ok((mut stream, _)) = managed.listener.accept() else {
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            stream.set_nonblocking(false).expect("blocking");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
            let _ = stream.write_all(&[head.as_bytes(), packed].concat());
            answered += 1;
        }
        println!("answered {answered} times");
    });
}

/// A name with a thousand addresses, of which the last one answers: in a file that only this process sees.
#[test]
fn a_name_with_a_thousand_addresses() {
    let server = Memcached::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    let count = scale(200, 1000);
    let mut lines: String =
        (1..count).map(|number| format!("127.1.{}.{} many\n", number / 250, number % 250 + 1)).collect();
    lines.push_str("127.0.0.1 many\n127.0.0.1 localhost\n");
    fs::write(&hosts, lines).expect("a file");
    let can = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        return println!("unshare -m is not permitted here");
    }
    let mount = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    let moxi = moxi!()
        .cluster(format!("many:{}", server.port()))
        .ascii()
        .set("connect_timeout=5000")
        .set("downstream_conn_queue_timeout=5000")
        .before(["unshare", "-m", "sh", "-c", &mount])
        .start();
    let name = format!("a server whose name has {count} addresses, of which the last one answers");
    Attack { name, allowed: 1 << 20, moxi }.judge(Signals::hold);
}
