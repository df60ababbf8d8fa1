//! The rows and examples of 04 §2–§4, each at every byte split.

use super::*;
use crate::protocol::keyless::Keyless;
use crate::protocol::{Arith, Keys, StoreVerb};
use proptest::prelude::*;
use std::fmt::Write;

/// The largest value most tests allow.
const VALUE_MAX: u64 = 1024;

/// Plays a connection whose bytes arrive in `pieces`, and tells what the parser made of them, one line each. The
/// parser's promises about lengths are checked on the way.
fn session(pieces: &[&[u8]]) -> String {
    let (mut told, mut buf, mut scanned, mut need, mut swallow) = (String::new(), Vec::new(), 0, 1, 0u64);
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let dropped = buf.len().min(usize::try_from(swallow).unwrap());
            buf.drain(..dropped);
            swallow -= dropped as u64;
            if swallow > 0 || buf.len() < need {
                break;
            }
            let len = match parse(&buf, &mut scanned, VALUE_MAX) {
                Parsed::Incomplete { need: more } => {
                    assert!(more > buf.len());
                    need = more;
                    break;
                }
                Parsed::LineTooLong => {
                    told.push_str("line too long\n");
                    return told;
                }
                Parsed::Http => {
                    told.push_str("HTTP\n");
                    return told;
                }
                Parsed::Request { request, answered, len } => {
                    writeln!(told, "{}{}", tell(&request), quiet(answered)).unwrap();
                    len
                }
                Parsed::Rejected { reply, answered, len } => {
                    writeln!(told, "-{}{}", text(reply).trim_end(), quiet(answered)).unwrap();
                    assert!(reply.ends_with(b"\r\n"));
                    len
                }
                Parsed::ValueRefused { reply, answered, len, swallow: bytes } => {
                    writeln!(told, "-{} (drop {bytes}){}", text(reply).trim_end(), quiet(answered)).unwrap();
                    swallow = bytes;
                    len
                }
            };
            assert!(len > 0 && len <= buf.len());
            buf.drain(..len);
            (scanned, need) = (0, 1);
        }
    }
    told
}

fn quiet(answered: Answered) -> &'static str {
    if answered == Answered::Never { " ~" } else { "" }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "")
}

/// A request in short.
fn tell(request: &Request<'_>) -> String {
    let list = |keys: &Keys<'_>| keys.iter().map(|(at, key)| format!(" {at}:{}", text(key))).collect::<String>();
    let s = |cas: &bool| if *cas { "s" } else { "" };
    match request {
        Request::Keyed(command) => tell_keyed(command),
        Request::GetMany { keys, cas, exptime: None } => format!("get{}{}", s(cas), list(keys)),
        Request::GetMany { keys, cas, exptime: Some(exptime) } => format!("gat{} {exptime}{}", s(cas), list(keys)),
        Request::Keyless(Keyless::Flush { delay }) => format!("flush {delay:?}"),
        Request::Keyless(Keyless::Stats { args }) => format!("stats [{}]", text(args)),
        Request::StatsProxy { sub } => format!("stats proxy [{}]", text(sub)),
        Request::Dump(dump) => format!("{dump:?}"),
        Request::Keyless(Keyless::MemLimit { megabytes }) => format!("cache_memlimit {megabytes}"),
        Request::Keyless(Keyless::Version) => "version".into(),
        // No line says that.
        Request::Keyless(Keyless::Noop) => "nothing".into(),
        Request::Verbosity { level } => format!("verbosity {level}"),
        Request::Quit => "quit".into(),
    }
}

