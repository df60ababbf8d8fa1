//! Requests that were refused and are sent again (03 §18): nothing of the same client comes before them, whoever learns of
//! the other server, and however.

use std::time::Duration;

use crate::launch::{self, Running, connect, free_port};
use crate::refusals::{KEYS, REFUSED, ask, delete, map, names, obeys, obeys_silently, refuse, refuses, with_client};
use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Manager, Mock, Wire, moxi};

/// From the second round on there is a pause; what the client sends meanwhile stays behind.
#[test]
fn later_requests_wait_while_one_pauses() {
    let mocks = Mock::several(1);
    let behavior = ["downstream_timeout=0", "downstream_conn_max=1"];
    let moxi = moxi!().vbuckets([mocks[0].port()], &[0; 4]).binary().set(behavior.join(",")).start();
    let (mut client, mut other) = (moxi.client(), moxi.client());
    ask(&mut client, 3);
    let mut line = mocks[0].accept();
    line.expect(delete(3).bytes());
    ask(&mut other, 2);
    line.expect(delete(2).bytes());
    // With the second answer the first one has been seen, too.
    line.send(join([Packet::reply(op::DELETE).status(REFUSED).opaque(3), Packet::reply(op::DELETE).opaque(2)]));
    other.expect("DELETED\r\n");
    ask(&mut client, 0);
    ask(&mut client, 1);
    obeys(&mut line, 3, &mut client);
    obeys(&mut line, 0, &mut client);
    obeys(&mut line, 1, &mut client);
}

/// A client's requests for one vbucket stay in order: the second is sent again when the first has been answered.
#[test]
fn refused_requests_are_sent_again_one_by_one() {
    let mocks = Mock::several(2);
    let (_moxi, mut client) = with_client(&mocks);
    client.send("delete key0\r\ndelete key0 noreply\r\nget key0\r\n");
    let mut first = mocks[0].accept();
    let get = Packet::request(op::GETK).key(KEYS[3]).status(3).opaque(3);
    first.expect(join([delete(3), delete(3), get.clone()]));
    let refusal = |code| Packet::reply(code).status(REFUSED).opaque(3);
    first.send(join([refusal(op::DELETE), refusal(op::DELETE), refusal(op::GETK)]));
    let mut second = mocks[1].accept();
    second.expect(delete(3).bytes());
    second.expect_nothing(Duration::from_millis(5));
    // Not even its own vbucket's next refusal lets a later one pass.
    refuse(&mut second, 3, "");
    first.expect(delete(3).bytes());
    first.expect_nothing(Duration::from_millis(5));
    first.send(Packet::reply(op::DELETE).opaque(3).bytes());
    client.expect("DELETED\r\n");
    obeys_silently(&mut first, 3);
    first.expect(get.bytes());
    first.send(Packet::reply(op::GETK).status(1).opaque(3).bytes());
    client.expect("END\r\n");
}

/// What another client's refusal has taught does not let a request overtake one that is under way.
#[test]
fn nothing_overtakes_when_another_client_learns() {
    let mocks = Mock::several(2);
    let (moxi, mut client) = with_client(&mocks);
    let mut other = moxi.client();
    ask(&mut client, 3);
    let mut first = mocks[0].accept();
    first.expect(delete(3).bytes());
    ask(&mut other, 3);
    let mut third = mocks[0].accept();
    refuses(&mut third, 3, "");
    let mut second = mocks[1].accept();
    obeys(&mut second, 3, &mut other);
    ask(&mut client, 3);
    second.expect_nothing(Duration::from_millis(20));
    refuse(&mut first, 3, "");
    obeys(&mut second, 3, &mut client);
    obeys(&mut second, 3, &mut client);
}

/// Nor does another document.
#[test]
fn nothing_overtakes_when_the_map_changes() {
    let (manager, mocks, port) = (Manager::new(), Mock::several(2), free_port());
    let behavior = format!("port_listen={port},downstream_timeout=0,connect_timeout=0");
    let url = format!("url={}", manager.url("p"));
    let _moxi = Running::start(&mut launch::moxi(&["-z", &url, "-Z", &behavior, "-p", "0", "-t", "1"]));
    let mut stream = manager.stream();
    let document = |master| map("\"name\":\"\",", &names(&mocks), &[master; 4]);
    stream.document(&document(0));
    drop(connect(port));
    let (mut client, mut other) = (Wire::connect("client", port), Wire::connect("other", port));
    ask(&mut client, 3);
    let mut first = mocks[0].accept();
    first.expect(delete(3).bytes());
    stream.document(&document(1));
    // As soon as the document counts, others are served by it.
    let mut second = loop {
        ask(&mut other, 2);
        if let Some(second) = mocks[1].try_accept(Duration::from_millis(20)) {
            break second;
        }
        obeys(&mut mocks[0].accept(), 2, &mut other);
    };
    obeys(&mut second, 2, &mut other);
    ask(&mut client, 3);
    second.expect_nothing(Duration::from_millis(20));
    first.send(Packet::reply(op::DELETE).opaque(3).bytes());
    client.expect("DELETED\r\n");
    obeys(&mut second, 3, &mut client);
}

