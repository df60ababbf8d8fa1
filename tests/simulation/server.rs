//! What a server makes of what it has read.

use moxi::config::snapshot::BucketConfig;
use moxi::protocol::binary::opcode;

use super::ascii_server::Form;
use super::op::{Op, Outcome};
use super::scenario::Meta;
use super::session::{Session, Stage};
use super::store::Execution;
use super::truth::{Truth, shown};
use super::{ascii_server, binary_server};

impl Session {
    /// Executes one request, if one is there.
    pub fn execute(&mut self, truth: &mut Truth) -> bool {
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
        let known = &self.known;
        let has_lines = |bucket: &BucketConfig| bucket.router.vbucket_map().is_none();
        assert!(truth.eras.all_buckets().any(has_lines), "lines to {}", known.host);
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
                        let next = if self.known.bucket.is_empty() { Stage::Ready } else { Stage::Select };
                        self.handshake(truth, head, next, &mut out);
                    }
                    Ask::Select(bucket) => {
                        assert_eq!(self.stage, Stage::Select);
                        assert_eq!(bucket, self.known.bucket.as_bytes());
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
        let refused = truth.refused(self.server, op);
        let outcome = if let Some(text) = refused {
            Outcome::NotMine(text)
        } else if truth.fault(truth.scenario.faults.errors, 15) {
            match op {
                Op::Flush { .. } if self.binary => Outcome::NotSupported,
                _ => Outcome::Temporary,
            }
        } else {
            match op {
                Op::Getl { .. } | Op::Unl { .. } if !truth.scenario.knows_locks[self.server] => Outcome::Unknown,
                Op::Stats { .. } if matches!(op, Op::Stats { args: "reset" }) => Outcome::Stats(Vec::new()),
                Op::Stats { .. } => Outcome::Stats(stats()),
                Op::Flush { .. } => {
                    truth.flush(self.server);
                    Outcome::Done
                }
                _ => {
                    let (now, home) = (truth.tick(), truth.home(self.server));
                    truth.stores[home].execute(op, now)
                }
            }
        };
        let (server, conn) = (self.server, self.conn);
        truth.check_place(server, op);
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
        let execution = Execution { at: truth.tick(), server: self.server, outcome: outcome.clone() };
        let count = truth.log.note(id, execution);
        let broadcast = matches!(op, Op::Flush { .. });
        // What was refused begins anew elsewhere.
        let begun =
            truth.log.of(id).iter().filter(|execution| matches!(execution.outcome, Outcome::NotMine(_))).count();
        let most = if op.only_once() { 1 } else { truth.most_tries() * (begun + 1) };
        // Others say so of what they have done.
        let lies = truth.scenario.faults.garbage && truth.has_map();
        assert!(broadcast || lies || count <= most, "{op:?} executed {count} times");
    }
}

/// Panics unless the vbucket in a packet is that of its key, in one of the buckets.
fn check_vbucket(truth: &Truth, op: &Op, vbucket: u16) {
    let Some(key) = op.keys().first() else { return };
    // Without a map, what the client wrote goes through.
    let fits = truth
        .eras
        .all_buckets()
        .any(|bucket| bucket.router.vbucket_map().is_none() || bucket.router.route(key).vbucket == vbucket);
    assert!(fits, "vbucket {vbucket} for {}", key.escape_ascii());
}

fn stats() -> Vec<(String, String)> {
    [("pid", "77"), ("one", "1"), ("uptime", "12"), ("version", "1.0 simulated")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}
