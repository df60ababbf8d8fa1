//! The engine by itself, and a clock that the test turns.

use moxi::config;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::downstream::host::HealthTable;
use moxi::proxy::timers::Micros;
use moxi::proxy::upstream::ClientId;
use moxi::proxy::{Action, Engine, Settings};

const SECOND: Micros = 1_000_000;

/// An engine with one ASCII server, and a client.
struct Bench {
    engine: Engine,
    client: ClientId,
    actions: Vec<Action>,
}

impl Bench {
    fn start(now: Micros, behavior: &str) -> Bench {
        let behavior = format!("downstream_protocol=ascii,{behavior}");
        let loaded = config::load("11211=db1.example:11211", Some(&behavior), &|_| None).expect("a configuration");
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&loaded.config, &HealthTable::default(), settings);
        engine.set_time(now);
        let client = engine.add_client(0).expect("a client");
        Bench { engine, client, actions: Vec::new() }
    }

    fn ask(&mut self, request: &str) {
        let space = self.engine.client_space(self.client).expect("room");
        space[..request.len()].copy_from_slice(request.as_bytes());
        self.engine.client_filled(self.client, request.len());
        self.turn();
    }

    fn turn(&mut self) {
        self.engine.turn(&mut Vec::new());
        self.engine.take_actions(&mut self.actions);
    }

    fn at(&mut self, now: Micros) {
        self.engine.set_time(now);
        self.turn();
    }

    /// The connection that is to be made.
    fn connecting(&mut self) -> Option<ConnId> {
        let at = self.actions.iter().position(|action| matches!(action, Action::Connect(..)))?;
        let Action::Connect(id, _) = self.actions.remove(at) else { return None };
        Some(id)
    }

    fn is_closed(&self, id: ConnId) -> bool {
        let is_it = |action: &Action| matches!(action, Action::CloseConn(it) | Action::FinishConn(it) if *it == id);
        self.actions.iter().any(is_it)
    }

    /// What the server gets.
    fn sent(&mut self, id: ConnId) -> Vec<u8> {
        let bytes: Vec<u8> = match self.engine.conn_output(id) {
            Some((output, limit)) => output.slices(limit, 64).iter().flat_map(|slice| slice.to_vec()).collect(),
            None => Vec::new(),
        };
        self.engine.conn_sent(id, bytes.len());
        bytes
    }

    fn reply(&mut self, id: ConnId, reply: &str) {
        let space = self.engine.conn_space(id).expect("room");
        space[..reply.len()].copy_from_slice(reply.as_bytes());
        self.engine.conn_filled(id, reply.len());
        self.turn();
    }

    /// What the client gets.
    fn got(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = match self.engine.client_output(self.client) {
            Some((output, limit)) => output.slices(limit, 64).iter().flat_map(|slice| slice.to_vec()).collect(),
            None => Vec::new(),
        };
        self.engine.client_sent(self.client, bytes.len());
        bytes
    }

    /// A connection that has answered once.
    fn warm(&mut self) -> ConnId {
        self.ask("incr a 1\r\n");
        let id = self.connecting().expect("a connection");
        self.engine.connected(id);
        self.turn();
        assert_eq!(self.sent(id), b"incr a 1\r\n");
        self.reply(id, "2\r\n");
        assert_eq!(self.got(), b"2\r\n");
        id
    }
}

/// Idle server connections stayed for ever. They are closed after a minute, which is no error, and made again when
/// they are needed.
#[test]
fn idle_connections_are_closed_after_a_minute() {
    let mut bench = Bench::start(SECOND, "connect_max_errors=1");
    for round in 1..5 {
        let start = round * 1000 * SECOND;
        bench.at(start);
        let id = bench.warm();
        // Used again, it starts anew.
        bench.at(start + 50 * SECOND);
        bench.ask("incr a 1\r\n");
        assert_eq!(bench.sent(id), b"incr a 1\r\n");
        bench.reply(id, "3\r\n");
        assert_eq!(bench.got(), b"3\r\n");
        bench.at(start + 110 * SECOND - 1);
        assert!(!bench.is_closed(id));
        bench.at(start + 110 * SECOND);
        assert!(bench.is_closed(id));
        let is_told = |action: &Action| matches!(action, Action::Log(0 | 1, _));
        assert!(!bench.actions.iter().any(is_told), "{:?}", bench.actions);
        bench.actions.clear();
    }
}

/// Clocks of 32 bits: limits misbehaved after 49.7 days, when milliseconds, or 71 minutes, when microseconds ran over.
#[test]
fn mb_2897_a_clock_that_runs_for_long() {
    let milliseconds = u64::from(u32::MAX) * 1000;
    let years = 100 * 366 * 86_400 * SECOND;
    for start in [u64::from(u32::MAX), u64::from(u32::MAX / 2), milliseconds, milliseconds / 2, years] {
        let start = start - SECOND;
        let mut bench = Bench::start(start, "downstream_timeout=2000,connect_timeout=2000,connect_max_errors=0");
        let id = bench.warm();
        bench.ask("incr a 1\r\n");
        bench.sent(id);
        bench.at(start + 2 * SECOND - 1);
        assert_eq!(bench.got(), b"");
        bench.at(start + 2 * SECOND);
        assert_eq!(bench.got(), b"SERVER_ERROR proxy downstream timeout db1.example\r\n");
        assert!(bench.is_closed(id));
        // The server is through with what was sent on it.
        bench.engine.conn_closed(id);
        bench.ask("incr a 1\r\n");
        let id = bench.connecting().expect("another connection");
        bench.at(start + 4 * SECOND - 1);
        assert_eq!(bench.got(), b"");
        bench.at(start + 4 * SECOND);
        assert_eq!(bench.got(), b"SERVER_ERROR proxy write to downstream db1.example\r\n");
        assert!(bench.is_closed(id));
    }
}
