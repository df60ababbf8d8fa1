use super::*;
use proptest::prelude::*;

/// What two servers' values become.
fn both(name: &str, first: &str, second: &str) -> String {
    merged(b"", name, first, second)
}

fn merged(args: &[u8], name: &str, first: &str, second: &str) -> String {
    let mut merger = Merger::new(args);
    merger.add(0, b"STAT", name.as_bytes(), first.as_bytes());
    merger.add(1, b"STAT", name.as_bytes(), second.as_bytes());
    let (_, value) = merger.iter().next().unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

fn ascii(merger: &Merger) -> String {
    let mut out = Vec::new();
    merger.write_ascii(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_worked_example() {
    for (name, first, second, merged) in [
        ("pid", "11", "22", "11"),
        ("uptime", "5", "9", "9"),
        ("time", "1000", "900", "1000"),
        ("version", "1.4.5", "1.4.6", "1.4.5"),
        ("curr_items", "10", "20", "30"),
        // Added, although it occurs in the name of a statistic whose largest value stays.
        ("bytes", "10", "30", "40"),
        ("rusage_user", "0.500000", "0.250000", "0.750000"),
        ("threads", "4", "4", "8"),
        ("1:chunk_size", "96", "120", "120"),
        ("1:chunks_per_page", "10", "20", "20"),
        ("items:1:age", "7", "3", "7"),
        ("foo", "yes", "no", "yes"),
        ("neg", "-5", "-6", "-11"),
        ("neg", "-5", "6", "1"),
        ("neg", "5", "-6", "-1"),
        ("neg", "18446744073709551615", "-1", "18446744073709551614"),
        ("neg", "-9223372036854775808", "-1", "-9223372036854775808"),
        ("time", "-5", "-6", "-5"),
        ("hash_power_level", "16", "17", "17"),
        ("items:1:age_hot", "7", "3", "7"),
        ("items:1:age_warm", "7", "9", "9"),
        ("items:1:evicted_time", "7", "3", "7"),
        ("items:1:number_hot", "7", "3", "10"),
        ("wraps", "18446744073709551615", "1", "0"),
        ("fl", "1.5", "2", "3.500000"),
        ("state", "1", "2", "3"),
        ("limit_maxbytes", "67108864", "1048576", "67108864"),
        ("x:time", "1", "2", "3"),
    ] {
        assert_eq!(both(name, first, second), merged, "{name}");
    }
}

#[test]
fn only_complete_numbers_are_added() {
    for (first, second) in [
        ("127.0.0.1", "127.0.0.2"),
        ("1", "x"),
        ("1", ""),
        ("", "1"),
        ("1 2", "3"),
        ("3", "1 2"),
        ("1", "18446744073709551616"),
        ("-", "1"),
        ("1", "-"),
        ("1", "--1"),
        ("1", "-9223372036854775809"),
        ("1.5", "."),
        ("1.5", "1e5"),
        ("1", "+1"),
        ("1", "0x10"),
        ("1.5", "inf"),
        ("1.5", "NaN"),
    ] {
        assert_eq!(both("n", first, second), first, "{first} {second}");
    }
}

/// Of names that mean a counter in `stats`, too.
#[test]
fn settings_are_no_sums() {
    for (name, first, second, expected) in [
        ("maxconns", "1024", "1024", "1024"),
        ("tcpport", "11212", "11211", "11212"),
        ("udpport", "-2", "-2", "-2"),
        ("inter", "10.0.0.1", "10.0.0.2", "10.0.0.1"),
        ("growth_factor", "1.25", "1.25", "1.25"),
        ("verbosity", "0", "1", "0"),
        ("ext_item_age", "4294967295", "4294967295", "4294967295"),
        ("num_threads", "4", "4", "4"),
        ("maxbytes", "67108864", "67108864", "67108864"),
        // As limit_maxbytes in `stats`.
        ("maxbytes", "67108864", "134217728", "134217728"),
        ("evictions", "on", "off", "on"),
        ("of_tomorrow", "7", "7", "7"),
    ] {
        assert_eq!(merged(b"settings", name, first, second), expected, "{name}");
    }
    assert_eq!(merged(b"conns", "26:secs_since_last_cmd", "3", "9"), "3");
    for args in ["", "items", "slabs", "sizes", "reset"] {
        assert_eq!(merged(args.as_bytes(), "num_threads", "4", "4"), "8", "{args}");
    }
}

/// Its place in the configuration decides, not when it answers.
#[test]
fn the_first_server_may_answer_last() {
    for (args, name, values, expected) in [
        ("", "pid", ["1", "2", "3"], "1"),
        ("", "version", ["1.6.1", "1.6.2", "1.6.3"], "1.6.1"),
        ("", "replication", ["MASTER", "SLAVE", "SLAVE"], "MASTER"),
        ("", "odd", ["x", "2", "3"], "x"),
        ("", "odd", ["x", "", "3"], "x"),
        ("", "threads", ["4", "5", "6"], "15"),
        ("", "uptime", ["4", "6", "5"], "6"),
        ("settings", "tcpport", ["11212", "11211", "11213"], "11212"),
        ("settings", "logger", ["standard error", "a file", "none"], "standard error"),
    ] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]] {
            let mut merger = Merger::new(args.as_bytes());
            for server in order {
                merger.add(server, b"STAT", name.as_bytes(), values[usize::from(server)].as_bytes());
            }
            assert_eq!(ascii(&merger), format!("STAT {name} {expected}\r\n"), "{order:?}");
        }
    }
}

