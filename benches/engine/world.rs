//! An engine and its event loop with clients and their servers, all in memory, and what the clients ask.

use moxi::config;
use moxi::net::driver::{Driver, Event, Service};
use moxi::proxy::downstream::host::HealthTable;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Engine, Settings};

use super::network::{Net, READABLE, Socket};

/// What all clients do, over and over: each sends one request and waits for its answer.
pub struct Scenario {
    pub name: &'static str,
    pub clients: u32,
    /// Names of behaviour keys, as after `-Z`.
    behavior: &'static str,
    servers: u16,
    request: fn(number: u32, out: &mut Vec<u8>),
}

/// `-Z` for servers that speak this protocol.
const ASCII: &str = "downstream_protocol=ascii";
const BINARY: &str = "downstream_protocol=binary";
/// With keys, or the time of requests, being watched.
const HOT_KEYS: &str = "downstream_protocol=ascii,hot_keys=20";
const SLOW_LOG: &str = "downstream_protocol=ascii,slow_log=1000";
const KEY_STATS: &str = "downstream_protocol=ascii,key_stats_lifespan=60000,key_stats_spec=key_,key_stats_max=400";

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "get-one-client", clients: 1, behavior: ASCII, servers: 1, request: get },
    Scenario { name: "get", clients: 50, behavior: ASCII, servers: 1, request: get },
    Scenario { name: "meta-get", clients: 50, behavior: ASCII, servers: 1, request: meta_get },
    Scenario { name: "set", clients: 50, behavior: ASCII, servers: 1, request: set },
    Scenario { name: "multiget", clients: 50, behavior: ASCII, servers: 4, request: multiget },
    Scenario { name: "get-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: get },
    Scenario { name: "meta-get-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: meta_get },
    Scenario { name: "set-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: set },
    Scenario { name: "multiget-binary-servers", clients: 50, behavior: BINARY, servers: 4, request: multiget },
    Scenario { name: "binary-get", clients: 50, behavior: ASCII, servers: 1, request: binary_get },
    Scenario { name: "binary-get-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: binary_get },
    Scenario { name: "binary-set-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: binary_set },
    Scenario { name: "get-hot-keys", clients: 50, behavior: HOT_KEYS, servers: 1, request: get },
    Scenario { name: "get-slow-log", clients: 50, behavior: SLOW_LOG, servers: 1, request: get },
    Scenario { name: "get-key-stats", clients: 50, behavior: KEY_STATS, servers: 1, request: get },
];

const VALUE: [u8; 100] = [b'v'; 100];
const MULTIGET: u32 = 24;
const HEADER: usize = 24;

fn key(number: u32) -> [u8; 12] {
    let mut key = *b"key_00000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn get(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"get ");
    out.extend_from_slice(&key(number));
    out.extend_from_slice(b"\r\n");
}

fn meta_get(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"mg ");
    out.extend_from_slice(&key(number));
    out.extend_from_slice(b" v f Oabc\r\n");
}

fn set(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"set ");
    out.extend_from_slice(&key(number));
    out.extend_from_slice(b" 0 0 100\r\n");
    out.extend_from_slice(&VALUE);
    out.extend_from_slice(b"\r\n");
}

fn multiget(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"get");
    for step in 0..MULTIGET {
        out.push(b' ');
        out.extend_from_slice(&key(number * MULTIGET + step));
    }
    out.extend_from_slice(b"\r\n");
}

fn binary_get(number: u32, out: &mut Vec<u8>) {
    packet(out, [0x80, 0x00], &[], &key(number), &[], [0; 4]);
}

fn binary_set(number: u32, out: &mut Vec<u8>) {
    packet(out, [0x80, 0x01], &[0; 8], &key(number), &VALUE, [0; 4]);
}

fn packet(out: &mut Vec<u8>, start: [u8; 2], extras: &[u8], key: &[u8], value: &[u8], opaque: [u8; 4]) {
    out.extend_from_slice(&[start[0], start[1], 0, key.len() as u8, extras.len() as u8, 0, 0, 0]);
    out.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    out.extend_from_slice(&opaque);
    out.extend_from_slice(&[0; 8]);
    for part in [extras, key, value] {
        out.extend_from_slice(part);
    }
}

/// A server that has every key. Answers the requests in `input`, which must be complete.
fn serve(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let [first, ..] = rest {
        rest = if *first == 0x80 { serve_packet(rest, out) } else { serve_line(rest, out) };
    }
}

fn serve_line<'a>(input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let end = memchr::memchr(b'\n', input).expect("a whole line");
    let (line, rest) = (&input[..end - 1], &input[end + 1..]);
    if line == b"mn" {
        out.extend_from_slice(b"MN\r\n");
        return rest;
    }
    // The same question on a connection to a server with which the proxy speaks binary.
    if line.trim_ascii_end() == b"mn" {
        out.extend_from_slice(b"ERROR\r\n");
        return rest;
    }
    if line == b"version" {
        out.extend_from_slice(b"VERSION 1.6.18\r\n");
        return rest;
    }
    if line.starts_with(b"mg ") {
        out.extend_from_slice(b"VA 100 f0");
        match line.iter().rposition(|byte| *byte == b' ').map(|at| &line[at..]) {
            Some(opaque @ [b' ', b'O', ..]) => out.extend_from_slice(opaque),
            _ => out.extend_from_slice(b" c1"),
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&VALUE);
        out.extend_from_slice(b"\r\n");
        return rest;
    }
    let Some(keys) = line.strip_prefix(b"get ") else {
        assert!(line.starts_with(b"set "), "unexpected: {}", line.escape_ascii());
        out.extend_from_slice(b"STORED\r\n");
        return &rest[VALUE.len() + 2..];
    };
    // All keys are of one length.
    for key in keys.chunks(13) {
        out.extend_from_slice(b"VALUE ");
        out.extend_from_slice(&key[..12]);
        out.extend_from_slice(b" 0 100\r\n");
        out.extend_from_slice(&VALUE);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"END\r\n");
    rest
}

