//! Whether the requests for one key can be put into an order that explains their answers: each takes effect at one moment
//! between its call and its answer (Wing and Gong, 1993), those of one client in their order.
//!
//! What changes nothing and fits is put in at once. Where several changes are possible, each is tried; what was reached
//! before on another way is not looked at again (Lowe, 2017).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use foldhash::fast::FixedState;
use memchr::memmem;
use moxi::protocol::StoreVerb;

use super::history::{Seen, Told};
use super::op::Op;
use super::store::Tick;
use super::truth::shown;

/// How much is tried, counted in requests that are looked at, before a register is left undecided.
const BUDGET: usize = 5_000;

/// What a key holds.
type Held = Option<(u32, Rc<[u8]>)>;

/// A request for the key.
#[derive(Clone, Debug)]
pub struct Step {
    client: u64,
    op: Op,
    seen: Seen,
    /// What the item held that its CAS id is of, if that is known.
    known: Option<Rc<[u8]>>,
    call: Tick,
    /// When it had taken effect at the latest, if it did.
    back: Tick,
    /// It may not have taken effect at all.
    is_optional: bool,
    /// And behind what its client did afterwards.
    pub may_be_late: bool,
    /// It may have taken effect behind what its client asked for after it, if before its own answer.
    pub may_be_behind: bool,
}

impl Step {
    /// What a client was told.
    pub fn of(told: &Told, known: Option<Rc<[u8]>>) -> Step {
        let Told { client, op, seen, call, back, place: _ } = told.clone();
        let is_optional = back.is_none() || seen == Seen::Nothing;
        let back = back.filter(|_| !is_optional).unwrap_or(Tick::MAX);
        Step { client, op, seen, known, call, back, is_optional, may_be_late: false, may_be_behind: false }
    }

    fn tell(&self) -> String {
        let Step { client, op, seen, call, back, .. } = self;
        match seen {
            Seen::Value { flags, data } => format!("client {client}, {call} to {back}: it is {flags} {}", shown(data)),
            _ => format!("client {client}, {call} to {back}: {op:?}: {seen:?}"),
        }
    }

    fn changes(&self) -> bool {
        let is_change = !matches!(self.op, Op::Get { .. } | Op::Getl { .. } | Op::Touch { .. });
        is_change && !matches!(self.seen, Seen::Absent | Seen::Present)
    }

    /// What the key holds after it; `None`: it could not be answered like this.
    fn apply(&self, held: &Held) -> Option<Held> {
        match &self.seen {
            Seen::Absent => return held.is_none().then(|| held.clone()),
            Seen::Present => return held.is_some().then(|| held.clone()),
            Seen::Value { flags, data } => {
                return held.as_ref().is_some_and(|item| *item == (*flags, data.clone())).then(|| held.clone());
            }
            Seen::Done | Seen::Number(_) | Seen::Nothing => {}
        }
        match &self.op {
            Op::Store { verb, flags, cas, value, .. } => {
                let item = Some((*flags, value.clone()));
                let joined = |a: &[u8], b: &[u8]| Rc::from([a, b].concat());
                match (verb, held) {
                    // Without an id there is nothing to compare.
                    (StoreVerb::Set, _) if cas.is_none_or(|cas| cas == 0) => Some(item),
                    (StoreVerb::Set, Some((_, data))) if self.known.as_ref().is_none_or(|known| known == data) => {
                        Some(item)
                    }
                    (StoreVerb::Add, None) | (StoreVerb::Replace, Some(_)) => Some(item),
                    (StoreVerb::Append, Some((flags, data))) => Some(Some((*flags, joined(data, value)))),
                    (StoreVerb::Prepend, Some((flags, data))) => Some(Some((*flags, joined(value, data)))),
                    _ => None,
                }
            }
            Op::Arith { delta, decr, .. } => {
                let (flags, data) = held.as_ref()?;
                let number: u64 = str::from_utf8(data).ok()?.parse().ok()?;
                let number = if *decr { number.saturating_sub(*delta) } else { number.wrapping_add(*delta) };
                let is_it = !matches!(self.seen, Seen::Number(seen) if seen != number);
                is_it.then(|| Some((*flags, Rc::from(number.to_string().into_bytes()))))
            }
            Op::Delete { .. } => held.as_ref().map(|_| None),
            Op::Touch { .. } => held.as_ref().map(|_| held.clone()),
            Op::Flush { .. } => Some(None),
            Op::Get { .. } | Op::Getl { .. } | Op::Unl { .. } | Op::Stats { .. } => None,
        }
    }
}

