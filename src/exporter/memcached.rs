//! The names under which dashboards for a memcached look for its statistics. They are those of the built-in server, and
//! without one those of the proxy, which is a memcached to its clients.

use std::collections::HashMap;

use super::Scene;
use super::names::MEMCACHED;
use super::text::{Kind, Page};
use crate::memcached::statistics::{self, Proxied};
use crate::proxy::VERSION;

/// What may be said of a command's outcome.
type Outcome = (&'static str, &'static str, u64);

/// Writes the families of a memcached.
pub(super) fn write(page: &mut Page, scene: &Scene<'_>) {
    let found = found(scene);
    page.single("memcached_up", Kind::Gauge, "Whether it answers: it does.", 1);
    page.family("memcached_version", Kind::Gauge, "The version, as a label.");
    page.sample(&[("version", VERSION)], 1);
    for (stat, name, is_total, help) in MEMCACHED {
        if let Some(value) = found.get(stat) {
            page.single(name, if is_total { Kind::Counter } else { Kind::Gauge }, help, value);
        }
    }
    page.family("memcached_commands_total", Kind::Counter, "Commands by what became of them.");
    let outcomes = if scene.sources.memcached.is_some() { built_in(&found) } else { proxied(scene) };
    for (command, status, number) in outcomes {
        page.sample(&[("command", command), ("status", status)], number);
    }
}

/// The statistics that have such a name.
fn found(scene: &Scene<'_>) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let sources = scene.sources;
    let mut emit = |name: &str, value: &dyn std::fmt::Display| {
        found.insert(name.to_owned(), value.to_string());
    };
    let memcached = sources.memcached.as_deref();
    // Whole seconds.
    let proxied = Proxied { uptime: scene.uptime as u64, traffic: sources.board.traffic() };
    statistics::process(&sources.settings, memcached, &sources.process, &proxied, &mut emit);
    emit("maxconns", &sources.settings.connections);
    match memcached {
        Some(memcached) => statistics::contents(memcached, &mut emit),
        // There are no items, and so no limit to them.
        None => {
            found.remove("limit_maxbytes");
        }
    }
    found
}

/// The built-in server's.
fn built_in(found: &HashMap<String, String>) -> Vec<Outcome> {
    let number = |name: &str| found.get(name).and_then(|value| value.parse().ok()).unwrap_or(0u64);
    let cas = [("hit", "cas_hits"), ("miss", "cas_misses"), ("badval", "cas_badval")];
    let cas = cas.map(|(status, name)| ("cas", status, number(name)));
    // It counts those among the sets, too.
    let sets = number("cmd_set").saturating_sub(cas.iter().map(|outcome| outcome.2).sum());
    let mut outcomes = vec![
        ("get", "hit", number("get_hits")),
        ("get", "miss", number("get_misses")),
        ("set", "hit", sets),
        ("delete", "hit", number("delete_hits")),
        ("delete", "miss", number("delete_misses")),
        ("incr", "hit", number("incr_hits")),
        ("incr", "miss", number("incr_misses")),
        ("decr", "hit", number("decr_hits")),
        ("decr", "miss", number("decr_misses")),
        ("flush", "hit", number("cmd_flush")),
    ];
    outcomes.extend(cas);
    outcomes
}

/// The proxy's: of all buckets, as far as it knows what became of a command.
fn proxied(scene: &Scene<'_>) -> Vec<Outcome> {
    const SETS: [&str; 5] = ["set", "add", "replace", "append", "prepend"];
    let (mut hits, mut misses, mut sets, mut flushes) = (0u64, 0u64, 0u64, 0u64);
    for index in 0..scene.config.buckets.len() {
        for (_, command, field, number) in scene.sources.board.sum(index).commands() {
            let sum = match (command, field) {
                ("get_key", "hits") => &mut hits,
                ("get_key", "misses") => &mut misses,
                ("flush_all", "seen") => &mut flushes,
                (command, "seen") if SETS.contains(&command) => &mut sets,
                _ => continue,
            };
            *sum = sum.wrapping_add(number);
        }
    }
    vec![("get", "hit", hits), ("get", "miss", misses), ("set", "hit", sets), ("flush", "hit", flushes)]
}