/// A multi-key get asks again for its keys before what the client has sent behind it, and its values are in order.
#[test]
fn a_multi_get_comes_before_later_requests() {
    let mocks = Mock::several(3);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[1, 0, 0, 0]).binary().set("downstream_timeout=0");
    let moxi = moxi.start();
    let mut client = moxi.client();
    client.send("get key2 key0 key3 key1\r\ndelete key0\r\n");
    let (mut first, mut second) = (mocks[0].accept(), mocks[1].accept());
    let get = |key: &str, vbucket, at| Packet::request(op::GETKQ).key(key).status(vbucket).opaque(at);
    let value = |key: &str, at| Packet::reply(op::GETKQ).key(key).opaque(at).extra32(0).value(&key[3..]);
    let (close, closed) = (Packet::noop(0), Packet::noop_done(0));
    first.expect(join([get("key2", 1, 4), get("key0", 3, 9), get("key3", 2, 14), close.clone(), delete(3)]));
    second.expect(join([get("key1", 0, 19), close.clone()]));
    let body = map("\"rev\":1,", &names(&mocks), &[1, 0, 0, 2]);
    first.send(join([
        value("key2", 4),
        Packet::reply(op::GETKQ).status(REFUSED).opaque(9).value(&body),
        value("key3", 14),
        closed.clone(),
        Packet::reply(op::DELETE).status(REFUSED).opaque(3).value(&body),
    ]));
    mocks[2].expect_no_connection(Duration::from_millis(20));
    second.send(join([value("key1", 19), closed.clone()]));
    let mut third = mocks[2].accept();
    third.expect(join([get("key0", 3, 9), close]));
    third.expect_nothing(Duration::from_millis(5));
    third.send(join([value("key0", 9), closed]));
    client
        .expect("VALUE key2 0 1\r\n2\r\nVALUE key0 0 1\r\n0\r\nVALUE key3 0 1\r\n3\r\nVALUE key1 0 1\r\n1\r\nEND\r\n");
    obeys(&mut third, 3, &mut client);
}

/// Each packet of a group may be refused as often as a request of its own.
#[test]
fn many_quiet_commands() {
    const DELETEQ: u8 = 0x14;
    let mocks = Mock::several(2);
    let (_moxi, mut client) = with_client(&mocks);
    let group =
        |vbucket| (0..20).map(move |opaque| Packet::request(DELETEQ).key("key0").status(vbucket).opaque(opaque));
    let noop = Packet::noop(78);
    client.send(join(group(0).chain([noop.clone()])));
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    lines[0].expect(join(group(3).chain([noop.clone()])));
    let refusals = (0..20).map(|opaque| Packet::reply(DELETEQ).status(REFUSED).opaque(opaque));
    lines[0].send(join(refusals.chain([Packet::noop_done(78)])));
    lines[1].expect(noop.bytes());
    lines[1].send(Packet::noop_done(78).bytes());
    lines[1].expect(join(group(3)));
    let close = lines[1].packet();
    lines[1].send(Packet::reply(close.opcode).opaque(close.opaque).bytes());
    client.expect(Packet::noop_done(78).bytes());
}

/// What was answered behind a refused packet is told behind its answer (04 §8.3).
#[test]
fn quiet_answers_stay_in_order_although_one_was_refused() {
    let mocks = Mock::several(2);
    let (_moxi, mut client) = with_client(&mocks);
    let count = Packet::counting(op::INCRQ, "key0", 1, 0, u32::MAX).opaque(1);
    let get = Packet::request(op::GETQ).key("key0").opaque(2);
    let hit = Packet::reply(op::GETQ).opaque(2).extra32(0).value("2");
    let noop = Packet::noop(78);
    client.send(join([count.clone(), get.clone(), noop.clone()]));
    let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
    lines[0].expect(join([count.clone().status(3), get.status(3), noop.clone()]));
    let refusal = Packet::reply(op::INCRQ).status(REFUSED).opaque(1);
    lines[0].send(join([refusal, hit.clone(), Packet::noop_done(78)]));
    lines[1].expect(noop.bytes());
    lines[1].send(Packet::noop_done(78).bytes());
    lines[1].expect(count.status(3).bytes());
    let close = lines[1].packet();
    let missing = Packet::reply(op::INCRQ).status(1).opaque(1);
    lines[1].send(join([missing.clone(), Packet::reply(close.opcode).opaque(close.opaque)]));
    client.expect(join([missing, hit, Packet::noop_done(78)]));
}

