//! The process as a whole: what the system knows of it, its connections and bytes, and how its configuration has changed.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{Resource, getrlimit};

use super::Scene;
use super::text::{Kind, Page};
use crate::proxy::VERSION;

/// Writes the families of the process.
pub(super) fn write(page: &mut Page, scene: &Scene<'_>) {
    let sources = scene.sources;
    page.family("moxi_build_info", Kind::Gauge, "The version, as a label.");
    page.sample(&[("version", VERSION)], 1);
    page.single("moxi_ready", Kind::Gauge, "Whether clients can be served.", u8::from(scene.obstacle.is_none()));
    page.single("moxi_uptime_seconds", Kind::Gauge, "Seconds since the start.", format_args!("{:.3}", scene.uptime));
    // One of those that statistics count is the main thread.
    let threads = sources.settings.threads.saturating_sub(1);
    page.single("moxi_workers", Kind::Gauge, "Worker threads (-t).", threads);
    system(page, scene);
    connections(page, scene);
    let tally = sources.tally(scene.config);
    for (name, help, number) in [
        ("moxi_config_documents_total", "Configuration documents that have come, good or bad.", tally.configs),
        ("moxi_config_failures_total", "Documents and files that could not be used.", tally.config_fails),
        ("moxi_buckets_created_total", "Buckets that a configuration has added.", tally.starts),
        (
            "moxi_buckets_confirmed_total",
            "Buckets that a configuration has named again, changed or not.",
            tally.existings,
        ),
        ("moxi_buckets_removed_total", "Buckets that a configuration has ceased to name.", tally.shutdowns),
    ] {
        page.single(name, Kind::Counter, help, number);
    }
}

/// Under the names that all programs have for these.
fn system(page: &mut Page, scene: &Scene<'_>) {
    let facts = scene.sources.process.facts();
    let micros: i64 =
        facts.cpu.iter().map(|(seconds, micros)| seconds.saturating_mul(1_000_000).saturating_add(*micros)).sum();
    let cpu = super::text::seconds(u64::try_from(micros).unwrap_or(0));
    page.single("process_cpu_seconds_total", Kind::Counter, "CPU time used, in user mode and in the system.", cpu);
    let help = "When the program started, in seconds since 1970.";
    page.single("process_start_time_seconds", Kind::Gauge, help, scene.start);
    for (name, help, field) in [
        ("process_resident_memory_bytes", "Memory in use.", "VmRSS:"),
        ("process_virtual_memory_bytes", "Addresses in use.", "VmSize:"),
    ] {
        if let Some(bytes) = memory(field) {
            page.single(name, Kind::Gauge, help, bytes);
        }
    }
    // One of them is the directory's.
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let count = open.count().saturating_sub(1);
        page.single("process_open_fds", Kind::Gauge, "Descriptors that are open.", count);
    }
    if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        page.single("process_max_fds", Kind::Gauge, "Descriptors that may be open.", limit);
    }
}

/// A line of `/proc/self/status` that has a size, in bytes.
fn memory(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let words = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = words.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn connections(page: &mut Page, scene: &Scene<'_>) {
    let (process, traffic) = (&scene.sources.process, scene.sources.board.traffic());
    for (name, help, number) in [
        ("moxi_open_connections", "Connections of clients and to servers, and listeners.", process.curr_connections()),
        ("moxi_open_connections_peak", "Most of them at one time.", process.connection_structures()),
        ("moxi_accepting", "Whether clients are accepted.", u64::from(process.accepting.load(Relaxed))),
    ] {
        page.single(name, Kind::Gauge, help, number);
    }
    for (name, help, number) in [
        ("moxi_connections_opened_total", "Connections ever opened, listeners included.", process.total_connections()),
        ("moxi_accept_pauses_total", "How often accepting was stopped.", process.listen_disabled.load(Relaxed)),
        ("moxi_read_bytes_total", "Bytes received by the proxy, from clients and servers.", traffic.read),
        ("moxi_written_bytes_total", "Bytes sent by the proxy, to clients and servers.", traffic.written),
        ("moxi_yields_total", "How often a client of the proxy had to let others go first (-R).", traffic.yields),
    ] {
        page.single(name, Kind::Counter, help, number);
    }
}
