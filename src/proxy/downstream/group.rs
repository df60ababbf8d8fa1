//! Groups of quiet packets on the wire: what closes them, so that all their answers have come when that is answered.

use crate::buffer::Output;
use crate::protocol::Protocol;
use crate::protocol::binary::command;
use crate::protocol::op::is_quiet;

use crate::proxy::Engine;
use crate::proxy::request::RequestId;

use super::{ConnId, Entry, Expect};

impl Engine {
    /// The same as [`Engine::begin_request`] for a packet of this batch: it goes on with the quiet ones that are there.
    pub(in crate::proxy) fn begin_in(&mut self, id: RequestId, conn_id: ConnId) -> Option<&mut Output> {
        match self.downstream.conns.must(conn_id)?.group == Some(id) {
            true => self.downstream.conns.must_mut(conn_id).map(|conn| &mut conn.output),
            false => self.begin_request(conn_id),
        }
    }

    /// A packet of this request was written at the end of the connection's output.
    pub(in crate::proxy) fn note_group(&mut self, id: RequestId, conn_id: ConnId, code: u8) {
        if let Some(conn) = self.downstream.conns.must_mut(conn_id) {
            conn.group = is_quiet(code).then_some(id);
        }
    }

    /// Closes the quiet packets at the end of the connection's output: something else follows, or they are sent.
    pub(in crate::proxy) fn close_group(&mut self, conn_id: ConnId) {
        let Some(id) = self.downstream.conns.must_mut(conn_id).and_then(|conn| conn.group.take()) else { return };
        // If the batch was given up, its packets still need their end.
        let owner = if self.shut_batch(id) { id } else { RequestId::NONE };
        self.end_group(owner, conn_id);
    }

    /// Ends a server's quiet packets with a NOOP of moxi's own. ASCII servers answer each of theirs.
    fn end_group(&mut self, id: RequestId, conn_id: ConnId) {
        if self.speak(conn_id) == Protocol::Ascii {
            return;
        }
        let Some(out) = self.begin_request(conn_id) else { return };
        command::noop(out.tail(), 0);
        let end = out.end();
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

    /// Closes a group that was sent again without the packet that closed it.
    pub(in crate::proxy) fn reclose_group(&mut self, id: RequestId, conn_id: ConnId) {
        let is_open = self
            .downstream
            .conns
            .must(conn_id)
            .and_then(|conn| conn.fifo.back())
            .is_some_and(|entry| entry.request == id && matches!(entry.expect, Expect::Quiet { .. }));
        if is_open {
            self.end_group(id, conn_id);
        }
    }
}
