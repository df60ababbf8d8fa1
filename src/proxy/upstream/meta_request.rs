//! What each meta command of an ASCII client does (04 §20).
//!
//! It goes to the server as it is if that knows meta commands, else as a classic command or a packet that does the same; a
//! get then travels as any other, joined with those of other clients. (Not to servers that know meta commands: a `get` does
//! not tell that an item is stale.) The front cache answers those that ask for nothing which it does not have.

use crate::buffer::Input;
use crate::protocol::Protocol;
use crate::protocol::ascii::meta::command;
use crate::protocol::ascii::meta::request::{self, Meta, Parsed, Verb};
use crate::protocol::ascii::{answer, meta};
use crate::protocol::older::{self, Plan, misfit};
use crate::protocol::op;

use crate::proxy::Engine;
use crate::proxy::downstream::dispatch::{Get, OneKey};
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{Entry, Expect};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::ClientId;
use crate::proxy::upstream::mcmux::destination::{Allowed, Scope};
use crate::proxy::upstream::pump::{Admit, Verdict};

/// The flags of a get that can be answered if only the value is known, and what the client keeps with it.
const PLAIN: &[u8] = b"vfskOqb";

impl Engine {
    /// Handles the client's next request if it is a meta command. `None`: it is none, or its line is not all there; else the
    /// same as [`Engine::step_ascii`].
    pub(in crate::proxy) fn step_meta(&mut self, id: ClientId, input: &mut Input, scope: Scope) -> Option<bool> {
        let Scope { skip, allowed } = scope;
        let bucket = self.upstream.clients.get(id)?.bucket;
        let value_max = self.buckets.get(bucket)?.config.behavior.value_max;
        let mut scanned = input.scanned.saturating_sub(skip);
        let all = input.value();
        let text = all.bytes.get(skip..)?;
        let (reply, len, swallow) = match request::parse(all.with(text), &mut scanned, value_max)? {
            Parsed::Incomplete { need } => {
                input.scanned = scanned + skip;
                input.expect(need + skip, &mut self.upstream.buffers);
                return Some(false);
            }
            Parsed::Request { meta, len } if allowed.permits(&meta) => {
                self.watch_meta(id, &meta);
                if self.meta_request(id, &meta) == Verdict::Wait {
                    return Some(self.note_waiting(id));
                }
                self.count_meta(id, &meta, len);
                self.meta_taken(id, &meta, len);
                input.consume(len + skip);
                return Some(true);
            }
            Parsed::Request { len, .. } => (answer::ERROR, len, 0),
            Parsed::Refused { reply, len, swallow } => (reply, len, swallow),
            Parsed::TooLarge { len, swallow, .. } => (request::TOO_LARGE, len, swallow),
        };
        let reply = if allowed == Allowed::All { reply } else { answer::ERROR };
        self.count_refused(id, text, false, reply);
        self.local_reply(id, |out| out.extend_from_slice(reply));
        self.upstream.clients.get_mut(id)?.swallow = swallow;
        input.consume(len + skip);
        Some(true)
    }

    /// Answers a meta command or sends it on its way.
    fn meta_request(&mut self, id: ClientId, meta: &Meta<'_>) -> Verdict {
        if meta.verb == Verb::Noop {
            self.local_reply(id, |out| out.extend_from_slice(meta::answer::NOOP));
            return Verdict::Taken;
        }
        if meta.is_read() && self.is_deaf(id) {
            return Verdict::Taken;
        }
        if let Some(failure) = self.no_servers(id) {
            self.refuse_meta(id, meta, failure);
            return Verdict::Taken;
        }
        if !self.knows_dialects(id, Some(meta.key.name()), false) {
            return Verdict::Wait;
        }
        match self.admit(id) {
            Admit::Wait => return Verdict::Wait,
            Admit::Go => self.send_meta(id, meta),
            Admit::TooLate => self.refuse_meta(id, meta, Failure::WaitQueue),
        }
        Verdict::Taken
    }

    /// A meta command that cannot be sent.
    fn refuse_meta(&mut self, id: ClientId, meta: &Meta<'_>, failure: Failure) {
        let work = self.flight.keep(meta);
        let request = self.new_request(id, work, false);
        self.fail(request, failure);
    }

