//! Servers that cannot be found, go away, or answer too late.

use std::time::Duration;

use moxi_test_support::{Memcached, Mock, PROTOCOLS, moxi};

/// A name that leads nowhere among the servers: gets of one key and of several end, and the others' keys are found
/// (twemproxy #596, mcrouter #45).
#[test]
fn a_name_that_leads_nowhere() {
    let server = Memcached::start(&[]);
    for protocol in PROTOCOLS {
        let list = format!("127.0.0.1:{},no-such-host.invalid:11211", server.port());
        let moxi = moxi!().cluster(list).speaking(protocol).set("mcs_opts=distribution:modula").start();
        let mut client = moxi.client();
        let mut stored = Vec::new();
        for number in 0..20 {
            client.send(format!("set key{number} 0 0 1\r\nx\r\n"));
            let line = client.line();
            if line == b"STORED\r\n" {
                stored.push(format!("key{number}"));
            } else {
                assert!(line.starts_with(b"SERVER_ERROR proxy write to downstream"), "{}", line.escape_ascii());
            }
        }
        assert!(!stored.is_empty() && stored.len() < 20, "both have keys: {stored:?}");
        for number in 0..20 {
            let key = format!("key{number}");
            let value = if stored.contains(&key) { format!("VALUE {key} 0 1\r\nx\r\n") } else { String::new() };
            client.ask(format!("get {key}\r\n"), format!("{value}END\r\n"));
        }
        client.send((0..20).fold("get".to_owned(), |line, number| format!("{line} key{number}")) + "\r\n");
        let mut found = Vec::new();
        loop {
            let line = String::from_utf8(client.line()).expect("text");
            let Some(rest) = line.strip_prefix("VALUE ") else {
                assert_eq!(line, "END\r\n");
                break;
            };
            found.push(rest.split(' ').next().expect("a key").to_owned());
            client.expect("x\r\n");
        }
        assert_eq!(found, stored, "{protocol}");
    }
}

/// All servers are gone at once, and come back: no request hangs, nobody needs a restart (twemproxy #26 of ifwe, #433, #96).
#[test]
fn all_servers_are_gone_and_come_back() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(2, &[]);
        let moxi = moxi!()
            .servers(servers.iter().map(Memcached::port))
            .speaking(protocol)
            .set("connect_max_errors=1")
            .set("connect_retry_interval=50")
            .start();
        let mut client = moxi.client();
        client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
        let ports: Vec<_> = servers.into_iter().map(Memcached::kill).collect();
        for _ in 0..20 {
            client.send("get a b c d\r\n");
            client.expect("END\r\n");
            client.send("set a 0 0 1\r\n1\r\n");
            assert!(client.line().starts_with(b"SERVER_ERROR proxy "));
        }
        let _servers: Vec<_> = ports.into_iter().map(|port| Memcached::revive(port, &[])).collect();
        moxi_test_support::wait_for("the servers to be used again", || {
            client.send("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n1\r\nset e 0 0 1\r\n1\r\n");
            (0..3).map(|_| client.line()).all(|line| line == b"STORED\r\n")
        });
    }
}

/// The reply to a request that was given up, when another waits for its own (twemproxy #404, #340).
#[test]
fn a_late_reply_is_not_the_next_ones() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_timeout=200").start();
    let mut client = moxi.client();
    client.send("incr late 1\r\n");
    let mut line = mock.accept();
    line.expect("incr late 1\r\n");
    assert!(client.line().starts_with(b"SERVER_ERROR proxy downstream timeout"));
    client.send("incr next 1\r\n");
    // Where it goes is moxi's business; what was late is not its answer.
    line.send_into_the_dark("41\r\n");
    let mut second = match mock.try_accept(Duration::from_millis(500)) {
        Some(line) => line,
        None => line,
    };
    second.expect("incr next 1\r\n");
    second.send("7\r\n");
    client.expect("7\r\n");
}

/// Connections that cannot be made leave no trace in the gauge (mcrouter 93b1d999).
#[test]
fn connections_that_fail_are_not_counted_as_closed() {
    let mock = Mock::new();
    let down = Mock::new().down();
    let moxi = moxi!()
        .servers([mock.port(), down.port()])
        .ascii()
        .set("mcs_opts=distribution:modula")
        .set("connect_max_errors=0")
        .start();
    let mut client = moxi.client();
    for number in 0..20 {
        // Not done twice, so not sent again either.
        client.send(format!("incr key{number} 1\r\n"));
        // Which server has the key is not said.
        while !client.readable(Duration::from_millis(5)) {
            if let Some(mut line) = mock.try_accept(Duration::from_millis(5)) {
                line.expect(format!("incr key{number} 1\r\n"));
                line.close();
            }
        }
        assert!(client.line().starts_with(b"SERVER_ERROR"));
    }
    let counter = |name: &str| moxi.counter(&format!("pstd_stats:{name}"));
    assert_eq!(counter("num_downstream_conn"), 0);
    let (started, made) = (counter("tot_downstream_connect_started"), counter("tot_downstream_connect"));
    assert_eq!(started, made + counter("tot_downstream_connect_failed"));
    assert!(made > 0 && made < started, "{made} of {started}");
}
