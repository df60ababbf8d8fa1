//! The table against the contract, and what follows from it.

use super::*;
use crate::protocol::binary::packet::{Header, lengths};

const SERVER: &str = include_str!("../../../docs/contract/02-memcached-server.md");
const PROXY: &str = include_str!("../../../docs/contract/04-proxy-protocols.md");

/// The rows of the first table below `head`, cell by cell.
fn table(page: &'static str, head: &str) -> Vec<Vec<&'static str>> {
    let section = page.split(head).nth(1).expect(head);
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.skip(2).map(|line| line.split('|').skip(1).map(str::trim).collect()).collect();
    assert!(rows.len() > 4, "{head}");
    rows
}

/// The opcodes that a cell names, ranges included.
fn opcodes(cell: &str) -> Vec<u8> {
    let numbers = cell.split([' ', ',', '/']).filter(|word| word.starts_with("0x"));
    let number = |word: &str| u8::from_str_radix(&word[2..], 16).expect("an opcode");
    numbers
        .flat_map(|word| match word.split_once('–') {
            Some((first, last)) => number(first)..=number(last),
            None => number(word)..=number(word),
        })
        .collect()
}

fn fits(opcode: u8, extras: usize, key: usize, value: usize) -> bool {
    let zeros = [0; 300];
    of(opcode).fits(&Packet {
        header: Header { opcode, ..lengths(extras, key, value) },
        extras: &zeros[..extras],
        key: &zeros[..key],
        value: zeros[..value].into(),
        raw: (&[]).into(),
    })
}

#[test]
fn each_opcode_has_one_row() {
    let all: Vec<u8> = ROWS.iter().flat_map(|row| [Some(row.opcode), row.quiet]).flatten().collect();
    for (index, opcode) in all.iter().enumerate() {
        assert!(!all[..index].contains(opcode), "{opcode:#x}");
    }
    for opcode in 0..=u8::MAX {
        let row = ROWS.iter().find(|row| row.opcode == opcode || row.quiet == Some(opcode));
        assert_eq!(*of(opcode), row.copied().unwrap_or(Op { opcode, ..UNKNOWN[0] }), "{opcode:#x}");
        assert!(!answered(loud(opcode)).is_quiet(), "{opcode:#x}");
    }
}

/// memcached's `protocol_binary.txt`: GETQ, GETKQ, SETQ; and of what has no quiet twin it is the opcode itself.
#[test]
fn the_loud_twin() {
    for (opcode, twin) in [(0x09, 0x00), (0x0d, 0x0c), (0x11, 0x01), (0x01, 0x01), (0x0a, 0x0a), (0xee, 0xee)] {
        assert_eq!(loud(opcode), twin, "{opcode:#x}");
    }
}

/// 04 §8.2: the quiet opcodes, what all servers get, and what moxi does by itself.
#[test]
fn the_targets_are_those_of_the_contract() {
    let rows = table(PROXY, "### 8.2 Opcodes");
    let row = |start: &str| rows.iter().find(|row| row[0].starts_with(start)).expect(start);
    let mut quiet = opcodes(row("quiet ones")[0]);
    quiet.extend([QUITQ, FLUSHQ]); // they have rows of their own
    quiet.sort_unstable();
    assert_eq!((0..=u8::MAX).filter(|opcode| answered(*opcode).is_quiet()).collect::<Vec<_>>(), quiet);
    let of_gets = quiet.iter().copied().filter(|opcode| answered(*opcode) == Answered::OnHit);
    assert_eq!(of_gets.collect::<Vec<_>>(), [GETQ, GETKQ, GATQ, GATKQ]);
    let to_all = [row("NOOP"), row("STAT")].map(|row| opcodes(row[0])).concat();
    let words = ["VERSION", "QUIT", "SASL", "VERBOSITY", "HELLO", "SELECT_BUCKET", "TAP"];
    let local = words.map(|word| opcodes(row(word)[0])).concat();
    for opcode in 0..=u8::MAX {
        let target = match opcode {
            _ if to_all.contains(&opcode) => Target::All,
            _ if local.contains(&opcode) => Target::Moxi,
            _ => Target::Key,
        };
        assert_eq!(of(opcode).target, target, "{opcode:#x}");
    }
}

/// 02 §9.2: twins and shapes. What is not there memcached does not know, SASL aside, which it may be built with.
#[test]
fn the_shapes_are_those_of_the_contract() {
    let mut known = vec![SASL_LIST_MECHS, SASL_AUTH, SASL_STEP];
    let mut shape = "";
    for row in table(SERVER, "### 9.2 Opcodes") {
        shape = if row[2] == "the same" { shape } else { row[2] };
        for pair in row[0].split(", ").filter(|pair| pair.starts_with("0x") && row[1] != "GETL") {
            let pair = opcodes(pair);
            assert_eq!((of(pair[0]).opcode, of(pair[0]).quiet), (pair[0], pair.get(1).copied()), "{pair:?}");
            for opcode in pair {
                known.push(opcode);
                let bytes = shape.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
                let is_optional = |what: &str| shape.contains(&format!("optional {what}"));
                let has_key = shape.contains("key");
                let key = usize::from(has_key);
                assert!(fits(opcode, bytes, key, 0), "{opcode:#x}");
                assert!(!fits(opcode, bytes + 1, key, 0), "{opcode:#x}");
                assert_eq!(fits(opcode, 0, key, 0), bytes == 0 || shape.contains("nothing or"), "{opcode:#x}");
                assert_eq!(fits(opcode, bytes, 0, 0), !has_key || is_optional("key"), "{opcode:#x}");
                assert_eq!(fits(opcode, bytes, 1, 0), has_key, "{opcode:#x}");
                assert_eq!(fits(opcode, bytes, key, 9), shape.contains("value"), "{opcode:#x}");
                assert_eq!(fits(opcode, bytes, 250, 0), has_key, "{opcode:#x}");
                assert!(!fits(opcode, bytes, 251, 0), "{opcode:#x}");
            }
        }
    }
    known.extend([GATK, GATKQ]); // newer than the C program's server
    for opcode in 0..=u8::MAX {
        assert_eq!(of(opcode).is_foreign, !known.contains(&opcode), "{opcode:#x}");
    }
}

/// 04 §6.1: which packets ASCII commands become.
#[test]
fn the_words_are_those_of_the_contract() {
    for row in table(PROXY, "### 6.1 What is sent") {
        let words: Vec<&str> =
            row[0].split('`').skip(1).step_by(2).map(|line| line.split(' ').next().unwrap()).collect();
        let codes: Vec<u8> = opcodes(row[1]).into_iter().filter(|opcode| *opcode != NOOP).collect();
        assert!(!words.is_empty() && !codes.is_empty(), "{row:?}");
        for (index, word) in words.iter().enumerate() {
            let code = codes[index.min(codes.len() - 1)];
            let op = of(code);
            assert!(op.word == *word || op.cas_word == *word, "{word} {code:#x}");
            let bytes = match row[2] {
                "–" => 0,
                "flags, expiry" => 8,
                cell if cell.starts_with("expiry") => 4,
                cell if cell.starts_with("delta") => 20,
                _ => continue,
            };
            assert!(fits(code, bytes, usize::from(op.target == Target::Key), 0), "{word}");
        }
    }
}

/// 03 §8.1: what may be executed twice.
#[test]
fn what_repeats_does_not_depend_on_what_was_before() {
    let repeats: Vec<u8> = ROWS.iter().filter(|op| op.may_repeat(false)).map(|op| op.opcode).collect();
    assert_eq!(
        repeats,
        [GET, GETK, GAT, GATK, SET, REPLACE, DELETE, TOUCH, FLUSH, NOOP, STAT, VERSION],
        "nothing that adds to an old value, depends on it, or takes a lock"
    );
    assert!(ROWS.iter().all(|op| !op.may_repeat(true)));
    assert!(of(SETQ).may_repeat(false) && !of(ADDQ).may_repeat(false) && !of(0xee).may_repeat(false));
}

#[test]
fn what_changes_nothing() {
    let unchanging: Vec<u8> = (0..=u8::MAX).filter(|opcode| !of(*opcode).changes()).collect();
    let local = [QUIT, QUITQ, HELLO, SASL_LIST_MECHS, TAP_CONNECT, DCP_OPEN];
    let of_servers: Vec<u8> = unchanging.into_iter().filter(|opcode| !local.contains(opcode)).collect();
    assert_eq!(of_servers, [GET, GETQ, NOOP, VERSION, GETK, GETKQ, STAT, GETL, UNL]);
    // Who waits for a lock would miss it.
    assert!(!of(UNL).is_needless() && of(GETL).is_needless() && of(STAT).is_needless() && !of(GATQ).is_needless());
}

/// 02 §9.2, 04 §6.2: who gets a value, and who the key before it.
#[test]
fn gets_give_values() {
    let those = |gives: fn(&Op) -> bool| (0..=u8::MAX).filter(|code| gives(of(*code))).collect::<Vec<_>>();
    let (values, keys) = (those(Op::gives_value), those(Op::gives_key));
    assert_eq!(values, [0x00, 0x09, 0x0c, 0x0d, 0x1d, 0x1e, 0x23, 0x24, 0x94]);
    assert_eq!(keys, [0x0c, 0x0d, 0x23, 0x24, 0x94]);
}

#[test]
fn each_opcode_has_one_shape() {
    // Opcodes, then extras, whether there is a key, and whether there may be a value.
    let table: [(&[u8], usize, bool, bool); 8] = [
        (&[0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14], 0, true, false),
        (&[0x01, 0x11, 0x02, 0x12, 0x03, 0x13], 8, true, true),
        (&[0x0e, 0x19, 0x0f, 0x1a], 0, true, true),
        (&[0x05, 0x15, 0x06, 0x16], 20, true, false),
        (&[0x1c, 0x1d, 0x1e, 0x23, 0x24], 4, true, false),
        (&[0x08, 0x18], 4, false, false),
        (&[0x07, 0x17, 0x0a, 0x0b, 0x20], 0, false, false),
        (&[0x21, 0x22], 0, true, true),
    ];
    for (opcodes, extras, key, value) in table {
        for &opcode in opcodes {
            let is_key = usize::from(key);
            assert!(fits(opcode, extras, is_key, 0) && !of(opcode).is_foreign, "{opcode:#x}");
            assert!(!fits(opcode, extras + 1, is_key, 0), "{opcode:#x}");
            assert!(!fits(opcode, extras, 1 - is_key, 0), "{opcode:#x}");
            assert_eq!(fits(opcode, extras, is_key, 9), value, "{opcode:#x}");
            assert!(fits(opcode, extras, is_key * 250, 0), "{opcode:#x}");
            assert!(!fits(opcode, extras, 251, 0), "{opcode:#x}");
        }
    }
    assert!(fits(FLUSH, 0, 0, 0));
    assert!(fits(STAT, 0, 0, 0));
    assert!(fits(STAT, 0, 5, 0));
    assert!(!fits(STAT, 0, 5, 1));
}

#[test]
fn what_memcached_does_not_know_is_foreign() {
    for (opcode, extras, key, value, is_good) in [
        (GETL, 4, 1, 0, true),
        (GETL, 0, 1, 0, true),
        (GETL, 3, 1, 0, false),
        (UNL, 0, 1, 0, true),
        (UNL, 0, 0, 0, false),
        (HELLO, 2, 5, 7, true),
        (0xee, 0, 251, 0, false),
    ] {
        assert_eq!((fits(opcode, extras, key, value), of(opcode).is_foreign), (is_good, true), "{opcode:#x}");
    }
}

#[test]
fn storage_commands_have_verbs() {
    for verb in [StoreVerb::Set, StoreVerb::Add, StoreVerb::Replace, StoreVerb::Append, StoreVerb::Prepend] {
        assert_eq!(Op::store(verb).verb(), Some(verb));
    }
    assert_eq!((of(SETQ).verb(), of(TOUCH).verb()), (Some(StoreVerb::Set), None));
}
