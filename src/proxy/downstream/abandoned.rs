//! Requests that are given up while a connection holds them, and why nothing overtakes them (03 §7, §8.1).
//!
//! What was not sent yet is taken back: it is never carried out. What was sent may be carried out late, by a server
//! that was stopped, say. If it changes something, its client stays on the connection until the server has answered, so
//! that what the client sends next for this server is carried out after it. Of a client that has gone, its next one
//! takes over: whoever changes the same key.
//!
//! What the client is not told of (noreply, quiet packets) is not taken back: it is to be carried out, and is sent.

use std::ops::Range;

use crate::protocol::Protocol;
use crate::protocol::binary::packet::HEADER;
use crate::protocol::op;

use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::loss::Loss;
use crate::proxy::downstream::{Conn, ConnId, Expect, Translated};
use crate::proxy::request::RequestId;
use crate::proxy::upstream::ClientId;
use crate::sums::{Count as _, sum};

/// A request that changes something, and was given up or belongs to a client that is about to go.
#[derive(Clone, Copy, Debug)]
pub struct Abandoned {
    /// The number of its expected reply, counted over the connection's life.
    pub number: u64,
    /// A client that stays on the connection for it; it may have gone. Who has taken its place while it was still there stands
    /// behind it, with the same number.
    pub client: ClientId,
    /// The key that it changes; `None`: perhaps any.
    key: Option<KeyHash>,
}

/// Stands for a key. Two that collide are treated alike, which does no harm.
type KeyHash = u32;

/// The longest key, and what stands before it in a request: more is not looked at.
const KEY_AREA: u64 = 512;

impl Engine {
    /// The request has failed, or its client has gone: nobody waits for its missing answers any more. `is_told`: its
    /// client learns of the failure.
    pub(in crate::proxy) fn give_up(&mut self, id: RequestId, is_told: bool) {
        // What was given up just before may have finished it, by the end of a connection.
        let Some(request) = self.flight.requests.get(id) else { return };
        // What nobody has to fear may stay where it is, without being looked for.
        let is_sought = request.changes() || is_told;
        // It may be finished in between: an entry of it on a connection that is closed has failed.
        while let Some(conn_id) = self.flight.requests.get(id).and_then(|request| request.links().last()) {
            if is_sought {
                self.give_up_on(conn_id, id, is_told);
            }
            self.release_links(conn_id, id);
            // With a list that nobody wants it may have been closed already.
            if self.downstream.conns.get(conn_id).is_some_and(|conn| conn.is_stalled && conn.wanted == 0) {
                self.close_conn(conn_id, Loss::Overdue);
            }
        }
    }

    /// Gives up what the connection holds of the request.
    fn give_up_on(&mut self, conn_id: ConnId, id: RequestId, is_told: bool) {
        let count = self.downstream.conns.must(conn_id).map_or(0, |conn| conn.fifo.len());
        for index in (0..count).rev() {
            if self
                .downstream
                .conns
                .must(conn_id)
                .and_then(|conn| conn.fifo.get(index))
                .is_none_or(|entry| entry.request != id)
            {
                continue;
            }
            if is_told && self.downstream.conns.must(conn_id).is_some_and(|conn| may_take_back(conn, index)) {
                self.take_back(conn_id, index);
            } else {
                self.abandon(conn_id, index);
                if is_told {
                    self.hold(conn_id);
                } else {
                    self.let_pass(conn_id, index);
                }
            }
            if self.flight.requests.get(id).is_none_or(|request| !request.links().contains(conn_id)) {
                return;
            }
        }
    }

    /// Takes an entry from its request, like [`Engine::unlink`], because its answer has not come in time. If it
    /// changes something, its client stays on the connection.
    pub(in crate::proxy) fn abandon(&mut self, conn_id: ConnId, index: usize) -> Option<RequestId> {
        if self.is_change(conn_id, index) {
            self.note_abandoned(conn_id, index);
        }
        self.unlink(conn_id, index)
    }

    /// The server does not answer in time: nothing more is sent on the connection before it does.
    pub(in crate::proxy) fn hold(&mut self, conn_id: ConnId) {
        self.seal(conn_id);
        if let Some(conn) = self.downstream.conns.must_mut(conn_id) {
            conn.hold();
        }
    }

