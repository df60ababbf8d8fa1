//! What comes of the packets of a batch: the replies to the quiet ones first, that to the closing one last.

use crate::buffer::Output;
use crate::protocol::binary::opcode;
use crate::protocol::binary::packet::Packet;
use crate::protocol::binary::reply::Reply;
use crate::protocol::op;
use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{ConnId, PacketName};
use crate::proxy::request::error::Failure;
use crate::proxy::request::{RequestId, Work};

/// The reply that says with `body` why a packet failed.
pub(in crate::proxy) fn failed(code: u8, opaque: u32, failure: Failure, body: &[u8]) -> Reply<'_> {
    Reply { status: failure.status(), value: body, ..Reply::to(code, opaque) }
}

impl Engine {
    /// The place in its batch of a quiet packet that is about to be sent on this connection.
    pub(in crate::proxy) fn note_place(&mut self, id: RequestId, conn_id: ConnId, code: u8) -> u32 {
        match self.flight.requests.must_mut(id).map(|request| &mut request.work) {
            Some(Work::Batch(batch)) if op::answered(code).is_quiet() => {
                batch.replies.expect_from(conn_id);
                batch.count.saturating_sub(1)
            }
            _ => 0,
        }
    }

    /// The place in its batch of the packet that was taken last, which is answered at another time than the server
    /// would.
    pub(in crate::proxy) fn out_of_line(&mut self, id: RequestId) -> u32 {
        match self.mix_replies(id) {
            Some(Work::Batch(batch)) => batch.count.saturating_sub(1),
            _ => 0,
        }
    }

    /// A packet of this request is answered at another time than the server has, or would: what comes for those behind it
    /// is kept. Gives the request's work.
    pub(in crate::proxy) fn mix_replies(&mut self, id: RequestId) -> Option<&mut Work> {
        let work = self.flight.requests.must_mut(id).map(|request| &mut request.work)?;
        if let Work::Batch(batch) = work {
            batch.replies.mix();
        }
        Some(work)
    }

    /// A packet could not be sent to server `host`.
    pub(in crate::proxy) fn not_sent(
        &mut self,
        id: RequestId,
        packet: &Packet<'_>,
        failure: Failure,
        host: Option<HostId>,
    ) {
        let name = PacketName::of(&packet.header, self.out_of_line(id));
        self.packet_failed(id, name, failure, host);
    }

    /// Where the answer to a packet of this request is written. That of the closing packet is kept to the end.
    pub(in crate::proxy) fn packet_sink(&mut self, id: RequestId, name: PacketName) -> Option<&mut Output> {
        let PacketName { opcode: code, place, .. } = name;
        let request = self.flight.requests.must(id)?;
        if request.is_done {
            return None;
        }
        let is_kept = match &request.work {
            Work::Batch(batch) => !op::answered(code).is_quiet() || batch.replies.is_mixed(),
            _ => false,
        };
        if !is_kept {
            return self.sink(id);
        }
        match &mut self.flight.requests.must_mut(id)?.work {
            Work::Batch(batch) => match op::answered(code).is_quiet() {
                false => Some(&mut batch.last),
                true => batch.replies.sink(place),
            },
            _ => None,
        }
    }

    /// A packet of this request has been answered.
    pub(in crate::proxy) fn packet_done(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        match &request.work {
            Work::Batch(batch) if batch.is_sending || request.pending > 0 || request.is_done => {}
            Work::Batch(_) => self.finish_batch(id),
            _ => self.complete(id),
        }
    }

    /// A packet of this request is answered with this status, and its usual text, at another time than the server would.
    pub(in crate::proxy) fn refuse_named(&mut self, id: RequestId, name: PacketName, code: u16) {
        if let Some(sink) = self.packet_sink(id, name) {
            Reply::refused(name.opcode, name.opaque, code).write(sink.tail());
        }
        self.packet_done(id);
    }

