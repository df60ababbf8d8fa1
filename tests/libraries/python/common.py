"""What the adapters have in common."""

from scenario import STATISTICS


def kind(cas):
    """Says of a value of cas that it is one."""
    return f"cas {type(cas).__name__}" if cas else f"no cas: {cas!r}"


class Conditional:
    """Steps under an id, of a client whose calls are `gets` and `cas`."""

    # An id that no item has.
    stranger = 1

    def gets_cas(self, key, value):
        old, cas = self.client.gets(key)
        return old, kind(cas), self.client.cas(key, value, cas)

    def cas_twice(self, key, value):
        _, cas = self.client.gets(key)
        return self.client.cas(key, value, cas), self.client.cas(key, value, cas)

    def cas_nothing(self, key, value):
        return self.client.cas(key, value, self.stranger)


def statistics(found):
    """The part of the statistics that is the same each time: how many of what has happened, and which names there are."""
    text = {_text(name): _text(value) for name, value in found.items()}
    counted = {name: text.get(name) for name in ("curr_items", "total_items", "cmd_set")}
    missing = [name for name in STATISTICS.split() if name not in text]
    return [f"{name} {value}" for name, value in counted.items()] + [f"missing {missing}"]


def _text(word):
    return word.decode() if isinstance(word, (bytes, bytearray)) else str(word)


def is_version(text):
    """A version of some kind; whose it is differs."""
    words = _text(text).split(".")
    return f"version of {len(words)} numbers" if words[0].isdigit() else f"no version: {text!r}"