/// A command for one key in short.
fn tell_keyed(command: &Keyed<'_>) -> String {
    let s = |cas: &bool| if *cas { "s" } else { "" };
    match command {
        Keyed::Get { key, cas } => format!("get{} {}", s(cas), text(key)),
        Keyed::Gat { key, exptime, cas } => format!("gat{} {exptime} {}", s(cas), text(key)),
        Keyed::Getl { key, exptime } => format!("getl {} {exptime:?}", text(key)),
        Keyed::Store(store) => {
            let Store { verb, key, flags, exptime, cas, value } = store;
            format!("{verb:?} {} {flags} {exptime} {cas:?} [{}]", text(key), value.escape_ascii())
        }
        Keyed::Arith(Arith { key, delta, decr, cas: 0, create: None }) => {
            format!("{} {} {delta}", if *decr { "decr" } else { "incr" }, text(key))
        }
        Keyed::Delete { key, cas: 0 } => format!("delete {}", text(key)),
        Keyed::Touch { key, exptime } => format!("touch {} {exptime}", text(key)),
        Keyed::Unl { key, cas } => format!("unl {} {cas}", text(key)),
        // No line says that.
        Keyed::Arith(_) | Keyed::Delete { .. } => format!("{command:?}"),
    }
}

/// `input` must mean `expected`, whole, byte by byte, and cut in two anywhere.
#[track_caller]
fn check(input: &[u8], expected: &[&str]) {
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(session(&[input]), expected, "{}", input.escape_ascii());
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(session(&bytes), expected, "byte by byte: {}", input.escape_ascii());
    for cut in 0..input.len() {
        let (a, b) = input.split_at(cut);
        assert_eq!(session(&[a, b]), expected, "cut at {cut}: {}", input.escape_ascii());
    }
}

const BAD: &str = "-CLIENT_ERROR bad command line format";
const BAD_QUIET: &str = "-CLIENT_ERROR bad command line format ~";

#[test]
fn lines() {
    check(b"\r\n", &["-ERROR"]);
    check(b"\n", &["-ERROR"]);
    check(b"   \r\n", &["-ERROR"]);
    check(b"get a\n", &["get a"]);
    check(b"get a\r\nget b\r\n", &["get a", "get b"]);
    check(b"get a\0b\r\n", &["get a"]);
    check(b"get a b\0 c\r\n", &["get 4:a 6:b"]);
    check(b"\0get a\r\n", &["-ERROR"]);
    check(b"get\ta\r\n", &["-ERROR"]);
    check(b"GET a\r\n", &["-ERROR"]);
    check(b"\x81\x00binary\n", &["-ERROR"]);
    check(b"  get   a  \r\n", &["get a"]);
    check(b"get a\r\r\n", &["get a\\r"]);
}

#[test]
fn retrieval() {
    check(b"get a b a\r\n", &["get 4:a 6:b 8:a"]);
    check(b"gets a b\r\n", &["gets 5:a 7:b"]);
    check(b"gets a\r\n", &["gets a"]);
    check(b"get someVal0 someVal1\r\n", &["get 4:someVal0 13:someVal1"]);
    check(b"get\r\n", &["-ERROR"]);
    check(b"get \r\n", &["-ERROR"]);
    check(b"gets\r\n", &["-ERROR"]);
    check(b"getfoo a\r\n", &["-ERROR"]);
    check(b"getfoo a b\r\n", &["-ERROR"]);
    check(b"bget a\r\n", &["-ERROR"]);
    // No word of a get is anything but a key.
    check(b"get a noreply\r\n", &["get 4:a 6:noreply"]);
}

#[test]
fn get_and_touch() {
    check(b"gat 10 a b\r\n", &["gat 10 7:a 9:b"]);
    check(b"gats -1 a\r\n", &["gats -1 a"]);
    check(b"gat 10\r\n", &["-ERROR"]);
    check(b"gat\r\n", &["-ERROR"]);
    check(b"gat x a\r\n", &["-CLIENT_ERROR invalid exptime argument"]);
}

#[test]
fn get_and_lock() {
    check(b"getl a\r\n", &["getl a None"]);
    check(b"getl a 15\r\n", &["getl a Some(15)"]);
    check(b"getl\r\n", &["-ERROR"]);
    check(b"getl a foo\r\n", &["-CLIENT_ERROR invalid exptime argument"]);
    check(b"getl a -1\r\n", &["-CLIENT_ERROR invalid exptime argument"]);
    check(b"getl a 15 2\r\n", &[BAD]);
    check(b"unl a 258\r\n", &["unl a 258"]);
    check(b"unl a\r\n", &["-ERROR"]);
    check(b"unl a 1 2\r\n", &["-ERROR"]);
    check(b"unl a foo\r\n", &[BAD]);
    check(b"unlock a 5\r\n", &["-ERROR"]);
}

