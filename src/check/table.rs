//! What would be served, as a table: a line for each server of each bucket.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::cli::{Options, ServerPort};
use crate::config::snapshot::{BucketConfig, Config, Server};
use crate::config::{Loaded, url};
use crate::protocol::Protocol;
use crate::routing::Router;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Port or unix socket of the clients, bucket, what is spoken with the server, where it is, its vbuckets.
    cells: [String; 5],
    /// The server, if it is known.
    pub(super) server: Option<Arc<Server>>,
    /// What it has answered.
    pub(super) answer: Option<String>,
}

/// All lines of `config`, which is that of `loaded`, or what cluster managers have made of it.
pub(super) fn rows(options: &Options, loaded: &Loaded, config: &Config) -> Vec<Row> {
    let mut rows = Vec::new();
    // One socket leads to one section, the last one (01 §5).
    let skipped = if options.socket.is_some() { loaded.sections.len().saturating_sub(1) } else { 0 };
    let sections = loaded.sections.iter().skip(skipped).filter_map(|section| config.buckets.get(section.bucket));
    for bucket in sections {
        rows.extend(bucket_rows(&place(options, bucket.port), bucket));
    }
    if let Some(cluster) = &config.dynamic {
        for (index, agent) in loaded.agents.iter().enumerate() {
            let place = place(options, cluster.port);
            let own = config.buckets.iter().filter(|bucket| bucket.agent == Some(index) && bucket.is_live());
            let before = rows.len();
            rows.extend(own.flat_map(|bucket| bucket_rows(&place, bucket)));
            if rows.len() == before {
                let urls: Vec<String> = agent.urls.iter().map(|text| url::shown(text)).collect();
                let protocol = word(loaded.behavior.downstream_protocol);
                rows.push(row(&place, NOTHING, protocol, &format!("as {} says", urls.join("|"))));
            }
        }
    }
    rows.extend(builtin(options, loaded).into_iter().map(|place| row(&place, NOTHING, NOTHING, "built-in memcached")));
    rows
}

fn row(place: &str, bucket: &str, protocol: &str, server: &str) -> Row {
    let cells = [place, bucket, protocol, server, NOTHING].map(str::to_owned);
    Row { cells, ..Row::default() }
}

fn place(options: &Options, port: u16) -> String {
    match &options.socket {
        Some(path) => path.display().to_string(),
        None if port == 0 => "any".to_owned(),
        None => port.to_string(),
    }
}

fn bucket_rows(place: &str, bucket: &BucketConfig) -> Vec<Row> {
    let name = if bucket.name.is_empty() { "\"\"" } else { &bucket.name };
    if bucket.router == Router::Named {
        return vec![row(place, name, NOTHING, "as clients say")];
    }
    let masters = masters(bucket);
    let mut rows: Vec<Row> = Vec::new();
    for (index, server) in bucket.servers.iter().enumerate() {
        let mut row = row(place, name, word(server.protocol), &server.to_string());
        row.server = Some(Arc::clone(server));
        if let Some(count) = masters.as_ref().and_then(|counts| counts.get(index)) {
            row.cells[4] = count.to_string();
        }
        rows.push(row);
    }
    if let Some(count) = masters.and_then(|counts| counts.last().copied()).filter(|count| *count > 0) {
        let mut row = row(place, name, NOTHING, "(none)");
        row.cells[4] = count.to_string();
        rows.push(row);
    }
    rows
}

/// How many vbuckets each server is the master of, and last how many have none; `None` if there is no map.
fn masters(bucket: &BucketConfig) -> Option<Vec<usize>> {
    let map = bucket.router.vbucket_map()?;
    let nobody = bucket.servers.len();
    let mut counts = vec![0; nobody + 1];
    for vbucket in (0..=u16::MAX).take(map.vbuckets()) {
        if let Some(count) = counts.get_mut(map.master(vbucket).unwrap_or(nobody)) {
            *count += 1;
        }
    }
    Some(counts)
}

/// The word for it in `-Z`.
pub(super) fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ascii => "ascii",
        Protocol::Binary => "binary",
    }
}

/// Where the built-in server is.
fn builtin(options: &Options, loaded: &Loaded) -> Vec<String> {
    let has_cluster = !loaded.sections.is_empty() || !loaded.agents.is_empty();
    if !crate::builtin::is_wanted(options, has_cluster) {
        return Vec::new();
    }
    if let Some(path) = &options.socket {
        return vec![path.display().to_string()];
    }
    let port = |port: Option<ServerPort>, kind: &str| match port? {
        ServerPort::Off => None,
        ServerPort::Ephemeral => Some(format!("any{kind}")),
        ServerPort::Fixed(port) => Some(format!("{port}{kind}")),
    };
    let tcp = port(options.tcp_port.filter(|_| !options.mcmux), "");
    tcp.into_iter().chain(port(options.udp_port, "/udp")).collect()
}

/// The table as text, with what servers have answered if they were asked.
pub(super) fn render(rows: &[Row], has_answers: bool) -> String {
    let mut lines = vec![["port", "bucket", "protocol", "server", "vbuckets"].map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| row.cells.to_vec()));
    if has_answers {
        let answers = rows.iter().map(|row| row.answer.clone().unwrap_or_else(|| NOTHING.to_owned()));
        let answers = std::iter::once("answer".to_owned()).chain(answers);
        lines.iter_mut().zip(answers).for_each(|(line, answer)| line.push(answer));
    }
    aligned(&lines)
}

/// Lines of cells, with two blanks between the columns at least.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(row, "{cell:width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
