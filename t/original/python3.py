"""Turns the Python 2 files of the original suite into Python 3, in a scratch directory.

Those files use text where they mean bytes. They keep doing so: every byte is
the character of the same number (Latin-1), and only what crosses a socket or
comes out of struct.pack is converted. So few rules are enough, and none of them
touches what a test asserts.
"""

import re
from pathlib import Path

# Pattern, replacement.
RULES = [
    # except X, (a, b):
    (
        r"^( *)except ([\w.]+), \((\w+), (\w+)\):$",
        r"\1except \2 as problem:\n\1    \3, \4 = (problem.args + ('', ''))[:2]",
    ),
    # except X, e:
    (r"^( *)except ([\w.]+), (\w+):$", r"\1except \2 as \3:"),
    # Python 3 has no such switch.
    (r"^sys\.setcheckinterval\(.*\)$", r""),
    (r"\bstruct\.pack\((?=[\w.]+_FMT)", r"packed("),
    (r"(\.client|\.clients\[idx\])\.send\((\w+)\)", r"\1.send(\2.encode('latin-1'))"),
    (r"(\.client|\.clients\[idx\])\.recv\(([\w.]+)\)", r"\1.recv(\2).decode('latin-1')"),
    # What the rule for struct.pack needs, where struct is imported.
    (
        r"^import struct$",
        "import struct\n\ndef packed(*fields):\n    return struct.pack(*fields).decode('latin-1')",
    ),
]


def convert(text):
    """The Python 3 text for a Python 2 text."""
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def convert_files(directory, names):
    """Converts these files in place."""
    for name in names:
        path = Path(directory) / name
        path.write_text(convert(path.read_text(encoding="latin-1")), encoding="utf-8")
