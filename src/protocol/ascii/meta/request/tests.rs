use super::*;
use memchr::memchr;
use proptest::prelude::*;

const VALUE_MAX: u64 = 1000;

fn parsed(text: &str) -> Option<Parsed<'_>> {
    // Few enough to be left behind.
    parse(text.as_bytes(), Box::leak(Box::default()), &mut 0, VALUE_MAX)
}

#[track_caller]
fn request(text: &str) -> Meta<'_> {
    match parsed(text) {
        Some(Parsed::Request { meta, len }) => {
            assert_eq!(len, text.len(), "{text}");
            meta
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// What a line is refused with, and how many bytes behind it are dropped.
#[track_caller]
fn refusal(text: &str) -> (String, u64) {
    match parsed(text) {
        Some(Parsed::Refused { reply, swallow, .. }) => {
            (String::from_utf8_lossy(reply).trim_end().replace("CLIENT_ERROR ", ""), swallow)
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn verbs() {
    assert_eq!(request("mn\r\n").verb, Verb::Noop);
    assert_eq!(request("mn with more\n").verb, Verb::Noop);
    assert_eq!(request("mg k\r\n").verb, Verb::Get);
    assert_eq!(request("  mg   k   v \r\n").verb, Verb::Get);
    assert_eq!(request("md k\n").verb, Verb::Delete);
    assert_eq!(request("me k\r\n").verb, Verb::Debug);
    for (mode, decr) in [("", false), (" MI", false), (" M+", false), (" MD", true), (" M-", true)] {
        assert_eq!(request(&format!("ma k{mode}\r\n")).verb, Verb::Arith { decr });
    }
    for (mode, verb) in [
        ("", StoreVerb::Set),
        (" MS", StoreVerb::Set),
        (" ME", StoreVerb::Add),
        (" MR", StoreVerb::Replace),
        (" MA", StoreVerb::Append),
        (" MP", StoreVerb::Prepend),
    ] {
        let text = format!("ms k 3{mode}\r\nabc\r\n");
        let meta = request(&text);
        assert_eq!((meta.verb, meta.value.bytes), (Verb::Store(verb), &b"abc"[..]));
    }
}

#[test]
fn what_is_no_meta_command() {
    for text in
        ["", "m", "mg", "mg k v", "get k\r\n", "mx k\r\n", "mgx k\r\n", "m k\r\n", "MG k\r\n", "xmg k\r\n", "\r\n"]
    {
        assert_eq!(parsed(text), None, "{text}");
    }
    // What is longer than 8 KiB up to its line feed.
    let long = |length: usize| format!("mg k O{}\r\n", "o".repeat(length - 7));
    assert_eq!(parsed(&long(8193)), None);
    assert_eq!(refusal(&long(8192)).0, "opaque token too long");
}

/// Whether a command only reads, whether it wants what older servers tell with an item (04 §20.3), and whether the CAS id is a
/// part of it.
#[test]
fn what_a_command_does_and_needs() {
    for (line, is_read, needs_item, needs_cas) in [
        ("mn", true, false, false),
        ("me k", true, false, false),
        ("mg k", true, false, false),
        ("mg k k O1 q t h l", true, false, false),
        ("mg k v", true, true, false),
        ("mg k f", true, true, false),
        ("mg k s", true, true, false),
        ("mg k c", true, true, true),
        ("mg k C5", true, true, true),
        ("mg k N30", false, false, false),
        ("mg k v T30", false, true, false),
        ("mg k R30", false, false, false),
        ("md k", false, false, false),
        ("ma k", false, false, false),
        ("ma k c", false, true, true),
    ] {
        let text = format!("{line}\r\n");
        let meta = request(&text);
        assert_eq!((meta.is_read(), meta.needs_item(), meta.needs_cas()), (is_read, needs_item, needs_cas), "{line}");
    }
    assert!(!request("ms k 1\r\na\r\n").is_read());
}

#[test]
fn keys() {
    assert_eq!(request("mg foo v\r\n").key.name(), b"foo");
    assert_eq!(request("mg Zm9v v b\r\n").key.name(), b"foo");
    assert_eq!(request("me Zm9v b\r\n").key.name(), b"foo");
    assert_eq!(request("me Zm9v k b\r\n").key.name(), b"Zm9v");
    assert_eq!(request("me Zm9v bx\r\n").key.name(), b"Zm9v");
    let key = "k".repeat(250);
    assert_eq!(request(&format!("mg {key}\r\n")).key.name(), key.as_bytes());
    for word in ["mg", "md", "ma", "me"] {
        assert_eq!(refusal(&format!("{word} {key}k\r\n")), ("bad command line format".to_owned(), 0));
    }
    assert_eq!(refusal(&format!("ms {key}k 3 !\r\n")), ("bad command line format".to_owned(), 5));
}

#[test]
fn refusals() {
    let many = "a ".repeat(18);
    for (text, reply, swallow) in [
        ("mg\r\n", "ERROR", 0),
        ("md \r\n", "ERROR", 0),
        ("ma\r\n", "ERROR", 0),
        ("ms\r\n", "ERROR", 0),
        ("me\r\n", "bad command line format", 0),
        ("me Zm9 b\r\n", "bad command line format", 0),
        ("mg Zm9 b\r\n", "error decoding key", 0),
        ("mg k v v\r\n", "duplicate flag", 0),
        ("mg k !\r\n", "invalid flag", 0),
        ("md k !\r\n", "invalid or duplicate flag", 0),
        ("ma k Tx\r\n", "invalid or duplicate flag", 0),
        ("ma k Mx\r\n", "invalid mode for ma M token", 0),
        ("ms k\r\n", "bad command line format", 0),
        ("ms k x\r\n", "bad command line format", 0),
        ("ms k -1\r\n", "bad command line format", 0),
        ("ms k 2147483646\r\n", "bad command line format", 0),
        ("ms k S3\r\n", "bad command line format", 0),
        ("ms k 3 !\r\n", "invalid flag", 5),
        ("ms k 3 Tx\r\n", "bad token in command line format", 5),
        ("ms k 3 Mx\r\n", "invalid mode for ms M token", 5),
        ("ms Zm9 3 b\r\n", "error decoding key", 5),
        ("ms k 2147483645 !\r\n", "invalid flag", 2_147_483_647),
        (&format!("mg k {many}\r\n"), "options flags are too long", 0),
        (&format!("md k {many}\r\n"), "options flags too long", 0),
        (&format!("ms k 3 {many}\r\n"), "options flags too long", 5),
    ] {
        assert_eq!(refusal(text), (reply.to_owned(), swallow), "{text}");
    }
}

#[test]
fn opaque_tokens_have_32_bytes_with_their_letter() {
    let longest = "o".repeat(31);
    for command in ["mg k", "md k", "ma k", "ms k 0"] {
        assert_eq!(refusal(&format!("{command} O{longest}o\r\n")).0, "opaque token too long");
    }
    assert_eq!(request(&format!("mg k O{longest}\r\n")).flags.iter().next(), Some((b'O', longest.as_bytes())));
    // Which holds for no other flag.
    let path = format!("mg k O1 L{longest}o\r\n");
    assert_eq!(request(&path).flags.iter().count(), 2);
    // What is wrong with the mode comes first.
    assert_eq!(refusal(&format!("ms k 0 O{longest}o M!\r\n")).0, "invalid mode for ms M token");
}

#[test]
fn values() {
    assert_eq!(request("ms k 0\r\n\r\n").value.bytes, b"");
    assert_eq!(request("ms k 4\r\n\r\n\r\n\r\n").value.bytes, b"\r\n\r\n");
    assert_eq!(parsed("ms k 3\r\nabc\r"), Some(Parsed::Incomplete { need: 13 }));
    let bad_chunk = Parsed::Refused { reply: BAD_CHUNK, len: 13, swallow: 0 };
    assert_eq!(parsed("ms k 3\r\nabcde\r\n"), Some(bad_chunk));
    let Some(Parsed::TooLarge { key, len: 11, swallow: 1003 }) = parsed("ms k 1001\r\n") else { panic!() };
    assert_eq!(key.name(), b"k");
    assert_eq!(parsed("ms k 1000\r\n"), Some(Parsed::Incomplete { need: 1013 }));
}

#[test]
fn a_line_tells_how_long_its_value_is() {
    for (line, bytes) in [
        ("ms k 3", Some(5)),
        ("ms k 3 and whatever", Some(5)),
        ("ms  k  0", Some(2)),
        ("ms k 2147483645", Some(2_147_483_647)),
        ("ms k 2147483646", None),
        ("ms k x", None),
        ("ms k", None),
        ("ms", None),
    ] {
        assert_eq!(announced(line.as_bytes()), bytes, "{line}");
    }
}

/// What a client's bytes mean, if they arrive in pieces that end at `cuts`.
fn meaning(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut all = Vec::new();
    let (mut start, mut scanned, mut swallow) = (0, 0, 0u64);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        loop {
            let dropped = swallow.min((end.max(start) - start) as u64);
            start += dropped as usize;
            swallow -= dropped;
            let buf = &bytes[start.min(end)..end];
            let consumed = match parse(buf, &mut KeyRoom::default(), &mut scanned, VALUE_MAX) {
                Some(Parsed::Incomplete { need }) => {
                    assert!(need > buf.len());
                    break;
                }
                Some(parsed @ Parsed::Request { len, .. }) => {
                    all.push(format!("{parsed:?}"));
                    len
                }
                Some(
                    parsed @ (Parsed::Refused { len, swallow: rest, .. } | Parsed::TooLarge { len, swallow: rest, .. }),
                ) => {
                    all.push(format!("{parsed:?}"));
                    swallow = rest;
                    len
                }
                // As the classic parser: a line.
                None => match memchr(b'\n', buf) {
                    Some(at) => {
                        all.push(format!("{}", buf[..at].escape_ascii()));
                        at + 1
                    }
                    None => {
                        scanned = buf.len();
                        break;
                    }
                },
            };
            (start, scanned) = (start + consumed, 0);
        }
    }
    all
}

fn piece() -> impl Strategy<Value = String> {
    let flag = prop_oneof![
        "[bcCEfFhIJklMNOPqRstTuvxDL!]",
        "[CDEFJNRT]-?[0-9]{1,12}",
        "M[SEARPIDx+-]",
        "O[a-z]{0,33}",
        Just("MA".to_owned())
    ];
    let flags = prop::collection::vec(flag, 0..5).prop_map(|flags| flags.join(" "));
    let keyed = (prop_oneof!["m[gdaenx]", Just("get".to_owned())], "[a-zA-Z0-9=/]{0,9}", flags.clone())
        .prop_map(|(word, key, flags)| format!("{word} {key} {flags}\r\n"));
    let store = ("[a-z]{1,4}", "[a-z \r\n]{0,12}", 0..3usize, flags).prop_map(|(key, value, surplus, flags)| {
        format!("ms {key} {} {flags}\r\n{value}\r\n", value.len() + surplus / 2)
    });
    prop_oneof![keyed, store, "ms [a-z]{1,3} (-1|x|1001|1[0-9])\r\n"]
}

proptest! {
    #[test]
    fn any_cut_means_the_same(
        pieces in prop::collection::vec(piece(), 1..8),
        mut cuts in prop::collection::vec(0..400usize, 0..12),
    ) {
        let text = pieces.concat();
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(text.len()));
        cuts.sort_unstable();
        let each: Vec<usize> = (0..text.len()).collect();
        let whole = meaning(text.as_bytes(), &[]);
        prop_assert_eq!(&meaning(text.as_bytes(), &cuts), &whole);
        prop_assert_eq!(&meaning(text.as_bytes(), &each), &whole);
    }

    #[test]
    fn any_bytes_are_something(bytes: Vec<u8>, word in "m[gsdaen] ") {
        let line = [word.as_bytes(), &bytes, b"\r\n"].concat();
        let _ = parse(&line[..], &mut KeyRoom::default(), &mut 0, VALUE_MAX);
    }
}
