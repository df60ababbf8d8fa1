//! The `-z` form that names REST servers to fetch the configuration from (05 §2.4).

use super::behavior::Behavior;
use super::error::ConfigError;
use super::snapshot::Secret;
use super::url::{self, HAS_TLS, Url};

/// One source of configuration: where to ask and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// URLs in the order to try them; at least one.
    pub urls: Vec<String>,
    /// User for HTTP Basic authentication; empty: none.
    pub user: String,
    /// Password that goes with it.
    pub password: Secret,
}

/// What may be written before `=`, in matching order.
const KEYS: [&str; 6] = ["apikey", "auth", "config", "dbpath", "host", "url"];

/// Whether `text` begins with a URL that is asked over HTTP.
fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Whether a `-z` text that is not static is of this form: it has a URL or an `@` in it, or begins with a key.
pub(super) fn is_agent(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.contains('@')
        || lower.contains("http://")
        || lower.contains("https://")
        || text.split_once('=').is_some_and(|(key, _)| ["apikey", "auth", "url"].contains(&key.trim()))
}

/// Reads agents, separated by `;`. Without credentials of its own an agent has those of `-Z`.
///
/// All three ways to write several URLs work: `URL,URL`, `url=URL|URL` and `url=URL,URL`.
pub(super) fn parse(text: &str, behavior: &Behavior, log: &mut Vec<String>) -> Result<Vec<Agent>, ConfigError> {
    let groups = text.split(';').map(str::trim).filter(|group| !group.is_empty());
    let agents = groups.map(|group| agent(group, behavior, log)).collect::<Result<Vec<_>, _>>()?;
    if agents.is_empty() { Err(ConfigError::MissingUrl) } else { Ok(agents) }
}

fn agent(text: &str, behavior: &Behavior, log: &mut Vec<String>) -> Result<Agent, ConfigError> {
    let mut agent = Agent { urls: Vec::new(), user: behavior.usr.clone(), password: behavior.pwd.clone() };
    for item in text.split([',', '\r', '\n']).map(str::trim) {
        if item.is_empty() || item.starts_with('#') {
            continue;
        }
        if is_url(item) {
            agent.urls.extend(urls(item));
            continue;
        }
        let Some((key, value)) = item.split_once('=') else {
            // Not repeated: it may hold credentials (`USER@HOST%PASSWORD`).
            log.push("WARNING: part of the -z configuration without = is ignored".to_owned());
            continue;
        };
        match known_key(key) {
            Some("apikey" | "auth") => (agent.user, agent.password) = credentials(value.trim()),
            Some("host" | "url") => agent.urls = urls(value).collect(),
            Some(_) => {} // a path to a cache file, which is no longer written
            None => log.push(format!("unknown configuration key: {}", key.trim())),
        }
    }
    if agent.urls.is_empty() {
        return Err(ConfigError::MissingUrl);
    }
    // With others beside them, those that are of no use fail like servers that are down.
    let (good, bad): (Vec<&String>, Vec<&String>) = agent.urls.iter().partition(|url| Url::parse(url).is_some());
    if let (true, Some(bad)) = (good.is_empty(), bad.first()) {
        return Err(ConfigError::BadUrl { url: url::shown(bad) });
    }
    log.extend(bad.into_iter().map(|bad| format!("WARNING: {}: {}", url::FORM, url::shown(bad))));
    let is_tls = |url: &String| Url::parse(url).is_some_and(|url| url.tls);
    if !HAS_TLS && agent.urls.iter().all(is_tls) { Err(ConfigError::NoTls) } else { Ok(agent) }
}

fn known_key(text: &str) -> Option<&'static str> {
    let word = text.split_whitespace().next()?;
    KEYS.into_iter().find(|key| key.starts_with(word))
}

fn urls(text: &str) -> impl Iterator<Item = String> {
    text.split('|').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned)
}

