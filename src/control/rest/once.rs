//! One document of one URL, for whoever only wants to look (01 §15.1).

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::Origin;
use super::fetch::{FetchError, Means, Timing, fetch};
use super::proxies::Proxies;
use super::refresh::Refresh;
use super::roots::Roots;
use crate::config::agent::Agent;
use crate::config::document::first_value;
use crate::config::masking;
use crate::config::url::{self, Credentials, Url};
use crate::failure::reason;

/// Most bytes of a response that is not JSON that are shown.
const MOST_SHOWN: usize = 100;

/// Asks the URL `text` of `agent` for a document, and takes the first that comes. `proxies` are those of the
/// environment. All of it, the look-up of the host included, takes `patience` at most.
///
/// # Errors
/// Why there is none, without secrets.
pub fn document(agent: &Agent, text: &str, proxies: Proxies, patience: Duration) -> Result<(Origin, String), String> {
    let url = Url::parse(text).ok_or_else(|| FetchError::BadUrl.to_string())?;
    let origin = Origin { url: url::shown(text), host: url.host.clone() };
    let own = Credentials { user: agent.user.clone(), password: agent.password.reveal().to_owned() };
    // It is the caller's patience that ends first, whatever is waited for.
    let later = patience.saturating_mul(2);
    let timing = Timing { connect: later, response: later, ..Timing::default() };
    let roots = Roots::from_env(&|name| std::env::var_os(name));
    let means = Means { own, proxies, timing, refresh: Arc::new(Refresh::default()), roots };
    // The thread may wait for a name, or in a stream that is silent, for ever.
    let (sender, receiver) = mpsc::channel();
    let ask = move || sender.send(first(&url, &means));
    thread::Builder::new().name("once".to_owned()).spawn(ask).map_err(|error| reason(&error))?;
    let bytes = match receiver.recv_timeout(patience) {
        Ok(result) => result.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no document within {} s", patience.as_secs())),
    };
    let document = String::from_utf8_lossy(&bytes).trim().to_owned();
    match first_value(&document) {
        Ok(_) => Ok((origin, document)),
        Err(_) if document.is_empty() => Err("an empty configuration".to_owned()),
        Err(_) => {
            let shown = masking::shown(&document);
            let shown: String = shown.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect();
            Err(format!("no JSON: {shown}"))
        }
    }
}

/// The first document of a response.
fn first(url: &Url, means: &Means) -> Result<Vec<u8>, FetchError> {
    let mut found = None;
    let rest = fetch(url, means, &mut None, &mut |document| {
        found = Some(document);
        false
    });
    // It is stopped when there is one.
    found.map_or(rest, Ok)
}
