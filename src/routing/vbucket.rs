//! vbucket maps: CRC-32 picks a vbucket, the map names its master and replicas (05 §10.1, §11).

use crate::sums::sum;

/// "No server" in a row of the map, as the documents write it.
pub const NOBODY: i32 = -1;

/// Most vbuckets of a map: their numbers have 16 bits on the wire.
pub const MOST: usize = 65536;

/// A vbucket map: for each vbucket a row of server indexes, the master first, then the replicas.
///
/// The number of vbuckets is a power of two from 1 to 65536, every row has `replicas + 1` elements, and every element
/// is [`NOBODY`] or an index below `servers`: [`VbucketMap::new`] refuses anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VbucketMap {
    /// Number of vbuckets minus one.
    mask: u32,
    width: usize,
    servers: usize,
    rows: Box<[i32]>,
    forward: Option<Box<[i32]>>,
}

impl VbucketMap {
    /// Builds a map from rows laid end to end.
    ///
    /// `forward` is the map that holds once a rebalance is over; it may have fewer rows. `None` if an invariant of
    /// the type would not hold.
    pub fn new(replicas: usize, servers: usize, rows: Vec<i32>, forward: Option<Vec<i32>>) -> Option<VbucketMap> {
        let width = replicas.checked_add(1)?;
        let count = rows.len().checked_div(width)?;
        let fits = |rows: &[i32]| {
            rows.len().is_multiple_of(width)
                && rows
                    .iter()
                    .all(|&index| index == NOBODY || usize::try_from(index).is_ok_and(|index| index < servers))
        };
        if !count.is_power_of_two() || count > MOST || !fits(&rows) || !forward.as_deref().is_none_or(fits) {
            return None;
        }
        Some(VbucketMap {
            mask: u32::try_from(count.checked_sub(1)?).ok()?,
            width,
            servers,
            rows: rows.into(),
            forward: forward.map(Into::into),
        })
    }

    /// The vbucket that `key` belongs to. The hash has 15 bits, so ids from 32768 up are never used.
    pub fn vbucket(&self, key: &[u8]) -> u16 {
        let hash = (crc32fast::hash(key) >> 16) & 0x7fff & self.mask;
        u16::try_from(hash).unwrap_or(0) // cannot fail: 15 bits
    }

    /// Where the row of `vbucket` begins, if there is one.
    fn row(&self, vbucket: u16) -> usize {
        usize::from(vbucket).saturating_mul(self.width)
    }

    /// Index of the master of `vbucket`; `None` when it has none, or when there is no such vbucket.
    pub fn master(&self, vbucket: u16) -> Option<usize> {
        usize::try_from(*self.rows.get(self.row(vbucket))?).ok()
    }

    /// Index of replica number `number` (from 0) of `vbucket`, by libvbucket's rule that a replica counts only if
    /// its number plus one is below the number of servers (05 §11.1).
    pub fn replica(&self, vbucket: u16, number: usize) -> Option<usize> {
        let column = number.checked_add(1)?;
        if column >= self.servers || column >= self.width {
            return None;
        }
        usize::try_from(*self.rows.get(self.row(vbucket).checked_add(column)?)?).ok()
    }

    /// The master of `vbucket` to use after a server has refused it as "not my vbucket" (05 §11.2).
    ///
    /// The next server if the current master refused. Another server's refusal changes nothing, also with a forward map:
    /// it was asked before this map came. With a forward map, the master there comes directly after the master of this
    /// map, before the others; it may refuse as well if the map is older than it looks, and then each has its turn.
    pub fn master_after_refusal(&self, vbucket: u16, current: Option<usize>, refused_by: usize) -> Option<usize> {
        if current != Some(refused_by) {
            return current;
        }
        let next = |server: usize| server.checked_add(1)?.checked_rem(self.servers);
        let row = self.forward.as_ref().and_then(|forward| forward.get(self.row(vbucket)));
        let forward = row.and_then(|master| usize::try_from(*master).ok());
        let first = self.master(vbucket);
        if forward.is_none() || forward == first {
            return next(refused_by);
        }
        if current == first {
            return forward;
        }
        let before = if current == forward { first.unwrap_or(refused_by) } else { refused_by };
        let after = next(before);
        if after == forward { next(after?) } else { after }
    }

    /// How many vbuckets there are.
    pub fn vbuckets(&self) -> usize {
        sum([self.mask as usize, 1])
    }

    /// How many replicas each vbucket has.
    pub fn replicas(&self) -> usize {
        self.width.saturating_sub(1)
    }

    /// How many servers the map speaks of.
    pub fn servers(&self) -> usize {
        self.servers
    }

