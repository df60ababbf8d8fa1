//! `stats` (02 §13).

use super::*;

#[test]
fn thirty_five_lines_in_this_order() {
    let server = Server::default();
    let all = server.say("stats\r\n");
    let names: Vec<&str> = all.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(
        names.join(" "),
        "pid uptime time version pointer_size rusage_user rusage_system curr_connections total_connections \
         connection_structures cmd_get cmd_set cmd_flush get_hits get_misses delete_misses delete_hits incr_misses \
         incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval bytes_read bytes_written limit_maxbytes \
         accepting_conns listen_disabled_num threads conn_yields bytes curr_items total_items evictions"
    );
    assert!(all.ends_with("\r\nEND\r\n"));
    assert!(all.contains("STAT uptime 2\r\nSTAT time 1000000000\r\n"));
    assert!(all.contains("STAT bytes_read 14\r\nSTAT bytes_written 0\r\n"), "{all}");
}

#[test]
fn command_lines_count_twice_and_data_once() {
    let server = Server::default();
    server.say("set k 0 0 5\r\nabcde\r\n");
    server.say("get k\r\n");
    assert_eq!(server.stat("", "bytes_read"), (2 * 13 + 7 + 2 * 7 + 2 * 8).to_string());
    let written = "STORED\r\nVALUE k 0 5\r\nabcde\r\nEND\r\n".len();
    server.say("stats reset\r\n");
    server.say("set k 0 0 5\r\nabcde\r\n");
    server.say("get k\r\n");
    assert_eq!(server.stat("", "bytes_written"), (written + "RESET\r\n".len()).to_string());
}

#[test]
fn what_is_counted() {
    let server = Server::default();
    for request in [
        "set k 0 0 1\r\n5",
        "add k 0 0 1\r\n5",
        "set k 0 0 1\r\nxyz",
        "gets k nk",
        "incr k 1",
        "incr nk 1",
        "decr k 1",
        "decr nk 1",
        "cas k 0 0 1 99\r\n5",
        "cas nk 0 0 1 99\r\n5",
        "cas k 0 0 1 3\r\n5",
        "delete k",
        "delete k",
        "flush_all",
    ] {
        server.say(format!("{request}\r\n"));
    }
    for (name, value) in [
        ("cmd_get", 2),
        ("cmd_set", 6),
        ("cmd_flush", 1),
        ("get_hits", 1),
        ("get_misses", 1),
        ("delete_misses", 1),
        ("delete_hits", 1),
        ("incr_misses", 1),
        ("incr_hits", 1),
        ("decr_misses", 1),
        ("decr_hits", 1),
        ("cas_misses", 1),
        ("cas_hits", 1),
        ("cas_badval", 1),
        ("total_items", 2),
        ("curr_items", 0),
        ("bytes", 0),
    ] {
        assert_eq!(server.stat("", name), value.to_string(), "{name}");
    }
    for name in ["get_hits", "incr_hits", "decr_hits", "cas_hits", "cas_badval", "delete_hits"] {
        assert_eq!(server.stat("slabs", &format!("1:{name}")), "1", "{name}");
    }
    assert_eq!(server.say("stats reset\r\n"), "RESET\r\n");
    for name in ["cmd_get", "cmd_set", "get_hits", "incr_hits", "total_items", "total_connections"] {
        assert_eq!(server.stat("", name), "0", "{name}");
    }
}

#[test]
fn settings() {
    let settings = Server::default().say("stats settings and more\r\n");
    assert_eq!(
        settings.replace("STAT ", "").replace("\r\n", "; "),
        "maxbytes 67108864; maxconns 1024; tcpport -2; udpport -2; inter NULL; verbosity 0; oldest 0; evictions on; \
         domain_socket NULL; umask 700; growth_factor 1.25; chunk_size 48; num_threads 5; stat_key_prefix :; \
         detail_enabled no; reqs_per_event 20; cas_enabled yes; tcp_backlog 1024; binding_protocol auto-negotiate; \
         END; "
    );
    let large = Server::new(Settings { memory: 4098 << 20, ..Settings::default() });
    assert_eq!(large.stat("settings", "maxbytes"), "2097152");
}

#[test]
fn items_slabs_and_sizes() {
    let mut server = Server::default();
    assert_eq!(server.say("stats items\r\n"), "END\r\n");
    assert_eq!(server.say("stats sizes\r\n"), "END\r\n");
    assert_eq!(server.say("stats slabs\r\n"), "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n");
    server.fill("foo", 6);
    server.wait(3000);
    server.fill("bar", 6);
    server.fill("long", 1000);
    server.wait(2000);
    let items = server.say("stats items x\r\n");
    assert_eq!(
        items.replace("STAT items:", "").replace("\r\n", "; "),
        "1:number 2; 1:age 5; 1:evicted 0; 1:evicted_time 0; 1:outofmemory 0; 1:tailrepairs 0; 12:number 1; 12:age 2; \
         12:evicted 0; 12:evicted_time 0; 12:outofmemory 0; 12:tailrepairs 0; END; "
    );
    assert_eq!(server.say("stats sizes\r\n"), "STAT 96 2\r\nSTAT 1088 1\r\nEND\r\n");
    let slabs = server.say("stats slabs\r\n");
    let first: Vec<&str> = slabs.lines().filter_map(|line| line.strip_prefix("STAT 1:")).collect();
    assert_eq!(
        first.join("; "),
        "chunk_size 96; chunks_per_page 10922; total_pages 1; total_chunks 10922; used_chunks 2; free_chunks 0; \
         free_chunks_end 10920; mem_requested 148; get_hits 0; cmd_set 2; delete_hits 0; incr_hits 0; decr_hits 0; \
         cas_hits 0; cas_badval 0"
    );
    assert!(slabs.ends_with("STAT active_slabs 2\r\nSTAT total_malloced 2096352\r\nEND\r\n"), "{slabs}");
}