/// What cannot be sent again fails behind the answer to what was before it.
#[test]
fn quiet_answers_stay_in_order_although_some_are_sent_again() {
    let mocks = Mock::several(1);
    let moxi = moxi!().vbuckets([mocks[0].port()], &[0; 4]).binary().set("downstream_timeout=0").start();
    let mut client = moxi.client();
    let get = Packet::request(op::GETQ).key("key0").opaque(1);
    let count = Packet::counting(op::INCRQ, "key0", 1, 0, u32::MAX).opaque(2);
    client.send(join([get.clone(), count.clone(), Packet::noop(78)]));
    let mut line = mocks[0].accept();
    line.expect(join([get.clone().status(3), count.status(3), Packet::noop(78)]));
    drop(line);
    let mut line = mocks[0].accept();
    line.expect(get.status(3).bytes());
    let close = line.packet();
    let hit = Packet::reply(op::GETQ).opaque(1).extra32(0).value("1");
    line.send(join([hit.clone(), Packet::reply(close.opcode).opaque(close.opaque)]));
    client.expect(hit.bytes());
    let failed = client.packet();
    assert_eq!((failed.opcode, failed.opaque), (op::INCRQ, 2));
    assert_eq!(client.packet().opaque, 78);
}

/// What travels alone cannot bring the answers to the quiet packets before it; not to the next server either.
#[test]
fn quiet_packets_have_an_end_of_their_own_before_what_travels_alone() {
    let mocks = Mock::several(2);
    let (_moxi, mut client) = with_client(&mocks);
    let quiet = Packet::request(op::GETQ).key("key0").opaque(1);
    let alone = Packet::request(op::UNL).key("key0").opaque(2);
    client.send(join([quiet.clone(), alone.clone()]));
    let (close, closed) = (Packet::noop(0), Packet::noop_done(0));
    let asked = |line: &mut Wire, status: u16| {
        line.expect(join([quiet.clone().status(3), close.clone()]));
        let said = Packet::reply(op::GETQ).status(status).opaque(1);
        // A quiet miss is silent.
        line.send(join((status == REFUSED).then_some(said).into_iter().chain([closed.clone()])));
        line.expect(alone.clone().status(3).bytes());
        line.send(Packet::reply(op::UNL).status(status).opaque(2).bytes());
    };
    asked(&mut mocks[0].accept(), REFUSED);
    asked(&mut mocks[1].accept(), 0);
    client.expect(Packet::reply(op::UNL).opaque(2).bytes());
}

/// One key's vbucket has no master: what is refused of the others is asked for elsewhere all the same (03 §10.3).
#[test]
fn refused_keys_are_asked_for_again_although_another_has_no_server() {
    let mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[0, 0, 0, -1]).binary().set("downstream_timeout=0");
    let moxi = moxi.start();
    let mut client = moxi.client();
    client.send("get key1 key0\r\n");
    let get = Packet::request(op::GETKQ).key("key1").opaque(4);
    let (asked, closed) = (join([get, Packet::noop(0)]), Packet::noop_done(0));
    let (mut first, value) = (mocks[0].accept(), Packet::reply(op::GETKQ).key("key1").opaque(4).extra32(0).value("1"));
    first.expect(&asked);
    first.send(join([Packet::reply(op::GETKQ).status(REFUSED).opaque(4), closed.clone()]));
    let mut second = mocks[1].accept();
    second.expect(&asked);
    second.send(join([value, closed]));
    client.expect("VALUE key1 0 1\r\n1\r\nEND\r\n");
}

/// What was refused waits for all else of its request to be answered: also for what is to be sent again when a server is through
/// with a connection that was closed, and then cannot be.
#[test]
fn what_waits_for_a_server_that_is_left_alone() {
    let mut mocks = Mock::several(2);
    let moxi = moxi!().vbuckets(mocks.iter().map(Mock::port), &[1, 0, 0, 0]).binary();
    let behavior =
        "downstream_timeout=0,downstream_conn_queue_timeout=0,connect_max_errors=1,connect_retry_interval=600000";
    let moxi = moxi.set(behavior).start();
    let (mut client, mut other) = (moxi.client(), moxi.client());
    let set = |code, vbucket: u16| {
        let key = KEYS[usize::from(vbucket)];
        Packet::request(code).key(key).status(vbucket).opaque(vbucket.into()).extras([0; 8]).value("v")
    };
    client.send(join([set(op::SETQ, 3), set(op::SET, 0)]));
    let mut second = mocks[1].accept();
    second.expect(set(op::SET, 0).bytes());
    let mut first = mocks[0].accept();
    first.expect(join([set(op::SETQ, 3), Packet::noop(0)]));
    first.send(join([Packet::reply(op::SETQ).status(REFUSED).opaque(3), Packet::noop_done(0)]));
    // With this answer the refusal has been seen, too.
    ask(&mut other, 2);
    obeys(&mut first, 2, &mut other);
    let down = mocks.pop().expect("a server").down();
    second.send("no packet, but at least 24 bytes");
    second.expect_closed();
    ask(&mut other, 0);
    other.expect("SERVER_ERROR proxy write to downstream 127.0.0.1\r\n");
    drop(second);
    let failed = |code, vbucket: u16| {
        Packet::reply(code).status(0x84).opaque(vbucket.into()).value("SERVER_ERROR proxy write to downstream\r\n")
    };
    client.expect(join([failed(op::SETQ, 3), failed(op::SET, 0)]));
    drop(down);
}
