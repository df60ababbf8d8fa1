//! The limits and timers of 03 §7: who fails, when, with which words, and who does not.

use std::time::{Duration, Instant};

use moxi_test_support::packet::{Packet, op};
use moxi_test_support::{Down, Mock, MoxiBuilder, Wire, moxi};

const TIMEOUT: &str = "SERVER_ERROR proxy downstream timeout 127.0.0.1\r\n";
const TIMEOUT_UNNAMED: &str = "SERVER_ERROR proxy downstream timeout\r\n";
const TIMEOUT_OF_ORDER: &str = "SERVER_ERROR proxy downstream timeout: not confirmed by";
const WAIT_QUEUE: &str = "SERVER_ERROR proxy wait queue timeout\r\n";
/// On a busy machine a timer may be late by this much. What is tested here still comes before the five seconds that are the
/// default of `downstream_timeout` then.
const LATE: Duration = Duration::from_millis(4000);

fn over_ascii(port: u16) -> MoxiBuilder {
    moxi!().servers([port]).ascii()
}

/// Requires `reply` no sooner than `limit` after `start`, and not much later.
fn expect_after(client: &mut Wire, start: Instant, limit: u64, reply: &str) {
    let limit = Duration::from_millis(limit);
    // Timers may be kept in whole milliseconds.
    client.expect_between(start, limit - Duration::from_millis(2), limit + LATE, reply);
}

#[test]
fn connect_timeout() {
    let unreachable = Down::new().unreachable();
    let moxi = over_ascii(unreachable.port()).set("connect_timeout=150").set("connect_max_errors=0").start();
    let mut client = moxi.client();
    let flush =
        format!("SERVER_ERROR proxy write to downstream: not confirmed by 127.0.0.1:{}\r\n", unreachable.port());
    for (request, reply) in [
        ("incr a 1\r\n", "SERVER_ERROR proxy write to downstream 127.0.0.1\r\n"),
        ("get a\r\n", "END\r\n"),
        ("flush_all\r\n", &flush),
    ] {
        let start = Instant::now();
        client.send(request);
        expect_after(&mut client, start, 150, reply);
    }
}

/// D11: 0 is no limit, not an expired one.
#[test]
fn no_connect_timeout() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("connect_timeout=0").start();
    let mut client = moxi.client();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    line.send("2\r\n");
    client.expect("2\r\n");
}

#[test]
fn downstream_timeout() {
    for (request, reply) in [
        ("incr a 1\r\n", TIMEOUT),
        ("set a 0 0 1\r\n1\r\n", TIMEOUT),
        ("delete a\r\n", TIMEOUT),
        ("touch a 1\r\n", TIMEOUT),
        ("get a\r\n", "END\r\n"),
        ("gets a b\r\n", "END\r\n"),
        ("flush_all\r\n", TIMEOUT_OF_ORDER),
        ("stats\r\n", TIMEOUT_UNNAMED),
    ] {
        let mock = Mock::new();
        let moxi = over_ascii(mock.port()).set("downstream_timeout=400").start();
        let mut client = moxi.client();
        let start = Instant::now();
        client.send(request);
        let mut line = mock.accept();
        line.expect(request);
        let reply = match reply == TIMEOUT_OF_ORDER {
            true => format!("{reply} 127.0.0.1:{}\r\n", mock.port()),
            false => reply.to_owned(),
        };
        expect_after(&mut client, start, 400, &reply);
        // Nobody else waits for anything on this connection.
        line.expect_closed();
        // The client is none the worse for it.
        client.send("incr a 1\r\n");
        let mut line = mock.accept();
        line.expect("incr a 1\r\n");
        line.send("2\r\n");
        client.expect("2\r\n");
    }
}

#[test]
fn downstream_timeout_over_binary() {
    let mock = Mock::new();
    let moxi = moxi!().servers([mock.port()]).binary().set("downstream_timeout=100").start();
    let mut client = moxi.client();
    let start = Instant::now();
    client.send("delete a\r\n");
    let mut line = mock.accept();
    line.expect(Packet::request(op::DELETE).key("a").bytes());
    expect_after(&mut client, start, 100, TIMEOUT);
    line.expect_closed();
}

