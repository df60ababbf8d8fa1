//! From the option texts and the environment to a configuration that can be run (05 §1).

use std::sync::Arc;

use super::agent::{self, Agent};
use super::behavior::Behavior;
use super::cluster::{self, Form, RawSection};
use super::document::{Document, LOCAL_HOST};
use super::error::ConfigError;
use super::files::{Source, Text};
use super::snapshot::{BucketConfig, Config, Learned, Revision, Secret, Server};
use super::{dynamic, files, masking, server_list};
use crate::protocol::Protocol;
use crate::routing::Router;
use crate::routing::ketama::RingServer;

/// Name of the bucket of every static section.
pub(super) const STATIC_BUCKET: &str = "default";
/// Longest user and password taken from the environment and from documents, in bytes (05 §1, §5.7).
pub(super) const LONGEST_USER: usize = 249;
pub(super) const LONGEST_PASSWORD: usize = 899;

/// How the lines begin that tell of a variable of the environment, which is no mistake.
const FROM_ENVIRONMENT: &str = "env: ";

/// Whether a line of [`Loaded::log`] says that something was not understood, or not written in full.
pub fn is_complaint(line: &str) -> bool {
    !line.starts_with(FROM_ENVIRONMENT)
}

/// A checked configuration.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The buckets that are known at start: one for each static section, or the null bucket if there is to be one.
    pub config: Arc<Config>,
    /// What to listen on.
    pub sections: Vec<Section>,
    /// Where to fetch further configuration from; empty for static configurations.
    pub agents: Vec<Agent>,
    /// The file that a static configuration was read from.
    pub file: Option<Source>,
    /// The behaviour keys in force.
    pub behavior: Arc<Behavior>,
    /// Lines to log at any verbosity: environment and warnings. No secrets are in them.
    pub log: Vec<String>,
}

/// A port to listen on for a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// TCP port.
    pub port: u16,
    /// Index into [`Config::buckets`].
    pub bucket: usize,
}

/// Reads the `-z` text `z` and the `-Z` text, either of which may name a file.
///
/// An empty `z` is no error: there are no buckets then, and `-Z` is not even looked at.
///
/// # Errors
/// Every one is such that the program cannot start with it.
pub fn load(z: &str, behavior_text: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    if z.is_empty() {
        return Ok(Loaded::default());
    }
    let (behavior, mut log) = load_behavior(behavior_text, env)?;
    let base = files::base();
    let text = files::substitute(z, &base).map_err(ConfigError::UnreadableCluster)?.without_comments();
    let behavior = Arc::new(behavior);
    let mut config = Config::default();
    let (mut sections, mut agents, mut file) = (Vec::new(), Vec::new(), None);
    match cluster::form(&text.text) {
        Form::Agents => {
            let mut complaints = Vec::new();
            agents = agent::parse(&text.text, &behavior, &mut complaints).map_err(|error| placed(error, &text))?;
            check(&behavior, &complaints)?;
            log.extend(complaints);
            config = dynamic::initial(&behavior)?;
        }
        Form::Static => {
            for bucket in buckets(&text, &behavior)? {
                sections.push(Section { port: bucket.port, bucket: config.buckets.len() });
                config.buckets.push(Arc::new(bucket));
            }
            file = Source::new(z, &base);
        }
    }
    Ok(Loaded { config: Arc::new(config), sections, agents, file, behavior, log })
}

