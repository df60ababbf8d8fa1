//! Documents with the `ketama` locator in a static section: libvbucket's ring (05 §10.3).

use serde_json::Value;

use super::nodes::name;
use super::{Document, DocumentError, address, member};
use crate::config::snapshot::Revision;
use crate::routing::Router;
use crate::routing::ketama::Ring;

/// Reads the servers from `nodes`, whatever their status. They are sorted by name before they get their indexes.
pub(super) fn parse(document: &Value, host: &str) -> Result<Document, DocumentError> {
    let nodes = member(document, "nodes").and_then(Value::as_array).ok_or(DocumentError::NodesType)?;
    if nodes.is_empty() {
        return Err(DocumentError::NoServers);
    }
    let mut names = nodes.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    for name in &mut names {
        *name = super::with_host(name, host);
    }
    names.sort_unstable();
    let servers =
        names.iter().enumerate().map(|(index, name)| address(index, name, host)).collect::<Result<Vec<_>, _>>()?;
    let router = match servers.len() {
        1 => Router::Single,
        _ => Router::Ketama(Ring::libvbucket(names.iter().map(String::as_str))),
    };
    Ok(Document { name: None, password: None, servers, router, revision: Revision::default() })
}
