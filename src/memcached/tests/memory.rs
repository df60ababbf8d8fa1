//! The memory limit, slab classes, and who has to go (02 §12).

use super::*;

fn limited(megabytes: u64) -> Server {
    Server::new(Settings { memory: megabytes << 20, ..Settings::default() })
}

#[test]
fn the_least_recently_used_items_go_first() {
    let server = Server::default();
    assert_eq!(server.fill("big", 3 << 20), "SERVER_ERROR object too large for cache\r\n");
    // 64 pages with one chunk each.
    assert_eq!(server.fill("big", 573_000), "STORED\r\n");
    for number in 0..100 {
        assert_eq!(server.fill(&format!("item_{number}"), 573_000), "STORED\r\n");
    }
    assert_eq!(server.stat("", "evictions"), "37");
    assert_eq!(server.stat("items", "items:40:evicted"), "37");
    assert!(!server.has("big"));
    for number in 0..=40 {
        assert_eq!(server.has(&format!("item_{number}")), number >= 36, "{number}");
    }
}

#[test]
fn what_is_asked_for_stays() {
    let server = limited(2);
    for key in ["a", "b"] {
        server.fill(key, 600_000);
    }
    for number in 0..10 {
        assert!(server.has("a"));
        server.fill(&format!("n{number}"), 600_000);
    }
    assert!(server.has("a") && server.has("n9") && !server.has("n8") && !server.has("b"));
    server.say("add a 0 0 1\r\nx\r\n");
    server.fill("m", 600_000);
    assert!(server.has("a") && !server.has("n9"));
}

