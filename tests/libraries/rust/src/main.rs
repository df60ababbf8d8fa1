//! The fixed scenario, for libraries of crates.io: `scenario LIBRARY PROTOCOL PORT`
//!
//! Prints one line per step: its name, and what the library made of the answer. A step that a library has no call for is
//! left out.

mod with_async_memcached;
mod with_memcache;

use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// Above what memcached takes for one item.
const TOO_LARGE: usize = 1 << 20;

/// Values that must come back as they were.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("all bytes", (0..=255).collect()),
        ("treacherous", b"x\r\nEND\r\nVALUE k 0 1\r\nHD\r\n\x80\x81\0".to_vec()),
        ("64k", vec![b'k'; 65536]),
        ("large", vec![b'l'; 1_000_000]),
    ]
}

/// Keys, good and bad.
fn keys() -> Vec<(&'static str, String)> {
    vec![("1", "k".into()), ("250", "l".repeat(250)), ("251", "m".repeat(251)), ("utf-8", "schlüssel".into())]
}

/// Prints a step; long results by their length and a digest.
fn step(name: &str, result: impl Debug) {
    let text = format!("{result:?}");
    if text.len() <= 400 {
        println!("{name}: {text}");
    } else {
        let mut digest = DefaultHasher::new();
        text.hash(&mut digest);
        println!("{name}: {} characters, {:x}", text.len(), digest.finish());
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, library, protocol, port] = words.as_slice() else {
        panic!("usage: scenario LIBRARY PROTOCOL PORT");
    };
    match library.as_str() {
        "memcache" => with_memcache::run(protocol, port),
        "async-memcached" => with_async_memcached::run(protocol, port),
        other => panic!("no scenario for {other}"),
    }
}
