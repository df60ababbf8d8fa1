//! `ma`.

use super::{END, NO_MEMORY, bare, expiry, repeat, time_left};
use crate::memcached::access::Access;
use crate::memcached::arith::{Arith, Computed, Counted, Initial};
use crate::memcached::clock::NEVER;
use crate::protocol::ascii::meta::answer;
use crate::protocol::ascii::meta::request::Meta;
use crate::protocol::numbers::push_u64;

const NON_NUMERIC: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

/// `ma`. A number that is not there is made if `N` says so, with the value of `J`.
pub(super) fn arith(access: &Access<'_>, meta: &Meta<'_>, decr: bool, out: &mut Vec<u8>) {
    let options = &meta.options;
    let request = Arith {
        key: meta.key.name(),
        delta: options.delta,
        decr,
        cas: options.cas.unwrap_or(0),
        initial: options.vivify.map(|_| Initial { value: options.initial, expires: NEVER }),
        is_strict: true,
        new_cas: options.new_cas,
    };
    let computed = access.arith_then(&request, |counted| {
        let mark = out.len();
        show(access, meta, counted, out);
        if !meta.answered().says_done() {
            out.truncate(mark);
        }
    });
    match computed {
        Computed::Yes(..) => {}
        Computed::NotFound => bare(out, b"NF", meta),
        Computed::Exists => bare(out, b"EX", meta),
        Computed::NonNumeric => out.extend_from_slice(NON_NUMERIC),
        Computed::OutOfMemory => out.extend_from_slice(NO_MEMORY),
    }
}

fn show(access: &Access<'_>, meta: &Meta<'_>, counted: Counted<'_>, out: &mut Vec<u8>) {
    let Counted { shard, slot, number, is_new } = counted;
    let (ttl, vivify) = (expiry(access, meta.options.expiry), expiry(access, meta.options.vivify));
    if meta.options.wants_value {
        out.extend_from_slice(b"VA ");
        push_u64(out, u64::from(number.checked_ilog10().unwrap_or(0)) + 1);
    } else {
        out.extend_from_slice(b"HD");
    }
    for (letter, token) in meta.flags.iter() {
        match (letter, ttl, vivify) {
            (b'T', Some(expires), _) => Access::set_expiry(shard, slot, expires),
            (b'N', _, Some(expires)) if is_new => Access::set_expiry(shard, slot, expires),
            (b'c', ..) => answer::number(out, b'c', shard.get(slot).cas),
            (b't', ..) => answer::time_left(out, time_left(access, shard.get(slot))),
            _ => repeat(out, meta, letter, token),
        }
    }
    out.extend_from_slice(END);
    if meta.options.wants_value {
        push_u64(out, number);
        out.extend_from_slice(END);
    }
}
