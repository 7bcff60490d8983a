#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small reverse proxy: proxy.py HOST PORT forwards every POST there, bytes of the body unchanged, and streams the
answer back. Prints its own port."""
import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM = (sys.argv[1], int(sys.argv[2]))
PASSED_ON = ("content-type", "traceparent", "authorization")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
        upstream = http.client.HTTPConnection(*UPSTREAM, timeout=60)
        upstream.request("POST", self.path, body, headers)
        answer = upstream.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := answer.read1(65536):
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        upstream.close()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print("port", server.server_port, flush=True)
server.serve_forever()
