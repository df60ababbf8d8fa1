//! What becomes of the descriptors that the system allows the process: how many clients there may be, and how many are
//! kept for everything else.
//!
//! Clients come by themselves, in any number. If they could take the last descriptor, no server could be reached, and
//! neither the log nor a configuration could be opened again.

use std::fs::File;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;

/// Least number of descriptors that is kept, if there are enough.
const LEAST: u64 = 64;
/// What is kept for the log, name look-ups, cluster managers, and files and ports that a reload opens.
const OWN: u64 = 32;

/// What the configuration in force may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Connections to servers, of all workers; `None`: there is no limit.
    pub connections: Option<u64>,
    /// Such a connection may end at our own built-in server, and needs a second descriptor there.
    pub has_memcached: bool,
}

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limit of the process.
    pub limit: u64,
    /// What is kept, at most half of what is left to share out.
    pub reserve: u64,
    /// What should have been kept.
    pub wanted: u64,
    /// How many clients there may be; at least one.
    pub clients: u64,
    /// How many there may be while the proxy's connections to its own server still find a place there.
    pub proxied: u64,
}

impl Budget {
    /// Shares out `limit` descriptors, of which `used` are open all the time.
    pub fn new(limit: u64, used: u64, need: Need) -> Budget {
        let free = limit.saturating_sub(used);
        let half = free / 2;
        let wanted = match need.connections {
            Some(connections) => connections.saturating_add(OWN).max(LEAST),
            None => half.max(LEAST),
        };
        let reserve = wanted.min(half);
        let clients = free.saturating_sub(reserve).max(1);
        let own = if need.has_memcached { need.connections.unwrap_or(u64::MAX).min(clients / 2) } else { 0 };
        Budget { limit, reserve, wanted, clients, proxied: clients.saturating_sub(own).max(1) }
    }

    /// What the operator should know if there are too few.
    pub fn warning(&self) -> Option<String> {
        let Budget { limit, reserve, wanted, clients, .. } = self;
        (reserve < wanted).then(|| {
            format!(
                "WARNING: a limit of {limit} open files is too low (ulimit -n): {reserve} are kept for servers, log \
                 and reload, which may need {wanted}, and {clients} clients are accepted"
            )
        })
    }
}

/// The limit of the process. `None`: the system does not tell.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// Raises the limit as far as the system lets us if it is too low for `clients` clients besides what is needed
/// otherwise.
pub fn raise(clients: u64, used: u64, need: Need) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let kept = need.connections.unwrap_or(clients).saturating_add(OWN).max(LEAST);
    let wish = used.saturating_add(clients).saturating_add(kept).min(hard);
    if soft < wish {
        // If not, there are fewer clients.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wish, hard);
    }
}

/// Has the system make its table of descriptors large enough for so many clients, and a connection to a server for each.
///
/// To be called while there is one thread. With more of them, whoever opens the descriptor for which the table has to grow
/// waits in the system until all processors have let go of the old one, which may take seconds where these are busy, and so
/// do the clients of that thread.
pub fn make_room(clients: u64) {
    let wish = clients.saturating_mul(2).saturating_add(LEAST).min(limit().unwrap_or(0));
    // If there is none, the table grows when it has to.
    if let (Ok(last), Ok(file)) = (i32::try_from(wish.saturating_sub(1)), File::open("/dev/null"))
        && let Ok(highest) = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(last))
    {
        let _ = close(highest);
    }
}

/// How many descriptors are open now; an estimate for so many workers if the system does not tell.
pub fn count_open(workers: usize) -> u64 {
    match std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory's.
        Ok(open) => (open.count() as u64).saturating_sub(1),
        Err(_) => (workers as u64).saturating_mul(4).saturating_add(16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reserve, clients, proxied clients.
    fn shares(limit: u64, used: u64, connections: Option<u64>, has_memcached: bool) -> (u64, u64, u64) {
        let budget = Budget::new(limit, used, Need { connections, has_memcached });
        assert!(budget.reserve + budget.clients <= (limit - used).max(1), "{budget:?}");
        (budget.reserve, budget.clients, budget.proxied)
    }

    #[test]
    fn clients_get_what_is_left() {
        // At least 64, if that leaves as many for clients.
        assert_eq!(shares(1024, 24, Some(16), false), (64, 936, 936));
        assert_eq!(shares(1024, 24, Some(400), false), (432, 568, 568));
        assert_eq!(shares(152, 24, Some(4), false), (64, 64, 64));
        // Half and half if there are too few.
        assert_eq!(shares(1024, 24, Some(4000), false), (500, 500, 500));
        assert_eq!(shares(124, 24, Some(4), false), (50, 50, 50));
        assert_eq!(shares(1024, 24, None, false), (500, 500, 500));
        // Somebody can always connect.
        assert_eq!(shares(25, 24, Some(4), false), (0, 1, 1));
        assert_eq!(shares(24, 24, Some(4), false), (0, 1, 1));
        // No limit.
        assert_eq!(shares(u64::MAX, 24, Some(16), false), (64, u64::MAX - 88, u64::MAX - 88));
        assert_eq!(shares(u64::MAX, 24, Some(u64::MAX), false).1, u64::MAX / 2 - 11);
    }

    #[test]
    fn the_proxy_reaches_its_own_server() {
        assert_eq!(shares(1024, 24, Some(16), true), (64, 936, 920));
        assert_eq!(shares(124, 24, Some(40), true), (50, 50, 25));
        assert_eq!(shares(1024, 24, None, true), (500, 500, 250));
        assert_eq!(shares(25, 24, Some(4), true), (0, 1, 1));
    }

    #[test]
    fn too_few_are_told_of() {
        let need = |connections| Need { connections, has_memcached: false };
        assert_eq!(Budget::new(1024, 24, need(Some(16))).warning(), None);
        assert_eq!(Budget::new(1024, 24, need(None)).warning(), None);
        assert!(Budget::new(100, 24, need(None)).warning().is_some());
        assert_eq!(
            Budget::new(100, 24, need(Some(48))).warning().as_deref(),
            Some(
                "WARNING: a limit of 100 open files is too low (ulimit -n): 38 are kept for servers, log and reload, \
                 which may need 80, and 38 clients are accepted"
            )
        );
    }
}
