//! Documents with a vbucket map (05 §5.4).

use serde_json::Value;

use super::{Document, DocumentError, address, member, revision, whole};
use crate::routing::Router;
use crate::routing::vbucket::{MOST, NOBODY, VbucketMap};

/// Most replicas of a vbucket.
const MOST_REPLICAS: usize = 4;

/// Reads the map of `document`: its member `vBucketServerMap`, or without one the document itself.
pub(super) fn parse(document: &Value, host: &str) -> Result<Document, DocumentError> {
    let map = member(document, "vBucketServerMap").filter(|map| map.is_object()).unwrap_or(document);
    let replicas = replicas(map)?;
    let list = server_list(map)?;
    check_nodes(document)?;
    let (rows, vbuckets) = current_rows(map, replicas, list.len())?;
    let forward = forward_rows(map, replicas, list.len(), vbuckets)?;
    let servers =
        list.iter().enumerate().map(|(index, text)| address(index, text, host)).collect::<Result<Vec<_>, _>>()?;
    let map = VbucketMap::new(replicas, servers.len(), rows, forward).ok_or(DocumentError::VbucketCount)?;
    let revision = revision(document);
    Ok(Document { name: None, password: None, servers, router: Router::Vbucket(map), revision })
}

fn replicas(map: &Value) -> Result<usize, DocumentError> {
    let number = member(map, "numReplicas").and_then(whole).ok_or(DocumentError::Replicas)?;
    (0..=MOST_REPLICAS).find(|&replicas| replicas as f64 == number).ok_or(DocumentError::Replicas)
}

fn server_list(map: &Value) -> Result<Vec<&str>, DocumentError> {
    let list = member(map, "serverList").and_then(Value::as_array).ok_or(DocumentError::ServerListType)?;
    if list.is_empty() {
        return Err(DocumentError::NoServers);
    }
    list.iter().map(|server| server.as_str().ok_or(DocumentError::ServerType)).collect()
}

/// `nodes` says nothing that matters for a vbucket map, but must have the right shape.
fn check_nodes(document: &Value) -> Result<(), DocumentError> {
    let Some(nodes) = member(document, "nodes") else {
        return Ok(());
    };
    let nodes = nodes.as_array().ok_or(DocumentError::NodesType)?;
    if nodes.iter().all(Value::is_object) { Ok(()) } else { Err(DocumentError::VbucketNodeType) }
}

/// The rows of `vBucketMap` laid end to end, and how many there are.
fn current_rows(map: &Value, replicas: usize, servers: usize) -> Result<(Vec<i32>, usize), DocumentError> {
    let rows = member(map, "vBucketMap").and_then(Value::as_array).ok_or(DocumentError::MapType)?;
    if rows.is_empty() {
        return Err(DocumentError::NoVbuckets);
    }
    if !rows.len().is_power_of_two() || rows.len() > MOST {
        return Err(DocumentError::VbucketCount);
    }
    Ok((flatten(rows, replicas, servers)?, rows.len()))
}

/// The rows of `vBucketMapForward`, as many as there are vbuckets, if the document has it: `null` and no rows are as
/// good as none.
fn forward_rows(
    map: &Value,
    replicas: usize,
    servers: usize,
    vbuckets: usize,
) -> Result<Option<Vec<i32>>, DocumentError> {
    let Some(forward) = member(map, "vBucketMapForward").filter(|forward| !forward.is_null()) else {
        return Ok(None);
    };
    let rows = forward.as_array().ok_or(DocumentError::ForwardType)?;
    let rows = rows.get(..vbuckets).unwrap_or(rows);
    if rows.is_empty() { Ok(None) } else { flatten(rows, replicas, servers).map(Some) }
}

/// Rows laid end to end, all of one width. While a number of replicas that was changed is being worked off, rows still
/// have the length of before: what is missing of one is nobody, and what it has too much does not count. Without a
/// master it is no row.
fn flatten(rows: &[Value], replicas: usize, servers: usize) -> Result<Vec<i32>, DocumentError> {
    let width = replicas.saturating_add(1);
    let mut flat = Vec::with_capacity(rows.len().saturating_mul(width));
    for row in rows {
        let row = row.as_array().filter(|row| !row.is_empty()).ok_or(DocumentError::Row)?;
        for column in 0..width {
            flat.push(row.get(column).map_or(Ok(NOBODY), |index| server_id(index, servers))?);
        }
    }
    Ok(flat)
}

/// The index of one of the `servers`, or nobody's.
fn server_id(index: &Value, servers: usize) -> Result<i32, DocumentError> {
    let index = whole(index).filter(|&index| index >= -1.0 && index < servers as f64);
    index.map(|index| index as i32).ok_or(DocumentError::ServerId)
}