    /// A packet of this request has failed at server `host`: a quiet get is a miss, everything else is told.
    pub(in crate::proxy) fn packet_failed(
        &mut self,
        id: RequestId,
        name: PacketName,
        failure: Failure,
        host: Option<HostId>,
    ) {
        let code = name.opcode;
        // Others that were on the same connection may be sent again.
        let Some(work) = self.mix_replies(id) else { return };
        if !matches!(work, Work::Batch(_)) {
            return self.fail(id, failure);
        }
        let op = op::of(code);
        match op.opcode {
            _ if !op::answered(code).is_quiet() => {
                let failure = Some((failure, self.failure_body(failure, host)));
                if let Some(Work::Batch(batch)) = self.flight.requests.must_mut(id).map(|request| &mut request.work) {
                    batch.failure = failure;
                }
            }
            _ if op.gives_value() => {}
            opcode::FLUSH => self.write_unflushed(id, name, failure, host),
            _ => {
                let body = self.failure_body(failure, host);
                if let Some(sink) = self.packet_sink(id, name) {
                    failed(code, name.opaque, failure, &body).write(sink.tail());
                }
            }
        }
        self.packet_done(id);
    }

    /// What is said of a failure at server `host`, which it names.
    pub(in crate::proxy) fn failure_body(&self, failure: Failure, host: Option<HostId>) -> Vec<u8> {
        let server = host.and_then(|host| self.downstream.server(host));
        let mut body = Vec::new();
        failure.write_body(&mut body, server.map(|server| server.host.as_str()));
        body
    }

    /// All servers have answered: the closing packet's reply comes last.
    pub(in crate::proxy) fn finish_batch(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        let failure = request.failure;
        let Work::Batch(batch) = std::mem::replace(&mut request.work, Work::Local) else { return };
        let mut batch = *batch;
        let client = request.client;
        if let Some(broadcast) = &batch.broadcast {
            self.complain(broadcast, failure);
        }
        if let Some(client) = self.upstream.clients.must_mut(client) {
            client.packets().settle(&batch);
        }
        if let Some(sink) = self.sink(id) {
            batch.replies.move_to(sink);
        }
        if let Some((failure, body)) = batch.failure {
            if let Some(sink) = self.sink(id)
                && let Some((code, opaque)) = batch.closing
            {
                failed(code, opaque, failure, &body).write(sink.tail());
            }
        } else if let Some(sink) = self.sink(id) {
            match (&batch.broadcast, batch.closing) {
                (Some(broadcast), Some((code, opaque))) => broadcast.write_binary(sink.tail(), code, opaque, failure),
                _ => sink.append(&mut batch.last),
            }
        }
        self.complete(id);
    }

    /// The batch is given up: each of its packets that is not answered has failed. A broadcast is judged by the
    /// servers that have answered (03 §21.3 item 8).
    pub(in crate::proxy) fn fail_batch(&mut self, id: RequestId, failure: Failure) {
        if let Some(request) = self.flight.requests.must_mut(id) {
            request.failure = Some(failure);
        }
        self.begin_packet(id, 0);
        let packets = self.unanswered(id);
        self.give_up(id, true);
        // It cannot be finished in between, since it is being sent.
        if let Some(request) = self.flight.requests.must_mut(id) {
            request.pending = 0;
        }
        for (name, host) in packets {
            self.packet_failed(id, name, failure, host);
        }
        self.end_packet(id);
    }

    /// The packets that are not answered, those included that are to be sent again, each with its server.
    fn unanswered(&self, id: RequestId) -> Vec<(PacketName, Option<HostId>)> {
        let Some(request) = self.flight.requests.must(id) else { return Vec::new() };
        let mut conns: Vec<ConnId> = Vec::new();
        for conn in request.links.iter() {
            if !conns.contains(&conn) {
                conns.push(conn);
            }
        }
        let conns = conns.iter().filter_map(|conn| self.downstream.conns.must(*conn));
        let sent = conns.flat_map(|conn| {
            let of_it = conn.entries().filter(|entry| entry.request == id);
            of_it.map(|entry| (Some(conn.host()), entry))
        });
        let lost = self.downstream.lost_entries(id).map(|(host, entry)| (Some(host), entry));
        let refused = self.upstream.clients.must(request.client).map(|client| client.refused());
        let refused = refused.into_iter().flat_map(|refused| refused.entries(id));
        let refused = refused.map(|entry| (request.target(), entry));
        let all = sent.chain(lost).chain(refused);
        all.filter_map(|(host, entry)| Some((entry.packet()?, host))).collect()
    }
}
