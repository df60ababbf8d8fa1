//! Quiet packets of binary clients: held back until one comes that is answered, then sent together (04 §8.3).
//!
//! Every server gets its packets in their order, and behind them one that is answered: the client's own, or a NOOP.
//! So all quiet replies are there when the last of these answers is.

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::Output;
use crate::config::behavior::DownstreamProtocol;
use crate::protocol::ascii::command as ascii;
use crate::protocol::binary::command;
use crate::protocol::binary::opcode::{self, loud};
use crate::protocol::binary::packet::{Packet, Parsed, parse_request, write_reply};
use crate::protocol::binary::shape::{Shape, check};
use crate::protocol::translate;

use super::Engine;
use super::binary_request::is_read;
use super::broadcast::{Broadcast, Order};
use super::downstream::{ConnId, Entry, Expect};
use super::error::Failure;
use super::host::HostId;
use super::pump::{Admit, Verdict};
use super::request::{RequestId, Work};
use super::upstream::ClientId;

/// Quiet packets in flight, and the one that closed them.
#[derive(Debug)]
pub struct Batch {
    /// The closing packet's opcode and opaque; `None`: the client did not send one yet, or does not want its reply.
    closing: Option<(u8, u32)>,
    /// The closing packet went to all servers.
    pub(super) broadcast: Option<Broadcast>,
    /// The reply to the closing packet, while others are awaited.
    last: Output,
    /// The closing packet has failed, at this server.
    failure: Option<(Failure, Option<HostId>)>,
    /// There are quiet packets, whose failure has to be told.
    has_quiet: bool,
    /// Not all packets have been sent yet.
    is_sending: bool,
}

/// The packet that closes a batch.
pub(super) enum Closing<'a> {
    /// None: the quiet packets are sent for another reason.
    None,
    /// It goes to the server of its key.
    Keyed(&'a Packet<'a>, Option<&'a Arc<Vec<u8>>>),
    /// It goes to all servers.
    All(&'a Packet<'a>),
}

/// The packets in `bytes`, which were checked before they were put there.
pub(super) fn packets(bytes: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || match parse_request(rest) {
        Parsed::Packet { packet, len } => {
            rest = &rest[len..];
            Some(packet)
        }
        Parsed::Incomplete { .. } | Parsed::Malformed(_) => None,
    })
}

impl Engine {
    /// Holds a quiet packet back. Beyond `quiet_max` bytes those held are sent early.
    pub(super) fn cork(&mut self, id: ClientId, packet: &Packet<'_>) -> Verdict {
        let Some(client) = self.clients.get_mut(id) else { return Verdict::Taken };
        let most = self.buckets[client.bucket].config.behavior.quiet_max;
        let bytes = (client.corked.len() + packet.raw.len()) as u64;
        if bytes > most && !client.corked.is_empty() {
            if client.unanswered > 0 {
                client.stopped = true; // one such batch at a time
                return Verdict::Wait;
            }
            if self.release_corked(id) == Verdict::Wait {
                return Verdict::Wait;
            }
        }
        if let Some(client) = self.clients.get_mut(id) {
            client.corked.extend_from_slice(packet.raw);
        }
        Verdict::Taken
    }

    /// Sends the quiet packets that are held back.
    pub(super) fn release_corked(&mut self, id: ClientId) -> Verdict {
        if self.no_servers(id).is_some() {
            self.drop_corked(id);
            return Verdict::Taken;
        }
        if !self.knows_dialects(id, None, false) {
            return Verdict::Wait;
        }
        match self.admit(id) {
            Admit::Wait => return Verdict::Wait,
            Admit::Go => self.send_batch(id, &Closing::None),
            Admit::TooLate => self.drop_corked(id),
        }
        Verdict::Taken
    }

