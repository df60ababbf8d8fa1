//! A command that goes to all servers, and the one answer that is made of theirs (04 §12, 06 §2).

use crate::buffer::Output;
use crate::config::behavior::DownstreamProtocol;
use crate::protocol::binary::opcode::{self, status};
use crate::protocol::binary::packet;
use crate::protocol::status::text;
use crate::stats::merge::Merger;

use super::Engine;
use super::downstream::{Entry, Expect};
use super::error::Failure;
use super::request::{RequestId, Work};
use super::upstream::ClientId;

/// The answers to a broadcast so far.
#[derive(Debug)]
pub struct Broadcast {
    kind: Kind,
    /// How many servers have answered as they should.
    confirmed: u32,
    /// A server answered "not supported" (0x83).
    is_unsupported: bool,
    /// The first error that a server gave: its line, and its status.
    error: Option<(Vec<u8>, u16)>,
}

#[derive(Debug)]
enum Kind {
    Noop,
    Flush,
    Stats(Merger),
    StatsReset,
}

impl Broadcast {
    fn new(kind: Kind) -> Broadcast {
        Broadcast { kind, confirmed: 0, is_unsupported: false, error: None }
    }

    /// The binary NOOP.
    pub(super) fn noop() -> Broadcast {
        Broadcast::new(Kind::Noop)
    }

    /// `flush_all`.
    pub(super) fn flush() -> Broadcast {
        Broadcast::new(Kind::Flush)
    }

    /// `stats`.
    pub(super) fn stats() -> Broadcast {
        Broadcast::new(Kind::Stats(Merger::new()))
    }

    /// `stats reset`.
    pub(super) fn stats_reset() -> Broadcast {
        Broadcast::new(Kind::StatsReset)
    }

    /// A server has answered as it should.
    pub(super) fn confirm(&mut self) {
        self.confirmed += 1;
    }

    /// A server has refused with this line or status.
    pub(super) fn refuse(&mut self, line: &[u8], code: u16) {
        self.is_unsupported |= code == status::NOT_SUPPORTED;
        self.error.get_or_insert_with(|| (line.to_vec(), code));
    }

    /// A server has sent this statistics line.
    pub(super) fn stat_line(&mut self, line: &[u8]) {
        if let Kind::Stats(merger) = &mut self.kind {
            merger.line(line);
        }
    }

    /// A server has sent this statistic.
    pub(super) fn stat(&mut self, name: &[u8], value: &[u8]) {
        if let Kind::Stats(merger) = &mut self.kind {
            merger.add(b"STAT", name, value);
        }
    }

    /// Whether a server answers with several lines or packets.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Stats(_) | Kind::StatsReset)
    }

    /// Whether it changes nothing.
    pub(super) fn is_read(&self) -> bool {
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
            Kind::Flush if self.is_unsupported => out.extend_from_slice(b"SERVER_ERROR flush_all not supported\r\n"),
            Kind::Flush | Kind::Noop if self.confirmed > 0 => out.extend_from_slice(b"OK\r\n"),
            Kind::Flush | Kind::Noop => match &self.error {
                Some((line, _)) => {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\r\n");
                }
                None => fail(out),
            },
            Kind::Stats(_) | Kind::StatsReset if self.is_spoiled(failure) => fail(out),
            Kind::Stats(merger) => {
                merger.write_ascii(out);
                out.extend_from_slice(b"END\r\n");
            }
            Kind::StatsReset => out.extend_from_slice(b"RESET\r\n"),
        }
    }

    /// Writes the one answer for a binary client.
    pub(super) fn write_binary(&self, out: &mut Vec<u8>, code: u8, opaque: u32, failure: Option<Failure>) {
        let mut packet = |status: u16, key: &[u8], value: &[u8]| {
            packet::write_reply(out, code, status, opaque, 0, &[], key, value);
        };
        let error = match &self.kind {
            Kind::Noop | Kind::Flush if self.is_unsupported => Some(Err(status::NOT_SUPPORTED)),
            Kind::Noop | Kind::Flush if self.confirmed > 0 => None,
            Kind::Noop | Kind::Flush => {
                Some(self.error.as_ref().map_or(Ok(failure.unwrap_or(Failure::Closed)), |(_, code)| Err(*code)))
            }
            Kind::Stats(_) | Kind::StatsReset => failure.filter(|_| self.is_spoiled(failure)).map(Ok),
        };
        match error {
            None => {
                if let Kind::Stats(merger) = &self.kind {
                    merger.iter().for_each(|(name, value)| packet(status::SUCCESS, name, value));
                }
                packet(status::SUCCESS, &[], &[]);
            }
            Some(Err(code)) => packet(code, &[], text(code).as_bytes()),
            Some(Ok(failure)) => {
                let mut line = Vec::new();
                failure.write_body(&mut line, None);
                packet(failure.status(), &[], &line);
            }
        }
    }
}

impl Engine {
    /// Sends a command to every server of the client's bucket, once per index.
    pub(super) fn broadcast(
        &mut self,
        client_id: ClientId,
        broadcast: Broadcast,
        noreply: bool,
        code: u8,
        encode: impl Fn(DownstreamProtocol, &mut Output),
    ) {
        let Some(bucket) = self.clients.get(client_id).map(|client| client.bucket) else { return };
        let id = self.one(client_id, Work::Broadcast(Box::new(broadcast)), noreply, true);
        if code == opcode::FLUSH {
            self.note_change(id, None);
        }
        for index in 0..self.buckets[bucket].hosts.len() {
            let host = self.buckets[bucket].hosts[index];
            let conn_id = match self.pick(client_id, host, false) {
                Ok(conn) => conn,
                Err(failure) => {
                    if let Some(request) = self.requests.get_mut(id) {
                        request.failure.get_or_insert(failure);
                    }
                    continue;
                }
            };
            let speak = self.speak(conn_id);
            let Some(conn) = self.begin(conn_id) else { continue };
            encode(speak, &mut conn.output);
            let end = conn.output.end();
            let expect = Expect::Broadcast { opcode: code, begun: false };
            self.enqueue(
                conn_id,
                Entry { request: id, expect, opaque: 0, end, retries: 0, may_repeat: true, is_queued: false },
            );
        }
        if self.requests.get(id).is_some_and(|request| request.pending == 0) {
            self.finish_broadcast(id);
        }
    }

    /// What is known of a broadcast's answer, if somebody waits for it.
    pub(super) fn broadcast_of(&mut self, id: RequestId) -> Option<&mut Broadcast> {
        match &mut self.requests.get_mut(id).filter(|request| !request.is_done)?.work {
            Work::Broadcast(broadcast) => Some(broadcast),
            Work::Batch(batch) => batch.broadcast.as_mut(),
            _ => None,
        }
    }

    /// All servers have answered, or failed.
    pub(super) fn finish_broadcast(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let failure = request.failure;
        let work = std::mem::replace(&mut request.work, Work::Local);
        if let Work::Broadcast(broadcast) = work
            && let Some(sink) = self.sink(id)
        {
            broadcast.write(sink.tail(), failure);
        }
        self.complete(id);
    }
}
