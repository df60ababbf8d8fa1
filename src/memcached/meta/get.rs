//! `mg` and `me`.

use super::room::Place;
use super::{END, bare, expiry, time_left};
use crate::buffer::{Output, Value};
use crate::memcached::access::Access;
use crate::memcached::clock::{NEVER, Tick};
use crate::memcached::counters::{ClassCount, Count};
use crate::memcached::item::{Entry, Mark, Slot};
use crate::memcached::prefix::Deed;
use crate::memcached::shard::Shard;
use crate::protocol::ascii::meta::answer;
use crate::protocol::ascii::meta::request::Meta;
use crate::protocol::numbers::push_u64;

/// `mg`. An item that is not there is made if `N` says so; one that was asked for is the most recently used one unless `u`
/// says otherwise.
pub(super) fn get(access: &Access<'_>, meta: &Meta<'_>, out: &mut Output) {
    let (key, options) = (meta.key.name(), &meta.options);
    let needs = |entry: Option<&Entry>| entry.is_none() && options.vivify.is_some();
    let is_there = access.with_room(key, 0, needs, |mut place| {
        let is_new = place.slot.is_none();
        let slot = if is_new { place.fill(options.new_cas) } else { place.slot };
        slot.map(|slot| hit(&Getting { access, meta, is_new }, place, slot, out))
    });
    if is_there.is_some() {
        access.record(key, Deed::Hit);
        return;
    }
    access.counters.add(Count::CmdGet, 1);
    access.counters.add(Count::GetMisses, 1);
    access.record(key, Deed::Miss);
    if meta.answered().says_missing() {
        bare(out.tail(), b"EN", meta);
    }
}

/// What is known of a get before its item.
struct Getting<'a> {
    access: &'a Access<'a>,
    meta: &'a Meta<'a>,
    is_new: bool,
}

fn hit(get: &Getting<'_>, place: Place<'_>, slot: Slot, out: &mut Output) {
    let Getting { access, meta, .. } = *get;
    let shard = place.shard;
    let entry = shard.get(slot);
    // Who knows the item by its CAS id does not need its value.
    let shows_value = meta.options.wants_value && meta.options.cas != Some(entry.cas);
    if shows_value {
        out.tail().extend_from_slice(b"VA ");
        push_u64(out.tail(), entry.body.value().len() as u64);
    } else {
        out.tail().extend_from_slice(b"HD");
    }
    let has_won = flags(get, shard, slot, out.tail());
    let entry = shard.get_mut(slot);
    let (is_stale, is_won) = (entry.has(Mark::Stale), entry.has(Mark::Won));
    let wins = has_won || is_stale && !is_won;
    for (letter, shown) in [(b'Z', is_won), (b'X', is_stale), (b'W', wins)] {
        if shown {
            answer::flag(out.tail(), letter);
        }
    }
    if wins {
        entry.mark(Mark::Won, true);
    }
    out.tail().extend_from_slice(END);
    if shows_value {
        out.push(Value { bytes: entry.body.value(), owner: entry.body.owner() });
        out.tail().extend_from_slice(END);
    }
    let class = entry.class();
    if meta.options.expiry.is_some() {
        access.counters.add(Count::CmdTouch, 1);
        access.counters.add_class(class, ClassCount::TouchHits);
    } else {
        access.counters.add(Count::CmdGet, 1);
        access.counters.add_class(class, ClassCount::GetHits);
    }
    if !meta.options.is_unnoticed {
        shard.bump(slot, access.memcached.next_use(), access.tick);
    }
}

/// Does what the flags say, and shows what they ask for, in their order. The result is whether the client has won the right
/// to store the item anew.
fn flags(get: &Getting<'_>, shard: &mut Shard, slot: Slot, out: &mut Vec<u8>) -> bool {
    let Getting { access, meta, is_new } = *get;
    let options = &meta.options;
    let [ttl, vivify, recache] = [options.expiry, options.vivify, options.recache].map(|time| expiry(access, time));
    let mut has_won = false;
    for (letter, token) in meta.flags.iter() {
        match (letter, ttl, vivify) {
            (b'T', Some(expires), _) => Access::set_expiry(shard, slot, expires),
            (b'N', _, Some(expires)) if is_new => {
                Access::set_expiry(shard, slot, expires);
                has_won = true;
            }
            (b'R', ..) if !is_new => has_won |= is_due(shard.get(slot), recache),
            _ => show(access, shard.get(slot), letter, token, out),
        }
    }
    has_won
}

/// Whether somebody should store the item anew, because it has less time left than `recache`, and nobody does so yet.
fn is_due(entry: &Entry, recache: Option<Tick>) -> bool {
    !entry.has(Mark::Won) && entry.expires != NEVER && recache.is_some_and(|recache| entry.expires < recache)
}

fn show(access: &Access<'_>, entry: &Entry, letter: u8, token: &[u8], out: &mut Vec<u8>) {
    match letter {
        b's' => answer::number(out, b's', entry.body.value().len() as u64),
        b't' => answer::time_left(out, time_left(access, entry)),
        b'c' => answer::number(out, b'c', entry.cas),
        b'f' => answer::number(out, b'f', entry.flags.into()),
        b'l' => answer::number(out, b'l', access.tick.saturating_sub(entry.accessed).into()),
        b'h' => answer::number(out, b'h', entry.has(Mark::Fetched).into()),
        b'O' => answer::opaque(out, token),
        b'k' => answer::key(out, entry.body.key(), entry.has(Mark::Encoded)),
        _ => {}
    }
}

/// `me`.
pub(super) fn debug(access: &Access<'_>, meta: &Meta<'_>, out: &mut Vec<u8>) {
    access.counters.add(Count::CmdMeta, 1);
    let shown = access.with_live(meta.key.name(), |shard, slot| {
        let entry = shard.get(slot);
        out.extend_from_slice(b"ME ");
        answer::name(out, entry.body.key(), entry.has(Mark::Encoded));
        // The seconds until then, with a minus; -1 if there is no end.
        out.extend_from_slice(b" exp=-");
        push_u64(out, time_left(access, entry).map_or(1, u64::from));
        for (name, number) in
            [(&b" la="[..], u64::from(access.tick.saturating_sub(entry.accessed))), (b" cas=", entry.cas)]
        {
            out.extend_from_slice(name);
            push_u64(out, number);
        }
        out.extend_from_slice(if entry.has(Mark::Fetched) { b" fetch=yes" } else { b" fetch=no" });
        for (name, number) in [(&b" cls="[..], u64::from(entry.class()) + 1), (b" size=", shard.total(entry))] {
            out.extend_from_slice(name);
            push_u64(out, number);
        }
        out.extend_from_slice(END);
    });
    if shown.is_none() {
        out.extend_from_slice(b"EN\r\n");
    }
}
