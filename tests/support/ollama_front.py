#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shape of Ollama: ollama_front.py HOST PORT takes POST /api/chat, makes one prompt of the messages, lets the
llama-server there complete it, and answers with lines of JSON. Prints its own port."""
import asyncio
import json
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return json.loads(await reader.readexactly(length))


async def events(request):
    """What the engine says to the prompt."""
    prompt = "".join(f"<|{message['role']}|>{message['content']}" for message in request["messages"]) + "<|assistant|>"
    body = json.dumps({"prompt": prompt, "n_predict": request["options"]["num_predict"], "stream": True,
                       "ignore_eos": True}).encode()
    reader, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(b"POST /completion HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    while line := await reader.readline():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
    writer.close()


async def answer(reader, writer):
    request = await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for event in events(request):
        line = {"model": request["model"], "message": {"role": "assistant", "content": event["content"]}, "done": False}
        if event["stop"]:
            line |= {"done": True, "done_reason": "length", "eval_count": event["tokens_predicted"],
                     "prompt_eval_count": event["tokens_evaluated"]}
        text = json.dumps(line).encode() + b"\n"
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