    /// Nobody is told that this entry was given up, so it is to be carried out: it does not wait for a reply.
    fn let_pass(&mut self, conn_id: ConnId, index: usize) {
        self.seal(conn_id);
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let Some(held_at) = conn.held_at else { return };
        let end = conn.fifo.iter().skip(index).find(|entry| entry.is_last()).map_or(held_at, |entry| entry.end);
        conn.held_at = Some(held_at.max(end));
        self.mark_conn(conn_id);
    }

    /// Whether somebody waits for the answer to this entry, and it changes something.
    fn is_change(&self, conn_id: ConnId, index: usize) -> bool {
        let Some(entry) = self.downstream.conns.must(conn_id).and_then(|conn| conn.fifo.get(index)) else {
            return false;
        };
        // Others have been given up.
        let request = self.flight.requests.get(entry.request).filter(|request| !request.is_done);
        request.is_some_and(|request| match entry.expect {
            Expect::MultiGet { .. } => request.changes(),
            _ => entry.expect.changes(),
        })
    }

    /// Notes that the client of this entry is to stay on the connection until the server has answered it.
    fn note_abandoned(&mut self, conn_id: ConnId, index: usize) {
        let speak = self.speak(conn_id);
        let mut scratch = std::mem::take(&mut self.flight.scratch);
        if let Some(conn) = self.downstream.conns.must_mut(conn_id)
            && let Some(entry) = conn.fifo.get(index)
            && let Some(request) = self.flight.requests.must(entry.request)
        {
            scratch.clear();
            let key = key_of(conn, index, speak, &mut scratch).map(hash);
            let number = conn.fifo.number(index);
            // It may be there already, from when its client has finished sending.
            if let Err(place) = conn.abandoned.binary_search_by_key(&number, |other| other.number) {
                conn.abandoned.insert(place, Abandoned { number, client: request.client, key });
                if let Some(client) = self.upstream.clients.must_mut(request.client) {
                    client.stick(conn.host, conn_id);
                }
                if let Some(host) = self.downstream.hosts.must_mut(conn.host) {
                    host.abandoned.up();
                }
            }
        }
        self.flight.scratch = scratch;
    }

    /// Takes an entry that was not sent out of the connection, as if it had never been there.
    fn take_back(&mut self, conn_id: ConnId, index: usize) {
        self.seal(conn_id);
        self.unlink(conn_id, index);
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let range = conn.range(index);
        let (length, number) = (range.end.saturating_sub(range.start), conn.fifo.number(index));
        conn.output.remove(range.clone());
        conn.fifo.remove(index, length);
        conn.alone.retain(|other| *other != range);
        for other in conn.alone.iter_mut().filter(|other| other.start >= range.end) {
            *other = other.start.saturating_sub(length)..other.end.saturating_sub(length);
        }
        // Nobody has to stay for it any more.
        while let Some(conn) = self.downstream.conns.must(conn_id)
            && let Ok(at) = conn.abandoned.binary_search_by_key(&number, |other| other.number)
        {
            self.leave(conn_id, at);
        }
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        for other in conn.abandoned.iter_mut().filter(|other| other.number > number) {
            other.number.down();
        }
        // It may have been what kept others from being sent.
        self.mark_conn(conn_id);
    }

    /// Some of the oldest requests on the connection are answered: the clients that stayed for them may go.
    pub(in crate::proxy) fn settle_abandoned(&mut self, conn_id: ConnId) {
        while let Some(conn) = self.downstream.conns.must(conn_id)
            && conn.abandoned.front().is_some_and(|oldest| oldest.number < conn.fifo.first_number())
        {
            self.leave(conn_id, 0);
        }
    }

    /// Forgets one of the given-up requests.
    pub(in crate::proxy) fn leave(&mut self, conn_id: ConnId, at: usize) {
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let Some(abandoned) = conn.abandoned.remove(at) else { return };
        if let Some(host) = self.downstream.hosts.must_mut(conn.host) {
            host.abandoned = host.abandoned.saturating_sub(1);
        }
        // It may have gone.
        if let Some(client) = self.upstream.clients.get_mut(abandoned.client) {
            client.unstick(conn_id);
        }
        // Its next request may wait for that.
        self.wake_client(abandoned.client);
    }

