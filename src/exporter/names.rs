//! Which statistic has which name here, and the sentence about it. Statistics that only the C program had a use for, and
//! that are 0 for ever, have none.

/// What a statistic's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things, or bytes.
    One,
    /// Microseconds, which are shown as seconds.
    Micros,
}

/// A statistic of `stats proxy`, its name for Prometheus, what it counts, and the sentence about it.
pub(super) type Named = (&'static str, &'static str, Unit, &'static str);

use Unit::{Micros, One};

/// Those of `pstd_stats`.
pub(super) const COUNTERS: [Named; 56] = [
    ("num_upstream", "moxi_clients", One, "Clients that are connected."),
    ("tot_upstream", "moxi_clients_accepted_total", One, "Clients ever connected."),
    ("num_downstream_conn", "moxi_server_connections", One, "Connections to servers that are open."),
    ("tot_downstream_conn", "moxi_server_connections_opened_total", One, "Connections to servers ever opened."),
    ("tot_downstream_conn_acquired", "moxi_server_answers_expected_total", One, "Answers of servers asked for."),
    ("tot_downstream_conn_released", "moxi_server_answers_settled_total", One, "Answers of servers come or given up."),
    ("tot_downstream_released", "moxi_requests_finished_total", One, "Requests to servers ended."),
    ("tot_downstream_reserved", "moxi_requests_started_total", One, "Requests to servers begun."),
    (
        "tot_downstream_reserved_time",
        "moxi_requests_seconds_total",
        Micros,
        "Time of requests from begin to end, with time_stats.",
    ),
    (
        "max_downstream_reserved_time",
        "moxi_request_longest_seconds",
        Micros,
        "Longest time of a request from begin to end, with time_stats.",
    ),
    (
        "tot_downstream_quit_server",
        "moxi_requests_interrupted_total",
        One,
        "Requests that waited on a connection when it was lost.",
    ),
    ("tot_downstream_max_reached", "moxi_requests_queued_total", One, "Requests that had to wait for a place."),
    ("tot_downstream_connect_started", "moxi_connects_started_total", One, "Connecting to a server: begun."),
    ("tot_downstream_connect_wait", "moxi_connects_waited_total", One, "Connecting to a server: not done at once."),
    ("tot_downstream_connect", "moxi_connects_ready_total", One, "Connecting to a server: ready, with its handshake."),
    ("tot_downstream_connect_failed", "moxi_connects_failed_total", One, "Connecting to a server: failed."),
    (
        "tot_downstream_connect_timeout",
        "moxi_connects_timed_out_total",
        One,
        "Connecting to a server: failed because of connect_timeout.",
    ),
    (
        "tot_downstream_connect_interval",
        "moxi_connects_suspended_total",
        One,
        "Connecting to a server: not tried, because it is suspended.",
    ),
    (
        "tot_downstream_connect_max_reached",
        "moxi_connects_limited_total",
        One,
        "Connecting to a server: not tried, because of downstream_conn_max.",
    ),
    (
        "tot_downstream_waiting_errors",
        "moxi_requests_unconnected_total",
        One,
        "Requests that waited for a connection that failed.",
    ),
    ("tot_downstream_auth", "moxi_server_auths_total", One, "Authentications at servers that succeeded."),
    ("tot_downstream_auth_failed", "moxi_server_auths_failed_total", One, "Authentications at servers that failed."),
    ("tot_downstream_bucket", "moxi_server_selects_total", One, "Selections of a bucket at servers that succeeded."),
    (
        "tot_downstream_bucket_failed",
        "moxi_server_selects_failed_total",
        One,
        "Selections of a bucket at servers that failed.",
    ),
    (
        "tot_downstream_propagate_failed",
        "moxi_requests_undeliverable_total",
        One,
        "Requests that could be sent nowhere.",
    ),
    (
        "tot_downstream_close_on_upstream_close",
        "moxi_clients_left_early_total",
        One,
        "Clients that went with requests unanswered.",
    ),
    (
        "tot_downstream_conn_queue_timeout",
        "moxi_connection_queue_timeouts_total",
        One,
        "Requests given up because of downstream_conn_queue_timeout.",
    ),
    (
        "tot_downstream_conn_queue_add",
        "moxi_connection_queue_entered_total",
        One,
        "Requests that began to wait behind others on a connection.",
    ),
    (
        "tot_downstream_conn_queue_remove",
        "moxi_connection_queue_left_total",
        One,
        "Requests that ceased to wait behind others on a connection.",
    ),
    ("tot_downstream_timeout", "moxi_request_timeouts_total", One, "Requests given up because of downstream_timeout."),
    (
        "tot_wait_queue_timeout",
        "moxi_wait_queue_timeouts_total",
        One,
        "Requests given up because of wait_queue_timeout.",
    ),
    ("tot_auth_timeout", "moxi_server_auth_timeouts_total", One, "Authentications given up because of auth_timeout."),
    ("tot_assign_downstream", "moxi_places_given_total", One, "Places given to requests that had waited for one."),
    ("tot_assign_upstream", "moxi_places_taken_total", One, "Requests that had waited for a place and went on."),
    ("tot_multiget_keys", "moxi_get_keys_total", One, "Keys asked for by gets."),
    ("tot_multiget_keys_dedupe", "moxi_get_keys_repeated_total", One, "Keys that stood in a get before."),
    ("tot_multiget_bytes_dedupe", "moxi_get_repeated_bytes_total", One, "Bytes of keys that stood in a get before."),
    ("tot_optimize_sets", "moxi_sets_answered_early_total", One, "Sets answered before the server has (optimize_set)."),
    ("tot_retry", "moxi_retries_total", One, "Requests sent again."),
    ("tot_retry_time", "moxi_retried_requests_seconds_total", Micros, "Time of requests that were sent again."),
    (
        "max_retry_time",
        "moxi_retried_request_longest_seconds",
        Micros,
        "Longest time of a request that was sent again.",
    ),
    ("tot_retry_vbucket", "moxi_retries_moved_total", One, "Requests sent again because their vbucket had moved."),
    ("tot_upstream_paused", "moxi_client_waits_begun_total", One, "Requests whose client began to wait for servers."),
    (
        "tot_upstream_unpaused",
        "moxi_client_waits_ended_total",
        One,
        "Requests whose client ceased to wait for servers.",
    ),
    ("tot_cmd_time", "moxi_served_commands_seconds_total", Micros, "Time of commands that waited for servers."),
    ("tot_cmd_count", "moxi_served_commands_total", One, "Commands that waited for servers."),
    (
        "tot_local_cmd_time",
        "moxi_local_commands_seconds_total",
        Micros,
        "Time of commands that waited for the first server of the list.",
    ),
    ("tot_local_cmd_count", "moxi_local_commands_total", One, "Commands that waited for the first server of the list."),
    ("tot_joined_gets", "moxi_gets_joined_total", One, "Gets sent together with another client's."),
    ("tot_upstream_idle_closed", "moxi_clients_idle_closed_total", One, "Clients closed after client_idle_timeout."),
    ("cmd_mg", "moxi_meta_gets_total", One, "Meta commands of ASCII clients: mg."),
    ("cmd_ms", "moxi_meta_sets_total", One, "Meta commands of ASCII clients: ms."),
    ("cmd_md", "moxi_meta_deletes_total", One, "Meta commands of ASCII clients: md."),
    ("cmd_ma", "moxi_meta_counts_total", One, "Meta commands of ASCII clients: ma."),
    ("cmd_mn", "moxi_meta_noops_total", One, "Meta commands of ASCII clients: mn."),
    ("cmd_me", "moxi_meta_debugs_total", One, "Meta commands of ASCII clients: me."),
];

/// Those of `pstd_stats_cmd`, by their fields.
pub(super) const COMMANDS: [Named; 6] = [
    ("seen", "moxi_commands_total", One, "Commands of ASCII clients; of get_key, keys."),
    ("hits", "moxi_command_hits_total", One, "Keys with a value."),
    ("misses", "moxi_command_misses_total", One, "Keys without a value; of storage commands, malformed ones."),
    ("read_bytes", "moxi_command_read_bytes_total", One, "Bytes of commands received."),
    ("write_bytes", "moxi_command_written_bytes_total", One, "Bytes of values sent."),
    ("cas", "moxi_command_cas_total", One, "Commands with a CAS id."),
];

/// Those of `frontcache`.
pub(super) const FRONT_CACHE: [Named; 10] = [
    ("tot_get_hits", "moxi_front_cache_hits_total", One, "Look-ups that found a value."),
    ("tot_get_expires", "moxi_front_cache_expired_total", One, "Look-ups that found a value too old."),
    ("tot_get_misses", "moxi_front_cache_misses_total", One, "Look-ups that found nothing."),
    ("tot_get_bytes", "moxi_front_cache_served_bytes_total", One, "Bytes of values found."),
    ("tot_adds", "moxi_front_cache_added_total", One, "Values taken in."),
    ("tot_add_skips", "moxi_front_cache_skipped_total", One, "Values not taken in, because they were there."),
    ("tot_add_fails", "moxi_front_cache_refused_total", One, "Values not taken in for lack of room."),
    ("tot_add_bytes", "moxi_front_cache_added_bytes_total", One, "Bytes of values taken in."),
    ("tot_deletes", "moxi_front_cache_dropped_total", One, "Values dropped because a client has changed the key."),
    ("tot_evictions", "moxi_front_cache_evicted_total", One, "Values that made room for others."),
];

/// Statistics of a memcached, of `stats` of the built-in server or `memcached:stats` of the proxy: the name under which
/// dashboards look for it, whether it only goes up, and the sentence about it.
pub(super) const MEMCACHED: [(&str, &str, bool, &str); 17] = [
    ("uptime", "memcached_uptime_seconds", false, "Seconds since the start."),
    ("time", "memcached_time_seconds", false, "Time of day, in seconds since 1970."),
    ("rusage_user", "memcached_process_user_cpu_seconds_total", true, "CPU time used by the process itself."),
    (
        "rusage_system",
        "memcached_process_system_cpu_seconds_total",
        true,
        "CPU time used by the system for the process.",
    ),
    ("curr_connections", "memcached_current_connections", false, "Connections of clients and servers, and listeners."),
    ("maxconns", "memcached_max_connections", false, "Clients asked for by -c."),
    ("total_connections", "memcached_connections_total", true, "Connections ever opened, listeners included."),
    ("bytes_read", "memcached_read_bytes_total", true, "Bytes received."),
    ("bytes_written", "memcached_written_bytes_total", true, "Bytes sent."),
    ("accepting_conns", "memcached_accepting_connections", false, "Whether clients are accepted."),
    (
        "listen_disabled_num",
        "memcached_connections_listener_disabled_total",
        true,
        "How often accepting clients was stopped.",
    ),
    ("conn_yields", "memcached_connections_yielded_total", true, "How often a client had to let others go first (-R)."),
    ("bytes", "memcached_current_bytes", false, "Bytes of items of the built-in server."),
    ("limit_maxbytes", "memcached_limit_bytes", false, "Bytes that items of the built-in server may have."),
    ("curr_items", "memcached_current_items", false, "Items of the built-in server."),
    ("total_items", "memcached_items_total", true, "Items ever stored in the built-in server."),
    ("evictions", "memcached_items_evicted_total", true, "Items of the built-in server that made room for others."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::front_cache::FrontCache;
    use crate::metrics::counter;

    /// Counters of which only the C program had a use: nothing here counts them.
    const UNUSED: [&str; 7] = [
        "tot_downstream_freed",
        "tot_downstream_create_failed",
        "tot_assign_recursion",
        "tot_reset_upstream_avail",
        "err_oom",
        "err_upstream_write_prep",
        "err_downstream_write_prep",
    ];

    #[test]
    fn every_statistic_has_a_name() {
        let named: BTreeSet<&str> = COUNTERS.iter().map(|named| named.0).chain(UNUSED).collect();
        let counted: BTreeSet<&str> = counter::COUNTERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, counted);
        assert_eq!(named.len(), COUNTERS.len() + UNUSED.len());
        assert_eq!(COMMANDS.map(|named| named.0), counter::FIELDS);
        let cache = FrontCache::default();
        assert_eq!(
            FRONT_CACHE.map(|named| named.0).to_vec(),
            cache.counters().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }

    #[test]
    fn names_follow_the_rules() {
        let counters = COUNTERS.iter().map(|&(stat, name, unit, help)| {
            let kind = counter::COUNTERS.iter().find(|(known, _)| *known == stat).unwrap().1;
            (name, unit, kind == counter::Kind::Total, help)
        });
        let others = COMMANDS.iter().chain(&FRONT_CACHE).map(|&(_, name, unit, help)| (name, unit, true, help));
        let memcached = MEMCACHED.iter().map(|&(_, name, is_total, help)| (name, One, is_total, help));
        let mut names = BTreeSet::new();
        for (name, unit, is_total, help) in counters.chain(others).chain(memcached) {
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), is_total, "{name}");
            assert!(unit == One || name.trim_end_matches("_total").ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && help.starts_with(char::is_uppercase), "{name}: {help}");
        }
    }
}
