//! Meta commands: the built-in server's answers are those of a memcached beside it, byte for byte; so are those of other
//! memcacheds behind the proxy.
//!
//! CAS ids, seconds and sizes of items differ between any two servers, and are made comparable. Where an answer is meant to
//! be another than that of memcached 1.6.18 it stands in `MEANT`: there a later memcached answers as moxi does, or nobody
//! should answer as 1.6.18 does.

use moxi_test_support::ports::Port;
use moxi_test_support::{Memcached, Moxi, Wire, moxi};

/// Whom a memcached is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The built-in server.
    BuiltIn,
    /// moxi in front of so many memcacheds, which know meta commands.
    Proxied(usize),
    /// The same, and moxi speaks binary with them.
    Binary(usize),
}

/// How memcached is started. Its threads for the order of use hold items now and then: then a number is counted in another
/// place.
pub const FLAGS: [&str; 4] = ["-m", "64", "-o", "no_lru_maintainer,no_lru_crawler"];

/// All of them.
pub const ALL: [Who; 5] = [Who::BuiltIn, Who::Proxied(1), Who::Proxied(4), Who::Binary(1), Who::Binary(4)];

impl Who {
    /// Whether there are several servers, whose CAS ids cannot be compared.
    pub fn is_several(self) -> bool {
        matches!(self, Who::Proxied(4) | Who::Binary(4))
    }
}

/// Both servers, and a client of each.
pub struct Pair {
    _memcacheds: Vec<Memcached>,
    _moxi: Moxi,
    _port: Option<Port>,
    theirs: Peer,
    ours: Peer,
}

impl Pair {
    /// Starts them.
    pub fn start(who: Who) -> Pair {
        match who {
            Who::BuiltIn => {
                let memcached = Memcached::start(&FLAGS);
                let port = Port::reserve();
                let number = port.number();
                let moxi = moxi!().servers([number]).ascii().argument("-p").argument(number.to_string()).start();
                let ours = Wire::connect("client of the built-in server", number);
                Pair::new(vec![memcached], moxi, Some(port), ours)
            }
            Who::Proxied(count) | Who::Binary(count) => {
                let memcacheds = Memcached::several(count + 1, &FLAGS);
                let ports = memcacheds.iter().skip(1).map(Memcached::port);
                let protocol = if who == Who::Binary(count) { "binary" } else { "ascii" };
                let moxi = moxi!().servers(ports).speaking(protocol).set("mcs_opts=distribution:modula").start();
                let ours = moxi.client();
                Pair::new(memcacheds, moxi, None, ours)
            }
        }
    }

    /// Of clients of the first of these memcacheds, and of moxi.
    pub fn new(memcacheds: Vec<Memcached>, moxi: Moxi, port: Option<Port>, ours: Wire) -> Pair {
        let theirs = Peer::new(memcacheds[0].client());
        Pair { _memcacheds: memcacheds, _moxi: moxi, _port: port, theirs, ours: Peer::new(ours) }
    }

    /// What both answer: memcached, and moxi.
    pub fn ask(&mut self, request: &str) -> (String, String) {
        (self.theirs.ask(request), self.ours.ask(request))
    }

    /// Requires that both answer alike.
    #[track_caller]
    pub fn alike(&mut self, request: &str, history: &str) {
        let (theirs, ours) = self.ask(request);
        let shown = &request[..request.len().min(300)];
        assert_eq!(ours, theirs, "{shown:?}{history}");
    }
}

/// One of the two, and the CAS id that it has named last.
struct Peer {
    wire: Wire,
    cas: u64,
}

impl Peer {
    fn new(mut wire: Wire) -> Peer {
        // So that there are lower ids than any that a test sees, at whichever server.
        for number in 0..64 {
            let set = format!("set first{number} 0 0 0\r\n\r\n");
            wire.ask(format!("{set}{set}delete first{number}\r\n"), "STORED\r\nSTORED\r\nDELETED\r\n");
        }
        Peer { wire, cas: 0 }
    }

