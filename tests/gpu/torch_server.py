#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An inference server on PyTorch: POST /v1/chat/completions, streamed, of a model with random weights (a Llama of
transformers' with 16 layers). One thread drives the GPU, and takes each request's prefill or next token in each of its
turns; other threads talk with clients. Prints its port, and for each turn a line "turn {…}" with what it was: when,
whose tokens, and how long the GPU worked on it, by events on its stream."""
import http.server
import json
import queue
import socketserver
import sys
import threading
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

MODEL = "random-llama"
LARGEST_BATCH = 8


class Request:
    def __init__(self, body):
        self.words = body["messages"][-1]["content"].split()
        self.left = body.get("max_tokens", 16)
        self.name = self.words[0]
        self.cache = None
        self.token = None
        self.tokens = queue.Queue()


class Engine(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        torch.manual_seed(1)
        config = LlamaConfig(vocab_size=8192, hidden_size=1024, intermediate_size=2816, num_hidden_layers=16,
                             num_attention_heads=16, num_key_value_heads=8, max_position_embeddings=16384)
        self.model = LlamaForCausalLM(config).to("cuda", torch.bfloat16).eval()
        self.asked = queue.Queue()
        self.active = []

    def admit(self):
        while len(self.active) < LARGEST_BATCH:
            try:
                self.active.append(self.asked.get(block=not self.active))
            except queue.Empty:
                return

    def forward(self, request):
        """Its next token, still on the GPU, and how many were worked on."""
        if request.token is None:
            ids = torch.tensor([[hash(word) % 8192 for word in request.words]], device="cuda")
        else:
            ids = request.token.view(1, 1)
        out = self.model(input_ids=ids, past_key_values=request.cache, use_cache=True, logits_to_keep=1)
        request.cache = out.past_key_values
        return out.logits[0, -1].argmax(), ids.shape[1]

    @torch.inference_mode()
    def run(self):
        while True:
            self.admit()
            begin = time.monotonic_ns()
            events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            events[0].record()
            members = []
            for request in self.active:
                kind = "prefill" if request.token is None else "decode"
                request.token, tokens = self.forward(request)
                members.append({"request": request.name, "kind": kind, "tokens": tokens})
            events[1].record()
            torch.cuda.synchronize()
            end = time.monotonic_ns()
            for request in self.active:
                request.left -= 1
                request.tokens.put("stop" if request.left == 0 else f"w{len(request.words)} ")
            self.active = [request for request in self.active if request.left > 0]
            print("turn " + json.dumps({"begin": begin, "end": end, "gpu_ms": events[0].elapsed_time(events[1]),
                                        "members": members}), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = Request(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        engine.asked.put(request)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            text = request.tokens.get()
            stop = text == "stop"
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if stop else None}
            self.send({"id": f"chatcmpl-{id(request)}", "object": "chat.completion.chunk", "model": MODEL,
                       "choices": [choice]})
            if stop:
                break
        self.send("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def send(self, event):
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


engine = Engine()
engine.start()
# The libraries choose and load their kernels with the first uses of a shape.
for length in (8, 64, 512):
    warm = Request({"messages": [{"content": "warm " * length}], "max_tokens": 3})
    engine.asked.put(warm)
    while warm.tokens.get() != "stop":
        pass
server = Server(("127.0.0.1", 0), Handler)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
