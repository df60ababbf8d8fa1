//! Meta commands (02 §6.1): what depends on time, memory and settings. `tests/matrix` compares the answers with memcached's.

use super::*;
use crate::memcached::clock::Clock;
use proptest::prelude::*;

/// Requests and what they are answered, in this order. Lines are separated by `|`.
#[track_caller]
fn talk(server: &Server, lines: &[(&str, &str)]) {
    for (request, reply) in lines {
        let expected = if reply.is_empty() { String::new() } else { reply.replace('|', "\r\n") + "\r\n" };
        assert_eq!(server.say(request.replace('|', "\r\n") + "\r\n"), expected, "{request}");
    }
}

#[test]
fn time_left_and_time_since_the_last_use() {
    let mut server = Server::default();
    talk(&server, &[("ms k 1 T100|x", "HD"), ("mg k t l h", "HD t100 l0 h0"), ("mg k t l h", "HD t100 l0 h1")]);
    server.wait(7000);
    talk(
        &server,
        &[("me nk", "EN"), ("mg k t l u", "HD t93 l7"), ("mg k t l", "HD t93 l7"), ("mg k t l", "HD t93 l0")],
    );
    server.wait(5000);
    // Neither a look at it nor a mark is a use.
    let of = "cas=1 fetch=yes cls=1 size=67";
    talk(&server, &[("me k", &format!("ME k exp=-88 la=5 {of}")), ("md k I", "HD"), ("mg k l", "HD l5 X W")]);
    talk(&server, &[("mg k T0 t", "HD t-1 Z X"), ("me k", "ME k exp=-1 la=0 cas=2 fetch=yes cls=1 size=67")]);
    server.wait(1_000_000);
    talk(&server, &[("mg k v t T5", "VA 1 t-1 Z X|x")]);
    server.wait(4900);
    talk(&server, &[("mg k", "HD Z X")]);
    server.wait(100);
    talk(&server, &[("mg k", "EN"), ("me k", "EN")]);
}

#[test]
fn dates_are_as_in_classic_commands() {
    let mut server = Server::default();
    let date = server.unix() + 50;
    server.say(format!("ms k 1 T{date}\r\nx\r\n"));
    talk(&server, &[("mg k t", "HD t50")]);
    server.say(format!("ms k 1 T{}\r\nx\r\n", date - 51));
    talk(&server, &[("mg k t", "EN"), ("ms k 1 T2592000|x", "HD"), ("mg k t", "HD t2592000")]);
    server.wait(1000);
    talk(&server, &[("mg k t", "HD t2591999")]);
}

#[test]
fn who_comes_first_stores_anew() {
    let mut server = Server::default();
    talk(&server, &[("mg k N30 v t", "VA 0 t30 W|"), ("mg k N30 v t", "VA 0 t30 Z|"), ("get k", "VALUE k 0 0||END")]);
    server.wait(30_000);
    talk(
        &server,
        &[("mg k t N30", "HD t-1 W"), ("ms k 2 T30|hi", "HD"), ("mg k R30", "HD"), ("mg k R31 v", "VA 2 W|hi")],
    );
    talk(&server, &[("mg k R31", "HD Z"), ("ms k 2 T30|yo", "HD"), ("mg k R31", "HD W")]);
    server.wait(29_000);
    // The next one is another item.
    talk(&server, &[("mg k R31", "HD Z"), ("ma n N9 J1 t", "HD t9"), ("ma n T0 t", "HD t-1")]);
    server.wait(1000);
    talk(&server, &[("mg k R31", "EN")]);
}

#[test]
fn stale_values_end_when_they_were_to() {
    let mut server = Server::default();
    talk(&server, &[("ms k 2 T100 c|hi", "HD c1"), ("md k I T10", "HD"), ("ms k 2 I C1 T99 c|yo", "HD c3")]);
    talk(&server, &[("mg k t v", "VA 2 t10 X W|yo"), ("ms k 2 I C2|ho", "HD"), ("mg k t v", "VA 2 t10 Z X|ho")]);
    talk(&server, &[("ms k 2 I C5|no", "EX"), ("ms k 2 I C4 T20|ok", "HD"), ("mg k t v", "VA 2 t20|ok")]);
    server.wait(20_000);
    talk(&server, &[("md k I", "NF"), ("md k x", "NF"), ("ms k 1 I C1|x", "NF")]);
}

