//! "Not my vbucket" (03 §18): a server says that a key is another's. moxi learns, from what else the server says or by
//! trying, and the client gets its answer.

use std::time::Duration;

use crate::launch::{self, Running, connect, free_port};
use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Manager, Mock, Moxi, Wire, moxi};

pub const REFUSED: u16 = 7;

/// A key of each of four vbuckets.
pub const KEYS: [&str; 4] = ["key1", "key2", "key3", "key0"];

/// Four vbuckets, all on the first server.
pub fn all_on_the_first(mocks: &[Mock]) -> Moxi {
    moxi!().vbuckets(mocks.iter().map(Mock::port), &[0; 4]).binary().set("downstream_timeout=0").start()
}

/// A cluster's map as servers send it: what stands before it, its servers, and the master of each vbucket.
pub fn map(members: &str, servers: &[String], masters: &[i32]) -> String {
    let masters: Vec<_> = masters.iter().map(|master| format!("[{master}]")).collect();
    format!(
        "{{{members}\"nodeLocator\":\"vbucket\",\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\
         \"serverList\":{servers:?},\"vBucketMap\":[{}]}}}}",
        masters.join(",")
    )
}

pub fn names(mocks: &[Mock]) -> Vec<String> {
    mocks.iter().map(|mock| format!("127.0.0.1:{}", mock.port())).collect()
}

pub fn delete(vbucket: u16) -> Packet {
    Packet::request(op::DELETE).key(KEYS[usize::from(vbucket)]).status(vbucket).opaque(u32::from(vbucket))
}

/// The client deletes the key of `vbucket`.
pub fn ask(client: &mut Wire, vbucket: u16) {
    client.send(format!("delete {}\r\n", KEYS[usize::from(vbucket)]));
}

/// The request arrives, and is refused with this body.
pub fn refuses(line: &mut Wire, vbucket: u16, body: &str) {
    line.expect(delete(vbucket).bytes());
    refuse(line, vbucket, body);
}

/// The request has arrived, and is refused.
pub fn refuse(line: &mut Wire, vbucket: u16, body: &str) {
    line.send(Packet::reply(op::DELETE).status(REFUSED).opaque(u32::from(vbucket)).value(body).bytes());
}

/// The request arrives, and is carried out; the client does not want to know.
pub fn obeys_silently(line: &mut Wire, vbucket: u16) {
    line.expect(delete(vbucket).bytes());
    line.send(Packet::reply(op::DELETE).opaque(u32::from(vbucket)).bytes());
}

/// The request arrives, and is carried out.
pub fn obeys(line: &mut Wire, vbucket: u16, client: &mut Wire) {
    obeys_silently(line, vbucket);
    client.expect("DELETED\r\n");
}

pub fn with_client(mocks: &[Mock]) -> (Moxi, Wire) {
    let moxi = all_on_the_first(mocks);
    let client = moxi.client();
    (moxi, client)
}

/// What a server may not know travels alone (04 §8.6) to the next server, too: nothing is sent behind it there before it
/// is answered.
#[test]
fn what_travels_alone_does_so_again() {
    let mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0; 4]).binary().set("downstream_conn_max=1").start();
    let (mut client, mut other) = (moxi.client(), moxi.client());
    let getl = Packet::request(op::GETL).key(KEYS[0]).opaque(5);
    client.send(getl.bytes());
    let mut first = mocks[0].accept();
    first.expect(getl.bytes());
    first.send(Packet::reply(op::GETL).status(REFUSED).opaque(5).bytes());
    let mut second = mocks[1].accept();
    second.expect(getl.bytes());
    ask(&mut other, 0);
    second.expect_nothing(Duration::from_millis(100));
    second.send(Packet::reply(op::GETL).status(1).opaque(5).bytes());
    obeys(&mut second, 0, &mut other);
}

/// 03 §18: a refusal moves the request to another server, and the lesson is kept.
#[test]
fn not_my_vbucket() {
    let mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, 0]).binary().start();
    let mut client = moxi.client();
    // `foo` is in vbucket 3.
    let seen = Packet::request(op::DELETE).key("foo").status(3).opaque(3).bytes();
    client.send("delete foo\r\n");
    let mut wrong = mocks[0].accept();
    wrong.expect_piece(&seen);
    wrong.send(Packet::reply(op::DELETE).status(7).opaque(3).value("a map, perhaps").bytes());
    let mut right = mocks[1].accept();
    right.expect_piece(&seen);
    right.send(Packet::reply(op::DELETE).opaque(3).bytes());
    client.expect("DELETED\r\n");
    client.send("delete foo\r\n");
    right.expect_piece(&seen);
    right.send(Packet::reply(op::DELETE).opaque(3).bytes());
    client.expect("DELETED\r\n");
    wrong.expect_nothing(Duration::from_millis(5));
}

