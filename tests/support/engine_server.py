#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An inference server of several processes that talk over ZeroMQ as vLLM's and SGLang's do, in their messages' published
formats, but with an engine that only waits: a real libzmq, real batches, and no model. It serves POST
/v1/chat/completions and prints its port. For each request of the engine that ended, a line "truth {…}" tells what the
engine did, with times of the monotonic clock. Needs the distribution's zmq and msgpack, hence its own Python.

usage: engine_server.py vllm|vllm-counts|sglang FOLDER|tcp:PORT:PORT
       vllm-counts: as before there were prefill_stats: cached tokens are a number, ids are as they were given, and
                    defaults are written

Of a request, "max_tokens" says how many tokens, "words" of the prompt how long, "n" how many choices (vLLM), and
"preempt_at" before which token the engine takes its place away (vLLM)."""
import asyncio
import collections
import ctypes
import itertools
import json
import os
import signal
import sys
import time
import uuid

import msgpack
import zmq
import zmq.asyncio

LARGEST_BATCH = 3
STEP = 0.01
PREFILL = 0.03
QUEUED, SCHEDULED, PREEMPTED = 1, 2, 3
STOP_REASON = 0


def child(work, *arguments):
    """A process of its own that ends with this one."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        try:
            work(*arguments)
        finally:
            os._exit(1)
    return pid


def connect(made, address):
    """Also to one who is not there yet."""
    made.setsockopt(zmq.RECONNECT_IVL, 1)
    made.connect(address)


def address(where, name):
    """Of one of the engine's sockets: in a folder, or at one of two ports."""
    if not where.startswith("tcp:"):
        return f"ipc://{where}/{name}"
    return f"tcp://127.0.0.1:{where.split(':')[1 if name == 'requests' else 2]}"


def tell(truth):
    os.write(1, f"truth {json.dumps(truth)}\n".encode())


class Request:
    def __init__(self, rid, prompt, tokens, preempt_at=None, cached=0):
        self.rid, self.prompt, self.tokens, self.preempt_at, self.cached = rid, prompt, tokens, preempt_at, cached
        self.made, self.events, self.batches = 0, [], []
        self.queued = self.scheduled = self.first = self.last = None
        self.preempted = []

    def note(self, kind):
        now = time.monotonic()
        self.events.append({"type": kind, "timestamp": now})
        return now

    def truth(self):
        return {"id": self.rid, "queued": self.queued, "scheduled": self.scheduled, "first": self.first,
                "last": self.last, "preempted": self.preempted, "batches": self.batches, "tokens": self.made,
                "prompt": self.prompt, "cached": self.cached}


class Scheduler:
    """First come, first served, a few at once."""

    def __init__(self):
        self.waiting, self.running = collections.deque(), []

    def add(self, request):
        request.queued = request.note(QUEUED)
        self.waiting.append(request)

    def abort(self, rid):
        for requests in (self.waiting, self.running):
            for request in [one for one in requests if one.rid == rid]:
                requests.remove(request)
                tell({**request.truth(), "aborted": True})

    def step(self):
        """The requests that got a token, all that there were in it."""
        for request in [one for one in self.running if one.preempt_at == one.made and not one.preempted]:
            request.preempted.append(request.note(PREEMPTED))
            self.running.remove(request)
            self.waiting.append(request)
        prefill = False
        while self.waiting and len(self.running) < LARGEST_BATCH:
            request = self.waiting.popleft()
            at = request.note(SCHEDULED)
            request.scheduled = request.scheduled or at
            self.running.append(request)
            prefill = True
        time.sleep(STEP + PREFILL * prefill)
        now = time.monotonic()
        batch = list(self.running)
        for request in batch:
            request.made += 1
            request.first, request.last = request.first or now, now
            request.batches.append(len(batch))
            if request.made == request.tokens:
                self.running.remove(request)
        return batch, now


def trimmed(values):
    """As a newer msgspec writes an array: without the defaults at its end."""
    while values and values[-1] is None:
        values.pop()
    return values


