//! A client's input, request by request: what may go on, what must wait.

use crate::arena::Arena;
use crate::buffer::Input;
use crate::protocol::ascii::meta;
use crate::protocol::ascii::request::{self, Parsed};
use crate::protocol::binary::breach::Breach;
use crate::protocol::binary::packet::is_binary;
use crate::protocol::{Answered, Protocol, trace};
use crate::routing::Router;

use crate::proxy::bucket::Bucket;
use crate::proxy::request::Request;
use crate::proxy::upstream::{Admission, Caller, Client, ClientId, Phase, Service, Upstream};
use crate::proxy::{Action, Engine};
use crate::sums::{Count as _, before, sum};

/// What became of a request that was just parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Verdict {
    /// It is under way or answered; its bytes are no longer needed.
    Taken,
    /// It has to wait for a place; its bytes stay.
    Wait,
}

/// What became of the bytes at the beginning of a client's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Progress {
    /// So many of them are done with.
    Taken(usize),
    /// Nothing can be said before there are so many of them.
    Short(usize),
    /// They are a request that has to wait.
    Waits,
}

impl Client {
    /// Whether its next request has to wait for those before it.
    fn must_wait(&mut self, bucket: &mut Bucket, requests: &Arena<Request>) -> bool {
        let behavior = &bucket.config.behavior;
        let count = sum([self.order.len(), self.quiet.len()]) as u64;
        let unsent = self.output.unsent();
        if self.is_retrying(requests)
            || count > 0 && count >= u64::from(behavior.upstream_requests_max) && self.open_batch(requests).is_none()
            || unsent > 0 && unsent >= behavior.upstream_output_max
        {
            return true;
        }
        bucket.masters.update(&bucket.config.learned);
        let view = bucket.masters.view();
        if self.unanswered == 0 {
            self.view = view;
        }
        // It may go elsewhere than one before it for the same key, and would overtake it.
        self.view != view
    }

    /// Whether something that it has sent before is still to be sent again, or may yet be carried out elsewhere.
    fn is_retrying(&self, requests: &Arena<Request>) -> bool {
        // (What was retried may be answered and forgotten.)
        self.parting > 0
            || !self.refused.is_empty()
            || self.refused.retried().and_then(|id| requests.get(id)).is_some_and(|request| !request.is_done)
    }

    /// Whether nothing of its own is in the way of its next request.
    fn goes_straight(&self) -> bool {
        !self.is_deaf && self.admission == Admission::Unasked && self.waits_since.is_none()
    }

    /// The same for a packet that is not quiet: it closes no others, and nothing was asked for its sake.
    #[inline]
    pub(in crate::proxy) fn packet_goes_straight(&self) -> bool {
        self.goes_straight() && self.batch().is_none() && self.asked.is_empty()
    }

    /// Whether it has sent nothing before what is at hand that could have to do with it, and that is a line. Then it goes by
    /// what is known of the bucket's servers now.
    #[inline]
    pub(in crate::proxy) fn begins_anew(&mut self, bucket: &mut Bucket, requests: &Arena<Request>) -> bool {
        let owes_nothing = self.quiet.is_empty() && self.is_settled() && self.is_free();
        let is_plain = self.phase == Phase::Open && self.protocol == Some(Protocol::Ascii) && self.swallow == 0;
        let is_anew = is_plain && owes_nothing && self.goes_straight() && !self.is_retrying(requests);
        if is_anew {
            bucket.masters.update(&bucket.config.learned);
            self.view = bucket.masters.view();
        }
        is_anew
    }
}

impl Bucket {
    /// Whether a get needs no more than to be sent.
    #[inline]
    pub(in crate::proxy) fn goes_straight(&self) -> bool {
        self.front.is_none() && !self.hosts.is_empty() && self.has_room()
    }
}

impl Engine {
    /// Looks again at those clients that can go on, and adds their names to `looked_at`.
    pub(in crate::proxy) fn pump_ready(&mut self, looked_at: &mut Vec<ClientId>) {
        let ready = std::mem::take(&mut self.upstream.ready);
        for id in &ready {
            // Some have gone since they were put on the list.
            if let Some(client) = self.upstream.clients.get_mut(*id) {
                client.is_ready = false;
                client.stopped = false;
                self.pump(*id);
                looked_at.push(*id);
            }
        }
        if self.upstream.ready.is_empty() && ready.capacity() > 0 {
            self.upstream.ready = ready;
            self.upstream.ready.clear();
        }
    }