/// There is no cluster configuration. Of the `-Z` text only `metrics` counts then: as long as that names nothing, the text
/// may have mistakes in it that nobody is told of.
pub fn load_alone(behavior_text: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Loaded {
    match load_behavior(behavior_text, env) {
        Ok((behavior, log)) if behavior.metrics.address().is_some() => {
            Loaded { behavior: Arc::new(behavior), log, ..Loaded::default() }
        }
        _ => Loaded::default(),
    }
}

/// With `strict=1` complaints are errors.
fn check(behavior: &Behavior, complaints: &[String]) -> Result<(), ConfigError> {
    match behavior.strict && !complaints.is_empty() {
        true => Err(ConfigError::Strict { complaints: complaints.to_vec() }),
        false => Ok(()),
    }
}

/// Names the file that the text stands in.
fn placed(error: ConfigError, text: &Text) -> ConfigError {
    match &text.file {
        Some(path) => ConfigError::InFile { path: path.clone(), error: Box::new(error) },
        None => error,
    }
}

/// The buckets of a static configuration, one for each section.
pub(super) fn buckets(text: &Text, behavior: &Arc<Behavior>) -> Result<Vec<BucketConfig>, ConfigError> {
    if text.file.is_none() && cluster::may_be_path(&text.text) {
        return Err(ConfigError::NotAPath);
    }
    let sections = cluster::sections(&text.text);
    let buckets = sections.and_then(|raw| raw.iter().map(|raw| bucket(raw, behavior)).collect());
    buckets.map_err(|error| placed(error, text))
}

/// The behaviour keys from the defaults, the environment and the `-Z` text, each over the one before, and what to log.
///
/// # Errors
/// When the file of the text cannot be read; with `strict=1` when there is a complaint.
pub fn load_behavior(
    text: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Behavior, Vec<String>), ConfigError> {
    let text = files::substitute(text.unwrap_or(""), &files::base()).map_err(ConfigError::UnreadableBehavior)?;
    let mut behavior = Behavior::default();
    let mut log = Vec::new();
    let mut variable = |name: &str, longest: usize| {
        let value = truncated(&env(name)?, longest);
        log.push(format!("{FROM_ENVIRONMENT}{name} ({})", value.len()));
        Some(value)
    };
    if let Some(user) = variable("MOXI_SASL_PLAIN_USR", LONGEST_USER) {
        behavior.usr = user;
    }
    if let Some(password) = variable("MOXI_SASL_PLAIN_PWD", LONGEST_PASSWORD) {
        behavior.pwd = Secret::new(password);
    }
    let (behavior, mut complaints) = behavior.with_text(&text.text);
    if let Some(path) = &text.file {
        complaints.iter_mut().for_each(|complaint| complaint.push_str(&format!(" in {path}")));
    } else if cluster::may_be_path(&text.text) {
        complaints.push("WARNING: the path of a file for -Z begins with ./ or /".to_owned());
    }
    check(&behavior, &complaints)?;
    log.extend(complaints);
    Ok((behavior, log))
}

/// The first `longest` bytes of `text`, or a little less where that would cut a character.
pub(super) fn truncated(text: &str, longest: usize) -> String {
    let mut text = text.to_owned();
    while text.len() > longest {
        text.pop();
    }
    text
}

/// The bucket of one static section.
fn bucket(raw: &RawSection<'_>, behavior: &Arc<Behavior>) -> Result<BucketConfig, ConfigError> {
    let (servers, router, revision) =
        if raw.body.starts_with('{') { from_document(raw, behavior)? } else { from_list(raw, behavior)? };
    let learned = Learned::nothing(&router, revision);
    Ok(BucketConfig {
        name: STATIC_BUCKET.to_owned(),
        agent: None,
        port: raw.place.port,
        behavior: Arc::clone(behavior),
        servers,
        router,
        learned,
        is_null: false,
        get_errors: false,
        text: masking::shown(raw.body),
    })
}

type Servers = Vec<Arc<Server>>;

fn from_document(raw: &RawSection<'_>, behavior: &Behavior) -> Result<(Servers, Router, Revision), ConfigError> {
    let document =
        Document::parse(raw.body, LOCAL_HOST).map_err(|error| ConfigError::Document { place: raw.place, error })?;
    let (user, password) = document.credentials(behavior);
    let servers = document.servers.into_iter();
    let servers = servers.map(|address| server(address.host, address.port, &user, &password, behavior));
    Ok((servers.collect(), document.router, document.revision))
}

fn from_list(raw: &RawSection<'_>, behavior: &Behavior) -> Result<(Servers, Router, Revision), ConfigError> {
    let list = server_list::parse(raw.body).map_err(|error| ConfigError::List { place: raw.place, error })?;
    let ring: Vec<RingServer<'_>> =
        list.iter().map(|server| RingServer { host: &server.host, port: server.port, weight: server.weight }).collect();
    let router = Router::for_list(behavior.mcs_opts.as_str(), &ring);
    let servers =
        list.into_iter().map(|item| server(item.host, item.port, &behavior.usr, &behavior.pwd, behavior)).collect();
    Ok((servers, router, Revision::default()))
}

/// A server as the workers see it. Over ASCII there is neither authentication nor selection of a bucket (05 §9).
pub(super) fn server(host: String, port: u16, user: &str, password: &Secret, behavior: &Behavior) -> Arc<Server> {
    let protocol = behavior.downstream_protocol;
    Arc::new(match protocol {
        Protocol::Ascii => {
            Server { host, port, user: String::new(), password: Secret::default(), bucket: String::new(), protocol }
        }
        Protocol::Binary => Server {
            host,
            port,
            user: user.to_owned(),
            password: password.clone(),
            bucket: behavior.bucket.clone(),
            protocol,
        },
    })
}

#[cfg(test)]
mod tests;