#[test]
fn a_flush_frees_the_chunks() {
    let server = limited(2);
    for round in 0..3 {
        for number in 0..2 {
            assert_eq!(server.fill(&format!("k{round}-{number}"), 600_000), "STORED\r\n");
        }
        server.say("flush_all\r\n");
    }
    assert_eq!((server.stat("", "evictions"), server.stat("", "curr_items")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn three_pages_hold_thirty_six_items_of_class_31() {
    let server = limited(3);
    let fill = || {
        for number in 0..40 {
            assert_eq!(server.fill(&format!("item_{number}"), 66_560), "STORED\r\n");
        }
    };
    fill();
    assert_eq!(server.stat("items", "items:31:evicted"), "4");
    assert_eq!(server.say("stats reset\r\n"), "RESET\r\n");
    assert_eq!(server.stat("items", "items:31:evicted"), "0");
    // Each replaces an item whose memory it cannot use yet.
    fill();
    assert_eq!(server.stat("items", "items:31:evicted"), "40");
}

#[test]
fn without_eviction_stores_fail_when_memory_is_full() {
    let server = Server::new(Settings { memory: 1 << 20, evict: false, ..Settings::default() });
    let mut stored = 0;
    while server.fill(&format!("key{stored}"), 8192) == "STORED\r\n" {
        stored += 1;
        assert!(stored < 200);
    }
    assert_eq!(stored, 118);
    assert_eq!(server.fill("one-more", 8192), "SERVER_ERROR out of memory storing object\r\n");
    assert_eq!(server.fill("key3", 8192), "SERVER_ERROR out of memory storing object\r\n");
    assert!(!server.has("key3"), "an older value would be stale");
    assert!((0..stored).filter(|number| *number != 3).all(|number| server.has(&format!("key{number}"))));
    assert_eq!(server.fill("key3", 8192), "STORED\r\n");
    assert_eq!(server.stat("settings", "evictions"), "off");
    assert_eq!(server.stat("items", "items:21:outofmemory"), "3");
}

/// A server without room for another small item. It has `k00000`, `k00001` and so on, each with the value 1.
pub(super) fn full() -> Server {
    let server = Server::new(Settings { memory: 1 << 20, evict: false, ..Settings::default() });
    let mut count = 0;
    while server.say(format!("set k{count:05} 0 0 1\r\n1\r\n")) == "STORED\r\n" {
        count += 1;
        assert!(count < 20_000);
    }
    server
}

#[test]
fn without_memory_each_command_says_so_and_changes_nothing() {
    let server = full();
    let (arith, store) = ("SERVER_ERROR out of memory", "SERVER_ERROR out of memory storing object");
    for (request, reply) in [
        ("incr k00000 99", arith),
        ("ma k00000 D99", arith),
        ("ma new000 N0", arith),
        ("add new000 0 0 1\r\n2", store),
        ("append k00000 0 0 1\r\n2", "NOT_STORED"),
        ("prepend k00000 0 0 1\r\n2", "NOT_STORED"),
        ("ms k00000 1 MA\r\n2", "NS"),
        ("ms new000 1 ME\r\n2", store),
    ] {
        assert_eq!(server.say(format!("{request}\r\n")), format!("{reply}\r\n"), "{request}");
    }
    assert_eq!(server.say("get k00000 new000\r\n"), "VALUE k00000 0 1\r\n1\r\nEND\r\n");
    server.say("delete k00000\r\n");
    assert_eq!(server.say("ma new000 N0\r\n"), "HD\r\n", "there is room for one again");
}

#[test]
fn memory_used_from_the_beginning_counts() {
    let settings =
        Settings { memory: 4098 << 20, initial_malloced: 4_294_967_328, evict: false, ..Settings::default() };
    let server = Server::new(settings);
    assert_eq!(server.stat("", "limit_maxbytes"), "4297064448");
    assert_eq!(server.stat("slabs", "total_malloced"), "4294967328");
    assert_eq!(server.stat("slabs", "active_slabs"), "0");
    let answers: Vec<String> = (0..5).map(|number| server.fill(&format!("k{number}"), 409_600)).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "STORED\r\n").count(), 4);
    assert_eq!(server.stat("slabs", "active_slabs"), "1");
}

#[test]
fn expired_items_are_used_before_new_pages() {
    let mut server = Server::default();
    for number in 0..10 {
        server.say(format!("set k{number} 0 2 66560\r\n{}\r\n", "x".repeat(66_560)));
    }
    let before = server.stat("slabs", "total_malloced");
    server.wait(3000);
    for number in 0..10 {
        assert_eq!(server.fill(&format!("n{number}"), 66_560), "STORED\r\n");
    }
    assert_eq!(server.stat("slabs", "total_malloced"), before);
    assert_eq!((server.stat("", "evictions"), server.stat("", "curr_items")), ("0".to_owned(), "10".to_owned()));
}

#[test]
fn there_is_no_limit_if_it_is_zero() {
    let server = limited(0);
    for number in 0..100 {
        server.fill(&format!("k{number}"), 1_000_000);
    }
    assert_eq!((server.stat("", "evictions"), server.stat("", "curr_items")), ("0".to_owned(), "100".to_owned()));
}

#[test]
fn chunks_come_back_whatever_becomes_of_an_item() {
    let mut server = Server::default();
    server.say("set k 0 0 1\r\n1\r\n");
    for request in [
        "add k 0 0 1\r\nx",
        "replace nk 0 0 1\r\nx",
        "cas k 0 0 1 99\r\nx",
        "set k 0 0 1\r\n2",
        "append k 0 0 3\r\n345",
        "append nk 0 0 3\r\n345",
        "incr k 9",
        "incr k 999999999",
        "set s 0 0 3\r\nabc",
        "incr s 1",
        "delete s",
        "set e 0 1 3\r\nabc",
    ] {
        server.say(format!("{request}\r\n"));
    }
    server.wait(2000);
    assert!(!server.has("e"));
    assert_eq!(server.stat("slabs", "1:used_chunks"), "1");
    assert_eq!(server.stat("slabs", "1:mem_requested"), server.stat("", "bytes"));
    assert_eq!(server.stat("", "curr_items"), "1");
    server.say("delete k\r\n");
    assert_eq!((server.stat("slabs", "1:used_chunks"), server.stat("", "bytes")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn many_items_are_found_again() {
    let server = Server::default();
    for number in 0..30_000 {
        server.say(format!("set key{number} 0 0 5 noreply\r\n{number:05}\r\n"));
    }
    for number in (0..30_000).step_by(7) {
        assert_eq!(
            server.say(format!("get key{number}\r\n")),
            format!("VALUE key{number} 0 5\r\n{number:05}\r\nEND\r\n")
        );
    }
    assert_eq!(server.stat("", "curr_items"), "30000");
    server.say("flush_all\r\n");
    assert!(!server.has("key1"));
}

/// `cache_memlimit` lowers the limit: items go until what is left fits, the least recently used ones first.
#[test]
fn a_lower_limit_is_reached_step_by_step() {
    let server = limited(32);
    let fill = |first: usize, count: usize| {
        for number in first..first + count {
            assert_eq!(server.fill(&format!("k{number}"), 8192), "STORED\r\n");
        }
    };
    let malloced = || server.stat("slabs", "total_malloced").parse::<u64>().unwrap();
    fill(0, 3000);
    assert!(malloced() > 24 << 20);
    assert_eq!(server.say("cache_memlimit 8\r\n"), "OK\r\n");
    assert_eq!(server.stat("", "limit_maxbytes"), "8388608");
    assert_eq!(server.stat("settings", "maxbytes"), "8388608");
    assert!(server.has("k0"), "nothing goes before room is needed");
    fill(3000, 100);
    assert!(malloced() <= 8 << 20, "{}", malloced());
    assert!(server.has("k3099") && server.has("k3000") && !server.has("k1"));
    assert!(server.stat("", "curr_items").parse::<u64>().unwrap() >= 800, "no more than necessary");
    assert_eq!(server.stat("", "curr_items"), server.stat("items", "items:21:number"));
    // Now it is as if it had always been so.
    fill(4000, 2000);
    assert!(malloced() <= 8 << 20);
    assert_eq!(server.say("cache_memlimit 32\r\n"), "OK\r\n");
    fill(6000, 3000);
    assert!(malloced() > 24 << 20);
}

/// The first page of a class is never given up, so classes of one page each stay, and keep their items.
#[test]
fn a_lower_limit_leaves_every_class_a_page() {
    let server = limited(64);
    for number in 0..10 {
        server.fill("large", 600_000 + number);
        server.fill("middle", 9_000);
        server.fill("small", 100);
    }
    for length in [20, 100, 200, 400, 800, 2_000, 5_000, 9_000, 20_000, 50_000, 100_000, 200_000, 400_000] {
        server.fill(&format!("k{length}"), length);
    }
    server.say("cache_memlimit 8\r\n");
    for _ in 0..10 {
        server.fill("more", 100);
    }
    for length in [20, 100, 200, 400, 800, 2_000, 5_000, 9_000, 20_000, 50_000, 100_000, 200_000, 400_000] {
        assert!(server.has(&format!("k{length}")), "{length}");
    }
}

#[test]
fn without_eviction_a_lower_limit_only_stops_growth() {
    let server = Server::new(Settings { memory: 32 << 20, evict: false, ..Settings::default() });
    for number in 0..1500 {
        assert_eq!(server.fill(&format!("k{number}"), 8192), "STORED\r\n");
    }
    server.say("cache_memlimit 8\r\n");
    let mut stored = 1500;
    while server.fill(&format!("k{stored}"), 8192) == "STORED\r\n" {
        stored += 1;
        assert!(stored < 1700);
    }
    assert!((0..stored).all(|number| server.has(&format!("k{number}"))));
}

/// The bounds are memcached's.
#[test]
fn limits_that_are_none() {
    let server = Server::default();
    let small = "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n";
    let bytes = "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
    for (number, reply) in [("0", small), ("7", small), ("1000000001", bytes), ("4294967295", bytes)] {
        assert_eq!(server.say(format!("cache_memlimit {number}\r\n")), reply);
        assert_eq!(server.say(format!("cache_memlimit {number} noreply\r\nget a\r\n")), "END\r\n");
    }
    for line in ["cache_memlimit", "cache_memlimit x", "cache_memlimit -1", "cache_memlimit 8 x y"] {
        assert_eq!(server.say(format!("{line}\r\n")), "ERROR\r\n", "{line}");
    }
    assert_eq!(server.stat("", "limit_maxbytes"), "67108864");
    assert_eq!(server.say("cache_memlimit 100 noreply\r\nget a\r\n"), "END\r\n");
    assert_eq!(server.stat("", "limit_maxbytes"), "104857600");
}
