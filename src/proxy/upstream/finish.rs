//! Replies in order: what is owed to a client, and when it may be sent.

use crate::buffer::Output;
use crate::metrics::counter::Counter;
use crate::protocol::status::CommandClass;
use crate::protocol::{Answered, Reply};

use crate::proxy::Engine;
use crate::proxy::downstream::Entry;
use crate::proxy::downstream::host::HostId;
use crate::proxy::request::batch::failed;
use crate::proxy::request::error::Failure;
use crate::proxy::request::{RequestId, Work};
use crate::proxy::upstream::Caller;

/// A reply of several values may be sent in parts once this much of it is complete.
const PART_MIN: u64 = 64 * 1024;

impl Engine {
    /// Answers the client's next request without asking a server.
    pub(in crate::proxy) fn local_reply(&mut self, caller: &Caller, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(client) = self.upstream.clients.must_mut(caller.client) else { return };
        if client.is_deaf {
            return;
        }
        if client.order.is_empty() {
            client.output.wake(&mut self.spare);
            write(client.output.tail());
            client.committed = client.output.end();
            return self.mark_client(caller.client);
        }
        self.drop_note();
        let request = self.new_request(caller, Work::Local, Answered::Always);
        if let Some(request) = self.flight.requests.must_mut(request) {
            write(request.parked().tail());
        }
        self.complete(request);
    }

    /// Where the reply of this request is written: straight into the client's output if it is its turn. `None` if
    /// nobody wants it.
    pub(in crate::proxy) fn sink(&mut self, id: RequestId) -> Option<&mut Output> {
        let request = self.flight.requests.must_mut(id)?;
        let client = self.upstream.clients.must_mut(request.client)?;
        client.sink(request, id, &mut self.spare).map(|(out, _)| out)
    }

    /// A value of a reply of several was written to [`Engine::sink`]: a long reply may go on its way in parts.
    pub(in crate::proxy) fn commit_part(&mut self, id: RequestId) {
        let Some(client_id) = self.flight.requests.must(id).map(|request| request.client) else { return };
        let Some(client) = self.upstream.clients.must_mut(client_id) else { return };
        if client.order.is_front(id) && client.output.end().saturating_sub(client.committed) >= PART_MIN {
            client.committed = client.output.end();
            self.mark_client(client_id);
        }
    }

    /// The reply of this request is complete in its sink: passes on whatever may be sent now.
    pub(in crate::proxy) fn complete(&mut self, id: RequestId) {
        self.reply(id, None, |_, _| {});
    }

    /// The reply to `entry` will not come from server `host`.
    pub(in crate::proxy) fn entry_failed(
        &mut self,
        id: RequestId,
        entry: &Entry,
        host: Option<HostId>,
        failure: Failure,
    ) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        match (&request.work, entry.packet()) {
            (Work::Batch(_), Some(name)) => self.packet_failed(id, name, failure, host),
            (Work::MultiGet(_) | Work::Broadcast(_) | Work::Dump(_) | Work::Batch(_), _) => {
                request.note_failure(failure);
                self.part_done(id);
            }
            (Work::Local | Work::Get { .. } | Work::Line(_) | Work::Packet { .. } | Work::Meta(_), _) => {
                self.fail(id, failure);
            }
        }
    }

    /// A part of a request has been answered, or has failed.
    pub(in crate::proxy) fn part_done(&mut self, id: RequestId) {
        let Some(request) = self.flight.requests.must(id) else { return };
        if request.is_awaiting() || request.is_done {
            return;
        }
        match &request.work {
            Work::MultiGet(_) => self.finish_multiget(id),
            Work::Broadcast(_) => self.finish_broadcast(id),
            Work::Dump(_) => self.finish_dump(id),
            Work::Batch(_) => self.packet_done(id),
            Work::Local | Work::Get { .. } | Work::Line(_) | Work::Packet { .. } | Work::Meta(_) => {}
        }
    }

    /// The request has failed as a whole.
    pub(in crate::proxy) fn fail(&mut self, id: RequestId, failure: Failure) {
        let Some(request) = self.flight.requests.must(id) else { return };
        let (bucket, answered) = (request.bucket, request.answered);
        let is_batch = matches!(request.work, Work::Batch(_));
        match failure {
            Failure::ConnQueue => self.count(bucket, Counter::ConnQueueTimeout),
            Failure::WaitQueue => self.count(bucket, Counter::WaitQueueTimeout),
            Failure::NoServer => self.count(bucket, Counter::PropagateFailed),
            _ => {}
        }
        self.note_failure(id, failure);
        if is_batch {
            return self.fail_batch(id, failure);
        }
        self.give_up(id, answered.says_anything());
        // An entry of it on a connection that was closed for that may have finished it.
        let Some(request) = self.flight.requests.get_mut(id) else { return };
        request.let_all_go();
        match request.work {
            Work::MultiGet(_) | Work::Broadcast(_) | Work::Dump(_) => {
                request.fail(failure);
                return self.part_done(id);
            }
            Work::Packet { opcode, opaque } => {
                let host = request.target();
                let body = self.failure_body(failure, host);
                if let Some(sink) = self.sink(id) {
                    failed(opcode, opaque, failure, &body).write(sink.tail());
                }
                return self.complete(id);
            }
            Work::Local | Work::Get { .. } | Work::Line(_) | Work::Batch(_) | Work::Meta(_) => {}
        }
        let is_get = match &request.work {
            Work::Get { .. } | Work::Line(CommandClass::Getl) => true,
            Work::Meta(asked) => asked.may_miss(),
            _ => false,
        };
        let (target, bucket) = (request.target(), request.bucket);
        let is_miss = is_get && (failure == Failure::Closed || !self.buckets[bucket].config.get_errors);
        let host = target.and_then(|host| self.downstream.server(host)).map(std::sync::Arc::clone);
        let named = !(is_get && failure == Failure::Timeout);
        self.reply(id, None, |out, work| match is_miss {
            true => work.answer(out, || Reply::End),
            false => {
                failure.write_ascii(out.tail(), host.as_ref().filter(|_| named).map(|server| server.host.as_str()))
            }
        });
    }

    /// The client has gone: its request is forgotten, and the answers still to come will find nobody.
    pub(in crate::proxy) fn forget_request(&mut self, id: RequestId) {
        self.give_up(id, false);
        let Some(mut request) = self.flight.requests.remove(id) else { return };
        if let Some(note) = self.flight.notes.get_mut(request.note).filter(|_| !request.is_done) {
            note.settle(&request, self.now);
            note.leave();
            self.tell_end(request.note);
        }
        if !request.is_done {
            self.buckets[request.bucket].settle_changes(&request.caching);
        }
        if request.has_place() && !request.is_done {
            self.count(request.bucket, Counter::Released);
            self.count(request.bucket, Counter::UpstreamUnpaused);
            self.return_place(request.bucket);
        }
        self.flight.works.take_back(&mut request);
    }
}
