//! Gets and sets that nothing is in the way of: they are what most clients ask for, and what is needed for one of them is looked
//! up once, or not at all. Whatever is not usual goes the way of all commands.

use crate::buffer::Output;
use crate::metrics::counter::Counter;
use crate::protocol::ascii::request::{self, PlainSet};
use crate::protocol::binary::opcode;
use crate::protocol::binary::packet::{Header, Packet};
use crate::protocol::keyed::Keyed;
use crate::protocol::{Answered, Protocol, op};

use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::request::error::Failure;
use crate::proxy::request::{Request, RequestId, Requests, Work};
use crate::proxy::timers::Micros;
use crate::proxy::upstream::binary_request::write_packet;
use crate::proxy::upstream::{Caller, Client, ClientId};
use crate::routing::Router;
use crate::sums::Count as _;

use super::Expect;
use super::dispatch::Get;
use super::host::Dialect;

impl Requests {
    /// The request of a get of one key in a line of so many bytes, which holds a place already, at the end of the client's.
    #[inline(always)] // into each of the two that call it
    fn get<'a>(
        &'a mut self,
        caller: &Caller,
        client: &mut Client,
        bucket: &mut Bucket,
        (key, length): (&[u8], usize),
        now: Micros,
    ) -> (RequestId, &'a mut Request) {
        bucket.count_get(key.len(), length);
        let (id, request) = self.requests.place(Request::get(caller, client.next_sequence(), now));
        if let Some(watch) = &mut bucket.watch {
            request.note = watch.get(key, length, now, &mut self.notes);
        }
        client.owe(id, Answered::Always, now);
        (id, request)
    }
}

impl Engine {
    /// A get of one key, in a line of so many bytes, that nothing is in the way of. Its place is taken already.
    pub(in crate::proxy) fn get_straight(&mut self, caller: &Caller, key: &[u8], length: usize) {
        let Caller { client: client_id, bucket: bucket_id, .. } = *caller;
        let Some(client) = self.upstream.clients.must_mut(client_id) else { return };
        let bucket = &mut self.buckets[bucket_id];
        let (host_id, vbucket) = bucket.route(key);
        let (request_id, _) = self.flight.get(caller, client, bucket, (key, length), self.now);
        let get =
            Get { request: request_id, client: client_id, bucket: bucket_id, key, vbucket, cas: false, retries: 0 };
        let Some(host_id) = host_id else { return self.fail(request_id, Failure::NoServer) };
        self.send_get(host_id, &get);
    }

    /// The same if it is all that was just read from the client, which is at rest otherwise, and the get for its server is
    /// open: it joins that, and whatever is needed is looked up once. `false`: it is something else.
    pub(in crate::proxy) fn join_get(&mut self, client_id: ClientId) -> bool {
        self.try_join(client_id).is_some()
    }

    #[inline(always)] // it is all that `join_get` does
    fn try_join(&mut self, client_id: ClientId) -> Option<()> {
        if !self.downstream.has_dirty() {
            return None; // no get is open
        }
        let text = self.upstream.reading.data();
        let (key, length) = request::plain_get(text).filter(|(_, length)| *length == text.len())?;
        let client = self.upstream.clients.must_mut(client_id)?;
        let bucket_id = client.bucket().filter(|_| !self.is_tracing && !self.downstream.has_lost())?;
        let bucket = &mut self.buckets[bucket_id];
        if !(bucket.goes_straight() && bucket.config.behavior.join_gets) {
            return None;
        }
        client.begins_anew(bucket, &self.flight.requests).then_some(())?;
        let (host_id, vbucket) = bucket.route(key);
        let host_id = host_id?;
        let conn_id = self.downstream.hosts.must(host_id)?.open?;
        let conn = self.downstream.conns.must_mut(conn_id)?;
        let open = conn.joinable()?;
        // Nothing is in the way. With the get that it joins, its connection is on all lists already.
        bucket.active.up();
        let caller = Caller { client: client_id, bucket: bucket_id, named: None };
        let (request_id, request) = self.flight.get(&caller, client, bucket, (key, length), self.now);
        let get =
            Get { request: request_id, client: client_id, bucket: bucket_id, key, vbucket, cas: false, retries: 0 };
        bucket.counters.count(Counter::JoinedGets);
        let opaque = conn.join(open, &get);
        let entry = get.entry(opaque, conn.output.end(), 0);
        let is_queued = conn.expect(entry);
        conn.wanted.up();
        request.await_from(host_id, conn_id, false);
        client.stick(host_id, conn_id);
        bucket.counters.count(Counter::ConnAcquired);
        if request.note_queued(is_queued, self.now) {
            bucket.counters.count(Counter::ConnQueueAdd);
            self.arm_queued(client_id, self.now);
        }
        Some(())
    }

