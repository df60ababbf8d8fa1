#!/usr/bin/env python3
"""Stands in for the suite's t/rest_mock.rb, under the name of ruby: a cluster's REST
interface that has one document to give.

    ruby rest_mock.rb [DOCUMENT]

The script is named for the sake of the caller, and not read. Without DOCUMENT, a
file, there is one bucket, TheUser.
"""

import http.server
import json
import signal
import socketserver
import sys
from pathlib import Path

# Where Sinatra, which the original is written with, listens when it is told nothing.
ADDRESS = ("127.0.0.1", 4567)

# Path, and what stands behind the document.
PATHS = {
    "/pools/default/buckets/default": b"",
    "/pools/default/bucketsStreaming/default": b"\n" * 4,
    "/pools/default/bucketsStreamingConfig/default": b"\n" * 4,
}

ONE_BUCKET = {
    "name": "TheUser",
    "saslPassword": "ThePassword",
    "vBucketServerMap": {
        "hashAlgorithm": "CRC",
        "numReplicas": 0,
        "serverList": ["127.0.0.1:11311"],
        "vBucketMap": [[0]],
    },
}


def document():
    """What there is to give. Read for every request, as the original does."""
    return Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else json.dumps(ONE_BUCKET).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):  # noqa: N802
        """Gives the document. Every response has a length, and ends."""
        end = PATHS.get(self.path)
        body = b"" if end is None else document() + end
        self.send_response(404 if end is None else 200)
        self.send_header("Content-Type", "text/html;charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's own: that one asks for the name of its address first."""

    allow_reuse_address = True
    daemon_threads = True


signal.signal(signal.SIGINT, signal.SIG_DFL)
with Server(ADDRESS, Handler) as server:
    server.serve_forever()
