use super::*;
use crate::config::snapshot::Config;
use crate::proxy::Settings;
use crate::proxy::downstream::hands::{self, connects, says, takes};
use crate::proxy::downstream::host::HealthTable;

/// A configuration with a server of this name, which speaks ASCII.
fn config(server: &str) -> Config {
    hands::config(server, "downstream_protocol=ascii")
}

fn answers(engine: &mut Engine, id: ConnId, asked: &[u8], reply: &[u8]) {
    takes(engine, id, asked);
    says(engine, id, reply);
}

/// A client that gets `key` in binary.
fn asks(engine: &mut Engine, key: &[u8]) {
    hands::asks(engine, &get(key));
}

fn engine(server: &str, health: &HealthTable) -> Engine {
    Engine::new(&config(server), health, Settings { requests_per_turn: 20, binding: None })
}

#[test]
fn who_waits_for_a_server_that_leaves_the_configuration_goes_on_with_another() {
    let health = HealthTable::default();
    let mut engine = engine("before", &health);
    asks(&mut engine, b"k");
    let asked = connects(&mut engine);
    let [(id, name)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(name, "before");
    engine.connected(*id);
    engine.reconfigure(&config("after"), &health);
    answers(&mut engine, *id, b"mn\r\n", b"MN\r\n");
    answers(&mut engine, *id, b"version\r\n", b"VERSION 1.6.18\r\n");
    let asked = connects(&mut engine);
    assert!(matches!(&asked[..], [(_, name)] if name == "after"), "{asked:?}");
}

#[test]
fn a_server_that_knows_no_meta_commands_is_not_taken_for_another_when_that_is_forgotten() {
    let health = HealthTable::default();
    let mut engine = engine("server", &health);
    let connected = |engine: &mut Engine| connects(engine).first().map(|(id, _)| *id).expect("a connection");
    asks(&mut engine, b"k");
    let id = connected(&mut engine);
    engine.connect_failed(id, "refused");
    let other = connected(&mut engine);
    // That key can only be told in a meta command: both questions go before it.
    asks(&mut engine, b"a b");
    let id = connected(&mut engine);
    engine.connected(id);
    let (output, limit) = engine.conn_output(id).expect("questions");
    assert_eq!(output.contiguous(limit), Some(&b"mn\r\nversion\r\n"[..]));
    engine.conn_sent(id, limit as usize);
    // It is given up, so nothing stands behind the questions any more.
    engine.set_time(250_000);
    assert!(connects(&mut engine).is_empty());
    says(&mut engine, id, b"ERROR\r\n");
    engine.conn_closed(other);
    says(&mut engine, id, b"VERSION 1.6.18\r\n");
    asks(&mut engine, b"k");
    answers(&mut engine, id, b"gets k\r\n", b"END\r\n");
}

/// Servers that lose connections all the time would keep a request for all of them for ever.
#[test]
fn a_request_waits_once_for_what_a_server_knows() {
    let health = HealthTable::default();
    let mut engine = engine("one:1,two", &health);
    let noop = b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0";
    let client = hands::asks(&mut engine, noop);
    let asked = connects(&mut engine);
    let [(one, _), (two, _)] = &asked[..] else { panic!("{asked:?}") };
    engine.connected(*one);
    engine.connected(*two);
    answers(&mut engine, *one, b"mn\r\n", b"MN\r\n");
    answers(&mut engine, *one, b"version\r\n", b"VERSION 1.6.18\r\n");
    // What was learned is forgotten before the other answer comes.
    engine.conn_closed(*one);
    answers(&mut engine, *two, b"mn\r\n", b"ERROR\r\n");
    let asked = connects(&mut engine);
    let [(one, _)] = &asked[..] else { panic!("{asked:?}") };
    engine.connected(*one);
    answers(&mut engine, *one, b"version\r\n", b"VERSION 1.6.18\r\n");
    answers(&mut engine, *two, b"version\r\n", b"VERSION 1.6.18\r\n");
    assert!(engine.client_output(client).is_some_and(|(output, _)| output.unsent() > 0), "an answer");
}

/// The question stands behind a request that is not answered, and need not be.
#[test]
fn a_request_waits_no_longer_for_what_a_server_knows_than_in_its_queue() {
    let settings = "downstream_protocol=ascii,downstream_conn_max=1,downstream_timeout=0";
    let config = hands::config("server", settings);
    let settings = Settings { requests_per_turn: 20, binding: None };
    let mut engine = Engine::new(&config, &HealthTable::default(), settings);
    hands::asks(&mut engine, b"get x\r\n");
    let id = connects(&mut engine).first().map(|(id, _)| *id).expect("a connection");
    engine.connected(id);
    takes(&mut engine, id, b"get x\r\n");
    let get = b"\x80\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0\0k";
    let meta = b"mg k v\r\n";
    let clients = [&get[..], meta].map(|request| hands::asks(&mut engine, request));
    // 200 ms for the question, and again for the request itself.
    for (time, is_answered) in [(0, false), (199, false), (200, false), (399, false), (400, true)] {
        engine.set_time(time * 1_000);
        engine.turn(&mut Vec::new());
        for client in clients {
            let (output, _) = engine.client_output(client).expect("a client");
            assert_eq!(output.unsent() > 0, is_answered, "after {time} ms");
        }
    }
}

#[test]
fn who_has_not_answered_is_asked_again_a_minute_later() {
    let settings = Settings { requests_per_turn: 20, binding: None };
    let binary = hands::config("server", "downstream_protocol=binary,downstream_timeout=0");
    let mut engine = Engine::new(&binary, &HealthTable::default(), settings);
    let client = engine.add_client(0).expect("a client");
    // It closes the connection, or says nothing at all on it.
    for (time, is_asked) in [(0, true), (59, false), (61, true), (120, false), (123, true)] {
        engine.set_time(time * 1_000_000);
        let asks = b"mg k t\r\n";
        engine.client_space(client).expect("room")[..asks.len()].copy_from_slice(asks);
        engine.client_filled(client, asks.len());
        let asked = connects(&mut engine);
        assert_eq!(asked.len(), usize::from(is_asked), "after {time} seconds");
        if let [(id, _)] = asked[..] {
            engine.connected(id);
            let (output, limit) = engine.conn_output(id).expect("a question");
            assert_eq!(output.contiguous(limit), Some(&meta::WHOLE_QUESTION[..]));
            engine.conn_sent(id, meta::WHOLE_QUESTION.len());
            if time == 61 {
                engine.set_time((time + 1) * 1_000_000);
            } else {
                engine.conn_closed(id);
            }
            engine.turn(&mut Vec::new());
        }
        let (output, limit) = engine.client_output(client).expect("an answer");
        let answer = output.contiguous(limit).expect("one piece").to_vec();
        assert_eq!(answer, b"CLIENT_ERROR unsupported flag t with these servers\r\n", "after {time} seconds");
        engine.client_sent(client, answer.len());
    }
}

/// A get of `key` in binary, with this opaque.
fn get(key: &[u8]) -> Vec<u8> {
    let length = key.len() as u8;
    [&[0x80, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0], key].concat()
}

/// As if it had been known before.
#[test]
fn what_a_server_turns_out_not_to_know_is_refused() {
    let refused = b"\x81\0\0\0\0\0\0\x04\0\0\0\x11\0\0\0\x05\0\0\0\0\0\0\0\0Invalid arguments";
    let unsupported = b"CLIENT_ERROR unsupported flag b with these servers\r\n";
    for (request, reply) in [(get(b"a b"), &refused[..]), (b"mg YSBi b v\r\n".to_vec(), unsupported)] {
        let mut engine = engine("server", &HealthTable::default());
        let connected = |engine: &mut Engine| connects(engine).first().map(|(id, _)| *id).expect("a connection");
        asks(&mut engine, b"k");
        let id = connected(&mut engine);
        engine.connect_failed(id, "refused");
        connected(&mut engine);
        let client = hands::asks(&mut engine, &request);
        let id = connected(&mut engine);
        engine.connected(id);
        takes(&mut engine, id, b"mn\r\nversion\r\n");
        says(&mut engine, id, b"ERROR\r\n");
        engine.turn(&mut Vec::new());
        let (output, limit) = engine.client_output(client).expect("an answer");
        assert_eq!(output.contiguous(limit).map(String::from_utf8_lossy), Some(String::from_utf8_lossy(reply)));
    }
}

/// However often what was written has to be written otherwise: nobody but moxi is to blame, and nothing was sent.
#[test]
fn what_is_not_sent_for_another_dialect_is_not_tried() {
    let with = |conns: u32| {
        let settings = format!("downstream_protocol=ascii,downstream_retry=0,downstream_conn_max={conns}");
        hands::config("server", &settings)
    };
    let health = HealthTable::default();
    let mut engine = Engine::new(&with(3), &health, Settings { requests_per_turn: 20, binding: None });
    let connected = |engine: &mut Engine| connects(engine).first().map(|(id, _)| *id).expect("a connection");
    asks(&mut engine, b"k");
    let id = connected(&mut engine);
    engine.connected(id);
    answers(&mut engine, id, b"mn\r\n", b"MN\r\n");
    answers(&mut engine, id, b"version\r\n", b"VERSION 1.6.18\r\n");
    engine.turn(&mut Vec::new());
    answers(&mut engine, id, b"mg k v f c\r\n", b"EN\r\n");
    hands::asks(&mut engine, b"get x\r\n");
    takes(&mut engine, id, b"get x\r\n");
    let mut others = [b"a", b"b"].map(|key| {
        let client = hands::asks(&mut engine, &get(key));
        (client, connected(&mut engine))
    });
    // Another version may take its place. There is room for one connection only.
    engine.conn_closed(id);
    engine.reconfigure(&with(1), &health);
    others.sort_unstable();
    let [(_, first), (_, second)] = others;
    engine.connected(first);
    assert_eq!(connects(&mut engine), []);
    engine.connected(second);
    let id = connected(&mut engine);
    engine.connected(id);
    answers(&mut engine, id, b"mn\r\nversion\r\n", b"MN\r\nVERSION 1.6.18\r\n");
    answers(&mut engine, id, b"mg b v f c\r\nmg a v f c\r\n", b"EN\r\nEN\r\n");
    for (client, _) in others {
        let (output, limit) = engine.client_output(client).expect("an answer");
        let status = output.contiguous(limit).map(|packet| packet[6..8].to_vec());
        assert_eq!(status, Some(vec![0, 1]));
    }
}

/// Server "before" leaves the configuration while a connection to it is idle that it was asked on (`is_idle`), or before it is,
/// and comes back. Gives what is written first for a client that gets `k` in binary then.
fn written_after_coming_back(is_busy: bool, is_idle: bool) -> Vec<u8> {
    let health = HealthTable::default();
    let mut engine = engine("before", &health);
    let connected = |engine: &mut Engine| connects(engine).first().map(|(id, _)| *id).expect("a connection");
    asks(&mut engine, b"k");
    let id = connected(&mut engine);
    engine.connected(id);
    answers(&mut engine, id, b"mn\r\n", b"ERROR\r\n");
    engine.turn(&mut Vec::new());
    // Something stands on another connection, or waits for one that is not made yet.
    takes(&mut engine, id, b"gets k\r\n");
    hands::asks(&mut engine, b"get x\r\n");
    let other = connected(&mut engine);
    if is_busy {
        engine.connected(other);
        takes(&mut engine, other, b"get x\r\n");
    }
    if is_idle {
        says(&mut engine, id, b"END\r\n");
    }
    engine.reconfigure(&config("after"), &health);
    if !is_idle {
        says(&mut engine, id, b"END\r\n");
    }
    assert!(engine.downstream.conns.get(id).is_none(), "it is closed");
    engine.reconfigure(&config("before"), &health);
    if !is_busy {
        engine.connected(other);
        takes(&mut engine, other, b"get x\r\n");
    }
    says(&mut engine, other, b"END\r\n");
    asks(&mut engine, b"k");
    engine.turn(&mut Vec::new());
    let (output, limit) = engine.conn_output(other).expect("something to be sent");
    output.contiguous(limit).expect("one piece").to_vec()
}

/// It is the same server: moxi has closed the connection, and another one is there.
#[test]
fn what_a_server_knows_is_not_forgotten_when_moxi_closes_one_connection_of_several() {
    for is_idle in [true, false] {
        assert_eq!(written_after_coming_back(true, is_idle), b"gets k\r\n");
    }
}

/// Nobody would have noticed that another version has come to its place.
#[test]
fn what_a_server_knows_is_forgotten_with_its_last_connection() {
    for is_idle in [true, false] {
        assert_eq!(written_after_coming_back(false, is_idle), b"mn\r\n");
    }
}
