#!/usr/bin/env python3
"""Runs the mock suites against the moxi program.

    t/mock/run.py [-v] [SUITE[.Class[.test]]]...

SUITE is what follows `test_` in the name of a file beside this one; all of them by
default. MOXI_BIN names the program, else target/release/moxi or target/debug/moxi.
The closing line counts tests; the exit code is 0 only if all have passed.
"""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True


def main():
    arguments = sys.argv[1:]
    verbose = "-v" in arguments
    names = [name for name in arguments if name != "-v"]
    known = sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))
    for name in names:
        if name.split(".")[0] not in known:
            sys.exit(f"no suite {name}; there are {' '.join(known)}")
    suite = unittest.defaultTestLoader.loadTestsFromNames([f"test_{name}" for name in names or known])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2 if verbose else 1).run(suite)
    bad = len({getattr(test, "test_case", test) for test, _ in result.failures + result.errors})
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed", flush=True)
    return 0 if result.testsRun and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
