//! `-X`: clients name the server of each request (01 §16, 03 §15, 04 §14).
//!
//! For the time of one request the bucket has one server, the one that was named; so everything else is as usual.

pub(in crate::proxy) mod destination;

use crate::buffer::Input;
use crate::config::mcmux::named_server;
use crate::proxy::Engine;
use crate::proxy::downstream::host::HostId;
use crate::proxy::upstream::ClientId;
use crate::routing::Router;

use destination::{Allowed, Prefix, Scope};

impl Engine {
    /// Whether the client has named a server for the request at hand.
    pub(in crate::proxy) fn names_server(&self, id: ClientId) -> bool {
        let bucket = self.upstream.clients.get(id).and_then(|client| self.buckets.get(client.bucket));
        bucket.is_some_and(|bucket| matches!(bucket.config.router, Router::Named) && !bucket.hosts.is_empty())
    }

    /// Handles one request of a client that names the server; `false` when nothing more can be done now.
    pub(in crate::proxy) fn step_named(
        &mut self,
        id: ClientId,
        bucket: usize,
        input: &mut Input,
        value_max: u64,
    ) -> bool {
        let (skip, host, allowed) = match destination::prefix(input.data()) {
            Prefix::Incomplete => {
                input.expect(input.len() + 1, &mut self.upstream.buffers);
                return false;
            }
            Prefix::None => (0, None, Allowed::Local),
            Prefix::Malformed(skip) => (skip, None, Allowed::None),
            Prefix::Named { text, len } => match self.named_host(bucket, text) {
                Some(host) => (len, Some(host), Allowed::All),
                None => (len, None, Allowed::None),
            },
        };
        if allowed == Allowed::None {
            // The C program says so at any verbosity; clients could fill the disk.
            self.log(1, "Malformed request line".to_owned());
        }
        self.buckets[bucket].hosts.extend(host);
        let goes_on = self.step_ascii(id, input, value_max, Scope { skip, allowed });
        self.buckets[bucket].hosts.clear();
        goes_on
    }

    /// The worker's record of the server that `text` names.
    fn named_host(&mut self, bucket_id: usize, text: &[u8]) -> Option<HostId> {
        if let Some(id) = self.downstream.known(text) {
            return Some(id);
        }
        let (protocol, host, port) = destination::server(text)?;
        let bucket = &self.buckets[bucket_id].config;
        let server = named_server(protocol, host, port, &bucket.behavior);
        Some(self.downstream.learn_name(text, &server, bucket_id, bucket))
    }
}
