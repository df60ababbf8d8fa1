"""python-binary-memcached: binary alone."""

import bmemcached
from common import Conditional, kind, statistics


class Adapter(Conditional):
    def __init__(self, host, port, _protocol):
        self.client = bmemcached.Client([f"{host}:{port}"], raw_data=True, socket_timeout=10)
        for name in "get add replace delete set_multi get_multi delete_multi".split():
            setattr(self, name, getattr(self.client, name))

    def set(self, key, value, expire=0):
        return self.client.set(key, value, time=expire)

    def gets_multi(self, keys):
        return {key: (value, kind(cas)) for key, (value, cas) in self.client.get_multi(keys, get_cas=True).items()}

    def incr(self, key, by):
        return self.client.incr(key, by, default=0, time=0)

    def decr(self, key, by):
        return self.client.decr(key, by, default=0, time=0)

    def incr_initial(self, key, by, initial):
        return self.client.incr(key, by, default=initial), self.client.get(key)

    def decr_initial(self, key, by, initial):
        return self.client.decr(key, by, default=initial), self.client.get(key)

    def statistics(self):
        (found,) = self.client.stats().values()
        return statistics(found)

    def flush(self):
        return self.client.flush_all()

    def close(self):
        return self.client.disconnect_all()

    def own(self):
        """Deletes and sets that depend on cas, and objects."""
        objects = bmemcached.Client([self.client._servers[0].server])
        stored = objects.set("object", {"a": [1, "ü", b"\0"]}), objects.get("object")
        _, cas = self.client.gets("a")
        many = self.client.set_multi_cas({("multi5", 0): b"5", ("none5", 0): b"5"})
        return stored, self.client.delete("a", cas=cas + 1), self.client.delete("a", cas=cas), len(many)
