//! One connection as its server sees it: reads, executes, answers, and all that can go wrong with it.

use std::collections::VecDeque;
use std::sync::Arc;

use moxi::config::snapshot::Server;
use moxi::protocol::Protocol;
use moxi::proxy::downstream::ConnId;
use moxi::proxy::timers::Micros;

use super::eras::index_of;
use super::garbage;
use super::truth::{Mood, Truth, shown};
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
pub enum Stage {
    Authenticate,
    Select,
    Ready,
}

/// A server's end of a connection.
pub struct Session {
    pub server: usize,
    /// As the proxy knows it.
    pub known: Arc<Server>,
    /// Which connection it is, for the trace.
    pub conn: ConnId,
    pub binary: bool,
    pub input: Bytes,
    /// What is to be sent, and not before when.
    pub replies: VecDeque<(Micros, Vec<u8>)>,
    /// Bytes of a refused value that are still to come.
    pub swallow: usize,
    /// What was read last has to be answered before anything else may be sent.
    pub alone: bool,
    pub stage: Stage,
    /// Quiet gets have come; only more of them, or the end of them, may follow.
    pub in_group: bool,
    stalled_until: Micros,
    /// It may be that more of what was read can be executed.
    can_go_on: bool,
    /// Nothing of what was read has been executed.
    pub is_fresh: bool,
    /// It does not understand what is spoken.
    pub is_deaf: bool,
}

impl Session {
    /// A connection that a server has accepted, of which the proxy has this in mind.
    pub fn new(known: &Arc<Server>, conn: ConnId) -> Session {
        let binary = known.protocol == Protocol::Binary;
        let stage = match (binary, known.user.is_empty(), known.bucket.is_empty()) {
            (true, false, _) => Stage::Authenticate,
            (true, true, false) => Stage::Select,
            _ => Stage::Ready,
        };
        Session {
            server: index_of(known),
            known: Arc::clone(known),
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
        let known = &self.known.host;
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

    pub fn queue(&mut self, truth: &mut Truth, out: Vec<u8>) {
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
