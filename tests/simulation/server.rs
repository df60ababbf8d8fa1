//! One connection as its server sees it: reads, executes, answers, and all that can go wrong with it.

use std::collections::VecDeque;

use moxi::config::snapshot::BucketConfig;
use moxi::protocol::Protocol;
use moxi::protocol::binary::opcode;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::timers::Micros;

use super::ascii_server::Form;
use super::garbage;
use super::op::{Op, Outcome};
use super::scenario::Meta;
use super::truth::{Mood, Truth, shown};
use super::{ascii_server, binary_server};
use moxi_fuzzing::memory::Bytes;

/// What a server does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Go,
    /// Close it in an orderly way.
    Close,
    /// Break it: what was sent is lost.
    Reset,
}

/// How far the handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Authenticate,
    Select,
    Ready,
}

/// A server's end of a connection.
pub struct Session {
    pub server: usize,
    /// Which connection it is, for the trace.
    conn: ConnId,
    binary: bool,
    input: Bytes,
    /// What is to be sent, and not before when.
    replies: VecDeque<(Micros, Vec<u8>)>,
    /// Bytes of a refused value that are still to come.
    swallow: usize,
    /// What was read last has to be answered before anything else may be sent.
    alone: bool,
    stage: Stage,
    /// Quiet gets have come; only more of them, or the end of them, may follow.
    in_group: bool,
    stalled_until: Micros,
    /// It may be that more of what was read can be executed.
    can_go_on: bool,
    /// Nothing of what was read has been executed.
    is_fresh: bool,
    /// It does not understand what is spoken.
    is_deaf: bool,
}

impl Session {
    /// A connection that `server` has accepted.
    pub fn new(truth: &Truth, server: usize, conn: ConnId) -> Session {
        let known = &truth.scenario.servers[server];
        let binary = known.protocol == Protocol::Binary;
        let stage = match (binary, known.user.is_empty(), known.bucket.is_empty()) {
            (true, false, _) => Stage::Authenticate,
            (true, true, false) => Stage::Select,
            _ => Stage::Ready,
        };
        Session {
            server,
            conn,
            binary,
            input: Bytes::default(),
            replies: VecDeque::new(),
            swallow: 0,
            alone: false,
            stage,
            in_group: false,
            stalled_until: 0,
            can_go_on: true,
            is_fresh: true,
            is_deaf: false,
        }
    }

    /// Does some of what there is to do. `from` is what the proxy has sent, `to` what it will read.
    pub fn act(&mut self, truth: &mut Truth, from: &mut Bytes, to: &mut Bytes) -> Verdict {
        let faults = truth.scenario.faults;
        if !truth.healed && (truth.moods[self.server] == Mood::Stalled || self.stalled_until > truth.now) {
            return Verdict::Go;
        }
        if truth.fault(faults.stall, 100) {
            self.stalled_until = truth.now + truth.random.below(500_000);
        }
        if truth.fault(faults.close, 60) {
            return self.close(truth);
        }
        self.read(truth, from);
        if self.is_deaf {
            // One closes the connection, another says nothing.
            return if truth.random.once_in(2) { self.close(truth) } else { Verdict::Go };
        }
        self.can_go_on = true;
        for _ in 0..truth.random.range(1, 10) {
            if !self.execute(truth) {
                self.can_go_on = self.alone;
                break;
            }
            if truth.fault(faults.close, 100) {
                return self.close(truth);
            }
        }
        if truth.fault(faults.garbage, 60) {
            truth.lying[self.server] = true;
            let bytes = garbage::bytes(&mut truth.random, self.binary);
            let (server, conn) = (self.server, self.conn);
            truth.note(|| format!("server {server} on {conn:?}: garbage {}", shown(&bytes)));
            self.replies.push_back((truth.now, bytes));
        }
        self.emit(truth, to);
        Verdict::Go
    }

    /// Whether there is nothing that it could execute, if no more comes.
    pub fn is_through(&self) -> bool {
        !self.can_go_on
    }

