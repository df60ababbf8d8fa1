//! `stats proxy servers` (06 §16).

use super::latency::histogram;
use super::prefixed;
use crate::config::snapshot::Server;
use crate::memcached::statistics::Emit;
use crate::metrics::latency::Phase;
use crate::metrics::server::Count;
use crate::proxy::downstream::servers::Standing;
use crate::proxy::timers::Micros;

/// What is shown as it is counted.
const COUNTS: [(&str, Count); 9] = [
    ("connections", Count::Conns),
    ("connecting", Count::Connecting),
    ("unanswered", Count::Unanswered),
    ("queued", Count::Queued),
    ("requests", Count::Requests),
    ("connects", Count::Connects),
    ("reconnects", Count::Reconnects),
    ("bytes_read", Count::Read),
    ("bytes_written", Count::Written),
];

/// Emits how a server is doing.
pub(super) fn server(server: &Server, standing: &Standing, now: Micros, emit: &mut Emit<'_>) {
    let seconds = |since: Micros| now.saturating_sub(since) / 1_000_000;
    emit("name", server);
    emit("state", &standing.state());
    emit("suspended_seconds", &standing.suspended_since.map_or(0, seconds));
    emit("failures", &standing.failures);
    for (name, count) in COUNTS {
        emit(name, &standing.sum.count(count));
    }
    for (cause, number) in standing.sum.errors() {
        emit(&format!("error_{cause}"), &number);
    }
    let (cause, at) = standing.sum.last_error().unwrap_or(("none", now));
    emit("last_error", &cause);
    emit("last_error_seconds", &seconds(at));
    histogram(&standing.sum.latencies.times(None, Phase::Server), &mut prefixed("latency_", emit));
}
