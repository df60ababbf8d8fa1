//! `couchApiBase` of the servers of a vbucket document. Only `vbuckettool` shows it; bad entries are ignored.

use serde_json::Value;

use super::{first_value, member, nodes, string, with_host};
use crate::config::address::Address;

/// For each of `servers` the `couchApiBase` of the node with its address, if there is one.
pub fn of(text: &str, servers: &[Address], host: &str) -> Vec<Option<String>> {
    let document = first_value(text).unwrap_or_default();
    let nodes = member(&document, "nodes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let known: Vec<(Address, String)> = nodes.iter().filter_map(|node| base(node, host)).collect();
    let of = |server: &Address| known.iter().find(|(address, _)| address == server).map(|(_, base)| base.clone());
    servers.iter().map(of).collect()
}

fn base(node: &Value, host: &str) -> Option<(Address, String)> {
    let address = Address::parse(&with_host(&nodes::name(node).ok()?, host)).ok()?;
    Some((address, with_host(string(node, "couchApiBase")?, host)))
}
