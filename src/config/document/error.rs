//! Why a document is refused (05 §5.4, §10.3).

use std::fmt;

use crate::config::address::AddressError;

/// The first thing that is wrong with a document. The texts are libvbucket's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// The text does not begin with a JSON value.
    NotJson {
        /// Line of the first error, from 1.
        line: usize,
        /// Column of the first error, from 1.
        column: usize,
    },
    /// `nodeLocator` is not a string.
    LocatorType,
    /// `nodeLocator` is neither `vbucket` nor `ketama`.
    UnknownLocator,
    /// `numReplicas` is missing, not a number, or out of range.
    Replicas,
    /// `serverList` is missing or not an array.
    ServerListType,
    /// There are no servers.
    NoServers,
    /// An element of `serverList` is not a string.
    ServerType,
    /// `nodes` is not an array.
    NodesType,
    /// An element of `nodes` beside a vbucket map is not an object.
    VbucketNodeType,
    /// `vBucketMap` is missing or not an array.
    MapType,
    /// `vBucketMap` is empty: the bucket is still starting.
    NoVbuckets,
    /// The number of rows is not a power of two.
    VbucketCount,
    /// A row is not an array, or has no column for the master.
    Row,
    /// An element of a row is not the index of a server.
    ServerId,
    /// `vBucketMapForward` is not an array.
    ForwardType,
    /// A ketama bucket has neither `serverList` nor `nodes`.
    NoServerSource,
    /// An element of `nodes` of a ketama bucket is not an object.
    KetamaNodeType,
    /// A node has no `hostname`.
    NodeHostname,
    /// A node has no `ports`.
    NodePorts,
    /// A node has no `ports.direct`.
    NodeDirect,
    /// A server has an address that cannot be used.
    Address {
        /// Its index, from 0.
        server: usize,
        /// What is wrong.
        problem: AddressError,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DocumentError::NotJson { .. } => "Failed to parse data. Invalid JSON?",
            DocumentError::LocatorType => "Expected string for nodeLocator",
            DocumentError::UnknownLocator => "Expected vbucket or ketama for nodeLocator",
            DocumentError::Replicas => "Expected number <= 4 for numReplicas",
            DocumentError::ServerListType => "Expected array for serverList",
            DocumentError::NoServers => "Empty serverList",
            DocumentError::ServerType => "Expected array of strings for serverList",
            DocumentError::NodesType => "Expected array for nodes",
            DocumentError::VbucketNodeType => "Expected json object for nodes array item",
            DocumentError::MapType => "Expected array for vBucketMap",
            DocumentError::NoVbuckets => "No vBuckets available; service maybe still initializing",
            DocumentError::VbucketCount => "Number of vBuckets must be a power of two > 0 and <= 65536",
            DocumentError::Row => "Expected array of arrays each with numReplicas + 1 ints for vBucketMap",
            DocumentError::ServerId => "Server ID must be >= -1 and < num_servers",
            DocumentError::ForwardType => "Expected array for vBucketMapForward",
            DocumentError::NoServerSource => "Expected array for serverList or nodes",
            DocumentError::KetamaNodeType => "Expected object for nodes array item",
            DocumentError::NodeHostname => "Expected string for node's hostname",
            DocumentError::NodePorts => "Expected json object for node's ports",
            DocumentError::NodeDirect => "Expected number for node's direct port",
            DocumentError::Address { server, problem } => {
                return write!(f, "{problem}, server {server} of the list");
            }
        })
    }
}

impl std::error::Error for DocumentError {}
