//! "Not my vbucket" (03 §18, 04 §11.4): a server says that a key is another's. The engine learns, and tries the next one.
//!
//! A request is sent at most 1 + 2 × servers times. From the second round on there is a short pause before each try:
//! the servers are about to agree on who is the master.
//!
//! Newer servers say in the body of a refusal who has what. If they do not, the next server is tried, and the cluster
//! manager is asked whether it knows more.
//!
//! A client's requests for one key are carried out in their order all the same: what was refused is sent again request
//! by request, oldest first, and nothing new is sent meanwhile.

mod told;

pub(in crate::proxy) use told::Told;

use std::collections::VecDeque;

use crate::buffer::Output;
use crate::metrics::counter::Counter;
use crate::protocol::Protocol;
use crate::protocol::binary::opcode::status;
use crate::protocol::binary::packet::{HEADER, Header, Packet};

use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{ConnId, Entry, Expect, Written};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::timers::{Micros, Owner};
use crate::proxy::upstream::ClientId;
use crate::proxy::{Action, Engine};
use crate::sums::{Count as _, behind};

/// How long a request pauses between two tries, from its second round on.
const PAUSE: Micros = 20_000;

/// Something that was refused and is to be sent again.
#[derive(Debug)]
pub struct Refused {
    /// Not before.
    until: Micros,
    request: RequestId,
    /// The request's number among the client's.
    sequence: u64,
    again: Again,
}

/// What is to be sent again.
#[derive(Debug)]
enum Again {
    /// These bytes, to the master of this vbucket.
    Packet { bytes: Output, vbucket: u16, entry: Entry },
    /// A get of this key.
    Get { key: Vec<u8> },
    /// The refused keys of a multi-key get.
    Keys,
}

/// What servers have refused of a client's requests.
#[derive(Debug, Default)]
pub struct Refusals {
    /// What is to be sent again, oldest request first.
    waiting: VecDeque<Refused>,
    /// The request that is under way again. Nothing may overtake it.
    retried: Option<RequestId>,
}

impl Refusals {
    /// Whether nothing is to be sent again.
    #[inline]
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The request that is under way again, or was.
    #[inline]
    pub(in crate::proxy) fn retried(&self) -> Option<RequestId> {
        self.retried
    }

    /// The expected replies to packets of this request that are to be sent again.
    pub(in crate::proxy) fn entries(&self, id: RequestId) -> impl Iterator<Item = &Entry> {
        self.waiting.iter().filter_map(move |refused| refused.entry(id))
    }

    fn add(&mut self, refused: Refused) {
        let place = self.waiting.partition_point(|other| other.sequence <= refused.sequence);
        self.waiting.insert(place, refused);
    }

    /// The oldest of these requests that still waits for an answer.
    fn oldest(&mut self, is_open: impl Fn(&RequestId) -> bool) -> Option<RequestId> {
        while self.waiting.front().is_some_and(|front| !is_open(&front.request)) {
            self.waiting.pop_front();
        }
        self.waiting.front().map(|front| front.request)
    }

    /// The next part of this request, which is under way again from now on.
    fn next_part(&mut self, id: RequestId) -> Option<Refused> {
        self.retried = Some(id);
        match self.waiting.front() {
            Some(front) if front.request == id => self.waiting.pop_front(),
            _ => None,
        }
    }
}

impl Refused {
    /// The expected reply to a packet of this request.
    fn entry(&self, id: RequestId) -> Option<&Entry> {
        match &self.again {
            Again::Packet { entry, .. } if self.request == id => Some(entry),
            _ => None,
        }
    }
}

impl Engine {
    /// Whether the packet refuses a request that may be tried elsewhere. If so, this is noted: the caller takes the
    /// entry off and does not answer.
    #[inline]
    pub(in crate::proxy) fn is_refusal(&mut self, id: ConnId, index: usize, packet: &Packet<'_>) -> bool {
        packet.header.vbucket_or_status == status::NOT_MY_VBUCKET && self.is_to_be_tried_elsewhere(id, index)
    }