    /// All that has come is read and carried out: the proxy sends no more.
    pub fn catch_up(&mut self, truth: &mut Truth, from: &mut Bytes) {
        while !from.is_empty() {
            self.read(truth, from);
        }
        while self.execute(truth) {}
    }

    /// The proxy has closed the connection; what it had sent is still read and executed.
    pub fn finish(&mut self, truth: &mut Truth, from: &mut Bytes) {
        let end = from.len();
        from.move_to(&mut self.input, end);
        while self.swallow == 0 && self.execute(truth) {}
    }

    fn close(&self, truth: &mut Truth) -> Verdict {
        let verdict = if truth.random.once_in(3) { Verdict::Reset } else { Verdict::Close };
        let (server, conn) = (self.server, self.conn);
        truth.note(|| format!("server {server} on {conn:?}: {verdict:?}"));
        verdict
    }

    fn read(&mut self, truth: &mut Truth, from: &mut Bytes) {
        if from.is_empty() {
            return;
        }
        let known = &truth.scenario.servers[self.server].host;
        let may_follow = !self.alone || truth.lying[self.server];
        assert!(may_follow, "{known}: bytes behind a request that must travel alone: {}", shown(from.as_slice()));
        let count = truth.random.piece(from.len());
        let from_at = self.input.len();
        from.move_to(&mut self.input, count);
        let skipped = self.swallow.min(self.input.len());
        self.input.drop_front(skipped);
        self.swallow -= skipped;
        let (server, conn, read) = (self.server, self.conn, self.input.as_slice());
        truth.note(|| format!("server {server} on {conn:?} reads {}", shown(read.get(from_at..).unwrap_or_default())));
    }

    /// Executes one request, if one is there.
    fn execute(&mut self, truth: &mut Truth) -> bool {
        if self.is_deaf {
            self.input.clear();
        }
        if self.input.is_empty() || self.alone {
            return false;
        }
        if self.binary && self.is_fresh && self.input.as_slice().first() != Some(&0x80) {
            return self.begin_beside(truth);
        }
        self.is_fresh = false;
        if self.binary { self.execute_binary(truth) } else { self.execute_ascii(truth) }
    }

    /// A connection to a server with which the proxy speaks binary begins with something else.
    fn begin_beside(&mut self, truth: &mut Truth) -> bool {
        let known = &truth.scenario.servers[self.server];
        let has_lines = |bucket: &BucketConfig| bucket.router.vbucket_map().is_none();
        assert!(truth.scenario.config.buckets.iter().any(|bucket| has_lines(bucket)), "lines to {}", known.host);
        assert_eq!((self.stage, &known.user[..], &known.bucket[..]), (Stage::Ready, "", ""), "lines to {}", known.host);
        self.binary = false;
        if truth.scenario.meta[self.server] == Meta::Packets {
            self.is_deaf = true;
            self.input.clear();
        }
        true
    }

    fn execute_ascii(&mut self, truth: &mut Truth) -> bool {
        let parsed = ascii_server::parse(self.input.as_slice());
        match parsed.unwrap_or_else(|error| panic!("server {} got {error}", self.server)) {
            ascii_server::Parsed::Incomplete => false,
            ascii_server::Parsed::Partial { op, form, len } => {
                let Some(outcome) = self.refuse_early(truth, &op, len) else { return false };
                let mut out = Vec::new();
                ascii_server::reply(&op, &form, &outcome, &mut out);
                self.queue(truth, out);
                true
            }
            ascii_server::Parsed::Probe(len) => {
                self.input.drop_front(len);
                let line = if truth.scenario.meta[self.server] == Meta::No { "ERROR\r\n" } else { "MN\r\n" };
                self.queue(truth, line.into());
                true
            }
            ascii_server::Parsed::Version(len) => {
                self.input.drop_front(len);
                let is_early = truth.scenario.meta[self.server] == Meta::Early;
                let line = if is_early { "VERSION 1.6.9\r\n" } else { "VERSION 1.6.18\r\n" };
                self.queue(truth, line.into());
                true
            }
            ascii_server::Parsed::Op(op, form, len) => {
                self.input.drop_front(len);
                let known = form == Form::Classic || truth.scenario.meta[self.server] == Meta::Yes;
                assert!(known || truth.lying[self.server], "server {} does not know meta commands", self.server);
                let outcome = self.outcome(truth, &op);
                let mut out = Vec::new();
                ascii_server::reply(&op, &form, &outcome, &mut out);
                self.queue(truth, out);
                true
            }
        }
    }

