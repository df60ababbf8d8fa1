//! An engine with its clients and their servers, all in memory, and what the clients ask.

use moxi::buffer::Output;
use moxi::config;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::host::HealthTable;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine, Settings};

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

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "get-one-client", clients: 1, behavior: ASCII, servers: 1, request: get },
    Scenario { name: "get", clients: 50, behavior: ASCII, servers: 1, request: get },
    Scenario { name: "set", clients: 50, behavior: ASCII, servers: 1, request: set },
    Scenario { name: "multiget", clients: 50, behavior: ASCII, servers: 4, request: multiget },
    Scenario { name: "get-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: get },
    Scenario { name: "set-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: set },
    Scenario { name: "multiget-binary-servers", clients: 50, behavior: BINARY, servers: 4, request: multiget },
    Scenario { name: "binary-get", clients: 50, behavior: ASCII, servers: 1, request: binary_get },
    Scenario { name: "binary-get-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: binary_get },
    Scenario { name: "binary-set-binary-servers", clients: 50, behavior: BINARY, servers: 1, request: binary_set },
];

const VALUE: [u8; 100] = [b'v'; 100];
const MULTIGET: u32 = 24;
const HEADER: usize = 24;
/// More than all answers of a turn that come over one connection, so that only the engine's memory grows.
const REPLIES: usize = 1 << 20;

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
    if line == b"version" {
        out.extend_from_slice(b"VERSION 1.6.18\r\n");
        return rest;
    }
    if line.starts_with(b"mg ") {
        out.extend_from_slice(b"VA 100 f0 c1\r\n");
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

/// The engine, its clients and their servers.
pub struct World {
    engine: Engine,
    clients: Vec<ClientId>,
    /// What was sent to a server in this turn.
    sent: Vec<(ConnId, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    request: Vec<u8>,
    reply: Vec<u8>,
    actions: Vec<Action>,
    looked_at: Vec<ClientId>,
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
        let mut engine = Engine::new(&loaded.config, &HealthTable::default(), settings);
        let clients = (0..scenario.clients).map(|_| engine.add_client(0).expect("a client")).collect();
        World {
            engine,
            clients,
            sent: Vec::new(),
            spare: Vec::new(),
            per_round: expected(scenario),
            request: Vec::new(),
            reply: Vec::with_capacity(REPLIES),
            actions: Vec::new(),
            looked_at: Vec::new(),
            received: 0,
        }
    }

    /// Every client sends one request and gets its answer.
    pub fn round(&mut self, round: u32, scenario: &Scenario) {
        self.engine.set_time(u64::from(round) * 100);
        for index in 0..self.clients.len() {
            self.request.clear();
            (scenario.request)((round + index as u32 * 7) % 4000, &mut self.request);
            let id = self.clients[index];
            let space = self.engine.client_space(id).expect("a client that is read from");
            space[..self.request.len()].copy_from_slice(&self.request);
            self.engine.client_filled(id, self.request.len());
        }
        let goal = self.received + self.per_round;
        let mut turns = 0;
        while self.received < goal {
            self.turn();
            turns += 1;
            assert!(turns < 10, "no answer");
        }
    }

    /// What the event loop does.
    fn turn(&mut self) {
        self.looked_at.clear();
        self.engine.turn(&mut self.looked_at);
        self.engine.take_actions(&mut self.actions);
        for action in self.actions.drain(..) {
            match action {
                Action::Connect(id, _) => self.engine.connected(id),
                Action::Log(..) | Action::Breach(..) | Action::Trace(..) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        while let Some(id) = self.engine.next_dirty_conn() {
            let (output, limit) = self.engine.conn_output(id).expect("its output");
            let mut sent = self.spare.pop().unwrap_or_default();
            let count = unsent(output, limit, &mut sent);
            self.sent.push((id, sent));
            self.engine.conn_sent(id, count);
        }
        for (id, mut sent) in self.sent.drain(..) {
            self.reply.clear();
            serve(&sent, &mut self.reply);
            sent.clear();
            self.spare.push(sent);
            let mut rest = &self.reply[..];
            while !rest.is_empty() {
                let space = self.engine.conn_space(id).expect("a connection that is read from");
                let count = space.len().min(rest.len());
                space[..count].copy_from_slice(&rest[..count]);
                self.engine.conn_filled(id, count);
                rest = &rest[count..];
            }
        }
        while let Some(id) = self.engine.next_dirty_client() {
            let (output, limit) = self.engine.client_output(id).expect("its output");
            self.reply.clear();
            let count = unsent(output, limit, &mut self.reply);
            self.received += count as u64;
            self.engine.client_sent(id, count);
        }
    }
}

/// Appends what is to be sent to `out`.
fn unsent(output: &Output, limit: u64, out: &mut Vec<u8>) -> usize {
    let before = out.len();
    match output.contiguous(limit) {
        Some(bytes) => out.extend_from_slice(bytes),
        None => output.slices(limit, 64).iter().for_each(|slice| out.extend_from_slice(slice)),
    }
    out.len() - before
}

/// How many bytes the clients must receive in a round. All replies are equally long.
fn expected(scenario: &Scenario) -> u64 {
    let mut request = Vec::new();
    (scenario.request)(0, &mut request);
    let mut reply = Vec::new();
    serve(&request, &mut reply);
    reply.len() as u64 * u64::from(scenario.clients)
}