    /// Whether the document had a forward map.
    pub fn has_forward(&self) -> bool {
        self.forward.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(vbuckets: usize) -> VbucketMap {
        VbucketMap::new(0, 1, vec![0; vbuckets], None).expect("a valid map")
    }

    /// The table of 05 §10.1: key, then the vbucket for 4, 16, 64, 256, 1024 and 32768 vbuckets.
    #[test]
    fn key_table() {
        let long = [b'x'; 250];
        let table: [(&[u8], [u16; 6]); 15] = [
            (b"hello", [0, 0, 16, 16, 528, 13840]),
            (b"doctor", [0, 0, 0, 192, 960, 8128]),
            (b"name", [3, 3, 35, 35, 547, 24099]),
            (b"continue", [3, 3, 35, 227, 995, 5091]),
            (b"yesterday", [0, 4, 52, 52, 308, 25908]),
            (b"tomorrow", [1, 9, 9, 137, 393, 9609]),
            (b"another key", [2, 2, 34, 162, 162, 10402]),
            (b"foo", [3, 3, 51, 115, 115, 3187]),
            (b"bar", [3, 15, 63, 255, 767, 30463]),
            (b"a", [3, 7, 55, 183, 183, 26807]),
            (b"user:1234", [0, 0, 48, 176, 176, 12464]),
            (b"00000000", [0, 8, 8, 8, 8, 16392]),
            (b"key_0000000000", [3, 15, 15, 207, 207, 12495]),
            (b"\xc3\xa9t\xc3\xa9", [1, 1, 17, 209, 209, 17617]),
            (&long, [0, 8, 40, 104, 360, 2408]),
        ];
        for (column, vbuckets) in [4, 16, 64, 256, 1024, 32768].into_iter().enumerate() {
            let map = map_of(vbuckets);
            for (key, ids) in table {
                assert_eq!(map.vbucket(key), ids[column], "{key:?} of {vbuckets}");
            }
        }
        assert_eq!(crc32fast::hash(b"hello"), 0x3610_a686);
        assert_eq!(map_of(1).vbucket(b"bar"), 0);
        assert_eq!(map_of(65536).vbucket(b"bar"), 30463, "the hash has 15 bits only");
    }

    #[test]
    fn masters_and_replicas() {
        let map = VbucketMap::new(2, 3, vec![0, 1, 2, 1, 2, 0, 2, 1, -1, -1, 1, 2], None).unwrap();
        assert_eq!((map.vbuckets(), map.replicas(), map.servers()), (4, 2, 3));
        assert!(!map.has_forward());
        assert_eq!((0..5).map(|v| map.master(v)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None, None]);
        assert_eq!((map.replica(0, 0), map.replica(0, 1), map.replica(0, 2)), (Some(1), Some(2), None));
        assert_eq!((map.replica(2, 1), map.replica(9, 0), map.replica(0, usize::MAX)), (None, None, None));
    }

    #[test]
    fn a_replica_needs_enough_servers() {
        let map = VbucketMap::new(2, 2, vec![0, 1, 0], None).unwrap();
        assert_eq!((map.replica(0, 0), map.replica(0, 1)), (Some(1), None));
    }

    #[test]
    fn refusals_go_round_without_a_forward_map() {
        let map = VbucketMap::new(0, 3, vec![0, 1], None).unwrap();
        let mut master = map.master(0);
        let mut seen = vec![master];
        for _ in 0..3 {
            master = map.master_after_refusal(0, master, master.unwrap());
            seen.push(master);
        }
        assert_eq!(seen, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(map.master_after_refusal(0, Some(1), 2), Some(1), "a stranger's refusal changes nothing");
        assert_eq!(map.master_after_refusal(0, None, 2), None);
        assert_eq!(map.master_after_refusal(0, Some(usize::MAX), usize::MAX), None);
    }

    #[test]
    fn refusals_follow_the_forward_map() {
        let map = VbucketMap::new(1, 4, vec![0, 1, 2, 1], Some(vec![3, 0])).unwrap();
        assert!(map.has_forward());
        assert_eq!(map.master_after_refusal(0, Some(0), 0), Some(3));
        assert_eq!(map.master_after_refusal(0, Some(0), 2), Some(0), "a stranger's refusal changes nothing");
        assert_eq!(map.master_after_refusal(1, Some(2), 2), Some(3), "no forward row: the next server");
        assert_eq!(map.master_after_refusal(60000, Some(2), 1), Some(2));
    }

    #[test]
    fn refusals_go_round_with_an_outdated_forward_map() {
        for (servers, forward, order) in [
            (4, 2, vec![0, 2, 1, 3, 0, 2]),
            (4, 1, vec![0, 1, 2, 3, 0, 1]),
            (4, 3, vec![0, 3, 1, 2, 0, 3]),
            (4, 0, vec![0, 1, 2, 3, 0, 1]),
            (2, 1, vec![0, 1, 0, 1]),
            (1, 0, vec![0, 0, 0]),
        ] {
            let map = VbucketMap::new(0, servers, vec![0], Some(vec![forward])).unwrap();
            let mut master = map.master(0);
            for expected in &order {
                assert_eq!(master, Some(*expected), "{servers} servers, {forward} next: {order:?}");
                master = map.master_after_refusal(0, master, master.unwrap());
            }
        }
    }

    #[test]
    fn impossible_maps_are_refused() {
        assert_eq!(VbucketMap::new(0, 1, vec![], None), None);
        assert_eq!(VbucketMap::new(0, 1, vec![0, 0, 0], None), None);
        assert_eq!(VbucketMap::new(0, 1, vec![0; 2 * MOST], None), None);
        assert!(VbucketMap::new(0, 1, vec![0; MOST], None).is_some());
        assert_eq!(VbucketMap::new(1, 1, vec![0, 0, 0], None), None);
        assert_eq!(VbucketMap::new(0, 1, vec![1], None), None);
        assert_eq!(VbucketMap::new(0, 1, vec![-2], None), None);
        assert_eq!(VbucketMap::new(0, 1, vec![0], Some(vec![7])), None);
        assert_eq!(VbucketMap::new(usize::MAX, 1, vec![0], None), None);
    }
}