    fn execute_binary(&mut self, truth: &mut Truth) -> bool {
        let parsed = binary_server::parse(self.input.as_slice());
        let server = self.server;
        let mut out = Vec::new();
        match parsed.unwrap_or_else(|error| panic!("server {server} got {error}")) {
            binary_server::Parsed::Incomplete => return false,
            binary_server::Parsed::Partial { head, op, len } => {
                let Some(outcome) = self.refuse_early(truth, &op, len) else { return false };
                binary_server::reply(head, &op, &outcome, &mut out);
            }
            binary_server::Parsed::Packet(head, ask, len) => {
                self.input.drop_front(len);
                use binary_server::Ask;
                let handshake = matches!(ask, Ask::Authenticate(_) | Ask::Select(_));
                assert_eq!(handshake, self.stage != Stage::Ready, "server {server}: {ask:?} at {:?}", self.stage);
                let foreign = matches!(head.opcode, opcode::GETL | opcode::UNL) || matches!(ask, Ask::Foreign);
                // Garbage of its own may stand before the answer that the proxy waits for, or pass for it.
                if (foreign || handshake) && !truth.lying[server] {
                    assert!(self.replies.is_empty(), "server {server}: {ask:?} behind unanswered requests");
                    let rest = self.input.as_slice();
                    assert!(rest.is_empty(), "server {server}: behind {ask:?}: {}", shown(rest));
                    self.alone = true;
                }
                if self.in_group && truth.scenario.binary == 0 {
                    assert!(matches!(ask, Ask::Quiet(_) | Ask::Noop), "server {server}: {ask:?} among quiet gets");
                }
                self.in_group = matches!(ask, Ask::Quiet(_));
                if let Ask::Op(op) | Ask::Quiet(op) = &ask {
                    check_vbucket(truth, op, head.vbucket);
                }
                match ask {
                    Ask::Op(op) | Ask::Quiet(op) => {
                        let outcome = self.outcome(truth, &op);
                        binary_server::reply(head, &op, &outcome, &mut out);
                    }
                    Ask::Foreign => binary_server::status(head, 0x81, &mut out),
                    Ask::Noop => binary_server::status(head, 0, &mut out),
                    Ask::Authenticate(body) => {
                        assert_eq!(self.stage, Stage::Authenticate);
                        assert_eq!(body, b"\0anna\0fictional");
                        let next =
                            if truth.scenario.servers[server].bucket.is_empty() { Stage::Ready } else { Stage::Select };
                        self.handshake(truth, head, next, &mut out);
                    }
                    Ask::Select(bucket) => {
                        assert_eq!(self.stage, Stage::Select);
                        assert_eq!(bucket, truth.scenario.servers[server].bucket.as_bytes());
                        self.handshake(truth, head, Stage::Ready, &mut out);
                    }
                }
            }
        }
        if !out.is_empty() {
            self.queue(truth, out);
        }
        true
    }

    fn handshake(&mut self, truth: &mut Truth, head: binary_server::Head, next: Stage, out: &mut Vec<u8>) {
        let refused = truth.fault(truth.scenario.faults.auth, 3);
        binary_server::status(head, if refused { 0x20 } else { 0 }, out);
        if !refused {
            self.stage = next;
        }
    }

