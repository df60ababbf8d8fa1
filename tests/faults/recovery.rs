//! How soon a server that is well again is used again: within `connect_retry_interval` and a second, and a suspended
//! one as soon as a probe has found it (03 §17, §21.2).

use std::time::Duration;

use moxi_test_support::wait::within;
use moxi_test_support::{Memcached, MoxiBuilder, PROTOCOLS, moxi};

use crate::kinds::{Keys, Kind, Outcome, ask};
use crate::matrix::IN_TIME;
use crate::relay::{Fault, GARBAGE, Relay};
use crate::{at_once, with_both};

/// So much later it may be on a busy machine.
const LATE: Duration = Duration::from_millis(1500);
const SUSPENDED: &[u8] = b"SERVER_ERROR proxy write to downstream\r\n";

fn recovers(builder: MoxiBuilder, protocol: &str, fault: Fault, limit: Duration) {
    let servers = Memcached::several(2, &[]);
    let mut relay = Relay::new(servers[1].port());
    let moxi = builder
        .servers([servers[0].port(), relay.port()])
        .speaking(protocol)
        .set("downstream_timeout=1500")
        .set("connect_timeout=1500")
        .set("connect_max_errors=2")
        .start();
    let keys = Keys::find(&moxi, &servers[1], 2);
    relay.set(fault);
    let ill = &keys.ill[0];
    for _ in 0..8 {
        let mut client = moxi.client();
        client.send(format!("delete {ill}\r\n"));
        let line = client.line();
        let is_legal = line.starts_with(b"SERVER_ERROR proxy ") || line.starts_with(&[GARBAGE as u8]);
        assert!(is_legal, "{}", line.escape_ascii());
        if line == SUSPENDED {
            break;
        }
    }
    relay.set(Fault::None);
    within(limit + LATE, &format!("the recovery of {protocol} servers from {fault:?}"), || {
        (ask(&moxi, &keys, Kind::Set, IN_TIME) == Outcome::Good).then_some(())
    });
    keys.store(&moxi);
    for kind in Kind::ALL {
        assert_ne!(ask(&moxi, &keys, kind, IN_TIME), Outcome::Failed, "{protocol} servers, {fault:?}: {kind:?}");
        keys.store(&moxi);
    }
}

#[test]
fn within_the_interval_and_a_second() {
    let faults = [Fault::Refused, Fault::Reset, Fault::Close, Fault::HalfReply, Fault::Silent, Fault::Garbage(7)];
    at_once(with_both(&faults), |(protocol, fault)| {
        recovers(moxi!().set("connect_retry_interval=300"), protocol, fault, Duration::from_millis(1300));
    });
}

/// The interval is half a minute by default; a probe is faster.
#[test]
fn long_before_a_long_interval() {
    for protocol in PROTOCOLS {
        recovers(moxi!(), protocol, Fault::Refused, Duration::from_millis(2500));
    }
}

/// All workers hear of it.
#[test]
fn of_every_worker() {
    recovers(moxi!().threads(4), "binary", Fault::Refused, Duration::from_millis(2500));
}