/// At most 2 × servers further tries, then the client is told (04 §11.4).
#[test]
fn not_my_vbucket_for_ever() {
    for (request, opcode, reply) in
        [("delete foo\r\n", op::DELETE, "SERVER_ERROR a2b not_my_vbucket\r\n"), ("get foo\r\n", op::GETK, "END\r\n")]
    {
        let mocks = Mock::several(2);
        let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, 0]).binary().start();
        let mut client = moxi.client();
        client.send(request);
        let mut lines = [None, None];
        for number in 0..5 {
            let line: &mut Wire = lines[number % 2].get_or_insert_with(|| mocks[number % 2].accept());
            line.expect_piece(Packet::request(opcode).key("foo").status(3).opaque(3).bytes());
            line.send(Packet::reply(opcode).status(7).opaque(3).bytes());
        }
        client.expect(reply);
        for line in lines.iter_mut().flatten() {
            line.expect_nothing(Duration::from_millis(5));
        }
    }
}

/// In a multi-key get only the refused keys move (04 §11.4 item 4).
#[test]
fn not_my_vbucket_in_a_multi_get() {
    let mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, 0]).binary().start();
    let mut client = moxi.client();
    client.send("get hello foo\r\n");
    let mut wrong = mocks[0].accept();
    wrong.expect_piece(join([
        Packet::request(op::GETKQ).key("hello").opaque(4),
        Packet::request(op::GETKQ).key("foo").status(3).opaque(10),
        Packet::noop(0),
    ]));
    wrong.send(join([
        Packet::reply(op::GETKQ).key("hello").opaque(4).extra32(0).value("1"),
        Packet::reply(op::GETKQ).status(7).opaque(10),
        Packet::noop_done(0),
    ]));
    let mut right = mocks[1].accept();
    right.expect_piece(join([Packet::request(op::GETKQ).key("foo").status(3).opaque(10), Packet::noop(0)]));
    right.send(join([Packet::reply(op::GETKQ).key("foo").opaque(10).extra32(0).value("22"), Packet::noop_done(0)]));
    client.expect("VALUE hello 0 1\r\n1\r\nVALUE foo 0 2\r\n22\r\nEND\r\n");
}

/// The sender of a map may stand in it without a name. What has no revision counts for the refused vbucket only.
#[test]
fn the_map_in_the_body() {
    let mocks = Mock::several(4);
    let (moxi, mut client) = with_client(&mocks);
    let mut list = names(&mocks);
    list[0] = format!("$HOST:{}", mocks[0].port());
    // In another order than moxi's.
    list.reverse();
    ask(&mut client, 3);
    let mut first = mocks[0].accept();
    refuses(&mut first, 3, &map("", &list, &[0, 0, 0, 1]));
    let mut third = mocks[2].accept();
    obeys(&mut third, 3, &mut client);
    // Kept for everybody.
    let mut other = moxi.client();
    ask(&mut other, 3);
    obeys(&mut third, 3, &mut other);
    ask(&mut client, 1);
    obeys(&mut first, 1, &mut client);
    // Back again, by the map of another server.
    ask(&mut client, 3);
    refuses(&mut third, 3, &map("", &names(&mocks), &[0; 4]));
    obeys(&mut first, 3, &mut client);
}