#[test]
fn settings_of_several_words_appear_once() {
    let mut merger = Merger::new(b"settings");
    let long = format!("STAT path {}", "p".repeat(LINE_MAX));
    for line in ["STAT a 1", "STAT logger standard error", "STAT empty ", &long, "STAT b 2"].repeat(2) {
        merger.line(0, line.as_bytes());
    }
    let expected = format!("STAT a 1\r\nSTAT logger standard error\r\nSTAT empty \r\n{long}\r\nSTAT b 2\r\n");
    assert_eq!(ascii(&merger), expected);
}

#[test]
fn sums_of_seconds_keep_their_precision() {
    assert_eq!(both("rusage_system", "123456789.123456", "0.000001"), "123456789.123457");
    assert_eq!(both("n", "-0.5", "0.25"), "-0.250000");
    assert_eq!(both("uptime", "1.5", "2"), "2.000000");
}

#[test]
fn names_appear_in_the_order_they_were_first_seen() {
    let mut merger = Merger::new(b"");
    for line in ["STAT b 1", "STAT a 2", "ITEM c 3", "STAT a 5", "STAT d 1"] {
        merger.line(0, line.as_bytes());
    }
    assert_eq!(ascii(&merger), "STAT b 1\r\nSTAT a 7\r\nITEM c 3\r\nSTAT d 1\r\n");
}

#[test]
fn lines_that_are_not_three_words_are_passed_on_before_the_others() {
    let mut merger = Merger::new(b"");
    let long = format!("STAT long {}", "1".repeat(LINE_MAX - 10));
    let fits = format!("STAT fits {}", "1".repeat(LINE_MAX - 11));
    for line in ["STAT n 1", "STAT e ", "STAT t a b", "STAT e ", "STAT n 2", &long, &long, &fits] {
        merger.line(0, line.as_bytes());
    }
    let expected = format!("STAT e \r\nSTAT t a b\r\nSTAT e \r\n{long}\r\n{long}\r\nSTAT n 3\r\n{fits}\r\n");
    assert_eq!(ascii(&merger), expected);
    let all: Vec<_> = merger.iter().take(3).collect();
    assert_eq!(all, [(&b"e"[..], &b""[..]), (b"t", b"a b"), (b"e", b"")]);
}

#[test]
fn values_of_binary_servers_may_be_empty_hold_blanks_and_be_long() {
    let mut merger = Merger::new(b"");
    let long = vec![b'v'; 1000];
    for value in [&b""[..], b"a b", &long] {
        merger.add(0, b"STAT", b"n", value);
        merger.add(0, b"STAT", &long, value);
    }
    assert_eq!(ascii(&merger), format!("STAT n \r\nSTAT {} \r\n", "v".repeat(1000)));
}

#[test]
fn no_name_is_empty() {
    let mut merger = Merger::new(b"");
    merger.add(0, b"STAT", b"", b"1");
    for line in ["", "STAT", "STAT ", "  x", "STAT  n  two words"] {
        merger.line(0, line.as_bytes());
    }
    let all: Vec<_> = merger.iter().collect();
    assert_eq!(all, [(&b"x"[..], &b""[..]), (b"n", b" two words")]);
}

#[test]
fn nothing_a_server_says_ends_a_line_early() {
    let mut merger = Merger::new(b"");
    merger.add(0, b"STAT", b"a\nb", b"1\r\nEND");
    assert_eq!(ascii(&merger), "STAT a b 1  END\r\n");
}

#[test]
fn what_is_held_is_bounded() {
    let mut merger = Merger::new(b"");
    let value = vec![b'v'; HELD_MAX / 4];
    for number in 0..10u8 {
        merger.add(0, b"STAT", &[number], &value);
        merger.line(0, &value);
    }
    assert_eq!((merger.entries.len(), merger.passed.len()), (2, 1));
    assert!(merger.held <= HELD_MAX);
}

proptest! {
    #[test]
    fn any_statistics_do_no_harm(lines: Vec<Vec<u8>>, name: Vec<u8>, values: Vec<Vec<u8>>, digits in "[0-9]{0,200}\\.[0-9]{0,200}") {
        let mut merger = Merger::new(b"");
        for line in &lines {
            merger.line(0, line);
        }
        for value in &values {
            merger.add(0, b"STAT", &name, value);
        }
        merger.add(0, b"STAT", b"n", digits.as_bytes());
        merger.add(0, b"STAT", b"n", digits.as_bytes());
        let mut out = Vec::new();
        merger.write_ascii(&mut out);
        prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
    }
}
