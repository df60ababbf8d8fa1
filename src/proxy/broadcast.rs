//! A command that goes to all servers, and the one answer that is made of theirs (04 §12, 06 §2).

use crate::buffer::Output;
use crate::config::behavior::DownstreamProtocol;
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
    /// The first error line that a server gave.
    error: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Kind {
    Flush,
    Stats(Merger),
    StatsReset,
}

impl Broadcast {
    fn new(kind: Kind) -> Broadcast {
        Broadcast { kind, confirmed: 0, is_unsupported: false, error: None }
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

    /// A server has refused with this line.
    pub(super) fn refuse(&mut self, line: &[u8], is_unsupported: bool) {
        self.is_unsupported |= is_unsupported;
        self.error.get_or_insert_with(|| line.to_vec());
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
        !matches!(self.kind, Kind::Flush)
    }

    /// Writes the one answer. `failure` is the first one among the servers.
    fn write(&self, out: &mut Vec<u8>, failure: Option<Failure>) {
        let fail = |out: &mut Vec<u8>| failure.unwrap_or(Failure::Closed).write_ascii(out, None);
        match &self.kind {
            Kind::Flush if self.is_unsupported => out.extend_from_slice(b"SERVER_ERROR flush_all not supported\r\n"),
            Kind::Flush if self.confirmed > 0 => out.extend_from_slice(b"OK\r\n"),
            Kind::Flush => match &self.error {
                Some(line) => {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\r\n");
                }
                None => fail(out),
            },
            // One server that takes too long spoils the sum (06 §2.5).
            Kind::Stats(_) | Kind::StatsReset if matches!(failure, Some(Failure::Timeout | Failure::ConnQueue)) => {
                fail(out)
            }
            Kind::Stats(_) | Kind::StatsReset
                if self.confirmed == 0
                    && self.error.is_none()
                    && matches!(failure, Some(Failure::Connect | Failure::NoServer)) =>
            {
                fail(out);
            }
            Kind::Stats(merger) => {
                merger.write_ascii(out);
                out.extend_from_slice(b"END\r\n");
            }
            Kind::StatsReset => out.extend_from_slice(b"RESET\r\n"),
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
            self.enqueue(conn_id, Entry { request: id, expect, opaque: 0, end, retries: 0 });
        }
        if self.requests.get(id).is_some_and(|request| request.pending == 0) {
            self.finish_broadcast(id);
        }
    }

    /// What is known of a broadcast's answer, if somebody waits for it.
    pub(super) fn broadcast_of(&mut self, id: RequestId) -> Option<&mut Broadcast> {
        match &mut self.requests.get_mut(id).filter(|request| !request.is_done)?.work {
            Work::Broadcast(broadcast) => Some(broadcast),
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
