//! What the servers share: who is the master of which vbucket, and what is stored in it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many vbuckets there are.
pub const VBUCKETS: usize = 1024;

/// For so long, a server that has refused a vbucket had better not become its master. Requests that a client sent
/// together would be refused in part: the later ones, if the machine is busy enough, would find that they are welcome.
const GRUDGE: Duration = Duration::from_millis(500);

/// What is in the body of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing, as with older servers.
    Nothing,
    /// The map, without its revision.
    Map,
    /// The map and its revision.
    Revision,
}

/// A stored value.
#[derive(Clone, Debug)]
pub struct Item {
    pub value: Vec<u8>,
    pub flags: [u8; 4],
    pub cas: u64,
}

/// One vbucket. Whoever holds its lock sees it with one master.
#[derive(Debug, Default)]
pub struct Vbucket {
    pub master: usize,
    pub items: HashMap<Vec<u8>, Item>,
    /// Which servers have refused it, and when.
    pub refused: HashMap<usize, Instant>,
}

/// The whole.
pub struct Cluster {
    body: Body,
    vbuckets: Vec<Mutex<Vbucket>>,
    /// The masters once more, for maps.
    masters: Vec<AtomicUsize>,
    /// Counts the changes.
    revision: AtomicU64,
    ports: Vec<u16>,
    /// The map in refusals, and its revision.
    map: Mutex<(u64, Arc<str>)>,
    pub refusals: AtomicU64,
    pub cas: AtomicU64,
    /// By server: moxi's connections to it.
    connections: Vec<AtomicUsize>,
}

impl Cluster {
    /// All vbuckets are dealt out to the first `active` of the servers on these ports.
    pub fn new(ports: Vec<u16>, active: usize, body: Body) -> Cluster {
        let masters = || (0..VBUCKETS).map(|vbucket| vbucket % active);
        Cluster {
            body,
            vbuckets: masters().map(|master| Mutex::new(Vbucket { master, ..Vbucket::default() })).collect(),
            masters: masters().map(AtomicUsize::new).collect(),
            revision: AtomicU64::new(1),
            connections: ports.iter().map(|_| AtomicUsize::new(0)).collect(),
            ports,
            map: Mutex::new((0, Arc::from(""))),
            refusals: AtomicU64::new(0),
            cas: AtomicU64::new(1),
        }
    }

    /// One vbucket, if it exists.
    pub fn vbucket(&self, number: usize) -> Option<MutexGuard<'_, Vbucket>> {
        Some(self.vbuckets.get(number)?.lock().expect("no panics"))
    }

    /// Nothing is stored any more.
    pub fn clear(&self) {
        for vbucket in &self.vbuckets {
            vbucket.lock().expect("no panics").items.clear();
        }
    }

    /// The master of a vbucket.
    pub fn master(&self, number: usize) -> usize {
        self.masters[number].load(Ordering::SeqCst)
    }

    /// Another master for a vbucket, at once.
    pub fn hand_over(&self, number: usize, to: usize) {
        let mut vbucket = self.vbucket(number).expect("it exists");
        vbucket.master = to;
        self.masters[number].store(to, Ordering::SeqCst);
        self.revision.fetch_add(1, Ordering::SeqCst);
    }

    /// Which of these servers a vbucket goes to: the one at `wish`, or the next one that has not just refused it.
    pub fn successor(&self, number: usize, servers: &[usize], wish: usize) -> usize {
        let vbucket = self.vbucket(number).expect("it exists");
        let candidates = (wish..wish + servers.len()).map(|place| servers[place % servers.len()]);
        let has_refused = |server: &usize| vbucket.refused.get(server).is_some_and(|when| when.elapsed() < GRUDGE);
        candidates.clone().find(|server| !has_refused(server)).unwrap_or(servers[wish % servers.len()])
    }

    /// How many connections to a server there are.
    pub fn connections(&self, server: usize) -> usize {
        self.connections[server].load(Ordering::SeqCst)
    }

    /// A connection to a server is there as long as `talk` runs.
    pub fn connected(&self, server: usize, talk: impl FnOnce()) {
        self.connections[server].fetch_add(1, Ordering::SeqCst);
        talk();
        self.connections[server].fetch_sub(1, Ordering::SeqCst);
    }

    /// What the master of another vbucket says to a request for one that it does not have.
    pub fn refusal(&self) -> Arc<str> {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if self.body == Body::Nothing {
            return Arc::from("");
        }
        let revision = self.revision.load(Ordering::SeqCst);
        let mut map = self.map.lock().expect("no panics");
        if map.0 < revision {
            let order: Vec<usize> = (0..self.ports.len()).collect();
            *map = (revision, self.document(&order, None).into());
        }
        Arc::clone(&map.1)
    }

    /// The cluster manager's document. The servers are in this order, and those that are not in it are no masters.
    pub fn document(&self, order: &[usize], forward: Option<&[usize]>) -> String {
        // Read before the masters: what it promises is in the map, perhaps more.
        let revision = self.revision.load(Ordering::SeqCst);
        let place = |server: usize| order.iter().position(|other| *other == server).expect("a master");
        let rows = |masters: &mut dyn Iterator<Item = usize>| {
            masters.map(|master| format!("[{}]", place(master))).collect::<Vec<_>>().join(",")
        };
        let servers: Vec<_> = order.iter().map(|server| format!("127.0.0.1:{}", self.ports[*server])).collect();
        let mut text = String::from("{\"name\":\"\",");
        if self.body == Body::Revision {
            write!(text, "\"rev\":{revision},").expect("memory");
        }
        write!(
            text,
            "\"nodeLocator\":\"vbucket\",\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\
             \"serverList\":{servers:?},\"vBucketMap\":[{}]",
            rows(&mut (0..VBUCKETS).map(|vbucket| self.master(vbucket)))
        )
        .expect("memory");
        if let Some(forward) = forward {
            write!(text, ",\"vBucketMapForward\":[{}]", rows(&mut forward.iter().copied())).expect("memory");
        }
        text + "}}"
    }
}