#[test]
fn cachedump() {
    let mut server = Server::default();
    for key in ["a", "b", "c", "d"] {
        server.fill(key, 3);
    }
    server.say("set e 0 100 3\r\nabc\r\n");
    server.has("b");
    let all = "ITEM b [3 b; 999999998 s]\r\nITEM e [3 b; 1000000100 s]\r\nITEM d [3 b; 999999998 s]\r\n\
               ITEM c [3 b; 999999998 s]\r\nITEM a [3 b; 999999998 s]\r\nEND\r\n";
    assert_eq!(server.say("stats cachedump 1 0\r\n"), all);
    assert_eq!(server.say("stats cachedump 1 100\r\n"), all);
    assert_eq!(server.say("stats cachedump 1 1\r\n"), "ITEM b [3 b; 999999998 s]\r\nEND\r\n");
    for empty in ["2 0", "0 0", "201 5", "255 5"] {
        assert_eq!(server.say(format!("stats cachedump {empty}\r\n")), "END\r\n");
    }
    assert_eq!(server.say("stats cachedump 256 0\r\n"), "SERVER_ERROR out of memory writing stats\r\n");
    assert_eq!(server.say("stats cachedump 1\r\n"), "CLIENT_ERROR bad command line\r\n");
    assert_eq!(server.say("stats cachedump x 1\r\n"), "CLIENT_ERROR bad command line format\r\n");
    assert_eq!(server.say("stats cachedump 1 -1\r\n"), "CLIENT_ERROR bad command line format\r\n");
    server.wait(1000);
    server.say("flush_all\r\n");
    // A binary client's key.
    let set = [&b"\x80\x01\0\x04\x08\0\0\0\0\0\0\x0d"[..], &[0; 12], &[0; 8], b"x \r\nv"].concat();
    server.say(set);
    assert_eq!(server.say("stats cachedump 1 0\r\n"), "ITEM x%20%0D%0A [1 b; 999999998 s]\r\nEND\r\n");
}

#[test]
fn a_cachedump_has_at_most_two_mebibytes() {
    let server = Server::default();
    let mut client = Client::default();
    for number in 0..12_000 {
        client.send(&server, format!("set {number:0>200} 0 0 1 noreply\r\nx\r\n").as_bytes());
    }
    let dump = server.say("stats cachedump 6 0\r\n");
    assert!(dump.len() <= (2 << 20) + 5 && dump.len() > (2 << 20) - 300, "{}", dump.len());
    assert!(dump.starts_with(&format!("ITEM {:0>200} ", 11_999)));
}

#[test]
fn details_per_prefix() {
    let server = Server::default();
    assert_eq!(server.say("stats detail dump\r\n"), "END\r\n");
    server.has("early:1");
    assert_eq!(server.say("stats detail on\r\n"), "OK\r\n");
    assert_eq!(server.stat("settings", "detail_enabled"), "yes");
    for request in ["set ab:1 0 0 1\r\nx", "get ab:1 ab:2 abc:1 none", "delete ab:9", "set ab:1 x 0 1", "get :1"] {
        server.say(format!("{request}\r\n"));
    }
    let dump = "PREFIX  get 1 hit 0 set 0 del 0\r\nPREFIX ab get 2 hit 1 set 1 del 1\r\n\
                PREFIX abc get 1 hit 0 set 0 del 0\r\nEND\r\n";
    assert_eq!(server.say("stats detail dump\r\n"), dump);
    assert_eq!(server.say("stats detail off\r\n"), "OK\r\n");
    server.has("ab:1");
    assert_eq!(server.say("stats detail dump\r\n"), dump);
    server.say("stats reset\r\n");
    assert_eq!(server.say("stats detail dump\r\n"), "END\r\n");
    for wrong in ["stats detail", "stats detail x"] {
        assert_eq!(server.say(format!("{wrong}\r\n")), "CLIENT_ERROR usage: stats detail on|off|dump\r\n");
    }
    assert_eq!(server.say("stats conns\r\n"), "ERROR\r\n");
    assert_eq!(server.say("stats noreply\r\n"), "ERROR\r\n");
    let other = Settings { prefix_delimiter: b'/', detail: true, ..Settings::default() };
    let server = Server::new(other);
    server.has("p/k");
    assert_eq!(server.say("stats detail dump\r\n"), "PREFIX p get 1 hit 0 set 0 del 0\r\nEND\r\n");
}