/// A reply that trickles does not extend the limit (03 §7).
#[test]
fn progress_does_not_extend_the_downstream_timeout() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_timeout=800").start();
    let mut client = moxi.client();
    let start = Instant::now();
    client.send("get a b\r\n");
    let mut line = mock.accept();
    line.expect("get a b\r\n");
    line.send("VALUE a 0 1\r\n1\r\nVALUE b 0 5\r\nab");
    let mut control = moxi.client();
    control.expect_nothing(Duration::from_millis(500));
    line.send("c");
    // The complete value is kept (03 §10.3).
    expect_after(&mut client, start, 800, "VALUE a 0 1\r\n1\r\nEND\r\n");
}

/// noreply commands are timed, too (D8): a server that says nothing does not keep its connection for ever.
#[test]
fn noreply_commands_are_timed() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port()).set("downstream_conn_max=1").set("downstream_timeout=400").start();
    let mut client = moxi.client();
    client.send("delete a noreply\r\n");
    let mut line = mock.accept();
    line.expect("delete a\r\n");
    line.expect_closed();
    client.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    line.send("2\r\n");
    client.expect("2\r\n");
}

/// The head of a shared connection times out; who is behind it is not harmed, the late reply is dropped, and the
/// connection goes on (DESIGN, One request).
#[test]
fn a_late_reply_is_dropped_and_its_neighbour_gets_its_own() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_conn_max=1")
        .set("downstream_conn_queue_timeout=0")
        .set("downstream_timeout=800")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    let mut second = moxi.client();
    second.send("incr b 1\r\n");
    line.expect("incr b 1\r\n");
    first.expect(TIMEOUT);
    line.send("11\r\n22\r\n");
    second.expect("22\r\n");
    first.send("incr c 1\r\n");
    line.expect("incr c 1\r\n");
    line.send("33\r\n");
    first.expect("33\r\n");
}

/// Who waits behind others on a connection fails after `downstream_conn_queue_timeout`; the one before it goes on,
/// and its own late reply is dropped (MB-2649, MB-2825).
#[test]
fn downstream_conn_queue_timeout() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_conn_max=1")
        .set("downstream_max=0")
        .set("downstream_timeout=0")
        .set("wait_queue_timeout=0")
        .set("downstream_conn_queue_timeout=400")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    let start = Instant::now();
    let mut second = moxi.client();
    second.send("incr b 1\r\n");
    let mut third = moxi.client();
    third.send("get c\r\n");
    expect_after(&mut second, start, 400, TIMEOUT_UNNAMED);
    expect_after(&mut third, start, 400, "END\r\n");
    line.send("11\r\n");
    first.expect("11\r\n");
    // What had been sent already is answered for nobody; a proxy that had kept it back says nothing here.
    let mut fourth = moxi.client();
    fourth.send("incr d 1\r\n");
    let answers =
        [("incr b 1\r\n", "22\r\n"), ("get c\r\n", "VALUE c 0 1\r\nx\r\nEND\r\n"), ("incr d 1\r\n", "44\r\n")];
    loop {
        let asked = line.line();
        let (request, reply) =
            answers.iter().find(|(request, _)| request.as_bytes() == asked).expect("a request that was made");
        line.send(reply);
        if request.starts_with("incr d") {
            break;
        }
    }
    fourth.expect("44\r\n");
}

/// `downstream_max` requests per worker and bucket; the others wait (03 §7).
#[test]
fn wait_queue_timeout() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_max=1")
        .set("downstream_timeout=0")
        .set("downstream_conn_queue_timeout=0")
        .set("wait_queue_timeout=100")
        .start();
    let mut first = moxi.client();
    first.send("incr a 1\r\n");
    let mut line = mock.accept();
    line.expect("incr a 1\r\n");
    let start = Instant::now();
    let mut second = moxi.client();
    second.send("incr b 1\r\n");
    let mut third = moxi.client();
    third.send("get c\r\n");
    expect_after(&mut second, start, 100, WAIT_QUEUE);
    expect_after(&mut third, start, 100, "END\r\n");
    line.send("11\r\n");
    first.expect("11\r\n");
    // Nothing of the two was sent; the place is free again.
    second.send("incr e 1\r\n");
    line.expect_piece("incr e 1\r\n");
    line.send("55\r\n");
    second.expect("55\r\n");
}