    pub(super) fn drop_corked(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.corked = Vec::new();
        }
    }

    /// Sends the quiet packets that are held back and the one that closes them.
    pub(super) fn send_batch(&mut self, client_id: ClientId, closing: &Closing<'_>) {
        let Some(client) = self.clients.get_mut(client_id) else { return };
        let corked = std::mem::take(&mut client.corked);
        let bucket = client.bucket;
        let (name, broadcast) = match closing {
            Closing::None => (None, None),
            Closing::Keyed(packet, _) => (Some((packet.header.opcode, packet.header.opaque)), None),
            Closing::All(packet) => {
                let broadcast = match packet.header.opcode {
                    opcode::FLUSH => self.order(client_id, Order::Flush),
                    opcode::STAT if packet.key == b"reset" => self.order(client_id, Order::StatsReset),
                    opcode::STAT => Broadcast::stats(packet.key),
                    _ => Broadcast::noop(),
                };
                (Some((packet.header.opcode, packet.header.opaque)), Some(broadcast))
            }
        };
        let has_quiet = !corked.is_empty();
        let batch =
            Batch { closing: name, broadcast, last: Output::default(), failure: None, has_quiet, is_sending: true };
        let id = self.one(client_id, Work::Batch(Box::new(batch)), false, true);
        if matches!(closing, Closing::All(packet) if packet.header.opcode == opcode::FLUSH) {
            self.note_change(id, None);
        }
        self.send_groups(id, client_id, bucket, &corked, closing);
        if let Some(Work::Batch(batch)) = self.requests.get_mut(id).map(|request| &mut request.work) {
            batch.is_sending = false;
        }
        self.packet_done(id);
    }

    /// Sends each server its packets.
    fn send_groups(&mut self, id: RequestId, client: ClientId, bucket: usize, corked: &[u8], closing: &Closing<'_>) {
        let mut groups = self.groups(id, bucket, corked);
        let keyed = match closing {
            Closing::Keyed(packet, _) => self.route(bucket, packet.key).0,
            Closing::None | Closing::All(_) => None,
        };
        let mut indexes: Vec<HostId> = match closing {
            Closing::All(_) => self.buckets[bucket].hosts.clone(),
            Closing::None | Closing::Keyed(..) => Vec::new(),
        };
        for (host, ranges) in &mut groups {
            for packet in ranges.iter().filter_map(|range| corked.get(range.clone())).flat_map(packets) {
                if !is_read(packet.header.opcode) {
                    self.take_over(client, *host, (!packet.key.is_empty()).then_some(packet.key));
                }
            }
            let conn_id = match self.pick(client, *host, false) {
                Ok(conn) => conn,
                Err(failure) => {
                    for packet in ranges.iter().filter_map(|range| corked.get(range.clone())).flat_map(packets) {
                        self.packet_failed(id, packet.header.opcode, packet.header.opaque, failure, Some(*host));
                    }
                    if let Closing::Keyed(packet, _) = closing
                        && keyed == Some(*host)
                    {
                        self.packet_failed(id, packet.header.opcode, packet.header.opaque, failure, Some(*host));
                    }
                    continue;
                }
            };
            for packet in ranges.iter().filter_map(|range| corked.get(range.clone())).flat_map(packets) {
                let vbucket = if packet.key.is_empty() { 0 } else { self.route(bucket, packet.key).1 };
                self.put_packet(id, conn_id, &packet, None, vbucket, 0);
            }
            match closing {
                Closing::Keyed(packet, owner) if keyed == Some(*host) => {
                    if check(packet) == Shape::Foreign {
                        // It travels alone, and so cannot bring the answers to those before it.
                        self.close_group(id, conn_id);
                    }
                    let vbucket = self.route(bucket, packet.key).1;
                    self.put_packet(id, conn_id, packet, *owner, vbucket, 0);
                }
                Closing::All(packet) if indexes.contains(host) => {
                    indexes.remove(indexes.iter().position(|other| other == host).unwrap_or(0));
                    self.put_broadcast(id, conn_id, packet);
                }
                _ => self.close_group(id, conn_id),
            }
        }
        match closing {
            Closing::Keyed(packet, owner) if !groups.iter().any(|(host, _)| Some(*host) == keyed) => {
                self.send_packet(id, packet, *owner);
            }
            _ => {}
        }
        for host in indexes {
            if matches!(closing, Closing::All(packet) if packet.header.opcode == opcode::FLUSH) {
                self.take_over(client, host, None);
            }
            match (self.pick(client, host, false), closing) {
                (Ok(conn_id), Closing::All(packet)) => self.put_broadcast(id, conn_id, packet),
                (Err(failure), _) => {
                    if let Some(request) = self.requests.get_mut(id) {
                        request.failure.get_or_insert(failure);
                    }
                }
                (Ok(_), Closing::None | Closing::Keyed(..)) => {}
            }
        }
    }

    /// The quiet packets by server, each server's in their order. A quiet flush goes to all.
    fn groups(&mut self, id: RequestId, bucket: usize, corked: &[u8]) -> Vec<(HostId, Vec<Range<usize>>)> {
        let mut groups: Vec<(HostId, Vec<Range<usize>>)> = Vec::new();
        let mut add = |host: HostId, range: Range<usize>| match groups.iter_mut().find(|(other, _)| *other == host) {
            Some((_, ranges)) => ranges.push(range),
            None => groups.push((host, vec![range])),
        };
        let mut homeless = Vec::new();
        let mut at = 0;
        for packet in packets(corked) {
            let range = at..at + packet.raw.len();
            at = range.end;
            if packet.key.is_empty() {
                let mut hosts = self.buckets[bucket].hosts.clone();
                hosts.sort_unstable();
                hosts.dedup();
                hosts.into_iter().for_each(|host| add(host, range.clone()));
                continue;
            }
            match self.route(bucket, packet.key).0 {
                Some(host) => add(host, range),
                None => homeless.push((packet.header.opcode, packet.header.opaque)),
            }
        }
        for (opcode, opaque) in homeless {
            self.packet_failed(id, opcode, opaque, Failure::NoServer, None);
        }
        groups
    }

    /// Closes a server's quiet packets with a NOOP of moxi's own. ASCII servers answer each of theirs.
    fn close_group(&mut self, id: RequestId, conn_id: ConnId) {
        if self.speak(conn_id) == DownstreamProtocol::Ascii {
            return;
        }
        let Some(conn) = self.begin(conn_id) else { return };
        command::noop(conn.output.tail(), 0);
        let end = conn.output.end();
        let entry = Entry {
            request: id,
            expect: Expect::Close,
            opaque: 0,
            end,
            retries: 0,
            may_repeat: true,
            is_queued: false,
        };
        self.enqueue(conn_id, entry);
    }

    /// Writes a packet that goes to all servers to one of them.
    fn put_broadcast(&mut self, id: RequestId, conn_id: ConnId, packet: &Packet<'_>) {
        let speak = self.speak(conn_id);
        let Some(conn) = self.begin(conn_id) else { return };
        let out = conn.output.tail();
        match (speak, packet.header.opcode) {
            (DownstreamProtocol::Binary, _) => out.extend_from_slice(packet.raw),
            (DownstreamProtocol::Ascii, opcode::FLUSH) => translate::write_flush(out, packet.extras),
            (DownstreamProtocol::Ascii, opcode::STAT) => {
                let is_clean = !packet.key.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
                ascii::stats(out, if is_clean { packet.key } else { b"?" });
            }
            (DownstreamProtocol::Ascii, _) => out.extend_from_slice(b"version\r\n"),
        }
        let end = conn.output.end();
        let expect = Expect::Broadcast { opcode: packet.header.opcode, begun: false };
        let opaque = packet.header.opaque;
        self.enqueue(
            conn_id,
            Entry { request: id, expect, opaque, end, retries: 0, may_repeat: true, is_queued: false },
        );
    }

    /// Where the answer to a packet of this request is written. That of the closing packet is kept to the end.
    pub(super) fn packet_sink(&mut self, id: RequestId, opcode: u8) -> Option<&mut Output> {
        let request = self.requests.get(id)?;
        if request.is_done {
            return None;
        }
        if loud(opcode).is_none() && matches!(request.work, Work::Batch(_)) {
            return match &mut self.requests.get_mut(id)?.work {
                Work::Batch(batch) => Some(&mut batch.last),
                _ => None,
            };
        }
        self.sink(id)
    }

    /// A packet of this request has been answered.
    pub(super) fn packet_done(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(id) else { return };
        match &request.work {
            Work::Batch(batch) if batch.is_sending || request.pending > 0 || request.is_done => {}
            Work::Batch(_) => self.finish_batch(id),
            _ => self.complete(id),
        }
    }

    /// A packet of this request has failed at server `host`: a quiet get is a miss, everything else is told.
    pub(super) fn packet_failed(
        &mut self,
        id: RequestId,
        code: u8,
        opaque: u32,
        failure: Failure,
        host: Option<HostId>,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let Work::Batch(batch) = &mut request.work else { return self.fail(id, failure) };
        match loud(code) {
            None => batch.failure = Some((failure, host)),
            Some(opcode::GET | opcode::GETK | opcode::GAT | opcode::GATK) => {}
            Some(opcode::FLUSH) => self.write_unflushed(id, code, opaque, failure, host),
            Some(_) => self.write_failure(id, code, opaque, failure, host),
        }
        self.packet_done(id);
    }

    /// Writes the reply that says why a packet failed, and names the server.
    pub(super) fn write_failure(
        &mut self,
        id: RequestId,
        code: u8,
        opaque: u32,
        failure: Failure,
        host: Option<HostId>,
    ) {
        let host = host.and_then(|host| self.hosts.get(host)).map(|host| Arc::clone(&host.server));
        let mut body = Vec::new();
        failure.write_body(&mut body, host.as_ref().map(|server| server.host.as_str()));
        if let Some(sink) = self.sink(id) {
            write_reply(sink.tail(), code, failure.status(), opaque, 0, &[], &[], &body);
        }
    }

    /// All servers have answered: the closing packet's reply comes last.
    pub(super) fn finish_batch(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let failure = request.failure;
        let Work::Batch(batch) = std::mem::replace(&mut request.work, Work::Local) else { return };
        let mut batch = *batch;
        if let Some(broadcast) = &batch.broadcast {
            self.complain(broadcast, failure);
        }
        if let Some((failure, host)) = batch.failure {
            if let Some((code, opaque)) = batch.closing {
                self.write_failure(id, code, opaque, failure, host);
            }
        } else if let Some(sink) = self.sink(id) {
            match (&batch.broadcast, batch.closing) {
                (Some(broadcast), Some((code, opaque))) => broadcast.write_binary(sink.tail(), code, opaque, failure),
                _ => sink.append(&mut batch.last),
            }
        }
        self.complete(id);
    }

    /// The whole batch has failed. An order is judged by the servers that have answered, and so is any broadcast without
    /// quiet packets (03 §21.3 item 8).
    pub(super) fn fail_batch(&mut self, id: RequestId, failure: Failure) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if let Work::Batch(batch) = &mut request.work {
            if batch.broadcast.as_ref().is_some_and(|broadcast| !batch.has_quiet || broadcast.is_order()) {
                request.failure = Some(failure);
            } else {
                batch.failure = Some((failure, request.target));
                batch.broadcast = None;
            }
        }
        self.finish_batch(id);
    }

    /// Closes a group that was sent again without the packet that closed it.
    pub(super) fn reclose_group(&mut self, id: RequestId, conn_id: ConnId) {
        let is_open = self
            .conns
            .get(conn_id)
            .and_then(|conn| conn.fifo.back())
            .is_some_and(|entry| entry.request == id && matches!(entry.expect, Expect::Quiet { .. }));
        if is_open {
            self.close_group(id, conn_id);
        }
    }
}
