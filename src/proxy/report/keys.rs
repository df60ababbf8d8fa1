//! What `stats proxy` shows of single keys (06 §7, §7.1).

use crate::memcached::statistics::Emit;
use crate::metrics::keys::board::KeyBoard;
use crate::metrics::keys::text::Shown;
use crate::proxy::timers::Micros;

/// The numbers of a bucket's keys that are not 0, key by key.
pub(super) fn numbers(board: &KeyBoard, bucket: usize, now: Micros, emit: &mut Emit<'_>) {
    for (key, numbers) in board.key_numbers(bucket, now) {
        let key = Shown(&key);
        for (kind, command, field, number) in numbers.counted() {
            emit(&format!("{key}:{kind}_{command}:{field}"), &number);
        }
        emit(&format!("{key}:added_at_msec"), &(numbers.since / 1000));
    }
}

/// How many keys a bucket was asked for, and those that it was asked for most.
pub(super) fn hot(board: &KeyBoard, bucket: usize, shown: usize, emit: &mut Emit<'_>) {
    let Some(found) = board.hot_keys(bucket, shown) else { return };
    emit("_seen", &found.total);
    for hot in found.keys {
        let key = Shown(&hot.key);
        emit(&format!(":{key}:requests"), &hot.requests);
        emit(&format!(":{key}:error"), &hot.error);
    }
}
