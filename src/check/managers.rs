//! Cluster managers are asked for one document each, and what it says is applied as a run would do it (05 §5, §6).

use std::thread;
use std::time::Duration;

use crate::config::Loaded;
use crate::config::agent::Agent;
use crate::config::dynamic::{self, Source};
use crate::config::snapshot::Config;
use crate::config::url;
use crate::control::rest::proxies::Proxies;
use crate::control::rest::{Origin, once};
use crate::texts;

/// How long one URL may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The configuration after each manager's document; of several URLs, that of the first which has one.
pub(super) fn ask(loaded: &Loaded, problems: &mut Vec<String>) -> Config {
    let proxies = Proxies::from_env(&texts::environment);
    let mut config = (*loaded.config).clone();
    for (index, agent) in loaded.agents.iter().enumerate() {
        let mut document = None;
        for (url, answer) in agent.urls.iter().zip(answers(agent, &proxies)) {
            match answer {
                Ok(found) => document = document.or(Some(found)),
                Err(why) => problems.push(format!("ERROR: cluster manager {}: {why}", url::shown(url))),
            }
        }
        let Some((origin, text)) = document else { continue };
        let source = Source { agent: index, url: &origin.url, host: &origin.host };
        if let Ok(applied) = dynamic::apply(&config, &text, source, &loaded.behavior) {
            problems.extend(applied.log);
            config = applied.config;
        }
    }
    config
}

/// What became of each URL of `agent`.
fn answers(agent: &Agent, proxies: &Proxies) -> Vec<Result<(Origin, String), String>> {
    thread::scope(|scope| {
        let ask = |url: &'_ String| {
            let (url, proxies) = (url.clone(), proxies.clone());
            scope.spawn(move || once::document(agent, &url, proxies, PATIENCE))
        };
        let threads: Vec<_> = agent.urls.iter().map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("it failed".to_owned()))).collect()
    })
}