/// What became of the search.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Explained,
    /// There were too many possible pasts.
    Undecided,
    /// There is none; says how far the best one came.
    Refuted(String),
}

/// What may have taken effect.
#[derive(Debug)]
struct Perhaps {
    step: Step,
    /// The place in its client's lane that it may not come behind, if any.
    place: Option<usize>,
    /// It is the same as the one before it, which may come before it.
    is_again: bool,
}

/// One key's requests.
#[derive(Debug, Default)]
pub struct Register {
    /// Of each client, what has certainly taken effect, in its order; flushes have a number of their own each.
    lanes: BTreeMap<u64, Vec<Step>>,
    /// What may have taken effect.
    optional: Vec<Perhaps>,
    flushes: u64,
    /// How many lanes have one request that is in no order with its client's others.
    behind: u64,
}

/// The first number of such lanes.
const BEHIND: u64 = 1 << 63;

/// A possible past: how far the lanes are, which of the optional ones were done, what the key holds.
#[derive(Clone, Debug)]
struct Past {
    places: Vec<u32>,
    /// Of the optional ones, which stand in the order of their calls, so many are over: done, or too late.
    over: usize,
    /// And these behind them.
    done: Vec<usize>,
    held: Held,
    /// Not before this.
    now: Tick,
}

/// What of a past decides what can follow. Its time does by what it is too late for, and that is over.
type Outlook = (Vec<u32>, usize, Vec<usize>, Held);

impl Past {
    fn outlook(&self) -> Outlook {
        (self.places.clone(), self.over, self.done.clone(), self.held.clone())
    }
}

/// What may have taken effect, and until when.
struct Optional<'a> {
    one: &'a Perhaps,
    /// It may not come behind this place of this lane.
    barrier: Option<(usize, usize)>,
}

impl Optional<'_> {
    fn is_too_late(&self, past: &Past) -> bool {
        self.one.step.back < past.now || self.barrier.is_some_and(|(lane, place)| past.places[lane] as usize > place)
    }
}

impl Register {
    /// Adds a request; those of a client in their order.
    pub fn add(&mut self, step: Step, repeats: u32) {
        let place = self.lanes.entry(step.client).or_default().len();
        if step.is_optional {
            if step.changes() {
                let more = if step.op.only_once() { 0 } else { repeats };
                let place = (!step.may_be_late).then_some(place);
                self.add_optional(&step, place, more + 1);
            }
            return;
        }
        if !step.op.only_once() {
            // Whatever came of it the last time.
            let again = Step { is_optional: true, seen: Seen::Nothing, ..step.clone() };
            let repeats = if again.changes() { repeats } else { 0 };
            self.add_optional(&again, None, repeats);
        }
        let mut lane = step.client;
        if step.may_be_behind {
            self.behind += 1;
            lane = BEHIND + self.behind;
        }
        self.lanes.entry(lane).or_default().push(step);
    }

    /// It may have been done so often.
    fn add_optional(&mut self, step: &Step, place: Option<usize>, count: u32) {
        let one = |at| Perhaps { step: step.clone(), place, is_again: at > 0 };
        self.optional.extend((0..count).map(one));
    }

    /// The server was flushed at that moment.
    pub fn flush(&mut self, at: Tick) {
        self.flushes += 1;
        let client = u64::MAX - self.flushes;
        let (op, seen) = (Op::Flush { delay: None }, Seen::Done);
        let step = Step {
            client,
            op,
            seen,
            known: None,
            call: at,
            back: at,
            is_optional: false,
            may_be_late: false,
            may_be_behind: false,
        };
        self.lanes.insert(client, vec![step]);
    }

