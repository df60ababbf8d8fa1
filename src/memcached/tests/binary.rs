//! Binary commands (02 §9).

use super::*;
use crate::protocol::binary::opcode::*;
use crate::protocol::binary::packet::{Header, Parsed, REQUEST_MAGIC, parse_reply};

/// A request.
#[derive(Clone, Default)]
struct Ask<'a> {
    opcode: u8,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
    cas: u64,
}

fn bytes(ask: &Ask<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let header = Header {
        opcode: ask.opcode,
        key_len: ask.key.len() as u16,
        extras_len: ask.extras.len() as u8,
        body_len: (ask.extras.len() + ask.key.len() + ask.value.len()) as u32,
        opaque: 0x0a0b_0c0d,
        cas: ask.cas,
        ..Header::default()
    };
    header.write(&mut out, REQUEST_MAGIC);
    [&out, ask.extras, ask.key, ask.value].concat()
}

/// A reply: opcode, status, CAS id, extras, key, value.
type Reply = (u8, u16, u64, Vec<u8>, String, String);

fn replies(bytes: &[u8]) -> Vec<Reply> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let Parsed::Packet { packet, len } = parse_reply(rest) else { panic!("{rest:?}") };
        let header = packet.header;
        assert_eq!(header.opaque, 0x0a0b_0c0d);
        let (key, value) = (text(packet.key), text(&packet.value));
        all.push((header.opcode, header.vbucket_or_status, header.cas, packet.extras.to_vec(), key, value));
        rest = &rest[len..];
    }
    all
}

fn ask(server: &Server, ask: &Ask<'_>) -> Vec<Reply> {
    replies(&Client::default().send(server, &bytes(ask)))
}

fn store<'a>(opcode: u8, key: &'a [u8], value: &'a [u8], cas: u64) -> Ask<'a> {
    let extras: &[u8] =
        if matches!(opcode, APPEND | APPENDQ | PREPEND | PREPENDQ) { b"" } else { b"\0\0\0\x07\0\0\0\0" };
    Ask { opcode, extras, key, value, cas }
}

fn keyed(opcode: u8, key: &[u8]) -> Ask<'_> {
    Ask { opcode, key, ..Ask::default() }
}

fn ok(opcode: u8, cas: u64) -> Vec<Reply> {
    vec![(opcode, 0, cas, vec![], String::new(), String::new())]
}

fn error(opcode: u8, status: u16, body: &str) -> Vec<Reply> {
    vec![(opcode, status, 0, vec![], String::new(), body.to_owned())]
}

fn number(opcode: u8, cas: u64, number: u64) -> Vec<Reply> {
    vec![(opcode, 0, cas, vec![], String::new(), text(&number.to_be_bytes()))]
}

#[test]
fn storing_and_getting() {
    let server = Server::default();
    assert_eq!(ask(&server, &keyed(GET, b"k")), error(GET, 1, "Not found"));
    assert_eq!(ask(&server, &keyed(GETQ, b"k")), []);
    assert_eq!(ask(&server, &keyed(GETKQ, b"k")), []);
    let miss = |opcode| vec![(opcode, 1, 0, vec![], "k".to_owned(), String::new())];
    assert_eq!(ask(&server, &keyed(GETK, b"k")), miss(GETK));
    assert_eq!(ask(&server, &keyed(GETL, b"k")), miss(GETL));
    assert_eq!(ask(&server, &store(REPLACE, b"k", b"v", 0)), error(REPLACE, 1, "Not found"));
    assert_eq!(ask(&server, &store(APPEND, b"k", b"v", 0)), error(APPEND, 5, "Not stored."));
    assert_eq!(ask(&server, &store(SET, b"k", b"v", 0)), ok(SET, 1));
    assert_eq!(ask(&server, &store(ADD, b"k", b"w", 0)), error(ADD, 2, "Data exists for key."));
    assert_eq!(ask(&server, &store(APPEND, b"k", b"w", 0)), ok(APPEND, 2));
    assert_eq!(ask(&server, &store(PREPEND, b"k", b"u", 2)), ok(PREPEND, 3));
    assert_eq!(ask(&server, &store(PREPEND, b"k", b"u", 2)), error(PREPEND, 2, "Data exists for key."));
    let hit = |opcode, key: &str| vec![(opcode, 0, 3, vec![0, 0, 0, 7], key.to_owned(), "uvw".to_owned())];
    for (opcode, key) in [(GET, ""), (GETQ, ""), (GETK, "k"), (GETKQ, "k"), (GETL, "k")] {
        assert_eq!(ask(&server, &keyed(opcode, b"k")), hit(opcode, key));
    }
    assert_eq!(ask(&server, &Ask { extras: b"\0\0\0\0", ..keyed(GETL, b"k") }), error(GETL, 4, "Invalid arguments"));
}