    /// Sends text in which `@CAS@` is the last id, `@LOW@` a lower one and `@HIGH@` a higher one, and takes everything up
    /// to the answer of an `mn` behind it, made comparable.
    fn ask(&mut self, request: &str) -> String {
        let request = request
            .replace("@CAS@", &self.cas.to_string())
            .replace("@LOW@", "1")
            .replace("@HIGH@", &(self.cas + (1 << 40)).to_string());
        self.wire.send(request + "mn\r\n");
        let mut replies = String::new();
        loop {
            let line = String::from_utf8(self.wire.line()).expect("text");
            if line == "MN\r\n" {
                return replies;
            }
            let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
            let length = match words[..] {
                ["VA", length, ..] | ["VALUE", _, _, length, ..] => Some(length.parse::<usize>().expect("length")),
                _ => None,
            };
            replies += &match words[..] {
                ["VALUE", key, flags, length, _cas] => format!("VALUE {key} {flags} {length} #"),
                _ => words.iter().map(|word| self.comparable(words[0], word)).collect::<Vec<_>>().join(" "),
            };
            replies += "\r\n";
            if let Some(length) = length {
                replies += &String::from_utf8_lossy(&self.wire.take(length + 2));
            }
        }
    }

    /// A word of the answer that begins with `status`.
    fn comparable(&mut self, status: &str, word: &str) -> String {
        if status == "ME" {
            return match word.split_once('=') {
                Some(("exp", time)) if time != "-1" => format!("exp=-{}", rounded(&time[1..])),
                Some((name @ ("la" | "cas" | "cls" | "size"), number)) => {
                    number.parse::<u64>().unwrap_or_else(|_| panic!("{word}"));
                    format!("{name}=#")
                }
                _ => word.to_owned(),
            };
        }
        if !matches!(status, "HD" | "VA" | "NS" | "EX" | "NF" | "EN") || word.len() < 2 {
            return word.to_owned();
        }
        let (letter, rest) = word.split_at(1);
        match (letter, rest.parse::<u64>()) {
            ("c", Ok(cas)) => {
                self.cas = if cas > 0 { cas } else { self.cas };
                if cas > 0 { "c#".to_owned() } else { "c0".to_owned() }
            }
            ("t", Ok(_)) => format!("t{}", rounded(rest)),
            ("l", Ok(_)) => "l#".to_owned(),
            _ => word.to_owned(),
        }
    }
}

/// Seconds, to the next multiple of 100: the clocks of two servers do not tick together. Tests use such times only.
fn rounded(seconds: &str) -> u64 {
    seconds.parse::<u64>().expect("seconds").div_ceil(100) * 100
}

