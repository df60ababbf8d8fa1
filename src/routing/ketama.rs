//! Ketama rings: points made from MD5 digests, three ways to make them (05 §10.2, §10.3).
//!
//! Every client and proxy of a cluster must compute the same ring, or keys are not found. So the point counts follow
//! libmemcached's arithmetic to the last bit, single precision included.

use md5::{Digest, Md5};

use crate::sums::sum;

/// Names per server of an evenly weighted ring; each gives four points.
const NAMES: u32 = 40;
/// Points per server of a plain ring.
const PLAIN_POINTS: u32 = 100;
/// Servers on this port have it left out of their names in libmemcached's rings.
const DEFAULT_PORT: u16 = 11211;

/// A server as the ring sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingServer<'a> {
    /// The host as written in the configuration, not resolved, case kept.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Relative weight; 0 counts as 1.
    pub weight: u32,
}

/// A ring of points, each belonging to a server.
///
/// `points` and `owners` have the same length; `points` is sorted. They are apart because only `points` is searched.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring {
    points: Box<[u32]>,
    owners: Box<[u32]>,
    /// The ring is cut into this many equal arcs, a power of two; for each, where in `points` its points begin.
    /// There are about as many arcs as points, so that a search ends after one or two steps.
    arcs: Box<[u32]>,
    /// By how many bits a hash is shifted right to give its arc.
    shift: u32,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("points", &self.points.len()).finish_non_exhaustive()
    }
}

impl Ring {
    /// libmemcached's weighted ring, moxi's default: 160 points per server for equal weights, 156 where single
    /// precision rounds the wrong way.
    pub fn weighted(servers: &[RingServer<'_>]) -> Ring {
        let total: u64 = servers.iter().map(|server| u64::from(server.weight.max(1))).sum();
        Ring::build(servers.iter().enumerate().map(|(index, server)| {
            let names = weighted_names(server.weight.max(1), total, servers.len());
            (index, list_name(server), names, 4)
        }))
    }

    /// libmemcached's plain ring: 100 points per server, weights ignored.
    pub fn plain(servers: &[RingServer<'_>]) -> Ring {
        let named = servers.iter().enumerate();
        Ring::build(named.map(|(index, server)| (index, list_name(server), PLAIN_POINTS, 1)))
    }

    /// libvbucket's ring: 160 points per server whatever their number, and the port is always part of the name.
    /// `names` are `HOST:PORT`, already in index order (libvbucket sorts them).
    pub fn libvbucket<'a>(names: impl IntoIterator<Item = &'a str>) -> Ring {
        Ring::build(names.into_iter().enumerate().map(|(index, name)| (index, name.to_owned(), NAMES, 4)))
    }

    /// Index of the server for `key`: the owner of the first point at or after the key's hash, past the end the
    /// first of all. `None` for an empty ring.
    pub fn server(&self, key: &[u8]) -> Option<usize> {
        let [hash, ..] = digest_words(key);
        let index = self.position(hash);
        let owner = self.owners.get(index).or_else(|| self.owners.first())?;
        usize::try_from(*owner).ok()
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are no points, that is, no servers.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Index of the first point that is not before `hash`; the number of points if there is none.
    fn position(&self, hash: u32) -> usize {
        let start = self.arcs.get((hash >> self.shift) as usize).map_or(0, |start| *start as usize);
        let rest = self.points.get(start..).unwrap_or_default();
        sum([start, rest.iter().take_while(|point| **point < hash).count()])
    }

    /// From (index, name, number of names, points per name) of each server.
    fn build(servers: impl Iterator<Item = (usize, String, u32, usize)>) -> Ring {
        let mut ring = Vec::new();
        for (index, name, names, points) in servers {
            let owner = u32::try_from(index).unwrap_or(u32::MAX);
            for number in 0..names {
                let words = digest_words(format!("{name}-{number}").as_bytes());
                ring.extend(words.iter().take(points).map(|&point| (point, owner)));
            }
        }
        // Equal points come from a server that is listed twice: the first in the list owns them.
        ring.sort_unstable();
        let (points, owners): (Vec<u32>, Vec<u32>) = ring.into_iter().unzip();
        let bits = points.len().next_power_of_two().ilog2().clamp(1, 20);
        let shift = u32::BITS.saturating_sub(bits);
        let begin = |arc: u32| points.partition_point(|&point| point < arc << shift) as u32;
        let arcs = (0..1 << bits).map(begin).collect();
        Ring { points: points.into(), owners: owners.into(), arcs, shift }
    }
}

/// The name that libmemcached's rings use. A unix socket has port 0 there, too.
fn list_name(server: &RingServer<'_>) -> String {
    match server.port {
        DEFAULT_PORT => server.host.to_owned(),
        port => format!("{}:{port}", server.host),
    }
}

/// How many names a server of weight `weight` out of `total` gets among `servers` servers.
///
/// The share is computed in single precision in this order, the tiny summand in double precision and rounded back:
/// for some numbers of equal servers (25, 47, 50, …) the result is 39 instead of 40, and must be.
fn weighted_names(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    let names = share * 160.0 / 4.0 * servers as f32;
    (f64::from(names) + 1e-10) as f32 as u32
}

/// The MD5 digest of `text` as four little-endian words. The first is the hash of a key.
fn digest_words(text: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(text).into();
    let (words, _) = digest.as_chunks::<4>();
    let mut out = [0; 4];
    for (slot, word) in out.iter_mut().zip(words) {
        *slot = u32::from_le_bytes(*word);
    }
    out
}

#[cfg(test)]
mod tests;
