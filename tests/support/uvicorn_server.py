#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shape of vLLM's and SGLang's front: FastAPI on one event loop under uvicorn, whose TLS works on memory. It serves POST
/v1/chat/completions as a stream, and prints its port. Needs the distribution's packages, hence its own Python.

usage: uvicorn_server.py PORT KEY CERTIFICATE"""
import asyncio
import json
import sys

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


app = FastAPI()


@app.post("/v1/chat/completions")
async def chat(request: Request):
    tokens = (await request.json()).get("max_tokens", 4)

    async def events():
        for number in range(tokens):
            await asyncio.sleep(0.002)
            last = number == tokens - 1
            choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if last else None}
            event = {"id": f"uvicorn-{number}", "model": "closed-model", "choices": [choice]}
            yield f"data: {json.dumps(event)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("port", self.servers[0].sockets[0].getsockname()[1], flush=True)


port, key, certificate = sys.argv[1:4]
Server(uvicorn.Config(app, host="127.0.0.1", port=int(port), ssl_keyfile=key, ssl_certfile=certificate,
                      log_level="error")).run()
