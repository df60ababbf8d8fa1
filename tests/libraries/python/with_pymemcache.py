"""pymemcache: classic ASCII. PROTOCOL is ascii; the pooled and the hashing client are tried by `own`."""

import concurrent.futures

import pymemcache
from common import Conditional, is_version, kind, statistics


class Adapter(Conditional):
    stranger = b"1"

    def __init__(self, host, port, _protocol):
        self.address = (host, port)
        self.client = pymemcache.Client(
            self.address, connect_timeout=10, timeout=10, default_noreply=False, allow_unicode_keys=True
        )
        for name in "get append prepend replace add delete incr decr touch get_multi close".split():
            setattr(self, name, getattr(self.client, name))

    def set(self, key, value, expire=0):
        return self.client.set(key, value, expire)

    def set_multi(self, pairs):
        return self.client.set_many(pairs, noreply=False)

    def gets_multi(self, keys):
        return {key: (value, kind(cas)) for key, (value, cas) in self.client.gets_many(keys).items()}

    def delete_multi(self, keys):
        return self.client.delete_many(keys, noreply=False)

    def set_silently(self, key, value):
        return self.client.set(key, value, noreply=True)

    def add_silently(self, key, value):
        return self.client.add(key, value, noreply=True)

    def append_silently(self, key, value):
        return self.client.append(key, value, noreply=True)

    def incr_silently(self, key, value):
        return self.client.incr(key, value, noreply=True)

    def touch_silently(self, key, seconds):
        return self.client.touch(key, seconds, noreply=True)

    def delete_silently(self, key):
        return self.client.delete(key, noreply=True)

    def statistics(self):
        return statistics(self.client.stats())

    def version(self):
        return is_version(self.client.version())

    def flush(self):
        return self.client.flush_all(noreply=False)

    def verbosity(self, level):
        return self.client.raw_command(f"verbosity {level}")

    def unknown(self):
        return [self.client.raw_command(line) for line in (b"unheard of", b"get", b"set a 0 0", b"incr number much")]

    def gat(self, seconds, key):
        return self.client.raw_command(f"gat {seconds} {key}", "END\r\n")

    def gats(self, seconds, key):
        lines = self.client.raw_command(f"gats {seconds} {key}", "END\r\n").split(b"\r\n")
        return [b" ".join(line.split(b" ")[:4]) for line in lines]

    def gat_multi(self, seconds, keys):
        return self.client.raw_command(f"gat {seconds} {' '.join(keys)}", "END\r\n").split(b"\r\n")

    def at_once(self, keys):
        pooled = pymemcache.PooledClient(self.address, max_pool_size=8, timeout=10)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return list(threads.map(pooled.get, keys))[:20]

    def own(self):
        hashing = pymemcache.HashClient([self.address], use_pooling=True, timeout=10)
        failed = hashing.set_many({f"hashed{number}": "h" * number for number in range(50)}, noreply=False)
        found = hashing.get_many([f"hashed{number}" for number in range(60)])
        return failed, len(found), hashing.gets_many(["hashed1"])["hashed1"][0]