#[test]
fn tombstones() {
    talk(
        &Server::default(),
        &[
            ("ms k 5 F7 T100 E1000|value", "HD"),
            ("md k x C7", "EX"),
            ("md k x I T30 F9 E2000 k Oa", "HD kk Oa"),
            ("mg k v f t c", "VA 0 f9 t30 c2000 X W|"),
            ("md k x q", ""),
            ("mg k v f t c h", "VA 0 f0 t-1 c2000 h0|"),
            ("md k I E5", "HD"),
            ("mg k c u", "HD c5 X W"),
            ("ma n N0 E77 c v", "VA 1 c77|0"),
            ("ma n E78 c", "HD c78"),
            ("ma n D99 E79 c", "HD c79"),
            ("mg v N0 E80 c", "HD c80 W"),
            ("ms k 1 MA E90 N5 c|x", "HD c90"),
            ("ms new 1 MP E91 N5 c s F3|x", "HD c91 s1"),
            ("ms new 2 MA s c N5|yz", "HD s3 c1"),
            ("mg new v t f", "VA 3 t5 f3|xyz"),
        ],
    );
}

#[test]
fn who_has_the_right_id_needs_no_value() {
    let talked =
        [("ms k 2 E9|hi", "HD"), ("mg k v C9 s", "HD s2"), ("mg k v C8 s", "VA 2 s2|hi"), ("mg k v C9 T5 t", "HD t5")];
    talk(&Server::default(), &talked);
}

#[test]
fn without_cas_ids() {
    let server = Server::new(Settings { cas: false, ..Settings::default() });
    talk(&server, &[("ms k 2 c E5|hi", "HD c0"), ("mg k c", "HD c0"), ("md k I E7", "HD"), ("mg k c", "HD c0 X W")]);
    talk(
        &server,
        &[("ma n N0 J5 E8 c", "HD c0"), ("ma n c E8", "HD c0"), ("ms k 2 C99|yo", "HD"), ("mg k v", "VA 2|yo")],
    );
}

#[test]
fn without_memory_nothing_old_stays() {
    let server = Server::new(Settings { memory: 1 << 20, evict: false, ..Settings::default() });
    let large = |key: &str, mode: &str| server.say(format!("ms {key} 900000 {mode}\r\n{}\r\n", "x".repeat(900_000)));
    assert_eq!(large("k", "MS"), "HD\r\n");
    assert_eq!(large("n", "ME"), "SERVER_ERROR out of memory storing object\r\n");
    assert_eq!(large("k", "MR"), "SERVER_ERROR out of memory storing object\r\n");
    assert!(!server.has("k"));
    assert_eq!(large("k", "c q"), "");
    // Too large is an error in any mode, quiet or not, and its value is gone with it.
    for (mode, length) in [("MA", 1_048_576), ("MR q", 1_048_577), ("I C1 Oa", 5_000_000)] {
        server.fill("k", 3);
        let value = "mn\r\n".repeat(length / 4) + &"x".repeat(length % 4);
        let answer = server.say(format!("ms k {length} {mode}\r\n{value}\r\nmn\r\n"));
        assert_eq!(answer, "SERVER_ERROR object too large for cache\r\nMN\r\n", "{mode}");
        assert!(!server.has("k"), "{mode}");
    }
}

#[test]
fn a_key_that_is_no_word_is_shown_in_base64_by_everybody() {
    let server = Server::default();
    talk(
        &server,
        &[("ms YSBiDQpjAA== 1 b k|x", "HD kYSBiDQpjAA== b"), ("mg YSBiDQpjAA== b k v", "VA 1 kYSBiDQpjAA== b|x")],
    );
    talk(&server, &[("ms YSBiDQpjAA== 1 MA b|y", "HD"), ("mg YSBiDQpjAA== b k v", "VA 2 kYSBiDQpjAA== b|xy")]);
    talk(
        &server,
        &[("mg YSAN N0 b k", "HD kYSAN b W"), ("me YSAN b", "ME YSAN exp=-1 la=0 cas=3 fetch=yes cls=1 size=68")],
    );
    assert!(server.say("lru_crawler metadump all\r\n").contains("key=a%20b%0D%0Ac%00 exp=-1"));
}