#[test]
fn storage_verbs() {
    check(b"set a 5 0 3\r\nabc\r\n", &["Set a 5 0 None [abc]"]);
    check(b"  set   a  5 0   3  \r\nabc\r\n", &["Set a 5 0 None [abc]"]);
    check(b"set a 5 0 3 foo\r\nabc\r\n", &["Set a 5 0 None [abc]"]);
    check(b"set a 0 0 0\r\n\r\n", &["Set a 0 0 None []"]);
    check(b"add a 0 10 1\r\n1\r\n", &["Add a 0 10 None [1]"]);
    check(b"replace a 0 -1 1\r\n1\r\n", &["Replace a 0 -1 None [1]"]);
    check(b"append a 0 0 1 noreply\r\n1\r\n", &["Append a 0 0 None [1] ~"]);
    check(b"prepend a 0 0 1 noreply  \r\n1\r\n", &["Prepend a 0 0 None [1] ~"]);
    check(b"cas a 0 0 1 7\r\n1\r\n", &["Set a 0 0 Some(7) [1]"]);
    check(b"cas a 0 0 1 0 noreply\r\n1\r\n", &["Set a 0 0 Some(0) [1] ~"]);
    check(b"cas a 0 0 1 7 x\r\n1\r\n", &["Set a 0 0 Some(7) [1]"]);
    check(b"set a 0 0 4\r\n\r\n\0\n\r\nget a\r\n", &["Set a 0 0 None [\\r\\n\\x00\\n]", "get a"]);
    check(b"setx k 0 0 1\r\n1\r\n", &["-ERROR", "-ERROR"]);
}