/// One that is newer than what is known counts for all vbuckets; one that is older or the same for the refused one.
#[test]
fn revisions() {
    let mocks = Mock::several(4);
    let (_moxi, mut client) = with_client(&mocks);
    let list = names(&mocks);
    ask(&mut client, 0);
    let mut first = mocks[0].accept();
    refuses(&mut first, 0, &map("\"rev\":5,", &list, &[1, 1, 2, 0]));
    let mut second = mocks[1].accept();
    obeys(&mut second, 0, &mut client);
    ask(&mut client, 1);
    obeys(&mut second, 1, &mut client);
    ask(&mut client, 2);
    let mut third = mocks[2].accept();
    obeys(&mut third, 2, &mut client);
    // The same revision, and an older one.
    ask(&mut client, 1);
    refuses(&mut second, 1, &map("\"rev\":5,", &list, &[3, 2, 3, 3]));
    obeys(&mut third, 1, &mut client);
    ask(&mut client, 1);
    refuses(&mut third, 1, &map("\"rev\":4,", &list, &[3, 0, 3, 3]));
    obeys(&mut first, 1, &mut client);
    ask(&mut client, 2);
    obeys(&mut third, 2, &mut client);
    // The numbering has begun again.
    ask(&mut client, 2);
    refuses(&mut third, 2, &map("\"revEpoch\":1,\"rev\":1,", &list, &[3, 3, 3, 3]));
    let mut fourth = mocks[3].accept();
    obeys(&mut fourth, 2, &mut client);
    ask(&mut client, 0);
    obeys(&mut fourth, 0, &mut client);
}

/// What is of no use is no worse than nothing: the next server is tried.
#[test]
fn bodies_of_no_use() {
    let mocks = Mock::several(3);
    let (_moxi, mut client) = with_client(&mocks);
    let list = names(&mocks);
    let stranger = vec!["127.0.0.1:1".to_owned()];
    let mut lines: Vec<Option<Wire>> = mocks.iter().map(|_| None).collect();
    for (index, body) in [
        String::new(),
        "a map, perhaps".to_owned(),
        "{\"rev\":".to_owned(),
        "{}".to_owned(),
        // Of another bucket.
        map("\"rev\":9,", &list, &[2, 2]),
        // Servers that are not known yet.
        map("\"rev\":9,", &stranger, &[0; 4]),
        // Nobody has it.
        map("\"rev\":10,", &list, &[-1; 4]),
    ]
    .into_iter()
    .enumerate()
    {
        ask(&mut client, 3);
        let refuses_it = index % 3;
        let line = lines[refuses_it].get_or_insert_with(|| mocks[refuses_it].accept());
        refuses(line, 3, &body);
        let has_it = (index + 1) % 3;
        let line = lines[has_it].get_or_insert_with(|| mocks[has_it].accept());
        obeys(line, 3, &mut client);
    }
    // Who names itself.
    ask(&mut client, 3);
    let line = lines[1].as_mut().expect("connected");
    refuses(line, 3, &map("\"rev\":11,", &list, &[1; 4]));
    obeys(lines[2].as_mut().expect("connected"), 3, &mut client);
    // The other vbuckets are where the map says.
    ask(&mut client, 0);
    obeys(lines[1].as_mut().expect("connected"), 0, &mut client);
}

/// A server's map comes before the forward map of the configuration, which is older.
#[test]
fn a_forward_map() {
    let mocks = Mock::several(4);
    let list = names(&mocks);
    let document = format!(
        "{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\"serverList\":{list:?},\"vBucketMap\":[[0],[0],[0],[0]],\
         \"vBucketMapForward\":[[2],[2],[2],[2]]}}"
    );
    let moxi = moxi!().cluster(document).binary().set("downstream_timeout=0").start();
    let mut client = moxi.client();
    ask(&mut client, 3);
    let mut first = mocks[0].accept();
    refuses(&mut first, 3, &map("", &list, &[3; 4]));
    let mut fourth = mocks[3].accept();
    obeys(&mut fourth, 3, &mut client);
    ask(&mut client, 2);
    refuses(&mut first, 2, "");
    obeys(&mut mocks[2].accept(), 2, &mut client);
}

