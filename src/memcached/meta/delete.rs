//! `md`.

use super::room::Place;
use super::{NO_MEMORY, bare, expiry};
use crate::memcached::access::Access;
use crate::memcached::counters::{ClassCount, Count};
use crate::memcached::item::{Entry, Mark};
use crate::memcached::prefix::Deed;
use crate::protocol::ascii::meta::request::Meta;

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    NotFound,
    Exists,
    OutOfMemory,
}

/// `md`: deletes an item; with `x` only its value, with `I` nothing at all, but it is stale then.
pub(super) fn delete(access: &Access<'_>, meta: &Meta<'_>, out: &mut Vec<u8>) {
    let (key, options) = (meta.key.name(), &meta.options);
    access.record(key, Deed::Delete);
    let needs = |entry: Option<&Entry>| options.empties && entry.is_some_and(|entry| has_id(entry, meta));
    match access.with_room(key, options.client_flags, needs, |place| change(access, meta, place)) {
        Outcome::Done if !meta.answered().says_done() => {}
        Outcome::Done => bare(out, b"HD", meta),
        Outcome::OutOfMemory => out.extend_from_slice(NO_MEMORY),
        outcome => {
            access.counters.add(Count::DeleteMisses, 1);
            bare(out, if outcome == Outcome::Exists { b"EX" } else { b"NF" }, meta);
        }
    }
}

fn has_id(entry: &Entry, meta: &Meta<'_>) -> bool {
    meta.options.cas.is_none_or(|cas| cas == entry.cas)
}

fn change(access: &Access<'_>, meta: &Meta<'_>, mut place: Place<'_>) -> Outcome {
    let options = &meta.options;
    let Some(slot) = place.slot else { return Outcome::NotFound };
    let entry = place.shard.get(slot);
    if !has_id(entry, meta) {
        return Outcome::Exists;
    }
    let (class, cas) = (entry.class(), entry.cas);
    let mut slot = slot;
    if options.empties {
        let Some(emptied) = place.fill(options.new_cas.or(Some(cas))) else { return Outcome::OutOfMemory };
        slot = emptied;
    }
    if let Some(expires) = expiry(access, options.expiry).filter(|_| options.empties || options.invalidates) {
        Access::set_expiry(place.shard, slot, expires);
    }
    if options.invalidates {
        let entry = place.shard.get_mut(slot);
        entry.mark(Mark::Stale, true);
        // The next client that asks is to store it anew.
        entry.mark(Mark::Won, false);
        entry.cas = access.cas_id(options.new_cas);
        return Outcome::Done;
    }
    access.counters.add_class(class, ClassCount::DeleteHits);
    if !options.empties {
        drop(access.remove(place.shard, slot));
    }
    Outcome::Done
}
