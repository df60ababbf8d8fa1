//! One bucket from its document.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::Source;
use crate::config::address::Address;
use crate::config::behavior::Behavior;
use crate::config::document::{Document, DocumentError, Locator, locator, nodes, revision, string};
use crate::config::load::{LONGEST_PASSWORD, LONGEST_USER, server, truncated};
use crate::config::snapshot::{BucketConfig, Learned, Secret};
use crate::routing::Router;
use crate::routing::ketama::RingServer;

/// What a bucket is built of besides its document.
pub(super) struct Plan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where the document comes from.
    pub source: Source<'a>,
    /// Where its clients come in.
    pub port: u16,
    /// What `-Z` says.
    pub base: &'a Behavior,
}

/// Builds a bucket. `text` is what statistics show of a vbucket document.
///
/// Clients get in with the name and the document's password; without one it is empty (05 §8.2). Servers are shown
/// the same, or `-Z pwd` if the document has no password (05 §9); without a name they are shown nothing.
pub(super) fn build(
    document: &Value,
    plan: &Plan<'_>,
    text: impl FnOnce() -> String,
) -> Result<BucketConfig, DocumentError> {
    let Plan { name, source, port, base } = *plan;
    let (addresses, router, get_errors, text) = match locator(document)? {
        Locator::Vbucket => {
            let Document { servers, router, .. } = Document::vbucket(document, source.host)?;
            (servers, router, true, text())
        }
        Locator::Ketama => {
            let addresses = nodes::servers(document, source.host)?;
            let router = ring(&addresses, base);
            let text = list(&addresses, base.downstream_weight);
            (addresses, router, false, text)
        }
    };
    let user = truncated(name, LONGEST_USER);
    let password = string(document, "saslPassword");
    let password = password.map(|password| Secret::new(truncated(password, LONGEST_PASSWORD)));
    let for_servers = password.as_ref().unwrap_or(&base.pwd);
    let servers = addresses.into_iter().map(|address| server(address.host, address.port, &user, for_servers, base));
    let servers = servers.collect();
    let behavior = Behavior { usr: user, pwd: password.unwrap_or_default(), ..base.clone() };
    Ok(BucketConfig {
        name: name.to_owned(),
        agent: Some(source.agent),
        port,
        behavior: Arc::new(behavior),
        servers,
        learned: Learned::nothing(&router, revision(document)),
        router,
        is_null: false,
        get_errors,
        text,
    })
}

/// Server lists are hashed by libmemcached's rules, wherever they come from (05 §5.5).
fn ring(addresses: &[Address], base: &Behavior) -> Router {
    let weight = base.downstream_weight;
    let servers = addresses.iter().map(|Address { host, port }| RingServer { host, port: *port, weight });
    let servers: Vec<RingServer<'_>> = servers.collect();
    Router::for_list(base.mcs_opts.as_str(), &servers)
}

/// The servers as a server list.
fn list(addresses: &[Address], weight: u32) -> String {
    let mut text = String::new();
    for address in addresses {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = match weight {
            0 => write!(text, "{comma}{address}"),
            weight => write!(text, "{comma}{address}:{weight}"),
        };
    }
    text
}