/// `USER%PASSWORD`, or the older `USER:PASSWORD@HOST`, whose user is `USER@HOST`.
fn credentials(text: &str) -> (String, Secret) {
    if let Some((user, password)) = text.split_once('%') {
        return (user.to_owned(), Secret::new(password));
    }
    match text.split_once(':').and_then(|(user, rest)| Some((user, rest.split_once('@')?))) {
        Some((user, (password, host))) => (format!("{user}@{host}"), Secret::new(password)),
        None => (text.to_owned(), Secret::default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (Vec<Agent>, Vec<String>) {
        let behavior = Behavior { usr: "base".into(), pwd: Secret::new("basepw"), ..Behavior::default() };
        let mut log = Vec::new();
        let agents = parse(text, &behavior, &mut log).unwrap_or_else(|error| panic!("{text}: {error}"));
        (agents, log)
    }

    #[test]
    fn every_spelling_of_several_urls() {
        for text in [
            "http://a/p,https://b/p?x=y",
            "http://a/p|https://b/p?x=y",
            "url=http://a/p|https://b/p?x=y",
            "url=http://a/p,https://b/p?x=y",
            "url = http://a/p |https://b/p?x=y\n#url=http://c/\n",
            "url=http://old/,url=http://a/p,https://b/p?x=y",
            "\nhost=http://a/p\nhttps://b/p?x=y;;",
        ] {
            let (agents, log) = parsed(text);
            assert_eq!(agents.len(), 1, "{text}");
            assert_eq!(agents[0].urls, ["http://a/p", "https://b/p?x=y"], "{text}");
            assert_eq!((agents[0].user.as_str(), agents[0].password.reveal()), ("base", "basepw"));
            assert!(log.is_empty(), "{text}: {log:?}");
        }
    }

    #[test]
    fn credentials_of_its_own() {
        for (auth, user, password) in [
            ("auth=fred%se%same", "fred", "se%same"),
            ("apikey=fred:sesame@host", "fred@host", "sesame"),
            ("auth=", "", ""),
            ("au=fred", "fred", ""),
        ] {
            let (agents, _) = parsed(&format!("{auth},url=http://a/"));
            assert_eq!((agents[0].user.as_str(), agents[0].password.reveal()), (user, password), "{auth}");
        }
        let (agents, _) = parsed("url=http://a/;auth=x%y,url=http://b/");
        assert_eq!((agents.len(), agents[0].user.as_str(), agents[1].user.as_str()), (2, "base", "x"));
    }

    #[test]
    fn what_is_unknown_is_logged_without_secrets() {
        let (_, log) = parsed("fred@host%sesame,usr=x,dbpath=/y,url=http://a/");
        assert_eq!(log.len(), 2);
        assert_eq!(log[1], "unknown configuration key: usr");
        assert!(!log.concat().contains("sesame"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_known_but_not_there() {
        for text in ["https://a/", "url=HTTPS://a/|https://b/", "auth=x%y,url=https://a/"] {
            assert_eq!(parse(text, &Behavior::default(), &mut Vec::new()), Err(ConfigError::NoTls), "{text}");
        }
        assert_eq!(parsed("HTTP://a/,https://b/;").0[0].urls, ["HTTP://a/", "https://b/"]);
    }

    #[test]
    fn urls_that_can_never_be_asked_are_refused_unless_others_can() {
        for (text, shown) in [
            ("url=ftp://a/p", "ftp://a/p"),
            ("http://", "http://"),
            ("http:///p", "http:///p"),
            ("http://a:99999/p", "http://a:99999/p"),
            ("http://a:0/p|http://a:x/p", "http://a:0/p"),
            ("auth=x%y,url=http://joe:open@a:0/p", "http://a:0/p"),
            ("url=http://a/;url=http://b c/", "http://b c/"),
        ] {
            let error = parse(text, &Behavior::default(), &mut Vec::new()).unwrap_err();
            let wanted = format!("ERROR: bad -z configuration, not a URL of the form http://HOST:PORT/PATH: {shown}");
            assert_eq!(error.to_string(), wanted, "{text}");
        }
        let (agents, log) = parsed("url=http://joe:open@a:0/|http://b/|ftp://c/");
        assert_eq!(agents[0].urls.len(), 3);
        assert_eq!(
            log,
            [
                "WARNING: not a URL of the form http://HOST:PORT/PATH: http://a:0/",
                "WARNING: not a URL of the form http://HOST:PORT/PATH: ftp://c/"
            ]
        );
    }

    #[test]
    fn a_url_is_needed() {
        for text in ["url=", "auth=fred%sesame@host", "fred@host%sesame", ";", "url=http://a/;auth=x%y"] {
            let error = parse(text, &Behavior::default(), &mut Vec::new()).unwrap_err();
            assert_eq!(error.to_string(), "ERROR: missing -z configuration for url/host", "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", likely in "(http://|url|auth|=|,|;|[|@%:\n#é]){0,20}") {
            let _ = parse(&text, &Behavior::default(), &mut Vec::new());
            let _ = parse(&likely, &Behavior::default(), &mut Vec::new());
            is_agent(&likely);
        }
    }
}