/// One in each line: requests with `; ` between them, whose own lines have `|` between them.
const STREAMS: &str = "\
mn; mn with words; mx k; m k; MN; mg; md; ma; ms; me;  mg  k   v ; mnx
ms k 3 T1000 F77|abc; mg k v; mg k; mg k s v t f c k Oxy h l; mg k h; get k; gets k; mg k s
mg miss; mg miss v q; mg miss k Oabc; mg miss k Oabc q; mg Zm9v b k Ox; md miss k Oa; md miss q
ms k 2 q|hi; ms k 2 q ME|no; ms k 2 q MA|!!; ms none 2 q MR|no; ms k 2 q C@HIGH@|no; mg k q v; md k q
ms k 2|hi; mg k h u; mg k h u; mg k h; mg k h; add k 0 0 1|x; mg k h; ms k 1|x; mg k h; me k
ms k 2|hi; ms k 0 ME|; ms k 2 MS F5|yo; ms k 2 MR F6|ho; ms k 2 MA F9|++; ms k 2 MP|--; mg k v f s
ms n 2 MR|no; ms n 2 MA|no; ms n 2 MP|no; ms n 2 C5|no; ms n 2 MR C5|no; ms n 2 MA C5|no; mg n
ms k 2 c|hi; ms k 2 C@HIGH@|no; ms k 2 C@CAS@ c|yo; ms k 2 C0|no; ms k 2 ME C@CAS@ c|no; mg k v
ms k 2 c|hi; ms k 2 MA C@HIGH@ k|no; ms k 2 MA C@CAS@ c|yo; ms k 2 MP C0|--; ms k 2 MR C@LOW@|no; mg k v
# Stale, and the right to store anew.
ms k 2 T1000|hi; md k I; mg k v; mg k v; get k; mg k; ms k 2|yo; mg k v; md k I; ma k; touch k 0
ms k 2 c T1000|hi; md k I T2000 k Oa; mg k t v c; ms k 2 I C@LOW@ T5000 c|yo; mg k v t; mg k v t
ms k 2 c T1000|hi; md k I; ms k 2 I C@LOW@|yo; mg k v t; ms k 2 C@HIGH@ I|no; ms k 2 C0 I|no; mg k v
ms k 2 c T1000|hi; ms k 3 I C@LOW@ MR F4|new; mg k v f t c; ms k 2 C@CAS@ I|go; mg k v t
ms k 2 c|hi; md k C@HIGH@ k; md k C0 q; md k T1000; ms k 2 c|hi; md k C@CAS@ Oa; md k; mg k
mg k N1000 v t k Oa; mg k N2000 v t; mg k v; get k; mg k R3000 t; ma k; ms k 1 ME|x; ms k 1|x; mg k v t
mg k T2000 N1000 t; mg j N1000 T2000 t; mg j t N3000 t; mg i N0 t; mg h N-1 v; mg h; mg g N1000 q v
ms k 1 T1000|x; mg k R500; mg k R2000; mg k R2000; mg k R2000 N5 v; ms k 1|x; mg k R2000; mg k R0 R-1
ms k 1 T1000|x; mg k T2000 R1500 t; mg k R2500 T3000 t; mg k t T0 t; mg k R9; mg k R0; mg k T-1 R30; mg k
ms k 1 T-1|x; mg k; ms k 1 T2147483648|x; mg k; ms k 1 T4294967296|x; mg k t; ms k 1 T2592001|x; mg k
# Counting.
ma n; ma n q; ma n k Oz; ma n N0 J5 v t; ma n v; ma n D10 v c t k Ozz; ma n q; mg n v; ma n D0 v
ma n N1000 J10 t; ma n MD v; mg n v s; ma n M- D3 v; ma n MI D90 v; ma n M+ v; ma n MD D1000 v; mg n v
ma n N0 J1 c; ma n C@HIGH@ k v; ma n C@CAS@ v c; ma n C@CAS@ v; ma n C0 v; ma n T1000 t v; ma n t T2000 v
ms n 3 F7|abc; ma n; ms n 0|; ma n; ma n N0; ms n 2|-1; ma n; ms n 2 |07; ma n v; mg n v f
ma n N0 J18446744073709551615 v; ma m N0 J9223372036854775806; ma m v; incr m 1; decr m 5; mg m v
# Keys in base64.
ms Zm9v 3 T1000 F77 k Oqq b|abc; mg foo v k f t; mg Zm9v v k b f t; mg Zm9v b; me Zm9v b; me foo; get foo
ms foo 3 k|abc; mg Zm9v k b; me Zm9v b; md Zm9v k b Oa; ms Zm9v 1 b k c|x; ms foo 1 MA k|y; mg foo k v
ma Zm9v b k N0 v; mg foo k v; ma Zm9v b k v; md Zm9v b k; mg Zm9v k N1000 b; mg Zm9v k b; md foo k
ms YSBi 1 b|x; mg YSBi b k v; md YSBi b k q; mg YSBi k b; mg Zm9 b; me Zm9 b; md Zm9 b; ma Zm9 b; ms Zm9 2 b|no
ms Zm-9_v 1 b k|x; mg Zg==Zm9v b k; mg ==== b; mg Z=9v b k; mg foo v k; me foo x b; me Zm9v b b; me b
# What is refused.
mg k v v; mg k Oa Ob; mg k !; mg k \x7f; mg k \u{e9}; mg k \t; mg k S1; mg k v\tv; mg k T; mg k Tx Jx
mg k N; mg k R1x; mg k C; mg k C-1; mg k Fx; mg k Tx Fx; mg k Fx Tx; mg k Jx Fx; mg k Dx Mxx; mg k M
md k v v; md k !; md k Tx; ma k Dx; ma k D-1; ma k Jx; ma k Mx; ma k M; ma k MDD; ma k I
ms k; ms k x; ms k -1; ms k S2; ms k 2x; ms k 2147483646; ms k 2 !|no; ms k 2 Tx|no; ms k 2 Mx|no
ms k 2 M|no; ms k 2 Fx|no; ms k 2 v v|no; ms k 3|abcde; ms k 3 q|abcde; ms k +2|ok; ms k -0|; mg k v
mg k F5 D6 J7 MX I s P/a Lb; ms k 2 N5 R6 D7 J8 h l t f v u|ok; md k F1 J1 D1 h t v s f MX c; ma k F1 I h l s f u
ms k 2 \0|no; mg k v\0 !; mg\0 k; ms k 1|x|mg k v|md k|mg k q|mn; set k 5 0 1|x; mg k v f c; get k|mg k|get k";

