//! A command that goes to all servers, and the one answer that is made of theirs (04 §12, 06 §2).

use std::sync::Arc;

use crate::buffer::Output;
use crate::protocol::ascii::answer;
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::reply::Reply;
use crate::protocol::keyless::Keyless;
use crate::protocol::op;
use crate::protocol::status::text;
use crate::protocol::{Answered, Protocol};

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{Entry, Expect, PacketName};
use crate::proxy::merge::Merger;
use crate::proxy::request::error::Failure;
use crate::proxy::request::roll::{Roll, Verdict};
use crate::proxy::request::{RequestId, Work};
use crate::proxy::upstream::Caller;
use crate::sums::{Count as _, sum};

/// The answers to a broadcast so far.
#[derive(Debug)]
pub struct Broadcast {
    kind: Kind,
    /// How many servers have answered as they should, of those on no roll.
    confirmed: u32,
    /// A server answered "not supported" (0x83).
    is_unsupported: bool,
    /// The first error that a server gave: its line, and its status.
    error: Option<(Vec<u8>, u16)>,
}

#[derive(Debug)]
enum Kind {
    /// The binary NOOP: a question whether anybody is there, and the end of what was quiet. One server's answer is
    /// enough (03 §21.3 item 8), because clients end every get of several keys with it: where one server of many is
    /// down, the keys of the others must still be found.
    Noop,
    /// An order, which is only done when all servers have done it.
    Order(Order, Roll),
    Stats(Merger),
}

/// What all servers must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `flush_all`.
    Flush,
    /// `stats reset`.
    StatsReset,
    /// `cache_memlimit`.
    MemLimit,
}

impl Order {
    /// The command, for the log.
    fn name(self) -> &'static str {
        match self {
            Order::Flush => "flush_all",
            Order::StatsReset => "stats reset",
            Order::MemLimit => "cache_memlimit",
        }
    }

    /// The line that says it is done.
    fn done(self) -> &'static [u8] {
        match self {
            Order::Flush | Order::MemLimit => answer::OK,
            Order::StatsReset => answer::RESET,
        }
    }
}

/// What stands before the names of the servers that have not done it.
pub(in crate::proxy) const NOT_CONFIRMED: &str = "not confirmed by";

impl Broadcast {
    fn new(kind: Kind) -> Broadcast {
        Broadcast { kind, confirmed: 0, is_unsupported: false, error: None }
    }

    /// An order to the servers on the roll.
    fn order(order: Order, roll: Roll) -> Broadcast {
        Broadcast::new(Kind::Order(order, roll))
    }

    /// `stats` with this sub-command, which may be empty, but is not `reset`.
    fn stats(args: &[u8]) -> Broadcast {
        Broadcast::new(Kind::Stats(Merger::new(args)))
    }

    /// Server `host` has answered as it should.
    pub(in crate::proxy) fn confirm(&mut self, host: HostId) {
        match &mut self.kind {
            Kind::Order(_, roll) => roll.confirm(host),
            Kind::Noop | Kind::Stats(_) => self.confirmed.up(),
        }
    }

    /// A server has refused with this line or status.
    pub(in crate::proxy) fn refuse(&mut self, line: &[u8], code: u16) {
        if let Kind::Order(_, roll) = &mut self.kind {
            return roll.refuse(line, code);
        }
        self.is_unsupported |= code == status::NOT_SUPPORTED;
        self.error.get_or_insert_with(|| (line.to_vec(), code));
    }

    /// The server at this place of the configuration has sent this statistics line.
    pub(in crate::proxy) fn stat_line(&mut self, server: u16, line: &[u8]) {
        if let Kind::Stats(merger) = &mut self.kind {
            merger.line(server, line);
        }
    }

    /// The server at this place of the configuration has sent this statistic.
    pub(in crate::proxy) fn stat(&mut self, server: u16, name: &[u8], value: &[u8]) {
        if let Kind::Stats(merger) = &mut self.kind {
            merger.add(server, b"STAT", name, value);
        }
    }

