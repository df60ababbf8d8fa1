//! What the log says of servers that fail: phase, server and age; one line for each change of state, not one for each
//! request.

use moxi_test_support::{Down, Mock, Moxi, moxi, wait_to_get};

/// The lines that contain `text`, once there are so many.
fn lines(moxi: &mut Moxi, text: &str, count: usize) -> Vec<String> {
    let found = wait_to_get(&format!("{count} lines with {text:?}"), || {
        let logged = moxi.process().stderr();
        let found: Vec<String> = logged.lines().filter(|line| line.contains(text)).map(String::from).collect();
        (found.len() >= count).then_some(found)
    });
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// `after N ms`, not below `least`.
fn has_age(line: &str, least: u32) -> bool {
    let age = line.split("after ").nth(1).and_then(|rest| rest.split(" ms").next());
    age.and_then(|age| age.parse::<u32>().ok()).is_some_and(|age| age >= least && age < 60_000)
}

/// Without `-v`: one line when a server is left alone, and one when it is back.
#[test]
fn a_server_goes_and_comes_back() {
    let down = Down::new();
    let server = format!("127.0.0.1:{}", down.port());
    let mut moxi =
        moxi!().servers([down.port()]).ascii().set("connect_max_errors=2").set("connect_retry_interval=200").start();
    let mut client = moxi.client();
    for _ in 0..20 {
        client.send("incr a 1\r\nget a\r\n");
        assert!(client.line().starts_with(b"SERVER_ERROR "));
        client.expect("END\r\n");
    }
    let line = lines(&mut moxi, "has failed 3 times in a row", 1).remove(0);
    assert!(line.contains(&server) && line.contains("connect failed"), "{line}");
    let mock = down.up();
    let line = lines(&mut moxi, "is back", 1).remove(0);
    assert!(line.contains(&server), "{line}");
    client.send("incr a 1\r\n");
    let mut conn = mock.accept();
    conn.expect("incr a 1\r\n");
    conn.send("2\r\n");
    client.expect("2\r\n");
    assert_eq!(moxi.process().complaints().lines().count(), 2, "{}", moxi.process().stderr());
}

/// One line when a name cannot be looked up, however often that is tried.
#[test]
fn an_unknown_name() {
    let mut moxi = moxi!().cluster("no-such-host.invalid:11211").ascii().set("connect_max_errors=0").start();
    let mut client = moxi.client();
    for _ in 0..10 {
        client.send("incr a 1\r\n");
        client.expect("SERVER_ERROR proxy write to downstream\r\n");
    }
    let line = lines(&mut moxi, "ERROR: cannot look up no-such-host.invalid: ", 1).remove(0);
    assert!(!line.ends_with(": "), "{line}");
    assert_eq!(moxi.process().complaints().lines().count(), 1, "{}", moxi.process().stderr());
}

#[test]
fn connect() {
    let unreachable = Down::new().unreachable();
    let mut moxi = moxi!()
        .servers([unreachable.port()])
        .ascii()
        .set("connect_timeout=60,connect_max_errors=0")
        .argument("-v")
        .start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    client.line();
    let line = lines(&mut moxi, "timeout in phase connect,", 1).remove(0);
    assert!(line.contains(&format!("127.0.0.1:{}", unreachable.port())) && has_age(&line, 60), "{line}");
}

#[test]
fn authenticate() {
    let mock = Mock::new();
    let mut moxi = moxi!()
        .servers([mock.port()])
        .binary()
        .set("usr=fictional-user,pwd=fictional-password,auth_timeout=60")
        .argument("-v")
        .start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let _conn = mock.accept();
    client.line();
    let line = lines(&mut moxi, "timeout in phase authenticate,", 1).remove(0);
    assert!(line.contains(&format!("127.0.0.1:{}", mock.port())) && has_age(&line, 60), "{line}");
    assert!(!moxi.process().stderr().contains("fictional-password"));
}

/// A silent server with eight requests on one connection: one line.
#[test]
fn reply() {
    let mock = Mock::new();
    let mut moxi = moxi!()
        .servers([mock.port()])
        .ascii()
        .set("downstream_timeout=60,downstream_conn_max=1,downstream_retry=0,connect_max_errors=0")
        .argument("-v")
        .start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n".repeat(8));
    let conn = mock.accept();
    for _ in 0..8 {
        assert!(client.line().starts_with(b"SERVER_ERROR proxy "));
    }
    let line = lines(&mut moxi, "timeout in phase reply,", 1).remove(0);
    assert!(line.contains(&format!("127.0.0.1:{}", mock.port())) && has_age(&line, 60), "{line}");
    drop(conn);
}

/// Many requests give up behind others: one line, and another one only when the queue has been empty in between.
#[test]
fn connection_queue() {
    let mock = Mock::new();
    let mut moxi = moxi!()
        .servers([mock.port()])
        .ascii()
        .set("downstream_timeout=0,downstream_conn_max=1,downstream_conn_queue_timeout=60,join_gets=0")
        .argument("-v")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut conn = mock.accept();
    conn.expect("incr a 1\r\n");
    for count in 1..=2 {
        let mut others: Vec<_> = (0..5).map(|_| moxi.client()).collect();
        // In one turn: they wait, and give up, together.
        others.iter().for_each(|_| moxi.turn());
        moxi.at_once(|| others.iter_mut().for_each(|other| other.send("incr b 1\r\n")));
        for other in &mut others {
            other.expect("SERVER_ERROR proxy downstream timeout\r\n");
        }
        let line = lines(&mut moxi, "timeout in phase connection queue,", count).remove(count - 1);
        assert!(line.contains(&format!("127.0.0.1:{}", mock.port())) && has_age(&line, 60), "{line}");
        conn.expect("incr b 1\r\n".repeat(5));
        conn.send("1\r\n".repeat(6));
        first.expect("1\r\n");
        first.send("incr a 1\r\n");
        conn.expect("incr a 1\r\n");
    }
}

/// The same for the queue before `downstream_max`.
#[test]
fn wait_queue() {
    let mock = Mock::new();
    let mut moxi = moxi!()
        .servers([mock.port()])
        .ascii()
        .set("downstream_timeout=0,downstream_max=1,wait_queue_timeout=60")
        .argument("-v")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut conn = mock.accept();
    conn.expect("incr a 1\r\n");
    for count in 1..=2 {
        let mut others: Vec<_> = (0..5).map(|_| moxi.client()).collect();
        // In one turn: they wait, and give up, together.
        others.iter().for_each(|_| moxi.turn());
        moxi.at_once(|| others.iter_mut().for_each(|other| other.send("incr b 1\r\n")));
        for other in &mut others {
            other.expect("SERVER_ERROR proxy wait queue timeout\r\n");
        }
        let line = lines(&mut moxi, "timeout in phase wait queue,", count).remove(count - 1);
        assert!(line.contains("bucket default") && has_age(&line, 60), "{line}");
        conn.send("1\r\n");
        first.expect("1\r\n");
        first.send("incr a 1\r\n");
        conn.expect("incr a 1\r\n");
    }
}