    /// The client has finished sending. Whoever comes next with one of the keys that it is about to change may be itself,
    /// come back: that must be seen.
    pub(in crate::proxy) fn note_parting(&mut self, id: ClientId) {
        let Some(client) = self.upstream.clients.must(id).filter(|client| client.has_unanswered()) else { return };
        let is_change = |id: RequestId| self.flight.requests.must(id).is_some_and(|request| request.changes());
        if !client.requests().any(is_change) {
            return;
        }
        for conn_id in client.conns().collect::<Vec<_>>() {
            for index in 0..self.downstream.conns.must(conn_id).map_or(0, |conn| conn.fifo.len()) {
                let entry = self.downstream.conns.must(conn_id).and_then(|conn| conn.fifo.get(index));
                // Others have been given up.
                let request = entry.and_then(|entry| self.flight.requests.get(entry.request));
                if request.is_some_and(|request| request.client == id) && self.is_change(conn_id, index) {
                    self.note_abandoned(conn_id, index);
                }
            }
        }
    }

    /// The client is about to change this key at `host`, or all of them. If that was the last thing that a client did
    /// which has gone since, and it is not done yet, this one takes its place.
    #[inline]
    pub(in crate::proxy) fn take_over(&mut self, client_id: ClientId, host_id: HostId, key: Option<&[u8]>) {
        if self.downstream.hosts.must(host_id).is_some_and(|host| host.abandoned > 0) {
            self.take_gone_ones_place(client_id, host_id, key);
        }
    }

    #[cold]
    fn take_gone_ones_place(&mut self, client_id: ClientId, host_id: HostId, key: Option<&[u8]>) {
        let Some(host) = self.downstream.hosts.must(host_id) else { return };
        if self.upstream.clients.must(client_id).is_none_or(|client| client.sticky(host_id).is_some()) {
            return; // its own order comes first
        }
        let key = key.map(hash);
        let found = host.conns.iter().find_map(|conn_id| {
            let conn = self.downstream.conns.must(*conn_id)?;
            Some((*conn_id, self.gone_ones_place(conn, key)?))
        });
        let Some((conn_id, at)) = found else { return };
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let Some(abandoned) = conn.abandoned.get_mut(at) else { return };
        if self.upstream.clients.contains(abandoned.client) {
            // What it has sent before it went may not be carried out yet, and comes after that, too.
            let joins = Abandoned { client: client_id, ..*abandoned };
            conn.abandoned.insert(sum([at, 1]), joins);
            if let Some(host) = self.downstream.hosts.must_mut(host_id) {
                host.abandoned.up();
            }
        } else {
            abandoned.client = client_id;
        }
        if let Some(client) = self.upstream.clients.must_mut(client_id) {
            client.stick(host_id, conn_id);
        }
        // Whether the server will answer that is not known. If it does not, this client is better off elsewhere.
        self.hold(conn_id);
    }

    /// Where among those that were given up on this connection the last one is that changes this key, and whose client has
    /// gone without another one behind it.
    fn gone_ones_place(&self, conn: &Conn, key: Option<KeyHash>) -> Option<usize> {
        let is_here =
            |abandoned: &Abandoned| self.upstream.clients.get(abandoned.client).is_some_and(|client| client.is_open());
        let has_follower = |number| {
            let first = conn.abandoned.partition_point(|other| other.number < number);
            conn.abandoned.iter().skip(first).take_while(|other| other.number == number).any(is_here)
        };
        conn.abandoned.iter().rposition(|abandoned| {
            let is_it = abandoned.key.is_none() || key.is_none() || abandoned.key == key;
            is_it && !has_follower(abandoned.number)
        })
    }
}

/// Whether entry `index` can be taken out of the connection: nothing of it was sent, and it is not a part of what
/// others, or what was sent, depend on.
fn may_take_back(conn: &Conn, index: usize) -> bool {
    let Some(before) = index.checked_sub(1).and_then(|before| conn.fifo.get(before)) else { return false };
    let Some(entry) = conn.fifo.get(index) else { return false };
    let is_quiet = match entry.expect {
        Expect::Quiet { .. } | Expect::Close | Expect::Probe(_) => true,
        Expect::Translated(Translated { opcode, .. }) => op::answered(opcode).is_quiet(),
        _ => false,
    };
    before.is_last() && entry.is_last() && !is_quiet && before.end >= conn.output.sent()
}

