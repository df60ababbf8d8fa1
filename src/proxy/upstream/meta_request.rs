//! What each meta command of an ASCII client does (04 §20).
//!
//! It goes to the server as it is if that knows meta commands, else as a classic command or a packet that does the same; a
//! get then travels as any other, joined with those of other clients. (Not to servers that know meta commands: a `get` does
//! not tell that an item is stale.) The front cache answers those that ask for nothing which it does not have.

use crate::protocol::Protocol;
use crate::protocol::ascii::meta;
use crate::protocol::ascii::meta::command;
use crate::protocol::ascii::meta::request::{self, Meta, Parsed, Verb};
use crate::protocol::older::{self, misfit};
use crate::protocol::op;

use crate::proxy::Engine;
use crate::proxy::downstream::dispatch::{Get, OneKey};
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::{Entry, Expect};
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::pump::{Admit, Progress, Verdict};

/// The flags of a get that can be answered if only the value is known, and what the client keeps with it.
const PLAIN: &[u8] = b"vfskOqb";

impl Engine {
    /// Carries out what was found at the beginning of a client's bytes, as [`Engine::carry_out`] does for other lines.
    pub(in crate::proxy) fn carry_out_meta(&mut self, caller: &Caller, text: &[u8], parsed: Parsed<'_>) -> Progress {
        let (reply, len, swallow) = match parsed {
            Parsed::Incomplete { need } => return Progress::Short(need),
            Parsed::Request { meta, len } => {
                self.watch_meta(caller.bucket, &meta);
                if self.meta_request(caller, &meta) == Verdict::Wait {
                    return Progress::Waits;
                }
                self.count_meta(caller.bucket, &meta, len);
                self.meta_taken(caller.bucket, &meta, len);
                return Progress::Taken(len);
            }
            Parsed::Refused { reply, len, swallow } => (reply, len, swallow),
            Parsed::TooLarge { len, swallow, .. } => (request::TOO_LARGE, len, swallow),
        };
        self.refuse_line(caller, text, false, reply);
        if let Some(client) = self.upstream.clients.get_mut(caller.client) {
            client.swallow = swallow;
        }
        Progress::Taken(len)
    }

    /// Answers a meta command or sends it on its way.
    fn meta_request(&mut self, caller: &Caller, meta: &Meta<'_>) -> Verdict {
        if meta.verb == Verb::Noop {
            self.local_reply(caller, |out| out.extend_from_slice(meta::answer::NOOP));
            return Verdict::Taken;
        }
        if meta.is_read() && self.is_deaf(caller.client) {
            return Verdict::Taken;
        }
        if let Some(failure) = self.no_servers(caller) {
            self.refuse_meta(caller, meta, failure);
            return Verdict::Taken;
        }
        if !self.knows_dialects(caller, Some(meta.key.name()), false) {
            return Verdict::Wait;
        }
        match self.admit(caller) {
            Admit::Wait => return Verdict::Wait,
            Admit::Go => self.send_meta(caller, meta),
            Admit::TooLate => self.refuse_meta(caller, meta, Failure::WaitQueue),
        }
        Verdict::Taken
    }

    /// A meta command that cannot be sent.
    fn refuse_meta(&mut self, caller: &Caller, meta: &Meta<'_>, failure: Failure) {
        let work = self.flight.keep(meta);
        let request = self.new_request(caller, work, false);
        self.fail(request, failure);
    }

    /// Sends a meta command that has a place.
    fn send_meta(&mut self, caller: &Caller, meta: &Meta<'_>) {
        let key = meta.key.name();
        let work = self.flight.keep(meta);
        // What marks items or lets one client win is another thing the second time.
        let may_repeat = meta.is_read()
            || meta.options.vivify.is_none()
                && meta.options.recache.is_none()
                && !meta.options.invalidates
                && older::keyed(meta)
                    .is_some_and(|command| op::of(command.opcode()).may_repeat(meta.options.cas.is_some()));
        let request = self.one(caller, work, false, may_repeat);
        let bucket = caller.bucket;
        if self.buckets[bucket].front.is_some() && is_plain(meta) && self.get_cached(request, bucket, key, false) {
            return;
        }
        let (host, vbucket) = self.route_for(caller, key);
        let Some(host) = host else { return self.fail(request, Failure::NoServer) };
        if self.takes_meta(host, meta) {
            return self.send_meta_line(host, request, meta);
        }
        let speak = self.downstream.hosts.get(host).map_or(Protocol::Binary, |host| host.server.protocol);
        if let Some(letter) = misfit(meta, speak) {
            return self.reply(request, None, |out, _| older::refuse(out.tail(), letter));
        }
        match older::keyed(meta) {
            Some(command) => {
                let one = OneKey { request, key, code: command.opcode(), host, vbucket };
                self.send_one(&one, |speak, out, at| *at = command.write(speak, out, vbucket));
            }
            None if meta.verb == Verb::Debug => {
                self.reply(request, None, |out, _| out.tail().extend_from_slice(older::NO_DEBUG));
            }
            None => {
                let cas = meta.needs_cas();
                self.send_get(host, &Get { request, client: caller.client, bucket, key, vbucket, cas, retries: 0 });
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
