//! Key to server: vbucket maps, ketama rings and modula (05 §10).

/// Where a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Index of the server in its bucket; `None` when the vbucket has no master.
    pub server: Option<usize>,
    /// The vbucket id that binary requests carry; 0 without a vbucket map.
    pub vbucket: u16,
}

/// How a bucket's keys map to its servers.
#[derive(Debug)]
pub struct Router {}
