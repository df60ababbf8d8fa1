//! Clients that the built-in server serves instead of a bucket.
//!
//! They are clients like the others as far as sockets, buffers, turns and back-pressure are concerned. But all their
//! requests are answered at once, so nothing is ever owed to them except what is in their output.

use std::sync::Arc;

use crate::buffer::Input;
use crate::memcached::clock::Clock;
use crate::memcached::counters::{Count, Counters};
use crate::memcached::{Memcached, Session, Step};

use crate::proxy::timers::Micros;
use crate::proxy::upstream::{Client, ClientId, Service};
use crate::proxy::{Action, Engine};

/// The built-in server as one worker sees it.
#[derive(Debug)]
pub(in crate::proxy) struct Served {
    memcached: Arc<Memcached>,
    counters: Arc<Counters>,
    /// Microseconds since 1970.
    unix: Micros,
}

impl Engine {
    /// Lets clients be served by `memcached`, too.
    pub fn serve_memcached(&mut self, memcached: Arc<Memcached>, counters: Arc<Counters>) {
        self.upstream.memcached = Some(Served { memcached, counters, unix: 0 });
    }

    /// Tells the time of day in microseconds since 1970, after [`Engine::set_time`]. Only the built-in server needs
    /// it.
    pub fn set_unix_time(&mut self, unix: Micros) {
        if let Some(served) = &mut self.upstream.memcached {
            served.unix = unix;
        }
    }

    /// A client of the built-in server has connected. `None`: there is no such server.
    pub fn add_memcached_client(&mut self) -> Option<ClientId> {
        self.upstream.memcached.as_ref()?;
        let service = Service::Memcached(Session::new(self.settings.binding));
        Some(self.upstream.clients.insert(Client::new(service, self.settings.binding)))
    }

    /// A client's turn ends although it has more requests (`-R`).
    pub(in crate::proxy) fn count_yield(&self, id: ClientId) {
        match &self.upstream.memcached {
            Some(served) if self.upstream.clients.must(id).is_some_and(|client| client.bucket().is_none()) => {
                served.counters.add(Count::ConnYields, 1);
            }
            _ => self.traffic.count_yield(),
        }
    }

    /// Serves one request of such a client; `false` when nothing more can be done now.
    pub(in crate::proxy) fn step_memcached(&mut self, id: ClientId, input: &mut Input) -> bool {
        let (Some(client), Some(served)) = (self.upstream.clients.must_mut(id), &self.upstream.memcached) else {
            return false;
        };
        let Service::Memcached(session) = &mut client.service else { return false };
        let access = served.memcached.access(&served.counters, Clock { now: self.now, unix: served.unix });
        client.output.wake(&mut self.spare);
        let step = session.step(&access, input, &mut self.upstream.buffers, &mut client.output);
        client.committed = client.output.end();
        if client.is_deaf {
            client.drop_output();
        }
        if !client.output.is_sent() {
            self.mark_client(id);
        }
        match step {
            Step::Done => true,
            Step::Wait => false,
            Step::Full => {
                if let Some(client) = self.upstream.clients.must_mut(id) {
                    client.stopped = true;
                }
                false
            }
            Step::Quit => {
                self.quit(id);
                false
            }
            Step::Breach(breach) => {
                self.expel(id, breach);
                false
            }
            Step::Verbosity(level) => {
                self.actions.push(Action::SetVerbosity(level));
                true
            }
        }
    }
}
