//! Clients that come, go and misbehave (03 §6, §9.5, §13; 04 §1, §2; DESIGN).

use std::time::Duration;

use moxi_test_support::{Mock, Moxi, moxi};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn proxy() -> (Mock, Moxi) {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("downstream_conn_max=1").set("join_gets=0").start();
    (mock, moxi)
}

/// Everything that came before the end of a half-closed client is answered, then it is closed (03 §9.5).
#[test]
fn half_closed_clients_are_served_to_the_end() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    client.send("get a\r\nversion\r\nset b 0 0 1\r\n1\r\nbogus\r\nget c\r\n");
    client.finish();
    let mut line = mock.accept();
    line.expect("get a\r\nset b 0 0 1\r\n1\r\nget c\r\n");
    line.send("VALUE a 0 1\r\n1\r\nEND\r\n");
    line.send("STORED\r\nEND\r\n");
    client.expect(format!("VALUE a 0 1\r\n1\r\nEND\r\nVERSION {VERSION}\r\nSTORED\r\nERROR\r\nEND\r\n"));
    client.expect_closed();
}

/// More requests than are handled in one turn (`-R`), and more bytes than one read takes.
#[test]
fn half_closed_clients_with_many_requests() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    const COUNT: usize = 3000;
    let requests: String = (0..COUNT).map(|number| format!("incr k{number} 1\r\n")).collect();
    let writer = std::thread::spawn(move || {
        client.send(requests);
        client.finish();
        client
    });
    let server = std::thread::spawn(move || {
        let mut line = mock.accept();
        for number in 0..COUNT {
            line.expect(format!("incr k{number} 1\r\n"));
            line.send(format!("{number}\r\n"));
        }
    });
    let mut client = writer.join().expect("writer");
    for number in 0..COUNT {
        client.expect(format!("{number}\r\n"));
    }
    client.expect_closed();
    server.join().expect("server");
}

#[test]
fn an_incomplete_request_before_the_end_is_nothing() {
    for request in ["get a", "set a 0 0 5\r\n123", ""] {
        let (mock, moxi) = proxy();
        let mut client = moxi.client();
        client.send(request);
        client.finish();
        client.expect_closed();
        mock.expect_no_connection(Duration::from_millis(5));
    }
}

#[test]
fn clients_that_leave_in_the_middle() {
    let (mock, moxi) = proxy();
    for request in ["get a", "set a 0 0 100\r\n123", "ver"] {
        for reset in [false, true] {
            let mut client = moxi.client();
            client.send(request);
            if reset { client.reset() } else { client.close() }
        }
    }
    let mut client = moxi.client();
    client.send("version\r\n");
    client.expect(format!("VERSION {VERSION}\r\n"));
    mock.expect_no_connection(Duration::from_millis(5));
}

/// A line without end: 8 KiB, then the client is told and closed (04 §2.1).
#[test]
fn an_endless_line() {
    let (mock, moxi) = proxy();
    for start in ["x", "set ", "delete ", "\0"] {
        let mut client = moxi.client();
        client.send(start.to_owned() + &"x".repeat(8193));
        client.expect("CLIENT_ERROR line too long\r\n");
        client.expect_closed();
    }
    mock.expect_no_connection(Duration::from_millis(5));
}

#[test]
fn a_long_line_that_is_not_endless() {
    let (_mock, moxi) = proxy();
    let mut client = moxi.client();
    client.send("x".repeat(8000) + "\r\nversion\r\n");
    client.expect(format!("ERROR\r\nVERSION {VERSION}\r\n"));
}

/// Retrieval lines may be longer: up to 8 MiB (02 §3).
#[test]
fn a_very_long_get() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    let keys: Vec<_> = (0..50_000).map(|number| format!("key_{number:08}")).collect();
    let line = format!("get {}\r\n", keys.join(" "));
    let sent = line.clone();
    let writer = std::thread::spawn(move || {
        client.send(sent);
        client
    });
    let mut server = mock.accept();
    // To a server it may go in several requests (DESIGN bounds joined gets only; a single one goes as it is).
    server.expect(line);
    server.send("END\r\n");
    let mut client = writer.join().expect("writer");
    client.expect("END\r\n");
}

#[test]
fn an_endless_get() {
    let (mock, moxi) = proxy();
    let mut client = moxi.client();
    client.send("get a ");
    let chunk = "k".repeat(200) + " ";
    let chunk = chunk.repeat(1000);
    for _ in 0..41 {
        client.send(&chunk);
    }
    client.send("12345678".repeat(50_000));
    client.expect("CLIENT_ERROR line too long\r\n");
    client.expect_closed();
    mock.expect_no_connection(Duration::from_millis(5));
}