    /// Whether a server answers with several lines or packets.
    pub(in crate::proxy) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Stats(_) | Kind::Order(Order::StatsReset, _))
    }

    /// The line for the log if not all servers have done what they were ordered to.
    fn complaint(&self, failure: Option<Failure>) -> Option<String> {
        let Kind::Order(order, roll) = &self.kind else { return None };
        match roll.verdict(failure, NOT_CONFIRMED) {
            Verdict::All => None,
            Verdict::Refused(line, _) => Some(format!("{}: {}", order.name(), line.escape_ascii())),
            Verdict::Missing(line) => Some(format!("{}: {}", order.name(), line.escape_ascii())),
        }
    }

    /// Whether it changes nothing.
    pub(in crate::proxy) fn is_read(&self) -> bool {
        matches!(self.kind, Kind::Noop | Kind::Stats(_))
    }

    /// Whether the sum of the statistics cannot be given: one server that takes too long spoils it, and so does
    /// reaching none (06 §2.5).
    fn is_spoiled(&self, failure: Option<Failure>) -> bool {
        match failure {
            Some(Failure::Timeout | Failure::ConnQueue) => true,
            Some(Failure::Connect | Failure::NoServer) => self.confirmed == 0 && self.error.is_none(),
            _ => false,
        }
    }

    /// Writes the one answer for an ASCII client. `failure` is the first one among the servers.
    fn write(&self, out: &mut Vec<u8>, failure: Option<Failure>) {
        let fail = |out: &mut Vec<u8>| failure.unwrap_or(Failure::Closed).write_ascii(out, None);
        match &self.kind {
            Kind::Order(order, roll) => match roll.verdict(failure, NOT_CONFIRMED) {
                Verdict::All => out.extend_from_slice(order.done()),
                Verdict::Refused(line, _) => answer::line(out, line),
                Verdict::Missing(line) => answer::line(out, &line),
            },
            Kind::Noop if self.confirmed > 0 => out.extend_from_slice(answer::OK),
            Kind::Noop => match &self.error {
                Some((line, _)) => answer::line(out, line),
                None => fail(out),
            },
            Kind::Stats(_) if self.is_spoiled(failure) => fail(out),
            Kind::Stats(merger) => {
                merger.write_ascii(out);
                out.extend_from_slice(answer::END);
            }
        }
    }

    /// Writes the one answer for a binary client.
    pub(in crate::proxy) fn write_binary(&self, out: &mut Vec<u8>, code: u8, opaque: u32, failure: Option<Failure>) {
        let mut packet = |status: u16, key: &[u8], value: &[u8]| {
            Reply { status, key, value, ..Reply::to(code, opaque) }.write(out);
        };
        let failed = |failure: Failure| {
            let mut line = Vec::new();
            failure.write_body(&mut line, None);
            (failure.status(), line)
        };
        let refused = |code: u16| (code, text(code).as_bytes().to_vec());
        let error = match &self.kind {
            Kind::Order(_, roll) => match roll.verdict(failure, NOT_CONFIRMED) {
                Verdict::All => None,
                Verdict::Refused(_, code) => Some(refused(code)),
                Verdict::Missing(line) => {
                    let mut body = Vec::with_capacity(sum([line.len(), 2]));
                    answer::line(&mut body, &line);
                    Some((status::INTERNAL, body))
                }
            },
            Kind::Noop if self.is_unsupported => Some(refused(status::NOT_SUPPORTED)),
            Kind::Noop if self.confirmed > 0 => None,
            Kind::Noop => Some(match &self.error {
                Some((_, code)) => refused(*code),
                None => failed(failure.unwrap_or(Failure::Closed)),
            }),
            Kind::Stats(_) => failure.filter(|_| self.is_spoiled(failure)).map(failed),
        };
        match error {
            None => {
                if let Kind::Stats(merger) = &self.kind {
                    merger.iter().for_each(|(name, value)| packet(status::SUCCESS, name, value));
                }
                packet(status::SUCCESS, &[], &[]);
            }
            Some((code, body)) => packet(code, &[], &body),
        }
    }
}

impl Engine {
    /// Sends a command to all servers.
    pub(in crate::proxy) fn broadcast(&mut self, caller: &Caller, command: &Keyless<'_>, answered: Answered) {
        let broadcast = self.answers_to(caller, command);
        let id = self.one(caller, Work::Broadcast(Box::new(broadcast)), answered, true);
        self.send_to_all(caller, id, (command.op().opcode, 0), |speak, out| command.write(speak, out.tail()));
        if self.flight.requests.must(id).is_some_and(|request| request.pending == 0) {
            self.finish_broadcast(id);
        }
    }

