//! The notifications: ready, reloading, stopping, and a line of status.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::config::snapshot::Config;
use crate::failure::reason;
use crate::log;

/// How long a start waits for the first configuration of a cluster manager. Then it counts as done, and moxi goes on
/// waiting: others that need it are not to be held up by servers that may be down for hours.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service manager, as the main thread sees it.
#[derive(Debug)]
pub struct Manager {
    /// Whether there is one.
    is_there: bool,
    /// Whether this process is not the one that was started.
    is_daemon: bool,
    phase: Phase,
    /// The last line of status.
    told: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a first configuration until then.
    Waiting(Instant),
    Ready,
}

impl Manager {
    /// The one that the environment names. `waits`: there is no configuration before a cluster manager sends one.
    /// `is_daemon`: we are a child of the process that was started.
    pub fn new(waits: bool, is_daemon: bool) -> Manager {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| !name.is_empty());
        let phase = if is_there && waits { Phase::Waiting(Instant::now() + PATIENCE) } else { Phase::Ready };
        Manager { is_there, is_daemon, phase, told: String::new() }
    }

    /// How long the main thread may sleep before [`Manager::check`] has something to do.
    pub fn patience(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting(until) => Some(until.saturating_duration_since(Instant::now())),
            Phase::Ready => None,
        }
    }

    /// Notes that a cluster manager has answered, with whatever it was.
    pub fn heard(&mut self) {
        if let Phase::Waiting(until) = &mut self.phase {
            *until = Instant::now();
        }
    }

    /// Says what is news. `describe` gives the line of status; it is only asked when it may have changed.
    pub fn check(&mut self, has_changed: bool, describe: &dyn Fn() -> String) {
        let is_new = match self.phase {
            Phase::Waiting(until) => until <= Instant::now(),
            Phase::Ready => false,
        };
        if is_new || has_changed {
            self.tell(is_new, describe);
        }
    }

    /// Everything is open: says so, unless that has to wait for a configuration.
    pub fn started(&mut self, describe: &dyn Fn() -> String) {
        self.tell(self.phase == Phase::Ready, describe);
    }

    /// A reload begins, which [`Manager::reloaded`] ends.
    pub fn reloading(&self) {
        if self.is_there && self.phase == Phase::Ready {
            // The time tells an old message from the answer to the signal.
            let time = NotifyState::monotonic_usec_now().ok();
            self.send(&[NotifyState::Reloading].into_iter().chain(time).collect::<Vec<_>>());
        }
    }

    /// The reload is over, whether or not it has changed anything.
    pub fn reloaded(&mut self, describe: &dyn Fn() -> String) {
        self.tell(self.phase == Phase::Ready, describe);
    }

    /// Another process takes the place of this one. What this one says from now on is not heard any more.
    pub fn replaced(&self, id: u32) {
        if self.is_there {
            self.send(&[NotifyState::MainPid(id), NotifyState::Ready]);
        }
    }

    /// What [`Manager::reloading`] has announced did not happen.
    pub fn stays(&mut self) {
        if self.is_there && self.phase == Phase::Ready {
            // That another one is the main process may have been said already.
            self.send(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
        }
    }

    /// The program ends.
    pub fn stopping(&self) {
        if self.is_there {
            self.send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        }
    }

    fn tell(&mut self, is_ready: bool, describe: &dyn Fn() -> String) {
        if !self.is_there {
            return;
        }
        let status = describe();
        let mut news = Vec::new();
        if is_ready {
            self.phase = Phase::Ready;
            news.push(NotifyState::Ready);
            if self.is_daemon {
                news.push(NotifyState::MainPid(std::process::id()));
            }
        }
        if status != self.told {
            news.push(NotifyState::Status(&status));
        }
        if !news.is_empty() {
            self.send(&news);
        }
        self.told = status;
    }

    fn send(&self, news: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(news) {
            log!(1, "cannot notify the service manager: {}", reason(&error));
        }
    }
}

/// The line of status: where clients are served, and by how many servers.
pub fn status(places: &[String], config: &Config) -> String {
    let mut text = match places {
        [] => "no port is open yet".to_owned(),
        places => format!("clients on {}", places.join(", ")),
    };
    let live: Vec<_> = config.buckets.iter().filter(|bucket| bucket.is_live()).collect();
    if live.is_empty() {
        let waiting = if config.dynamic.is_some() { "; waiting for a cluster manager" } else { "" };
        text.push_str(waiting);
        return text;
    }
    let servers = live.iter().flat_map(|bucket| &bucket.servers);
    let servers = servers.map(|server| (server.host.as_str(), server.port)).collect::<BTreeSet<_>>().len();
    let plural = |count| if count == 1 { "" } else { "s" };
    let buckets = live.len();
    let _ = write!(text, "; {buckets} bucket{}, {servers} server{}", plural(buckets), plural(servers));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn lines_of_status() {
        let nothing = |_: &str| None;
        let loaded = config::load("11211=a:1,b:1;11311=a:1", None, &nothing).unwrap();
        let places = ["port 11211".to_owned(), "port 11311".to_owned()];
        assert_eq!(status(&places, &loaded.config), "clients on port 11211, port 11311; 2 buckets, 2 servers");
        let loaded = config::load("11211=a:1", None, &nothing).unwrap();
        assert_eq!(status(&places[..1], &loaded.config), "clients on port 11211; 1 bucket, 1 server");
        let loaded = config::load("http://a.example/", None, &nothing).unwrap();
        assert_eq!(status(&[], &loaded.config), "no port is open yet; waiting for a cluster manager");
        assert_eq!(status(&places[..1], &Config::default()), "clients on port 11211");
    }

    #[test]
    fn nobody_is_told_anything_where_there_is_nobody() {
        let mut manager = Manager { is_there: false, is_daemon: false, phase: Phase::Ready, told: String::new() };
        manager.started(&|| panic!("nobody asks"));
        manager.check(true, &|| panic!("nobody asks"));
        manager.reloaded(&|| panic!("nobody asks"));
        assert_eq!(manager.patience(), None);
    }

    #[test]
    fn patience_ends_with_the_first_answer() {
        let until = Instant::now() + PATIENCE;
        let mut manager =
            Manager { is_there: true, is_daemon: false, phase: Phase::Waiting(until), told: String::new() };
        assert!(manager.patience().is_some_and(|time| time > PATIENCE / 2));
        manager.heard();
        assert_eq!(manager.patience(), Some(Duration::ZERO));
    }
}