/// The requests of these streams, one by one.
pub fn streams(text: &str) -> impl Iterator<Item = impl Iterator<Item = String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split("; ").map(|request| request.replace('|', "\r\n") + "\r\n"))
}

fn fixed(who: Who) {
    for stream in streams(STREAMS) {
        let mut pair = Pair::start(who);
        let mut history = format!("\nof {who:?}");
        for request in stream {
            pair.alike(&request, &history);
            history += &format!("\nbehind {request:?}");
        }
    }
}

#[test]
fn fixed_streams() {
    fixed(Who::BuiltIn);
}

#[test]
fn fixed_streams_over_one_server() {
    fixed(Who::Proxied(1));
}

#[test]
fn fixed_streams_over_four_servers() {
    fixed(Who::Proxied(4));
}

#[test]
fn fixed_streams_over_a_binary_server() {
    fixed(Who::Binary(1));
}

#[test]
fn fixed_streams_over_four_binary_servers() {
    fixed(Who::Binary(4));
}

/// The same at once. (But a number is counted in another place while memcached has an answer to send that shows it.)
#[test]
fn fixed_streams_pipelined() {
    for who in ALL {
        let mut pair = Pair::start(who);
        for stream in streams(STREAMS) {
            let all: String = stream.filter(|request| !request.contains('@') && !request.contains("ma ")).collect();
            pair.alike(&all, &format!("{who:?}"));
            pair.alike("delete k\r\nmd n q\r\nmd foo q\r\nmd j q\r\nmd i q\r\nmd YSBi b q\r\nmd g q\r\nmd m q\r\n", "");
        }
    }
}

#[test]
fn lengths() {
    for who in ALL {
        lengths_of(&mut Pair::start(who));
    }
}