def vllm_core(folder, counts):
    context = zmq.Context()
    requests = context.socket(zmq.DEALER)
    requests.setsockopt(zmq.IDENTITY, b"\x00\x00")
    connect(requests, address(folder, "requests"))
    outputs = context.socket(zmq.PUSH)
    connect(outputs, address(folder, "outputs"))
    requests.send(msgpack.packb({"max_model_len": 4096, "num_gpu_blocks": 1000, "dp_stats_address": None}))
    scheduler = Scheduler()

    def output(request):
        events, request.events = request.events, []
        first = request.made == 1
        stats = {"num_prompt_tokens": request.prompt, "num_computed_tokens": request.prompt - request.cached,
                 "num_cached_tokens": request.cached, "num_local_cached_tokens": request.cached,
                 "num_external_cached_tokens": 0}
        cached = request.cached if counts else stats if first else None
        done = STOP_REASON if request.made == request.tokens else None
        said = [request.rid, [request.made], None, None, None, done, None, events or None, None, None, cached]
        return said + [None, 0] if counts else trimmed(said)

    while True:
        busy = scheduler.waiting or scheduler.running
        while requests.poll(0 if busy else None):
            busy = True
            kind, body, *_ = requests.recv_multipart()
            said = msgpack.unpackb(body)
            if kind == b"\x00":
                options = said[3]
                scheduler.add(Request(said[0], len(said[1]), options["max_tokens"], options.get("preempt_at"), 2))
            elif kind == b"\x01":
                for rid in said:
                    scheduler.abort(rid)
        if not scheduler.waiting and not scheduler.running:
            continue
        batch, now = scheduler.step()
        stats = {"num_running_reqs": len(scheduler.running), "num_waiting_reqs": len(scheduler.waiting),
                 "step_counter": 0, "current_wave": 0, "kv_cache_usage": len(batch) / 10,
                 "prefix_cache_stats": {"reset": False, "requests": 0}}
        outputs.send_multipart([msgpack.packb([0, [output(one) for one in batch], stats, now])], copy=False)
        for request in batch:
            if request.made == request.tokens:
                tell(request.truth())


def sglang_scheduler(folder):
    context = zmq.Context()
    requests = context.socket(zmq.PULL)
    requests.bind(address(folder, "requests"))
    tokens = context.socket(zmq.PUSH)
    connect(tokens, address(folder, "tokens"))
    scheduler = Scheduler()
    while True:
        while requests.poll(0 if scheduler.waiting or scheduler.running else None):
            name, rid, _, *rest = msgpack.unpackb(requests.recv())
            if name == "TokenizedGenerateReqInput":
                scheduler.add(Request(rid, len(rest[1]), rest[3]["max_new_tokens"], cached=2))
            elif name == "AbortReq":
                scheduler.abort(rid)
        if not scheduler.waiting and not scheduler.running:
            continue
        batch, _ = scheduler.step()
        size = len(batch)
        done = [{"type": "length", "length": one.tokens} if one.made == one.tokens else None for one in batch]
        tokens.send(msgpack.packb(["BatchTokenIDOutput", [one.rid for one in batch], [None] * size, done, [""] * size,
                                   [[1]] * size, [5] * size, None, [True] * size, [True] * size, [False] * size,
                                   *sglang_counts(batch), None, None]))
        for request in batch:
            if request.made == request.tokens:
                tell(request.truth())


