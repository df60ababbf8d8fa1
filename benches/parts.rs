//! What single parts take: parsers and routing. Prints wall-clock times and judges nothing; `benches/gate` does that,
//! by instructions.

use std::hint::black_box;
use std::time::{Duration, Instant};

use moxi::config;
use moxi::protocol::{ascii, binary};

/// How long each part is measured.
const TIME: Duration = Duration::from_millis(200);
/// How many calls are made between two looks at the clock.
const BATCH: u32 = 1000;

/// Prints the least time that a call took, over many batches: what disturbs can only add to it.
fn measure(name: &str, mut call: impl FnMut()) {
    let end = Instant::now() + TIME;
    let mut least = Duration::MAX;
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..BATCH {
            call();
        }
        least = least.min(start.elapsed());
    }
    println!("{name:44}{:>9.1} ns", least.as_nanos() as f64 / f64::from(BATCH));
}

fn requests() {
    let keys: Vec<String> = (0..100).map(|number| format!("key_{number:08}")).collect();
    let set = [b"set key_00000001 0 0 100\r\n".as_slice(), &[b'v'; 100], b"\r\n"].concat();
    let many = format!("get {}\r\n", keys.join(" "));
    for (name, input) in
        [("get", b"get key_00000001\r\n".as_slice()), ("get of 100 keys", many.as_bytes()), ("set of 100 bytes", &set)]
    {
        measure(&format!("ASCII request: {name}"), || {
            let mut scanned = 0;
            black_box(ascii::request::parse(black_box(input), &mut scanned, 1 << 20));
        });
    }
    let mut packet = Vec::new();
    binary::command::get(&mut packet, b"key_00000001", 0, 0);
    measure("binary request: get", || {
        black_box(binary::packet::parse_request(black_box(&packet)));
    });
}

fn replies() {
    let value = [b"VALUE key_00000001 0 100\r\n".as_slice(), &[b'v'; 100], b"\r\n"].concat();
    for (name, input) in [("VALUE of 100 bytes", value.as_slice()), ("STORED", b"STORED\r\n"), ("END", b"END\r\n")] {
        measure(&format!("ASCII reply: {name}"), || {
            let mut scanned = 0;
            black_box(ascii::reply::parse(black_box(input), &mut scanned));
        });
    }
}

fn routing() {
    let servers: Vec<String> = (1..=4).map(|number| format!("server-{number}:11211")).collect();
    for (name, options) in [("ketama", ""), ("modula", "mcs_opts=distribution:modula,")] {
        let behavior = format!("{options}downstream_protocol=ascii");
        let text = format!("11311={}", servers.join(","));
        let Ok(loaded) = config::load(&text, Some(&behavior), &|_| None) else {
            println!("{name}: not configurable");
            continue;
        };
        let Some(bucket) = loaded.config.buckets.first() else { continue };
        measure(&format!("routing over 4 servers: {name}"), || {
            black_box(bucket.router.route(black_box(b"key_00000001")));
        });
    }
}

fn main() {
    // `cargo test --benches` does not say so, and is to be quick.
    if std::env::args().all(|argument| argument != "--bench") {
        return println!("start it with cargo bench --bench parts");
    }
    requests();
    replies();
    routing();
}
