"""meta-memcache: meta commands alone, with what only they can do, such as leases and stale values."""

import concurrent.futures

import meta_memcache as meta
from common import kind
from meta_memcache.configuration import (
    LeasePolicy,
    RecachePolicy,
    ServerAddress,
    StalePolicy,
    connection_pool_factory_builder,
)
from meta_memcache.protocol import RequestFlags, SetMode

FOREVER = 1_000_000
TOLD = ("client_flag", "size", "win", "stale", "fetched", "opaque")


def plain(answer):
    """An answer by its kind and the flags that are the same each time."""
    flags = getattr(answer, "flags", None)
    told = {name: getattr(flags, name) for name in TOLD} if flags else {}
    told["lives"] = bool(flags and flags.ttl and flags.ttl > 0)
    value = getattr(answer, "value", None)
    return type(answer).__name__, value, {name: flag for name, flag in told.items() if flag is not None}


class Adapter:
    def __init__(self, host, port, _protocol):
        connections = connection_pool_factory_builder(
            initial_pool_size=1, max_pool_size=8, recv_timeout=10, connection_timeout=10
        )
        self.client = meta.CacheClient.cache_client_from_servers([ServerAddress(host, port)], connections)
        self.delete = self.client.delete

    def get(self, key):
        return self.client.get(key)

    def set(self, key, value, expire=FOREVER):
        return self.client.set(key, value, expire)

    def _sets(self, key, value, mode):
        return self.client.set(key, value, FOREVER, set_mode=mode)

    def add(self, key, value):
        return self._sets(key, value, SetMode.ADD)

    def replace(self, key, value):
        return self._sets(key, value, SetMode.REPLACE)

    def append(self, key, value):
        return self._sets(key, value, SetMode.APPEND)

    def prepend(self, key, value):
        return self._sets(key, value, SetMode.PREPEND)

    def gets_cas(self, key, value):
        old, cas = self.client.get_cas(key)
        return old, kind(cas), kind(self.client.set_cas(key, value, FOREVER, cas_token=cas))

    def cas_twice(self, key, value):
        _, cas = self.client.get_cas(key)
        return [self.client.set(key, value, FOREVER, cas_token=cas) for _ in range(2)]

    def cas_nothing(self, key, value):
        return self.client.set(key, value, FOREVER, cas_token=1)

    def incr(self, key, by):
        return self.client.delta(key, by), self.client.delta_and_get(key, by)

    def decr(self, key, by):
        return self.client.delta(key, -by), self.client.delta_and_get(key, -by)

    def incr_initial(self, key, by, initial):
        return self.client.delta_initialize_and_get(key, by, initial, FOREVER)

    def decr_initial(self, key, by, initial):
        return self.client.delta_initialize(key, -by, initial, FOREVER)

    def touch(self, key, seconds):
        return self.client.touch(key, seconds)

    def gat(self, seconds, key):
        return self.client.get(key, touch_ttl=seconds)

    def gats(self, seconds, key):
        value, cas = self.client.get_cas(key, touch_ttl=seconds)
        return value, kind(cas)

    def get_multi(self, keys):
        return {key.key: value for key, value in self.client.multi_get(keys).items()}

    def gets_multi(self, keys):
        return {key.key: (value, kind(cas)) for key, (value, cas) in self.client.multi_get_cas(keys).items()}

    def gat_multi(self, seconds, keys):
        return {key.key: value for key, value in self.client.multi_get(keys, touch_ttl=seconds).items()}

    def set_multi(self, pairs):
        return [self.client.set(key, value, FOREVER, no_reply=True) for key, value in pairs.items()]

    def at_once(self, keys):
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return list(threads.map(self.client.get, keys))[:20]

    def set_silently(self, key, value):
        return self.client.set(key, value, FOREVER, no_reply=True)

    def incr_silently(self, key, by):
        return self.client.delta(key, by, no_reply=True)

    def touch_silently(self, key, seconds):
        return self.client.touch(key, seconds, no_reply=True)

    def delete_silently(self, key):
        return self.client.delete(key, no_reply=True)

    def get_flags(self, key):
        """Everything that a meta get may be asked for."""
        self.client.meta_set(meta.Key(key), b"1", flags=RequestFlags(client_flag=4_294_967_295, cache_ttl=500))
        asked = RequestFlags(
            return_value=True, return_client_flag=True, return_size=True, return_ttl=True, return_fetched=True, opaque=b"o12"
        )
        return [plain(self.client.meta_get(meta.Key(key), flags=asked)) for _ in range(2)]

    def own(self):
        return [
            ("lease", self._lease()),
            ("stale", self._stale()),
            ("recache", self._recache()),
            ("key of bytes", self._binary_key()),
            ("long key", self._long_key()),
            ("refill", self.client.refill("a", b"refilled", FOREVER), self.client.get("a")),
        ]

    def _lease(self):
        policy = LeasePolicy(ttl=30, miss_retries=2, miss_retry_wait=0.01)
        first = self.client.get_or_lease("leased", policy)
        second = self.client.get_or_lease("leased", policy)
        self.client.set("leased", b"made", FOREVER)
        return first, second, self.client.get_or_lease("leased", policy)

    def _stale(self):
        policy = StalePolicy(mark_stale_on_deletion_ttl=30, mark_stale_on_cas_mismatch=True)
        self.client.set("stale", b"old", FOREVER)
        invalidated = self.client.invalidate("stale", stale_policy=policy)
        asked = RequestFlags(return_value=True)
        return invalidated, [plain(self.client.meta_get(meta.Key("stale"), flags=asked)) for _ in range(2)]

    def _recache(self):
        self.client.set("recached", b"r", 20)
        policy = RecachePolicy(ttl=30)
        return [self.client.get("recached", recache_policy=policy) for _ in range(2)]

    def _binary_key(self):
        key = meta.Key("schlüssel mit blank")
        return self.client.set(key, b"u", FOREVER), self.client.get(key), self.client.delete(key)

    def _long_key(self):
        key = meta.Key("long" * 100)
        return self.client.set(key, b"l", FOREVER), self.client.get(key), self.client.delete(key)
