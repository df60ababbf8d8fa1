//! `--print-config`: every setting with its value, and where that comes from. No secrets.

use super::Report;
use super::table::{aligned, word};
use crate::cli::Options;
use crate::cli::flags::{Action, FLAGS, Flag};
use crate::config::agent::Agent;
use crate::config::behavior::{Behavior, Key};
use crate::config::document::{Document, LOCAL_HOST};
use crate::config::origin::{self, Origin};
use crate::config::snapshot::{BucketConfig, Secret};
use crate::config::{ConfigError, Loaded, files, is_complaint, masking, url};
use crate::failure::{Failure, GENERAL};
use crate::routing::Router;
use crate::texts;

/// What stands where there is no value.
const NOTHING: &str = "-";

/// A name, a value, and its origin.
type Line = Vec<String>;

/// All of it, as a table. The problems are what a start would say of the texts, and go on.
///
/// # Errors
/// That of a start with texts that cannot be used.
pub fn report(options: &Options) -> Result<Report, Failure> {
    let failed = |error: ConfigError| Failure::new(GENERAL, format!("{error}\n"));
    let cluster = texts::cluster(options).map_err(|failure| Failure::new(failure.code, format!("{failure}\n")))?;
    let loaded = texts::load(options, cluster, options.behavior.as_deref()).map_err(failed)?;
    let mut lines = vec![line("setting", "value", "source")];
    lines.extend(FLAGS.iter().filter_map(|flag| flag_line(flag, options)));
    // Without a proxy nobody looks at -Z.
    if cluster.is_some() || options.mcmux {
        let keys = origin::of_keys(options.behavior.as_deref(), &texts::environment).map_err(failed)?;
        lines.extend(
            keys.iter().map(|(key, origin)| line(key.name, &value(key, &loaded.behavior), &origin.to_string())),
        );
        let place = cluster.map_or(Ok(Origin::Text("-X")), origin::of_cluster).map_err(failed)?.to_string();
        let base = Base { keys: &keys, place: &place, behavior: &loaded.behavior };
        lines.extend(managers(&loaded, &base));
        let buckets = loaded.sections.iter().filter_map(|section| loaded.config.buckets.get(section.bucket));
        lines.extend(buckets.flat_map(|bucket| section(bucket, &base)));
    }
    let problems = loaded.log.iter().filter(|line| is_complaint(line)).cloned().collect();
    Ok(Report { table: aligned(&lines), problems })
}

fn line(name: &str, value: &str, source: &str) -> Line {
    let value = if value.is_empty() { NOTHING } else { value };
    vec![name.to_owned(), value.to_owned(), source.to_owned()]
}

/// A flag that says how to run; `None` if it is one that does something else instead.
fn flag_line(flag: &Flag, options: &Options) -> Option<Line> {
    let letter = flag.short()?;
    let typed = options.typed.iter().rfind(|(form, _)| *form == flag.form()).map(|(_, value)| value.as_str());
    let value = match flag.action {
        Action::Switch(_) if letter == 'v' => options.verbosity.to_string(),
        Action::Switch(_) => if typed.is_some() { "on" } else { "off" }.to_owned(),
        Action::Value(..) => match (letter, typed) {
            ('z', _) => options.cluster.as_deref().map(named).unwrap_or_default(),
            ('Z', _) => options.behavior.as_deref().map(named).unwrap_or_default(),
            (_, typed) => typed.unwrap_or(flag.default).to_owned(),
        },
        Action::Optional(..) | Action::Print(_) | Action::PrintFor(..) => return None,
    };
    let source = match typed {
        Some(_) => "command line",
        None if letter == 'z' && options.cluster.is_some() => "last word of the command line",
        None => "default",
    };
    Some(line(&flag.form(), &value, source))
}

/// What may be shown of the text of `-z` or `-Z`: what is in it follows.
fn named(text: &str) -> String {
    let text = text.trim();
    if files::is_path(text) { text.to_owned() } else { "as follows".to_owned() }
}

/// The value of a key as people write it.
fn value(key: &Key, behavior: &Behavior) -> String {
    match key.name {
        "downstream_protocol" => word(behavior.downstream_protocol).to_owned(),
        _ if key.is_secret() => masking::secret(key.value(behavior) != key.value(&Behavior::default())).to_owned(),
        _ => key.value(behavior),
    }
}

/// What managers and sections go by.
struct Base<'a> {
    keys: &'a [(&'static Key, Origin)],
    /// Where the text of `-z` stands.
    place: &'a str,
    behavior: &'a Behavior,
}

impl Base<'_> {
    /// Where a key comes from.
    fn origin(&self, name: &str) -> String {
        let found = self.keys.iter().find(|(key, _)| key.name == name);
        found.map_or_else(String::new, |(_, origin)| origin.to_string())
    }
}

fn managers(loaded: &Loaded, base: &Base<'_>) -> Vec<Line> {
    let manager = |(index, agent): (usize, &Agent)| {
        let name = |what: &str| format!("manager {} {what}", index + 1);
        let urls = agent.urls.iter().map(|text| line(&name("url"), &url::shown(text), base.place));
        let mut lines: Vec<Line> = urls.collect();
        // Without credentials of its own it has those of the keys.
        let is_own = (&agent.user, &agent.password) != (&base.behavior.usr, &base.behavior.pwd);
        let source = |key: &str| if is_own { base.place.to_owned() } else { base.origin(key) };
        lines.push(line(&name("user"), &agent.user, &source("usr")));
        lines.push(line(&name("password"), shown(&agent.password), &source("pwd")));
        lines
    };
    loaded.agents.iter().enumerate().flat_map(manager).collect()
}

/// A static section: how keys find servers, which servers, and as whom.
fn section(bucket: &BucketConfig, base: &Base<'_>) -> Vec<Line> {
    let name = |what: &str| format!("{} {what}", bucket.port);
    let document = Some(&bucket.text).filter(|text| text.starts_with('{'));
    let document = document.and_then(|text| Document::parse(text, LOCAL_HOST).ok());
    let place = match document {
        Some(_) => format!("JSON document, {}", base.place),
        None => base.place.to_owned(),
    };
    let routing = match &bucket.router {
        Router::Single => "one server".to_owned(),
        Router::Named => "as clients say".to_owned(),
        Router::Ketama(_) => "ketama".to_owned(),
        Router::Modula { .. } => "modula".to_owned(),
        Router::Vbucket(map) => format!("{} vbuckets", map.vbuckets()),
    };
    let mut lines = vec![line(&name("routing"), &routing, &place)];
    lines.extend(bucket.servers.iter().map(|server| line(&name("server"), &server.to_string(), &place)));
    if let Some(server) = bucket.servers.first().filter(|server| !server.user.is_empty()) {
        let is_own = |is_there: Option<bool>, key: &str| {
            if is_there == Some(true) { place.clone() } else { base.origin(key) }
        };
        let named = document.as_ref().map(|it| it.name.as_deref().is_some_and(|name| name != "default"));
        let secret = document.as_ref().map(|it| it.password.is_some());
        lines.push(line(&name("user"), &server.user, &is_own(named, "usr")));
        lines.push(line(&name("password"), shown(&server.password), &is_own(secret, "pwd")));
    }
    lines
}

fn shown(password: &Secret) -> &'static str {
    masking::secret(!password.is_empty())
}
