//! How a request gets to its connection.

use crate::buffer::Output;
use crate::metrics::counter::Counter;
use crate::metrics::server::Count;
use crate::protocol::op;
use crate::protocol::{Answered, Protocol};

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{Conn, ConnId, Entry, Expect, State};
use crate::proxy::request::error::Failure;
use crate::proxy::request::{Request, RequestId, Work};
use crate::proxy::upstream::{Caller, ClientId};
use crate::sums::{Count as _, before};

/// The length of a line's end.
const LINE_END: u64 = 2;

/// A get of one key, on its way to a server.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Get<'a> {
    pub(in crate::proxy) request: RequestId,
    pub(in crate::proxy) client: ClientId,
    pub(in crate::proxy) bucket: usize,
    pub(in crate::proxy) key: &'a [u8],
    pub(in crate::proxy) vbucket: u16,
    /// The client wants to know the CAS id.
    pub(in crate::proxy) cas: bool,
    /// How often it was sent before.
    pub(in crate::proxy) retries: u32,
}

/// A request for one key, on its way to a server.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct OneKey<'a> {
    pub(in crate::proxy) request: RequestId,
    pub(in crate::proxy) key: &'a [u8],
    /// The opcode of its command.
    pub(in crate::proxy) code: u8,
    pub(in crate::proxy) host: HostId,
    pub(in crate::proxy) vbucket: u16,
}

impl Get<'_> {
    /// The reply to expect, if the request ends at `end` in the output, with so many bytes behind the key.
    #[inline]
    pub(super) fn entry(&self, opaque: u32, end: u64, behind: u64) -> Entry {
        let key_at = before(before(end, behind), self.key.len() as u64);
        let expect = Expect::Get { key_at, key_len: self.key.len().min(255) as u8, last: true, answered: false };
        let (request, retries) = (self.request, self.retries);
        Entry { request, expect, opaque, end, retries, may_repeat: true, is_queued: false }
    }
}

impl Bucket {
    /// The server and vbucket of `key`.
    #[inline]
    pub(super) fn route(&self, key: &[u8]) -> (Option<HostId>, u16) {
        let route = self.config.router.route(key);
        let server = self.masters.learned(route.vbucket).or(route.server);
        (server.and_then(|server| self.hosts.get(server).copied()), route.vbucket)
    }
}

impl Engine {
    /// A new request of the client, which holds a place.
    #[inline]
    pub(in crate::proxy) fn one(
        &mut self,
        caller: &Caller,
        work: Work,
        answered: Answered,
        may_repeat: bool,
    ) -> RequestId {
        let counters = &self.buckets[caller.bucket].counters;
        counters.count(Counter::Reserved);
        counters.count(Counter::UpstreamPaused);
        self.make_request(caller, work, answered, |request| request.take_place(may_repeat))
    }

    /// A new request of the client. The caller has made sure that the client is there.
    pub(in crate::proxy) fn new_request(&mut self, caller: &Caller, work: Work, answered: Answered) -> RequestId {
        self.make_request(caller, work, answered, |_| {})
    }

    #[inline]
    fn make_request(
        &mut self,
        caller: &Caller,
        work: Work,
        answered: Answered,
        change: impl FnOnce(&mut Request),
    ) -> RequestId {
        let Some(client) = self.upstream.clients.must_mut(caller.client) else { return RequestId::NONE };
        let made = Request::new(caller, client.next_sequence(), work, answered);
        let made = made.begun(self.now, client.waited(self.now), self.flight.take_note());
        let (id, request) = self.flight.requests.place(made);
        change(request);
        client.owe(id, answered, self.now);
        id
    }

    /// The server and vbucket of `key`.
    pub(in crate::proxy) fn route(&self, bucket: usize, key: &[u8]) -> (Option<HostId>, u16) {
        self.buckets[bucket].route(key)
    }

    /// Sends a single-key request. `encode` gets the server's protocol, where to write, the vbucket and where to
    /// note the position of the key.
    pub(in crate::proxy) fn send_key(
        &mut self,
        caller: &Caller,
        id: RequestId,
        key: &[u8],
        code: u8,
        encode: impl FnOnce(Protocol, &mut Output, u16, &mut u64),
    ) {
        let (host, vbucket) = self.route_for(caller, key);
        let Some(host) = host else {
            if op::of(code).changes() {
                self.note_change(id, Some(key));
            }
            return self.fail(id, Failure::NoServer);
        };
        let one = OneKey { request: id, key, code, host, vbucket };
        self.send_one(&one, |speak, out, at| encode(speak, out, vbucket, at));
    }

    /// The same, when it is known which server has the key.
    pub(in crate::proxy) fn send_one(
        &mut self,
        one: &OneKey<'_>,
        encode: impl FnOnce(Protocol, &mut Output, &mut u64),
    ) {
        let OneKey { request: id, key, code, host, vbucket } = *one;
        let op = op::of(code);
        let changed = op.changes().then_some(key);
        let Some(conn_id) = self.conn_for(id, host, changed, |engine, client| engine.pick_for(client, host, code))
        else {
            return;
        };
        self.write_on(conn_id, id, |speak, out| {
            let mut key_at = out.end();
            encode(speak, out, &mut key_at);
            let expect = match op.gives_value() {
                false => Expect::One { opcode: code },
                true => Expect::Value { opcode: code, key_at, key_len: key.len().min(255) as u8, answered: false },
            };
            (expect, u32::from(vbucket))
        });
    }

