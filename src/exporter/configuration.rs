//! `/config`: the configuration in force, without passwords.

use serde_json::{Map, Value, json};

use super::Scene;
use crate::config::masking;
use crate::config::snapshot::BucketConfig;
use crate::proxy::VERSION;

/// The configuration as JSON.
pub(super) fn json(scene: &Scene<'_>) -> String {
    let config = scene.config;
    let buckets: Vec<Value> = scene.buckets().map(|(index, bucket)| describe(bucket, config.version(index))).collect();
    let document = json!({
        "version": VERSION,
        "type": if config.dynamic.is_some() { "dynamic" } else { "static" },
        "buckets": buckets,
    });
    format!("{document:#}\n")
}

fn describe(bucket: &BucketConfig, version: u64) -> Value {
    let behavior: Map<String, Value> =
        bucket.behavior.shown().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    let servers: Vec<String> = bucket.servers.iter().map(|server| server.to_string()).collect();
    json!({
        "name": bucket.name,
        "port": bucket.port,
        "version": version,
        "servers": servers,
        // It was masked when it was read; twice does no harm.
        "text": masking::shown(&bucket.text),
        "behavior": behavior,
    })
}
