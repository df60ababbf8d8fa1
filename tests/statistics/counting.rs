//! Which of `pstd_stats_cmd` a line counts in, over both server protocols (06 §6.5).

use std::collections::BTreeMap;

use moxi_test_support::{Memcached, PROTOCOLS, Wire, moxi};

use crate::proxy_stats::lines;

/// The counters by command, without their prefix and without those of `stats`, which the question itself counts in.
fn counters(client: &mut Wire) -> BTreeMap<String, u64> {
    let counted = lines(client, " buckets").into_iter().filter_map(|(name, value)| {
        let (_, name) = name.split_once(":pstd_stats_cmd:")?;
        Some((name.to_owned(), value.parse().expect("a number")))
    });
    counted.filter(|(name, _)| !name.starts_with("regular_stats:")).collect()
}

/// A line, and what it counts in, beside `seen` once and `read_bytes`, of which there are as many as the line has, and
/// its value with the line end behind it.
const LINES: &[(&str, &str, &str)] = &[
    ("set a 0 0 3\r\nabc", "regular_set", ""),
    ("get a", "regular_get", "seen 1 hits 1 read_bytes 1 write_bytes 5"),
    ("get missing", "regular_get", "seen 1 misses 1 read_bytes 7"),
    ("get a missing a", "regular_get", "seen 3 hits 2 misses 1 read_bytes 9 write_bytes 10"),
    ("gets a", "regular_get cas", "seen 1 hits 1 read_bytes 1 write_bytes 5"),
    ("gets a b", "regular_get cas", "seen 2 hits 1 misses 1 read_bytes 2 write_bytes 5"),
    ("gat 0 a", "regular_get", "seen 1 hits 1 read_bytes 1 write_bytes 5"),
    ("gats 0 a b", "regular_get cas", "seen 2 hits 1 misses 1 read_bytes 2 write_bytes 5"),
    ("add a 0 0 1\r\nx", "regular_add", ""),
    ("replace a 0 0 1\r\n1", "regular_replace", ""),
    ("append a 0 0 1\r\n2", "regular_append", ""),
    ("prepend a 0 0 1\r\n3", "regular_prepend", ""),
    ("cas a 0 0 1 1\r\nz", "regular_cas cas", ""),
    ("incr a 1", "regular_incr", ""),
    ("decr missing 1", "regular_decr", ""),
    ("touch a 9", "regular_touch", ""),
    ("delete a ", "regular_delete", ""),
    ("flush_all", "regular_flush_all", ""),
    ("stats reset", "regular_stats_reset", ""),
    ("verbosity 0", "regular_verbosity", ""),
    ("set a 0 0 3 noreply\r\nabc", "quiet_set", ""),
    ("add a 0 0 3 noreply\r\nabc", "quiet_add", ""),
    ("replace a 0 0 3 noreply\r\nabc", "quiet_replace", ""),
    ("append a 0 0 3 noreply\r\nabc", "quiet_append", ""),
    ("prepend a 0 0 3 noreply\r\nabc", "quiet_prepend", ""),
    ("cas a 0 0 3 1 noreply\r\nabc", "quiet_cas cas", ""),
    ("incr a 1 noreply", "quiet_incr", ""),
    ("decr a 1 noreply", "quiet_decr", ""),
    ("touch a 1 noreply", "quiet_touch", ""),
    ("delete a noreply", "quiet_delete", ""),
    ("flush_all noreply", "quiet_flush_all", ""),
    ("verbosity 0 noreply", "quiet_verbosity", ""),
    // Refused by moxi: what it was to be has been seen nevertheless.
    ("set a 0 0 x", "regular_set misses", ""),
    ("cas a 0 0 1 x", "regular_cas misses", ""),
    ("set a 0 0 x noreply", "quiet_set misses", ""),
    ("incr a x", "regular_incr", ""),
    ("decr a x noreply", "quiet_decr", ""),
    ("touch a x", "regular_touch", ""),
    ("delete a x", "regular_delete", ""),
    ("flush_all x", "regular_flush_all", ""),
    ("getl a x", "regular_getl", ""),
    ("unl a x", "regular_unl", ""),
    ("nonsense", "regular_ERROR", ""),
    ("nonsense noreply", "regular_ERROR", ""),
    ("get", "regular_ERROR", ""),
    ("incr a", "regular_ERROR", ""),
];

#[test]
fn every_line_counts_once_and_where_it_should() {
    let servers = Memcached::several(2, &[]);
    for protocol in PROTOCOLS {
        let moxi = moxi!().servers(servers.iter().map(Memcached::port)).speaking(protocol).start();
        let (mut client, mut asking) = (moxi.client(), moxi.client());
        for server in &servers {
            server.client().ask("flush_all\r\n", "OK\r\n");
        }
        for (line, command, keys) in LINES {
            let before = counters(&mut asking);
            // What follows is answered when the line has been.
            client.send(format!("{line}\r\nversion\r\n"));
            while !client.line().starts_with(b"VERSION") {}
            let after = counters(&mut asking);
            let mut wanted = BTreeMap::new();
            let (name, fields) = command.split_once(' ').unwrap_or((command, ""));
            wanted.insert(format!("{name}:seen"), 1);
            wanted.insert(format!("{name}:read_bytes"), line.len() as u64);
            wanted.extend(fields.split(' ').filter(|it| !it.is_empty()).map(|field| (format!("{name}:{field}"), 1)));
            let keys: Vec<&str> = keys.split(' ').filter(|word| !word.is_empty()).collect();
            for pair in keys.chunks(2) {
                wanted.insert(format!("regular_get_key:{}", pair[0]), pair[1].parse().expect("a number"));
            }
            wanted.insert("regular_version:seen".to_owned(), 1);
            wanted.insert("regular_version:read_bytes".to_owned(), 7);
            let changed = after.iter().filter_map(|(name, number)| {
                let change = number - before.get(name).unwrap_or(&0);
                (change > 0).then(|| (name.clone(), change))
            });
            assert_eq!(changed.collect::<BTreeMap<_, _>>(), wanted, "{protocol}: {line:?}");
        }
    }
}
