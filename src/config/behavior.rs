//! `-Z`: the proxy behaviour keys (05 §3).

/// The protocol spoken to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownstreamProtocol {
    /// memcached's ASCII protocol.
    Ascii,
    /// memcached's binary protocol.
    Binary,
}

/// All keys with their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {}