/// The key of a request with one key.
fn key_of<'a>(conn: &Conn, index: usize, speak: Protocol, memory: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    // Of a base64-coded key that is not the key itself which stands there: it counts as any.
    let expect = conn.fifo.get(index)?.expect;
    let is_elsewhere = match expect {
        Expect::MultiGet { .. } | Expect::Broadcast { .. } => true,
        Expect::Translated(Translated { is_encoded, .. }) => is_encoded,
        _ => false,
    };
    if is_elsewhere {
        return None;
    }
    let Range { start, end } = conn.range(index);
    conn.output.read(start..end.min(start.saturating_add(KEY_AREA)), memory);
    match speak {
        Protocol::Ascii => {
            let line = memory.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
            let mut words = line.split(|byte| *byte == b' ');
            let verb = words.next()?;
            // A flag says that it is in base64, and may be among what was not looked at.
            let is_long = line.len() == memory.len();
            if matches!(expect, Expect::Meta { .. }) && (is_long || words.clone().any(|word| word == b"b")) {
                return None;
            }
            if verb.starts_with(b"gat") {
                words.next();
            }
            words.next()
        }
        Protocol::Binary => {
            let [_, _, high, low, extras] = *memory.first_chunk::<5>()?;
            let key = memory.get(sum([HEADER, extras.into()])..)?;
            key.get(..u16::from_be_bytes([high, low]).into()).filter(|key| !key.is_empty())
        }
    }
}

fn hash(key: &[u8]) -> KeyHash {
    crc32fast::hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ascii::meta;
    use crate::proxy::Settings;
    use crate::proxy::downstream::hands::{self, connects, says, takes};
    use crate::proxy::downstream::host::HealthTable;

    /// A client that has gone, and whose last request waits for a write that was given up, waits on when another one changes
    /// that key, too; and goes on when it is answered.
    #[test]
    fn who_has_gone_keeps_its_place_behind_what_it_has_given_up() {
        let config = hands::config("server", "downstream_protocol=binary,downstream_conn_max=1,downstream_timeout=0");
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&config, &HealthTable::default(), settings);
        let connected = |engine: &mut Engine| {
            let id = connects(engine).first().map(|(id, _)| *id).expect("a connection");
            engine.connected(id);
            id
        };
        // What the server understands is known.
        let client = hands::asks(&mut engine, b"mg k v\r\n");
        let lines = connected(&mut engine);
        takes(&mut engine, lines, meta::WHOLE_QUESTION);
        says(&mut engine, lines, b"MN\r\n");
        takes(&mut engine, lines, b"version\r\n");
        says(&mut engine, lines, b"VERSION 1.6.18\r\n");
        engine.turn(&mut Vec::new());
        takes(&mut engine, lines, b"mg k v O1\r\n");
        says(&mut engine, lines, b"EN O1\r\n");
        engine.client_lost(client);
        // Behind the request of another one, it waits too long.
        hands::asks(&mut engine, b"delete x\r\n");
        let packets = connected(&mut engine);
        takes(&mut engine, packets, b"\x80\x04\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0x");
        let gone = hands::asks(&mut engine, b"set k 0 0 1\r\n1\r\n");
        takes(&mut engine, packets, b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0k1");
        engine.set_time(200_000);
        engine.turn(&mut Vec::new());
        // A meta command is told in lines, and waits for the packet.
        let meta = b"ms k 1\r\n2\r\n";
        engine.client_space(gone).expect("room")[..meta.len()].copy_from_slice(meta);
        engine.client_filled(gone, meta.len());
        engine.client_lost(gone);
        engine.turn(&mut Vec::new());
        hands::asks(&mut engine, b"set k 0 0 1\r\n3\r\n");
        engine.turn(&mut Vec::new());
        assert_eq!(engine.client_count(), 3);
        engine.check_invariants();
        says(&mut engine, packets, b"\x81\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        says(&mut engine, packets, b"\x81\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01");
        engine.turn(&mut Vec::new());
        takes(&mut engine, lines, b"ms k 1 O2\r\n2\r\n");
        says(&mut engine, lines, b"HD O2\r\n");
        engine.turn(&mut Vec::new());
        assert_eq!(engine.client_count(), 2, "it is done");
    }
}
