//! `-X` (mcmux mode): there is one bucket without servers of its own; clients name them (01 §16, 05 §2.7).

use std::sync::Arc;

use super::ConfigError;
use super::behavior::Behavior;
use super::load::{self, Loaded, STATIC_BUCKET, Section, load_behavior};
use super::snapshot::{BucketConfig, Config, Learned, Server};
use crate::protocol::Protocol;
use crate::routing::Router;

/// What `stats proxy` shows as its configuration (06 §3.5).
const TEXT: &str = "mcmux_config";

/// The configuration of mcmux mode for clients of `port`; 0 if they come to a unix socket.
///
/// # Errors
/// As for [`load_behavior`].
pub fn load_mcmux(
    port: u16,
    behavior_text: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigError> {
    let (behavior, log) = load_behavior(behavior_text, env)?;
    let behavior = Arc::new(behavior);
    let bucket = BucketConfig {
        name: STATIC_BUCKET.to_owned(),
        agent: None,
        port,
        behavior: Arc::clone(&behavior),
        servers: Vec::new(),
        router: Router::Named,
        learned: Learned::default(),
        is_null: false,
        get_errors: true,
        text: TEXT.to_owned(),
    };
    let config = Config { buckets: vec![Arc::new(bucket)], ..Config::default() };
    let sections = vec![Section { port, bucket: 0 }];
    Ok(Loaded { config: Arc::new(config), sections, behavior, log, ..Loaded::default() })
}

/// A server that a client has named. User, password and bucket are those of `-Z`.
pub fn named_server(protocol: Protocol, host: &str, port: u16, behavior: &Behavior) -> Arc<Server> {
    let behavior = Behavior { downstream_protocol: protocol, ..behavior.clone() };
    load::server(host.to_owned(), port, &behavior.usr, &behavior.pwd, &behavior)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bucket_without_servers() {
        let loaded = load_mcmux(11_299, Some("downstream_conn_max=8,usr=fictional"), &|_| None).unwrap();
        let [bucket] = &loaded.config.buckets[..] else { panic!("{:?}", loaded.config) };
        assert_eq!((bucket.name.as_str(), bucket.text.as_str(), bucket.port), ("default", "mcmux_config", 11_299));
        assert_eq!(loaded.sections, [Section { port: 11_299, bucket: 0 }]);
        assert_eq!(bucket.behavior.downstream_conn_max, 8);
        let binary = named_server(Protocol::Binary, "a.example", 1, &bucket.behavior);
        assert_eq!((binary.user.as_str(), binary.protocol), ("fictional", Protocol::Binary));
        let ascii = named_server(Protocol::Ascii, "a.example", 1, &bucket.behavior);
        assert_eq!((ascii.user.as_str(), ascii.protocol), ("", Protocol::Ascii));
    }
}
