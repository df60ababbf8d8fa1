//! ASCII commands with a wrong word, one too many or one too few, in every place: what is said, and what is done to
//! the items, as by a memcached beside it. So nothing acts on a line that memcached refuses.

use moxi_test_support::Wire;

use crate::cells::{self, Cell, Servers};
use crate::side::Side;

/// One good line of each command. (`quit` and `version` are not told apart from the end of the replies here.)
const COMMANDS: [&str; 20] = [
    "get k",
    "gets k",
    "get k n",
    "gat 0 k",
    "gats 0 k n",
    "set k 7 0 1",
    "add new 7 0 1",
    "replace k 7 0 1",
    "append k 7 0 1",
    "prepend k 7 0 1",
    "cas k 7 0 1 1",
    "incr n 1",
    "decr n 1",
    "delete k",
    "delete k 0",
    "touch k 0",
    "flush_all",
    "flush_all 0",
    "verbosity 1",
    "stats reset",
];

const WORDS: [&str; 15] = [
    "x",
    "-1",
    "0",
    "5",
    "1x",
    "+5",
    "-0",
    "2147483648",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "noreply",
    "NOREPLY",
    "\t",
    "LONG",
];

/// What is there before each line. Some of the words are keys.
const SEED: &str = "verbosity 0\r\nflush_all\r\nset k 1 0 1\r\n1\r\nset n 2 0 2\r\n10\r\nset 0 3 0 1\r\nz\r\n\
                    set noreply 4 0 1\r\nr\r\nset x 5 0 1\r\ny\r\n";

/// What is left behind it. Twice: a value that is longer than it should be takes a part of the first one.
const LOOK: &str = "get k n 0 noreply x 1 5 new -1\r\nget k n 0 noreply x 1 5 new -1\r\n";

fn is_storing(command: &str) -> bool {
    matches!(command, "set" | "add" | "replace" | "append" | "prepend" | "cas")
}

/// The lines that are made of a good one.
fn lines(good: &str) -> Vec<String> {
    let words: Vec<_> = good.split(' ').collect();
    let mut lines = vec![good.to_owned()];
    lines.extend((1..words.len()).map(|count| words[..count].join(" ")));
    for at in 1..words.len() {
        let put = |word: &[&str]| [&words[..at], word, &words[at + 1..]].concat().join(" ");
        lines.push(put(&[]));
        lines.extend(WORDS.iter().flat_map(|word| [put(&[word]), put(&[word]) + " noreply"]));
    }
    for word in WORDS {
        lines.push(format!("{good} {word}"));
        lines.extend(["x", "noreply"].map(|last| format!("{good} {word} {last}")));
    }
    lines.extend(["a b c", "a b noreply", "a b c d e f g h"].map(|more| format!("{good} {more}")));
    lines.extend([format!("{good} "), format!("{good} noreply  "), format!("  {good}"), good.replace(' ', "   ")]);
    lines.extend([good.replace(' ', "\t"), good.to_uppercase(), good.replacen(' ', "x ", 1)]);
    lines.retain(|line| line != "stats"); // a list of what differs anyway
    lines
}

/// Where moxi means something else than memcached: what memcached has to be told for what moxi does.
fn meant(line: &str, is_built_in: bool) -> Option<String> {
    let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let noreply = if words.last() == Some(&"noreply") { " noreply" } else { "" };
    let is_number = |word: &str| word.parse::<i64>().is_ok();
    let is_large = |word: &str| word.parse::<u64>().is_ok_and(|number| number > u32::MAX.into());
    match words[..] {
        // Old clients send a time, and it is ignored (DESIGN); memcached takes only 0.
        ["delete", key, time] | ["delete", key, time, "noreply"] if is_number(time) => {
            Some(format!("delete {key}{noreply}"))
        }
        // Refused instead of cut to 32 bits (04 §3): as what is no number.
        [verb, key, flags, time, bytes, ref rest @ ..] if is_storing(verb) && (is_large(flags) || is_large(bytes)) => {
            Some([&[verb, key, "x", time, bytes], rest].concat().join(" "))
        }
        // Nothing is done with a word too many.
        ["touch", _, _, word] if word != "noreply" => Some("bogus".to_owned()),
        ["stats", "reset", _, ..] if !is_built_in => Some("bogus".to_owned()),
        // Refused, as newer ones do.
        ["verbosity", level, ..] if is_large(level) => Some(format!("verbosity x{noreply}")),
        // Nothing is asked for.
        ["gat" | "gats", _] => Some("bogus".to_owned()),
        _ => None,
    }
}

fn differences(servers: &Servers, name: &str, client: Wire) -> Vec<String> {
    let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(client));
    let mut bad = Vec::new();
    for line in COMMANDS.iter().flat_map(|good| lines(good)) {
        let line = line.replace("LONG", &"l".repeat(251));
        let request = |line: &str| {
            let verb = line.split_ascii_whitespace().next().unwrap_or_default();
            let value = if is_storing(verb) { "1\r\n" } else { "" };
            format!("{line}\r\n{value}{LOOK}")
        };
        // By itself: over a key that is too long memcached forgets the replies before it, too.
        direct.text(SEED);
        proxied.text(SEED);
        let expected = direct.text(&request(&meant(&line, name == "built-in").unwrap_or_else(|| line.clone())));
        let got = proxied.text(&request(&line));
        if got != expected {
            bad.push(format!("{name}: {line:?}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    bad
}

#[test]
fn wrong_words() {
    let servers = Servers::start();
    let mut bad = Vec::new();
    for protocol in ["ascii", "binary"] {
        let moxi = servers.moxi(Cell { protocol, servers: 1, hash: "modula" });
        bad.extend(differences(&servers, protocol, moxi.client()));
    }
    let (_moxi, port) = cells::built_in("ascii");
    bad.extend(differences(&servers, "built-in", Wire::connect("client", port.number())));
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}