#[test]
fn cas_ids() {
    let server = Server::default();
    for opcode in [SET, ADD, REPLACE] {
        assert_eq!(ask(&server, &store(opcode, b"k", b"v", 9)), error(opcode, 1, "Not found"));
    }
    ask(&server, &store(SET, b"k", b"v", 0));
    assert_eq!(ask(&server, &store(SET, b"k", b"v", 9)), error(SET, 2, "Data exists for key."));
    assert_eq!(ask(&server, &store(ADD, b"k", b"v", 1)), ok(ADD, 2));
    assert_eq!(ask(&server, &Ask { cas: 1, ..keyed(DELETE, b"k") }), error(DELETE, 2, "Data exists for key."));
    assert_eq!(ask(&server, &Ask { cas: 2, ..keyed(DELETE, b"k") }), ok(DELETE, 0));
    assert_eq!(ask(&server, &keyed(DELETE, b"k")), error(DELETE, 1, "Not found"));
    assert_eq!((server.stat("", "delete_hits"), server.stat("", "delete_misses")), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn arithmetic() {
    let server = Server::default();
    let arith = |opcode, delta: u64, initial: u64, exptime: u32, cas| {
        let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &exptime.to_be_bytes()].concat();
        ask(&server, &Ask { extras: &extras, cas, ..keyed(opcode, b"n") })
    };
    assert_eq!(arith(INCREMENT, 5, 7, u32::MAX, 0), error(INCREMENT, 1, "Not found"));
    assert_eq!(arith(INCREMENT, 5, (1 << 63) - 1, 0, 0), number(INCREMENT, 1, (1 << 63) - 1));
    assert_eq!(server.say("get n\r\n"), "VALUE n 0 19\r\n9223372036854775807\r\nEND\r\n", "only the digits");
    assert_eq!(arith(INCREMENT, 2, 0, 0, 0), number(INCREMENT, 2, (1 << 63) + 1));
    assert_eq!(arith(DECREMENT, 1, 0, 0, 9), error(DECREMENT, 2, "Data exists for key."));
    assert_eq!(arith(DECREMENT, 1, 0, 0, 2), number(DECREMENT, 3, 1 << 63));
    assert_eq!(arith(DECREMENTQ, u64::MAX, 0, 0, 0), []);
    assert_eq!(arith(DECREMENT, 1, 0, 0, 0), number(DECREMENT, 5, 0));
    server.fill("n", 3);
    let text = "Non-numeric server-side value for incr or decr";
    assert_eq!(arith(INCREMENTQ, 1, 0, 0, 0), error(INCREMENTQ, 6, text));
}

#[test]
fn quiet_commands_speak_of_failures_only() {
    let server = Server::default();
    for opcode in [SETQ, REPLACEQ, APPENDQ, PREPENDQ] {
        assert_eq!(ask(&server, &store(opcode, b"k", b"v", 0)), []);
    }
    assert_eq!(ask(&server, &store(ADDQ, b"k", b"v", 0)), error(ADDQ, 2, "Data exists for key."));
    assert_eq!(ask(&server, &keyed(DELETEQ, b"k")), []);
    assert_eq!(ask(&server, &keyed(DELETEQ, b"k")), error(DELETEQ, 1, "Not found"));
    assert_eq!(ask(&server, &store(REPLACEQ, b"k", b"v", 0)), error(REPLACEQ, 1, "Not found"));
    assert_eq!(ask(&server, &store(APPENDQ, b"k", b"v", 0)), error(APPENDQ, 5, "Not stored."));
    assert_eq!(ask(&server, &keyed(FLUSHQ, b"")), []);
    assert_eq!(server.stat("", "cmd_flush"), "1");
    let mut client = Client::default();
    assert_eq!(client.send(&server, &bytes(&keyed(QUITQ, b""))), b"");
    assert!(client.is_closed);
}

#[test]
fn touch_and_gat() {
    let mut server = Server::default();
    let touch = |opcode| Ask { extras: b"\0\0\0\x05", ..keyed(opcode, b"k") };
    assert_eq!(ask(&server, &touch(TOUCH)), error(TOUCH, 1, "Not found"));
    assert_eq!(ask(&server, &touch(GATQ)), []);
    ask(&server, &store(SET, b"k", b"v", 0));
    let hit = |opcode, key: &str, value: &str| vec![(opcode, 0, 1, vec![0, 0, 0, 7], key.to_owned(), value.to_owned())];
    assert_eq!(ask(&server, &touch(TOUCH)), hit(TOUCH, "", ""));
    for (opcode, key) in [(GAT, ""), (GATQ, ""), (GATK, "k"), (GATKQ, "k")] {
        assert_eq!(ask(&server, &touch(opcode)), hit(opcode, key, "v"));
    }
    server.wait(5000);
    assert!(!server.has("k"));
}

#[test]
fn other_commands() {
    let server = Server::default();
    let version = vec![(VERSION, 0, 0, vec![], String::new(), env!("CARGO_PKG_VERSION").to_owned())];
    assert_eq!(ask(&server, &keyed(VERSION, b"")), version);
    assert_eq!(ask(&server, &keyed(NOOP, b"")), ok(NOOP, 0));
    assert_eq!(ask(&server, &keyed(QUIT, b"")), ok(QUIT, 0));
    server.fill("k", 1);
    assert_eq!(ask(&server, &Ask { extras: b"\0\0\0\x02", ..keyed(FLUSH, b"") }), ok(FLUSH, 0));
    assert!(server.has("k"));
    assert_eq!(ask(&server, &keyed(FLUSH, b"")), ok(FLUSH, 0));
    assert!(!server.has("k"));
}

#[test]
fn unknown_commands_leave_the_connection_in_step() {
    let server = Server::default();
    for opcode in [VERBOSITY, HELLO, SASL_LIST_MECHS, SASL_AUTH, SASL_STEP, BUCKET, UNL, SYNC, 0xff] {
        let mut client = Client::default();
        let odd = Ask { opcode, extras: b"ab", key: &[b'k'; 300], value: b"rest", cas: 1 };
        assert_eq!(replies(&client.send(&server, &bytes(&odd))), error(opcode, 0x81, "Unknown command"));
        assert_eq!(replies(&client.send(&server, &bytes(&keyed(NOOP, b"")))), ok(NOOP, 0));
    }
}

#[test]
fn wrong_shapes_are_answered_and_closed() {
    let server = Server::default();
    for wrong in [
        keyed(GET, b""),
        keyed(GET, &[b'k'; 251]),
        keyed(SET, b"k"),
        Ask { value: b"surplus", ..keyed(STAT, b"settings") },
        Ask { value: b"v", ..keyed(DELETE, b"k") },
        Ask { extras: b"ab", ..keyed(FLUSH, b"") },
        store(SET, &[b'k'; 251], b"v", 0),
        store(SET, b"", b"v", 0),
    ] {
        let mut client = Client::default();
        assert_eq!(replies(&client.send(&server, &bytes(&wrong))), error(wrong.opcode, 4, "Invalid arguments"));
        assert!(client.is_closed);
    }
    let mut client = Client::default();
    let mut huge = bytes(&keyed(SET, b"k"));
    huge[8..12].copy_from_slice(&22_020_097u32.to_be_bytes());
    assert_eq!(client.send(&server, &huge), b"");
    assert!(client.is_closed);
}

/// No memory is taken for a value that is going to be refused, although its header comes alone.
#[test]
fn oversized_values_are_refused_however_they_arrive() {
    let server = Server::default();
    let request = bytes(&store(SET, b"key", &vec![b'x'; 2 << 20], 0));
    let head = 24 + 8 + 3;
    for cut in [1, 23, 24, 25, 32, head - 1] {
        let mut client = Client::default();
        assert_eq!(client.send(&server, &request[..cut]), b"", "{cut}");
        assert_eq!(replies(&client.send(&server, &request[cut..head])), error(SET, 3, "Too large."), "{cut}");
        assert_eq!(client.send(&server, &request[head..]), b"", "{cut}");
        assert_eq!(replies(&client.send(&server, &bytes(&keyed(NOOP, b"")))), ok(NOOP, 0));
    }
}

#[test]
fn oversized_values_are_swallowed_as_they_arrive() {
    let server = Server::default();
    for length in [1_048_577, 2 << 20, 20 << 20] {
        server.fill("k", 1);
        let request = bytes(&store(SET, b"k", &vec![b'x'; length], 0));
        let mut client = Client::default();
        let answer = client.send(&server, &request[..2000]);
        assert_eq!(replies(&answer), error(SET, 3, "Too large."), "before the value is there");
        assert_eq!(client.send(&server, &request[2000..]), b"");
        assert_eq!(replies(&client.send(&server, &bytes(&keyed(NOOP, b"")))), ok(NOOP, 0));
        assert!(!server.has("k"));
        server.fill("k", 1);
        let request = bytes(&store(APPENDQ, b"k", &vec![b'x'; length], 0));
        assert_eq!(replies(&Client::default().send(&server, &request)), error(APPENDQ, 3, "Too large."));
        assert!(server.has("k"));
    }
}

#[test]
fn statistics() {
    let server = Server::default();
    let stat = |key: &[u8]| ask(&server, &keyed(STAT, key));
    assert_eq!(stat(b"").len(), 36);
    assert_eq!(stat(b"").last(), ok(STAT, 0).last());
    assert_eq!(stat(b"settings").len(), 20);
    assert_eq!(stat(b"detail on"), ok(STAT, 0));
    ask(&server, &store(SET, b"p:k", b"v", 0));
    ask(&server, &keyed(GET, b"p:k"));
    ask(&server, &keyed(DELETE, b"p:k"));
    assert_eq!(stat(b"detail dump")[0].4, "detailed");
    assert_eq!(stat(b"detail dump")[0].5, "PREFIX p get 1 hit 1 set 1 del 1\r\nEND\r\n");
    assert_eq!(stat(b"detail off"), ok(STAT, 0));
    assert_eq!(stat(b"reset"), ok(STAT, 0));
    for key in [&b"resetX"[..], b"settings ", b"detail", b"detail x", b"cachedump 1 1", b"nonsense"] {
        assert_eq!(stat(key), error(STAT, 1, "Not found"));
    }
    for key in [&b"items"[..], b"slabs", b"sizes"] {
        assert_eq!(stat(key).last(), ok(STAT, 0).last());
    }
}

#[test]
fn packets_may_arrive_in_any_pieces() {
    let mut golden = Vec::new();
    for ask in [
        store(SETQ, b"k", b"value", 0),
        keyed(GETKQ, b"nk"),
        keyed(GETKQ, b"k"),
        keyed(NOOP, b""),
        Ask { opcode: 0xee, key: b"odd", ..Ask::default() },
        keyed(DELETE, b"k"),
        keyed(QUIT, b""),
    ] {
        golden.extend(bytes(&ask));
    }
    let whole = Client::default().send(&Server::default(), &golden);
    assert_eq!(replies(&whole).len(), 5);
    for split in 1..golden.len() {
        let (server, mut client) = (Server::default(), Client::default());
        let mut answer = client.send(&server, &golden[..split]);
        answer.extend(client.send(&server, &golden[split..]));
        assert_eq!(answer, whole, "split at {split}");
    }
}

#[test]
fn without_memory() {
    let server = super::memory::full();
    let extras = [&99u64.to_be_bytes()[..], &[0; 12]].concat();
    for request in [
        store(ADD, b"new000", b"2", 0),
        store(APPEND, b"k00000", b"2", 0),
        Ask { opcode: INCREMENT, extras: &extras, key: b"k00000", ..Ask::default() },
        Ask { opcode: DECREMENT, extras: &extras, key: b"new000", ..Ask::default() },
    ] {
        let found = ask(&server, &request);
        assert_eq!(found.iter().map(|reply| (reply.0, reply.1)).collect::<Vec<_>>(), [(request.opcode, 0x82)]);
    }
    assert_eq!(server.say("get k00000 new000\r\n"), "VALUE k00000 0 1\r\n1\r\nEND\r\n");
}