def sglang_counts(batch):
    """Of the prompt, of reasoning, all that were made, of the prompt from the cache."""
    return [[one.prompt for one in batch], [one.made // 2 for one in batch], [one.made for one in batch],
            [one.cached for one in batch]]


def sglang_detokenizer(folder):
    context = zmq.Context()
    tokens = context.socket(zmq.PULL)
    tokens.bind(address(folder, "tokens"))
    texts = context.socket(zmq.PUSH)
    connect(texts, address(folder, "outputs"))
    while True:
        _, rids, workers, done, _, _, _, _, _, _, _, prompt, reasoning, made, cached, *rest = msgpack.unpackb(tokens.recv())
        # Not in the order in which they came.
        counts = [prompt, made, reasoning, cached, *rest]
        texts.send(msgpack.packb(["BatchStrOutput", rids, workers, done, ["word "] * len(rids), None, *counts]))


class Front:
    """What serves HTTP: an event loop with the engine's sockets in it."""

    def __init__(self, kind, folder):
        self.kind, self.open, self.numbers = kind, {}, itertools.count()
        context = zmq.asyncio.Context()
        self.outputs = context.socket(zmq.PULL)
        self.outputs.bind(address(folder, "outputs"))
        if kind == "sglang":
            self.requests = context.socket(zmq.PUSH)
            connect(self.requests, address(folder, "requests"))
        else:
            self.requests = context.socket(zmq.ROUTER)
            self.requests.bind(address(folder, "requests"))

    async def listen(self):
        while True:
            frames = await self.outputs.recv_multipart()
            said = msgpack.unpackb(frames[0])
            if self.kind == "sglang":
                news = [(rid, end is not None) for rid, end in zip(said[1], said[3])]
            else:
                news = [(one[0], len(one) > 5 and one[5] is not None) for one in said[1]]
            for rid, done in news:
                if rid in self.open:
                    self.open[rid].put_nowait((rid, done))

    async def add(self, rid, body):
        words = list(range(body.get("words", 3)))
        if self.kind == "sglang":
            options = {"max_new_tokens": body["max_tokens"], "temperature": 0.0}
            await self.requests.send(msgpack.packb(["TokenizedGenerateReqInput", rid, None, "text", words, None, options]))
        else:
            options = {"max_tokens": body["max_tokens"], "preempt_at": body.get("preempt_at"), "temperature": 0.0}
            said = [rid, words, None, options, None, time.time(), None, None, None]
            await self.requests.send_multipart([b"\x00\x00", b"\x00", msgpack.packb(said)], copy=False)

    async def abort(self, rids):
        if self.kind == "sglang":
            for rid in rids:
                await self.requests.send(msgpack.packb(["AbortReq", rid, None, False]))
        else:
            await self.requests.send_multipart([b"\x00\x00", b"\x01", msgpack.packb(rids)])

    def ids(self, headers, body):
        """The one that the client is told, and those of the engine."""
        given = headers.get("x-request-id") or uuid.uuid4().hex
        if self.kind == "sglang":
            return given, [given]
        told = f"chatcmpl-{given}"
        inner = told if self.kind == "vllm-counts" else f"{told}-{uuid.uuid4().hex[:8]}"
        count = body.get("n", 1)
        return told, [inner] if count == 1 else [f"{index}_{inner}" for index in range(count)]

    async def answer(self, headers, body, writer):
        told, rids = self.ids(headers, body)
        news = asyncio.Queue()
        for rid in rids:
            self.open[rid] = news
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

        async def event(data):
            text = f"data: {data}\n\n".encode()
            writer.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            await writer.drain()

        left = set(rids)
        try:
            for rid in rids:
                await self.add(rid, body)
            while left:
                rid, done = await news.get()
                choice = {"index": rids.index(rid), "delta": {"content": "word "}, "finish_reason": "stop" if done else None}
                await event(json.dumps({"id": told, "model": body.get("model"), "choices": [choice]}))
                left -= {rid} if done else set()
            await event("[DONE]")
            writer.write(b"0\r\n\r\n")
        finally:
            for rid in rids:
                del self.open[rid]
            if left:
                await self.abort(sorted(left))

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                headers = {}
                while line := (await reader.readline()).strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
                gone = asyncio.ensure_future(self.gone(reader))
                work = asyncio.ensure_future(self.answer(headers, body, writer))
                await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
                (gone if work.done() else work).cancel()
                await asyncio.gather(gone, work, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @staticmethod
    async def gone(reader):
        while not reader.at_eof():
            await asyncio.sleep(0.005)


async def main(kind, folder):
    front = Front(kind, folder)
    if kind != "sglang":
        await front.requests.recv_multipart()  # the engine is there; to nobody nothing is routed
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await front.listen()


if __name__ == "__main__":
    how, where = sys.argv[1:3]
    if how == "sglang":
        child(sglang_scheduler, where)
        child(sglang_detokenizer, where)
    else:
        child(vllm_core, where, how == "vllm-counts")
    asyncio.run(main(how, where))
