//! Whatever scrapers do, nobody is hurt: not clients, not other scrapers, not the program (06 §14).

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::launch::free_port;
use moxi_test_support::scrape::{self, Response, ask_on, get};
use moxi_test_support::{Memcached, Moxi, SHORT, Wire, moxi, wait_for};

struct World {
    moxi: Moxi,
    port: u16,
    _server: Memcached,
}

impl World {
    fn new() -> World {
        let (port, server) = (free_port(), Memcached::start(&[]));
        let moxi = moxi!().servers([server.port()]).set(format!("metrics={port}")).start();
        World { moxi, port, _server: server }
    }

    fn scraper(&self) -> Wire {
        Wire::connect("scraper", self.port)
    }

    /// Clients and scrapers are served.
    fn is_well(&self) {
        let mut client = self.moxi.client();
        client.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
        client.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        assert_eq!(scrape::metrics(self.port).get("moxi_ready", &[]), 1.0);
    }
}

#[test]
fn garbage_costs_its_connection_only() {
    let world = World::new();
    let mut good = world.scraper();
    assert_eq!(ask_on(&mut good, "/healthz").status, 200);
    for garbage in [
        &b"\x80\x01\x00\x00\x00\x00\x00\x00"[..],
        b"\x00",
        b"\r\n\r\n\x01",
        b"get a\r\n",
        b"stats proxy\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /met\xff\x00rics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHo\x00st: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut bad = world.scraper();
        bad.send(garbage);
        assert_eq!(Response::read(&mut bad, true).status, 400, "{}", garbage.escape_ascii());
        bad.expect_closed();
    }
    assert_eq!(ask_on(&mut good, "/healthz").status, 200);
    world.is_well();
}

#[test]
fn a_head_without_end_is_refused() {
    let world = World::new();
    let mut endless = world.scraper();
    endless.send("GET /metrics HTTP/1.1\r\nHost: a\r\nX: ");
    // It is not read to its end, so it may be cut short.
    for _ in 0..64 {
        endless.send_into_the_dark([b'y'; 1024]);
    }
    assert_eq!(Response::read(&mut endless, true).status, 431);
    endless.rest();
    let mut many = world.scraper();
    many.send_into_the_dark("GET /metrics HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(100));
    assert_eq!(Response::read(&mut many, true).status, 431);
    world.is_well();
}

/// Of all that come, sixteen are kept; one more takes the place of one that has nothing to lose.
#[test]
fn many_that_say_nothing_lock_nobody_out() {
    let world = World::new();
    let mut silent: Vec<Wire> = (0..200).map(|_| world.scraper()).collect();
    silent.iter_mut().for_each(|wire| wire.send_into_the_dark("GET /metr"));
    world.is_well();
    let mut kept = world.scraper();
    assert_eq!(ask_on(&mut kept, "/healthz").status, 200);
    silent.extend((0..200).map(|_| world.scraper()));
    world.is_well();
    assert_eq!(ask_on(&mut kept, "/healthz").status, 200, "one that asks now and then stays");
    // The others have been closed but for sixteen.
    let open = silent.iter_mut().map(Wire::is_closed).filter(|is_closed| !is_closed).count();
    assert!(open <= 16, "{open} are open");
}

/// Descriptors are kept for scrapers: they tell that clients have used up the others.
#[test]
fn clients_leave_room_for_scrapers() {
    let (port, server) = (free_port(), Memcached::start(&[]));
    let moxi = moxi!().servers([server.port()]).set(format!("metrics={port}")).open_files(160).start();
    assert_eq!(scrape::metrics(port).get("moxi_accepting", &[]), 1.0);
    let clients: Vec<Wire> = (0..170).map(|_| moxi.client()).collect();
    wait_for("accepting is paused", || scrape::metrics(port).get("moxi_accepting", &[]) == 0.0);
    let mut scrapers: Vec<Wire> = (0..16).map(|_| Wire::connect("scraper", port)).collect();
    scrapers.iter_mut().for_each(|scraper| assert_eq!(ask_on(scraper, "/readyz").status, 200));
    assert_eq!(scrape::metrics(port).get("moxi_accept_pauses_total", &[]), 1.0);
    drop(clients);
    wait_for("accepting goes on", || scrape::metrics(port).get("moxi_accepting", &[]) == 1.0);
}

/// Who sends byte by byte has ten seconds for all of them.
#[test]
fn a_slow_one_has_its_time() {
    let world = World::new();
    let start = Instant::now();
    let mut slow = world.scraper();
    slow.send("GET /metrics?");
    while start.elapsed() < Duration::from_secs(30) && !slow.readable(SHORT) {
        slow.send_into_the_dark("x");
    }
    let taken = start.elapsed();
    assert!(slow.rest().is_empty());
    assert!(taken >= Duration::from_secs(9) && taken < Duration::from_secs(29), "{taken:?}");
    world.is_well();
}

/// Who does not read is written to without waiting, and loses its connection at last.
#[test]
fn one_that_does_not_read_keeps_nobody_waiting() {
    let world = World::new();
    let start = Instant::now();
    let deaf = world.scraper();
    let _ = deaf.socket().set_recv_buffer_size(4096);
    deaf.socket().set_nonblocking(true).unwrap();
    let request = get("/metrics").repeat(1000);
    // As much as finds room: it is not read for ever.
    let sent: usize = std::iter::from_fn(|| deaf.socket().write(request.as_bytes()).ok()).take(1000).sum();
    assert!(sent > 0 && sent < 1000 * request.len(), "{sent}");
    for _ in 0..20 {
        world.is_well();
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
