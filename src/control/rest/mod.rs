//! The streaming client: one thread for each agent asks its URLs for documents as long as the program runs (05 §6).
//!
//! | file | what |
//! |---|---|
//! | `request` | what is asked for |
//! | [`proxies`] | through which HTTP proxy |
//! | [`roots`] | whose certificates are trusted |
//! | [`response`] | the response, without a socket |
//! | [`documents`] | the documents in its body |
//! | [`mod@fetch`] | one request over a connection, which may be used again |
//! | [`once`] | one document, without a thread that goes on |
//! | [`refresh`] | interrupting a stream, or a pause |
//! | `standing` | what the log is told of it |
//! | `pause` | when to ask again |
//! | `stream`, `tls` | the connection |
//!
//! The thread blocks on its socket, and does nothing to the rest of the program but send it [`Event`]s. URLs are tried
//! in their order: the next one after a failure, a pause after the last, then the first again. So it is after a
//! response that has ended well: whoever serves single documents is asked once in each pause, a second long. Pauses
//! grow while nobody has a document.
//!
//! Whatever a cluster manager answers, what is in force stays so until another document comes. Only before the first
//! one a wrong password is worth ending the program for, and only when no other URL has anything better to say.

pub mod documents;
pub mod fetch;
pub mod once;
mod pause;
pub mod proxies;
pub mod refresh;
mod request;
pub mod response;
pub mod roots;
mod standing;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::sync::Arc;
use std::thread;

use crate::config::agent::Agent;
use crate::config::document::first_value;
use crate::config::masking;
use crate::config::url::{self, Credentials, Url};
use crate::log;

use fetch::{FetchError, Kept, Means, Timing, fetch};
use pause::Pauses;
use proxies::Proxies;
use refresh::Refresh;
use roots::Roots;
use standing::Standing;

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
    /// No document has ever come, no URL has one, and a server says that it does not know us: unless others are to be
    /// served, the program is to exit (05 §6.5). The thread goes on.
    Unauthorized {
        /// Which agent.
        agent: usize,
        /// Its URLs as they may be shown.
        urls: String,
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

/// Who an agent is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number among the agents.
    pub index: usize,
    /// Pauses depend on it; it is another one in every process.
    pub seed: u64,
}

/// Starts the thread of an agent. `deliver` is called on it, and ends it by returning `false`. Through `refresh` it can be
/// asked to look again.
///
/// # Errors
/// When the system refuses a thread.
pub fn spawn(
    identity: Identity,
    agent: &Agent,
    proxies: Proxies,
    refresh: Arc<Refresh>,
    deliver: impl FnMut(Event) -> bool + Send + 'static,
) -> io::Result<()> {
    let Identity { index, seed } = identity;
    let own = Credentials { user: agent.user.clone(), password: agent.password.reveal().to_owned() };
    let roots = Roots::from_env(&|name| std::env::var_os(name));
    let means = Means { own, proxies, timing: Timing::default(), refresh, roots };
    // Several agents of one process do not ask at once either.
    let seed = seed.wrapping_add(index as u64);
    let agent = agent.clone();
    let run = move || Client::new(index, &agent, means, seed, deliver).run();
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

/// What became of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// The last response that was of use has ended well.
    Done,
    /// A stream has brought documents, and was lost.
    Lost,
    /// No document has come.
    Nothing,
}

struct Client<D> {
    index: usize,
    /// Each URL, unless it is bad.
    urls: Vec<Option<Url>>,
    standing: Standing,
    means: Means,
    pauses: Pauses,
    /// The last connection that can be used again.
    kept: Option<Kept>,
    deliver: D,
    /// Whether a document has come in this pass.
    has_documents: bool,
    /// Whether a server has said in this pass that it does not know us.
    is_unknown: bool,
}

impl<D: FnMut(Event) -> bool> Client<D> {
    fn new(index: usize, agent: &Agent, means: Means, seed: u64, deliver: D) -> Client<D> {
        let urls = agent.urls.iter().map(|text| Url::parse(text)).collect();
        let standing = Standing::new(agent.urls.iter().map(|text| url::shown(text)).collect());
        let pauses = Pauses::new(means.timing.shortest_pause, means.timing.longest_pause, seed);
        let (has_documents, is_unknown) = (false, false);
        Client { index, urls, standing, means, pauses, kept: None, deliver, has_documents, is_unknown }
    }

    fn run(mut self) {
        while let Some(pass) = self.pass() {
            let pause = match pass {
                Pass::Done => self.pauses.after_documents(),
                Pass::Lost => self.pauses.after_loss(),
                Pass::Nothing => self.pauses.after_nothing(),
            };
            self.means.refresh.pause(pause);
        }
    }

