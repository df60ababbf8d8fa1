"""aiomcache: classic ASCII, asyncio."""

import asyncio

import aiomcache
from common import is_version, kind, statistics


def text(key):
    return key.encode()


class Adapter:
    def __init__(self, host, port, _protocol):
        self.loop = asyncio.new_event_loop()

        async def client():
            return aiomcache.Client(host, port, pool_size=8)

        self.client = self.run(client())

    def run(self, task):
        return self.loop.run_until_complete(asyncio.wait_for(task, 20))

    def get(self, key):
        return self.run(self.client.get(text(key)))

    def set(self, key, value, expire=0):
        return self.run(self.client.set(text(key), value, expire))

    def add(self, key, value):
        return self.run(self.client.add(text(key), value))

    def replace(self, key, value):
        return self.run(self.client.replace(text(key), value))

    def append(self, key, value):
        return self.run(self.client.append(text(key), value))

    def prepend(self, key, value):
        return self.run(self.client.prepend(text(key), value))

    def gets_cas(self, key, value):
        old, cas = self.run(self.client.gets(text(key)))
        return old, kind(cas), self.run(self.client.cas(text(key), value, cas))

    def cas_twice(self, key, value):
        _, cas = self.run(self.client.gets(text(key)))
        return [self.run(self.client.cas(text(key), value, cas)) for _ in range(2)]

    def cas_nothing(self, key, value):
        return self.run(self.client.cas(text(key), value, 1))

    def delete(self, key):
        return self.run(self.client.delete(text(key)))

    def incr(self, key, by):
        return self.run(self.client.incr(text(key), by))

    def decr(self, key, by):
        return self.run(self.client.decr(text(key), by))

    def touch(self, key, seconds):
        return self.run(self.client.touch(text(key), seconds))

    def get_multi(self, keys):
        return self.run(self.client.multi_get(*map(text, keys)))

    def at_once(self, keys):
        async def all_of_them():
            return await asyncio.gather(*(self.client.get(text(key)) for key in keys))

        return self.run(all_of_them())[:20]

    def statistics(self):
        return statistics(self.run(self.client.stats()))

    def version(self):
        return is_version(self.run(self.client.version()))

    def flush(self):
        return self.run(self.client.flush_all())

    def close(self):
        return self.run(self.client.close())
