//! A configuration: the document of the cluster manager, and whose each key is by it.

use moxi::routing::ketama::Ring;
use moxi::routing::vbucket::VbucketMap;
use moxi_test_support::load::random::Random;

/// All there are.
pub const SERVERS: usize = 5;
/// How few of them there may be.
const FEWEST: usize = 2;
const VBUCKETS: usize = 64;
/// How many names the bucket has that is there to number the documents.
pub const MARKS: usize = 10;

/// A set of servers, one bit each.
pub type Servers = u8;

/// The buckets that clients are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// A list of servers.
    Ring,
    /// A map of vbuckets.
    Map,
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Map {
    /// Counts them.
    pub number: usize,
    ports: [u16; SERVERS],
    /// The servers of the ring.
    ring: Vec<usize>,
    /// The servers of the map, in the order of the document.
    list: Vec<usize>,
    /// By vbucket: an index into `list`.
    rows: Vec<usize>,
    /// How keys are routed by that, and whose the indexes are.
    routers: (Ring, Vec<usize>, VbucketMap),
}

impl Map {
    /// The first one: all servers.
    pub fn first(ports: [u16; SERVERS]) -> Map {
        let all: Vec<usize> = (0..SERVERS).collect();
        let rows = (0..VBUCKETS).map(|vbucket| vbucket % SERVERS).collect::<Vec<_>>();
        Map::new(0, ports, all.clone(), (all, rows))
    }

    fn new(number: usize, ports: [u16; SERVERS], ring: Vec<usize>, (list, rows): (Vec<usize>, Vec<usize>)) -> Map {
        // Indexes are of the sorted list.
        let mut owners = ring.clone();
        owners.sort_by_key(|server| ports[*server].to_string());
        let names: Vec<String> = owners.iter().map(|server| format!("127.0.0.1:{}", ports[*server])).collect();
        let points = Ring::libvbucket(names.iter().map(String::as_str));
        let masters = rows.iter().map(|row| *row as i32).collect();
        let map = VbucketMap::new(0, list.len(), masters, None).expect("a map");
        Map { number, ports, ring, list, rows, routers: (points, owners, map) }
    }

    /// The next one, with a server more or less in the ring.
    pub fn with_other_ring(&self, random: &mut Random) -> Map {
        let mut ring = self.ring.clone();
        let absent: Vec<usize> = (0..SERVERS).filter(|server| !ring.contains(server)).collect();
        let joins = !absent.is_empty() && (ring.len() == FEWEST || random.below(2) == 0);
        if joins {
            ring.push(absent[random.below(absent.len())]);
        } else {
            ring.remove(random.below(ring.len()));
        }
        Map::new(self.number + 1, self.ports, ring, (self.list.clone(), self.rows.clone()))
    }

    /// The next one, with vbuckets that have moved; a server may have come or gone with that.
    pub fn with_other_rows(&self, random: &mut Random) -> Map {
        let count = FEWEST + random.below(SERVERS - FEWEST + 1);
        let first = random.below(SERVERS);
        let list: Vec<usize> = (first..first + count).map(|server| server % SERVERS).collect();
        let moved = |(vbucket, row): (usize, &usize)| {
            let stays = list.iter().position(|server| *server == self.list[*row]);
            stays.filter(|_| vbucket % 3 != 0).unwrap_or_else(|| random.below(count))
        };
        let rows = self.rows.iter().enumerate().map(moved).collect();
        Map::new(self.number + 1, self.ports, self.ring.clone(), (list, rows))
    }

    /// The next one, with all servers in the ring.
    pub fn with_all(&self) -> Map {
        let all = (0..SERVERS).collect();
        Map::new(self.number + 1, self.ports, all, (self.list.clone(), self.rows.clone()))
    }

    /// Whose the key is.
    pub fn owner(&self, bucket: Bucket, key: &[u8]) -> usize {
        let (ring, owners, map) = &self.routers;
        match bucket {
            Bucket::Ring => owners[ring.server(key).expect("a ring")],
            Bucket::Map => self.list[map.master(map.vbucket(key)).expect("a master")],
        }
    }

    /// The name of the bucket that numbers the documents.
    pub fn mark(&self) -> String {
        format!("mark-{}", self.number % MARKS)
    }

    /// What the cluster manager says. Without a map, the only bucket for clients has no name: a named one would want a user.
    pub fn document(&self, has_map: bool) -> String {
        // One that is not in the ring is not there at all, or is there and not well.
        let is_shown = |server: &usize| self.ring.contains(server) || self.number.is_multiple_of(2);
        let node = |server: usize| {
            let status = if self.ring.contains(&server) { "healthy" } else { "unhealthy" };
            let port = self.ports[server];
            format!(r#"{{"hostname":"127.0.0.1:8091","status":"{status}","ports":{{"direct":{port}}}}}"#)
        };
        let nodes: Vec<String> = (0..SERVERS).filter(is_shown).map(node).collect();
        let name = if has_map { "default" } else { "" };
        let ring = |name: &str| format!(r#"{{"name":"{name}","nodeLocator":"ketama","nodes":[{}]}}"#, nodes.join(","));
        let mut buckets = vec![ring(name), ring(&self.mark())];
        if has_map {
            buckets.push(self.vbuckets());
        }
        format!(r#"{{"buckets":[{}]}}"#, buckets.join(","))
    }

    fn vbuckets(&self) -> String {
        let list: Vec<String> =
            self.list.iter().map(|server| format!("\"127.0.0.1:{}\"", self.ports[*server])).collect();
        let rows: Vec<String> = self.rows.iter().map(|row| format!("[{row}]")).collect();
        format!(
            r#"{{"name":"map","saslPassword":"sesame","nodeLocator":"vbucket","vBucketServerMap":{{"hashAlgorithm":"CRC","numReplicas":0,"serverList":[{}],"vBucketMap":[{}]}}}}"#,
            list.join(","),
            rows.join(",")
        )
    }
}
