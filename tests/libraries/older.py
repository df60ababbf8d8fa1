#!/usr/bin/env python3
"""Makes an old memcached of a new one: older.py PORT TARGET

What comes to PORT goes to TARGET, but commands that memcached has only since 1.6 go under a word that it does not know, so
that it says ERROR, as one of before would. Values are not looked into.
"""

import asyncio
import sys

META = {b"mn", b"mg", b"ms", b"md", b"ma", b"me"}
WITH_VALUE = {b"set", b"add", b"replace", b"append", b"prepend", b"cas"}


async def asked(reader, writer):
    """Line by line, and values whole."""
    while line := await reader.readline():
        words = line.split()
        if words and words[0] in META:
            line = b"unknown\r\n"
        writer.write(line)
        if len(words) > 4 and words[0] in WITH_VALUE and words[4].isdigit():
            writer.write(await reader.readexactly(int(words[4]) + 2))
        await writer.drain()
    writer.close()


async def answered(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(port, target):
    async def accept(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(asked(reader, back), answered(there, writer), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
