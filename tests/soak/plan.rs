//! How long, how fast, and the limits.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::map::SERVERS;

/// Clients that keep their connections.
pub const CLIENTS: usize = 200;
/// Keys of each.
pub const KEYS: usize = 6;
pub const WORKERS: usize = 2;
/// Connections to a server, per worker and bucket.
pub const CONNS: usize = 4;

/// Each of moxi's time limits, in milliseconds: longer than a busy machine has them wait for a processor.
pub const LIMIT: u64 = 2000;
/// A place behind others, a connection, an answer; that twice, behind a place in the first queue; and what a busy machine
/// adds to it.
pub const LONGEST: Duration = Duration::from_millis(LIMIT + 2 * (LIMIT + LIMIT + LIMIT) + 2500);
/// So soon after the last fault everything works: a probe comes every second.
pub const WELL: Duration = Duration::from_secs(3);
/// How much more memory than before, in KiB, may be held at the end: fragments that the allocator keeps.
pub const SPARE: u64 = 8 * 1024;
/// How much memory may grow in the second half of a long run, in KiB per minute.
pub const SLOPE: f64 = 50.0;
/// Before that a process is too young to tell.
pub const TIME_TO_GROW: Duration = Duration::from_secs(1200);
/// If a thread of this test had to wait so long for a processor, so had moxi and servers: what comes too late then, or not
/// at all, is the machine's fault, and counted for itself. What is wrong is wrong.
pub const BUSY: Duration = Duration::from_millis(300);
/// Threads that do nothing but look whether it is so.
pub const PULSES: usize = 4;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What moxi speaks with servers.
    pub protocol: &'static str,
    /// From the first event to the last.
    pub time: Duration,
    /// Whether there are figures to be had.
    pub is_long: bool,
    /// How long the machine is asked what it can do.
    pub calibration: Duration,
    /// Requests per second, at most.
    pub most: f64,
    /// One line of the table.
    pub period: Duration,
    /// Milliseconds between two events.
    pub gap: Range<u64>,
    /// Milliseconds that a server is away.
    pub outage: Range<u64>,
    /// Where the chart goes.
    pub chart: Option<PathBuf>,
}

impl Plan {
    /// `None`: this protocol is not wanted.
    pub fn of(protocol: &'static str) -> Option<Plan> {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let Some(seconds) = number("MOXI_SOAK") else { return Some(Plan::short(protocol)) };
        let wanted = std::env::var("MOXI_SOAK_PROTOCOL").unwrap_or_else(|_| String::from("ascii"));
        (wanted == protocol).then(|| Plan {
            protocol,
            time: Duration::from_secs(seconds),
            is_long: true,
            calibration: Duration::from_secs(10),
            most: number("MOXI_SOAK_RATE").unwrap_or(4000) as f64,
            period: Duration::from_secs(if seconds < 600 { 1 } else { 5 }),
            gap: 500..9000,
            outage: 200..4000,
            chart: std::env::var_os("MOXI_SOAK_CHART").map(PathBuf::from),
        })
    }

    fn short(protocol: &'static str) -> Plan {
        Plan {
            protocol,
            time: Duration::from_secs(6),
            is_long: false,
            calibration: Duration::from_millis(700),
            most: 600.0,
            period: Duration::from_millis(500),
            gap: 20..150,
            outage: 50..750,
            chart: None,
        }
    }

    /// How many connections moxi may have while the clients are there.
    pub fn connections(&self) -> usize {
        let buckets = 1 + usize::from(self.has_map());
        CLIENTS + WORKERS * CONNS * SERVERS * buckets
    }

    /// Whether there is a bucket with a vbucket map. Its clients authenticate, and so would moxi to binary servers, of
    /// which Debian's memcached knows no users.
    pub fn has_map(&self) -> bool {
        self.protocol == "ascii"
    }
}
