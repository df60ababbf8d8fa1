"""emcache: classic ASCII, asyncio, with a pool and batches of its own."""

import asyncio

import emcache
from common import is_version, kind, statistics


def plain(item):
    """An item as its value and flags; its cas by its kind."""
    if item is None:
        return None
    return (item.value, item.flags) if item.cas is None else (item.value, item.flags, kind(item.cas))


def many(items):
    return {key: plain(item) for key, item in items.items()}


class Adapter:
    def __init__(self, host, port, _protocol):
        self.loop = asyncio.new_event_loop()
        self.node = emcache.MemcachedHostAddress(host, port)
        self.client = self.run(emcache.create_client([self.node], timeout=10, max_connections=8))
        self.batching = self.run(emcache.create_client([self.node], timeout=10, autobatching=True))

    def run(self, task):
        return self.loop.run_until_complete(asyncio.wait_for(task, 20))

    def get(self, key):
        return plain(self.run(self.client.get(key.encode())))

    def get_flags(self, key):
        self.run(self.client.set(key.encode(), b"1", flags=4_294_967_295))
        return plain(self.run(self.client.get(key.encode(), return_flags=True)))

    def set(self, key, value, expire=0):
        return self.run(self.client.set(key.encode(), value, exptime=expire))

    def _stores(self, name, key, value):
        return self.run(getattr(self.client, name)(key.encode(), value))

    def add(self, key, value):
        return self._stores("add", key, value)

    def replace(self, key, value):
        return self._stores("replace", key, value)

    def append(self, key, value):
        return self._stores("append", key, value)

    def prepend(self, key, value):
        return self._stores("prepend", key, value)

    def gets_cas(self, key, value):
        item = self.run(self.client.gets(key.encode()))
        return plain(item), self.run(self.client.cas(key.encode(), value, item.cas))

    def cas_twice(self, key, value):
        item = self.run(self.client.gets(key.encode()))
        self.run(self.client.cas(key.encode(), value, item.cas))
        return self.run(self.client.cas(key.encode(), value, item.cas))

    def cas_nothing(self, key, value):
        return self.run(self.client.cas(key.encode(), value, 1))

    def delete(self, key):
        return self.run(self.client.delete(key.encode()))

    def incr(self, key, by):
        return self.run(self.client.increment(key.encode(), by))

    def decr(self, key, by):
        return self.run(self.client.decrement(key.encode(), by))

    def touch(self, key, seconds):
        return self.run(self.client.touch(key.encode(), seconds))

    def gat(self, seconds, key):
        return plain(self.run(self.client.gat(seconds, key.encode())))

    def gats(self, seconds, key):
        return plain(self.run(self.client.gats(seconds, key.encode())))

    def get_multi(self, keys):
        return many(self.run(self.client.get_many([key.encode() for key in keys], return_flags=True)))

    def gets_multi(self, keys):
        return many(self.run(self.client.gets_many([key.encode() for key in keys])))

    def gat_multi(self, seconds, keys):
        return many(self.run(self.client.gat_many(seconds, [key.encode() for key in keys])))

    def at_once(self, keys):
        async def all_of_them():
            return await asyncio.gather(*(self.batching.get(key.encode()) for key in keys))

        return [plain(item) for item in self.run(all_of_them())][:20]

    def set_silently(self, key, value):
        return self.run(self.client.set(key.encode(), value, noreply=True)), self.run(asyncio.sleep(0.1))

    def add_silently(self, key, value):
        return self.run(self.client.add(key.encode(), value, noreply=True))

    def incr_silently(self, key, by):
        return self.run(self.client.increment(key.encode(), by, noreply=True)), self.run(asyncio.sleep(0.1))

    def append_silently(self, key, value):
        return self.run(self.client.append(key.encode(), value, noreply=True)), self.run(asyncio.sleep(0.1))

    def touch_silently(self, key, seconds):
        return self.run(self.client.touch(key.encode(), seconds, noreply=True))

    def delete_silently(self, key):
        return self.run(self.client.delete(key.encode(), noreply=True)), self.run(asyncio.sleep(0.1))

    def statistics(self):
        return statistics(self.run(self.client.stats(self.node)))

    def version(self):
        return is_version(self.run(self.client.version(self.node)))

    def verbosity(self, level):
        return self.run(self.client.verbosity(self.node, level))

    def flush(self):
        return self.run(self.client.flush_all(self.node))

    def close(self):
        return self.run(self.client.close()), self.run(self.batching.close())
