#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands for a vendor's closed inference server: nothing in its name, its libraries or its command line tells what it
is. It serves POST /v1/chat/completions, streamed or not, and prints its port.

usage: closed_server.py [PORT [KEY CERTIFICATE]]     with a key it speaks TLS"""
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(b"fine", "text/plain")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokens = body.get("max_tokens", 4)
        head = {"id": "closed-1", "model": "closed-model"}
        usage = {"prompt_tokens": 11, "completion_tokens": tokens}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"content": "word " * tokens}, "finish_reason": "stop"}
            self.answer(json.dumps({**head, "choices": [choice], "usage": usage}).encode(), "application/json")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(tokens):
            time.sleep(0.002)
            last = number == tokens - 1
            choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if last else None}
            self.event(json.dumps({**head, "choices": [choice], **({"usage": usage} if last else {})}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        data = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def answer(self, data, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_port, flush=True)
server.serve_forever()