    /// Handles as many of the client's requests as may be handled now. Tells whether its bytes end inside one.
    pub(in crate::proxy) fn pump(&mut self, id: ClientId) -> bool {
        let Some(client) = self.upstream.clients.must_mut(id) else { return false };
        let mut input = std::mem::take(&mut client.input);
        self.pump_input(id, &mut input)
    }

    /// The same with `input`, which is all that is there of the client.
    pub(super) fn pump_input(&mut self, id: ClientId, input: &mut Input) -> bool {
        let Some(client) = self.upstream.clients.must_mut(id) else { return false };
        if self.downstream.has_lost() {
            // What has to be sent again goes before what comes now.
            client.input = std::mem::take(input);
            self.make_ready(id);
            return false;
        }
        client.is_pumped = true;
        let mut budget = self.settings.requests_per_turn.max(1);
        while if self.is_tracing { self.step_traced(id, input) } else { self.step(id, input) } {
            budget = budget.saturating_sub(1);
            // Quiet packets and what closes them count as one request.
            if budget == 0 && self.open_batch(id).is_none() {
                if input.is_worth_parsing() {
                    self.count_yield(id);
                    self.make_ready(id);
                }
                break;
            }
        }
        let Upstream { clients, reading, buffers, .. } = &mut self.upstream;
        let Some(client) = clients.must_mut(id) else { return false };
        if client.phase == Phase::Quitting {
            input.consume(usize::MAX);
        }
        let is_midway = !input.is_empty() && !client.stopped && !client.is_ready;
        let left = std::mem::take(input);
        match left.is_empty() {
            true => reading.inherit(left, buffers),
            false => client.input = left,
        }
        client.is_pumped = false;
        if client.is_settled() {
            self.settle_client(id);
        }
        is_midway
    }

    /// The same as [`Engine::step`], and shows the request in the log.
    #[cold]
    fn step_traced(&mut self, id: ClientId, input: &mut Input) -> bool {
        // A refused value comes first; it is dropped together with the request behind it.
        let swallow = self.upstream.clients.must(id).map_or(0, |client| {
            let swallow = match &client.service {
                Service::Bucket(_) => client.swallow,
                Service::Memcached(session) => session.swallow(),
            };
            swallow.min(input.len() as u64) as usize
        });
        let request = trace::shown(input.data().get(swallow..).unwrap_or_default());
        let (length, at) = (input.len(), self.actions.len());
        let goes_on = self.step(id, input);
        if sum([input.len(), swallow]) < length {
            self.actions.insert(at, Action::Trace(id, request));
        }
        goes_on
    }

    /// Handles one request; `false` when nothing more can be done now.
    #[inline(always)] // into the loop, although it has two callers
    fn step(&mut self, id: ClientId, input: &mut Input) -> bool {
        let Some(client) = self.upstream.clients.must_mut(id) else { return false };
        if client.phase == Phase::Quitting {
            return false;
        }
        let Service::Bucket(bucket_id) = client.service else { return self.step_memcached(id, input) };
        if client.swallow > 0 {
            let count = usize::try_from(client.swallow).unwrap_or(usize::MAX).min(input.len());
            input.consume(count);
            client.swallow = before(client.swallow, count as u64);
        }
        if !input.is_worth_parsing() {
            return false;
        }
        let bucket = &mut self.buckets[bucket_id];
        if client.must_wait(bucket, &self.flight.requests) {
            client.stopped = true;
            return false;
        }
        let caller = Caller { client: id, bucket: bucket_id, named: None };
        let is_named = matches!(bucket.config.router, Router::Named);
        match client.protocol {
            None => {
                client.protocol = Some(if is_binary(input.data()) { Protocol::Binary } else { Protocol::Ascii });
                return true;
            }
            Some(Protocol::Binary) => {
                let goes_on = self.step_binary(&caller, input);
                return self.note_taken(id, goes_on);
            }
            Some(Protocol::Ascii) => {}
        }
        let value_max = bucket.config.behavior.value_max;
        if !is_named && client.goes_straight() && bucket.goes_straight() {
            let text = input.data();
            let is_set = text.starts_with(b"s");
            if let Some((key, length)) = request::plain_get(text) {
                bucket.active.up();
                self.get_straight(&caller, key, length);
                input.consume(length);
                return !input.is_empty();
            }
            if is_set
                && let Some(set) = request::plain_set(input.value(), value_max)
                && bucket.watch.is_none()
                && bucket.optimize_set.is_empty()
            {
                bucket.active.up();
                self.set_straight(&caller, &set);
                input.consume(set.length);
                return !input.is_empty();
            }
        }
        let goes_on = match is_named {
            true => self.step_named(&caller, input, value_max),
            false => self.step_ascii(&caller, input, value_max),
        };
        self.note_taken(id, goes_on)
    }

