//! Meta and classic commands at random, under a seed: the built-in server, and memcacheds behind the proxy, answer as a
//! memcached beside them does.
//!
//! `MOXI_META_SEED=n` repeats a run that has failed, `MOXI_META=n` goes on for so many seconds.

use std::time::{Duration, Instant};

use crate::meta::{Pair, Who};

/// As long as this goes on, unless `MOXI_META` says otherwise.
const TIME: Duration = Duration::from_secs(3);
/// The rounds that are worth something on any machine.
const ROUNDS: u64 = 3;
/// Requests of a round.
const REQUESTS: usize = 80;

/// Reproducible numbers (splitmix64).
pub struct Random(u64);

impl Random {
    /// Those of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One of these.
    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Some of these, in any order, each at most once unless a duplicate is wanted.
fn flags(random: &mut Random, of: &[&str]) -> String {
    let mut seen = Vec::new();
    let mut text = String::new();
    for _ in 0..random.below(6) {
        let flag = random.one(of);
        let letter = &flag[..1];
        // Now and then a duplicate stays.
        if seen.contains(&letter) && random.below(20) > 0 {
            continue;
        }
        seen.push(letter);
        text = text + " " + flag;
    }
    // And now and then something is wrong.
    if random.below(25) == 0 { text + " " + random.one(&["!", "Tx", "C", "Fx", "Mzz", "Jx", "S1", "N"]) } else { text }
}

/// A key: plain, or the same in base64, with its flag.
fn key(random: &mut Random) -> (&'static str, &'static str) {
    [("aaa", ""), ("bbb", ""), ("ccc", ""), ("n", ""), ("YWFh", " b"), ("YmJi", " b"), ("Y2Nj", " b")][random.below(7)]
}

const TIMES: [&str; 4] = ["0", "1000", "2000", "3000"];

/// A request, with `number` if it may count.
fn request(random: &mut Random, counts: bool) -> String {
    let (key, encoded) = key(random);
    let value = random.one(&["", "5", "99", "abc", "10", "value", "100000"]);
    let time = random.one(&TIMES);
    match random.below(if counts { 14 } else { 12 }) {
        0..=3 => {
            // A vivified item does not know how its key was written.
            let all =
                ["v", "k", "t", "f", "s", "h", "c", "q", "u", "l", "Oab", "T1000", "T2000", "R1500", "R500", "N1000"];
            format!("mg {key}{encoded}{}\r\n", flags(random, &all))
        }
        4..=7 => {
            let all =
                ["c", "k", "q", "Oxyz", "T1000", "T0", "T2000", "F7", "F0", "I", "C@CAS@", "C@LOW@", "C@HIGH@", "C0"];
            let mode = random.one(&["", "", "", " MS", " ME", " MR", " MA", " MP", " MX"]);
            let surplus = if random.below(30) == 0 { "!" } else { "" };
            format!("ms {key} {}{mode}{encoded}{}\r\n{value}{surplus}\r\n", value.len(), flags(random, &all))
        }
        8..=9 => {
            let all = ["k", "q", "I", "I", "I", "T1000", "T2000", "Od", "C@CAS@", "C@HIGH@"];
            format!("md {key}{encoded}{}\r\n", flags(random, &all))
        }
        10 => match random.below(4) {
            0 => random.one(&["mx", "mg", "me", "ms k"]).to_owned() + "\r\n",
            1 => format!("me {key}{encoded}\r\n"),
            2 => "get aaa bbb ccc n\r\n".to_owned(),
            _ => format!("touch {key} {time}\r\n"),
        },
        11 => match random.below(4) {
            0 => format!("gat {time} {key}\r\n"),
            1 => format!("delete {key}\r\n"),
            _ => {
                let verb = random.one(&["set", "add", "replace", "append", "prepend"]);
                format!("{verb} {key} 3 {time} {}\r\n{value}\r\n", value.len())
            }
        },
        _ => {
            // `T` is not among them: where the number becomes longer, memcached gives the expiry to the item that goes.
            let all =
                ["v", "k", "t", "c", "Oma", "N1000", "N0", "J7", "D5", "D90", "MD", "M-", "MI", "C@CAS@", "C@HIGH@"];
            let flags = flags(random, &all);
            // One that is quiet tells of what it makes in memcached 1.6.18 only.
            let quiet = if flags.contains(" N") || random.below(4) > 0 { "" } else { " q" };
            format!("ma {key}{encoded}{flags}{quiet}\r\n")
        }
    }
}

#[test]
fn random_streams() {
    random(Who::BuiltIn);
}

#[test]
fn random_streams_over_one_server() {
    random(Who::Proxied(1));
}

#[test]
fn random_streams_over_four_servers() {
    random(Who::Proxied(4));
}

#[test]
fn random_streams_over_a_binary_server() {
    random(Who::Binary(1));
}

#[test]
fn random_streams_over_four_binary_servers() {
    random(Who::Binary(4));
}

fn random(who: Who) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let time = number("MOXI_META").map_or(TIME, Duration::from_secs);
    let mut pair = Pair::start(who);
    let begun = Instant::now();
    for seed in number("MOXI_META_SEED").map_or(0..u64::MAX, |seed| seed..seed + 1) {
        if seed >= ROUNDS && begun.elapsed() > time {
            break;
        }
        let mut random = Random::new(seed);
        let mut history = format!("\nMOXI_META_SEED={seed} of {who:?}");
        pair.alike("flush_all\r\ndelete aaa\r\ndelete bbb\r\ndelete ccc\r\ndelete n\r\n", "");
        if seed % 3 == 2 {
            // At once: what memcached counts depends on the answers that it has not sent yet, and CAS ids are known later.
            let all: String = (0..REQUESTS)
                .map(|_| request(&mut random, false))
                .filter(|request| !who.is_several() || !request.contains('@'))
                .collect();
            pair.alike(&all, &history);
            continue;
        }
        for _ in 0..REQUESTS {
            let request = request(&mut random, true);
            // Ids of several servers are not comparable: one of another is higher here, and lower there.
            if request.contains('@') && who.is_several() {
                continue;
            }
            pair.alike(&request, &history);
            history += &format!("\nbehind {request:?}");
        }
    }
}
