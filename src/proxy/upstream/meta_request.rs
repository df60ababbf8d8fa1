//! What each meta command of an ASCII client does (04 §20).
//!
//! It goes to the server as it is if that knows meta commands, else as a classic command or a packet that does the same; a
//! get then travels as any other, joined with those of other clients. (Not to servers that know meta commands: a `get` does
//! not tell that an item is stale.) The front cache answers those that ask for nothing which it does not have.

use crate::protocol::ascii::meta;
use crate::protocol::ascii::meta::command;
use crate::protocol::ascii::meta::request::{self, Meta, Parsed, Verb};
use crate::protocol::older::{self, Misfit, misfit};
use crate::protocol::op;
use crate::protocol::{Answered, Protocol};

use crate::proxy::Engine;
use crate::proxy::downstream::Expect;
use crate::proxy::downstream::dispatch::{Get, OneKey};
use crate::proxy::downstream::host::HostId;
use crate::proxy::downstream::resend::Written;
use crate::proxy::request::RequestId;
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::admission::Admit;
use crate::proxy::upstream::pump::{Progress, Verdict};
use crate::routing::Router;

/// The flags of a get that can be answered if only the value is known, and what the client keeps with it.
const PLAIN: &[u8] = b"vfskOqb";

/// In which words a server is told a meta command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// The client's own.
    Own,
    /// Those of a classic command or a packet.
    Older,
    /// In none: this is what it cannot be told.
    None(Misfit),
}

