//! Where a cluster manager is.

use moxi::config::url::{Url, shown};

use crate::choices::Choices;

/// What is shown of a URL is the same URL, without its credentials; what is sent of it cannot end a line.
pub fn target(data: &[u8]) {
    let text = Choices::new(data).text();
    let visible = shown(&text);
    let Some(url) = Url::parse(&text) else { return };
    assert_eq!(url.to_string(), visible);
    let again = Url::parse(&visible).unwrap_or_else(|| panic!("{visible:?} is none"));
    assert_eq!((url.tls, &url.host, url.port, &url.target), (again.tls, &again.host, again.port, &again.target));
    assert_eq!(again.credentials, None, "{visible:?} has credentials");
    assert_eq!(shown(&visible), visible);
    assert!(url.target.starts_with('/') && !url.host.is_empty() && url.port != Some(0));
    let authority = url.authority();
    for part in [&url.target, &authority] {
        assert!(!part.contains(|c: char| c.is_control() || c.is_whitespace()), "{part:?}");
    }
    assert!(!authority.contains(['/', '?', '#', '@']), "{authority:?}");
}
