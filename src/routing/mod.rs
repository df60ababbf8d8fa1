//! Key to server: vbucket maps, ketama rings and modula (05 §10).
//!
//! | file | used for |
//! |---|---|
//! | [`vbucket`] | JSON documents with a vbucket map |
//! | [`ketama`] | server lists (weighted or plain), JSON documents with the `ketama` locator |
//! | [`modula`] | server lists with `mcs_opts=distribution:modula` |
//!
//! A router is built once per configuration and only read afterwards. Looking up a key allocates nothing.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod ketama;
pub mod modula;
pub mod vbucket;

use ketama::{Ring, RingServer};
use vbucket::VbucketMap;

/// Where a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Index of the server in its bucket; `None` when the vbucket has no master.
    pub server: Option<usize>,
    /// The vbucket id that binary requests carry; 0 without a vbucket map.
    pub vbucket: u16,
}

/// How a bucket's keys map to its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// One server: every key goes to index 0, nothing is hashed (05 §10.2).
    Single,
    /// None: the client names the server of each request (`-X`).
    Named,
    /// A ring of points.
    Ketama(Ring),
    /// One-at-a-time hash modulo the number of servers.
    Modula {
        /// How many servers there are.
        servers: usize,
    },
    /// A vbucket map.
    Vbucket(VbucketMap),
}

impl Router {
    /// The router of a server list under the hash options `mcs_opts` (05 §10.2).
    pub fn for_list(mcs_opts: &str, servers: &[RingServer<'_>]) -> Router {
        if servers.len() == 1 {
            return Router::Single;
        }
        match Distribution::from_mcs_opts(mcs_opts) {
            Distribution::KetamaWeighted => Router::Ketama(Ring::weighted(servers)),
            Distribution::Ketama => Router::Ketama(Ring::plain(servers)),
            Distribution::Modula => Router::Modula { servers: servers.len() },
        }
    }

    /// The server for `key`. The whole key counts, byte by byte; there are no hash tags.
    pub fn route(&self, key: &[u8]) -> Route {
        match self {
            Router::Single => Route { server: Some(0), vbucket: 0 },
            Router::Named => Route { server: None, vbucket: 0 },
            Router::Ketama(ring) => Route { server: ring.server(key), vbucket: 0 },
            Router::Modula { servers } => Route { server: modula::server(key, *servers), vbucket: 0 },
            Router::Vbucket(map) => {
                let vbucket = map.vbucket(key);
                Route { server: map.master(vbucket), vbucket }
            }
        }
    }

    /// The vbucket map, for buckets that have one.
    pub fn vbucket_map(&self) -> Option<&VbucketMap> {
        match self {
            Router::Vbucket(map) => Some(map),
            _ => None,
        }
    }
}

/// Whether `mcs_opts` names a distribution that there is.
pub fn names_distribution(mcs_opts: &str) -> bool {
    Distribution::named(mcs_opts).is_some()
}

/// What `mcs_opts` selects for server lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    KetamaWeighted,
    Ketama,
    Modula,
}

impl Distribution {
    const NAMES: [(&str, Distribution); 3] = [
        ("distribution:ketama-weighted", Distribution::KetamaWeighted),
        ("distribution:ketama", Distribution::Ketama),
        ("distribution:modula", Distribution::Modula),
    ];

    /// The options are searched for, not compared: anything may stand around them. The first match in this order
    /// wins; without one the distribution is weighted ketama.
    fn from_mcs_opts(text: &str) -> Distribution {
        Distribution::named(text).unwrap_or(Distribution::KetamaWeighted)
    }

    fn named(text: &str) -> Option<Distribution> {
        Self::NAMES.iter().find(|(name, _)| text.contains(name)).map(|&(_, distribution)| distribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize) -> Vec<RingServer<'static>> {
        (0..count).map(|_| RingServer { host: "cache.example", port: 11211, weight: 0 }).collect()
    }

    #[test]
    fn mcs_opts_selects_the_distribution() {
        for (text, want) in [
            ("", Distribution::KetamaWeighted),
            ("verify_key:1", Distribution::KetamaWeighted),
            ("distribution:ketama-weighted", Distribution::KetamaWeighted),
            ("distribution:ketama", Distribution::Ketama),
            ("x distribution:ketama y", Distribution::Ketama),
            ("distribution:modula", Distribution::Modula),
            ("distribution:modula distribution:ketama", Distribution::Ketama),
            ("ketama", Distribution::KetamaWeighted),
        ] {
            assert_eq!(Distribution::from_mcs_opts(text), want, "{text}");
        }
    }

    #[test]
    fn which_options_name_a_distribution() {
        for (text, want) in
            [("", false), ("ketama", false), ("x distribution:ketama", true), ("distribution:modula", true)]
        {
            assert_eq!(names_distribution(text), want, "{text}");
        }
    }

    #[test]
    fn a_map_decides_by_vbucket() {
        let map = VbucketMap::new(0, 3, vec![2, 0, 1, 0], None).expect("a valid map");
        let router = Router::Vbucket(map.clone());
        assert_eq!((router.vbucket_map(), Router::Single.vbucket_map()), (Some(&map), None));
        // 05 §10.1
        assert_eq!(router.route(b"hello"), Route { server: Some(2), vbucket: 0 });
        assert_eq!(router.route(b"another key"), Route { server: Some(1), vbucket: 2 });
    }

    #[test]
    fn one_server_is_not_hashed() {
        for options in ["", "distribution:ketama", "distribution:modula"] {
            assert_eq!(Router::for_list(options, &list(1)), Router::Single);
        }
        assert_eq!(Router::Single.route(b"any"), Route { server: Some(0), vbucket: 0 });
    }

    #[test]
    fn an_empty_list_has_no_server() {
        for options in ["", "distribution:ketama", "distribution:modula"] {
            assert_eq!(Router::for_list(options, &[]).route(b"any").server, None);
        }
        assert_eq!(Router::Named.route(b"any"), Route { server: None, vbucket: 0 });
    }
}
