//! The inputs of the matrix with some of their bytes changed. None may end moxi or hold up another client.

use std::time::{Duration, Instant};

use moxi_test_support::packet::{Packet, join, op};
use moxi_test_support::{Moxi, Wire};

use crate::cells::{self, Servers};

/// Larger inputs take longer and find no more.
const LARGEST: usize = 20_000;
/// So many changed inputs for each cell.
const ROUNDS: usize = 250;
/// A healthy client must be served within this time, however busy the machine.
const SERVED: Duration = Duration::from_secs(8);

/// Reproducible numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What the matrix sends, as bytes.
fn inputs() -> Vec<Vec<u8>> {
    let binary = crate::binary::steps().into_iter().map(|step| join(step.packets));
    let ascii = crate::ascii::steps().into_iter().map(|step| step.replace("@CAS@", "12").replace("@WRONG@", "13"));
    binary.chain(ascii.map(String::into_bytes)).filter(|input| input.len() < LARGEST).collect()
}

/// Changes up to eight places: bits, bytes, numbers at the ends of their range, parts cut out or repeated.
fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    const ODD: [u8; 12] = [0, 1, 4, 8, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0x81, 0xfe, 0xff];
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            return;
        }
        // Often in the first header, where it matters most.
        let reach = if random.below(2) == 0 { bytes.len().min(24) } else { bytes.len() };
        let at = random.below(reach);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = ODD[random.below(ODD.len())],
            2 => bytes[at] = random.below(256) as u8,
            3 => bytes.truncate(at),
            4 => {
                bytes.remove(at);
            }
            _ => {
                let end = (at + 1 + random.below(40)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// Two healthy clients, one of each protocol, on connections of their own.
struct Healthy {
    ascii: Wire,
    binary: Wire,
    turn: u32,
}

impl Healthy {
    fn new(moxi: &Moxi) -> Healthy {
        Healthy { ascii: moxi.client(), binary: moxi.client(), turn: 0 }
    }

    /// Requires that both are served in time. Not that they find what they have set: a changed input may have
    /// flushed it.
    fn check(&mut self, label: &str) {
        self.turn += 1;
        let begun = Instant::now();
        let key = format!("healthy-{}", self.turn % 16);
        self.ascii.rename(format!("{label}, ASCII"));
        self.ascii.send(format!("set {key} 0 0 4\r\ngood\r\nget {key}\r\n"));
        self.ascii.expect("STORED\r\n");
        if self.ascii.line() != b"END\r\n" {
            self.ascii.expect("good\r\nEND\r\n");
        }
        self.binary.rename(format!("{label}, binary"));
        let set = Packet::storing(op::SET, &key, "good").opaque(self.turn);
        let get = Packet::request(op::GETK).key(&key).opaque(self.turn);
        self.binary.send(join([set, get]));
        let stored = self.binary.packet();
        assert_eq!((stored.opcode, stored.status, stored.opaque), (op::SET, 0, self.turn), "{label}");
        let got = self.binary.packet();
        assert_eq!((got.opcode, got.opaque), (op::GETK, self.turn), "{label}");
        assert!(got.status == 1 || got.status == 0 && got.value == b"good", "{label}: {got:?}");
        let taken = begun.elapsed();
        assert!(taken < SERVED, "{label}: healthy clients were served after {taken:?}");
    }
}

#[test]
fn changed_inputs_hurt_nobody_else() {
    let inputs = inputs();
    let servers = Servers::start();
    for cell in cells::all().into_iter().filter(|cell| cell.hash != "ketama") {
        let moxi = servers.builder(cell).set("downstream_timeout=1000").set("connect_max_errors=0").start();
        let mut healthy = Healthy::new(&moxi);
        let seed = 0x5eed ^ (cell.servers as u64) << 16 ^ u64::from(cell.protocol.as_bytes()[0]) << 24;
        let mut random = Random(seed ^ u64::from(cell.hash.as_bytes()[0]) << 32);
        let mut open: Vec<Wire> = Vec::new();
        for round in 0..ROUNDS {
            let mut bytes = inputs[random.below(inputs.len())].clone();
            change(&mut bytes, &mut random);
            let mut wire = moxi.client();
            wire.send_into_the_dark(&bytes);
            match random.below(3) {
                0 => wire.reset(),
                1 => drop(wire),
                // Stays, with whatever it has begun.
                _ => open.push(wire),
            }
            if open.len() > 20 {
                open.remove(0);
            }
            if round % 2 == 0 {
                healthy.check(&format!("{cell:?}, round {round}"));
            }
        }
        drop(open);
        healthy.check(&format!("{cell:?}, at the end"));
    }
}
