#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway in asyncio, as they are built before engines: gateway.py HOST PORT asks there over TLS, which works on
memory, with the path and the body that it was asked with, and streams the answer back. Prints its own port."""
import asyncio
import ssl
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    body = await reader.readexactly(length)
    above_reader, above = await asyncio.open_connection(HOST, PORT, ssl=UNVERIFIED)
    above.write(head.split(b"\r\n")[0] + b"\r\nHost: above\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % length + body)
    while data := await above_reader.read(65536):
        writer.write(data)
        await writer.drain()
    above.close()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
