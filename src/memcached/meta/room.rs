//! An empty item in the place of one that is there, or is not.

use crate::memcached::access::Access;
use crate::memcached::classes::ClassId;
use crate::memcached::clock::NEVER;
use crate::memcached::item::{Body, Entry, Slot};
use crate::memcached::memory::OutOfMemory;
use crate::memcached::shard::Shard;

/// What [`Access::with_room`] has found, while it is locked.
pub(super) struct Place<'a> {
    access: &'a Access<'a>,
    key: &'a [u8],
    hash: u32,
    flags: u32,
    room: &'a mut Option<ClassId>,
    /// Where the item is.
    pub shard: &'a mut Shard,
    /// Its place there, if there is one.
    pub slot: Option<Slot>,
}

impl Place<'_> {
    /// Puts an empty item there, which never expires and has this CAS id, or the next one. `None` if there is no room.
    pub fn fill(&mut self, cas: Option<u64>) -> Option<Slot> {
        let class = self.room.take()?;
        if let Some(old) = self.slot.take() {
            // Its value is freed while others wait; that is rare enough.
            self.access.remove(self.shard, old);
        }
        let entry = Entry::new(Body::new(self.key, [b"", b""]), class, self.hash, self.flags, NEVER);
        self.slot = self.access.link_at(self.shard, entry, self.hash, cas);
        self.slot
    }
}

impl Access<'_> {
    /// Finds the item with this key, whether there is one or not. If `needs` says so, memory for an empty one is taken
    /// first; it is not there if there is none.
    pub(super) fn with_room<R>(
        &self,
        key: &[u8],
        flags: u32,
        needs: impl Fn(Option<&Entry>) -> bool,
        use_it: impl FnOnce(Place<'_>) -> R,
    ) -> R {
        let memcached = self.memcached;
        let (index, hash) = memcached.place(key);
        let mut room = None;
        let mut gone;
        let mut is_full = false;
        let result = loop {
            let mut shard = memcached.shard(index);
            let found = self.find_live(&mut shard, hash, key);
            gone = found.expired;
            if room.is_none() && !is_full && needs(found.live.map(|slot| shard.get(slot))) {
                drop(shard);
                room = self.take_room(key, flags).ok();
                is_full = room.is_none();
                continue;
            }
            let place = Place { access: self, key, hash, flags, room: &mut room, shard: &mut shard, slot: found.live };
            break use_it(place);
        };
        drop(gone);
        if let Some(class) = room {
            self.give(class);
        }
        result
    }

    /// Takes memory for an empty item.
    fn take_room(&self, key: &[u8], flags: u32) -> Result<ClassId, OutOfMemory> {
        let classes = &self.memcached.classes;
        let class = classes.of(classes.total(key.len(), flags, 0)).ok_or(OutOfMemory)?;
        self.memcached.allocate(class, self.tick)?;
        Ok(class)
    }
}