    /// Sends a meta command that has a place.
    fn send_meta(&mut self, id: ClientId, meta: &Meta<'_>) {
        let key = meta.key.name();
        let work = self.flight.keep(meta);
        // What marks items or lets one client win is another thing the second time.
        let may_repeat = meta.is_read()
            || meta.options.vivify.is_none()
                && meta.options.recache.is_none()
                && !meta.options.invalidates
                && Plan::of(meta).is_some_and(|plan| op::of(plan.opcode()).may_repeat(meta.options.cas.is_some()));
        let request = self.one(id, work, false, may_repeat);
        let Some(bucket) = self.upstream.clients.get(id).map(|client| client.bucket) else { return };
        if self.buckets[bucket].front.is_some() && is_plain(meta) && self.get_cached(request, bucket, key, false) {
            return;
        }
        let (host, vbucket) = self.route(bucket, key);
        let Some(host) = host else { return self.fail(request, Failure::NoServer) };
        if self.takes_meta(host, meta) {
            return self.send_meta_line(host, request, meta);
        }
        let speak = self.downstream.hosts.get(host).map_or(Protocol::Binary, |host| host.server.protocol);
        if let Some(letter) = misfit(meta, speak) {
            return self.reply(request, None, |out, _| older::refuse(out.tail(), letter));
        }
        match Plan::of(meta) {
            Some(plan) => {
                let one = OneKey { request, key, code: plan.opcode(), host, vbucket };
                self.send_one(&one, |speak, out, at| {
                    match speak {
                        Protocol::Ascii => plan.write_line(out, key),
                        Protocol::Binary => plan.write_packet(out, key, vbucket),
                    }
                    // Of a `gat`, behind which nothing but a line's end follows.
                    let behind = if speak == Protocol::Ascii { 2 } else { 0 };
                    *at = out.end().saturating_sub(key.len() as u64 + behind);
                });
            }
            None if meta.verb == Verb::Debug => {
                self.reply(request, None, |out, _| out.tail().extend_from_slice(older::NO_DEBUG));
            }
            None => {
                let cas = meta.needs_cas();
                self.send_get(host, &Get { request, client: id, bucket, key, vbucket, cas, retries: 0 });
            }
        }
    }

    /// Whether the server is to get the meta command as it is: it knows them, or it could not be asked and nothing else will
    /// do.
    fn takes_meta(&self, host: HostId, meta: &Meta<'_>) -> bool {
        let Some(host) = self.downstream.hosts.get(host).filter(|host| host.server.protocol == Protocol::Ascii) else {
            return false;
        };
        let nothing_else_does = || meta.verb == Verb::Debug || misfit(meta, Protocol::Ascii).is_some();
        host.dialect.knows_meta().unwrap_or_else(nothing_else_does)
    }

    /// Sends the command as it is.
    fn send_meta_line(&mut self, host: HostId, id: RequestId, meta: &Meta<'_>) {
        let Some(request) = self.flight.requests.get(id) else { return };
        let (client, may_repeat) = (request.client, request.may_repeat);
        let changes = !meta.is_read();
        if changes {
            self.note_change(id, Some(meta.key.name()));
            self.take_over(client, host, Some(meta.key.name()));
        }
        let conn_id = match self.pick(client, host, false) {
            Ok(conn) => conn,
            Err(failure) => return self.fail(id, failure),
        };
        self.ask_unless_known(conn_id);
        let opaque = self.flight.next_opaque();
        let Some(conn) = self.begin(conn_id) else { return };
        let is_named = command::write(&mut conn.output, meta, opaque);
        let end = conn.output.end();
        let expect = Expect::Meta { is_named, changes };
        self.enqueue(conn_id, Entry { request: id, expect, opaque, end, retries: 0, may_repeat, is_queued: false });
    }
}

/// Whether it asks for a value, and for nothing that the front cache does not have.
fn is_plain(meta: &Meta<'_>) -> bool {
    meta.verb == Verb::Get && meta.options.wants_value && meta.flags.iter().all(|(letter, _)| PLAIN.contains(&letter))
}
