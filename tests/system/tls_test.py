#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is encrypted is seen as well: every test of plain requests again over TLS, and TLS servers of other kinds."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
import requests_test
from fixtures import (Agent, LlamaServer, Process, PythonServer, ScriptServer, SystemTest, certificate_in, free_port,
                      run_cli, wait_until)
from traffic import ask_at_once, ask_over_http2
from trouble import watch_only


class HttpsRequestsTest(requests_test.RequestsTest):
    @classmethod
    def setUpClass(cls):
        SystemTest.setUpClass.__func__(cls)
        cls.server = LlamaServer(cls.folder, tls=True)
        cls.agent = Agent(cls.folder).wait_watching(cls.server)
        wait_until(lambda: "TLS is seen in the clear" in cls.agent.log(), cls.agent.log)

    def test_no_plaintext_without_a_place(self):
        self.assertEqual(self.agent.status()["kernel"]["tls_unplaced"], 0)


class StartedLaterTest(SystemTest):
    def test_first_request_of_a_new_server(self):
        """The agent is there before the server, so it sees the library come, and the first request already."""
        agent = Agent(self.folder)
        server = LlamaServer(self.folder, tls=True)
        with server.client() as client:
            reply = client.chat(stream=True, max_tokens=5)
        trace = agent.trace_of(reply)
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertTrue(trace["inferscope.complete"], trace)
        self.assertEqual(trace["gen_ai.usage.output_tokens"], 5)
        self.assertEqual(trace["url.scheme"], "https")
        self.assertEqual(agent.stop(), 0)
        self.assertTrue(server.running())
        with server.client() as client:
            self.assertEqual(client.get("/health").status, 200, "the probes are gone, the server works on")


class OtherLibrariesTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key, cls.certificate = certificate_in(cls.folder)

    def test_python(self):
        """Its ssl module uses SSL_read_ex and SSL_write_ex."""
        server = PythonServer(self.folder, fixtures.SUPPORT / "closed_server.py", 0, self.key, self.certificate)
        agent = Agent(self.folder, watch_only(server), name="python").wait_watching(server)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        with server.client(tls=True) as client:
            replies = [client.chat(stream=True, max_tokens=20), client.chat(max_tokens=3)]
        for reply, tokens in zip(replies, (20, 3)):
            trace = agent.trace_of(reply)
            self.assertEqual(trace["gen_ai.usage.output_tokens"], tokens, trace)
            self.assertEqual(trace["gen_ai.response.model"], "closed-model")
            self.assertTrue(trace["inferscope.complete"], trace)

    def test_uvicorn(self):
        """Its TLS works on memory: no socket is used inside the library's calls."""
        server = PythonServer(self.folder, fixtures.SUPPORT / "uvicorn_server.py", 0, self.key, self.certificate,
                              python="/usr/bin/python3")
        agent = Agent(self.folder, watch_only(server), name="uvicorn").wait_watching(server)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def one(number):
                with server.client(tls=True) as client:
                    return [client.chat(stream=True, max_tokens=5 + number), client.chat(stream=True, max_tokens=2)]

            pairs = list(pool.map(one, range(8)))
        for number, pair in enumerate(pairs):
            for reply, tokens in zip(pair, (5 + number, 2)):
                trace = agent.trace_of(reply)
                self.assertEqual(len(trace["inferscope.token_times"]), tokens, trace)
                self.assertEqual(trace["gen_ai.response.model"], "closed-model")
                self.assertTrue(trace["inferscope.complete"], trace)
        self.assertEqual(agent.status()["kernel"]["tls_unplaced"], 0)

    def test_node(self):
        """OpenSSL is linked into the executable, which exports its functions, and works on memory."""
        node = shutil.which("node")
        if not node:
            self.skipTest("Node.js is not installed")
        shared = subprocess.run([node, "-p", "process.config.variables.node_shared_openssl"], check=True, text=True,
                                capture_output=True).stdout.strip()
        if shared != "false":
            self.skipTest(f"this Node.js has OpenSSL as a shared library: node_shared_openssl is {shared}")
        server = ScriptServer(self.folder, [node], fixtures.SUPPORT / "node_server.js", self.key, self.certificate)
        agent = Agent(self.folder, watch_only(server), name="node").wait_watching(server)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        doctor = run_cli("doctor", "-c", agent.config_path)
        self.assertIn(f"TLS in {pathlib.Path(node).resolve().name} (executable, .dynsym): SSL_do_handshake, SSL_peek, "
                      "SSL_read, SSL_write", doctor.stdout)

        ask_at_once(self, agent, server, "node-model")
        for trace in ask_over_http2(self.folder, agent, server, 5, max_tokens=6, stream=True):
            self.assertEqual(trace["gen_ai.usage.output_tokens"], 6, trace)
            self.assertEqual(trace["url.scheme"], "https")
        self.assertEqual(agent.status()["kernel"]["tls_unplaced"], 0)

    def test_connection_older_than_the_agent(self):
        server = PythonServer(self.folder, fixtures.SUPPORT / "closed_server.py", 0, self.key, self.certificate)
        with server.client(tls=True) as client:
            client.chat(max_tokens=2)
            agent = Agent(self.folder, watch_only(server), name="later").wait_watching(server)
            wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
            # The server waits inside a call that began before the probes were there: its return is not seen, and the
            # begin of the request with it. The next message is whole.
            client.chat(max_tokens=2)
            reply = client.chat(stream=True, max_tokens=6)
            trace = agent.wait_traces(1, **{"client.port": reply.client_port, "gen_ai.usage.output_tokens": 6})[0]
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertTrue(trace["inferscope.complete"], trace)

    def test_gnutls(self):
        port = free_port("127.0.0.1")
        server = Process(["gnutls-serv", "--http", "--quiet", "--port", port, "--x509keyfile", self.key, "--x509certfile",
                          self.certificate], self.folder / "gnutls.log")
        self.addCleanup(server.end)
        server.port = port
        agent = Agent(self.folder, watch_only(server), name="gnutls").wait_watching(server)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        page = subprocess.run(["curl", "-sk", f"https://127.0.0.1:{port}/some/page"], check=True, capture_output=True)
        self.assertIn(b"GnuTLS", page.stdout)
        trace = agent.wait_traces(1, **{"url.path": "/some/page"})[0]
        self.assertEqual(trace["http.response.status_code"], 200, trace)
        self.assertEqual(trace["http.response.body.size"], len(page.stdout), json.dumps(trace))


