//! What is kept of a command, and the answers that it makes of what servers say.

use super::super::key::KeyRoom;
use super::super::request::{Parsed, parse};
use super::*;
use crate::protocol::ascii::reply;

fn asked(line: &str) -> Asked {
    let mut room = KeyRoom::default();
    let Some(Parsed::Request { meta, .. }) = parse(line.as_bytes(), &mut room, &mut 0, 100) else { panic!("{line}") };
    let mut asked = Asked::default();
    asked.keep(&meta);
    asked
}

fn text(write: impl FnOnce(&mut Output)) -> String {
    let mut out = Output::default();
    write(&mut out);
    String::from_utf8(out.contiguous(u64::MAX).unwrap_or_default().to_vec()).expect("text")
}

#[track_caller]
fn passed(line: &str, server: &str, expected: &str) {
    let reply::Parsed::Reply { reply, .. } = reply::parse(server.as_bytes(), &mut 0) else { panic!("{server}") };
    let said = Said::of(&reply).expect("an answer");
    assert_eq!(text(|out| asked(line).pass(out, &said)), expected, "{line} {server}");
}

#[test]
fn a_servers_answer_with_the_clients_own_flags() {
    passed("mg k v f c\r\n", "VA 2 f5 c9 O1\r\nab\r\n", "VA 2 f5 c9\r\nab\r\n");
    // In another order, with marks, and with more than was asked for.
    passed("mg k t O1 f h s\r\n", "HD s2 f5 W h1 t-1 Z O8 l3\r\n", "HD t-1 O1 f5 h1 s2 W Z\r\n");
    passed("mg aw== b k f v\r\n", "VA 2 f5 kaw== b O1 X\r\nab\r\n", "VA 2 kaw== b f5 X\r\nab\r\n");
    passed("mg k f k\r\n", "HD kk f5 X O1\r\n", "HD f5 kk X\r\n");
    passed("mg k v Oabc k\r\n", "VA 2 kk O1\r\nab\r\n", "VA 2 Oabc kk\r\nab\r\n");
    passed("mg k k O1 t\r\n", "HD kaw== b t-1 O8 W X\r\n", "HD kaw== b O1 t-1 W X\r\n");
    passed("mg YSBi b k\r\n", "HD O8\r\n", "HD kYSBi b\r\n");
    passed("mg k q\r\n", "EN\r\n", "");
    passed("mg k q\r\n", "HD O2\r\n", "HD\r\n");
    passed("mg k O5 k\r\n", "EN\r\n", "EN O5 kk\r\n");
    passed("ms k 1 q\r\na\r\n", "HD O2\r\n", "");
    passed("ms k 1 q c O9\r\na\r\n", "NS c0 O2\r\n", "NS c0 O9\r\n");
    passed("ma k q v\r\n", "VA 1 O2\r\n5\r\n", "");
    passed("ma k N0 v t\r\n", "VA 1 t-1 O2\r\n5\r\n", "VA 1 t-1\r\n5\r\n");
    passed("md k q\r\n", "NF O2\r\n", "NF\r\n");
    passed("mg k q\r\n", "SERVER_ERROR busy\r\n", "SERVER_ERROR busy\r\n");
    passed("me k\r\n", "ME k exp=-1\r\n", "ME k exp=-1\r\n");
}

#[test]
fn an_older_servers_line() {
    for (line, said, expected) in [
        ("mg k O1 k\r\n", "END\r\n", "EN O1 kk\r\n"),
        ("mg k T5 k\r\n", "TOUCHED", "HD kk\r\n"),
        ("ms k 1 k s\r\na\r\n", "STORED", "HD kk s1\r\n"),
        ("ms k 1 c ME\r\na\r\n", "NOT_STORED", "NS c0\r\n"),
        ("ms k 1 MR C5\r\na\r\n", "NOT_STORED", "NF\r\n"),
        ("ms k 1 MA\r\na\r\n", "NOT_STORED", "NS\r\n"),
        ("ms k 1 C5\r\na\r\n", "EXISTS", "EX\r\n"),
        ("ms k 1 q\r\na\r\n", "STORED", ""),
        ("ms k 1 s ME\r\na\r\n", "NOT_STORED", "NS s1\r\n"),
        ("ms k 1 MR\r\na\r\n", "NOT_STORED", "NS\r\n"),
        // Flags of other commands.
        ("ms k 1 f t\r\na\r\n", "STORED", "HD\r\n"),
        ("md k c s f\r\n", "DELETED", "HD\r\n"),
        ("md k c s f\r\n", "NOT_FOUND", "NF\r\n"),
        ("md k q O1\r\n", "DELETED", ""),
        ("md k O1\r\n", "NOT_FOUND", "NF O1\r\n"),
        ("ma k v O1\r\n", "0", "VA 1 O1\r\n0\r\n"),
        ("ma k v\r\n", "18446744073709551615", "VA 20\r\n18446744073709551615\r\n"),
        ("ma k\r\n", "10  ", "HD\r\n"),
        ("ma k v\r\n", "CLIENT_ERROR cannot", "CLIENT_ERROR cannot\r\n"),
        ("mg k v q\r\n", "SERVER_ERROR busy\r\n", "SERVER_ERROR busy\r\n"),
    ] {
        assert_eq!(text(|out| asked(line).line(out, said.as_bytes())), expected, "{line} {said}");
    }
}

