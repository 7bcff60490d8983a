#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway that asks by libcurl, which has its TLS from GnuTLS: curl_gateway.py HOST PORT asks there with the path and
the body that it was asked with, and streams the answer back. Prints its own port. Needs the distribution's pycurl, hence
its own Python."""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pycurl

ABOVE = f"https://{sys.argv[1]}:{sys.argv[2]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, ABOVE + self.path)
        curl.setopt(pycurl.POSTFIELDS, self.rfile.read(int(self.headers["Content-Length"])))
        curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json"])
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        curl.setopt(pycurl.WRITEFUNCTION, self.wfile.write)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        curl.perform()
        curl.close()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print("port", server.server_port, flush=True)
server.serve_forever()
