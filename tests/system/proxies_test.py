#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reverse proxies as people run them, with TLS before a real llama-server: one trace with a span for each hop."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, Process, SystemTest, certificate_in, free_port, program, wait_until
from http_client import Client
from traffic import ask_over_http2
from trouble import watch_only

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{ proxy_pass http://{backend}; proxy_http_version 1.1; proxy_buffering off; }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1
  default_backend back
backend back
  server llama {backend}
"""
CADDY = """
{{
  admin off
  auto_https off
  default_sni localhost
  servers {{
    protocols h1 h2
  }}
  storage file_system {folder}/caddy
}}
https://:{port} {{
  bind 127.0.0.1
  tls {certificate} {key}
  reverse_proxy {backend} {{
    flush_interval -1
  }}
}}
"""


class ProxiesTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)
        cls.key, cls.certificate = certificate_in(cls.folder)
        both = cls.folder / "both.pem"
        both.write_text(cls.certificate.read_text() + cls.key.read_text())

    def front(self, name, text, *command):
        port = free_port("127.0.0.1")
        file = self.folder / f"{name}.conf"
        file.write_text(text.format(folder=self.folder, port=port, certificate=self.certificate, key=self.key,
                                    both=self.folder / "both.pem", backend=self.server.address))
        front = Process([*command, file], self.folder / f"{name}.log")
        self.addCleanup(front.end)
        front.port = port

        def answers():
            self.assertTrue(front.running(), front.log())
            return subprocess.run(["curl", "-sko", "/dev/null", f"https://127.0.0.1:{port}/health"]).returncode == 0

        wait_until(answers, front.log)
        agent = Agent(self.folder, watch_only(self.server, front), name=name).wait_watching(self.server, front)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        return front, agent

    def assert_hops(self, agent, front, trace):
        self.assertEqual(trace["process.pid"], front.pid)
        self.assertEqual(trace["url.scheme"], "https")
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertTrue(trace["inferscope.complete"], trace)
        self.assertEqual(trace["gen_ai.usage.output_tokens"], 5)
        hops = agent.wait_traces(3, trace_id=trace["trace_id"])
        self.assertEqual(len(hops), 3)
        sent = next(hop for hop in hops if hop["inferscope.role"] == "client")
        served = next(hop for hop in hops if hop["process.pid"] == self.server.pid)
        self.assertEqual(sent["parent_span_id"], trace["span_id"])
        self.assertEqual(served["parent_span_id"], sent["span_id"])
        self.assertEqual(served["url.scheme"], "http")

    def check(self, front, agent):
        for stream in (False, True):
            with Client("127.0.0.1", front.port, tls=True) as client:
                self.assert_hops(agent, front, agent.trace_of(client.chat(stream=stream, max_tokens=5)))
        trace, = ask_over_http2(self.folder, agent, front, max_tokens=5)
        self.assert_hops(agent, front, trace)

    def test_nginx(self):
        binary = program("nginx", "usr/sbin/nginx")
        self.check(*self.front("nginx", NGINX, binary, "-p", self.folder, "-e", "stderr", "-c"))

    def test_haproxy(self):
        binary = program("haproxy", "usr/sbin/haproxy")
        self.check(*self.front("haproxy", HAPROXY, binary, "-db", "-f"))

    def test_caddy(self):
        """A closed program in Go, as Debian built it."""
        binary = program("caddy", "usr/bin/caddy")
        home = f"XDG_CONFIG_HOME={self.folder}"  # it keeps its configuration there
        self.check(*self.front("caddy", CADDY, "env", home, binary, "run", "--adapter", "caddyfile", "--config"))


if __name__ == "__main__":
    fixtures.main()
