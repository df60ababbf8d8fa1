//! "Not my vbucket" (03 §18, 04 §11.4): a server says that a key is another's. The engine learns, and tries the next one.
//!
//! A request is sent at most 1 + 2 × servers times. From the second round on there is a short pause before each try:
//! the servers are about to agree on who is the master.
//!
//! Newer servers say in the body of a refusal who has what. If they do not, the next server is tried, and the cluster
//! manager is asked whether it knows more.

mod told;

pub(super) use told::Told;

use crate::buffer::Output;
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::packet::Packet;
use crate::stats::counter::Counter;

use super::downstream::{ConnId, Entry, Expect};
use super::error::Failure;
use super::host::HostId;
use super::request::{RequestId, Work};
use super::timers::{Micros, Owner};
use super::upstream::ClientId;
use super::{Action, Engine};

/// How long a request pauses between two tries, from its second round on.
const PAUSE: Micros = 20_000;

/// Where the vbucket id stands in a header.
const VBUCKET_AT: u64 = 6;

/// A request that pauses before it is sent again.
#[derive(Debug)]
pub(super) struct Paused {
    until: Micros,
    client: ClientId,
    request: RequestId,
    again: Again,
}

/// What is to be sent again.
#[derive(Debug)]
enum Again {
    /// These bytes, to the master of this vbucket.
    Packet { bytes: Output, vbucket: u16, entry: Entry },
    /// A get of this key, with or without the CAS id.
    Get { key: Vec<u8>, cas: bool },
    /// The refused keys of a multi-key get.
    Keys,
}

impl Engine {
    /// Whether the packet refuses a request that may be tried elsewhere. If so, this is noted: the caller takes the
    /// entry off and does not answer.
    pub(super) fn is_refusal(&mut self, id: ConnId, index: usize, packet: &Packet<'_>) -> bool {
        if packet.header.vbucket_or_status != status::NOT_MY_VBUCKET {
            return false;
        }
        let Some(entry) = self.conns.get(id).and_then(|conn| conn.fifo.get(index)).copied() else { return false };
        let Some(request) = self.requests.get(entry.request) else { return false };
        let bucket = request.bucket;
        let is_keyed = matches!(
            entry.expect,
            Expect::Get { .. }
                | Expect::MultiGet { .. }
                | Expect::One { .. }
                | Expect::Value { .. }
                | Expect::Packet { .. }
                | Expect::Quiet { .. }
        );
        is_keyed
            && self.buckets[bucket].config.router.vbucket_map().is_some()
            && (request.refusals as usize) < 2 * self.buckets[bucket].hosts.len()
    }

    /// Notes that the server of `host` has refused `vbucket`, and that it gave this as the reason.
    fn learn(&mut self, bucket: usize, vbucket: u16, host: HostId, body: &[u8]) {
        let told = self.told(bucket, host, body).and_then(|told| told.master(vbucket));
        let bucket = &self.buckets[bucket];
        let Some(map) = bucket.config.router.vbucket_map() else { return };
        let current = bucket.config.learned.master(vbucket).or_else(|| map.master(vbucket));
        let is_it = |index: usize| bucket.hosts.get(index) == Some(&host);
        // Who says that another has it, and means itself, knows nothing.
        let told = told.filter(|master| !is_it(*master));
        if told.is_none()
            && let Some(agent) = bucket.config.agent
        {
            self.actions.push(Action::Refresh(agent));
        }
        // A server may stand at several places; the one in question is the one that was asked.
        let refused_by = match current.filter(|current| is_it(*current)) {
            Some(current) => current,
            None => match bucket.hosts.iter().position(|other| *other == host) {
                Some(index) => index,
                None => return,
            },
        };
        let next = match told {
            Some(told) if current.is_none_or(|current| current == refused_by) => Some(told),
            // It was asked before somebody else has found the master.
            Some(_) => current,
            None => map.master_after_refusal(vbucket, current, refused_by),
        };
        if let Some(master) = next {
            bucket.config.learned.learn(vbucket, master);
        }
    }

    /// The request of entry `index`, which has just been refused with this body, is sent to another server.
    pub(super) fn try_elsewhere(&mut self, id: ConnId, index: usize, body: &[u8]) {
        let Some(conn) = self.conns.get(id) else { return };
        let (host, range) = (conn.host, conn.range(index));
        let Some(entry) = conn.fifo.get(index).copied() else { return };
        let mut vbucket = Vec::new();
        conn.output.read(range.start + VBUCKET_AT..range.start + VBUCKET_AT + 2, &mut vbucket);
        let vbucket = vbucket.first_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
        let again = match entry.expect {
            Expect::Get { key_at, key_len, .. } => {
                let mut key = Vec::new();
                conn.output.read(key_at..key_at + u64::from(key_len), &mut key);
                Again::Get { key, cas: false }
            }
            _ => {
                let mut bytes = Output::default();
                bytes.copy_from(&conn.output, range);
                Again::Packet { bytes, vbucket, entry }
            }
        };
        let Some(request) = self.unlink(id, index) else { return };
        let again = match again {
            Again::Get { key, .. } => {
                let (_, cas) = self.class(request);
                let Some(bucket) = self.requests.get(request).map(|request| request.bucket) else { return };
                let vbucket = self.buckets[bucket].config.router.route(&key).vbucket;
                self.learn_of(request, vbucket, host, body);
                Again::Get { key, cas }
            }
            other => {
                self.learn_of(request, vbucket, host, body);
                other
            }
        };
        self.pause_or_send(request, again);
    }