    /// What is to be made of the answers of all servers to a command.
    pub(in crate::proxy) fn answers_to(&self, caller: &Caller, command: &Keyless<'_>) -> Broadcast {
        let order = |order| Broadcast::order(order, self.roll(self.servers(caller)));
        match *command {
            Keyless::Flush { .. } => order(Order::Flush),
            Keyless::MemLimit { .. } => order(Order::MemLimit),
            Keyless::Stats { args: b"reset" } => order(Order::StatsReset),
            Keyless::Stats { args } => Broadcast::stats(args),
            Keyless::Version | Keyless::Noop => Broadcast::new(Kind::Noop),
        }
    }

    /// Writes a command to every server, once per index. `(code, opaque)` is what the packet is known by.
    pub(in crate::proxy) fn send_to_all(
        &mut self,
        caller: &Caller,
        id: RequestId,
        (code, opaque): (u8, u32),
        write: impl Fn(Protocol, &mut Output),
    ) {
        let changes = op::of(code).changes();
        if changes {
            self.note_change(id, None);
        }
        for index in 0..self.servers(caller).len() {
            let Some(host) = self.servers(caller).get(index).copied() else { break };
            if changes {
                self.take_over(caller.client, host, None);
            }
            let conn_id = match self.pick(caller.client, host, false) {
                Ok(conn) => conn,
                Err(failure) => {
                    if let Some(request) = self.flight.requests.must_mut(id) {
                        request.failure.get_or_insert(failure);
                    }
                    continue;
                }
            };
            let speak = self.speak(conn_id);
            let Some(out) = self.begin_in(id, conn_id) else { continue };
            write(speak, out);
            let end = out.end();
            let server = u16::try_from(index).unwrap_or(u16::MAX);
            let expect = Expect::Broadcast { opcode: code, server, begun: false };
            self.enqueue(
                conn_id,
                Entry { request: id, expect, opaque, end, retries: 0, may_repeat: true, is_queued: false },
            );
            self.note_packet(id, conn_id, code);
        }
    }

    /// What is known of a broadcast's answer, if somebody waits for it: its request may have been given up.
    pub(in crate::proxy) fn broadcast_of(&mut self, id: RequestId) -> Option<&mut Broadcast> {
        match &mut self.flight.requests.get_mut(id).filter(|request| !request.is_done)?.work {
            Work::Broadcast(broadcast) => Some(broadcast),
            Work::Batch(batch) => batch.broadcast.as_mut(),
            _ => None,
        }
    }

    /// All servers have answered, or failed.
    pub(in crate::proxy) fn finish_broadcast(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let failure = request.failure;
        let work = std::mem::replace(&mut request.work, Work::Local);
        if let Work::Broadcast(broadcast) = work {
            self.complain(&broadcast, failure);
            if let Some(sink) = self.sink(id) {
                broadcast.write(sink.tail(), failure);
            }
        }
        self.complete(id);
    }

    /// Tells the log of servers that have not done what they were ordered to: the client may not want to know.
    pub(in crate::proxy) fn complain(&mut self, broadcast: &Broadcast, failure: Option<Failure>) {
        if let Some(text) = broadcast.complaint(failure) {
            self.log(1, text);
        }
    }

    /// Writes the reply to a quiet flush that says which server has not done it.
    pub(in crate::proxy) fn write_unflushed(
        &mut self,
        id: RequestId,
        name: PacketName,
        failure: Failure,
        host: Option<HostId>,
    ) {
        let server = host.and_then(|id| Some((id, Arc::clone(self.downstream.server(id)?))));
        let broadcast = Broadcast::order(Order::Flush, Roll::new(server.into_iter().collect()));
        self.complain(&broadcast, Some(failure));
        if let Some(sink) = self.packet_sink(id, name) {
            broadcast.write_binary(sink.tail(), name.opcode, name.opaque, Some(failure));
        }
    }

    /// A roll of these servers.
    pub(in crate::proxy) fn roll(&self, hosts: &[HostId]) -> Roll {
        Roll::new(hosts.iter().filter_map(|id| Some((*id, Arc::clone(self.downstream.server(*id)?)))).collect())
    }
}