    /// Handles one line with what belongs to it.
    fn step_ascii(&mut self, caller: &Caller, input: &mut Input, value_max: u64) -> bool {
        let text = input.value();
        let (mut scanned, mut room) = (input.scanned, meta::key::KeyRoom::default());
        let is_meta = matches!(text.first(), Some(b'm' | b' '));
        let progress = match is_meta.then(|| meta::request::parse(text, &mut room, &mut scanned, value_max)).flatten() {
            Some(parsed) => self.carry_out_meta(caller, &text, parsed),
            None => {
                let parsed = request::parse(text, &mut scanned, value_max);
                self.carry_out(caller, &text, parsed)
            }
        };
        self.advance(caller, input, scanned, progress)
    }

    /// Carries out what was found at the beginning of a client's bytes, `text`.
    pub(in crate::proxy) fn carry_out(&mut self, caller: &Caller, text: &[u8], parsed: Parsed<'_>) -> Progress {
        match parsed {
            Parsed::Incomplete { need } => Progress::Short(need),
            Parsed::Request { request, answered, len } => {
                self.watch_line(caller.bucket, &request);
                if self.ascii_request(caller, &request, answered) == Verdict::Wait {
                    return Progress::Waits;
                }
                self.count_request(caller.bucket, &request, answered, len);
                self.line_taken(caller.bucket, &request, answered, len);
                Progress::Taken(len)
            }
            Parsed::Rejected { reply, answered, len } => {
                self.refuse_line(caller, text, answered, reply);
                Progress::Taken(len)
            }
            Parsed::ValueRefused { reply, answered, len, swallow } => {
                self.refuse_line(caller, text, answered, reply);
                if let Some(client) = self.upstream.clients.must_mut(caller.client) {
                    client.swallow = swallow;
                }
                Progress::Taken(len)
            }
            Parsed::Http => {
                self.count_refused(caller.bucket, text, Answered::Always, request::ERROR);
                self.expel(caller.client, Breach::Http);
                Progress::Taken(text.len())
            }
            Parsed::LineTooLong => {
                self.local_reply(caller, |out| out.extend_from_slice(request::LINE_TOO_LONG));
                self.quit(caller.client);
                Progress::Taken(text.len())
            }
        }
    }

    /// Takes from a client's input what was carried out; `false` when nothing more can be done now. So many bytes were
    /// looked at in vain, if it is not all there.
    pub(in crate::proxy) fn advance(
        &mut self,
        caller: &Caller,
        input: &mut Input,
        scanned: usize,
        progress: Progress,
    ) -> bool {
        match progress {
            Progress::Taken(len) => {
                input.consume(len);
                true
            }
            Progress::Short(need) => {
                input.scanned = scanned;
                input.expect(need, &mut self.upstream.buffers);
                false
            }
            Progress::Waits => self.note_waiting(caller.client),
        }
    }

    /// A client's line is refused with `reply`.
    pub(in crate::proxy) fn refuse_line(
        &mut self,
        caller: &Caller,
        line: &[u8],
        answered: Answered,
        reply: &'static [u8],
    ) {
        self.count_refused(caller.bucket, line, answered, reply);
        self.local_text(caller, answered, |out| out.extend_from_slice(reply));
    }

    /// The client's requests so far are the last ones.
    pub(in crate::proxy) fn quit(&mut self, id: ClientId) {
        if let Some(client) = self.upstream.clients.must_mut(id) {
            client.phase = Phase::Quitting;
            self.note_parting(id);
        }
    }

    /// The client has broken the rules of its protocol: it gets what it is owed, and is closed.
    pub(in crate::proxy) fn expel(&mut self, id: ClientId, breach: Breach) {
        self.actions.push(Action::Breach(id, breach));
        self.quit(id);
    }
}