    /// Tries the URLs once. `None` when all is over.
    fn pass(&mut self) -> Option<Pass> {
        (self.has_documents, self.is_unknown) = (false, false);
        for index in 0..self.urls.len() {
            let visit = loop {
                match self.visit(index) {
                    Visit::Again => {}
                    visit => break visit,
                }
            };
            match visit {
                Visit::Done => return Some(Pass::Done),
                Visit::Failed | Visit::Again => {}
                Visit::Stop => return None,
            }
        }
        if self.has_documents {
            return Some(Pass::Lost);
        }
        let line = self.standing.lost();
        if self.is_unknown && !self.standing.has_received() {
            // Whoever gets it tells of it.
            let event = Event::Unauthorized { agent: self.index, urls: self.standing.list() };
            return (self.deliver)(event).then_some(Pass::Nothing);
        }
        if let Some(line) = line {
            log::report(&line);
        }
        Some(Pass::Nothing)
    }

    fn visit(&mut self, index: usize) -> Visit {
        let url = self.urls.get(index).cloned().flatten();
        let host = url.as_ref().map(|url| url.host.clone()).unwrap_or_default();
        let origin = Arc::new(Origin { url: self.standing.url(index).to_owned(), host });
        // What the stream has brought so far.
        let mut visit = Visit::Failed;
        let (means, mut kept) = (self.means.clone(), self.kept.take());
        let result = match url {
            None => Err(FetchError::BadUrl),
            Some(url) => fetch(&url, &means, &mut kept, &mut |document| {
                match self.document(index, &origin, &document) {
                    // A stream may go on after a document that is no JSON.
                    Visit::Failed => log_not_json(&origin.url, &document),
                    other => visit = other,
                }
                visit != Visit::Stop
            }),
        };
        self.kept = kept;
        match result {
            Ok(_) if visit == Visit::Stop => visit,
            Ok(rest) if rest.trim_ascii().is_empty() => self.ended(index, visit),
            Ok(rest) => self.rest(index, &origin, &rest),
            Err(FetchError::Stopped) => Visit::Stop,
            Err(FetchError::Refresh) => Visit::Again,
            Err(error) => {
                self.failed(index, &error, visit == Visit::Done);
                Visit::Failed
            }
        }
    }

    /// A response has ended without a further document; `visit` is what it was worth.
    fn ended(&mut self, index: usize, visit: Visit) -> Visit {
        // The end of a stream is worth a line each time.
        if visit == Visit::Done || self.standing.troubled(index, "empty") {
            log!(0, "ERROR: invalid, empty config from REST server {}", self.standing.url(index));
        }
        if (self.deliver)(Event::Empty { agent: self.index }) { visit } else { Visit::Stop }
    }

    /// What has come when a response ended.
    fn rest(&mut self, index: usize, origin: &Arc<Origin>, bytes: &[u8]) -> Visit {
        let visit = self.document(index, origin, bytes);
        if visit == Visit::Failed && self.standing.troubled(index, "not JSON") {
            log_not_json(&origin.url, bytes);
        }
        visit
    }

    /// A URL has failed, after it had brought documents or not.
    fn failed(&mut self, index: usize, error: &FetchError, has_documents: bool) {
        if matches!(error, FetchError::Unauthorized) {
            self.is_unknown = true;
            if self.urls.len() == 1 && !self.standing.has_received() {
                // Whoever gets the event tells of it.
                return;
            }
        }
        match self.standing.failed(index, error, has_documents) {
            Some(line) => log::report(&line),
            None => log!(1, "REST server {}: {error}, as before", self.standing.url(index)),
        }
    }

    /// Hands a document over if it is JSON.
    fn document(&mut self, index: usize, origin: &Arc<Origin>, bytes: &[u8]) -> Visit {
        log!(1, "configuration received");
        let text = String::from_utf8_lossy(bytes);
        log!(3, "configuration: {}", masking::shown(&text));
        if first_value(&text).map(drop).is_err() {
            return Visit::Failed;
        }
        self.has_documents = true;
        if let Some(line) = self.standing.received(index) {
            log::report(&line);
        }
        self.means.refresh.note_document();
        let event = Event::Document { agent: self.index, origin: Arc::clone(origin), text: text.into_owned() };
        if (self.deliver)(event) { Visit::Done } else { Visit::Stop }
    }
}

/// Logs a response that is not JSON as it is, line for line; a line end at its end gives an empty line (07 §8.10).
fn log_not_json(url: &str, bytes: &[u8]) {
    let masked = masking::masked(&String::from_utf8_lossy(bytes));
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
