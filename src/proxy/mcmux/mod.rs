//! `-X`: clients name the server of each request (01 §16, 03 §15, 04 §14).
//!
//! For the time of one request the bucket has one server, the one that was named; so everything else is as usual.

pub(super) mod destination;

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Engine;
use super::host::{Dialect, Health, Host, HostId};
use super::upstream::ClientId;
use crate::buffer::Input;
use crate::config::mcmux::named_server;
use crate::routing::Router;

use destination::{Allowed, Prefix};

/// How many names are remembered before those of servers without connections are forgotten.
const NAMES: usize = 1024;

/// The servers that clients have named.
#[derive(Debug)]
pub(super) struct Directory {
    /// By what was written in front of the command.
    names: HashMap<Box<[u8]>, HostId, RandomState>,
    /// At this many names, those that are not needed are forgotten.
    most: usize,
}

impl Default for Directory {
    fn default() -> Directory {
        Directory { names: HashMap::default(), most: NAMES }
    }
}

impl Engine {
    /// Whether the client has named a server for the request at hand.
    pub(super) fn names_server(&self, id: ClientId) -> bool {
        let bucket = self.clients.get(id).and_then(|client| self.buckets.get(client.bucket));
        bucket.is_some_and(|bucket| matches!(bucket.config.router, Router::Named) && !bucket.hosts.is_empty())
    }

    /// Handles one request of a client that names the server; `false` when nothing more can be done now.
    pub(super) fn step_named(&mut self, id: ClientId, bucket: usize, input: &mut Input, value_max: u64) -> bool {
        let (skip, host, allowed) = match destination::prefix(input.data()) {
            Prefix::Incomplete => {
                input.expect(input.len() + 1, &mut self.client_buffers);
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
        let goes_on = self.step_ascii(id, input, value_max, (skip, allowed));
        self.buckets[bucket].hosts.clear();
        goes_on
    }

    /// The worker's record of the server that `text` names.
    fn named_host(&mut self, bucket: usize, text: &[u8]) -> Option<HostId> {
        if let Some(id) = self.directory.names.get(text)
            && self.hosts.contains(*id)
        {
            return Some(*id);
        }
        let (protocol, host, port) = destination::server(text)?;
        let behavior = &self.buckets[bucket].config.behavior;
        let server = named_server(protocol, host, port, behavior);
        let id = match self.host_of.get(&server) {
            Some(id) => *id,
            None => {
                // Each worker judges for itself whether the server is to be left alone.
                let host = Host {
                    bucket,
                    server: server.clone(),
                    behavior: behavior.clone(),
                    conns: Vec::new(),
                    idle: Vec::new(),
                    open: None,
                    fresh: None,
                    dump: None,
                    health: Health::default().into(),
                    dialect: Dialect::Unknown,
                    curious: Vec::new(),
                    is_crowded: false,
                    short_until: 0,
                    short_told: None,
                    abandoned: 0,
                    is_retired: false,
                };
                let id = self.hosts.insert(host);
                self.host_of.insert(server, id);
                id
            }
        };
        if self.directory.names.len() >= self.directory.most {
            self.forget_names(id);
        }
        self.directory.names.insert(text.into(), id);
        Some(id)
    }

    /// Forgets servers that have no connections, except `needed`, and their names.
    fn forget_names(&mut self, needed: HostId) {
        let is_unused = |id: &HostId, host: &Host| *id != needed && !host.is_connected();
        let unused = self.hosts.iter().filter(|(id, host)| is_unused(id, host)).map(|(id, _)| id);
        for id in unused.collect::<Vec<_>>() {
            if let Some(host) = self.hosts.remove(id) {
                self.host_of.remove(&host.server);
            }
        }
        let hosts = &self.hosts;
        self.directory.names.retain(|_, id| hosts.contains(*id));
        // The rest is in use: it is not looked through again for every further name.
        self.directory.most = NAMES.max(2 * self.directory.names.len());
    }
}
