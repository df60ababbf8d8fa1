//! The servers of a ketama bucket that came over REST (05 §5.5): no ring of libvbucket's, only a list.

use serde_json::Value;

use super::{DocumentError, address, member, string, whole};
use crate::config::address::{Address, bracketed, split_host};

/// Reads the servers of `document`, in its order: from `vBucketServerMap.serverList` if that is an array, else from
/// `nodes`, where those that are not healthy are left out. `host` takes the place of `$HOST`.
///
/// # Errors
/// When there is no list, no server is left of it, or an entry names none.
pub fn servers(document: &Value, host: &str) -> Result<Vec<Address>, DocumentError> {
    let list = member(document, "vBucketServerMap").and_then(|map| member(map, "serverList")).and_then(Value::as_array);
    let nodes = || member(document, "nodes").and_then(Value::as_array);
    let items = list.or_else(nodes).ok_or(DocumentError::NoServerSource)?;
    let named = items.iter().enumerate().filter(|(_, item)| is_healthy(item));
    let servers = named
        .map(|(index, item)| match item {
            Value::String(text) => address(index, text, host),
            node => address(index, &name(node)?, host),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() { Err(DocumentError::NoServers) } else { Ok(servers) }
}

fn is_healthy(item: &Value) -> bool {
    string(item, "status").is_none_or(|status| status == "healthy")
}

/// `HOST:PORT` of a node, the port being that for memcached's protocol.
pub(super) fn name(node: &Value) -> Result<String, DocumentError> {
    if !node.is_object() {
        return Err(DocumentError::KetamaNodeType);
    }
    let hostname = string(node, "hostname").ok_or(DocumentError::NodeHostname)?;
    let ports = member(node, "ports").filter(|ports| ports.is_object()).ok_or(DocumentError::NodePorts)?;
    let direct = member(ports, "direct").and_then(whole).ok_or(DocumentError::NodeDirect)?;
    let (host, _) = split_host(hostname);
    Ok(format!("{}:{direct}", bracketed(host)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::first_value;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let servers = servers(&first_value(text).unwrap(), "node7").map_err(|error| error.to_string())?;
        Ok(servers.into_iter().map(|server| format!("{}:{}", server.host, server.port)).collect())
    }

    #[test]
    fn a_server_list_wins_over_nodes() {
        let nodes = r#""nodes":[{"hostname":"n:8091","ports":{"direct":9}}]"#;
        assert_eq!(
            read(&format!(r#"{{"vBucketServerMap":{{"serverList":["b:1","$HOST:2"],"vBucketMap":[]}},{nodes}}}"#)),
            Ok(vec!["b:1".into(), "node7:2".into()])
        );
        for map in ["{}", r#"{"serverList":5}"#, "5"] {
            assert_eq!(read(&format!(r#"{{"vBucketServerMap":{map},{nodes}}}"#)), Ok(vec!["n:9".into()]), "{map}");
        }
    }

    #[test]
    fn nodes_in_their_order_without_the_sick() {
        let text = r#"{"nodes":[
            {"hostname":"z:8091","status":"healthy","ports":{"direct":11210.9,"proxy":1}},
            {"hostname":"y:8091","status":"warmup"},
            {"hostname":"$HOST","status":7,"ports":{"direct":1}}]}"#;
        assert_eq!(read(text), Ok(vec!["z:11210".into(), "node7:1".into()]));
    }

    #[test]
    fn refusals() {
        let long = "a".repeat(250);
        for (nodes, want) in [
            ("5", "Expected array for serverList or nodes"),
            ("[]", "Empty serverList"),
            (r#"[{"status":"unhealthy"}]"#, "Empty serverList"),
            ("[5]", "Expected object for nodes array item"),
            ("[{}]", "Expected string for node's hostname"),
            (r#"[{"hostname":"a"}]"#, "Expected json object for node's ports"),
            (r#"[{"hostname":"a","ports":{}}]"#, "Expected number for node's direct port"),
            (r#"["a:1",{"hostname":"b","ports":{"direct":0}}]"#, "could not parse port, server 1 of the list"),
            (r#"["a"]"#, "missing port, server 0 of the list"),
            (&format!(r#"["{long}:1"]"#), "unknown server, server 0 of the list"),
        ] {
            assert_eq!(read(&format!(r#"{{"nodes":{nodes}}}"#)), Err(want.to_owned()), "{nodes}");
        }
        assert_eq!(read("{}").unwrap_err(), "Expected array for serverList or nodes");
    }
}
