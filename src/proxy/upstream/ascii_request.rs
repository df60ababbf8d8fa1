//! What each ASCII command does (04 §2–§7).

use crate::buffer::Output;
use crate::protocol::Protocol::{Ascii, Binary};
use crate::protocol::ascii::answer;
use crate::protocol::ascii::command as ascii;
use crate::protocol::binary::{command as binary, opcode};
use crate::protocol::op::{self, Op};
use crate::protocol::status::CommandClass;
use crate::protocol::{Arith, Request, Store};

use crate::proxy::downstream::host::HostId;
use crate::proxy::request::broadcast::{Broadcast, Order};
use crate::proxy::request::error::Failure;
use crate::proxy::request::{RequestId, Work};
use crate::proxy::upstream::ClientId;
use crate::proxy::upstream::pump::{Admit, Verdict};
use crate::proxy::{Action, Engine, VERSION};

/// The most that the `verbosity` command sets (04 §4.2).
pub(in crate::proxy) const VERBOSITY_MAX: u32 = 4;

impl Engine {
    /// Answers a request or sends it on its way.
    pub(in crate::proxy) fn ascii_request(&mut self, id: ClientId, request: &Request<'_>, noreply: bool) -> Verdict {
        match request {
            Request::Version if !self.names_server(id) => {
                self.local_text(id, noreply, |out| answer::version(out, VERSION.as_bytes()))
            }
            Request::Verbosity { level } => {
                self.actions.push(Action::SetVerbosity((*level).min(VERBOSITY_MAX) as u8));
                self.local_text(id, noreply, |out| out.extend_from_slice(answer::OK));
            }
            Request::Quit => self.quit(id),
            Request::StatsProxy { sub } => self.stats_proxy(id, sub),
            Request::Get { .. } | Request::Getl { .. } | Request::Stats { .. } | Request::Dump(_)
                if self.is_deaf(id) => {}
            Request::Dump(dump) if self.no_servers(id).is_none() => return self.dump(id, *dump),
            Request::MemLimit { .. } if self.has_binary_servers(id) => {
                self.local_text(id, noreply, |out| out.extend_from_slice(answer::NOT_OVER_BINARY));
            }
            _ => match self.no_servers(id) {
                Some(failure) => self.refuse(id, request, noreply, failure),
                None => match self.admit(id) {
                    Admit::Wait => return Verdict::Wait,
                    Admit::Go => self.proxied(id, request, noreply),
                    Admit::TooLate => self.refuse(id, request, noreply, Failure::WaitQueue),
                },
            },
        }
        Verdict::Taken
    }

    fn local_text(&mut self, id: ClientId, noreply: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if !noreply {
            self.local_reply(id, write);
        }
    }

    /// A request that needs servers, and has a place.
    fn proxied(&mut self, id: ClientId, request: &Request<'_>, noreply: bool) {
        match *request {
            Request::Get { keys, cas } => match keys.single() {
                Some((_, key)) => self.get_one(id, key, cas),
                None => self.get_many(id, keys, cas, None),
            },
            Request::Gat { .. } | Request::Getl { .. } => self.retrieve(id, request),
            Request::Store(store) => self.store(id, &store, noreply),
            Request::Arith { key, delta, decr } => {
                let code = if decr { opcode::DECREMENT } else { opcode::INCREMENT };
                let work = self.line(id, code, noreply);
                self.send_key(work, key, code, |speak, out, vbucket, _| match speak {
                    Ascii => ascii::arith(out.tail(), key, delta, decr),
                    Binary => {
                        let arith = Arith { key, delta, decr, cas: 0, create: None };
                        binary::arith(out.tail(), &arith, vbucket, u32::from(vbucket));
                    }
                });
            }
            Request::Delete { key } => {
                let work = self.line(id, opcode::DELETE, noreply);
                self.send_key(work, key, opcode::DELETE, |speak, out, vbucket, _| match speak {
                    Ascii => ascii::delete(out.tail(), key),
                    Binary => binary::delete(out.tail(), key, 0, vbucket, u32::from(vbucket)),
                });
            }
            Request::Touch { key, exptime } => {
                let work = self.line(id, opcode::TOUCH, noreply);
                self.send_key(work, key, opcode::TOUCH, |speak, out, vbucket, _| match speak {
                    Ascii => ascii::touch(out.tail(), key, exptime),
                    Binary => binary::touch(out.tail(), key, exptime, vbucket, u32::from(vbucket)),
                });
            }
            Request::Unl { key, cas } => {
                let work = self.line(id, opcode::UNL, false);
                self.send_key(work, key, opcode::UNL, |speak, out, vbucket, _| match speak {
                    Ascii => ascii::unl(out.tail(), key, cas),
                    Binary => binary::unl(out.tail(), key, cas, vbucket, u32::from(vbucket)),
                });
            }
            Request::Flush { .. } | Request::Stats { .. } | Request::MemLimit { .. } => {
                self.order_all(id, request, noreply)
            }
            Request::Version => {
                let work = self.line(id, opcode::VERSION, noreply);
                self.send_key(work, b"", opcode::VERSION, |speak, out, _, _| match speak {
                    Ascii => ascii::version(out.tail()),
                    Binary => binary::version(out.tail(), 0),
                });
            }
            Request::Verbosity { .. } | Request::Quit | Request::StatsProxy { .. } | Request::Dump(_) => {}
        }
    }

