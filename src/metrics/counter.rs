//! What is counted of a bucket: the counters of `pstd_stats` and `pstd_stats_cmd` (06 §6.4, §6.5).
//!
//! Every worker has [`Counters`] of its own for each bucket. Only that worker writes to them, so that counting takes no
//! locked instruction; whoever answers `stats proxy` reads them all and adds up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::histogram::{BINS, bin_of};
use super::latency::Latency;

/// How the values of several workers become one, and what a reset does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up only; they are added; a reset starts from zero.
    Total,
    /// Goes up and down; they are added; a reset changes nothing.
    Gauge,
    /// The largest counts; a reset starts from zero: it is a matter of the workers' own numbers, because what was the
    /// largest says nothing of what is since.
    Most,
}

macro_rules! counters {
    ($($name:ident $kind:ident $text:literal,)*) => {
        /// A counter of a bucket. The names are those of the C program; some count what only it did, and stay 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        /// All counters in the order in which they are shown: name and kind.
        pub const COUNTERS: &[(&str, Kind)] = &[$(($text, Kind::$kind),)*];
    };
}

counters! {
    Upstreams Gauge "num_upstream",
    TotUpstream Total "tot_upstream",
    Conns Gauge "num_downstream_conn",
    TotConn Total "tot_downstream_conn",
    ConnAcquired Total "tot_downstream_conn_acquired",
    ConnReleased Total "tot_downstream_conn_released",
    Released Total "tot_downstream_released",
    Reserved Total "tot_downstream_reserved",
    ReservedTime Total "tot_downstream_reserved_time",
    MaxReservedTime Most "max_downstream_reserved_time",
    Freed Total "tot_downstream_freed",
    QuitServer Total "tot_downstream_quit_server",
    MaxReached Total "tot_downstream_max_reached",
    CreateFailed Total "tot_downstream_create_failed",
    ConnectStarted Total "tot_downstream_connect_started",
    ConnectWait Total "tot_downstream_connect_wait",
    Connect Total "tot_downstream_connect",
    ConnectFailed Total "tot_downstream_connect_failed",
    ConnectTimeout Total "tot_downstream_connect_timeout",
    ConnectInterval Total "tot_downstream_connect_interval",
    ConnectMaxReached Total "tot_downstream_connect_max_reached",
    WaitingErrors Total "tot_downstream_waiting_errors",
    Auth Total "tot_downstream_auth",
    AuthFailed Total "tot_downstream_auth_failed",
    Bucket Total "tot_downstream_bucket",
    BucketFailed Total "tot_downstream_bucket_failed",
    PropagateFailed Total "tot_downstream_propagate_failed",
    CloseOnUpstreamClose Total "tot_downstream_close_on_upstream_close",
    ConnQueueTimeout Total "tot_downstream_conn_queue_timeout",
    ConnQueueAdd Total "tot_downstream_conn_queue_add",
    ConnQueueRemove Total "tot_downstream_conn_queue_remove",
    Timeout Total "tot_downstream_timeout",
    WaitQueueTimeout Total "tot_wait_queue_timeout",
    AuthTimeout Total "tot_auth_timeout",
    AssignDownstream Total "tot_assign_downstream",
    AssignUpstream Total "tot_assign_upstream",
    AssignRecursion Total "tot_assign_recursion",
    ResetUpstreamAvail Total "tot_reset_upstream_avail",
    MultigetKeys Total "tot_multiget_keys",
    MultigetKeysDedupe Total "tot_multiget_keys_dedupe",
    MultigetBytesDedupe Total "tot_multiget_bytes_dedupe",
    OptimizeSets Total "tot_optimize_sets",
    Retry Total "tot_retry",
    RetryTime Total "tot_retry_time",
    MaxRetryTime Most "max_retry_time",
    RetryVbucket Total "tot_retry_vbucket",
    UpstreamPaused Total "tot_upstream_paused",
    UpstreamUnpaused Total "tot_upstream_unpaused",
    ErrOom Total "err_oom",
    ErrUpstreamWritePrep Total "err_upstream_write_prep",
    ErrDownstreamWritePrep Total "err_downstream_write_prep",
    CmdTime Total "tot_cmd_time",
    CmdCount Total "tot_cmd_count",
    LocalCmdTime Total "tot_local_cmd_time",
    LocalCmdCount Total "tot_local_cmd_count",
    // New ones come behind those of the C program.
    JoinedGets Total "tot_joined_gets",
    IdleClosed Total "tot_upstream_idle_closed",
    CmdMg Total "cmd_mg",
    CmdMs Total "cmd_ms",
    CmdMd Total "cmd_md",
    CmdMa Total "cmd_ma",
    CmdMn Total "cmd_mn",
    CmdMe Total "cmd_me",
}