/// Who waits for a place gets it as soon as there is one.
#[test]
fn waiting_requests_are_served_in_turn() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_max=1")
        .set("downstream_conn_max=1")
        .set("wait_queue_timeout=0")
        .set("downstream_conn_queue_timeout=0")
        .start();
    let mut clients: Vec<_> = (0..5).map(|_| moxi.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("incr k{number} 1\r\n"));
    }
    let mut line = mock.accept();
    for (number, client) in clients.iter_mut().enumerate() {
        line.expect_piece(format!("incr k{number} 1\r\n"));
        line.send(format!("{number}\r\n"));
        client.expect(format!("{number}\r\n"));
    }
}

/// A client with many requests does not wait for itself: the queue clocks start when a request is its oldest (DESIGN).
#[test]
fn pipelined_requests_do_not_time_out_behind_their_own() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_conn_max=1")
        .set("downstream_max=1")
        .set("wait_queue_timeout=100")
        .set("downstream_conn_queue_timeout=100")
        .start();
    let mut client = moxi.client();
    client.send((0..4).map(|number| format!("incr k{number} 1\r\n")).collect::<String>());
    let mut line = mock.accept();
    for number in 0..4 {
        line.expect(format!("incr k{number} 1\r\n"));
        // Longer than the limits all together.
        client.expect_nothing(Duration::from_millis(60));
        line.send(format!("{number}\r\n"));
        client.expect(format!("{number}\r\n"));
    }
}

/// 0f3a435, MB-3129: both limits at the same moment; each request is answered exactly once.
#[test]
fn limits_that_expire_together() {
    let mock = Mock::new();
    let moxi = over_ascii(mock.port())
        .set("downstream_conn_max=1")
        .set("downstream_max=2")
        .set("downstream_timeout=100")
        .set("wait_queue_timeout=100")
        .set("downstream_conn_queue_timeout=100")
        .start();
    let mut clients: Vec<_> = (0..6).map(|_| moxi.client()).collect();
    for client in &mut clients {
        client.send("incr a 1\r\nversion\r\n");
    }
    for client in &mut clients {
        let line = client.line();
        assert!(line.starts_with(b"SERVER_ERROR proxy "), "{}", line.escape_ascii());
        let line = client.line();
        assert!(line.starts_with(b"VERSION "), "{}", line.escape_ascii());
    }
    drop(mock);
}

/// Clients that do nothing are closed, whatever they speak and have begun; those that wait for a server are not.
#[test]
fn client_idle_timeout() {
    let noop = Packet::noop(0).bytes();
    for binary in [false, true] {
        let mock = Mock::new();
        let builder = moxi!().servers([mock.port()]).set("client_idle_timeout=800").set("downstream_timeout=0");
        let moxi = if binary { builder.binary() } else { builder.ascii() }.set("join_gets=0").start();
        let start = Instant::now();
        let mut waiting = moxi.client();
        waiting.send("get a\r\n");
        let mut line = mock.accept();
        let mut silent = moxi.client();
        let mut ascii = moxi.client();
        ascii.send("version\r\n");
        assert!(ascii.line().starts_with(b"VERSION "));
        let mut upload = moxi.client();
        upload.send("set a 0 0 100\r\nthe beginning of a value");
        let mut packet = moxi.client();
        packet.send(&noop[..10]);
        for client in [&mut silent, &mut ascii, &mut upload, &mut packet] {
            client.expect_closed();
            assert!(start.elapsed() >= Duration::from_millis(798), "{:?}", start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_millis(800) + LATE, "{:?}", start.elapsed());
        waiting.expect_nothing(Duration::from_millis(900));
        let (asked, reply, got) = match binary {
            false => (b"get a\r\n".to_vec(), b"VALUE a 0 1\r\n1\r\nEND\r\n".to_vec(), "VALUE a 0 1\r\n1\r\nEND\r\n"),
            true => {
                let asked = line.packet();
                (Vec::new(), Packet { magic: 0x81, status: 1, ..asked }.bytes(), "END\r\n")
            }
        };
        line.expect(asked);
        line.send(reply);
        waiting.expect(got);
        waiting.send("stats proxy stats\r\n");
        let closed = loop {
            let text = String::from_utf8(waiting.line()).expect("text");
            if let Some((_, number)) = text.split_once(":pstd_stats:tot_upstream_idle_closed ") {
                break number.trim_end().to_owned();
            }
            assert_ne!(text, "END\r\n");
        };
        assert_eq!(closed, "4", "{binary}");
    }
}