#[test]
fn an_older_servers_item() {
    let item = Item { flags: 7, cas: 9, value: Some(b"abc".as_slice().into()) };
    for (line, expected) in [
        ("mg k v f c s k O1\r\n", "VA 3 f7 c9 s3 kk O1\r\nabc\r\n"),
        ("mg k s f\r\n", "HD s3 f7\r\n"),
        ("mg k v C9 c\r\n", "HD c9\r\n"),
        ("mg k v C8 c\r\n", "VA 3 c9\r\nabc\r\n"),
        ("mg aw== b v k\r\n", "VA 3 kaw== b\r\nabc\r\n"),
    ] {
        assert_eq!(text(|out| asked(line).item(out, &item)), expected, "{line}");
    }
}

/// 04 §20.1, 20.3: what it is to an older server, and whether its failure is a miss.
#[test]
fn what_is_kept_of_a_command() {
    for (line, class, is_read, may_miss, needs_cas) in [
        ("mg k v", CommandClass::Get, true, true, false),
        ("mg k c", CommandClass::Get, true, true, true),
        ("mg k v T30", CommandClass::Get, false, true, false),
        ("mg k T30", CommandClass::Touch, false, false, false),
        ("mg k v N30", CommandClass::Get, false, false, false),
        ("mg k v R30", CommandClass::Get, false, false, false),
        ("md k", CommandClass::Delete, false, false, false),
        ("ma k C5", CommandClass::Arith, false, false, true),
        ("ms k 0 MA", CommandClass::Store(StoreVerb::Append), false, false, false),
    ] {
        let asked = asked(&format!("{line}\r\n\r\n"));
        assert_eq!((asked.class(), asked.is_read()), (class, is_read), "{line}");
        assert_eq!((asked.may_miss(), asked.needs_cas()), (may_miss, needs_cas), "{line}");
    }
    assert_eq!((asked("md key\r\n").verb(), asked("md key q\r\n").key()), (Verb::Delete, &b"key"[..]));
}

#[test]
fn whatever_an_older_server_says() {
    let data = b"abc".as_slice().into();
    let value = Reply::Value { key: b"k", flags: 7, cas: Some(9), data, raw: None };
    let status = |code| Reply::Status { code, cas: 9, text: b"" };
    let busy = |tells| Reply::NoValue { code: 0x85, tells };
    for (line, said, expected) in [
        ("mg k v f c\r\n", value, "VA 3 f7 c9|abc|"),
        ("mg k v\r\n", Reply::End, "EN|"),
        ("mg k v\r\n", busy(false), "EN|"),
        ("mg k v\r\n", busy(true), "SERVER_ERROR a2b ebusy|"),
        ("ms k 1 c\r\na\r\n", status(0), "HD c9|"),
        ("ms k 1 c\r\na\r\n", status(2), "EX c0|"),
        ("md k O1\r\n", status(1), "NF O1|"),
        ("md k\r\n", Reply::Line { line: b"NOT_FOUND at all" }, "NF|"),
        ("ma k v c\r\n", Reply::Number { number: 12, cas: 9 }, "VA 2 c9|12|"),
        ("ma k q\r\n", Reply::Number { number: 12, cas: 9 }, ""),
        ("mg k v\r\n", Reply::Stat { line: b"STAT a b" }, ""),
    ] {
        let told = text(|out| asked(line).reply(out, said)).replace("\r\n", "|");
        assert_eq!(told, expected, "{line} {said:?}");
    }
}

#[test]
fn memory_is_used_again_for_another_command() {
    let (mut asked, mut room) = (asked("ms key 1 q O1 k\r\na\r\n"), KeyRoom::default());
    let Some(Parsed::Request { meta, .. }) = parse(b"mg k k\r\n", &mut room, &mut 0, 100) else { panic!("a request") };
    asked.keep(&meta);
    assert_eq!(text(|out| asked.without(out, Status::Missing)), "EN kk\r\n");
}
