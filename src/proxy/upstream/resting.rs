//! Clients that could be served elsewhere from now on, by a process that takes the place of this one (01 §12.2).

use crate::memcached::Session;
use crate::protocol::Protocol;
use crate::proxy::Engine;

use super::{Admission, Client, ClientId, Phase, Service};

/// Who serves a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The bucket with this index.
    Bucket(usize),
    /// The built-in server.
    Memcached,
}

/// All that has to be known of a client to serve it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Who serves it.
    pub home: Home,
    /// What it speaks, if it has said anything.
    pub protocol: Option<Protocol>,
}

impl Client {
    /// Whether all that it has sent is done and answered, the answers are on their way, and nothing of it is half read:
    /// then what it says next can be understood by somebody who knows no more than a [`Rest`].
    fn rests(&self) -> bool {
        let has_work = self.unanswered > 0
            || !self.quiet.is_empty()
            || self.packets.batch().is_some()
            || self.refused.retried().is_some();
        // What was given up must not be carried out behind what it sends elsewhere.
        let has_traces = self.parting > 0 || !self.refused.is_empty() || !self.sticky.is_empty();
        let is_inside = !self.input.is_empty()
            || self.swallow > 0
            || matches!(&self.service, Service::Memcached(session) if session.swallow() > 0);
        let is_listed = self.stopped || self.is_ready || self.is_dirty || self.is_pumped;
        self.phase == Phase::Open
            && !self.is_deaf
            && self.is_settled()
            && self.admission == Admission::Unasked
            && !(has_work || has_traces || is_inside || is_listed)
    }
}

impl Engine {
    /// What has to be known of the client, if it could be served elsewhere from now on: its connection need not be closed
    /// for that.
    pub fn client_at_rest(&self, id: ClientId) -> Option<Rest> {
        let client = self.upstream.clients.get(id).filter(|client| client.rests())?;
        Some(match &client.service {
            Service::Memcached(session) => Rest { home: Home::Memcached, protocol: session.protocol() },
            Service::Bucket(bucket) => Rest { home: Home::Bucket(*bucket), protocol: client.protocol },
        })
    }

    /// The client, which has just been added, has spoken this protocol elsewhere.
    pub fn client_speaks(&mut self, id: ClientId, protocol: Protocol) {
        if let Some(client) = self.upstream.clients.must_mut(id) {
            client.protocol = Some(protocol);
            if let Service::Memcached(session) = &mut client.service {
                *session = Session::new(Some(protocol));
            }
        }
    }
}
