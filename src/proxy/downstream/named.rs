//! The servers that clients have named (`-X`, 03 §15): kept as long as there are connections to them, or room.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::config::snapshot::{BucketConfig, Server};

use super::Downstream;
use super::host::{Health, Host, HostId};

/// How many names are remembered before those of servers without connections are forgotten.
const NAMES: usize = 1024;

/// Which server was meant by which name.
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

impl Downstream {
    /// The server that has been named like this before.
    pub(in crate::proxy) fn known(&self, text: &[u8]) -> Option<HostId> {
        self.directory.names.get(text).copied().filter(|id| self.hosts.contains(*id))
    }

    /// Clients of bucket `bucket` call `server` by the name of `text`.
    pub(in crate::proxy) fn learn_name(
        &mut self,
        text: &[u8],
        server: &Arc<Server>,
        bucket: usize,
        config: &BucketConfig,
    ) -> HostId {
        let id = match self.host_of.get(server) {
            Some(id) => *id,
            None => {
                // Each worker judges for itself whether the server is to be left alone.
                let health = Arc::<Health>::default();
                let tally = self.servers.register(server, Some(bucket), &health);
                let id = self.hosts.insert(Host { tally, ..Host::new(server, &config.behavior, bucket, health) });
                self.host_of.insert(Arc::clone(server), id);
                id
            }
        };
        if self.directory.names.len() >= self.directory.most {
            self.forget_names(id);
        }
        self.directory.names.insert(text.into(), id);
        id
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
        self.directory.most = NAMES.max(self.directory.names.len().saturating_mul(2));
    }
}
