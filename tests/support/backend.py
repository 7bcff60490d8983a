# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an OTLP/HTTP backend, in the test's own process: keeps what it is sent and answers as it is told."""
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import protobuf


class Backend:
    def __init__(self, port=0):
        self.posts = []  # of traces: (time, path, headers, status, body)
        self.logs = []  # bodies of logs; always taken
        self.metrics = []  # likewise
        self.answers = []  # statuses of the next answers to traces; then 200
        self.retry_after = None
        self.hold = threading.Event()  # no answer before it is set
        self.hold.set()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status = 200
                if self.path.endswith("/v1/logs"):
                    backend.logs.append(body)
                elif self.path.endswith("/v1/metrics"):
                    backend.metrics.append(body)
                else:
                    status = backend.answers.pop(0) if backend.answers else 200
                    backend.posts.append((time.monotonic(), self.path, dict(self.headers), status, body))
                    backend.hold.wait(60)
                self.send_response(status)
                if status != 200 and backend.retry_after:
                    self.send_header("Retry-After", backend.retry_after)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def spans(self):
        """Of all posts that were accepted."""
        return [span for *_, status, body in list(self.posts) if status == 200 for span in protobuf.spans(body)]

    def log_records(self):
        return [record for body in list(self.logs) for record in protobuf.log_records(body)]

    def points(self):
        return [point for body in list(self.metrics) for point in protobuf.points(body)]

    def bytes(self):
        return b"".join([body for *_, body in list(self.posts)] + list(self.logs) + list(self.metrics))