/// A value that is too large: the error first, then its block is thrown away (04 §3).
#[test]
fn a_value_over_the_limit() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().set("value_max=1000").start();
    let mut client = moxi.client();
    let block = |length: usize| format!("set a 0 0 {length}\r\n{}\r\n", "x".repeat(length));
    client.send(block(1001) + &block(100_000) + "version\r\n");
    client.expect("SERVER_ERROR object too large for cache\r\nSERVER_ERROR object too large for cache\r\n");
    client.expect(format!("VERSION {VERSION}\r\n"));
    // With noreply nothing is said.
    client.send(format!("set a 0 0 1001 noreply\r\n{}\r\nversion\r\n", "x".repeat(1001)));
    client.expect(format!("VERSION {VERSION}\r\n"));
    client.send(block(1000));
    let mut line = mock.accept();
    line.expect(block(1000));
    line.send("STORED\r\n");
    client.expect("STORED\r\n");
}

/// A client that does not read costs nobody else anything, however large its replies (07 §5.4, multiversioning).
#[test]
fn a_client_that_does_not_read() {
    let (mock, moxi) = proxy();
    let mut slow = moxi.client();
    const COUNT: usize = 20;
    const LENGTH: usize = 1 << 20;
    slow.send("get big\r\n".repeat(COUNT));
    let value = "0123456789abcdef".repeat(LENGTH / 16);
    let reply = format!("VALUE big 0 {LENGTH}\r\n{value}\r\nEND\r\n");
    let answer = reply.clone();
    let server = std::thread::spawn(move || {
        let mut line = mock.accept();
        loop {
            let asked = line.line();
            match asked.as_slice() {
                b"get big\r\n" => line.send(&answer),
                b"get small\r\n" => line.send("END\r\n"),
                _ => return,
            }
        }
    });
    let mut quick = moxi.client();
    for _ in 0..50 {
        quick.send("get small\r\n");
        quick.expect("END\r\n");
    }
    for _ in 0..COUNT {
        slow.expect(&reply);
    }
    quick.send("delete the-end\r\n");
    server.join().expect("server");
}

/// A client goes while its requests wait for a place: what it wants changed is changed, what it only asks is not asked.
#[test]
fn waiting_requests_of_a_client_that_has_gone() {
    let mock = Mock::new();
    let moxi = moxi!()
        .servers([mock.port()])
        .ascii()
        .set("downstream_max=1")
        .set("downstream_conn_max=1")
        .set("wait_queue_timeout=0")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    // All are known to the worker before they ask for anything: then they are served in the order of asking.
    let [mut gone, mut control, mut last] = [(); 3].map(|()| {
        let mut client = moxi.client();
        client.send("version\r\n");
        client.line();
        client
    });
    gone.send("get gone\r\nincr gone 1\r\nget a b\r\nstats\r\nset gone 0 0 1 noreply\r\n1\r\n");
    control.send("version\r\n");
    control.line();
    gone.reset();
    control.send("version\r\n");
    control.line();
    last.send("incr b 1\r\n");
    control.send("version\r\n");
    control.line();
    line.send("1\r\n");
    first.expect("1\r\n");
    line.expect_piece("incr gone 1\r\n");
    line.send("1\r\n");
    line.expect_piece("incr b 1\r\n");
    line.send("2\r\n");
    last.expect("2\r\n");
    line.expect_piece("set gone 0 0 1\r\n1\r\n");
}

/// Many clients at once, each with its own answers.
#[test]
fn many_clients() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).ascii().threads(4).set("downstream_conn_max=1").start();
    std::thread::spawn(move || {
        // One connection for each worker; they end with moxi.
        for _ in 0..4 {
            let mut line = mock.accept();
            std::thread::spawn(move || {
                loop {
                    let asked = String::from_utf8(line.line()).expect("text");
                    let number = asked.trim_start_matches("incr k").trim_end_matches(" 1\r\n").to_owned();
                    line.send(number + "\r\n");
                }
            });
        }
    });
    let mut clients: Vec<_> = (0..400).map(|_| moxi.client()).collect();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("incr k{} 1\r\n", number * 10 + round));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.expect(format!("{}\r\n", number * 10 + round));
        }
    }
}
