//! The request: the bytes that libcurl sends (05 §6.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::url::{Credentials, Url};

/// The request for `url`. With `proxy` it goes to an HTTP proxy, whose credentials may be in it.
pub(super) fn compose(url: &Url, credentials: Option<&Credentials>, proxy: Option<&Url>) -> String {
    let mut text = match proxy {
        None => format!("GET {} HTTP/1.1\r\n", url.target),
        Some(_) => format!("GET http://{}{} HTTP/1.1\r\n", url.authority(), url.target),
    };
    text.push_str(&format!("Host: {}\r\n", url.authority()));
    if let Some(credentials) = proxy.and_then(|proxy| proxy.credentials.as_ref()) {
        text.push_str(&format!("Proxy-Authorization: {}\r\n", basic(credentials)));
    }
    if let Some(credentials) = credentials.filter(|credentials| !credentials.user.is_empty()) {
        text.push_str(&format!("Authorization: {}\r\n", basic(credentials)));
    }
    text.push_str("Accept: */*\r\n");
    if proxy.is_some() {
        text.push_str("Proxy-Connection: Keep-Alive\r\n");
    }
    text.push_str("\r\n");
    text
}

pub(super) fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.user, credentials.password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn plain() {
        let request = compose(&url("http://127.0.0.1:8091/pools/default/bucketsStreaming/default"), None, None);
        let want =
            "GET /pools/default/bucketsStreaming/default HTTP/1.1\r\nHost: 127.0.0.1:8091\r\nAccept: */*\r\n\r\n";
        assert_eq!(request, want);
    }

    #[test]
    fn with_credentials() {
        let fred = Credentials { user: "fred".into(), password: "sesame".into() };
        let request = compose(&url("http://cm.example/x"), Some(&fred), None);
        let want =
            "GET /x HTTP/1.1\r\nHost: cm.example\r\nAuthorization: Basic ZnJlZDpzZXNhbWU=\r\nAccept: */*\r\n\r\n";
        assert_eq!(request, want);
        let nobody = Credentials { user: String::new(), password: "sesame".into() };
        assert!(!compose(&url("http://cm.example/x"), Some(&nobody), None).contains("Authorization"));
    }

    #[test]
    fn through_a_proxy() {
        let request = compose(&url("http://cm.example/x"), None, Some(&url("http://fred:sesame@proxy.example:3128")));
        let want = "GET http://cm.example/x HTTP/1.1\r\nHost: cm.example\r\nProxy-Authorization: Basic ZnJlZDpzZXNhbWU=\r\n\
            Accept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n";
        assert_eq!(request, want);
    }
}
