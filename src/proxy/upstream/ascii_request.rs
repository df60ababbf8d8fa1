//! What each ASCII command does (04 §2–§7).

use crate::protocol::Protocol::Binary;
use crate::protocol::ascii::answer;
use crate::protocol::keyed::Keyed;
use crate::protocol::keyless::Keyless;
use crate::protocol::status::CommandClass;
use crate::protocol::{Answered, Request};

use crate::proxy::downstream::host::HostId;
use crate::proxy::request::Work;
use crate::proxy::request::error::Failure;
use crate::proxy::upstream::Caller;
use crate::proxy::upstream::admission::Admit;
use crate::proxy::upstream::pump::Verdict;
use crate::proxy::{Action, Engine, VERSION};

/// The most that the `verbosity` command sets (04 §4.2).
pub(in crate::proxy) const VERBOSITY_MAX: u32 = 4;

impl Engine {
    /// Answers a request or sends it on its way.
    pub(in crate::proxy) fn ascii_request(
        &mut self,
        caller: &Caller,
        request: &Request<'_>,
        answered: Answered,
    ) -> Verdict {
        match request {
            Request::Keyless(Keyless::Version) if caller.named.is_none() => {
                self.local_text(caller, answered, |out| answer::version(out, VERSION.as_bytes()))
            }
            Request::Verbosity { level } => {
                self.actions.push(Action::SetVerbosity((*level).min(VERBOSITY_MAX) as u8));
                self.local_text(caller, answered, |out| out.extend_from_slice(answer::OK));
            }
            Request::Quit => self.quit(caller.client),
            Request::StatsProxy { sub } => self.stats_proxy(caller, sub),
            Request::Keyed(Keyed::Get { .. } | Keyed::Getl { .. })
            | Request::GetMany { exptime: None, .. }
            | Request::Keyless(Keyless::Stats { .. })
            | Request::Dump(_)
                if self.is_deaf(caller.client) => {}
            Request::Keyed(command @ (Keyed::Getl { .. } | Keyed::Unl { .. }))
                if self.waits_for_packets(caller, command.op(), command.key()) =>
            {
                return Verdict::Wait;
            }
            Request::Dump(dump) if self.no_servers(caller).is_none() => return self.dump(caller, *dump),
            Request::Keyless(Keyless::MemLimit { .. }) if self.has_binary_servers(caller) => {
                self.local_text(caller, answered, |out| out.extend_from_slice(answer::NOT_OVER_BINARY));
            }
            _ => match self.no_servers(caller) {
                Some(failure) => self.refuse(caller, request, answered, failure),
                None => match self.admit(caller) {
                    Admit::Wait => return Verdict::Wait,
                    Admit::Go => self.proxied(caller, request, answered),
                    Admit::TooLate => self.refuse(caller, request, answered, Failure::WaitQueue),
                },
            },
        }
        Verdict::Taken
    }

    /// Answers without asking a server, if the client wants to hear of it.
    pub(in crate::proxy) fn local_text(
        &mut self,
        caller: &Caller,
        answered: Answered,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if answered.says_anything() {
            self.local_reply(caller, write);
        }
    }

    /// A request that needs servers, and has a place.
    fn proxied(&mut self, caller: &Caller, request: &Request<'_>, answered: Answered) {
        match request {
            Request::Keyed(Keyed::Get { key, cas }) => self.get_one(caller, key, *cas),
            Request::Keyed(command) => self.send_keyed(caller, command, answered),
            Request::GetMany { keys, cas, exptime } => self.get_many(caller, *keys, *cas, *exptime),
            Request::Keyless(command @ Keyless::Version) => {
                let op = command.op();
                let work = self.one(caller, Work::Line(op.class), answered, true);
                self.send_key(caller, work, b"", op.opcode, |speak, out, _, _| command.write(speak, out.tail()));
            }
            Request::Keyless(command) => self.broadcast(caller, command, answered),
            Request::Verbosity { .. } | Request::Quit | Request::StatsProxy { .. } | Request::Dump(_) => {}
        }
    }

    /// A command for one key that is no get, which others could join: it travels by itself.
    fn send_keyed(&mut self, caller: &Caller, command: &Keyed<'_>, answered: Answered) {
        let op = command.op();
        let (work, answered) = match command {
            Keyed::Gat { cas, .. } => (Work::Get { cas: *cas, touch: true }, answered),
            // What is answered already is not answered again.
            Keyed::Store(store) if answered.says_anything() && self.answer_early(caller, store) => {
                (Work::Line(op.class), Answered::Never)
            }
            _ => (Work::Line(op.class), answered),
        };
        let work = self.one(caller, work, answered, op.may_repeat(command.has_cas()));
        self.send_key(caller, work, command.key(), op.opcode, |speak, out, vbucket, at| {
            *at = command.write(speak, out, vbucket);
        });
    }

    /// Why the request at hand cannot be sent: there are no servers for it.
    pub(in crate::proxy) fn no_servers(&self, caller: &Caller) -> Option<Failure> {
        let bucket = &self.buckets[caller.bucket];
        match bucket.servers(caller).is_empty() {
            false => None,
            true if bucket.config.is_null => Some(Failure::NullBucket),
            true => Some(Failure::NoDownstreams),
        }
    }

    /// Whether some of the servers for the request at hand speak binary.
    pub(in crate::proxy) fn has_binary_servers(&self, caller: &Caller) -> bool {
        let is_binary = |host: &HostId| self.downstream.protocol(*host) == Binary;
        self.servers(caller).iter().any(is_binary)
    }

    /// A request that cannot be sent.
    fn refuse(&mut self, caller: &Caller, request: &Request<'_>, answered: Answered, failure: Failure) {
        let work = match request {
            Request::Keyed(Keyed::Get { cas, .. } | Keyed::Gat { cas, .. }) => Work::Get { cas: *cas, touch: false },
            Request::Keyed(Keyed::Getl { .. }) => Work::Line(CommandClass::Getl),
            Request::GetMany { keys, cas, .. } => {
                self.watch_refused(caller.bucket, *keys);
                Work::Get { cas: *cas, touch: false }
            }
            _ => Work::Local,
        };
        let request = self.new_request(caller, work, answered);
        self.fail(request, failure);
    }
}
