//! Clients that the built-in server serves instead of a bucket.
//!
//! They are clients like the others as far as sockets, buffers, turns and back-pressure are concerned. But all their
//! requests are answered at once, so nothing is ever owed to them except what is in their output.

use std::sync::Arc;

use crate::buffer::Input;
use crate::store::clock::Clock;
use crate::store::counters::{Count, Counters};
use crate::store::{Session, Step, Store};

use super::timers::Micros;
use super::upstream::{Client, ClientId};
use super::{Action, Engine};

/// The built-in server as one worker sees it.
#[derive(Debug)]
pub(super) struct Local {
    store: Arc<Store>,
    counters: Arc<Counters>,
    /// Microseconds since 1970.
    unix: Micros,
}

impl Engine {
    /// Lets clients be served by `store`, too.
    pub fn serve_store(&mut self, store: Arc<Store>, counters: Arc<Counters>) {
        self.local = Some(Local { store, counters, unix: 0 });
    }

    /// Tells the time of day in microseconds since 1970, after [`Engine::set_time`]. Only the built-in server needs
    /// it.
    pub fn set_unix_time(&mut self, unix: Micros) {
        if let Some(local) = &mut self.local {
            local.unix = unix;
        }
    }

    /// A client of the built-in server has connected. `None`: there is no such server.
    pub fn add_local_client(&mut self) -> Option<ClientId> {
        self.local.as_ref()?;
        let session = Session::new(self.settings.binding);
        // Such clients are in no bucket.
        let client = Client::new(usize::MAX, self.settings.binding);
        Some(self.clients.insert(Client { session: Some(session), ..client }))
    }

    /// A client's turn ends although it has more requests (`-R`).
    pub(super) fn count_yield(&self, id: ClientId) {
        match &self.local {
            Some(local) if self.clients.get(id).is_some_and(|client| client.session.is_some()) => {
                local.counters.add(Count::ConnYields, 1);
            }
            _ => self.traffic.count_yield(),
        }
    }

    /// Serves one request of such a client; `false` when nothing more can be done now.
    pub(super) fn step_local(&mut self, id: ClientId, input: &mut Input) -> bool {
        let (Some(client), Some(local)) = (self.clients.get_mut(id), &self.local) else { return false };
        let Some(session) = &mut client.session else { return false };
        let access = local.store.access(&local.counters, Clock { now: self.now, unix: local.unix });
        client.output.wake(&mut self.spare);
        let step = session.step(&access, input, &mut self.client_buffers, &mut client.output);
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
                if let Some(client) = self.clients.get_mut(id) {
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