    /// The connection to `host` for a request for one key, as `pick` finds it; `changed` is the key if that is changed.
    /// `None`: the request has failed.
    pub(in crate::proxy) fn conn_for(
        &mut self,
        id: RequestId,
        host: HostId,
        changed: Option<&[u8]>,
        pick: impl FnOnce(&mut Engine, ClientId) -> Result<ConnId, Failure>,
    ) -> Option<ConnId> {
        let request = self.flight.requests.must(id)?;
        let (client, bucket) = (request.client, request.bucket);
        if changed.is_some() {
            if self.buckets[bucket].front.is_some() {
                self.note_change(id, changed);
            }
            self.take_over(client, host, changed);
        }
        pick(self, client).inspect_err(|failure| self.fail(id, *failure)).ok()
    }

    /// Has a request written to the connection's output; what `write` gives is the answer to expect, and its opaque.
    pub(in crate::proxy) fn write_on(
        &mut self,
        conn_id: ConnId,
        id: RequestId,
        write: impl FnOnce(Protocol, &mut Output) -> (Expect, u32),
    ) {
        let Some(may_repeat) = self.flight.requests.must(id).map(Request::may_repeat) else { return };
        let Some(conn) = self.begin(conn_id) else { return };
        let (expect, opaque) = write(conn.speak, &mut conn.output);
        let end = conn.output.end();
        self.enqueue(conn_id, Entry { request: id, expect, opaque, end, retries: 0, may_repeat, is_queued: false });
    }

    /// A get of one key.
    pub(in crate::proxy) fn get_one(&mut self, caller: &Caller, key: &[u8], cas: bool) {
        let Caller { client, bucket, .. } = *caller;
        let request = self.one(caller, Work::Get { cas, touch: false }, Answered::Always, true);
        if self.buckets[bucket].front.is_some() && self.get_cached(request, bucket, key, cas) {
            return;
        }
        let (host, vbucket) = self.route_for(caller, key);
        match host {
            Some(host) => self.send_get(host, &Get { request, client, bucket, key, vbucket, cas, retries: 0 }),
            None => self.fail(request, Failure::NoServer),
        }
    }

    /// Sends the get of one key, joining it to an open one if there is one.
    pub(in crate::proxy) fn send_get(&mut self, host_id: HostId, get: &Get<'_>) {
        let joinable = !get.cas && self.buckets[get.bucket].config.behavior.join_gets;
        let conn_id = match self.pick(get.client, host_id, joinable) {
            Ok(conn) => conn,
            Err(failure) => return self.fail(get.request, failure),
        };
        let Some(conn) = self.downstream.conns.must_mut(conn_id) else { return };
        let speak = conn.speak;
        let opaque = match conn.joinable().filter(|_| joinable) {
            Some(open) => {
                self.buckets[get.bucket].counters.count(Counter::JoinedGets);
                conn.join(open, get)
            }
            None => {
                let Some(conn) = self.begin(conn_id) else { return };
                if joinable {
                    let is_for_all = !conn.is_side && !conn.is_elder;
                    let opaque = conn.begin_get(get);
                    if let Some(host) = self.downstream.hosts.must_mut(host_id).filter(|_| is_for_all) {
                        host.open = Some(conn_id);
                    }
                    opaque
                } else {
                    conn.write_whole_get(get)
                }
            }
        };
        let Some(conn) = self.downstream.conns.must(conn_id) else { return };
        let end = conn.output.end();
        let behind = if speak == Protocol::Ascii && !joinable { LINE_END } else { 0 };
        self.enqueue(conn_id, get.entry(opaque, end, behind));
    }

    /// Where another request is written to that the connection takes; [`Engine::enqueue`] follows.
    pub(in crate::proxy) fn begin_request(&mut self, id: ConnId) -> Option<&mut Output> {
        self.begin(id).map(|conn| &mut conn.output)
    }

    /// The connection, ready for another request to be written to its output.
    #[inline]
    pub(super) fn begin(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.seal(id);
        let conn = self.downstream.conns.must_mut(id)?;
        conn.writer(&mut self.spare);
        Some(conn)
    }

    /// Notes that a reply is expected for what was just written to the connection's output.
    pub(in crate::proxy) fn enqueue(&mut self, id: ConnId, entry: Entry) {
        let Some(conn) = self.downstream.conns.must_mut(id) else { return };
        let (request_id, changes, is_own) = (entry.request, entry.expect.changes(), entry.expect.is_own());
        let is_first = conn.fifo.is_empty() && conn.state == State::Ready;
        let is_queued = conn.expect(entry);
        if is_own {
            conn.tally.add(Count::Own, 1);
        }
        conn.is_idle = false;
        let (host_id, is_for_dumps, is_side) = (conn.host, conn.is_for_dumps, conn.is_side);
        if !conn.is_dirty {
            conn.is_dirty = true;
            self.downstream.dirty.push(id);
        }
        if let Some(host) = self.downstream.hosts.must_mut(host_id).filter(|_| !is_for_dumps) {
            host.lane(is_side).fresh = Some(id);
        }
        // Questions of our own are no request.
        if let Some(request) = self.flight.requests.get_mut(request_id) {
            conn.wanted.up();
            request.await_from(host_id, id, changes);
            let client_id = request.client;
            let must_wait = request.note_queued(is_queued, self.now);
            let bucket = &self.buckets[request.bucket];
            bucket.counters.count(Counter::ConnAcquired);
            if is_queued {
                bucket.counters.count(Counter::ConnQueueAdd);
            }
            let queued_since = request.queued_since().unwrap_or_default();
            if let Some(client) = self.upstream.clients.must_mut(client_id) {
                if !is_for_dumps {
                    client.stick(host_id, id);
                }
                if must_wait {
                    self.arm_queued(client_id, queued_since);
                }
            }
        }
        if is_first && let Some(conn) = self.downstream.conns.must_mut(id) {
            conn.head_since = self.now;
            self.arm_conn(id);
        }
    }
}
