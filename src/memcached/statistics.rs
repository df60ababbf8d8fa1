//! The text of `stats` and its sub-commands (02 §13, 06 §9), and binary STAT.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use super::access::Access;
use super::classes::{self, Class};
use super::counters::{ClassCount, Count, Counters, Totals};
use super::{Memcached, Settings};
use super::{VERSION, dump, prefix};
use crate::metrics::board::TrafficSum;
use crate::metrics::process::{Facts, Process};
use crate::protocol::ascii::words::Words;
use crate::protocol::numbers::parse_u32;
use crate::sums::Count as _;

const ERROR: &[u8] = b"ERROR\r\n";
const BAD_LINE: &[u8] = b"CLIENT_ERROR bad command line\r\n";
const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const NO_CLASS: &[u8] = b"SERVER_ERROR out of memory writing stats\r\n";
const DETAIL_USAGE: &[u8] = b"CLIENT_ERROR usage: stats detail on|off|dump\r\n";
const END: &[u8] = b"END\r\n";
const OK: &[u8] = b"OK\r\n";

/// Class numbers above this are refused.
const CLASS_MAX: u32 = 255;

/// What is done with each statistic.
pub type Emit<'a> = dyn FnMut(&str, &dyn Display) + 'a;

/// Writes the reply to a `stats` line. The error is a line to be sent instead.
pub(super) fn ascii(access: &Access<'_>, words: &Words<'_>, out: &mut Vec<u8>) -> Result<(), &'static [u8]> {
    let mut line = String::new();
    let mut emit = |name: &str, value: &dyn Display| {
        line.clear();
        let _ = write!(line, "STAT {name} {value}\r\n"); // a String takes everything
        out.extend_from_slice(line.as_bytes());
    };
    let memcached = access.memcached;
    match words.get(1) {
        b"" => general(access, &mut emit),
        b"settings" => settings(&memcached.settings, Some(memcached), memcached.process.facts().verbosity, &mut emit),
        b"items" => items(access, &mut emit),
        b"slabs" => slabs(memcached, &mut emit),
        b"sizes" => sizes(memcached, &mut emit),
        b"reset" => {
            reset(memcached);
            out.extend_from_slice(b"RESET\r\n");
            return Ok(());
        }
        b"cachedump" => {
            if words.count() < 4 {
                return Err(BAD_LINE);
            }
            let numbers = (parse_u32(words.get(2)), parse_u32(words.get(3)));
            let (Some(class), Some(limit)) = numbers else { return Err(BAD_FORMAT) };
            if class > CLASS_MAX {
                return Err(NO_CLASS);
            }
            dump::cachedump(memcached, class, limit, out);
        }
        b"detail" => match words.get(2) {
            b"on" | b"off" => {
                memcached.detail.store(words.get(2) == b"on", Relaxed);
                out.extend_from_slice(OK);
                return Ok(());
            }
            b"dump" => {
                prefix::dump(memcached, out);
                return Ok(());
            }
            _ => return Err(DETAIL_USAGE),
        },
        _ => return Err(ERROR),
    }
    out.extend_from_slice(END);
    Ok(())
}

/// Emits the statistics for a binary STAT with this key; `false` if there are none of that name.
pub(super) fn binary(access: &Access<'_>, key: &[u8], emit: &mut Emit<'_>) -> bool {
    let memcached = access.memcached;
    match key {
        b"" => general(access, emit),
        b"settings" => settings(&memcached.settings, Some(memcached), memcached.process.facts().verbosity, emit),
        b"items" => items(access, emit),
        b"slabs" => slabs(memcached, emit),
        b"sizes" => sizes(memcached, emit),
        b"reset" => reset(memcached),
        b"detail on" => memcached.detail.store(true, Relaxed),
        b"detail off" => memcached.detail.store(false, Relaxed),
        b"detail dump" => {
            let mut text = Vec::new();
            prefix::dump(memcached, &mut text);
            emit("detailed", &String::from_utf8_lossy(&text));
        }
        _ => return false,
    }
    true
}

/// `stats`: 35 lines, and four more from the first meta command on.
fn general(access: &Access<'_>, emit: &mut Emit<'_>) {
    let memcached = access.memcached;
    let totals = memcached.totals();
    let general = General {
        uptime: u64::from(access.tick),
        time: access.unix_time(),
        totals: &totals,
        process: &memcached.process,
        facts: memcached.process.facts(),
        memory: memcached.classes.limit(),
        threads: memcached.settings.threads,
        traffic: TrafficSum::default(),
    };
    general.emit(emit);
    stored(memcached, &totals, emit);
}

