//! Lists of keys of memcached from 1.6.43 on, which have a line `OK` before them (memcached #667).

use moxi_test_support::{Mock, Wire, moxi};

#[test]
fn a_greeting_stands_before_a_list_once() {
    const ALL: &str = "lru_crawler metadump all\r\n";
    const MG: &str = "lru_crawler mgdump 1,2\r\n";
    let (a, b) = ("key=a exp=-1\n", "key=b exp=-1\n");
    for (request, says, gets) in [
        (ALL, ["OK\r\nkey=a exp=-1\nEND\r\n", "OK\r\nkey=b exp=-1\nEND\r\n"], format!("OK\r\n{a}{b}END\r\n")),
        (ALL, ["OK\r\nEND\r\n", "OK\r\nEND\r\n"], "OK\r\nEND\r\n".to_owned()),
        // Of servers old and new the one that answers first decides.
        (ALL, ["key=a exp=-1\nEND\r\n", "OK\r\nkey=b exp=-1\nEND\r\n"], format!("{a}{b}END\r\n")),
        (ALL, ["OK\r\nkey=a exp=-1\nEND\r\n", "key=b exp=-1\nEND\r\n"], format!("OK\r\n{a}{b}END\r\n")),
        (MG, ["OK\r\nmg a\r\nEN\r\n", "OK\r\nmg Yg== b\r\nEN\r\n"], "OK\r\nmg a\r\nmg Yg== b\r\nEN\r\n".to_owned()),
        (ALL, ["BUSY now\r\n", "BUSY now\r\n"], "BUSY now\r\n".to_owned()),
        (
            ALL,
            ["OK\r\nkey=a exp=-1\nEND\r\n", "BUSY now\r\n"],
            format!("OK\r\n{a}SERVER_ERROR BUSY now: no complete list from SECOND\r\n"),
        ),
        // A second one is none, and where there is no crawler there is none at all.
        (
            ALL,
            ["OK\r\nOK\r\n", "OK\r\nkey=b exp=-1\nEND\r\n"],
            format!("OK\r\n{b}SERVER_ERROR OK: no complete list from FIRST\r\n"),
        ),
        (
            "stats cachedump 1 0\r\n",
            ["OK\r\n", "ITEM b [1 b; 0 s]\r\nEND\r\n"],
            "ITEM b [1 b; 0 s]\r\nSERVER_ERROR OK: no complete list from FIRST\r\n".to_owned(),
        ),
    ] {
        println!("{request:?} {says:?}");
        let mocks = Mock::several(2);
        let moxi = moxi!().servers(mocks.iter().map(Mock::port)).ascii().set("downstream_retry=0").start();
        let mut client = moxi.client();
        client.send(request);
        let mut lines: Vec<Wire> = mocks.iter().map(Mock::accept).collect();
        for (line, says) in lines.iter_mut().zip(says) {
            line.expect(request);
            line.send(says);
            moxi.turn();
        }
        let gets = gets.replace("FIRST", &format!("127.0.0.1:{}", mocks[0].port()));
        client.expect(gets.replace("SECOND", &format!("127.0.0.1:{}", mocks[1].port())));
        client.send("version\r\n");
        assert!(client.line().starts_with(b"VERSION"));
    }
}