/// A command that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `get`, `gets`, `gat`, `gats`.
    Get,
    /// Each key of these.
    GetKey,
    /// `set`.
    Set,
    /// `add`.
    Add,
    /// `replace`.
    Replace,
    /// `delete`.
    Delete,
    /// `append`.
    Append,
    /// `prepend`.
    Prepend,
    /// `incr`.
    Incr,
    /// `decr`.
    Decr,
    /// `flush_all`.
    FlushAll,
    /// `cas`.
    Cas,
    /// `stats`, `stats proxy`.
    Stats,
    /// `stats reset`.
    StatsReset,
    /// `version`.
    Version,
    /// `verbosity`.
    Verbosity,
    /// `quit`.
    Quit,
    /// `getl`.
    Getl,
    /// `unl`.
    Unl,
    /// What was answered `ERROR`.
    Error,
    /// `touch`: new, behind those of the C program.
    Touch,
}

/// The names of all commands, in order.
pub const COMMANDS: [&str; Command::Touch as usize + 1] = [
    "get",
    "get_key",
    "set",
    "add",
    "replace",
    "delete",
    "append",
    "prepend",
    "incr",
    "decr",
    "flush_all",
    "cas",
    "stats",
    "stats_reset",
    "version",
    "verbosity",
    "quit",
    "getl",
    "unl",
    "ERROR",
    "touch",
];

impl Command {
    /// Its name.
    #[expect(clippy::indexing_slicing, reason = "there are as many names as the last command says")]
    pub fn name(self) -> &'static str {
        COMMANDS[self as usize]
    }
}

/// What is counted of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// How often it came.
    Seen,
    /// Keys with a value.
    Hits,
    /// Keys without; of storage commands, those that were malformed.
    Misses,
    /// Bytes of lines and values received.
    ReadBytes,
    /// Bytes of values sent.
    WriteBytes,
    /// How often with a CAS id.
    Cas,
}

/// The names of all fields, in order.
pub const FIELDS: [&str; Field::Cas as usize + 1] = ["seen", "hits", "misses", "read_bytes", "write_bytes", "cas"];

/// The two types of a command: with a reply, and without.
pub const TYPES: [&str; 2] = ["regular", "quiet"];

const SINGLE: usize = COUNTERS.len();
const BY_COMMAND: usize = TYPES.len() * COMMANDS.len() * FIELDS.len();
/// How many samples of a histogram were beyond its last bin, and the sum of all its samples: two numbers behind the bins.
const SAMPLES: usize = BINS + 2;
/// How many numbers there are: counters, numbers by command, and two histograms.
const NUMBERS: usize = SINGLE + BY_COMMAND + 2 * SAMPLES;

/// The place of a command's number: there are so many commands of each type, with so many numbers each.
#[expect(clippy::arithmetic_side_effects, reason = "the last of them is in NUMBERS, which the compiler has added up")]
fn place_of(quiet: bool, command: Command, field: Field) -> usize {
    SINGLE + (usize::from(quiet) * COMMANDS.len() + command as usize) * FIELDS.len() + field as usize
}

/// The place of a histogram's number: its bins, how many samples are beyond, and their sum.
#[expect(clippy::arithmetic_side_effects, reason = "as above")]
fn sample_of(timing: Timing, number: usize) -> usize {
    SINGLE + BY_COMMAND + timing as usize * SAMPLES + number
}

/// What is sampled if `time_stats` is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// From the start of connecting to the connection.
    Connect,
    /// From sending a request to the last of its answers.
    Reserved,
}

/// What one worker counts of one bucket.
#[derive(Debug)]
pub struct Counters {
    /// So many that whoever counts what the compiler knows asks for no length.
    numbers: Box<[AtomicU64; NUMBERS]>,
    /// How long its requests take.
    pub latency: Box<Latency>,
}

impl Default for Counters {
    fn default() -> Counters {
        let numbers = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Counters { numbers, latency: Box::default() }
    }
}

impl Counters {
    fn change(&self, index: usize, change: impl FnOnce(u64) -> u64) {
        if let Some(number) = self.numbers.get(index) {
            // Nobody else writes.
            number.store(change(number.load(Relaxed)), Relaxed);
        }
    }

    /// Counts `by` more.
    pub fn add(&self, counter: Counter, by: u64) {
        self.change(counter as usize, |number| number.wrapping_add(by));
    }

    /// Counts one more.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts one less of a gauge.
    pub fn drop_one(&self, gauge: Counter) {
        self.change(gauge as usize, |number| number.saturating_sub(1));
    }

    /// Notes a value of which the largest counts.
    pub fn raise(&self, counter: Counter, value: u64) {
        if let Some(number) = self.numbers.get(counter as usize).filter(|number| value > number.load(Relaxed)) {
            // Whoever resets it writes, too.
            number.fetch_max(value, Relaxed);
        }
    }

    /// Forgets what was the largest.
    pub(super) fn reset_most(&self) {
        let most = COUNTERS.iter().zip(self.numbers.iter()).filter(|((_, kind), _)| *kind == Kind::Most);
        most.for_each(|(_, number)| number.store(0, Relaxed));
    }

    /// Counts `by` more of a command.
    pub fn command(&self, quiet: bool, command: Command, field: Field, by: u64) {
        self.change(place_of(quiet, command, field), |number| number.wrapping_add(by));
    }