/// The last four lines of `stats`: what is stored.
fn stored(memcached: &Memcached, totals: &Totals, emit: &mut Emit<'_>) {
    let lines = lines(memcached);
    emit("bytes", &lines.iter().map(|line| line.requested).sum::<u64>());
    emit("curr_items", &lines.iter().map(|line| line.count).sum::<u64>());
    emit("total_items", &totals.get(Count::TotalItems));
    let evictions: u64 = memcached.classes.iter().map(|(_, class)| class.evicted.load(Relaxed)).sum();
    emit("evictions", &evictions);
    // What memcached 1.4.1 did not have, and who speaks as then does not expect.
    if totals.get(Count::AnyMeta) > 0 {
        emit("cmd_touch", &totals.get(Count::CmdTouch));
        emit("cmd_meta", &totals.get(Count::CmdMeta));
        emit("touch_hits", &totals.of_classes(ClassCount::TouchHits));
        emit("touch_misses", &totals.get(Count::TouchMisses));
    }
}

/// What the process as a whole has done.
struct General<'a> {
    uptime: u64,
    time: u64,
    totals: &'a Totals,
    process: &'a Process,
    facts: Facts,
    memory: u64,
    threads: u32,
    /// What the proxy adds.
    traffic: TrafficSum,
}

impl General<'_> {
    fn emit(&self, emit: &mut Emit<'_>) {
        let General { totals, process, facts, traffic, .. } = self;
        emit("pid", &facts.pid);
        emit("uptime", &self.uptime);
        emit("time", &self.time);
        emit("version", &VERSION);
        emit("pointer_size", &usize::BITS);
        for (name, (seconds, micros)) in ["rusage_user", "rusage_system"].iter().zip(facts.cpu) {
            emit(name, &format_args!("{seconds}.{micros:06}"));
        }
        emit("curr_connections", &process.curr_connections());
        emit("total_connections", &process.total_connections());
        emit("connection_structures", &process.connection_structures());
        emit("cmd_get", &totals.get(Count::CmdGet));
        emit("cmd_set", &totals.of_classes(ClassCount::CmdSet).saturating_add(totals.get(Count::BadSet)));
        emit("cmd_flush", &totals.get(Count::CmdFlush));
        emit("get_hits", &totals.of_classes(ClassCount::GetHits));
        emit("get_misses", &totals.get(Count::GetMisses));
        emit("delete_misses", &totals.get(Count::DeleteMisses));
        emit("delete_hits", &totals.of_classes(ClassCount::DeleteHits));
        emit("incr_misses", &totals.get(Count::IncrMisses));
        emit("incr_hits", &totals.of_classes(ClassCount::IncrHits));
        emit("decr_misses", &totals.get(Count::DecrMisses));
        emit("decr_hits", &totals.of_classes(ClassCount::DecrHits));
        emit("cas_misses", &totals.get(Count::CasMisses));
        emit("cas_hits", &totals.of_classes(ClassCount::CasHits));
        emit("cas_badval", &totals.of_classes(ClassCount::CasBadval));
        emit("bytes_read", &totals.get(Count::BytesRead).wrapping_add(traffic.read));
        emit("bytes_written", &totals.get(Count::BytesWritten).wrapping_add(traffic.written));
        emit("limit_maxbytes", &self.memory);
        emit("accepting_conns", &u8::from(process.accepting.load(Relaxed)));
        emit("listen_disabled_num", &process.listen_disabled.load(Relaxed));
        emit("threads", &self.threads);
        emit("conn_yields", &totals.get(Count::ConnYields).wrapping_add(traffic.yields));
    }
}

/// What only the proxy knows of the process.
#[derive(Clone, Copy, Debug)]
pub struct Proxied {
    /// Seconds since the program started; shown with the two that the built-in server adds (02 §13).
    pub uptime: u64,
    /// Bytes on the sockets of the proxy.
    pub traffic: TrafficSum,
}

/// The 31 lines of `memcached:stats:` (06 §4.3), with or without a built-in server.
pub fn process(
    settings: &Settings,
    memcached: Option<&Memcached>,
    process: &Process,
    proxied: &Proxied,
    emit: &mut Emit<'_>,
) {
    let facts = process.facts();
    let totals = memcached.map_or_else(|| Totals::of(std::iter::empty(), 0), Memcached::totals);
    let general = General {
        uptime: proxied.uptime.saturating_add(2),
        time: facts.unix,
        totals: &totals,
        process,
        facts,
        memory: memcached.map_or(settings.memory, |memcached| memcached.classes.limit()),
        threads: settings.threads,
        traffic: proxied.traffic,
    };
    general.emit(emit);
}

/// The lines that `stats` of the built-in server has and [`process`] has not.
pub fn contents(memcached: &Memcached, emit: &mut Emit<'_>) {
    stored(memcached, &memcached.totals(), emit);
}