    /// A key of this vbucket was refused.
    pub(super) fn learn_of(&mut self, request: RequestId, vbucket: u16, host: HostId, body: &[u8]) {
        if let Some(bucket) = self.requests.get(request).map(|request| request.bucket) {
            self.count(bucket, Counter::RetryVbucket);
            self.count(bucket, Counter::Retry);
            self.learn(bucket, vbucket, host, body);
        }
    }

    /// All servers of a multi-key get have answered, and some have refused keys: those are asked for again. `false` if
    /// there are none, or it was tried often enough.
    pub(super) fn try_keys_elsewhere(&mut self, id: RequestId) -> bool {
        let Some(request) = self.requests.get(id) else { return false };
        let Work::MultiGet(multiget) = &request.work else { return false };
        if !multiget.has_refused() || request.failure.is_some() {
            return false;
        }
        if request.refusals as usize >= 2 * self.buckets[request.bucket].hosts.len() {
            return false;
        }
        self.pause_or_send(id, Again::Keys);
        true
    }

    fn pause_or_send(&mut self, id: RequestId, again: Again) {
        let Some(request) = self.requests.get_mut(id) else { return };
        request.refusals += 1;
        // Kept from being finished until it has been sent again.
        request.pending += 1;
        let is_first_round = (request.refusals as usize) < self.buckets[request.bucket].hosts.len();
        let (client, until) = (request.client, if is_first_round { self.now } else { self.now + PAUSE });
        if let Some(client) = self.clients.get_mut(client) {
            client.paused += 1;
        }
        // Sorted by time; at the same time, in the order in which they were refused.
        let place = self.paused.partition_point(|other| other.until <= until);
        if place == 0 || is_first_round {
            self.timers.add(until, Owner::Paused);
        }
        self.paused.insert(place, Paused { until, client, request: id, again });
    }

    /// Sends again what has paused for long enough.
    pub(super) fn resend_paused(&mut self) {
        while self.paused.front().is_some_and(|paused| paused.until <= self.now) {
            let Some(Paused { request: id, client, again, .. }) = self.paused.pop_front() else { break };
            if let Some(client_state) = self.clients.get_mut(client) {
                client_state.paused = client_state.paused.saturating_sub(1);
                if client_state.paused == 0 && client_state.stopped {
                    self.make_ready(client);
                }
            }
            let Some(request) = self.requests.get_mut(id) else { continue };
            let (bucket, is_done) = (request.bucket, request.is_done);
            request.pending = request.pending.saturating_sub(1);
            if is_done {
                continue;
            }
            match again {
                Again::Get { key, cas } => match self.route(bucket, &key) {
                    (Some(host), vbucket) => self.send_get(id, host, &key, vbucket, cas, 0),
                    (None, _) => self.fail(id, Failure::NoServer),
                },
                Again::Keys => self.send_refused_keys(id),
                Again::Packet { bytes, vbucket, entry } => self.resend_packet(id, &bytes, vbucket, &entry),
            }
        }
        if let Some(next) = self.paused.front() {
            self.timers.add(next.until, Owner::Paused);
        }
    }

    fn resend_packet(&mut self, id: RequestId, bytes: &Output, vbucket: u16, entry: &Entry) {
        let Some(request) = self.requests.get(id) else { return };
        let (client, bucket) = (request.client, &self.buckets[request.bucket]);
        let map = bucket.config.router.vbucket_map();
        let master = bucket.config.learned.master(vbucket).or_else(|| map.and_then(|map| map.master(vbucket)));
        let host = master.and_then(|master| bucket.hosts.get(master).copied());
        let conn_id = match host.ok_or(Failure::NoServer).and_then(|host| self.pick(client, host, false)) {
            Ok(conn) => conn,
            Err(failure) => return self.entry_failed(id, entry, host, failure),
        };
        let Some(conn) = self.begin(conn_id) else { return };
        let start = conn.output.end();
        conn.output.copy_from(bytes, 0..bytes.end());
        let end = conn.output.end();
        let mut expect = entry.expect;
        if let Expect::Value { key_at, key_len, .. } = &mut expect {
            // Only what has no value behind its key comes back here.
            *key_at = end - u64::from(*key_len);
        }
        let is_quiet = matches!(expect, Expect::Quiet { .. });
        if let Expect::Quiet { answered, .. } = &mut expect {
            *answered = false;
        }
        if matches!(entry.expect, Expect::Value { opcode, .. } | Expect::One { opcode } if is_foreign(opcode)) {
            conn.alone.push_back(start..end);
        }
        self.enqueue(conn_id, Entry { request: id, expect, end, retries: 0, ..*entry });
        if is_quiet {
            self.reclose_group(id, conn_id);
        }
    }
}

/// Whether memcached does not know the opcode (04 §8.6).
fn is_foreign(code: u8) -> bool {
    use crate::protocol::binary::opcode::{GETL, UNL};
    matches!(code, GETL | UNL)
}
