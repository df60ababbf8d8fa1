//! The streaming client: one thread for each agent asks its URLs for documents as long as the program runs (05 §6).
//!
//! | file | what |
//! |---|---|
//! | [`url`], `request` | what is asked for |
//! | [`proxies`] | through which HTTP proxy |
//! | [`response`] | the response, without a socket |
//! | [`documents`] | the documents in its body |
//! | [`fetch`] | one request over a connection, which may be used again |
//! | [`refresh`] | interrupting a stream |
//! | `stream`, `tls` | the connection |
//!
//! The thread blocks on its socket, and does nothing to the rest of the program but send it [`Event`]s. URLs are tried
//! in their order: the next one after a failure, a pause after the last, then the first again. So it is after a
//! response that has ended well: whoever serves single documents is asked once in each pause.

pub mod documents;
pub mod fetch;
pub mod proxies;
pub mod refresh;
mod request;
pub mod response;
mod stream;
#[cfg(feature = "tls")]
mod tls;
pub mod url;

use std::io;
use std::sync::Arc;
use std::thread;

use super::agent::Agent;
use super::document::first_value;
use super::masking;
use crate::log;

use fetch::{FetchError, Kept, Means, Timing, fetch};
use proxies::Proxies;
use refresh::Refresh;
use url::{Credentials, Url};

/// Most lines of a response that is not JSON that are logged.
const MOST_LINES: usize = 16;

/// What an agent's thread has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A document; it begins with a JSON value.
    Document {
        /// Which agent.
        agent: usize,
        /// Where it comes from.
        origin: Arc<Origin>,
        /// The document.
        text: String,
    },
    /// A response ended without one. It was logged.
    Empty {
        /// Which agent.
        agent: usize,
    },
    /// The server does not know us: the program is to exit (05 §6.5). The thread has ended.
    Unauthorized {
        /// Which agent.
        agent: usize,
    },
}

/// Where documents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The URL as it may be shown.
    pub url: String,
    /// Its host.
    pub host: String,
}

/// Starts the thread of agent number `index`. `deliver` is called on it, and ends it by returning `false`. Through
/// `refresh` it can be asked to look again.
///
/// # Errors
/// When the system refuses a thread.
pub fn spawn(
    index: usize,
    agent: &Agent,
    proxies: Proxies,
    refresh: Arc<Refresh>,
    deliver: impl FnMut(Event) -> bool + Send + 'static,
) -> io::Result<()> {
    let own = Credentials { user: agent.user.clone(), password: agent.password.reveal().to_owned() };
    let means = Means { own, proxies, timing: Timing::default(), refresh };
    let agent = agent.clone();
    let run = move || Client::new(index, &agent, means, deliver).run();
    thread::Builder::new().name(format!("rest-{index}")).spawn(run).map(drop)
}

/// What became of one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Its response has ended and was of use: this pass is over.
    Done,
    /// It was of no use: on to the next.
    Failed,
    /// Once more, at once.
    Again,
    /// Nobody listens any more.
    Stop,
}

struct Client<D> {
    index: usize,
    /// Each URL as it may be shown, and split unless it is bad.
    urls: Vec<(String, Option<Url>)>,
    means: Means,
    /// The last connection that can be used again.
    kept: Option<Kept>,
    deliver: D,
    /// Whether a document has ever come.
    has_received: bool,
    /// The same since a pass failed the last time.
    has_received_lately: bool,
}

impl<D: FnMut(Event) -> bool> Client<D> {
    fn new(index: usize, agent: &Agent, means: Means, deliver: D) -> Client<D> {
        let urls = agent.urls.iter().map(|text| (url::shown(text), Url::parse(text))).collect();
        Client { index, urls, means, kept: None, deliver, has_received: false, has_received_lately: false }
    }

    fn run(mut self) {
        while self.pass() {}
    }

    /// Tries the URLs once, then pauses. `false` when all is over.
    fn pass(&mut self) -> bool {
        let urls = std::mem::take(&mut self.urls);
        let mut is_done = false;
        for (shown, url) in &urls {
            let visit = loop {
                match self.visit(shown, url.as_ref()) {
                    Visit::Again => {}
                    visit => break visit,
                }
            };
            match visit {
                Visit::Done => is_done = true,
                Visit::Failed | Visit::Again => continue,
                Visit::Stop => return false,
            }
            break;
        }
        self.urls = urls;
        thread::sleep(self.means.timing.pause);
        if !is_done && !std::mem::take(&mut self.has_received_lately) {
            self.report_failed_pass();
        }
        true
    }

    fn report_failed_pass(&self) {
        let list = self.urls.iter().map(|(shown, _)| shown.as_str()).collect::<Vec<_>>().join("|");
        if self.has_received {
            log::report(&format!("ERROR: could not contact REST server(s): {list}"));
        } else {
            log::report(&format!(
                "WARNING: could not contact REST server(s): {list}; perhaps they are unavailable or still initializing"
            ));
        }
    }

    fn visit(&mut self, shown: &str, url: Option<&Url>) -> Visit {
        let host = url.map(|url| url.host.clone()).unwrap_or_default();
        let origin = Arc::new(Origin { url: shown.to_owned(), host });
        // What the stream has brought so far.
        let mut visit = Visit::Failed;
        let (means, mut kept) = (self.means.clone(), self.kept.take());
        let result = match url {
            None => Err(FetchError::BadUrl),
            Some(url) => fetch(url, &means, &mut kept, &mut |document| {
                match self.document(&origin, &document) {
                    // A stream may go on after a document that is no JSON.
                    Visit::Failed => {}
                    other => visit = other,
                }
                visit != Visit::Stop
            }),
        };
        self.kept = kept;
        match result {
            Ok(rest) if rest.trim_ascii().is_empty() && visit != Visit::Stop => {
                log!(0, "ERROR: invalid, empty config from REST server {shown}");
                if !(self.deliver)(Event::Empty { agent: self.index }) { Visit::Stop } else { visit }
            }
            Ok(rest) => self.document(&origin, &rest),
            Err(FetchError::Stopped) => Visit::Stop,
            Err(FetchError::Refresh) => Visit::Again,
            Err(FetchError::Unauthorized) => {
                (self.deliver)(Event::Unauthorized { agent: self.index });
                Visit::Stop
            }
            Err(error) => {
                log::report(&format!("WARNING: curl error: {error} from: {shown}"));
                Visit::Failed
            }
        }
    }

    /// Hands a document over if it is JSON.
    fn document(&mut self, origin: &Arc<Origin>, bytes: &[u8]) -> Visit {
        log!(1, "configuration received");
        let text = String::from_utf8_lossy(bytes);
        log!(3, "configuration: {}", masking::shown(&text));
        if first_value(&text).map(drop).is_err() {
            log_not_json(&origin.url, &text);
            return Visit::Failed;
        }
        (self.has_received, self.has_received_lately) = (true, true);
        self.means.refresh.note_document();
        let event = Event::Document { agent: self.index, origin: Arc::clone(origin), text: text.into_owned() };
        if (self.deliver)(event) { Visit::Done } else { Visit::Stop }
    }
}

/// Logs a response that is not JSON as it is, line for line; a line end at its end gives an empty line (07 §8.10).
fn log_not_json(url: &str, text: &str) {
    let masked = masking::masked(text);
    let mut lines = masked.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    log!(0, "ERROR: parse JSON failed, from REST server: {url}, {}", lines.next().unwrap_or(""));
    for line in lines.by_ref().take(MOST_LINES) {
        log!(0, "{line}");
    }
    if lines.next().is_some() {
        log!(0, "...");
    }
}

#[cfg(test)]
mod tests;