class GatewayTest(SystemTest):
    """Clients. Most of their TLS works on memory: no socket is used inside the library's calls."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder, tls=True)

    def check(self, gateway, name):
        agent = Agent(self.folder, watch_only(self.server, gateway), name=name).wait_watching(self.server, gateway)
        wait_until(lambda: agent.log().count("TLS is seen in the clear") >= 2, agent.log)

        def one(number):
            with gateway.client() as client:
                return client.chat(text=f"question {number}", stream=True, max_tokens=5 + number)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(one, range(12)))
        for number, reply in enumerate(replies):
            trace = agent.wait_traces(1, **{"client.port": reply.client_port, "process.pid": gateway.pid})[0]
            hops = agent.wait_traces(3, trace_id=trace["trace_id"])
            self.assertEqual(sorted((hop["inferscope.role"], hop["url.scheme"]) for hop in hops),
                             [("client", "https"), ("server", "http"), ("server", "https")], hops)
            for hop in hops:
                self.assertTrue(hop["inferscope.complete"], hop)
                self.assertEqual(hop["gen_ai.usage.output_tokens"], 5 + number)
        self.assertEqual(agent.status()["kernel"]["tls_unplaced"], 0)

    def test_asyncio(self):
        self.check(PythonServer(self.folder, fixtures.SUPPORT / "gateway.py", self.server.host, self.server.port),
                   "asyncio")

    def test_curl_with_openssl(self):
        """The program itself, which waits for what it shall send until the probes are there."""
        body = self.folder / "body.fifo"
        os.mkfifo(body)
        curl = Process(["curl", "-skN", "--json", f"@{body}", f"https://{self.server.address}/v1/completions"],
                       self.folder / "curl.log")
        self.addCleanup(curl.end)
        config = {"watch": {"automatic": False, "include": [{"command_line": f"*{body}*"}]}}
        agent = Agent(self.folder, config, name="curl_openssl").wait_watching(curl)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)
        body.write_text(json.dumps({"model": "m", "prompt": "one two three", "max_tokens": 6, "ignore_eos": True}))
        self.assertEqual(curl.popen.wait(20), 0, curl.log())
        trace = agent.wait_traces(1, **{"process.pid": curl.pid})[0]
        self.assertEqual((trace["inferscope.role"], trace["url.scheme"]), ("client", "https"), trace)
        self.assertEqual(trace["gen_ai.usage.output_tokens"], 6)
        self.assertTrue(trace["inferscope.complete"], trace)

    def test_curl_with_gnutls(self):
        self.check(PythonServer(self.folder, fixtures.SUPPORT / "curl_gateway.py", self.server.host, self.server.port,
                                python="/usr/bin/python3"), "curl")

    def test_node(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("Node.js is not installed")
        self.check(ScriptServer(self.folder, [node], fixtures.SUPPORT / "node_gateway.js", self.server.host,
                                self.server.port), "node")


if __name__ == "__main__":
    fixtures.main()
