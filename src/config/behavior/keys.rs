//! The one table of behaviour keys (05 §3.2).

use std::ops::RangeInclusive;

use super::FIRST_BUCKET;
use super::endpoint::Endpoint;
use super::one_in::OneIn;
use super::setting::{Accepted, HashOptions, Kind, Setting};
use crate::config::snapshot::Secret;
use crate::protocol::Protocol;

/// Keys whose default comes from the environment (01 §9).
const VARIABLES: [(&str, &str); 2] = [("usr", "MOXI_SASL_PLAIN_USR"), ("pwd", "MOXI_SASL_PLAIN_PWD")];

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing in particular, or not a number.
    None,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
}

/// In which blocks of `stats proxy` a key is shown (06 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// Nowhere.
    Nowhere,
    /// Only under `proxy_main:behavior:`.
    Main,
    /// There and under `PORT:NAME:behavior:`.
    Proxy,
    /// There and under `PORT:NAME:behavior-N:`, once for each server.
    Server,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The primary name, as statistics and this program's own texts use it.
    pub name: &'static str,
    /// Other names that may be written.
    pub synonyms: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// What a number counts.
    pub unit: Unit,
    /// Least and greatest number, or length of a text in bytes.
    pub limit: RangeInclusive<u64>,
    /// Where statistics show it.
    pub shown: Where,
    /// Whether the key dates from the C program, which takes a beginning of a name for the name. Newer keys are
    /// written in full.
    pub abbreviable: bool,
    /// What it does, for `-h`; the manual page begins with it, too.
    pub help: &'static str,
    /// What the manual page says besides, in the notation of `tests/documents/roff.rs`.
    pub more: &'static str,
    /// Reads a value.
    pub(super) set: fn(&mut Behavior, &str, &RangeInclusive<u64>) -> Accepted,
    show: fn(&Behavior) -> String,
}

impl Key {
    /// The key with this primary name or synonym.
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.is_called(name))
    }

    /// The key that the first word of `text` means: written in full, else the first in table order that has a name
    /// beginning with it, as in the C program (05 §3.1).
    pub(super) fn matching(text: &str) -> Option<&'static Key> {
        let word = text.split_whitespace().next()?;
        Key::find(word)
            .or_else(|| KEYS.iter().find(|key| key.abbreviable && key.names().any(|name| name.starts_with(word))))
    }

    /// Whether `name` is the primary name or a synonym.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// The variable of the environment that its default comes from.
    pub fn variable(&self) -> Option<&'static str> {
        VARIABLES.iter().find(|(name, _)| *name == self.name).map(|(_, variable)| *variable)
    }

    /// Whether the value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Its value as statistics show it; a password comes out as stars.
    pub fn value(&self, behavior: &Behavior) -> String {
        (self.show)(behavior)
    }

    /// The value that it has without `-Z` and environment, as people write it.
    pub fn default_text(&self) -> String {
        match self.kind {
            Kind::Secret => String::new(),
            // Statistics show its number, people write its word.
            Kind::Protocol => "binary".to_owned(),
            _ => self.value(&Behavior::default()),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.synonyms.iter().copied())
    }
}

/// No limit but that of the type. (The limits of texts are the sizes of the C program's buffers.)
const ANY: RangeInclusive<u64> = 0..=u64::MAX;

macro_rules! behavior_keys {
    ($($name:ident: $type:ty = $default:expr, $synonyms:expr, $unit:ident, $limit:expr, $shown:ident, $old:expr, $help:literal $(, $more:literal)?;)*) => {
        /// All keys with their values.
        ///
        /// `Default` gives what is in force without `-Z` and environment.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Behavior {
            $(#[doc = $help] pub $name: $type,)*
        }

        impl Default for Behavior {
            fn default() -> Behavior {
                Behavior { $($name: $default,)* }
            }
        }

        /// Every key, in matching order: where an abbreviation fits several, the first is meant.
        pub static KEYS: &[Key] = &[$(Key {
            name: stringify!($name),
            synonyms: &$synonyms,
            kind: <$type as Setting>::KIND,
            unit: Unit::$unit,
            limit: $limit,
            shown: Where::$shown,
            abbreviable: $old,
            help: $help,
            more: concat!("" $(, $more)?),
            set: |behavior, text, limit| behavior.$name.set(text, limit),
            show: |behavior| behavior.$name.show(),
        },)*];
    };
}