    /// A set that nothing is in the way of. Its place is taken already.
    pub(in crate::proxy) fn set_straight(&mut self, caller: &Caller, set: &PlainSet<'_>) {
        let (store, op) = (set.store, op::of(opcode::SET));
        let bucket = &self.buckets[caller.bucket];
        bucket.count_set(set.length);
        let (host, vbucket) = bucket.route(store.key);
        let id = self.one(caller, Work::Line(op.class), Answered::Always, op.may_repeat(false));
        let Some(host) = host else { return self.fail(id, Failure::NoServer) };
        self.take_over(caller.client, host, Some(store.key));
        match self.pick(caller.client, host, false) {
            Ok(conn) => self.write_on(conn, id, |speak, out: &mut Output| {
                match (speak, set.as_it_is) {
                    (Protocol::Ascii, Some(line)) => out.tail().extend_from_slice(line),
                    _ => {
                        Keyed::Store(store).write(speak, out, vbucket);
                    }
                }
                (Expect::One { opcode: opcode::SET }, u32::from(vbucket))
            }),
            Err(failure) => self.fail(id, failure),
        }
    }

    /// A packet for one key, if nothing is in the way of it, and the commands of its server are known. `None`: it is something
    /// else.
    #[inline]
    pub(in crate::proxy) fn packet_straight(&mut self, caller: &Caller, packet: &Packet<'_>) -> Option<()> {
        let Header { opcode, opaque, cas, .. } = packet.header;
        let op = op::of(opcode);
        (matches!(opcode, opcode::GET | opcode::GETK | opcode::SET) && op.fits(packet)).then_some(())?;
        self.upstream.clients.must(caller.client).filter(|client| client.packet_goes_straight())?;
        let bucket = &mut self.buckets[caller.bucket];
        (bucket.goes_straight() && bucket.watch.is_none()).then_some(())?;
        let (host, vbucket) = bucket.route(packet.key);
        let host = host.filter(|host| self.downstream.dialect(*host).is_none_or(Dialect::is_settled))?;
        let has_map = matches!(bucket.config.router, Router::Vbucket(_));
        if op.changes() {
            self.take_over(caller.client, host, Some(packet.key));
        }
        let conn = self.pick(caller.client, host, false);
        if conn.is_ok_and(|conn| self.speak(conn) != self.downstream.protocol(host)) {
            return None; // there its work for the server is, and not every packet can be told
        }
        // Nothing is in the way.
        self.buckets[caller.bucket].active.up();
        let id = self.one(caller, Work::Packet { opcode, opaque }, Answered::Always, op.may_repeat(cas != 0));
        match conn {
            Ok(conn) if self.speak(conn) == Protocol::Binary => self.write_on(conn, id, |_, out| {
                write_packet(out, packet, has_map.then_some(vbucket));
                (Expect::Packet { opcode }, opaque)
            }),
            Ok(conn) => self.put_packet(id, conn, packet, vbucket, 0),
            Err(failure) => self.not_sent(id, packet, failure, Some(host)),
        }
        Some(())
    }
}
