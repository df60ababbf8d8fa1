//! Busy clients, many upgrades and reloads in a row: no connection is refused, and each request gets its answer, the
//! right one.
//!
//! `MOXI_UPGRADES=n`: so many of each.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::launch::{free_port, text, wait_for};
use crate::service::Service;
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{LIMIT, Memcached};

/// Clients that are busy at the same time.
const CLIENTS: usize = 50;
/// Requests after which those reconnect that do not keep their connection.
const VISIT: u64 = 40;
/// Upgrades, and reloads, without the environment variable.
const FEW: usize = 5;

/// What has happened.
#[derive(Default)]
struct Tally {
    connections: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    wrong: AtomicU64,
}

/// What a client waits for.
enum Answer {
    Line(String),
    /// The packet, and its value.
    Packet(Packet),
}

/// A client that has one counter, which tells how often its requests were carried out, and one value.
struct Client<'a> {
    number: usize,
    port: u16,
    connection: Option<BufReader<TcpStream>>,
    /// How often it has counted.
    count: u64,
    tally: &'a Tally,
}

impl Client<'_> {
    /// Asks until `is_over`.
    fn run(&mut self, is_over: &AtomicBool) {
        // Every second one keeps its connection for ever; every third one speaks the binary protocol.
        let (keeps, is_binary) = (self.number.is_multiple_of(2), self.number.is_multiple_of(3));
        let mut visits = 0;
        while !is_over.load(Relaxed) {
            let answers = if is_binary { self.ask_packets() } else { self.ask_lines() };
            let Some(answers) = answers else { continue };
            for answer in answers {
                self.tally.requests.fetch_add(1, Relaxed);
                if !self.hear(&answer) {
                    self.connection = None;
                    break;
                }
            }
            visits += 1;
            if !keeps && visits % VISIT == 0 {
                self.connection = None;
            }
        }
    }

    /// Sends some requests at once.
    fn ask_lines(&mut self) -> Option<Vec<Answer>> {
        let (number, value) = (self.number, format!("{}-{}", self.number, self.count));
        let length = value.len();
        let mut answers = vec![Answer::Line("STORED\r\n".to_owned())];
        let mut text = format!("set value{number} 0 0 {length}\r\n{value}\r\n");
        if self.count == 0 {
            text.push_str(&format!("set count{number} 0 0 1\r\n0\r\n"));
            answers.push(Answer::Line("STORED\r\n".to_owned()));
        }
        self.count += 1;
        // One without an answer, too.
        text.push_str(&format!("set quiet{number} 0 0 {length} noreply\r\n{value}\r\n"));
        text.push_str(&format!("incr count{number} 1\r\nget value{number} quiet{number}\r\n"));
        answers.push(Answer::Line(format!("{}\r\n", self.count)));
        for name in ["value", "quiet"] {
            answers.push(Answer::Line(format!("VALUE {name}{number} 0 {length}\r\n")));
            answers.push(Answer::Line(format!("{value}\r\n")));
        }
        answers.push(Answer::Line("END\r\n".to_owned()));
        self.send(text.as_bytes())?;
        Some(answers)
    }

    fn ask_packets(&mut self) -> Option<Vec<Answer>> {
        let (value, count) = (format!("{}-{}", self.number, self.count), format!("count{}", self.number));
        let key = format!("value{}", self.number);
        self.count += 1;
        let mut bytes = Packet::storing(op::SET, &key, &value).bytes();
        bytes.extend(Packet::counting(op::INCR, count, 1, 1, 0).bytes());
        bytes.extend(Packet::request(op::GET).key(key).bytes());
        let counted = Packet::reply(op::INCR).value(self.count.to_be_bytes());
        self.send(&bytes)?;
        let found = Packet::reply(op::GET).value(value);
        Some([Packet::reply(op::SET), counted, found].into_iter().map(Answer::Packet).collect())
    }

    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        if self.connection.is_none() {
            self.connection = TcpStream::connect(("127.0.0.1", self.port)).ok().map(BufReader::new);
            self.tally.connections.fetch_add(1, Relaxed);
        }
        let Some(connection) = &mut self.connection else {
            self.tally.refused.fetch_add(1, Relaxed);
            return None;
        };
        connection.get_ref().set_read_timeout(Some(LIMIT)).expect("a time limit");
        if connection.get_mut().write_all(bytes).is_err() {
            self.tally.unanswered.fetch_add(1, Relaxed);
            self.connection = None;
            return None;
        }
        Some(())
    }

    /// Whether the next answer has come; a wrong one is noted.
    fn hear(&mut self, answer: &Answer) -> bool {
        let connection = self.connection.as_mut().expect("it has asked");
        let heard = match answer {
            Answer::Line(expected) => {
                let mut line = String::new();
                let is_whole = connection.read_line(&mut line).is_ok() && line.ends_with('\n');
                is_whole.then(|| (line == *expected, line))
            }
            Answer::Packet(expected) => packet(connection).map(|packet| {
                let same = (packet.opcode, packet.status, &packet.value) == (expected.opcode, 0, &expected.value);
                (same, format!("{packet:?}"))
            }),
        };
        match heard {
            Some((true, _)) => true,
            Some((false, got)) => {
                eprintln!("client {}: {got}", self.number);
                self.tally.wrong.fetch_add(1, Relaxed);
                false
            }
            None => {
                self.tally.unanswered.fetch_add(1, Relaxed);
                false
            }
        }
    }
}