fn lengths_of(pair: &mut Pair) {
    let (key, opaque) = ("k".repeat(250), "o".repeat(31));
    for request in [
        format!("ms {key} 2 k\r\nhi\r\nmg {key} k v\r\nme {key}\r\nmd {key} k\r\n"),
        format!("mg {key}k v\r\nmd {key}k\r\nma {key}k\r\nme {key}k\r\n"),
        format!("ms k 2 O{opaque}\r\nhi\r\nmg k O{opaque}\r\nmd k O{opaque}\r\nma k O{opaque}\r\n"),
        format!(
            "ms k 2 O{opaque}o\r\nno\r\nms k 2 Mx O{opaque}o\r\nno\r\nms k 2\r\nhi\r\nmg none O{opaque}o\r\nmd k O{opaque}o\r\n"
        ),
        format!("mg k {}\r\n", "a ".repeat(18)),
        format!("md k {}\r\n", "a ".repeat(18)),
        "mg k s v t f c k O h l q u b P L T1000 R1\r\nmg k s v t f c k O h l q u I P L T1000 R1\r\n".to_owned(),
        format!("ms k 1000000 MS\r\n{}\r\nmg k v\r\n", "v".repeat(1_000_000)),
        format!("ms k 2000000 T0 k q\r\n{}\r\nmg k v\r\n", "mn\r\n".repeat(500_000)),
        format!("ms k 1\r\nx\r\nms k 2000000 MA\r\n{}\r\nmg k v\r\n", "v".repeat(2_000_000)),
        format!("ms k 2000000 !\r\n{}\r\nmg k v\r\n", "v".repeat(2_000_000)),
    ] {
        pair.alike(&request, "");
    }
}

/// A request behind another; what memcached 1.6.18 answers; what moxi answers. Lines are separated by `|`.
const MEANT: &[(&str, &str, &str, &str)] = &[
    // Flags that later versions have.
    ("mx", "ms e 2 E1000|hi|mg e c v", "CLIENT_ERROR invalid flag|EN|", "HD|VA 2 c#|hi|"),
    ("ms k 2 F5 c|hi", "md k x|mg k s f", "CLIENT_ERROR invalid or duplicate flag|HD s2 f5|", "HD|HD s0 f0|"),
    ("ms k 2 c|hi", "mg k C@CAS@ v s|mg k C@LOW@ v", "VA 2 s2|hi|VA 2|hi|", "HD s2|VA 2|hi|"),
    ("ms k 2|hi", "ms k 3 MA s|abc|ms k 1 ME s|x", "HD|NS|", "HD s5|NS s1|"),
    ("mx", "ms new 2 MA N1000 T5|hi|mg new v t", "NS|EN|", "HD|VA 2 t1000|hi|"),
    ("mx", "ma new N0 q|ma new v", "HD|VA 1|1|", "VA 1|1|"),
    // Numbers that are too large.
    ("mx", "ms k 2 F4294967296|hi", "HD|", "CLIENT_ERROR bad command line format|"),
    ("mx", "ms k 4294967298|hi", "HD|", "CLIENT_ERROR bad command line format|ERROR|"),
    ("ms k 1|1", "ma k D-18446744073709551615 v", "VA 1|2|", "CLIENT_ERROR invalid or duplicate flag|"),
    // The time of an item whose time is over.
    ("ms k 1|1", "mg k T-1 t", "HD t4294967300|", "HD t0|"),
];

#[test]
fn what_is_meant_to_differ() {
    for (before, request, older, meant) in MEANT {
        let lines = |text: &str| text.replace('|', "\r\n");
        let mut pair = Pair::start(Who::BuiltIn);
        pair.alike(&(lines(before) + "\r\n"), "");
        let (theirs, ours) = pair.ask(&(lines(request) + "\r\n"));
        assert_eq!(ours, lines(meant), "{request}");
        assert!(theirs == lines(older) || theirs == ours, "{request}: memcached answers {theirs}");
    }
}

/// memcached 1.6.18 takes the value for a command.
#[test]
fn a_value_is_no_command() {
    for (line, reply) in [
        (format!("ms {} 13", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n"),
        (format!("ms k 13 {}", "a ".repeat(17)), "CLIENT_ERROR options flags too long\r\n"),
    ] {
        for who in ALL {
            let mut pair = Pair::start(who);
            pair.alike("set victim 0 0 1\r\nx\r\n", "");
            let (theirs, ours) = pair.ask(&format!("{line}\r\ndelete victim\r\nget victim\r\n"));
            assert_eq!(ours, format!("{reply}VALUE victim 0 1\r\nx\r\nEND\r\n"));
            assert!(theirs == ours || theirs == format!("{reply}DELETED\r\nEND\r\n"), "{theirs}");
        }
    }
}