fn serve_packet<'a>(input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (opcode, key, extras) = (input[1], usize::from(input[3]), usize::from(input[4]));
    let body = u32::from_be_bytes([input[8], input[9], input[10], input[11]]) as usize;
    let opaque = [input[12], input[13], input[14], input[15]];
    let name = &input[HEADER + extras..][..key];
    match opcode {
        0x00 | 0x09 => packet(out, [0x81, opcode], &[0; 4], &[], &VALUE, opaque),
        0x0c | 0x0d => packet(out, [0x81, opcode], &[0; 4], name, &VALUE, opaque),
        0x01 | 0x0a => packet(out, [0x81, opcode], &[], &[], &[], opaque),
        _ => panic!("unexpected opcode {opcode}"),
    }
    &input[HEADER + body..]
}

/// The proxy, its clients and their servers.
pub struct World {
    driver: Driver<Net>,
    clients: Vec<ClientId>,
    /// Room for the events of a turn.
    events: Vec<Event>,
    /// How many bytes clients have received.
    pub received: u64,
    /// How many they must receive in a round.
    pub per_round: u64,
}

impl World {
    pub fn new(scenario: &Scenario) -> World {
        let servers: Vec<String> = (1..=scenario.servers).map(|port| format!("server:{port}")).collect();
        let text = format!("11311={}", servers.join(","));
        let loaded = config::load(&text, Some(scenario.behavior), &|_| None).expect("a good configuration");
        let settings = Settings { requests_per_turn: 20, binding: None };
        let engine = Engine::new(&loaded.config, &HealthTable::default(), settings);
        let mut driver = Driver::new(Net::default(), engine, settings.binding);
        let mut client = |_| driver.add_client(Service::Bucket(0), |_, _| Ok(Socket::default())).expect("a client");
        let clients = (0..scenario.clients).map(&mut client).collect();
        World { driver, clients, events: Vec::new(), received: 0, per_round: expected(scenario) }
    }

    /// Every client sends one request and gets its answer.
    pub fn round(&mut self, round: u32, scenario: &Scenario) {
        self.driver.network.now = u64::from(round) * 100;
        for (index, id) in self.clients.iter().enumerate() {
            let socket = self.driver.client_stream(*id).expect("a client");
            (scenario.request)((round + index as u32 * 7) % 4000, &mut socket.input);
            self.driver.network.events.push(Event::Client(*id, READABLE));
        }
        let goal = self.received + self.per_round;
        let mut turns = 0;
        while self.received < goal {
            self.turn();
            turns += 1;
            assert!(turns < 10, "no answer");
        }
    }

    /// The proxy has its turn, then the servers answer and the clients take what has come.
    fn turn(&mut self) {
        self.driver.turn(&mut self.events).expect("events");
        for index in 0..self.driver.network.conns.len() {
            let id = self.driver.network.conns[index];
            let socket = self.driver.server_stream(id).expect("a connection");
            if socket.output.is_empty() {
                continue;
            }
            serve(&socket.output, &mut socket.input);
            socket.output.clear();
            self.driver.network.events.push(Event::Conn(id, READABLE));
        }
        for id in &self.clients {
            let socket = self.driver.client_stream(*id).expect("a client");
            self.received += socket.output.len() as u64;
            socket.output.clear();
        }
    }
}

/// How many bytes the clients must receive in a round. All replies are equally long.
fn expected(scenario: &Scenario) -> u64 {
    let mut request = Vec::new();
    (scenario.request)(0, &mut request);
    let mut reply = Vec::new();
    serve(&request, &mut reply);
    reply.len() as u64 * u64::from(scenario.clients)
}
