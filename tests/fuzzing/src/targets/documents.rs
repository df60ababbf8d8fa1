//! A document of a cluster manager.

use std::sync::Arc;

use moxi::config::behavior::Behavior;
use moxi::config::document::{Document, first_value};
use moxi::config::dynamic::{self, Source};
use moxi::config::masking;

use super::cluster_texts::{check_bucket, check_router};
use crate::choices::Choices;

/// Where clients begin.
const BEHAVIORS: [&str; 3] = ["", "default_bucket_name=default", "downstream_protocol=ascii,default_bucket_name=b"];

/// A document that is accepted has servers, and its map names no others. The same document again changes nothing; what
/// follows it does not matter. Logs are lines, and what is shown of it is masked already.
pub fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (behavior, _) = Behavior::default().with_text(choices.pick(&BEHAVIORS));
    let behavior = Arc::new(behavior);
    let text = choices.text();
    let masked = masking::masked(&text);
    assert_eq!(masking::masked(&masked), masked);
    let shown = masking::shown(&text);
    assert!(!shown.contains(['\r', '\n']));
    if first_value(&text).is_err() {
        return;
    }
    if let Ok(document) = Document::parse(&text, "host.example") {
        assert!(!document.servers.is_empty());
        assert!(document.servers.iter().all(|server| !server.host.is_empty()));
        check_router(&document.router, document.servers.len());
        assert_eq!(Document::parse(&format!("{text}\n"), "host.example"), Ok(document));
    }
    let source = Source { agent: 0, url: "http://host.example/", host: "host.example" };
    let initial = dynamic::initial(&behavior).unwrap_or_else(|error| panic!("{error}"));
    let apply = |config: &_| dynamic::apply(config, &text, source, &behavior).unwrap_or_else(|error| panic!("{error}"));
    let first = apply(&initial);
    let second = apply(&first.config);
    assert_eq!(first.config.buckets.len(), second.config.buckets.len());
    for (one, other) in first.config.buckets.iter().zip(&second.config.buckets) {
        assert!(Arc::ptr_eq(one, other), "bucket {} has changed", one.name);
    }
    for bucket in first.config.buckets.iter().filter(|bucket| bucket.is_live()) {
        check_bucket(bucket);
    }
    for line in first.log.iter().chain(&second.log) {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
    }
}
