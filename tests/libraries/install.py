"""Puts libraries into a directory of our own; nothing of the system's is changed.

Each function returns nothing, or raises Missing with the reason why a library cannot be had.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# For one step, such as building what has no built package.
LIMIT = 900


class Missing(Exception):
    """Why a library is not there."""


def run(words, **options):
    """Runs a step; its last line of output is the reason if it fails."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
            **options,
        )
    except FileNotFoundError as error:
        raise Missing(f"there is no {words[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{words[0]} took longer than {LIMIT} s") from error
    if done.returncode != 0:
        told = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines() or ["failed"]
        raise Missing(f"{' '.join(map(str, words[:3]))}: {told[-1]}")
    return done.stdout.decode("utf-8", "replace")


def python(place, packages):
    """A virtual environment with packages of PyPI."""
    if not (place / "bin/python").exists():
        run([sys.executable, "-m", "venv", str(place)])
    run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", *packages])


def python_source(place, package):
    """The unpacked source of a package of PyPI, which has its tests. Returns its directory."""
    unpacked = place / "source" / package.replace("==", "-")
    if not unpacked.exists():
        fetched = place / "fetched" / package
        words = ["download", "--quiet", "--no-deps", "--no-cache-dir", "--no-binary", ":all:", "--dest", str(fetched), package]
        run([place / "bin/pip", *words])
        (archive,) = fetched.glob("*.tar.gz")
        unpacked.mkdir(parents=True)
        run(["tar", "-xzf", str(archive), "-C", str(unpacked), "--strip-components=1"])
    return unpacked


def node(place, packages):
    """Packages of npm. A newer npm than the one there is does not matter, nor do scripts of packages."""
    place.mkdir(parents=True, exist_ok=True)
    if shutil.which("node") is None:
        raise Missing("there is no node")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", str(place)]
    run([*words, *packages], env={**os.environ, "npm_config_cache": str(place / "cache")})


def debian(place, packages):
    """Packages of Debian, with all that they need and the system has not, unpacked but not installed."""
    run(["apt-get", "update", "-qq"])
    planned = run(["apt-get", "install", "--simulate", "--no-install-recommends", *packages])
    needed = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    # Unpacked again where the system has it, so that it is all in one place.
    needed += [package for package in packages if package not in needed]
    fetched = place / "fetched"
    fetched.mkdir(parents=True, exist_ok=True)
    run(["apt-get", "download", "-qq", *needed], cwd=fetched)
    for package in sorted(fetched.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(place / "root")])


def debian_version(package):
    """The version of a package that can be had."""
    for line in run(["apt-cache", "policy", package]).splitlines():
        if line.strip().startswith("Candidate:"):
            return line.split()[1]
    return "?"


def rust(place, source):
    """Builds the crate with the scenarios. Returns the program."""
    run(
        ["cargo", "build", "--quiet", "--locked", "--manifest-path", str(source / "Cargo.toml")],
        env={**os.environ, "CARGO_TARGET_DIR": str(place / "target")},
    )
    return place / "target/debug/scenario"


def crate(place, source, name):
    """A copy of the source of a crate that the one with the scenarios depends on, which has its tests."""
    metadata = run(["cargo", "metadata", "--locked", "--format-version=1", "--manifest-path", str(source / "Cargo.toml")])
    (manifest,) = [package["manifest_path"] for package in json.loads(metadata)["packages"] if package["name"] == name]
    copy = place / "source" / name
    if not copy.exists():
        shutil.copytree(Path(manifest).parent, copy)
    return copy


def rust_tests(place, source, options):
    """Builds the tests of a crate. Returns the programs."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(place / "target-suite")}
    words = ["cargo", "test", "--quiet", "--tests", "--no-run", "--message-format=json", *options]
    told = [json.loads(line) for line in run(words, cwd=source, env=environment).splitlines()]
    return [built["executable"] for built in told if built.get("executable")]


def go(place, source):
    """Builds the program with the scenario, by the compiler that was unpacked with it. Returns the program."""
    root = place / "root"
    program = place / "go-scenario"
    run([root / "usr/lib/go-1.19/bin/go", "build", "-o", str(program), str(source / "main.go")], env=go_environment(place))
    return program


def go_environment(place):
    root = place / "root"
    return {
        **os.environ,
        "GOROOT": str(root / "usr/lib/go-1.19"),
        "GOPATH": str(root / "usr/share/gocode"),
        "GOCACHE": str(place / "go-cache"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
    }