// name: type = default, [synonyms], unit, limit, shown in, known to the C program, help, what the manual page says besides
behavior_keys! {
    cycle: u32 = 200, [], Milliseconds, ANY, Main, true,
        "Period of the coarse clock that cache lifetimes and connect suspensions go by; 0 stops it.";
    downstream_max: u32 = 1024, ["concurrency"], None, ANY, Proxy, true,
        "Requests in flight per worker thread and bucket; 0 is unlimited.";
    downstream_conn_max: u32 = 4, [], None, ANY, Proxy, true,
        "Connections per worker thread and server; 0 is unlimited.";
    downstream_weight: u32 = 0, ["weight"], None, ANY, Server, true,
        "Weight of every server of a dynamic ketama bucket.";
    downstream_retry: u32 = 1, ["retry"], None, ANY, Server, true,
        "How often a request is sent again when its server closes the connection before it answers.";
    downstream_protocol: Protocol = Protocol::Binary, ["protocol"], None, ANY, Server, true,
        "Protocol spoken to servers: ascii or binary.",
        "ascii is also written memcached-ascii or membase-ascii, binary memcached-binary or membase-binary. With ascii \
         there is no authentication, no bucket selection and no vbucket id. A key with NUL, blanks or line ends, which \
         only binary clients can have, is then taken by memcached from 1.6.10 on, up to 186 bytes; otherwise it is \
         refused with status 4.";
    downstream_timeout: u32 = 5000, ["timeout", "downstream_conn_timeout"], Milliseconds, ANY, Server, true,
        "How long a server may take to answer a request; 0 is for ever.";
    downstream_conn_queue_timeout: u32 = 200, [], Milliseconds, ANY, Server, true,
        "How long a request may wait for its turn on a server connection; 0 is for ever.",
        "What was not sent until then is not carried out. What was may be carried out late, but never after what its \
         client sends next.";
    wait_queue_timeout: u32 = 200, [], Milliseconds, ANY, Proxy, true,
        "How long a request may wait to be admitted under downstream_max; 0 is for ever.";
    connect_timeout: u32 = 400, [], Milliseconds, ANY, Server, true,
        "How long connecting to a server may take; 0 is for ever.";
    auth_timeout: u32 = 100, [], Milliseconds, ANY, Server, true,
        "How long a server may take for each step of authentication; 0 is for ever.";
    time_stats: bool = false, [], None, ANY, Proxy, true,
        "Collect timing histograms.";
    mcs_opts: HashOptions = HashOptions::default(), [], None, 0..=79, Nowhere, true,
        "Hashing for server lists: distribution:ketama, distribution:ketama-weighted or distribution:modula.",
        "By default it is distribution:ketama-weighted.";
    connect_max_errors: u32 = 5, [], None, ANY, Proxy, true,
        "Failures in a row that are tolerated in a server; one more suspends it: no new connections until it answers a \
         probe. 0 is never.",
        "While it is suspended, requests that would need a new connection fail at once.";
    connect_retry_interval: u32 = 30000, [], Milliseconds, ANY, Proxy, true,
        "Pause between two probes of a suspended server, at most a second; 0: no server is suspended.";
    front_cache_max: u32 = 200, [], None, ANY, Proxy, true,
        "Items in the front cache.",
        "All clients of a bucket share it. Over binary servers, only gets of several keys are answered from it; with \
         `-X`, none. What a client changes is dropped; what others change at the servers is seen when the item's time \
         is over.";
    front_cache_lifespan: u32 = 0, [], Milliseconds, ANY, Proxy, true,
        "How long an item stays in the front cache; 0 turns it off.";
    front_cache_spec: String = String::new(), [], None, 0..=299, Proxy, true,
        "Prefixes of the keys to keep in the front cache, separated by |.",
        "Without any nothing is kept.";
    front_cache_unspec: String = String::new(), [], None, 0..=99, Proxy, true,
        "Prefixes of keys never to keep in the front cache, separated by |.";
    key_stats_max: u32 = 4000, [], None, ANY, Proxy, true,
        "Keys with statistics of their own, per worker thread.",
        "`stats proxy keystats` shows them. One too many takes the place of the one that was asked for the longest time ago. \
         A key takes some 2 KB.";
    key_stats_lifespan: u32 = 0, [], Milliseconds, ANY, Proxy, true,
        "How long the statistics of a key are kept; 0 turns them off.",
        "It is the time from the key's first request; with the next one behind it, its statistics begin anew.";
    key_stats_spec: String = String::new(), [], None, 0..=299, Proxy, true,
        "Prefixes of the keys to keep statistics for, separated by |.",
        "Without any there are none.";
    key_stats_unspec: String = String::new(), [], None, 0..=99, Proxy, true,
        "Prefixes of keys never to keep statistics for, separated by |.";
    optimize_set: String = String::new(), [], None, 0..=399, Proxy, true,
        "Prefixes of keys for which set is answered before the server has, separated by |.",
        "What the server replies then is dropped, even if it is an error.";
    usr: String = String::new(), [], None, 0..=249, Server, true,
        "User for the cluster's REST interface and, with static configurations, for servers.",
        "By default the value of the environment variable `MOXI_SASL_PLAIN_USR`.";
    pwd: Secret = Secret::default(), [], None, 0..=899, Nowhere, true,
        "Password that goes with usr.",
        "By default the value of the environment variable `MOXI_SASL_PLAIN_PWD`. Other users can see the command line: \
         prefer the variable or a file.";
    host: String = String::new(), [], None, 0..=249, Server, true,
        "Shown in statistics; has no effect.";
    port: i32 = 0, [], None, ANY, Server, true,
        "Shown in statistics; has no effect.";
    bucket: String = String::new(), [], None, 0..=249, Server, true,
        "Bucket to select on each new binary server connection.";
    port_listen: i32 = 11211, [], None, ANY, Proxy, true,
        "Port on which the buckets of a dynamic configuration are served.";
    default_bucket_name: String = FIRST_BUCKET.to_owned(), [], None, 0..=249, Proxy, true,
        "Bucket of clients that have not authenticated; unset it is the first bucket.";
    strict: bool = false, [], None, ANY, Nowhere, false,
        "Whether what is not understood in the texts of -Z and -z is an error; else it is logged and ignored.",
        "Such are an unknown key, a value that is no number or has a unit, as in 5s, and a key that is not written in \
         full. The error ends the start. The key may stand anywhere in the text.";
    join_gets: bool = true, [], None, ANY, Proxy, false,
        "Send gets that wait for the same server at the same time as one request.";
    value_max: u64 = 134_217_728, [], Bytes, 1..=u64::MAX, Proxy, false,
        "Largest value accepted from a client or a server.";
    upstream_requests_max: u32 = 1000, [], None, 1..=u64::MAX, Proxy, false,
        "Unanswered requests per client, quiet ones, too, beyond which it is not read from.";
    upstream_output_max: u64 = 16_777_216, [], Bytes, 1..=u64::MAX, Proxy, false,
        "Replies a client has not read, beyond which it is not read from.";
    quiet_max: u64 = 22_020_096, [], Bytes, 1..=u64::MAX, Proxy, false,
        "Quiet binary requests of a client that are not settled, beyond which it is not read from.";
    client_idle_timeout: u32 = 0, [], Milliseconds, ANY, Proxy, false,
        "How long a client may be idle before it is closed; 0 is for ever.",
        "A client is idle that has sent and taken no byte and has no unanswered request. One that has begun a request \
         or a value and sends no more of it is idle, too. Counted as `tot_upstream_idle_closed` in `stats proxy \
         stats`. Clients of the built-in server may be idle for ever.";
    metrics: Endpoint = Endpoint::default(), [], None, ANY, Main, false,
        "Port, or HOST:PORT, on which Prometheus and probes are answered by HTTP: /metrics, /healthz, /readyz, /config; \
         0 or nothing is none.",
        "A port alone is that of 127.0.0.1. Whoever can connect can read everything that `stats proxy` shows, and \
         nothing else: no passwords, no keys. It counts without a cluster configuration, too.";
    hot_keys: u32 = 0, [], None, 0..=10_000, Proxy, false,
        "How many of the keys that are asked for most `stats proxy hotkeys` shows; 0: none are looked for.",
        "Eight times as many are watched, by each worker thread, in about 3 KB for each that is shown. \
         Whoever can connect can read them.";
    slow_log: u32 = 0, [], Milliseconds, ANY, Proxy, false,
        "Log each request that takes longer than this; 0: none.",
        "A line says what was asked for, by whom, of which server, and where the time has gone; never a value or a \
         password. Of more than 100 in a second, per worker thread and bucket, only the number is logged.";
    slow_log_file: String = String::new(), [], None, 0..=4095, Main, false,
        "File for the lines of slow_log and sample; without one they go to the log.",
        "SIGHUP opens it again. As long as it cannot be written its lines are lost, and no request waits for it. There \
         is to be no comma in its name.";
    sample: OneIn = OneIn::default(), [], None, ANY, Proxy, false,
        "Log one in so many requests, written 1/N, in the way of slow_log; 0 or nothing: none.",
        "Each worker thread takes every Nth request of a bucket.";
    drain_timeout: u32 = 30000, [], Milliseconds, ANY, Main, false,
        "How long clients may stay with a process that ends before they are closed; 0 is for ever.",
        "After SIGTERM, what has begun must be done by then. After SIGUSR2, clients that the new process could not take \
         over have left by then, or are closed between two requests. It counts without a cluster configuration, too.";
    upgrade_timeout: u32 = 30000, [], Milliseconds, ANY, Main, false,
        "How long a process that SIGUSR2 has started has time until it can serve clients; 0 is for ever.",
        "Else it is ended, and the old one goes on. It counts without a cluster configuration, too.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(Key::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn abbreviations_match_in_table_order() {
        for (text, want) in [
            ("cycle", "cycle"),
            ("cyc", "cycle"),
            ("c", "cycle"),
            ("conn", "connect_timeout"),
            ("con", "downstream_max"),
            ("concurrency", "downstream_max"),
            ("d", "downstream_max"),
            ("down", "downstream_max"),
            ("downstream_conn", "downstream_conn_max"),
            ("downstream_t", "downstream_timeout"),
            ("p", "downstream_protocol"),
            ("protocol", "downstream_protocol"),
            ("po", "port"),
            ("port", "port"),
            ("port_l", "port_listen"),
            ("front", "front_cache_max"),
            ("t", "downstream_timeout"),
            ("timeout", "downstream_timeout"),
            ("w", "downstream_weight"),
            ("cycle and more", "cycle"),
            ("join_gets", "join_gets"),
        ] {
            assert_eq!(Key::matching(text).map(|key| key.name), Some(want), "{text}");
        }
        for text in ["", " ", "Cycle", "cycles", "join", "up", "nodeLocator"] {
            assert!(Key::matching(text).is_none(), "{text}");
        }
    }

    #[test]
    fn defaults() {
        let shown: Vec<String> =
            KEYS.iter().map(|key| format!("{}={}", key.name, key.value(&Behavior::default()))).collect();
        assert_eq!(
            shown.join(","),
            "cycle=200,downstream_max=1024,downstream_conn_max=4,downstream_weight=0,downstream_retry=1,\
             downstream_protocol=8,downstream_timeout=5000,downstream_conn_queue_timeout=200,wait_queue_timeout=200,\
             connect_timeout=400,auth_timeout=100,time_stats=0,mcs_opts=,connect_max_errors=5,\
             connect_retry_interval=30000,front_cache_max=200,front_cache_lifespan=0,front_cache_spec=,\
             front_cache_unspec=,key_stats_max=4000,key_stats_lifespan=0,key_stats_spec=,key_stats_unspec=,\
             optimize_set=,usr=,pwd=\"\",host=,port=0,bucket=,port_listen=11211,\
             default_bucket_name=[ <FIRST_BUCKET> ],strict=0,join_gets=1,value_max=134217728,upstream_requests_max=1000,\
             upstream_output_max=16777216,quiet_max=22020096,client_idle_timeout=0,metrics=,\
             hot_keys=0,slow_log=0,slow_log_file=,sample=,drain_timeout=30000,upgrade_timeout=30000"
        );
    }

    #[test]
    fn statistics_show_the_documented_numbers_of_lines() {
        /// Keys that the C program does not have; they come last.
        const NEW: usize = 13;
        /// Those of them that are no bucket's.
        const MAIN: usize = 4;
        let count = |least: Where| KEYS.iter().filter(|key| key.shown >= least).count();
        assert_eq!((count(Where::Main), count(Where::Proxy), count(Where::Server)), (29 + NEW, 28 + NEW - MAIN, 11));
    }
}