fn packet(connection: &mut impl Read) -> Option<Packet> {
    let mut head = [0; 24];
    connection.read_exact(&mut head).ok()?;
    let body_length = u32::from_be_bytes(head[8..12].try_into().expect("four bytes"));
    let mut body = vec![0; body_length as usize];
    connection.read_exact(&mut body).ok()?;
    let value = body.split_off(usize::from(head[4]) + usize::from(u16::from_be_bytes([head[2], head[3]])));
    let status = u16::from_be_bytes([head[6], head[7]]);
    Some(Packet { magic: head[0], opcode: head[1], status, value, ..Packet::default() })
}

#[test]
fn no_client_notices() {
    let count = std::env::var("MOXI_UPGRADES").ok().map_or(FEW, |text| text.parse().expect("a number"));
    let servers = Memcached::several(2, &[]);
    let (port, other) = (free_port(), free_port());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("cluster.cfg");
    let list = format!("127.0.0.1:{},127.0.0.1:{}", servers[0].port(), servers[1].port());
    let configurations = [format!("{port}={list}"), format!("{port}={list};{other}={list}")];
    fs::write(&file, &configurations[0]).expect("written");
    let behavior = "downstream_protocol=ascii,wait_queue_timeout=0,downstream_conn_queue_timeout=0,connect_timeout=0,\
                    downstream_timeout=0";
    let mut service = Service::start_in(directory, &["-t", "2", "-z", text(&file), "-Z", behavior]);
    let (tally, is_over, began) = (Tally::default(), AtomicBool::new(false), Instant::now());
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (tally, is_over) = (&tally, &is_over);
            let mut client = Client { number, port, connection: None, count: 0, tally };
            scope.spawn(move || client.run(is_over));
        }
        for round in 0..count {
            let upgrade = Instant::now();
            let old = service.upgrade();
            slowest = slowest.max(upgrade.elapsed());
            old.wait_gone();
            fs::write(&file, &configurations[(round + 1) % 2]).expect("written");
            let line = format!("SIGHUP: configuration read again from {}", file.display());
            let before = service.log().matches(&line).count();
            service.current().signal("HUP");
            wait_for("the reload", || service.log().matches(&line).count() > before);
        }
        is_over.store(true, Relaxed);
    });
    let number = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        "{count} upgrades and {count} reloads in {:?}, an upgrade took {slowest:?} at most; {CLIENTS} clients, {} \
         connections, {} answers, {} refused, {} unanswered, {} wrong",
        began.elapsed(),
        number(&tally.connections),
        number(&tally.requests),
        number(&tally.refused),
        number(&tally.unanswered),
        number(&tally.wrong)
    );
    assert_eq!([&tally.refused, &tally.unanswered, &tally.wrong].map(number), [0, 0, 0]);
    assert!(number(&tally.requests) > 0);
    service.stop();
}