    /// A get that changes something.
    fn retrieve(&mut self, id: ClientId, request: &Request<'_>) {
        match *request {
            Request::Gat { exptime, keys, cas } => match keys.single() {
                Some((_, key)) => {
                    let work = self.one(id, Work::Get { cas, touch: true }, false, true);
                    self.send_key(work, key, opcode::GATK, |speak, out, vbucket, at| match speak {
                        Ascii => {
                            ascii::gat_start(out.tail(), cas, exptime);
                            *at = out.end() + 1;
                            ascii::key(out.tail(), key);
                            ascii::end(out.tail());
                        }
                        Binary => {
                            binary::gat(out.tail(), key, exptime, vbucket, u32::from(vbucket));
                            *at = out.end() - key.len() as u64;
                        }
                    });
                }
                None => self.get_many(id, keys, cas, Some(exptime)),
            },
            Request::Getl { key, exptime } => {
                let work = self.line(id, opcode::GETL, false);
                self.send_key(work, key, opcode::GETL, |speak, out, vbucket, at| match speak {
                    Ascii => {
                        *at = out.end() + 5;
                        ascii::getl(out.tail(), key, exptime);
                    }
                    Binary => {
                        binary::getl(out.tail(), key, exptime, vbucket, u32::from(vbucket));
                        *at = out.end() - key.len() as u64;
                    }
                });
            }
            _ => {}
        }
    }

    /// A request that all servers are to do.
    fn order_all(&mut self, id: ClientId, request: &Request<'_>, noreply: bool) {
        match *request {
            Request::Flush { delay } => {
                let order = self.order(id, Order::Flush);
                self.broadcast(id, order, noreply, opcode::FLUSH, |speak, out| match speak {
                    Ascii => ascii::flush(out.tail(), delay),
                    Binary => binary::flush(out.tail(), delay),
                });
            }
            Request::Stats { args } => {
                let broadcast = match args {
                    b"reset" => self.order(id, Order::StatsReset),
                    _ => Broadcast::stats(args),
                };
                self.broadcast(id, broadcast, false, opcode::STAT, |speak, out| match speak {
                    Ascii => ascii::stats(out.tail(), args),
                    Binary => binary::stat(out.tail(), args),
                });
            }
            Request::MemLimit { megabytes } => {
                let order = self.order(id, Order::MemLimit);
                // Binary servers were ruled out.
                self.broadcast(id, order, noreply, opcode::NOOP, |_, out| ascii::memory_limit(out.tail(), megabytes));
            }
            _ => {}
        }
    }

    /// A request with the command of this opcode, for one key and without a CAS id that it depends on.
    fn line(&mut self, id: ClientId, code: u8, noreply: bool) -> RequestId {
        let op = op::of(code);
        self.one(id, Work::Line(op.class), noreply, op.may_repeat(false))
    }

    fn store(&mut self, id: ClientId, store: &Store<'_>, noreply: bool) {
        let noreply = noreply || self.answer_early(id, store);
        let op = Op::store(store.verb);
        let work = self.one(id, Work::Line(op.class), noreply, op.may_repeat(store.cas.is_some()));
        self.send_key(work, store.key, op.opcode, |speak, out: &mut Output, vbucket, _| match speak {
            Ascii => {
                ascii::store_line(out.tail(), store);
                out.push(store.value);
                ascii::end(out.tail());
            }
            Binary => {
                binary::store_head(out.tail(), store, vbucket, u32::from(vbucket));
                out.push(store.value);
            }
        });
    }

    /// Why nothing can be sent to the servers of the client's bucket: it has none.
    pub(in crate::proxy) fn no_servers(&self, id: ClientId) -> Option<Failure> {
        let bucket = &self.buckets[self.upstream.clients.get(id)?.bucket];
        match bucket.hosts.is_empty() {
            false => None,
            true if bucket.config.is_null => Some(Failure::NullBucket),
            true => Some(Failure::NoDownstreams),
        }
    }

    /// Whether some of the servers of the client's bucket speak binary.
    pub(in crate::proxy) fn has_binary_servers(&self, id: ClientId) -> bool {
        let hosts = self
            .upstream
            .clients
            .get(id)
            .and_then(|client| self.buckets.get(client.bucket))
            .map(|bucket| &bucket.hosts);
        let is_binary =
            |host: &HostId| self.downstream.hosts.get(*host).is_some_and(|host| host.server.protocol == Binary);
        hosts.is_some_and(|hosts| hosts.iter().any(is_binary))
    }

    /// A request that cannot be sent.
    fn refuse(&mut self, id: ClientId, request: &Request<'_>, noreply: bool, failure: Failure) {
        let work = match request {
            Request::Get { keys, cas } | Request::Gat { keys, cas, .. } => {
                self.watch_refused(id, *keys);
                Work::Get { cas: *cas, touch: false }
            }
            Request::Getl { .. } => Work::Line(CommandClass::Getl),
            _ => Work::Local,
        };
        let request = self.new_request(id, work, noreply);
        self.fail(request, failure);
    }
}
