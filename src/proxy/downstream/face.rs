//! What the event loop calls for a server connection, once it is made. It may ask for one that the engine has forgotten: it
//! learns of that when it looks at the actions, or reads it still ([`super::parting`]). What it tells of bytes is of those
//! that are there: their bytes lie in the connection's own buffers.

use crate::buffer::Output;
use crate::metrics::server::Count;
use crate::proxy::Engine;

use super::{ConnId, State};

impl Engine {
    /// The next server connection that has something to be sent.
    pub fn next_dirty_conn(&mut self) -> Option<ConnId> {
        while let Some(id) = self.downstream.dirty.pop() {
            self.seal(id);
            // Some have gone since they were put on the list.
            if let Some(conn) = self.downstream.conns.get_mut(id) {
                conn.is_dirty = false;
                // What is about to be sent is shown when it has been.
                if conn.state != State::Ready || conn.shown.queued > 0 {
                    conn.show();
                }
                return Some(id);
            }
        }
        None
    }

    /// The server connection's output, and the position up to which it may be sent.
    pub fn conn_output(&mut self, id: ConnId) -> Option<(&Output, u64)> {
        // Whatever the occasion: what is sent in part, nothing joins.
        self.seal(id);
        self.downstream.conns.get(id).map(|conn| (&conn.output, conn.send_limit()))
    }

    /// The server's socket took `count` bytes. Tells whether there is more for it.
    pub fn conn_sent(&mut self, id: ConnId, count: usize) -> bool {
        self.traffic.count_written(count);
        let Some(conn) = self.downstream.conns.must_mut(id) else { return false };
        conn.output.advance(count);
        conn.writes.note(conn.output.sent(), self.now);
        conn.tally.add(Count::Written, count as u64);
        conn.show();
        conn.output.release(conn.answered_to);
        if conn.fifo.is_empty() {
            conn.output.rest(&mut self.spare);
        }
        !conn.output.is_sent() && conn.output.sent() < conn.send_limit()
    }

    /// Where the server's next bytes are to be read to; `None` while it is not to be read from.
    pub fn conn_space(&mut self, id: ConnId) -> Option<&mut [u8]> {
        let conn = self.downstream.conns.get_mut(id).filter(|conn| !conn.is_paused)?;
        Some(conn.input.space(&mut self.downstream.buffers))
    }

    /// `count` bytes were read into [`Engine::conn_space`].
    pub fn conn_filled(&mut self, id: ConnId, count: usize) {
        self.traffic.count_read(count);
        if let Some(conn) = self.downstream.conns.must_mut(id) {
            conn.input.filled(count);
            conn.tally.add(Count::Read, count as u64);
        }
        self.parse_replies(id);
        // What has come may have been its end.
        if let Some(conn) = self.downstream.conns.get_mut(id) {
            conn.show();
        }
    }

    /// Puts the connection on the list of those to flush.
    pub(in crate::proxy) fn mark_conn(&mut self, id: ConnId) {
        if let Some(conn) = self.downstream.conns.must_mut(id)
            && !conn.is_dirty
        {
            conn.is_dirty = true;
            self.downstream.dirty.push(id);
        }
    }
}