    /// A large value may be refused before it has arrived.
    fn refuse_early(&mut self, truth: &mut Truth, op: &Op, len: usize) -> Option<Outcome> {
        let Op::Store { value, .. } = op else { return None };
        if value.len() < 40 || !truth.fault(truth.scenario.faults.errors, 4) {
            return None;
        }
        self.swallow = len - self.input.len();
        self.input.clear();
        self.log(truth, op, &Outcome::TooLarge);
        Some(Outcome::TooLarge)
    }

    /// Executes a request.
    fn outcome(&mut self, truth: &mut Truth, op: &Op) -> Outcome {
        let outcome = if truth.fault(truth.scenario.faults.errors, 15) {
            match op {
                Op::Flush { .. } if self.binary => Outcome::NotSupported,
                _ => Outcome::Temporary,
            }
        } else {
            match op {
                Op::Getl { .. } | Op::Unl { .. } if !truth.scenario.knows_locks[self.server] => Outcome::Unknown,
                Op::Stats { .. } if matches!(op, Op::Stats { args: "reset" }) => Outcome::Stats(Vec::new()),
                Op::Stats { .. } => Outcome::Stats(stats()),
                _ => {
                    let now = truth.tick();
                    if matches!(op, Op::Flush { .. }) {
                        truth.history.get_mut().note_flush(self.server, now);
                    }
                    truth.stores[self.server].execute(op, now)
                }
            }
        };
        let (server, conn) = (self.server, self.conn);
        truth.note(|| format!("server {server} on {conn:?} executes {op:?}: {}", outcome.line()));
        self.log(truth, op, &outcome);
        outcome
    }

    fn log(&self, truth: &mut Truth, op: &Op, outcome: &Outcome) {
        let Some(id) = op.id() else { return };
        if op.key().is_some_and(|key| !matches!(key.first(), Some(b's' | b'n' | b'c'))) {
            return; // from a client that sends garbage, whose numbers mean nothing
        }
        truth.check_overtaken(self.server, op, outcome);
        let now = truth.tick();
        let count = truth.log.note(id, now, outcome);
        let broadcast = matches!(op, Op::Flush { .. });
        let tries = truth.scenario.config.buckets[0].behavior.downstream_retry as usize + 1;
        let most = if op.only_once() { 1 } else { tries };
        assert!(broadcast || count <= most, "{op:?} executed {count} times");
    }

    fn queue(&mut self, truth: &mut Truth, out: Vec<u8>) {
        let delay = match truth.moods[self.server] {
            Mood::Slow(most) if !truth.healed => truth.random.below(most),
            _ => truth.random.below(300),
        };
        let last = self.replies.back().map_or(0, |(ready, _)| *ready);
        self.replies.push_back((last.max(truth.now + delay), out));
    }

    fn emit(&mut self, truth: &mut Truth, to: &mut Bytes) {
        while let Some((ready, bytes)) = self.replies.front_mut() {
            if *ready > truth.now && !truth.healed {
                return;
            }
            let count = truth.random.piece(bytes.len());
            to.push(&bytes[..count]);
            let (server, conn) = (self.server, self.conn);
            truth.note(|| format!("server {server} on {conn:?} sends {}", shown(&bytes[..count])));
            if count < bytes.len() {
                bytes.drain(..count);
                return;
            }
            self.replies.pop_front();
        }
        self.alone = false;
    }
}

/// Panics unless the vbucket in a packet is that of its key, in one of the buckets.
fn check_vbucket(truth: &Truth, op: &Op, vbucket: u16) {
    let key = match op {
        Op::Get { keys, .. } => keys.first(),
        other => other.key(),
    };
    let Some(key) = key else { return };
    let buckets = &truth.scenario.config.buckets;
    // Without a map, what the client wrote goes through.
    let fits = buckets
        .iter()
        .any(|bucket| bucket.router.vbucket_map().is_none() || bucket.router.route(key).vbucket == vbucket);
    assert!(fits, "vbucket {vbucket} for {}", key.escape_ascii());
}

fn stats() -> Vec<(String, String)> {
    [("pid", "77"), ("one", "1"), ("uptime", "12"), ("version", "1.0 simulated")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}
