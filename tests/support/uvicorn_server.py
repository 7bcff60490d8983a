#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shape of vLLM's and SGLang's front: one event loop under uvicorn, whose TLS works on memory. It serves POST
/v1/chat/completions as a stream, and prints its port. Needs the distribution's uvicorn, hence its own Python.

usage: uvicorn_server.py PORT KEY CERTIFICATE"""
import asyncio
import json
import sys

import uvicorn


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    tokens = json.loads(body or b"{}").get("max_tokens", 4)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(tokens):
        await asyncio.sleep(0.002)
        choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if number == tokens - 1 else None}
        event = {"id": f"uvicorn-{number}", "model": "closed-model", "choices": [choice]}
        await send({"type": "http.response.body", "body": f"data: {json.dumps(event)}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("port", self.servers[0].sockets[0].getsockname()[1], flush=True)


port, key, certificate = sys.argv[1:4]
Server(uvicorn.Config(app, host="127.0.0.1", port=int(port), ssl_keyfile=key, ssl_certfile=certificate,
                      log_level="error")).run()
