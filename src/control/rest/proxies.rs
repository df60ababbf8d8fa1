//! HTTP proxies from the environment, by libcurl's rules (05 §6.2).

use crate::config::url::Url;

/// Port of a proxy that is written without one.
pub(super) fn default_port(proxy: &Url) -> u16 {
    if proxy.tls { proxy.default_port() } else { 1080 }
}

/// Which proxy to use for which host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    all: Option<String>,
    /// Hosts that are asked directly.
    none: Vec<String>,
}

impl Proxies {
    /// Reads `http_proxy` (in lower case only: the other could come from a request's header in CGI programs),
    /// `https_proxy`, `all_proxy` and `no_proxy`. A variable that is empty is as good as none.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Proxies {
        let variable = |name: &str| env(name).filter(|value| !value.is_empty());
        let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
        let none = either("no_proxy").unwrap_or_default();
        let none = none.split([',', ' ']).filter(|host| !host.is_empty()).map(str::to_ascii_lowercase);
        Proxies {
            http: variable("http_proxy"),
            https: either("https_proxy"),
            all: either("all_proxy"),
            none: none.collect(),
        }
    }

    /// The proxy for `url` as it is written, if there is one.
    pub fn of(&self, url: &Url) -> Option<&str> {
        if self.none.iter().any(|entry| covers(entry, &url.host)) {
            return None;
        }
        let own = if url.tls { &self.https } else { &self.http };
        own.as_deref().or(self.all.as_deref())
    }
}

/// Whether an entry of `no_proxy` is `host`, a domain that it is in, or everything.
fn covers(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let entry = entry.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let before = host.strip_suffix(entry);
    !entry.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_env(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn of(variables: &[(&str, &str)], url: &str) -> Option<String> {
        proxies(variables).of(&Url::parse(url).unwrap()).map(str::to_owned)
    }

    #[test]
    fn which_variable() {
        let proxy = Some("p.example:3128".to_owned());
        let p = "p.example:3128";
        assert_eq!(of(&[("http_proxy", p)], "http://a/"), proxy);
        assert_eq!(of(&[("HTTP_PROXY", p)], "http://a/"), None);
        assert_eq!(of(&[("http_proxy", ""), ("ALL_PROXY", "")], "http://a/"), None);
        assert_eq!(of(&[("all_proxy", p)], "http://a/"), proxy);
        assert_eq!(of(&[("ALL_PROXY", p)], "https://a/"), proxy);
        assert_eq!(of(&[("http_proxy", p), ("all_proxy", "q")], "http://a/"), proxy);
        assert_eq!(of(&[("http_proxy", p)], "https://a/"), None);
        assert_eq!(of(&[("HTTPS_PROXY", p)], "https://a/"), proxy);
    }

    #[test]
    fn which_hosts_need_none() {
        for (none, host, direct) in [
            ("*", "a", true),
            ("a.example", "a.example", true),
            ("a.example", "x.A.example", true),
            (".a.example", "a.example", true),
            ("a.example", "xa.example", false),
            ("b,127.0.0.1 c", "127.0.0.1", true),
            ("::1", "[::1]", true),
            ("", "a", false),
            (".", "a", false),
        ] {
            let found = of(&[("http_proxy", "p"), ("NO_PROXY", none)], &format!("http://{host}:8091/"));
            assert_eq!(found.is_none(), direct, "{none} {host}");
        }
    }
}
