//! What a client may see of a key that nobody else writes.
//!
//! A server that has confirmed a version has that one or a later one, until it is killed; what it had of versions that
//! went to other servers is old, and may be seen when the key comes back to it. So for each server there is a floor. The
//! servers that can have carried out a request are those whose the key was between its sending and its answer: mostly one,
//! two while a map changes.

use super::map::{SERVERS, Servers};

/// What a server has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Floor {
    version: u64,
    /// The process that has confirmed it, or an older one.
    generation: u64,
    is_gone: bool,
}

/// One key, as its client knows it.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// The newest version that was sent.
    version: u64,
    floors: [Option<Floor>; SERVERS],
    /// The newest version that is a deletion and may have reached the server.
    gone: [u64; SERVERS],
    /// From which version on these servers may have got them.
    writers: Vec<(u64, Servers)>,
}

/// Under which circumstances an answer has come.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Who may have carried out the request.
    pub servers: Servers,
    /// The servers' processes now.
    pub generations: [u64; SERVERS],
    /// A server that fails explains that there is no value.
    pub is_explained: bool,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A version that was never sent.
    Unknown,
    /// A version that was never sent to any of these servers.
    Elsewhere,
    /// A version older than what was confirmed.
    Old,
    /// None, where one was confirmed.
    Lost,
}

impl Key {
    /// The next version.
    pub fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The answer to a write has come, or the error that takes its place.
    pub fn written(&mut self, version: u64, is_gone: bool, is_confirmed: bool, case: &Case) {
        if self.writers.last().is_none_or(|(_, servers)| *servers != case.servers) {
            self.writers.push((version, case.servers));
        }
        for server in each(case.servers).filter(|_| is_gone) {
            self.gone[server] = version;
        }
        // Which of two has it is not known.
        if is_confirmed && case.servers.is_power_of_two() {
            let server = case.servers.trailing_zeros() as usize;
            self.floors[server] = Some(Floor { version, generation: case.generations[server], is_gone });
        }
    }

    /// A read has brought this version, or nothing.
    pub fn read(&self, seen: Option<u64>, case: &Case) -> Result<(), Wrong> {
        let Some(seen) = seen else {
            let may_be_gone = |server: usize| {
                self.floor(server, case).is_none_or(|floor| floor.is_gone || self.gone[server] > floor.version)
            };
            let is_right = case.is_explained || each(case.servers).any(may_be_gone);
            return if is_right { Ok(()) } else { Err(Wrong::Lost) };
        };
        if seen == 0 || seen > self.version {
            return Err(Wrong::Unknown);
        }
        let mut holders = each(case.servers & self.writers(seen)).peekable();
        if holders.peek().is_none() {
            return Err(Wrong::Elsewhere);
        }
        let is_new = |server: usize| self.floor(server, case).is_none_or(|floor| seen >= floor.version);
        if holders.any(is_new) { Ok(()) } else { Err(Wrong::Old) }
    }

    /// What the server has, if it lives.
    fn floor(&self, server: usize, case: &Case) -> Option<Floor> {
        self.floors[server].filter(|floor| floor.generation == case.generations[server])
    }

    /// Who may have got a version.
    fn writers(&self, version: u64) -> Servers {
        let next = self.writers.partition_point(|(first, _)| *first <= version);
        next.checked_sub(1).map_or(0, |index| self.writers[index].1)
    }
}

/// The servers of a set.
fn each(servers: Servers) -> impl Iterator<Item = usize> {
    (0..SERVERS).filter(move |server| servers >> server & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(servers: Servers) -> Case {
        Case { servers, generations: [0; SERVERS], is_explained: false }
    }

    /// A key with one version confirmed by the first server, and another one by the second.
    fn moved() -> Key {
        let mut key = Key::default();
        for (version, servers) in [(1, 1), (2, 2)] {
            assert_eq!(key.next(), version);
            key.written(version, false, true, &case(servers));
        }
        key
    }

    #[test]
    fn each_server_has_its_own() {
        let key = moved();
        assert_eq!(key.read(Some(2), &case(2)), Ok(()));
        // It has come back to where it was first.
        assert_eq!(key.read(Some(1), &case(1)), Ok(()));
        assert_eq!(key.read(Some(2), &case(1)), Err(Wrong::Elsewhere));
        assert_eq!(key.read(Some(1), &case(2)), Err(Wrong::Elsewhere));
        // While the map changes, either may answer.
        assert_eq!((key.read(Some(1), &case(3)), key.read(Some(2), &case(3))), (Ok(()), Ok(())));
        assert_eq!(key.read(Some(3), &case(3)), Err(Wrong::Unknown));
        assert_eq!(key.read(None, &case(3)), Err(Wrong::Lost));
        // A server that has never had it.
        assert_eq!(key.read(None, &case(4)), Ok(()));
    }

    #[test]
    fn what_is_older_than_what_was_confirmed() {
        let mut key = moved();
        for is_confirmed in [false, true] {
            let version = key.next();
            key.written(version, false, is_confirmed, &case(2));
        }
        assert_eq!(key.read(Some(4), &case(2)), Ok(()));
        assert_eq!(key.read(Some(3), &case(2)), Err(Wrong::Old));
        let version = key.next();
        key.written(version, false, false, &case(2));
        // Carried out or not.
        assert_eq!((key.read(Some(4), &case(2)), key.read(Some(5), &case(2))), (Ok(()), Ok(())));
    }

    #[test]
    fn what_is_gone() {
        let mut key = moved();
        let mut killed = case(2);
        killed.generations[1] = 1;
        assert_eq!(key.read(None, &case(2)), Err(Wrong::Lost));
        assert_eq!(key.read(None, &killed), Ok(()));
        assert_eq!(key.read(None, &Case { is_explained: true, ..case(2) }), Ok(()));
        let version = key.next();
        key.written(version, true, false, &case(2));
        assert_eq!((key.read(None, &case(2)), key.read(Some(2), &case(2))), (Ok(()), Ok(())));
        let version = key.next();
        key.written(version, true, true, &case(2));
        assert_eq!((key.read(None, &case(2)), key.read(Some(2), &case(2))), (Ok(()), Err(Wrong::Old)));
    }
}