#[test]
fn they_count_as_memcached_counts_them() {
    let server = Server::default();
    let counts = || {
        let all = server.say("stats\r\n");
        let shown = [
            "cmd_get",
            "cmd_set",
            "get_hits",
            "get_misses",
            "delete_hits",
            "delete_misses",
            "incr_hits",
            "decr_misses",
        ]
        .iter()
        .chain(&[
            "cas_hits",
            "cas_badval",
            "cas_misses",
            "curr_items",
            "total_items",
            "cmd_touch",
            "cmd_meta",
            "touch_hits",
        ]);
        let count =
            |name: &&str| all.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")).map(str::to_owned));
        shown
            .filter_map(|name| Some(format!("{name}={}", count(name).filter(|count| count != "0")?)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (request, counted) in [
        ("mn", ""),
        ("mg k v", "cmd_get=1 get_misses=1"),
        ("ms k 1|x", "cmd_get=1 cmd_set=1 get_misses=1 curr_items=1 total_items=1"),
        ("stats reset", "curr_items=1"),
        ("mg k v", "cmd_get=1 get_hits=1 curr_items=1"),
        ("mg k T5|mg none T5|touch none 5", "cmd_get=2 get_hits=1 get_misses=1 curr_items=1 cmd_touch=2 touch_hits=1"),
        ("stats reset", "curr_items=1"),
        ("me k|me none", "curr_items=1 cmd_meta=2"),
        ("ma k|ma none MD|ms k 1|1|ma k", "cmd_set=1 incr_hits=1 decr_misses=1 curr_items=1 total_items=1 cmd_meta=2"),
        ("stats reset", "curr_items=1"),
        ("md k C99|md none|md k I", "delete_misses=2 curr_items=1"),
        (
            "ms k 1 C99|x|ms k 1 C1 I|x|ms no 1 C1|x",
            "cmd_set=3 delete_misses=2 cas_hits=1 cas_badval=1 cas_misses=1 curr_items=1 total_items=1",
        ),
        ("md k", "cmd_set=3 delete_hits=1 delete_misses=2 cas_hits=1 cas_badval=1 cas_misses=1 total_items=1"),
    ] {
        server.say(request.replace('|', "\r\n") + "\r\n");
        assert_eq!(counts(), counted, "{request}");
    }
    // What none of them counts are the lines of old.
    server.say("stats reset\r\n");
    assert!(server.say("stats\r\n").ends_with("STAT evictions 0\r\nEND\r\n"));
}

#[test]
fn what_is_given_back_is_given_back_once() {
    let server = Server::default();
    for _ in 0..3 {
        server.say("mg a N0\r\nmg b N0 E5\r\nms c 3\r\nabc\r\nmd c x\r\nmd a x I\r\nma n N0\r\nmd n\r\nmd a\r\nmd b\r\nmd c\r\n");
    }
    let slabs = server.say("stats slabs\r\n");
    assert!(slabs.contains("STAT 1:used_chunks 0\r\n") && slabs.contains("STAT 1:total_pages 1\r\n"), "{slabs}");
    assert_eq!((server.stat("", "bytes"), server.stat("", "curr_items")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn the_order_of_use_is_kept_unless_it_is_not_noticed() {
    let server = Server::default();
    server.say("ms a 1\r\nx\r\nms b 1\r\nx\r\nmg a u\r\n");
    let keys =
        || server.say("stats cachedump 1 0\r\n").lines().filter_map(|line| line.split(' ').nth(1)).collect::<String>();
    assert_eq!(keys(), "ba");
    server.say("mg a\r\n");
    assert_eq!(keys(), "ab");
    server.say("md b I\r\nme b\r\nma n N0\r\n");
    assert_eq!(keys(), "nab");
}

/// Answers to a stream that arrives in pieces which end at `cuts`.
fn answers(stream: &[u8], cuts: &[usize]) -> String {
    let server = Server { clock: Clock { now: 5_000_000, ..START }, ..Server::default() };
    let mut client = Client::default();
    let (mut answer, mut start) = (Vec::new(), 0);
    for end in cuts.iter().copied().chain([stream.len()]) {
        answer.extend(client.send(&server, &stream[start..end]));
        start = end;
    }
    text(&answer)
}

proptest! {
    #[test]
    fn any_cut_is_answered_alike(
        picked in prop::collection::vec(0..16usize, 1..30),
        mut cuts in prop::collection::vec(0..800usize, 0..20),
    ) {
        const REQUESTS: [&str; 16] = [
            "mn\r\n", "mg k v t c k Oabc\r\n", "mg none q\r\n", "ms k 6 T100 c\r\nmn\r\nxx\r\n", "ms k 3 !\r\nmn\n\r\n",
            "ms k 2\r\nxxx\r\n", "ms k 0 q\r\n\r\n", "md k I q\r\n", "ma n N0 v\r\n", "get k n\r\n", "set k 5 0 3\r\nabc\r\n",
            "ms k 2000000\r\n", "me k\r\n", "mg\r\n", " ms  k  1  MA \r\nx\r\n", "m\r\n",
        ];
        let mut stream = String::new();
        for index in picked {
            stream.push_str(REQUESTS[index]);
            if index == 11 {
                // The start of what is dropped; the rest would make a slow test.
                break;
            }
        }
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(stream.len()));
        cuts.sort_unstable();
        let each: Vec<usize> = (0..stream.len()).collect();
        let whole = answers(stream.as_bytes(), &[]);
        prop_assert_eq!(&answers(stream.as_bytes(), &cuts), &whole);
        prop_assert_eq!(&answers(stream.as_bytes(), &each), &whole);
    }
}