/// Where the key of a meta command is, and what is said there.
#[derive(Clone, Copy, Debug)]
struct Route {
    host: Option<HostId>,
    vbucket: u16,
    words: Words,
}

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
        self.refuse_line(caller, text, Answered::Always, reply);
        if let Some(client) = self.upstream.clients.must_mut(caller.client) {
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
        let (host, vbucket) = self.route_for(caller, meta.key.name());
        let words = match host {
            Some(host) => self.meta_words(caller, host, meta),
            None => Some(Words::Own),
        };
        let Some(words) = words else { return Verdict::Wait };
        match self.admit(caller) {
            Admit::Wait => return Verdict::Wait,
            Admit::Go => self.send_meta(caller, meta, &Route { host, vbucket, words }),
            Admit::TooLate => self.refuse_meta(caller, meta, Failure::WaitQueue),
        }
        Verdict::Taken
    }

    /// In which words the server is to get the command. `None`: the client has to wait, because that is not known yet, or
    /// because they would overtake what the client has sent before.
    fn meta_words(&mut self, caller: &Caller, host_id: HostId, meta: &Meta<'_>) -> Option<Words> {
        let id = caller.client;
        let Some(host) = self.downstream.hosts.must(host_id) else { return Some(Words::Own) };
        let speak = host.protocol();
        // Who is the master of a vbucket is told in packets only; and who names a server says what is spoken with it.
        let has_map = matches!(self.buckets[caller.bucket].config.router, Router::Vbucket(_));
        let is_bound = has_map || caller.named.is_some();
        let may_ask = speak == Protocol::Ascii || host.takes_lines() && !is_bound;
        let was_asked = self.upstream.clients.must(id).is_some_and(|client| client.asked.contains(&host_id));
        if may_ask && !was_asked && !self.knows_dialect(id, host_id) {
            return None;
        }
        let words = self.words_for(host_id, may_ask, meta);
        if speak == Protocol::Binary {
            if !meta.is_read() {
                self.take_over(id, host_id, Some(meta.key.name()));
            }
            let needed = if words == Words::Own { Protocol::Ascii } else { Protocol::Binary };
            if self.is_stuck_elsewhere(id, host_id, needed) {
                self.upstream.clients.must_mut(id)?.stop();
                return None;
            }
        }
        if was_asked && let Some(client) = self.upstream.clients.must_mut(id) {
            client.asked.clear();
        }
        Some(words)
    }

    /// The command's own words for a server that knows them; or if it could not be asked, and nothing else will do.
    fn words_for(&self, host: HostId, may_ask: bool, meta: &Meta<'_>) -> Words {
        let Some(host) = self.downstream.hosts.must(host) else { return Words::Own };
        let known = if may_ask { host.dialect().knows_meta() } else { Some(false) };
        if known == Some(true) {
            return Words::Own;
        }
        match misfit(meta, host.protocol()) {
            Some(_) if known.is_none() => Words::Own,
            Some(misfit) => Words::None(misfit),
            None => Words::Older,
        }
    }

    /// What a server that knows no meta commands cannot be told of one that was written for it.
    pub(in crate::proxy) fn misfit_of(&self, host: HostId, written: &Written<'_>) -> Option<Misfit> {
        let speak = self.downstream.protocol(host);
        let (mut text, mut room) = (Vec::new(), meta::key::KeyRoom::default());
        written.bytes.read(written.range.clone(), &mut text);
        match request::parse(text.as_slice(), &mut room, &mut 0, u64::MAX) {
            Some(Parsed::Request { meta, .. }) => misfit(&meta, speak),
            _ => None,
        }
    }

    /// A meta command that cannot be sent.
    fn refuse_meta(&mut self, caller: &Caller, meta: &Meta<'_>, failure: Failure) {
        let work = self.flight.keep(meta);
        let request = self.new_request(caller, work, meta.answered());
        self.fail(request, failure);
    }

    /// Sends a meta command that has a place to the server of its key.
    fn send_meta(&mut self, caller: &Caller, meta: &Meta<'_>, route: &Route) {
        let key = meta.key.name();
        let work = self.flight.keep(meta);
        let request = self.one(caller, work, meta.answered(), may_repeat(meta));
        let (bucket, Route { host, vbucket, words }) = (caller.bucket, *route);
        if self.buckets[bucket].front.is_some() && is_plain(meta) && self.get_cached(request, bucket, key, false) {
            return;
        }
        let Some(host) = host else { return self.fail(request, Failure::NoServer) };
        match words {
            Words::Own => return self.send_meta_line(host, request, meta),
            Words::None(misfit) => return self.reply(request, None, |out, _| misfit.refuse(out.tail())),
            Words::Older => {}
        }
        match older::keyed(meta) {
            Some(command) => {
                let one = OneKey { request, key, code: command.opcode(), host, vbucket };
                self.send_one(&one, |speak, out, at| *at = command.write(speak, out, vbucket));
            }
            None => {
                let cas = meta.needs_cas();
                self.send_get(host, &Get { request, client: caller.client, bucket, key, vbucket, cas, retries: 0 });
            }
        }
    }

    /// Sends the command as it is.
    fn send_meta_line(&mut self, host: HostId, id: RequestId, meta: &Meta<'_>) {
        let changes = !meta.is_read();
        let changed = changes.then_some(meta.key.name());
        let Some(conn_id) = self.conn_for(id, host, changed, |engine, client| engine.pick_line(client, host)) else {
            return;
        };
        self.ask_unless_known(conn_id);
        let opaque = self.flight.next_opaque();
        self.write_on(conn_id, id, |_, out| {
            let is_named = command::write(out, meta, opaque);
            (Expect::Meta { is_named, changes }, opaque)
        });
    }
}

/// Whether it may be sent twice: not what marks items or lets one client win, which is another thing the second time.
fn may_repeat(meta: &Meta<'_>) -> bool {
    let options = &meta.options;
    meta.is_read()
        || options.vivify.is_none()
            && options.recache.is_none()
            && !options.invalidates
            && older::keyed(meta).is_some_and(|command| op::of(command.opcode()).may_repeat(options.cas.is_some()))
}

/// Whether it asks for a value, and for nothing that the front cache does not have.
fn is_plain(meta: &Meta<'_>) -> bool {
    meta.verb == Verb::Get && meta.options.wants_value && meta.flags.iter().all(|(letter, _)| PLAIN.contains(&letter))
}