    /// Adds a sample, in microseconds, so often.
    pub fn sample(&self, timing: Timing, micros: u64, count: u64) {
        self.change(sample_of(timing, bin_of(micros).unwrap_or(BINS)), |number| number.wrapping_add(count));
        self.change(sample_of(timing, BINS + 1), |sum| sum.wrapping_add(micros.wrapping_mul(count)));
    }
}

/// What all workers together have counted of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    numbers: Box<[u64]>,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { numbers: vec![0; NUMBERS].into() }
    }
}

impl Sum {
    /// Of these workers.
    pub fn of<'a>(workers: impl Iterator<Item = &'a Counters>) -> Sum {
        let mut sum = Sum::default();
        for worker in workers {
            for (index, (total, number)) in sum.numbers.iter_mut().zip(worker.numbers.iter()).enumerate() {
                let number = number.load(Relaxed);
                *total = match COUNTERS.get(index) {
                    Some((_, Kind::Most)) => (*total).max(number),
                    _ => total.wrapping_add(number),
                };
            }
        }
        sum
    }

    /// What came since `base`; gauges are what they are, and so are maxima (`Counters::reset_most`).
    pub fn since(mut self, base: &Sum) -> Sum {
        for (index, (number, base)) in self.numbers.iter_mut().zip(&base.numbers).enumerate() {
            match COUNTERS.get(index) {
                Some((_, Kind::Gauge | Kind::Most)) => {}
                _ => *number = number.wrapping_sub(*base),
            }
        }
        self
    }

    /// Every counter.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COUNTERS.iter().zip(&self.numbers).map(|((name, _), number)| (*name, *number))
    }

    /// The counters of every command: type, command, field, number.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
        let names = TYPES
            .iter()
            .flat_map(|kind| COMMANDS.iter().map(move |command| (*kind, *command)))
            .flat_map(|(kind, command)| FIELDS.iter().map(move |field| (kind, command, *field)));
        let numbers = self.numbers.iter().skip(SINGLE);
        names.zip(numbers).map(|((kind, command, field), number)| (kind, command, field, *number))
    }

    /// How many samples are in each bin.
    pub fn histogram(&self, timing: Timing) -> &[u64] {
        self.numbers.get(sample_of(timing, 0)..sample_of(timing, BINS)).unwrap_or_default()
    }

    /// How many samples there are beyond the last bin, and the sum of all samples, in microseconds.
    pub fn beyond(&self, timing: Timing) -> (u64, u64) {
        let number = |number: usize| self.numbers.get(sample_of(timing, number)).copied().unwrap_or(0);
        (number(BINS), number(BINS + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(sum: &Sum, name: &str) -> u64 {
        sum.counters().find(|(known, _)| *known == name).expect("a counter").1
    }

    #[test]
    fn workers_add_up_and_a_base_is_subtracted() {
        let (a, b) = (Counters::default(), Counters::default());
        a.add(Counter::CmdCount, 5);
        b.count(Counter::CmdCount);
        a.raise(Counter::MaxReservedTime, 7);
        b.raise(Counter::MaxReservedTime, 9);
        b.raise(Counter::MaxReservedTime, 3);
        a.count(Counter::Upstreams);
        b.count(Counter::Upstreams);
        b.drop_one(Counter::Upstreams);
        b.drop_one(Counter::Upstreams);
        a.command(true, Command::Touch, Field::Cas, 4);
        a.sample(Timing::Reserved, 150, 1);
        let sum = || Sum::of([&a, &b].into_iter());
        let base = sum();
        assert_eq!(get(&base, "tot_cmd_count"), 6);
        assert_eq!(get(&base, "max_downstream_reserved_time"), 9);
        assert_eq!(get(&base, "num_upstream"), 1);
        assert_eq!(base.commands().last(), Some(("quiet", "touch", "cas", 4)));
        assert_eq!(base.histogram(Timing::Reserved).get(..3), Some(&[0, 1, 0][..]));
        assert_eq!((base.beyond(Timing::Reserved), base.beyond(Timing::Connect)), ((0, 150), (0, 0)));
        a.sample(Timing::Reserved, 104_859_499, 1);
        b.sample(Timing::Reserved, 104_859_500, 1);
        assert_eq!(sum().histogram(Timing::Reserved).last(), Some(&1));
        assert_eq!(sum().beyond(Timing::Reserved), (1, 150 + 104_859_499 + 104_859_500));
        assert_eq!(sum().beyond(Timing::Connect), (0, 0));
        b.count(Counter::CmdCount);
        let since = sum().since(&base);
        assert_eq!(get(&since, "tot_cmd_count"), 1);
        assert_eq!(get(&since, "num_upstream"), 1);
    }

    #[test]
    fn the_old_counters_come_first() {
        assert_eq!(COUNTERS.iter().position(|(name, _)| *name == "tot_local_cmd_count"), Some(54));
        assert_eq!(COMMANDS.iter().position(|name| *name == "ERROR"), Some(19));
        assert_eq!(Counter::CmdMe as usize, COUNTERS.len() - 1);
        assert_eq!(Sum::default().commands().count(), BY_COMMAND);
    }
}
