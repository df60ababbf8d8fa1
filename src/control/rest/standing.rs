//! How an agent's URLs stand, as far as the log has been told: it gets one line for each change, and none for what goes
//! on as it was.
//!
//! Of several URLs each stands for itself, and all of them together are out of reach or not. With a single URL both
//! are the same, and are told in one line.

use super::fetch::FetchError;

/// What the log knows of one agent.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Each URL as it may be shown, and what is wrong with it.
    urls: Vec<(String, Option<String>)>,
    /// Whether a document has ever come.
    has_received: bool,
    /// Whether no URL was of any use the last time.
    is_lost: bool,
}

impl Standing {
    pub(super) fn new(urls: Vec<String>) -> Standing {
        let urls = urls.into_iter().map(|url| (url, None)).collect();
        Standing { urls, has_received: false, is_lost: false }
    }

    /// URL number `index` as it may be shown.
    pub(super) fn url(&self, index: usize) -> &str {
        self.urls.get(index).map_or("", |(url, _)| url)
    }

    /// All URLs.
    pub(super) fn list(&self) -> String {
        self.urls.iter().map(|(url, _)| url.as_str()).collect::<Vec<_>>().join("|")
    }

    /// Whether a document has ever come.
    pub(super) fn has_received(&self) -> bool {
        self.has_received
    }

    /// A document has come from URL number `index`. The result is for the log.
    pub(super) fn received(&mut self, index: usize) -> Option<String> {
        self.has_received = true;
        let (url, trouble) = self.urls.get_mut(index)?;
        *trouble = None;
        std::mem::take(&mut self.is_lost).then(|| format!("configuration comes from REST server: {url}"))
    }

    /// URL number `index` is of no use. Whether that is news.
    pub(super) fn troubled(&mut self, index: usize, why: &str) -> bool {
        let trouble = self.urls.get_mut(index).map(|(_, trouble)| trouble);
        trouble.is_some_and(|trouble| trouble.replace(why.to_owned()).as_deref() != Some(why))
    }

    /// URL number `index` has failed, after it had brought documents or not. The result is for the log.
    pub(super) fn failed(&mut self, index: usize, error: &FetchError, has_documents: bool) -> Option<String> {
        if !self.troubled(index, &error.kind()) {
            return None;
        }
        if self.urls.len() > 1 || has_documents {
            return Some(format!("WARNING: REST server {}: {error}", self.url(index)));
        }
        self.is_lost = true;
        Some(self.out_of_reach(&format!("{} ({error})", self.list())))
    }

    /// All URLs have been tried, and none has brought a document. The result is for the log.
    pub(super) fn lost(&mut self) -> Option<String> {
        let is_news = !std::mem::replace(&mut self.is_lost, true);
        // A single URL has told of itself.
        (is_news && self.urls.len() > 1).then(|| self.out_of_reach(&self.list()))
    }

    /// The words that operators look for.
    fn out_of_reach(&self, list: &str) -> String {
        if self.has_received {
            format!("ERROR: could not contact REST server(s): {list}; the last configuration stays in force")
        } else {
            format!(
                "WARNING: could not contact REST server(s): {list}; perhaps they are unavailable or still initializing"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(urls: &[&str]) -> Standing {
        Standing::new(urls.iter().map(|url| (*url).to_owned()).collect())
    }

    const DOWN: FetchError = FetchError::Timeout;
    const PERHAPS: &str = "perhaps they are unavailable or still initializing";
    const STAYS: &str = "the last configuration stays in force";

    #[test]
    fn one_url() {
        let mut agent = standing(&["a"]);
        let told = |line: Option<String>| line.unwrap_or_default();
        let lost = format!("WARNING: could not contact REST server(s): a (no answer in time); {PERHAPS}");
        assert_eq!((told(agent.failed(0, &DOWN, false)), agent.lost()), (lost, None));
        assert_eq!((agent.failed(0, &DOWN, false), agent.lost()), (None, None), "as it was");
        let other = format!("WARNING: could not contact REST server(s): a (HTTP status 404); {PERHAPS}");
        assert_eq!((told(agent.failed(0, &FetchError::Status(404), false)), agent.lost()), (other, None));
        assert!(told(agent.failed(0, &FetchError::Status(503), false)).contains("503"), "another status");
        assert_eq!(told(agent.received(0)), "configuration comes from REST server: a");
        assert_eq!(agent.received(0), None, "as it was");
        // A stream that is lost and found again.
        assert_eq!(told(agent.failed(0, &FetchError::Empty, true)), "WARNING: REST server a: closed without an answer");
        assert_eq!(agent.received(0), None);
        assert_eq!(told(agent.failed(0, &FetchError::Empty, true)), "WARNING: REST server a: closed without an answer");
        let lost = format!("ERROR: could not contact REST server(s): a (no answer in time); {STAYS}");
        assert_eq!((told(agent.failed(0, &DOWN, false)), agent.lost()), (lost, None));
        assert!(agent.received(0).is_some());
    }

    #[test]
    fn several_urls() {
        let mut agent = standing(&["a", "b"]);
        let told = |line: Option<String>| line.unwrap_or_default();
        let down = |url: &str| format!("WARNING: REST server {url}: no answer in time");
        assert_eq!(told(agent.failed(0, &DOWN, false)), down("a"));
        assert_eq!(agent.received(1), None, "it was never out of reach");
        assert_eq!(agent.failed(0, &DOWN, false), None);
        assert_eq!(told(agent.failed(1, &DOWN, true)), down("b"), "it was well before");
        for line in [Some(format!("ERROR: could not contact REST server(s): a|b; {STAYS}")), None, None] {
            assert_eq!((agent.failed(0, &DOWN, false), agent.failed(1, &DOWN, false)), (None, None));
            assert_eq!(agent.lost(), line);
        }
        assert_eq!(told(agent.received(1)), "configuration comes from REST server: b");
        assert!(agent.troubled(1, "text") && !agent.troubled(1, "text") && agent.troubled(1, "other"));
    }

    /// A certificate's error says what time it is.
    #[test]
    fn what_changes_by_itself_is_no_change() {
        let mut agent = standing(&["a"]);
        let expired = |time: &str| FetchError::Certificate(format!("expired {time}"));
        assert!(agent.failed(0, &expired("1 s ago"), false).is_some_and(|line| line.contains("1 s ago")));
        assert_eq!(agent.failed(0, &expired("2 s ago"), false), None);
    }
}
