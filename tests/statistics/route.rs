//! `stats proxy route KEY` (06 §17): where a key goes, and why.

use crate::launch::free_port;
use crate::proxy_stats::lines;
use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Memcached, Mock, Wire, moxi};

/// What is said of a key, names without port and bucket.
fn route(client: &mut Wire, key: &str) -> Vec<(String, String)> {
    let named = |(name, value): (String, String)| {
        let name = name.split_once(":route:").unwrap_or_else(|| panic!("{name}")).1;
        (name.to_owned(), value)
    };
    lines(client, &format!(" route {key}")).into_iter().map(named).collect()
}

fn said(client: &mut Wire, key: &str, name: &str) -> String {
    let all = route(client, key);
    all.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}: {all:?}")).1.clone()
}

#[test]
fn a_key_is_where_it_is_said_to_be() {
    let mocks = Mock::several(3);
    let moxi = moxi!().servers(mocks.iter().map(Mock::port)).ascii().start();
    let mut client = moxi.client();
    for key in ["a", "b", "c", "d", "e"] {
        let server = said(&mut client, key, "server");
        let port: u16 = server.rsplit_once(':').expect("a port").1.parse().expect("a number");
        let mock = mocks.iter().find(|mock| mock.port() == port).expect("one of them");
        let mut client = moxi.client();
        client.send(format!("get {key}\r\n"));
        let mut server = mock.accept();
        server.expect_piece(format!("get {key}\r\n"));
        server.send("END\r\n");
        client.expect_piece("END\r\n");
        server.close();
    }
    let names: Vec<String> = route(&mut client, "a").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["key", "by", "vbucket", "server", "server_state", "configured", "learned", "front_cache"]);
    assert_eq!((said(&mut client, "a", "by"), said(&mut client, "a", "vbucket")), ("ketama".into(), "none".into()));
}

/// By another hash, if the configuration names it; by the client's word alone with `-X`.
#[test]
fn what_decides_is_said() {
    let moxi = moxi!().servers([free_port(), free_port()]).set("mcs_opts=distribution:modula").start();
    assert_eq!(said(&mut moxi.client(), "a", "by"), "modula");
    let moxi = moxi!().mcmux().start();
    let mut client = moxi.client();
    assert_eq!(["by", "server", "front_cache"].map(|name| said(&mut client, "a", name)), ["client", "none", "off"]);
}

#[test]
fn a_vbucket_has_replicas_and_may_have_moved() {
    let mocks = Mock::several(2);
    let [first, second] = [&mocks[0], &mocks[1]].map(|mock| format!("127.0.0.1:{}", mock.port()));
    let body = format!(
        "{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":1,\"serverList\":[\"{first}\",\"{second}\"],\
         \"vBucketMap\":[[0,1]]}}"
    );
    let moxi = moxi!().cluster(body).start();
    let mut client = moxi.client();
    let all = |client: &mut Wire| ["vbucket", "server", "configured", "learned"].map(|name| said(client, "a", name));
    let now = all(&mut client);
    assert_eq!(now, ["0", first.as_str(), first.as_str(), "none"]);
    client.send("get a\r\n");
    let mut server = mocks[0].accept();
    let asked = server.packet();
    server.send(Packet::reply(asked.opcode).status(7).opaque(asked.opaque).bytes());
    let mut other = mocks[1].accept();
    let asked = other.packet();
    other.send(Packet::reply(asked.opcode).status(1).opaque(asked.opaque).bytes());
    client.expect_piece("END\r\n");
    assert_eq!(all(&mut client), ["0", second.as_str(), first.as_str(), second.as_str()]);
    assert_eq!(said(&mut client, "a", "by"), "vbucket");
}

#[test]
fn whether_the_front_cache_has_it() {
    let server = Memcached::start(&[]);
    let builder = moxi!().servers([server.port()]).ascii().threads(2);
    let cached = "front_cache_max=10,front_cache_lifespan=60000,front_cache_spec=c";
    let moxi = builder.clone().set(cached).start();
    let mut clients = [moxi.client(), moxi.client()];
    assert_eq!(said(&mut clients[0], "cold", "front_cache"), "no");
    assert_eq!(said(&mut clients[0], "x", "front_cache"), "excluded");
    clients[0].ask("set cold 0 0 1\r\n1\r\n", "STORED\r\n");
    clients[0].ask("get cold\r\n", "VALUE cold 0 1\r\n1\r\nEND\r\n");
    // It is one for all workers, and asking is no look-up that counts.
    for client in &mut clients {
        assert_eq!(said(client, "cold", "front_cache"), "yes");
    }
    clients[1].send("stats proxy frontcache\r\n");
    let mut text = String::new();
    while !text.ends_with("END\r\n") {
        text.push_str(&String::from_utf8(clients[1].line()).expect("text"));
    }
    assert!(text.contains("tot_get_hits 0\r\n") && text.contains("tot_get_misses 1\r\n"), "{text}");
    assert_eq!(said(&mut builder.start().client(), "cold", "front_cache"), "off");
}

#[test]
fn what_is_no_key_is_refused() {
    let moxi = moxi!().servers([free_port()]).start();
    let (mut client, mut binary) = (moxi.client(), moxi.client());
    let complaint = "CLIENT_ERROR stats proxy route takes a key of 1 to 250 bytes";
    for key in ["", &format!(" {}", "k".repeat(251))] {
        client.ask(format!("stats proxy route{key}\r\n"), format!("{complaint}\r\n"));
    }
    client.ask("stats proxy route a b\r\n", "ERROR\r\n");
    binary.send(Packet::request(op::STAT).key("proxy route").bytes());
    let packet = binary.packet();
    assert_eq!((packet.status, String::from_utf8_lossy(&packet.value).into_owned()), (4, complaint.to_owned()));
    binary.send(Packet::request(op::STAT).key("proxy route a b").bytes());
    let packet = binary.packet();
    assert_eq!(packet.key, format!("{}:default:route:key", moxi.port()).as_bytes());
    assert_eq!(packet.value, b"a b");
}