/// The keys of a multi-key get go where the map says, together.
#[test]
fn the_keys_of_a_multi_get_move_with_the_map() {
    let mocks = Mock::several(4);
    let (_moxi, mut client) = with_client(&mocks);
    client.send("get key1 key0 key2\r\n");
    let mut first = mocks[0].accept();
    let gets = [("key1", 0, 4), ("key0", 3, 9), ("key2", 1, 14)];
    let quiet = gets.map(|(key, vbucket, at)| Packet::request(op::GETKQ).key(key).status(vbucket).opaque(at));
    first.expect(join(quiet.into_iter().chain([Packet::noop(0)])));
    let body = map("\"rev\":1,", &names(&mocks), &[3, 2, 2, 2]);
    let refusal = |at| Packet::reply(op::GETKQ).status(REFUSED).opaque(at).value(&body);
    first.send(join([refusal(4), refusal(9), refusal(14), Packet::noop_done(0)]));
    let (mut third, mut fourth) = (mocks[2].accept(), mocks[3].accept());
    fourth.expect(join([Packet::request(op::GETKQ).key("key1").opaque(4), Packet::noop(0)]));
    fourth.send(join([Packet::reply(op::GETKQ).key("key1").opaque(4).extra32(0).value("1"), Packet::noop_done(0)]));
    third.expect(join([
        Packet::request(op::GETKQ).key("key0").status(3).opaque(9),
        Packet::request(op::GETKQ).key("key2").status(1).opaque(14),
        Packet::noop(0),
    ]));
    third.send(join([Packet::reply(op::GETKQ).key("key2").opaque(14).extra32(0).value("3"), Packet::noop_done(0)]));
    client.expect("VALUE key1 0 1\r\n1\r\nVALUE key2 0 1\r\n3\r\nEND\r\n");
}

/// Quiet commands, too, and their answers stay quiet. What closes them goes to all servers and is never repeated.
#[test]
fn quiet_commands() {
    const SETQ: u8 = 0x11;
    let mocks = Mock::several(3);
    let (_moxi, mut client) = with_client(&mocks);
    let set = Packet::storing(SETQ, "key0", "1").opaque(77);
    let noop = Packet::noop(78);
    client.send(join([set.clone(), noop.clone()]));
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    let set = set.status(3);
    lines[0].expect(join([set.clone(), noop.clone()]));
    let body = map("", &names(&mocks), &[2; 4]);
    let refusal = Packet::reply(SETQ).status(REFUSED).opaque(77).value(&body);
    lines[0].send(join([refusal, Packet::noop_done(78)]));
    lines[1].expect(noop.bytes());
    lines[1].send(Packet::noop_done(78).status(REFUSED).bytes());
    lines[2].expect(noop.bytes());
    lines[2].send(Packet::noop_done(78).bytes());
    lines[2].expect(set.bytes());
    let close = lines[2].packet();
    lines[2].send(Packet::reply(close.opcode).opaque(close.opaque).bytes());
    client.expect(Packet::noop_done(78).bytes());
    for line in &mut lines {
        line.expect_nothing(Duration::from_millis(5));
    }
}

/// A refusal that says nothing makes moxi ask its cluster manager again, unless that has just spoken.
#[test]
fn the_cluster_manager_is_asked() {
    let (manager, mocks, port) = (Manager::new(), Mock::several(2), free_port());
    let behavior = format!("port_listen={port},downstream_timeout=0,connect_timeout=0");
    let url = format!("url={}", manager.url("p"));
    let moxi = Running::start(&mut launch::moxi(&["-z", &url, "-Z", &behavior, "-p", "0", "-t", "2"]));
    let mut stream = manager.stream();
    // Without a name there is nothing to authenticate with.
    let document = |master| map("\"name\":\"\",", &names(&mocks), &[master; 4]);
    stream.document(&document(0));
    drop(connect(port));
    let mut client = Wire::connect("client", port);
    ask(&mut client, 3);
    let mut first = mocks[0].accept();
    // Who says where else the key is needs no help.
    let mut second = {
        refuses(&mut first, 3, &map("", &names(&mocks), &[1; 4]));
        mocks[1].accept()
    };
    obeys(&mut second, 3, &mut client);
    let (mut holder, mut other) = (second, first);
    let mut next = loop {
        ask(&mut client, 3);
        refuses(&mut holder, 3, "");
        obeys(&mut other, 3, &mut client);
        std::mem::swap(&mut holder, &mut other);
        if let Some(next) = manager.try_accept(Duration::from_millis(20)) {
            break next;
        }
    };
    assert_eq!(next.request, stream.request);
    stream.expect_closed();
    // What is known stays in force meanwhile, and nobody is bothered again.
    for _ in 0..3 {
        ask(&mut client, 3);
        refuses(&mut holder, 3, "");
        obeys(&mut other, 3, &mut client);
        std::mem::swap(&mut holder, &mut other);
    }
    next.begin_stream();
    next.document(&document(0));
    next.document(&map("\"name\":\"\",", &names(&mocks[..1]), &[0; 4]));
    assert!(manager.try_accept(Duration::from_millis(20)).is_none());
    moxi.signal("INT");
    assert_eq!(moxi.finish().complaints(), "");
}