    fn is_to_be_tried_elsewhere(&mut self, id: ConnId, index: usize) -> bool {
        let Some(entry) = self.downstream.conns.must(id).and_then(|conn| conn.entry(index)).copied() else {
            return false;
        };
        // It may have been given up: nobody wants it tried elsewhere.
        let Some(request) = self.flight.requests.get(entry.request) else { return false };
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
            && usize::from(request.refusals) < self.buckets[bucket].hosts.len().saturating_mul(2)
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
    pub(in crate::proxy) fn try_elsewhere(&mut self, id: ConnId, index: usize, body: &[u8]) {
        let Some(conn) = self.downstream.conns.must(id) else { return };
        let (host, range) = (conn.host(), conn.range(index));
        let Some(entry) = conn.entry(index).copied() else { return };
        // It is wanted, or its refusal would not have been looked at.
        let Some(bucket) = self.flight.requests.must(entry.request).map(|request| request.bucket) else { return };
        let (again, vbucket) = match entry.expect {
            Expect::Get { key_at, key_len, .. } => {
                let mut key = Vec::new();
                conn.read_asked(key_at..behind(key_at, key_len.into()), &mut key);
                let vbucket = self.buckets[bucket].config.router.route(&key).vbucket;
                (Again::Get { key }, vbucket)
            }
            mut expect => {
                if let Expect::Quiet { answered, .. } = &mut expect {
                    *answered = false;
                }
                let mut head = Vec::new();
                conn.read_asked(range.start..behind(range.start, HEADER), &mut head);
                let vbucket = head.first_chunk().map_or(0, |head| Header::parse(head).vbucket_or_status);
                let entry = Entry { expect: expect.moved(range.start, 0), retries: 0, ..entry };
                (Again::Packet { bytes: conn.request(index), vbucket, entry }, vbucket)
            }
        };
        let Some(request) = self.unlink(id, index) else { return };
        self.mix_replies(request);
        self.learn_of(request, vbucket, host, body);
        self.send_again(request, again);
    }

    /// A key of this vbucket was refused.
    pub(in crate::proxy) fn learn_of(&mut self, request: RequestId, vbucket: u16, host: HostId, body: &[u8]) {
        if let Some(bucket) = self.flight.requests.must(request).map(|request| request.bucket) {
            self.count(bucket, Counter::RetryVbucket);
            self.count(bucket, Counter::Retry);
            self.learn(bucket, vbucket, host, body);
        }
    }

    /// Keys of this multi-key get were refused: they are asked for again when all its servers have answered.
    pub(in crate::proxy) fn send_keys_again(&mut self, id: RequestId) {
        self.send_again(id, Again::Keys);
    }

    /// Notes that this is to be sent again: at once in the first round, later after a pause.
    fn send_again(&mut self, id: RequestId, again: Again) {
        let Some(request) = self.flight.requests.must_mut(id) else { return };
        // Kept from being finished until it has been sent again.
        request.pending.up();
        request.refused.up();
        let is_first_round = usize::from(request.refusals) + 1 < self.buckets[request.bucket].hosts.len();
        let until = if is_first_round { self.now } else { self.now.saturating_add(PAUSE) };
        let (client_id, sequence) = (request.client, request.sequence);
        let Some(client) = self.upstream.clients.must_mut(client_id) else { return };
        if client.refused().is_empty() {
            self.flight.refused.push(client_id);
        }
        client.refused_mut().add(Refused { until, request: id, sequence, again });
        if is_first_round {
            self.flight.is_refused_due = true;
        } else {
            self.timers.add(until, Owner::Refused);
        }
    }

    /// Sends again what has been refused, as far as it is time.
    pub(in crate::proxy) fn resend_refused(&mut self) {
        self.flight.is_refused_due = false;
        for client in std::mem::take(&mut self.flight.refused) {
            while let Some(request) = self.next_refused(client) {
                self.resend_request(client, request);
            }
            if self.upstream.clients.get(client).is_some_and(|client| !client.refused().is_empty()) {
                self.flight.refused.push(client);
            }
        }
    }

    /// Which of the client's refused requests may be sent again now.
    ///
    /// They go one by one, and as a whole: the next one only when the one before has been answered. So they stay in
    /// their order even if their vbucket moves meanwhile.
    fn next_refused(&mut self, id: ClientId) -> Option<RequestId> {
        // It may have gone while its requests paused.
        let client = self.upstream.clients.get_mut(id)?;
        // It may have been given up while it paused.
        let is_open = |id: &RequestId| self.flight.requests.get(*id).is_some_and(|request| !request.is_done);
        let refused = client.refused_mut();
        let Some(next) = refused.oldest(is_open) else {
            self.wake_client(id);
            return None;
        };
        // Not under way: it was refused again, and stands in the list.
        let is_under_way = |id: &RequestId| {
            is_open(id) && self.flight.requests.must(*id).is_some_and(|request| request.pending > request.refused)
        };
        let is_its_turn = refused.retried.filter(is_under_way).is_none_or(|retried| retried == next);
        let is_whole = self.flight.requests.must(next).is_some_and(|request| request.pending == request.refused);
        let mut parts = refused.waiting.iter().take_while(|refused| refused.request == next);
        let is_time = parts.all(|refused| refused.until <= self.now);
        (is_its_turn && is_whole && is_time).then_some(next)
    }

    /// Sends again what has been refused of this request.
    fn resend_request(&mut self, client_id: ClientId, id: RequestId) {
        let Some(bucket) = self.flight.requests.must_mut(id).map(|request| {
            request.refusals = request.refusals.saturating_add(1);
            request.bucket
        }) else {
            return;
        };
        self.view(bucket);
        let mut groups = Vec::new();
        // A client that has gone is forgotten when the last of its requests has failed, which may be this one.
        while let Some(client) = self.upstream.clients.get_mut(client_id) {
            let Some(refused) = client.refused_mut().next_part(id) else { break };
            // A part that was sent again before may have failed, and the request with it.
            let Some(request) = self.flight.requests.get_mut(id).filter(|request| !request.is_done) else { continue };
            request.pending = request.pending.saturating_sub(1);
            request.refused = request.refused.saturating_sub(1);
            match refused.again {
                Again::Get { key } => self.get_again(id, None, &key, 0),
                Again::Keys => self.send_refused_keys(id),
                Again::Packet { bytes, vbucket, entry } => {
                    let sent_on = self.resend_packet(id, &bytes, vbucket, &entry);
                    let is_quiet = matches!(entry.expect, Expect::Quiet { .. });
                    groups.extend(sent_on.filter(|conn| is_quiet && !groups.contains(conn)));
                }
            }
        }
        for conn in groups {
            self.reclose(id, conn);
        }
    }

    /// Sends a packet again, to the master of its vbucket; gives the connection.
    fn resend_packet(&mut self, id: RequestId, bytes: &Output, vbucket: u16, entry: &Entry) -> Option<ConnId> {
        let bucket = &self.buckets[self.flight.requests.must(id)?.bucket];
        let map = bucket.config.router.vbucket_map();
        let master = bucket.masters.learned(vbucket).or_else(|| map.and_then(|map| map.master(vbucket)));
        // The bytes are a packet's: a server that speaks otherwise has no use for them.
        let host = master
            .and_then(|master| bucket.hosts.get(master).copied())
            .filter(|host| self.downstream.protocol(*host) == Protocol::Binary);
        let Some(host) = host else {
            self.entry_failed(id, entry, None, Failure::NoServer);
            return None;
        };
        let written = Written { bytes, range: 0..bytes.end(), entry: *entry, speak: Protocol::Binary };
        self.write_again(id, host, &written)
    }
}