    /// What may have taken effect, in the order of calls.
    fn optional(&self, lanes: &[Lane<'_>]) -> Vec<Optional<'_>> {
        let of_client: BTreeMap<u64, usize> = self.lanes.keys().enumerate().map(|(at, client)| (*client, at)).collect();
        let barrier = |one: &Perhaps| {
            let (lane, place) = (*of_client.get(&one.step.client)?, one.place?);
            // The next change that its client was told of.
            let next = lanes[lane].steps.iter().skip(place).position(Step::changes)?;
            Some((lane, place + next))
        };
        let optional = |one| Optional { one, barrier: barrier(one) };
        let mut all: Vec<_> = self.optional.iter().map(optional).collect();
        // Those that are the same stay together.
        all.sort_by_key(|optional| optional.one.step.call);
        all
    }

    /// Looks for an order.
    pub fn explain(&self) -> Verdict {
        let lanes: Vec<Lane<'_>> = self.lanes.values().map(|steps| Lane::new(steps)).collect();
        let optional = self.optional(&lanes);
        let mut open = vec![Past { places: vec![0; lanes.len()], over: 0, done: Vec::new(), held: None, now: 0 }];
        let mut looked_at: HashSet<Outlook, FixedState> = HashSet::default();
        let mut tried = 0;
        let mut best: Option<(u32, Past, Tick)> = None;
        while let Some(mut past) = open.pop() {
            let Some(end) = settle(&lanes, &mut past) else { return Verdict::Explained };
            pass_over(&optional, &mut past, end);
            if !looked_at.insert(past.outlook()) {
                continue;
            }
            let depth: u32 = past.places.iter().sum();
            if best.as_ref().is_none_or(|(most, ..)| depth >= *most) {
                best = Some((depth, past.clone(), end));
            }
            let is_over = |at: usize| at < past.over || past.done.binary_search(&at).is_ok();
            let candidates = until(&optional, past.over, end)
                .filter(|(at, optional)| !is_over(*at) && (!optional.one.is_again || is_over(at - 1)));
            let candidates = candidates.map(|(at, optional)| (&optional.one.step, None, Some(at)));
            let certain = (0..lanes.len()).filter_map(|lane| {
                let step = lanes[lane].next(past.places[lane]).filter(|step| step.call <= end)?;
                Some((step, Some(lane), None))
            });
            // What is tried first stands last.
            let mut next: Vec<(bool, bool, Tick, Past)> = Vec::new();
            for (step, lane, at) in candidates.chain(certain) {
                tried += 1;
                let Some(held) = step.apply(&past.held) else { continue };
                let mut after = Past { held, now: past.now.max(step.call), ..past.clone() };
                lane.into_iter().for_each(|lane| after.places[lane] += 1);
                if let Some(Err(place)) = at.map(|at| after.done.binary_search(&at)) {
                    after.done.insert(place, at.unwrap_or(0));
                }
                let is_wanted = is_wanted(&lanes, &after);
                next.push((is_wanted, lane.is_some(), Tick::MAX - step.back, after));
            }
            if tried > BUDGET {
                return Verdict::Undecided;
            }
            next.sort_by_key(|(is_wanted, is_certain, end, _)| (*is_wanted, *is_certain, *end));
            open.extend(next.into_iter().map(|(_, _, _, past)| past));
        }
        Verdict::Refuted(best.map_or(String::new(), |(_, past, end)| tell(&lanes, &past, end)))
    }
}

/// Those from a place on that may come before `end`.
fn until<'a>(optional: &'a [Optional<'a>], from: usize, end: Tick) -> impl Iterator<Item = (usize, &'a Optional<'a>)> {
    optional.iter().enumerate().skip(from).take_while(move |(_, optional)| optional.one.step.call <= end)
}

/// Counts what of the optional ones cannot be done any more as over, of those that may come before `end`.
fn pass_over(optional: &[Optional<'_>], past: &mut Past, end: Tick) {
    let over = until(optional, past.over, end)
        .filter(|(at, optional)| past.done.binary_search(at).is_ok() || optional.is_too_late(past));
    past.done = over.map(|(at, _)| at).collect();
    let count = past.done.iter().enumerate().take_while(|(place, at)| **at == past.over + place).count();
    past.done.drain(..count);
    past.over += count;
}

/// What has certainly taken effect of one client's requests.
struct Lane<'a> {
    steps: &'a [Step],
    /// From each on: when one must have taken effect first.
    ends: Vec<Tick>,
}

impl<'a> Lane<'a> {
    fn new(steps: &'a [Step]) -> Lane<'a> {
        let mut ends: Vec<Tick> = steps.iter().map(|step| step.back).collect();
        for at in (1..ends.len()).rev() {
            ends[at - 1] = ends[at - 1].min(ends[at]);
        }
        Lane { steps, ends }
    }

    fn next(&self, place: u32) -> Option<&'a Step> {
        self.steps.get(place as usize)
    }
}

/// Puts in all that fits and changes nothing. Gives when the next step must have taken effect; `None`: all have.
fn settle(lanes: &[Lane<'_>], past: &mut Past) -> Option<Tick> {
    loop {
        let end = lanes.iter().zip(&past.places).filter_map(|(lane, place)| lane.ends.get(*place as usize)).min()?;
        let mut has_moved = false;
        for (lane, place) in lanes.iter().zip(&mut past.places) {
            while let Some(step) = lane.next(*place)
                && step.call <= *end
                && !step.changes()
                && step.apply(&past.held).is_some()
            {
                *place += 1;
                past.now = past.now.max(step.call);
                has_moved = true;
            }
        }
        if !has_moved {
            return Some(*end);
        }
    }
}

/// Whether somebody was told what the key holds now, or something that it is a part of.
fn is_wanted(lanes: &[Lane<'_>], past: &Past) -> bool {
    let Some((_, held)) = &past.held else { return false };
    let mut next = lanes.iter().zip(&past.places).filter_map(|(lane, place)| lane.next(*place));
    let is_in = |data: &[u8]| match data.len().cmp(&held.len()) {
        Ordering::Less => false,
        Ordering::Equal => *data == **held,
        Ordering::Greater => memmem::find(data, held).is_some(),
    };
    next.any(|step| matches!(&step.seen, Seen::Value { data, .. } if is_in(data)))
}

fn tell(lanes: &[Lane<'_>], past: &Past, end: Tick) -> String {
    let next = lanes.iter().zip(&past.places).filter_map(|(lane, place)| lane.next(*place));
    let next: Vec<String> = next.filter(|step| step.call <= end).map(Step::tell).collect();
    let held = past.held.as_ref().map_or("nothing".to_owned(), |(flags, data)| format!("{flags} {}", shown(data)));
    format!("it holds {held} when one of these is next: {}", next.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Place;
    use crate::op::Key;

    /// A history of one key, from lines like `1 set a 10-20`: client, request, when it was sent and answered. `10-` was not
    /// answered; `get a` was told of `a`.
    fn explain(lines: &[&str]) -> Verdict {
        explain_repeated(lines, 0)
    }

    fn explain_repeated(lines: &[&str], repeats: u32) -> Verdict {
        let mut register = Register::default();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [client, verb, value, times] = words[..] else { panic!("{line}") };
            let (call, back) = times.split_once('-').expect("two times");
            let key = Key::from(&b"k"[..]);
            let data: Rc<[u8]> = Rc::from(value.as_bytes());
            let store =
                |verb| Op::Store { verb, key: key.clone(), flags: 0, exptime: 0, cas: None, value: data.clone() };
            let (op, seen) = match verb {
                "set" => (store(StoreVerb::Set), Seen::Done),
                "add" => (store(StoreVerb::Add), Seen::Done),
                "add-refused" => (store(StoreVerb::Add), Seen::Present),
                "append" => (store(StoreVerb::Append), Seen::Done),
                "get" => (Op::Get { keys: vec![key], cas: false, touch: None }, Seen::Value { flags: 0, data }),
                "miss" => (Op::Get { keys: vec![key], cas: false, touch: None }, Seen::Absent),
                "delete" => (Op::Delete { key }, Seen::Done),
                "incr-to" => (Op::Arith { key, delta: 5, decr: false }, Seen::Number(value.parse().expect("a number"))),
                other => panic!("{other}"),
            };
            let told = Told {
                client: client.parse().expect("a client"),
                op,
                seen,
                call: call.parse().expect("a time"),
                back: back.parse().ok(),
                place: Place::At(0),
            };
            register.add(Step::of(&told, None), repeats);
        }
        register.explain()
    }

    fn assert_explained(lines: &[&str]) {
        assert_eq!(explain(lines), Verdict::Explained, "{lines:?}");
    }

    fn assert_refuted(lines: &[&str]) {
        assert!(matches!(explain(lines), Verdict::Refuted(_)), "{lines:?}");
    }

    #[test]
    fn what_is_read_is_what_was_written_last() {
        assert_explained(&["1 set a 1-2", "1 set b 3-4", "2 get b 5-6"]);
        assert_refuted(&["1 set a 1-2", "1 set b 3-4", "2 get a 5-6"]);
        assert_refuted(&["1 set a 1-2", "2 miss - 3-4"]);
        assert_refuted(&["1 set a 1-2", "2 get x 3-4"]);
    }

    #[test]
    fn at_the_same_time_either_may_be_first() {
        assert_explained(&["1 set a 1-5", "2 set b 1-5", "3 get a 6-7"]);
        assert_explained(&["1 set a 1-5", "2 set b 1-5", "3 get b 6-7"]);
        assert_explained(&["1 set a 1-9", "2 set b 2-3", "3 get b 4-5", "4 get a 6-7"]);
        // But all see the same order.
        assert_refuted(&["1 set a 1-9", "2 set b 1-9", "3 get a 10-11", "3 get b 12-13"]);
        // Those of one client have theirs.
        assert_refuted(&["1 set a 1-9", "1 set b 2-9", "3 get a 10-11"]);
    }

    #[test]
    fn what_was_not_answered_has_happened_once_or_never() {
        assert_explained(&["1 set a 1-2", "2 set b 3-", "3 get a 10-11", "3 get b 12-13"]);
        assert_explained(&["1 set a 1-2", "2 set b 3-", "3 get a 10-11"]);
        assert_refuted(&["1 set a 1-2", "2 set b 3-", "3 get b 4-5", "3 get a 6-7"]);
        assert_refuted(&["1 set a 1-2", "2 set b 3-", "3 get b 4-5", "1 set c 6-7", "3 get b 8-9"]);
        // Not before it was sent.
        assert_refuted(&["1 set a 1-2", "3 get b 3-4", "2 set b 5-"]);
    }

    #[test]
    fn what_was_not_answered_never_comes_behind_what_its_client_was_told_of_later() {
        assert_refuted(&["1 set a 1-", "1 set b 2-3", "2 get b 4-5", "2 get a 6-7"]);
        assert_explained(&["1 set a 1-", "3 set b 2-3", "2 get b 4-5", "2 get a 6-7"]);
    }

    #[test]
    fn what_may_be_repeated_may_have_happened_twice_before_its_answer() {
        let twice = ["1 set a 1-9", "3 get a 2-3", "2 set b 4-5", "3 get b 6-7", "3 get a 8-9"];
        assert!(matches!(explain(&twice), Verdict::Refuted(_)));
        assert_eq!(explain_repeated(&twice, 1), Verdict::Explained);
        let late = ["1 set a 1-2", "2 set b 4-5", "3 get a 6-7"];
        assert!(matches!(explain_repeated(&late, 1), Verdict::Refuted(_)));
        let joined = ["1 set a 1-2", "1 append b 3-9", "3 get abb 10-11"];
        assert!(matches!(explain_repeated(&joined, 1), Verdict::Refuted(_)));
    }

    #[test]
    fn answers_of_changes_count_too() {
        assert_explained(&["1 add a 1-2", "2 add-refused b 3-4", "2 delete - 5-6", "1 add c 7-8"]);
        assert_refuted(&["1 add a 1-2", "2 add b 3-4"]);
        assert_refuted(&["2 add-refused b 3-4"]);
        assert_refuted(&["2 delete - 3-4"]);
        assert_explained(&["1 set 10 1-2", "2 incr-to 20 3-6", "3 incr-to 15 3-6"]);
        assert_refuted(&["1 set 10 1-2", "2 incr-to 15 3-6", "3 incr-to 15 3-6"]);
        assert_explained(&["1 set a 1-2", "2 append b 3-", "3 append c 4-5", "1 get abc 6-7"]);
        assert_refuted(&["1 set a 1-2", "2 append b 3-4", "3 append c 5-6", "1 get acb 6-7"]);
    }
}
