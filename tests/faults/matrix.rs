//! Every fault × ASCII and binary servers × every kind of request: one legal reply each, in order, in time, also in
//! the part that a second server has; and everything as before when the fault is over.

use std::time::Duration;

use moxi_test_support::{Down, Memcached, Moxi, PROTOCOLS, moxi};

use crate::kinds::{Keys, Kind, Outcome, ask};
use crate::relay::{Fault, Relay};
use crate::{at_once, with_both};

/// Within this time everything is answered: two tries of connecting and answering, and the wait for what the first one
/// left behind, with the limits of [`Limits::Short`], on a busy machine. It is below those of [`Limits::Long`].
pub const IN_TIME: Duration = Duration::from_secs(12);

/// How long moxi waits for servers.
#[derive(Clone, Copy, Debug)]
pub enum Limits {
    /// Faults that are nothing but silence end by them. A server that is well keeps them on a busy machine, too.
    Short,
    /// Everything else ends by itself: nobody may wait for so long.
    Long,
}

/// Starts a moxi over two servers. Every request is to meet the fault itself.
pub fn start(ports: [u16; 2], protocol: &str, limits: Limits) -> Moxi {
    let (time, queue) = match limits {
        Limits::Short => (1500, 2000),
        Limits::Long => (15_000, 15_000),
    };
    moxi!()
        .servers(ports)
        .speaking(protocol)
        .set(format!("downstream_timeout={time},connect_timeout={time},auth_timeout={time}"))
        .set(format!("downstream_conn_queue_timeout={queue},connect_max_errors=0"))
        .start()
}

fn run(protocol: &str, limits: Limits, faults: &[Fault], kinds: &[Kind]) {
    let servers = Memcached::several(2, &[]);
    let mut relay = Relay::new(servers[1].port());
    let moxi = start([servers[0].port(), relay.port()], protocol, limits);
    let keys = Keys::find(&moxi, &servers[1], 3);
    for fault in faults {
        for &kind in kinds {
            keys.store(&moxi);
            relay.set(*fault);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(&moxi, &keys, kind, IN_TIME)));
            let outcome = outcome.unwrap_or_else(|_| panic!("{protocol} servers, {fault:?}"));
            // These replies are whole, if late.
            let is_whole = matches!(fault, Fault::None | Fault::Slow(_));
            assert!(
                outcome == Outcome::Silent || (outcome == Outcome::Good) == is_whole || is_lucky(*fault, kind),
                "{protocol} servers, {fault:?}, {kind:?}: {outcome:?}"
            );
            relay.set(Fault::None);
        }
        keys.store(&moxi);
        for kind in Kind::ALL {
            assert_ne!(
                ask(&moxi, &keys, kind, IN_TIME),
                Outcome::Failed,
                "{protocol} servers, after {fault:?}: {kind:?}"
            );
            keys.store(&moxi);
        }
    }
}

/// Half of a reply may hold the values that were asked for.
fn is_lucky(fault: Fault, kind: Kind) -> bool {
    matches!(fault, Fault::HalfReply | Fault::Stuck) && matches!(kind, Kind::MultiGet | Kind::Quiet)
}

#[test]
fn lost_connections() {
    for protocol in PROTOCOLS {
        run(
            protocol,
            Limits::Long,
            &[Fault::Refused, Fault::Reset, Fault::Close, Fault::HalfClose, Fault::HalfReply],
            &Kind::ALL,
        );
    }
}

#[test]
fn silence() {
    at_once(with_both(&Kind::ALL), |(protocol, kind)| {
        run(protocol, Limits::Short, &[Fault::Silent, Fault::Stuck], &[kind]);
    });
}

#[test]
fn nonsense() {
    for protocol in PROTOCOLS {
        run(
            protocol,
            Limits::Long,
            &[Fault::Garbage(1), Fault::Garbage(2), Fault::Garbage(3), Fault::Garbage(4)],
            &Kind::ALL,
        );
    }
}

#[test]
fn slowness_within_the_limits() {
    for protocol in PROTOCOLS {
        run(protocol, Limits::Short, &[Fault::None, Fault::Slow(Duration::from_millis(40))], &Kind::ALL);
    }
}

/// A byte per ten milliseconds: what is complete in time is passed on, the rest is late.
#[test]
fn a_trickle() {
    for protocol in PROTOCOLS {
        let servers = Memcached::several(2, &[]);
        let mut relay = Relay::new(servers[1].port());
        let moxi = start([servers[0].port(), relay.port()], protocol, Limits::Long);
        let keys = Keys::find(&moxi, &servers[1], 2);
        relay.set(Fault::Drip(Duration::from_millis(10)));
        for kind in [Kind::Get, Kind::Set, Kind::MultiGet, Kind::Flush, Kind::Noreply, Kind::Quiet, Kind::BinaryNoop] {
            let outcome = ask(&moxi, &keys, kind, Duration::from_secs(15));
            assert_ne!(outcome, Outcome::Failed, "{protocol} servers, {kind:?}");
        }
        relay.set(Fault::None);
    }
}

/// A server to which no connection is ever made.
#[test]
fn a_black_hole() {
    at_once(PROTOCOLS, |protocol| {
        let servers = Memcached::several(2, &[]);
        let relay = Relay::new(servers[1].port());
        let keys = Keys::find(&start([servers[0].port(), relay.port()], protocol, Limits::Short), &servers[1], 3);
        // Which server has a key follows from the ports, so the port has to be the same.
        let port = relay.port();
        let hole = {
            let mut relay = relay;
            relay.set(Fault::Refused);
            (Down::at(port).unreachable(), relay)
        };
        at_once(Kind::ALL, |kind| {
            let moxi = start([servers[0].port(), port], protocol, Limits::Short);
            assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Good, "{protocol} servers, {kind:?}");
        });
        drop(hole);
    });
}
