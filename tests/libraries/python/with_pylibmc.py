"""pylibmc, on libmemcached: classic ASCII and binary."""

import concurrent.futures

import pylibmc
from common import Conditional, statistics


class Adapter(Conditional):
    def __init__(self, host, port, protocol):
        behaviors = {"cas": True, "tcp_nodelay": True, "receive_timeout": 10_000_000, "send_timeout": 10_000_000}
        self.client = pylibmc.Client([f"{host}:{port}"], binary=protocol == "binary", behaviors=behaviors)
        for name in "get add replace append prepend delete incr decr touch get_multi".split():
            setattr(self, name, getattr(self.client, name))

    def set(self, key, value, expire=0):
        return self.client.set(key, value, time=expire)

    def set_multi(self, pairs):
        return self.client.set_multi(pairs)

    def add_multi(self, pairs):
        return self.client.add_multi(pairs)

    def delete_multi(self, keys):
        return self.client.delete_multi(keys)

    def incr_multi(self, keys):
        for key in keys:
            self.client.set(key, 5)
        return self.client.incr_multi(keys, delta=3), self.client.get_multi(keys)

    def statistics(self):
        ((_, found),) = self.client.get_stats()
        return statistics(found)

    def flush(self):
        return self.client.flush_all()

    def close(self):
        return self.client.disconnect_all()

    def at_once(self, keys):
        pool = pylibmc.ThreadMappedPool(self.client)

        def get(key):
            with pool.reserve() as client:
                return client.get(key)

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return list(threads.map(get, keys))[:20]

    def own(self):
        """Objects, as its users store them."""
        values = {"int": 7, "long": 1 << 70, "bool": True, "none": None, "text": "ü", "list": [1, {"a": b"b"}]}
        self.client.set_multi(values, key_prefix="object-", min_compress_len=1)
        return self.client.get_multi(list(values), key_prefix="object-")
