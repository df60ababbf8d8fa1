//! Meta commands of clients whose servers know none: as far as these can do them (04 §20.3), the answers are those that a
//! memcached gives which does.

use moxi_test_support::{Classic, Memcached, moxi};

use crate::meta::{FLAGS, Pair, streams};
use crate::meta_random::Random;

/// Servers that know no meta commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Older {
    /// So many that understand nothing but classic commands.
    Classic(usize),
    /// So many that moxi speaks binary with: one understands nothing else, of several each understands classic commands.
    Binary(usize),
}

const ALL: [Older; 4] = [Older::Classic(1), Older::Classic(4), Older::Binary(1), Older::Binary(4)];

impl Older {
    fn pair(self) -> Pair {
        let (count, protocol) = match self {
            Older::Classic(count) => (count, "ascii"),
            Older::Binary(count) => (count, "binary"),
        };
        let mut memcacheds = vec![Memcached::start(&FLAGS)];
        let flags = [&FLAGS[..], &["-B", "binary"]].concat();
        memcacheds.extend(Memcached::several(count, if self == Older::Binary(1) { &flags } else { &FLAGS }));
        let ports = memcacheds.iter().skip(1).map(|memcached| match self {
            Older::Binary(1) => memcached.port(),
            Older::Binary(_) | Older::Classic(_) => Classic::before(memcached.port()).port(),
        });
        let moxi = moxi!().servers(ports).speaking(protocol).set("mcs_opts=distribution:modula").start();
        let mut ours = moxi.client();
        // Each server is asked what it knows as the first thing.
        for number in 0..64 {
            ours.ask(format!("mg first{number} s\r\n"), "EN\r\n");
        }
        Pair::new(memcacheds, moxi, None, ours)
    }

    fn is_classic(self) -> bool {
        matches!(self, Older::Classic(_))
    }
}

/// Requests as those of `meta`; behind `# ` what only binary servers can do.
const STREAMS: &str = "\
mn; ms k 3 T1000 F77|abc; mg k v; mg k; mg k s v f c k Oxy; get k; mg k s; mg k u v
mg miss; mg miss v q; mg miss k Oabc; mg miss k Oabc q; mg miss c f s; md miss k Oa; md miss q; mg miss T30 q
ms k 2 q|hi; ms k 2 q ME|no; ms k 2 q MA|!!; ms none 2 q MR|no; mg k q v; md k q; mg k v q k
ms k 2|hi; ms k 0 ME|; ms k 2 MS F5|yo; ms k 2 MR F6|ho; ms k 2 MA F9|++; ms k 2 MP|--; mg k v f s
ms n 2 MR|no; ms n 2 MA|no; ms n 2 MP|no; ms n 2 C5|no; mg n
ms k 2|hi; mg k c; ms k 2 C@HIGH@|no; ms k 2 C@CAS@|yo; ms k 2 C0|no; ms k 2 ME C@CAS@|no; mg k v
ms k 2|hi; mg k c v; mg k C@CAS@ v s|mg k C@LOW@ v s
ms k 3 T1000 F77|abc; mg k T2000; mg k T2000 v f c s k; mg k T-1; mg k; mg k T30 k Oa q; ms k 1 T-1|x; mg k v
ma n; ma n q; ma n k Oz; ms n 1|5; ma n v; ma n D10 v k Ozz; ma n q; mg n v; ma n D0 v; ma n MD D1000 v
ms n 1|9; ma n M- D3 v; ma n MI D90 v; ma n M+ v; ms n 3 F7|abc; ma n; ms n 0|; ma n; ms n 2 |07; ma n v
mg k v v; mg k !; md k !; ma k Dx; ms k 2 Fx|no; ms k x; mg k Tx; ms k 3|abcde; mg k v
mg k F5 D6 J7 MX I s P/a Lb; ms k 2 R6 D7 J8 h l t f v u|ok; md k F1 J1 D1 h t v s f MX; ma k F1 I h l s f u
ms Zm9v 3 T1000 F77 Oqq b|abc; mg foo v f; mg Zm9v b v; md Zm9v b Oa; mg foo
# ms k 2 c|hi; ms k 2 C@HIGH@ c k|no; ms k 2 C@CAS@ c|yo; ms k 2 MA C@HIGH@|no; ms k 2 MA C@CAS@ c|yo; mg k v c
# ms k 2 c|hi; ms k 2 MR C@LOW@|no; ms k 2 MR C@CAS@|ho; ms n 2 MR C5|no; ms n 2 MA C5|no; ms k 2 MP C0|--; mg k v
# ms k 2 c|hi; md k C@HIGH@ k; md k C0 q; md k T1000; ms k 2 c|hi; md k C@CAS@ Oa; md k; mg k
# ma n N0 J5 v; ma n v c; ma n N1000 J10; ma m N1000 J7 k; mg m v; ma n C@HIGH@ k v; mg n c; ma n C@CAS@ v c
# ma n N0 J18446744073709551615 v; ma n; mg n v; ma j N-1 J3; mg j v
# ms YSBi 1 b|x; mg YSBi b k v; md YSBi b k q; mg YSBi k b; ms YSBi 1 b k|x; ma YSBi b k Oa";

