//! Which configurations were in force when, and whose a key was by each.

use moxi::config::behavior::Behavior;
use moxi::config::snapshot::{BucketConfig, Config, Server};
use moxi::protocol::Protocol;

use super::scenario::{self, FIRST_PORT};
use super::store::Tick;

/// A server that has a key, and what is spoken with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its place among all servers.
    pub server: usize,
    pub is_binary: bool,
}

impl Owner {
    /// Who has `key` by this configuration.
    pub fn of(bucket: &BucketConfig, key: &[u8]) -> Option<Owner> {
        let server = bucket.servers.get(bucket.router.route(key).server?)?;
        Some(Owner { server: index_of(server), is_binary: server.protocol == Protocol::Binary })
    }
}

/// Who may have had a request for a key, all configurations considered that were in force while it was under way.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Each once.
    pub all: Vec<Owner>,
    /// By one of them nobody has it.
    pub may_be_nobody: bool,
}

impl Owners {
    /// Nobody in particular.
    pub fn nobody() -> Owners {
        Owners { all: Vec::new(), may_be_nobody: true }
    }
}

/// The place of `server` among all servers, whatever is spoken with it.
pub fn index_of(server: &Server) -> usize {
    usize::from(server.port - FIRST_PORT)
}

/// All configurations so far, with when each came: from then on it is in force, and the one before it no more.
#[derive(Debug)]
pub struct Eras(Vec<(Tick, Config)>);

impl Eras {
    /// The first one.
    pub fn new(first: Config) -> Eras {
        Eras(vec![(0, first)])
    }

    /// Another one comes.
    pub fn begin(&mut self, now: Tick, config: Config) {
        self.0.push((now, config));
    }

    /// The one in force.
    pub fn present(&self) -> &Config {
        self.0.last().map(|(_, config)| config).expect("there is a first one")
    }

    /// How often there was another one.
    pub fn changes(&self) -> usize {
        self.0.len() - 1
    }

    /// Those that were in force at some time from `from` to `to`.
    pub fn between(&self, from: Tick, to: Tick) -> impl Iterator<Item = &Config> {
        let first = self.0.partition_point(|(since, _)| *since < from).saturating_sub(1);
        let end = self.0.partition_point(|(since, _)| *since <= to);
        self.0[first..end].iter().map(|(_, config)| config)
    }

    /// What a bucket was from `from` to `to`.
    pub fn bucket(&self, bucket: usize, from: Tick, to: Tick) -> impl Iterator<Item = &BucketConfig> {
        self.between(from, to).filter_map(move |config| config.buckets.get(bucket)).map(|bucket| &**bucket)
    }

    /// Who may have had a request for `key` that was under way from `from` to `to`.
    pub fn owners(&self, bucket: usize, key: &[u8], from: Tick, to: Tick) -> Owners {
        let mut owners = Owners::default();
        for bucket in self.bucket(bucket, from, to) {
            match Owner::of(bucket, key) {
                Some(owner) if owners.all.contains(&owner) => {}
                Some(owner) => owners.all.push(owner),
                None => owners.may_be_nobody = true,
            }
        }
        owners
    }

    /// The same, if each of its servers may have had the request.
    pub fn everybody(&self, bucket: usize, from: Tick, to: Tick, mut owners: Owners) -> Owners {
        for server in self.bucket(bucket, from, to).flat_map(|bucket| &bucket.servers) {
            let owner = Owner { server: index_of(server), is_binary: server.protocol == Protocol::Binary };
            if !owners.all.contains(&owner) {
                owners.all.push(owner);
            }
        }
        owners
    }

    /// The behaviours of a bucket that have been in force since `from`.
    pub fn behaviors(&self, bucket: usize, from: Tick) -> impl Iterator<Item = &Behavior> {
        self.bucket(bucket, from, Tick::MAX).map(|bucket| &*bucket.behavior)
    }

    /// How long a request may take at most (see [`scenario::bound`]). Connections and queues may be older than it is.
    pub fn bound(&self, sends: u64) -> Option<u64> {
        let behaviors = self.0.iter().flat_map(|(_, config)| config.buckets.iter().map(|bucket| &*bucket.behavior));
        scenario::bound(behaviors, sends)
    }

    /// Every bucket of every configuration so far.
    pub fn all_buckets(&self) -> impl Iterator<Item = &BucketConfig> {
        self.0.iter().flat_map(|(_, config)| config.buckets.iter().map(|bucket| &**bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sees_what_was_in_force_while_it_was_under_way() {
        let with_ports = |ports: u16| Config { versions: vec![u64::from(ports)], ..Config::default() };
        let mut eras = Eras::new(with_ports(0));
        eras.begin(10, with_ports(1));
        eras.begin(20, with_ports(2));
        let seen = |from, to| eras.between(from, to).map(|config| config.versions[0]).collect::<Vec<_>>();
        assert_eq!(seen(1, 9), [0]);
        assert_eq!(seen(1, 10), [0, 1]);
        assert_eq!(seen(10, 11), [0, 1]);
        assert_eq!(seen(11, 19), [1]);
        assert_eq!(seen(5, Tick::MAX), [0, 1, 2]);
        assert_eq!(seen(21, Tick::MAX), [2]);
        assert_eq!((eras.present().versions[0], eras.changes()), (2, 2));
    }
}
