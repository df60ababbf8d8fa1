//! Groups on the wire: requests that the server answers together, in entries of their own.
//!
//! There are two kinds. The gets of one turn are joined to one, whoever asks; an ASCII one is a line without its end as
//! long as more may join. The quiet packets of a batch are answered when something closes them: the client's own packet,
//! or a NOOP of moxi's. What is open at the end of a connection's output ([`Open`]) is closed by [`Engine::seal`] before
//! anything else is written there, and before it is sent. A part of a multi-key get is written as a whole, so nothing joins it.

use crate::buffer::Output;
use crate::protocol::Protocol;
use crate::protocol::ascii::command as ascii;
use crate::protocol::binary::{command as binary, opcode, packet};
use crate::protocol::op;

use crate::proxy::Engine;
use crate::proxy::request::RequestId;
use crate::sums::before;

use super::dispatch::Get;
use super::{Conn, ConnId, Entry, Expect};

/// How many keys a joined get has at most.
const JOIN_KEYS: u32 = 100;

/// How long a joined get may become in bytes: well within a socket buffer.
const JOIN_BYTES: u64 = 16 * 1024;

/// The opaques of the keys that join a get: above every vbucket id, which the first key carries.
const JOIN_OPAQUE: u32 = 0x0001_0000;

/// What ends a connection's output and may be gone on with in this turn.
#[derive(Clone, Copy, Debug)]
pub enum Open {
    /// A get that further keys may join.
    Get(OpenGet),
    /// Quiet packets of this batch.
    Quiet(RequestId),
}

/// A get that further keys may join.
#[derive(Clone, Copy, Debug)]
pub struct OpenGet {
    /// Where it begins in the output.
    start: u64,
    /// How many keys it has.
    keys: u32,
    /// The number of its first entry, counted over the connection's life.
    first: u64,
}

impl OpenGet {
    /// Whether it may have more keys.
    #[inline]
    pub(super) fn takes_keys(&self) -> bool {
        self.keys < JOIN_KEYS
    }
}

impl Conn {
    /// The get at the end of its output, if that is open.
    #[inline]
    pub(super) fn open_get(&self) -> Option<OpenGet> {
        match self.open {
            Some(Open::Get(open)) => Some(open),
            _ => None,
        }
    }

    /// The get at the end of its output, if one more key may join it.
    #[inline]
    pub(super) fn joinable(&self) -> Option<OpenGet> {
        self.open_get().filter(|open| open.takes_keys() && before(self.output.end(), open.start) < JOIN_BYTES)
    }

    /// Whether the open get is the oldest that is on it: who joins that is behind nobody.
    #[inline]
    pub(super) fn is_open_at_head(&self) -> bool {
        self.open_get().is_some_and(|open| open.first == self.fifo.first_number())
    }

    /// Writes a get that others may join: an ASCII line without its end. The result is its opaque.
    pub(super) fn begin_get(&mut self, get: &Get<'_>) -> u32 {
        let start = self.output.end();
        self.write_get(get);
        self.open = Some(Open::Get(OpenGet { start, keys: 1, first: self.fifo.next_number() }));
        u32::from(get.vbucket)
    }

    /// Writes a get by itself. The result is its opaque.
    pub(super) fn write_whole_get(&mut self, get: &Get<'_>) -> u32 {
        self.write_get(get);
        if self.speak == Protocol::Ascii {
            ascii::end(self.output.tail());
        }
        u32::from(get.vbucket)
    }

    #[inline]
    fn write_get(&mut self, get: &Get<'_>) {
        let out = self.output.tail();
        match self.speak {
            Protocol::Ascii => {
                ascii::get_start(out, get.cas);
                ascii::key(out, get.key);
            }
            Protocol::Binary => binary::get(out, get.key, get.vbucket, u32::from(get.vbucket)),
        }
    }

    /// Adds a key to the get at the end of its output. The result is its opaque.
    pub(super) fn join(&mut self, open: OpenGet, get: &Get<'_>) -> u32 {
        let opaque = JOIN_OPAQUE.wrapping_add(open.keys);
        match self.speak {
            Protocol::Ascii => ascii::key(self.output.tail(), get.key),
            Protocol::Binary => {
                if open.keys == 1
                    && let Some(header) = self.output.tail_from(open.start)
                {
                    packet::set_opcode(header, opcode::GETKQ);
                }
                binary::getq(self.output.tail(), get.key, get.vbucket, opaque);
            }
        }
        self.fifo.reopen();
        self.open = Some(Open::Get(OpenGet { keys: open.keys.saturating_add(1), ..open }));
        opaque
    }

    /// Nothing joins this get any more, which is at the end of its output.
    fn end_get(&mut self, open: OpenGet) {
        match self.speak {
            Protocol::Ascii => ascii::end(self.output.tail()),
            Protocol::Binary if open.keys > 1 => binary::noop(self.output.tail(), 0),
            Protocol::Binary => {}
        }
        let end = self.output.end();
        self.fifo.set_end(end);
    }
}

impl Engine {
    /// Closes what others could join, a get or quiet packets: something else follows, or it is sent.
    #[inline]
    pub(in crate::proxy) fn seal(&mut self, id: ConnId) {
        // Asked for each connection on the list of those to flush, and for each that is to be closed: some have gone.
        if self.downstream.conns.get(id).is_some_and(|conn| conn.open.is_some()) {
            self.close_open(id);
        }
    }

    fn close_open(&mut self, id: ConnId) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        match conn.open.take() {
            None => {}
            Some(Open::Get(open)) => {
                conn.end_get(open);
                if let Some(host) = self.downstream.hosts.must_mut(conn.host).filter(|host| host.open == Some(id)) {
                    host.open = None;
                }
            }
            Some(Open::Quiet(batch)) => {
                // If the batch was given up, its packets still need their end.
                let owner = if self.shut_batch(batch) { batch } else { RequestId::NONE };
                self.end_quiet(owner, id);
            }
        }
    }

    /// The same as [`Engine::begin_request`] for a packet of this batch: it goes on with the quiet ones that are there.
    pub(in crate::proxy) fn begin_in(&mut self, id: RequestId, conn_id: ConnId) -> Option<&mut Output> {
        match self.downstream.conns.must(conn_id)?.open {
            Some(Open::Quiet(batch)) if batch == id => {
                self.downstream.conns.must_mut(conn_id).map(|conn| &mut conn.output)
            }
            _ => self.begin_request(conn_id),
        }
    }

    /// A packet of this batch was written at the end of the connection's output.
    pub(in crate::proxy) fn note_packet(&mut self, id: RequestId, conn_id: ConnId, code: u8) {
        if let Some(conn) = self.downstream.conns.must_mut(conn_id) {
            conn.open = op::answered(code).is_quiet().then_some(Open::Quiet(id));
        }
    }

    /// Ends a server's quiet packets with a NOOP of moxi's own. ASCII servers answer each of theirs.
    fn end_quiet(&mut self, id: RequestId, conn_id: ConnId) {
        if self.speak(conn_id) == Protocol::Ascii {
            return;
        }
        let Some(out) = self.begin_request(conn_id) else { return };
        binary::noop(out.tail(), 0);
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

    /// Closes quiet packets that were sent again without the packet that closed them.
    pub(in crate::proxy) fn reclose(&mut self, id: RequestId, conn_id: ConnId) {
        let is_open = self
            .downstream
            .conns
            .must(conn_id)
            .and_then(|conn| conn.fifo.back())
            .is_some_and(|entry| entry.request == id && matches!(entry.expect, Expect::Quiet { .. }));
        if is_open {
            self.end_quiet(id, conn_id);
        }
    }
}
