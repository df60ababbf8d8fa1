//! `stats proxy latency` (06 §15).

use super::prefixed;
use crate::memcached::statistics::Emit;
use crate::metrics::latency::{Histogram, Kind, Latencies, Phase};

/// The percentiles that are shown: name, and of how many in a thousand.
const PERCENTILES: [(&str, u64); 4] = [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)];

/// Emits the times of requests: all together, and by kind.
pub(super) fn latencies(latencies: &Latencies, emit: &mut Emit<'_>) {
    for kind in [None].into_iter().chain(Kind::ALL.map(Some)) {
        for phase in Phase::ALL {
            let times = latencies.times(kind, phase);
            let prefix = format!("{}:{}_", kind.map_or("all", Kind::name), phase.name());
            histogram(&times, &mut prefixed(&prefix, emit));
        }
    }
}

/// Emits how many requests took how long.
pub(super) fn histogram(times: &Histogram, emit: &mut Emit<'_>) {
    emit("count", &times.count());
    for (name, share) in PERCENTILES {
        emit(name, &times.permille(share));
    }
    emit("max", &times.most());
}