fn lines(older: Older) -> String {
    let lines = STREAMS.lines().filter(|line| !older.is_classic() || !line.starts_with('#'));
    // Without the mark, which is that of a comment to others.
    lines.map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect()
}

#[test]
fn fixed_streams() {
    for older in ALL {
        let text = lines(older);
        let mut pair = older.pair();
        for stream in streams(&text) {
            let mut history = format!("\nof {older:?}");
            for request in stream {
                pair.alike(&request, &history);
                history += &format!("\nbehind {request:?}");
            }
            pair.alike("delete k\r\nmd n q\r\nmd foo q\r\nmd j q\r\nmd m q\r\n", &history);
        }
    }
}

/// Requests at random, of what these servers can do.
fn request(random: &mut Random, older: Older) -> String {
    let all = |random: &mut Random, classic: &[&'static str], more: &[&'static str]| {
        let mut flags: Vec<&str> = classic.to_vec();
        if !older.is_classic() {
            flags.extend(more);
        }
        let mut text = String::new();
        let mut seen = Vec::new();
        for _ in 0..random.below(5) {
            let flag = random.one(&flags);
            if !seen.contains(&&flag[..1]) {
                seen.push(&flag[..1]);
                text = text + " " + flag;
            }
        }
        text
    };
    let key = random.one(&["aaa", "bbb", "ccc", "n"]);
    let value = random.one(&["", "5", "99", "abc", "10", "100000"]);
    match random.below(12) {
        0..=3 => {
            format!("mg {key}{}\r\n", all(random, &["v", "v", "k", "f", "s", "c", "q", "u", "Oab", "T1000", "T0"], &[]))
        }
        4..=6 => {
            let mode = random.one(&["", "", " MS", " ME", " MR", " MA", " MP"]);
            let flags = all(random, &["k", "q", "Oxyz", "T1000", "T0", "F7"], &["c", "C0", "C@CAS@", "C@HIGH@"]);
            format!("ms {key} {}{mode}{flags}\r\n{value}\r\n", value.len())
        }
        7 => format!("md {key}{}\r\n", all(random, &["k", "q", "Od", "T1000"], &["C@CAS@", "C@HIGH@"])),
        8 => format!("get aaa bbb {key}\r\n"),
        9 => format!("set {key} 3 0 {}\r\n{value}\r\n", value.len()),
        _ => {
            let flags = all(random, &["v", "k", "Oma", "J7", "D5", "D90", "MD", "MI"], &["N1000", "C@HIGH@", "c"]);
            format!("ma {key}{flags}\r\n")
        }
    }
}

#[test]
fn random_streams() {
    for older in ALL {
        let mut pair = older.pair();
        for seed in 0..4 {
            let mut random = Random::new(seed);
            let mut history = format!("\nseed {seed} of {older:?}");
            pair.alike("delete aaa\r\ndelete bbb\r\ndelete ccc\r\ndelete n\r\n", "");
            for _ in 0..80 {
                let request = request(&mut random, older);
                if request.contains('@') && older == Older::Binary(4) {
                    continue; // ids of several servers are not comparable
                }
                pair.alike(&request, &history);
                history += &format!("\nbehind {request:?}");
            }
        }
    }
}