#[test]
fn storage_words_that_do_not_match() {
    check(b"set a 0 0\r\n", &["-ERROR"]);
    check(b"set a 0 0 1 2 3\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"set a 0 0 1 2 noreply\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"cas a 0 0 1\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"cas a 0 0 1 7 x y\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"cas a 0 0 1 7 x noreply\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"cas a 0 0 1 7 x y z noreply\r\n1\r\n", &["-ERROR", "-ERROR"]);
    check(b"cas foo 0 0 6 \r\nbarva2\r\n", &["-ERROR", "-ERROR"]);
    check(b"set a -1 0 1\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"set a 4294967295 0 1\r\n1\r\n", &["Set a 4294967295 0 None [1]"]);
    check(b"set a 4294967296 0 1\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"set a 0 9223372036854775807 1\r\n1\r\n", &["Set a 0 9223372036854775807 None [1]"]);
    check(b"set a 0 9223372036854775808 1\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"set a 0 x 1 noreply\r\n1\r\n", &[BAD_QUIET, "-ERROR"]);
    check(b"set a 0 0 noreply\r\n", &[BAD_QUIET]);
    check(b"set a 0 0 -1\r\nabc\r\n", &[BAD, "-ERROR"]);
    check(b"set a 0 0 2147483646\r\nabc\r\n", &[BAD, "-ERROR"]);
    check(b"set a 0 0 2147483647\r\nabc\r\n", &[BAD, "-ERROR"]);
    check(b"set a 0 0 4294967299\r\nabc\r\n", &[BAD, "-ERROR"]);
    check(b"cas a 0 0 1 -1\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"cas a 0 0 1 zz\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"cas a 0 0 1 18446744073709551616\r\n1\r\n", &[BAD, "-ERROR"]);
    check(b"cas a 0 0 1 noreply\r\n1\r\n", &[BAD_QUIET, "-ERROR"]);
}

#[test]
fn data_blocks() {
    check(b"set a 0 0 3\r\nabcdef\r\n", &["-CLIENT_ERROR bad data chunk", "-ERROR"]);
    check(b"set a 0 0 3 noreply\r\nabcdef\r\n", &["-CLIENT_ERROR bad data chunk ~", "-ERROR"]);
    // A line feed alone does not end a data block.
    check(b"set a 0 0 3\nabc\n", &[]);
    check(b"set a 0 0 3\nabc\n\n", &["-CLIENT_ERROR bad data chunk"]);
    check(b"set a 0 0 5\r\nabc\r\n", &[]);
    let mut scanned = 0;
    let need = parse(b"set a 0 0 5\r\nab", &mut scanned, VALUE_MAX);
    assert_eq!(need, Parsed::Incomplete { need: 13 + 5 + 2 });
}

#[test]
fn large_values_are_dropped_as_they_come() {
    let value = [b'x'; 1025];
    let large = |line: &[u8]| [line, b"\r\n", &value, b"\r\nget a\r\n"].concat();
    let answer = "-SERVER_ERROR object too large for cache (drop 1027)";
    check(&large(b"set a 0 0 1025"), &[answer, "get a"]);
    check(&large(b"set a 0 0 1025 noreply"), &[&format!("{answer} ~"), "get a"]);
    let fits = [b"set a 0 0 1024\r\n", &value[..1024], b"\r\n"].concat();
    assert_eq!(session(&[&fits]), format!("Set a 0 0 None [{}]\n", "x".repeat(1024)));
    let mut scanned = 0;
    let parsed = parse(b"set a 0 0 2147483645\r\n", &mut scanned, u64::MAX);
    assert_eq!(parsed, Parsed::Incomplete { need: 22 + 2_147_483_645 + 2 });
}

#[test]
fn arithmetic() {
    check(b"incr a 1\r\n", &["incr a 1"]);
    check(b"decr a 18446744073709551615\r\n", &["decr a 18446744073709551615"]);
    check(b"incr a 1 noreply\r\n", &["incr a 1 ~"]);
    check(b"incr a 1 noreply \r\n", &["incr a 1 ~"]);
    check(b"incr a 1 x\r\n", &["incr a 1"]);
    check(b"incr a\r\n", &["-ERROR"]);
    check(b"incr a 1 2 3\r\n", &["-ERROR"]);
    let bad = "-CLIENT_ERROR invalid numeric delta argument";
    check(b"incr a x\r\n", &[bad]);
    check(b"incr a -1\r\n", &[bad]);
    check(b"decr a 18446744073709551616\r\n", &[bad]);
    check(b"incr a x noreply\r\n", &[&format!("{bad} ~")]);
    check(b"incr a noreply\r\n", &[&format!("{bad} ~")]);
    check(b"increment a 1\r\n", &["-ERROR"]);
}

#[test]
fn delete_and_touch() {
    check(b"delete a\r\n", &["delete a"]);
    check(b"delete a noreply\r\n", &["delete a ~"]);
    check(b"delete a noreply \r\n", &["delete a ~"]);
    check(b"delete a 0\r\n", &["delete a"]);
    check(b"delete a 600\r\n", &["delete a"]);
    check(b"delete a -1\r\n", &["delete a"]);
    let usage = "-CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
    let usage_quiet = format!("{usage} ~");
    for word in ["x", "1x", "0x10", "1.5", "NOREPLY", "99999999999999999999"] {
        check(format!("delete a {word}\r\n").as_bytes(), &[usage]);
        check(format!("delete a {word} noreply\r\n").as_bytes(), &[&usage_quiet]);
    }
    check(b"delete a noreply noreply\r\n", &[&usage_quiet]);
    check(b"delete a 0 noreply\r\n", &["delete a ~"]);
    check(b"delete a 600 noreply\r\n", &["delete a ~"]);
    check(b"delete a 0 x\r\n", &[usage]);
    check(b"delete a 0 0\r\n", &[usage]);
    check(b"delete a noreply x\r\n", &[usage]);
    check(b"delete a 0 noreply x\r\n", &["-ERROR"]);
    check(b"delete\r\n", &["-ERROR"]);
    check(b"delete noreply\r\n", &["delete noreply"]);
    check(b"touch a 10\r\n", &["touch a 10"]);
    check(b"touch a -1\r\n", &["touch a -1"]);
    check(b"touch a 10 noreply\r\n", &["touch a 10 ~"]);
    check(b"touch a 10 x\r\n", &["-ERROR"]);
    check(b"touch a\r\n", &["-ERROR"]);
    check(b"touch a foo\r\n", &["-CLIENT_ERROR invalid exptime argument"]);
    check(b"touch a foo noreply\r\n", &["-CLIENT_ERROR invalid exptime argument ~"]);
}

/// The value of a meta set is never taken for commands; where there is no telling how long it is, it is as for `set`.
#[test]
fn meta_commands_are_none() {
    for word in ["mn", "mg k v", "md k", "ma k", "me k", "ms", "ms k", "ms k x", "ms k -1", "ms k 2147483646"] {
        check(format!("{word}\r\n").as_bytes(), &["-ERROR"]);
    }
    check(b"ms k 9 T0 c\r\nflush_all\r\nget a\r\n", &["-ERROR (drop 11)", "get a"]);
    check(b"  ms  k  2147483645\r\n", &["-ERROR (drop 2147483647)"]);
}

#[test]
fn flush_all() {
    check(b"flush_all\r\n", &["flush None"]);
    check(b"flush_all noreply\r\n", &["flush None ~"]);
    check(b"flush_all 0\r\n", &["flush Some(0)"]);
    check(b"flush_all -1\r\n", &["flush Some(-1)"]);
    check(b"flush_all 1234 noreply\r\n", &["flush Some(1234) ~"]);
    check(b"flush_all 10 x\r\n", &["flush Some(10)"]);
    check(b"flush_all x\r\n", &["-CLIENT_ERROR invalid exptime argument"]);
    check(b"flush_all x noreply\r\n", &["-CLIENT_ERROR invalid exptime argument ~"]);
    check(b"flush_all 10 noreply x\r\n", &["-ERROR"]);
    check(b"flush_allx\r\n", &["-ERROR"]);
}

#[test]
fn stats() {
    check(b"stats\r\n", &["stats []"]);
    check(b"stats \r\n", &["stats []"]);
    check(b"  stats  reset \r\n", &["stats [reset]"]);
    for word in ["settings", "items", "slabs", "sizes", "conns"] {
        check(format!("stats {word}\r\n").as_bytes(), &[&format!("stats [{word}]")]);
    }
    check(b"stats resetx\r\n", &["-ERROR"]);
    check(b"stats reset x\r\n", &["-ERROR"]);
    check(b"stats detail on\r\n", &["-ERROR"]);
    check(b"stats cachedump 1 2\r\n", &["Cachedump { class: 1, limit: 2 }"]);
    check(b"stats  cachedump 1 0 x \r\n", &["Cachedump { class: 1, limit: 0 }"]);
    check(b"stats cachedump 1\r\n", &["-CLIENT_ERROR bad command line"]);
    check(b"stats cachedump\r\n", &["-CLIENT_ERROR bad command line"]);
    check(b"stats cachedump x 1\r\n", &[BAD]);
    check(b"stats cachedump 1 -1\r\n", &[BAD]);
    check(b"stats cachedumpx 1 1\r\n", &["-ERROR"]);
    check(b"statsx\r\n", &["-ERROR"]);
    check(b"stats proxy\r\n", &["stats proxy []"]);
    check(b"stats prox\r\n", &["stats proxy []"]);
    check(b"stats proxyinfo\r\n", &["stats proxy []"]);
    check(b"stats  proxy  info \r\n", &["stats proxy [info]"]);
    check(b"stats proxy info x\r\n", &["-ERROR"]);
    check(b"stats proxy  route  k \r\n", &["stats proxy [route  k]"]);
    check(b"stats proxy route k x\r\n", &["-ERROR"]);
    check(b"stats pro\r\n", &["-ERROR"]);
}

#[test]
fn lists_of_keys() {
    for classes in ["all", "hash", "1", "1,2,199"] {
        let bytes = classes.as_bytes();
        check(
            format!("lru_crawler metadump {classes}\r\n").as_bytes(),
            &[&format!("Metadump {{ classes: {bytes:?} }}")],
        );
        check(format!("lru_crawler mgdump {classes}\r\n").as_bytes(), &[&format!("Mgdump {{ classes: {bytes:?} }}")]);
    }
    for classes in ["x", "1,", ",", "1,,2", "-1", "all,1", "1234"] {
        check(format!("lru_crawler metadump {classes}\r\n").as_bytes(), &["-BADCLASS invalid class id"]);
    }
    for line in ["lru_crawler", "lru_crawler metadump", "lru_crawler mgdump", "lru_crawler metadump all x"] {
        check(format!("{line}\r\n").as_bytes(), &["-ERROR"]);
    }
}

/// What sets up one server does not pass through.
#[test]
fn for_one_server_only() {
    const REFUSED: &str = "-CLIENT_ERROR not through a proxy: ask the server itself";
    for line in
        ["lru_crawler enable", "lru_crawler crawl all", "lru_crawler sleep 10", "lru mode flat", "slabs automove 1"]
    {
        check(format!("{line}\r\n").as_bytes(), &[REFUSED]);
        check(format!("{line} noreply\r\n").as_bytes(), &[&format!("{REFUSED} ~")]);
    }
    check(b"slabs\r\n", &["-ERROR"]);
    check(b"lru\r\n", &["-ERROR"]);
}

#[test]
fn memory_limit() {
    check(b"cache_memlimit 64\r\n", &["cache_memlimit 64"]);
    check(b"cache_memlimit 64 noreply\r\n", &["cache_memlimit 64 ~"]);
    check(b"cache_memlimit 4294967295 x\r\n", &["cache_memlimit 4294967295"]);
    check(b"cache_memlimit 4294967296\r\n", &["-ERROR"]);
    check(b"cache_memlimit x\r\n", &["-ERROR"]);
    check(b"cache_memlimit noreply\r\n", &["-ERROR ~"]);
    check(b"cache_memlimit 64 x y\r\n", &["-ERROR"]);
    check(b"cache_memlimit\r\n", &["-ERROR"]);
}

/// As memcached does, and what a browser sends with every request.
#[test]
fn http_is_not_memcached() {
    for line in [
        "GET / HTTP/1.1",
        "POST /x HTTP/1.0",
        "HEAD / HTTP/1.1",
        "PUT / HTTP/1.1",
        "DELETE /x HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "PATCH /a HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "TRACE / HTTP/1.1",
        "PRI * HTTP/2.0",
        "  GET  /  HTTP/1.1  ",
        "GET /a b c d e f g h i HTTP/1.1",
        "POST",
        "POST /",
        "Host: a.example",
        "host:a",
        "HOST:",
    ] {
        check(format!("{line}\r\nget a\r\n").as_bytes(), &["HTTP"]);
        check(format!("{line}\nget a\r\n").as_bytes(), &["HTTP"]);
        check(format!("get b\r\n{line}\r\nget a\r\n").as_bytes(), &["get b", "HTTP"]);
    }
    for line in ["GET a", "GET /", "HTTP/1.1", "GET / http/1.1", "Host", "post x", "POSTx", "xHost: a"] {
        check(format!("{line}\r\n").as_bytes(), &["-ERROR"]);
    }
    check(b"get / HTTP/1.1\r\n", &["get 4:/ 6:HTTP/1.1"]);
    check(b"delete HTTP/1.1\r\n", &["delete HTTP/1.1"]);
    check(b"set Host: 0 0 4\r\nPOST\r\n", &["Set Host: 0 0 None [POST]"]);
}

#[test]
fn small_commands() {
    check(b"version\r\n", &["version"]);
    check(b"version x\r\n", &["version"]);
    check(b"versionfoo\r\n", &["-ERROR"]);
    check(b"quit\r\n", &["quit"]);
    check(b"quit now\r\n", &["-ERROR"]);
    check(b"quit noreply\r\n", &["-ERROR"]);
    check(b"quitter\r\n", &["-ERROR"]);
    check(b"verbosity 1\r\n", &["verbosity 1"]);
    check(b"verbosity 99 noreply\r\n", &["verbosity 99 ~"]);
    check(b"verbosity 1 x\r\n", &["verbosity 1"]);
    check(b"verbosity\r\n", &["-ERROR"]);
    check(b"verbosity noreply\r\n", &[BAD_QUIET]);
    check(b"verbosity -1\r\n", &[BAD]);
    check(b"verbosity 1x noreply\r\n", &[BAD_QUIET]);
    check(b"verbosity foo bar my\r\n", &["-ERROR"]);
    for line in ["bogus", "mg k", "mn", "shutdown", "proxy stats", "unlock k 5"] {
        check(format!("{line}\r\n").as_bytes(), &["-ERROR"]);
    }
}

#[test]
fn keys_have_at_most_250_bytes_in_every_command() {
    let (fits, long) = ("k".repeat(250), "k".repeat(251));
    let ok = |line: String| {
        let told = session(&[line.as_bytes()]);
        assert!(told.contains(&fits) && !told.starts_with('-'), "{line}: {told}");
    };
    let refused = |line: String, answer: &str| assert_eq!(session(&[line.as_bytes()]), answer, "{line}");
    for (line, quiet) in [
        ("get KEY\r\n", false),
        ("gets KEY\r\n", false),
        ("get a KEY b\r\n", false),
        ("gat 1 a KEY\r\n", false),
        ("getl KEY 1\r\n", false),
        ("getl KEY\r\n", false),
        ("incr KEY 1\r\n", false),
        ("decr KEY 1 noreply\r\n", true),
        ("delete KEY\r\n", false),
        ("delete KEY 0 noreply\r\n", true),
        ("touch KEY 1\r\n", false),
        ("unl KEY 1\r\n", false),
    ] {
        ok(line.replace("KEY", &fits));
        refused(line.replace("KEY", &long), &format!("{}\n", if quiet { BAD_QUIET } else { BAD }));
    }
    ok(format!("set {fits} 0 0 1\r\n1\r\n"));
    refused(format!("set {long} 0 0 1\r\n1\r\n"), &format!("{BAD}\n-ERROR\n"));
    refused(format!("incr {long} x\r\n"), &format!("{BAD}\n"));
}

#[test]
fn lines_are_bounded() {
    let line = |start: &str, length: usize| format!("{start}{}", "x".repeat(length - start.len()));
    // Up to the limit an answer, beyond it none, whether or not the line has ended.
    assert_eq!(session(&[format!("{}\n", line("junk", LINE_MAX)).as_bytes()]), "-ERROR\n");
    assert_eq!(session(&[line("junk", LINE_MAX).as_bytes()]), "");
    assert_eq!(session(&[line("junk", LINE_MAX + 1).as_bytes()]), "line too long\n");
    assert_eq!(session(&[format!("{}\n", line("junk", LINE_MAX + 1)).as_bytes()]), "line too long\n");
    assert_eq!(session(&[" ".repeat(LINE_MAX + 1).as_bytes()]), "line too long\n");
    assert_eq!(session(&[line("getx ", LINE_MAX + 1).as_bytes()]), "line too long\n");
    assert_eq!(session(&[line("set ", LINE_MAX + 1).as_bytes()]), "line too long\n");
    for word in ["get ", "gets ", "gat 1 ", "gats 1 ", " get "] {
        let keys = format!("{word}{}\r\n", "key ".repeat(LINE_MAX));
        assert_eq!(session(&[keys.as_bytes()]).matches("key").count(), LINE_MAX, "{word}");
        let pieces: Vec<&[u8]> = keys.as_bytes().chunks(1000).collect();
        assert_eq!(session(&pieces).matches("key").count(), LINE_MAX, "{word}");
    }
    let endless = line("get ", 8_388_608);
    assert_eq!(session(&[endless.as_bytes()]), "");
    assert_eq!(session(&[endless.as_bytes(), b"x"]), "line too long\n");
    assert_eq!(session(&[endless.as_bytes(), b"\n"]), format!("{BAD}\n"));
    assert_eq!(session(&[format!("{endless}x\n").as_bytes()]), "line too long\n");
    // The word may be behind blanks, and not all there.
    assert_eq!(session(&[" ".repeat(8192).as_bytes(), b"g", b"et a\r\n"]), "get a\n");
    assert_eq!(session(&[line("g ", 8193).as_bytes()]), "line too long\n");
}

/// 04 §2.1.
#[test]
fn what_belongs_to_the_end_of_a_line() {
    for (line, expected) in
        [("a\r", "a"), ("a\r\r", "a\r"), ("a", "a"), ("\r", "\r"), ("", ""), ("a\0b\r", "a"), ("\0", "")]
    {
        assert_eq!(cut(line.as_bytes()), expected.as_bytes(), "{line:?}");
    }
}

/// What goes the short way; that it means the same is seen by cutting it.
#[test]
fn what_clients_say_most_is_seen_at_once() {
    assert_eq!(plain_get(b"get a\r\nget b\r\n"), Some((&b"a"[..], 7)));
    assert_eq!(plain_get(b"get a\n"), Some((&b"a"[..], 6)));
    for other in ["get a", "get a\r", "get \r\n", "get a b\r\n", "gets a\r\n", "get  a\r\n"] {
        assert_eq!(plain_get(other.as_bytes()), None, "{other}");
    }
    let store = |text: &'static str| plain_store(text.as_bytes().into(), &mut 0, 3).is_some();
    assert!(store("set a 1 2 3\r\nabc\r\n") && store("set a 0 0 0\r\n\r\nget"));
    assert!(!store("set a 0 0 4\r\nabcd\r\n") && !store("set a 0 0 3 noreply\r\nabc\r\n"));
}

#[test]
fn a_slow_line_is_not_searched_twice() {
    let mut scanned = 0;
    assert_eq!(parse(b"get abc", &mut scanned, VALUE_MAX), Parsed::Incomplete { need: 8 });
    assert_eq!(scanned, 7);
    assert!(matches!(parse(b"get abc\r\n", &mut scanned, VALUE_MAX), Parsed::Request { len: 9, .. }));
    // A caller that forgot to reset it gets no panic.
    scanned = 1000;
    assert_eq!(parse(b"get", &mut scanned, VALUE_MAX), Parsed::Incomplete { need: 4 });
}

#[test]
fn keys_borrow_the_line() {
    let mut scanned = 0;
    let Parsed::Request { request: Request::GetMany { keys, .. }, .. } = parse(b"  get a b\r\n", &mut scanned, 0)
    else {
        panic!("not a get");
    };
    assert_eq!((keys.line(), keys.single()), (&b"get a b"[..], None));
}

#[test]
fn a_request_says_how_many_bytes_it_took() {
    let mut scanned = 0;
    let parsed = parse(b"add k 1 2 0\r\n\r\n", &mut scanned, 0);
    let store = Store { verb: StoreVerb::Add, key: b"k", flags: 1, exptime: 2, cas: None, value: b"".into() };
    assert_eq!(
        parsed,
        Parsed::Request { request: Request::Keyed(Keyed::Store(store)), answered: Answered::Always, len: 15 }
    );
}

/// Bytes that look like commands more often than chance would have it.
fn commandish() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "get",
        "gets",
        "gat",
        "gats",
        "getl",
        "set",
        "add",
        "cas",
        "append",
        "incr",
        "decr",
        "delete",
        "touch",
        "unl",
        "flush_all",
        "stats",
        "proxy",
        "reset",
        "version",
        "verbosity",
        "quit",
        "noreply",
        "0",
        "1",
        "3",
        "-1",
        "4294967296",
        "2147483645",
        "1025",
        "a",
        "key",
        " ",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\t",
        "abc\r\n",
    ]);
    prop::collection::vec((word, prop::sample::select(vec!["", " ", "\r\n"])), 0..20)
        .prop_map(|parts| parts.into_iter().flat_map(|(a, b)| [a, b]).collect::<String>().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_arrive(input in prop_oneof![commandish(), any::<Vec<u8>>()], cut: prop::sample::Index) {
        let whole = session(&[&input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&whole, &session(&bytes));
        let (a, b) = input.split_at(cut.index(input.len() + 1));
        prop_assert_eq!(&whole, &session(&[a, b]));
    }
}