/// `stats settings`: 19 lines, with or without a built-in server, while the log has this verbosity.
pub fn settings(settings: &Settings, memcached: Option<&Memcached>, verbosity: u8, emit: &mut Emit<'_>) {
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "NULL".to_owned());
    // As in the C program, whose field has 32 bits.
    let memory = memcached.map_or(settings.memory, |memcached| memcached.classes.limit());
    emit("maxbytes", &(memory & u64::from(u32::MAX)));
    emit("maxconns", &settings.connections);
    emit("tcpport", &settings.tcp_port);
    emit("udpport", &settings.udp_port);
    emit("inter", &or_null(&settings.listen));
    emit("verbosity", &verbosity);
    emit("oldest", &memcached.map_or(0, |memcached| memcached.oldest_live.load(Relaxed)));
    emit("evictions", &if settings.evict { "on" } else { "off" });
    emit("domain_socket", &or_null(&settings.socket));
    emit("umask", &format_args!("{:o}", settings.socket_mode));
    emit("growth_factor", &format_args!("{:.2}", settings.growth_factor));
    emit("chunk_size", &settings.chunk_size);
    emit("num_threads", &settings.threads);
    emit("stat_key_prefix", &char::from(settings.prefix_delimiter));
    let detail = memcached.map_or(settings.detail, |memcached| memcached.detail.load(Relaxed));
    emit("detail_enabled", &if detail { "yes" } else { "no" });
    emit("reqs_per_event", &settings.requests_per_turn);
    emit("cas_enabled", &if settings.cas { "yes" } else { "no" });
    emit("tcp_backlog", &settings.backlog);
    emit("binding_protocol", &settings.binding);
}

/// What a class holds, in all shards together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    requested: u64,
    /// Recency and last access of the oldest item.
    oldest: Option<(u64, u32)>,
}

/// What each class holds.
fn lines(memcached: &Memcached) -> Vec<Sum> {
    let mut sums = vec![Sum::default(); memcached.classes.count()];
    for index in 0..memcached.shards.len() {
        let shard = memcached.shard(index);
        for ((id, _), sum) in memcached.classes.iter().zip(&mut sums) {
            let line = shard.line(id);
            if line.count == 0 {
                continue;
            }
            sum.count = sum.count.saturating_add(line.count as u64);
            sum.requested = sum.requested.saturating_add(line.requested);
            let entry = shard.get(line.oldest);
            let oldest = (entry.used(), entry.accessed);
            sum.oldest = Some(sum.oldest.map_or(oldest, |other| other.min(oldest)));
        }
    }
    sums
}

/// `stats items`: each class with items.
fn items(access: &Access<'_>, emit: &mut Emit<'_>) {
    let memcached = access.memcached;
    for ((id, class), sum) in memcached.classes.iter().zip(lines(memcached)) {
        let Some((_, accessed)) = sum.oldest else { continue };
        let number = classes::number(id);
        let mut of = |name: &str, value: &dyn Display| emit(&format!("items:{number}:{name}"), value);
        of("number", &sum.count);
        of("age", &access.tick.saturating_sub(accessed));
        of("evicted", &class.evicted.load(Relaxed));
        of("evicted_time", &class.evicted_time.load(Relaxed));
        of("outofmemory", &class.outofmemory.load(Relaxed));
        // Nothing is ever leaked, so nothing is repaired.
        of("tailrepairs", &0);
    }
}

/// `stats slabs`: each class with pages.
fn slabs(memcached: &Memcached, emit: &mut Emit<'_>) {
    let totals = memcached.totals();
    let mut active = 0u64;
    for ((id, class), sum) in memcached.classes.iter().zip(lines(memcached)) {
        let pages = class.pages.load(Relaxed);
        if pages == 0 {
            continue;
        }
        active.up();
        let number = classes::number(id);
        let mut of = |name: &str, value: &dyn Display| emit(&format!("{number}:{name}"), value);
        let (total, free, unused) =
            (pages.saturating_mul(class.per_page.into()), class.free.load(Relaxed), class.unused.load(Relaxed));
        of("chunk_size", &class.size);
        of("chunks_per_page", &class.per_page);
        of("total_pages", &pages);
        of("total_chunks", &total);
        of("used_chunks", &total.saturating_sub(free).saturating_sub(unused));
        of("free_chunks", &free);
        of("free_chunks_end", &unused);
        of("mem_requested", &sum.requested);
        of("get_hits", &totals.of_class(id, ClassCount::GetHits));
        of("cmd_set", &totals.of_class(id, ClassCount::CmdSet));
        of("delete_hits", &totals.of_class(id, ClassCount::DeleteHits));
        of("incr_hits", &totals.of_class(id, ClassCount::IncrHits));
        of("decr_hits", &totals.of_class(id, ClassCount::DecrHits));
        of("cas_hits", &totals.of_class(id, ClassCount::CasHits));
        of("cas_badval", &totals.of_class(id, ClassCount::CasBadval));
    }
    emit("active_slabs", &active);
    emit("total_malloced", &memcached.classes.malloced());
}

/// `stats sizes`: how many items count up to so many bytes.
fn sizes(memcached: &Memcached, emit: &mut Emit<'_>) {
    for (upper, count) in dump::sizes(memcached) {
        emit(itoa(upper).as_str(), &count);
    }
}

fn itoa(number: u64) -> String {
    number.to_string()
}

/// `stats reset`.
fn reset(memcached: &Memcached) {
    memcached.each_worker(Counters::reset);
    memcached.process.reset();
    memcached.classes.iter().map(|(_, class)| class).for_each(Class::reset);
}
