//! ASCII clients.

use crate::cells::{self, Cell, Servers};
use crate::side::Side;

const LARGE: usize = (1 << 20) - 200;
const TOO_LARGE: usize = (1 << 20) + 1;

fn set(verb: &str, key: &str, value: &str) -> String {
    format!("{verb} {key} 5 0 {}\r\n{value}\r\n", value.len())
}

/// The requests, in their order; what stands in one is sent at once. Nothing counts on from 2^63 or above
/// ([`crate::cells`]).
pub fn steps() -> Vec<String> {
    let mut steps: Vec<String> = [
        "get none\r\n",
        "gets none\r\n",
        "get none none2 none3\r\n",
        "set a 4294967295 0 5\r\nvalue\r\n",
        "set empty 0 0 0\r\n\r\n",
        "set ends 1 0 13\r\nEND\r\n\r\nVALUE\r\n\r\n",
        "get a\r\n",
        "gets a\r\n",
        "get a none empty ends\r\n",
        "gets ends a\r\n",
        "get a\r\nget none\r\nget empty\r\n",
        "get a ends a\r\n",
        "get a a ends empty a ends\r\n",
        "gets a none ends none a none2 a\r\n",
        "gat 1000 ends a a none ends\r\n",
        "gats 1000 a ends a\r\n",
        "get none none\r\n",
        "add a 0 0 1\r\nx\r\n",
        "add b 0 0 1\r\nx\r\n",
        "replace none 0 0 1\r\nx\r\n",
        "replace b 3 0 2\r\nyy\r\n",
        "append b 0 0 1\r\n>\r\n",
        "append none 0 0 1\r\n>\r\n",
        "prepend b 0 0 1\r\n<\r\n",
        "prepend none 0 0 1\r\n<\r\n",
        "gets b\r\n",
        "cas b 1 0 3 @WRONG@\r\ncas\r\n",
        "cas b 1 0 3 @CAS@\r\ncas\r\n",
        "cas b 1 0 3 @CAS@\r\ncas\r\n",
        "cas none 1 0 3 @CAS@\r\ncas\r\n",
        "get b\r\n",
        "delete b\r\n",
        "delete b\r\n",
        "incr none 1\r\n",
        "decr none 1\r\n",
        "set n 0 0 2\r\n10\r\n",
        "incr n 5\r\n",
        "decr n 1\r\n",
        "decr n 100\r\n",
        "incr n 18446744073709551615\r\nget n\r\n",
        "set n 0 0 1\r\n5\r\n",
        "incr n 18446744073709551615\r\n",
        "incr n 1\r\nget n\r\n",
        "incr a 1\r\n",
        "incr n abc\r\n",
        "incr n -1\r\n",
        "touch a 1000\r\n",
        "touch none 1000\r\n",
        "gat 1000 a\r\n",
        "gat 1000 none a n\r\n",
        "gats 1000 a\r\n",
        "set old 0 -1 1\r\nx\r\n",
        "get old\r\n",
        "set old 0 1000000000 1\r\nx\r\n",
        "get old\r\n",
        "set quiet 0 0 1 noreply\r\nq\r\nget quiet\r\n",
        "append quiet 0 0 1 noreply\r\nr\r\nincr quiet 1 noreply\r\nget quiet\r\n",
        "delete quiet noreply\r\nget quiet\r\n",
        "add quiet 0 0 1 noreply\r\n1\r\nincr quiet 1 noreply\r\ndecr quiet 2 noreply\r\nget quiet\r\n",
        "touch quiet 1000 noreply\r\nget quiet\r\n",
        "incr none 1 noreply\r\ndelete none noreply\r\nget none\r\n",
        "bogus\r\n",
        "get\r\n",
        "set a\r\n",
        "set a 0 0 x\r\n",
        "set a b 0 1\r\n",
        "set a 0 0 -1\r\n",
        "incr a\r\n",
        "delete\r\n",
        "verbosity 0\r\n",
    ]
    .map(str::to_owned)
    .to_vec();
    let key = "k".repeat(250);
    steps.push(set("set", &key, "x"));
    steps.push(format!("get {key} a\r\n"));
    steps.push(format!("get {key}k\r\n"));
    steps.push((0..200).map(|number| set("set", &format!("many{number}"), &"v".repeat(number))).collect());
    let names: Vec<_> = (0..200).rev().map(|number| format!("many{number}")).collect();
    steps.push(format!("get {}\r\n", names.join(" ")));
    // Some are missing, and most are named again.
    for verb in ["get", "gets", "gat 1000", "gats 1000"] {
        let names: Vec<_> = (0..300).map(|number| format!("many{}", number * number % 211)).collect();
        steps.push(format!("{verb} {}\r\n", names.join(" ")));
    }
    steps.push(set("set", "large", &"l".repeat(LARGE)));
    steps.push("get large\r\n".to_owned());
    steps.push("get large a large none a large\r\n".to_owned());
    steps.push(set("set", "large", &"l".repeat(TOO_LARGE)));
    steps.push("get large a\r\n".to_owned());
    for command in ["flush_all 86400\r\n", "get a\r\n", "flush_all\r\n", "get a n\r\n", "set a 0 0 1\r\nx\r\n"] {
        steps.push(command.to_owned());
    }
    for command in ["flush_all noreply\r\nget a\r\n", "flush_all 0\r\n", "flush_all x\r\n", "verbosity 0 noreply\r\n"] {
        steps.push(command.to_owned());
    }
    steps
}

fn brief(text: &str) -> String {
    let cut: String = text.chars().take(300).collect();
    format!("{cut:?} ({})", text.len())
}

#[test]
fn ascii_clients() {
    let servers = Servers::start();
    let bad: Vec<_> = cells::all().into_iter().flat_map(|cell| differences(&servers, cell)).collect();
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}

/// Where the two clients did not get the same.
fn differences(servers: &Servers, cell: Cell) -> Vec<String> {
    let mut bad = Vec::new();
    let moxi = servers.moxi(cell);
    let (mut direct, mut proxied) = (Side::new(servers.direct()), Side::new(moxi.client()));
    for step in steps() {
        let expected = direct.text(&step);
        let got = proxied.text(&step);
        if expected != got {
            bad.push(format!(
                "{cell:?}: {}\n  expected {}\n  got      {}",
                brief(&step),
                brief(&expected),
                brief(&got)
            ));
        }
    }
    bad
}
