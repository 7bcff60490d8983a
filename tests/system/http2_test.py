#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as nghttpx speaks it in front of a real llama-server, in the clear and over TLS, and gRPC as its own
library does."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import (Agent, LlamaServer, Process, ScriptServer, SystemTest, certificate_in, free_port, program,
                      wait_until)
from traffic import ask_over_http2
from trouble import watch_only


class FrontTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)
        key, certificate = certificate_in(cls.folder)
        cls.plain, cls.secure = cls.front("no-tls"), cls.front("", key, certificate)
        cls.agent = Agent(cls.folder, watch_only(cls.server, cls.plain, cls.secure))
        cls.agent.wait_watching(cls.server, cls.plain, cls.secure)
        wait_until(lambda: "TLS is seen in the clear" in cls.agent.log(), cls.agent.log)

    @classmethod
    def front(cls, how, *key_and_certificate):
        """A reverse proxy: HTTP/2 before it, HTTP/1.1 behind it."""
        port = free_port("127.0.0.1")
        front = Process([program("nghttp2-proxy", "usr/sbin/nghttpx"), "--single-process", "--workers=1", "--no-ocsp",
                         "--conf=/dev/null", f"--frontend=127.0.0.1,{port};{how}", f"--backend={cls.server.host},{cls.server.port}",
                         *key_and_certificate], cls.folder / f"nghttpx-{port}.log")
        front.port = port
        wait_until(lambda: "Listening on" in front.log(), front.log)
        return front

    def ask(self, front, count=1, **fields):
        """So many requests at once on one connection: their traces at the front."""
        scheme = "https" if front is self.secure else "http"
        traces = ask_over_http2(self.folder, self.agent, front, count, scheme, max_tokens=6, **fields)
        for trace in traces:
            self.assertEqual(trace["url.scheme"], scheme)
            self.assertEqual(trace["inferscope.outcome"], "ok", trace)
            self.assertEqual(trace["gen_ai.usage.output_tokens"], 6)
        return traces

    def test_one_request_and_its_hops(self):
        for front in (self.plain, self.secure):
            for stream in (False, True):
                options = {"stream_options": {"include_usage": True}} if stream else {}
                trace, = self.ask(front, stream=stream, **options)
                hops = self.agent.wait_traces(3, trace_id=trace["trace_id"])
                self.assertEqual({hop["process.pid"] for hop in hops}, {front.pid, self.server.pid}, hops)

    def test_several_at_once_on_a_connection(self):
        for front in (self.plain, self.secure):
            for trace in self.ask(front, count=5, stream=True, stream_options={"include_usage": True}):
                # A token that is half a character comes with the next one.
                self.assertIn(len(trace["inferscope.token_times"]), range(3, 7))

    def test_upgrade(self):
        """curl asks for it with its first request, which is answered over HTTP/2, as is the next."""
        body = self.folder / "upgrade.json"
        body.write_text(json.dumps({"model": "upgraded", "prompt": "one two", "max_tokens": 2, "ignore_eos": True}))
        at = f"http://127.0.0.1:{self.plain.port}"
        subprocess.run(["curl", "-sS", "--http2", f"{at}/health?upgrade", "--next", "-sS", "--http2", "--json",
                        f"@{body}", f"{at}/v1/completions"], check=True, capture_output=True)
        trace = self.agent.wait_traces(1, **{"gen_ai.request.model": "upgraded", "process.pid": self.plain.pid,
                                             "inferscope.role": "server"})[0]
        first = self.agent.wait_traces(1, **{"client.port": trace["client.port"], "url.path": "/health"})[0]
        for one in (first, trace):
            self.assertEqual(one["network.protocol.version"], "2", one)
            self.assertEqual(one["http.response.status_code"], 200, one)
            self.assertTrue(one["inferscope.complete"], one)

    def test_many(self):
        """h2load: several connections, each with many requests at once."""
        for front in (self.plain, self.secure):
            model = f"load-{front.port}"
            body = self.folder / f"{model}.json"
            body.write_text(json.dumps({"model": model, "prompt": "one two", "max_tokens": 2, "ignore_eos": True}))
            scheme = "https" if front is self.secure else "http"
            done = subprocess.run(["h2load", "--requests=120", "--clients=4", "--max-concurrent-streams=10",
                                   f"--data={body}", "--header=content-type: application/json",
                                   f"{scheme}://127.0.0.1:{front.port}/v1/completions"], check=True, text=True,
                                  capture_output=True).stdout
            self.assertIn("120 succeeded, 0 failed", done)
            traces = self.agent.wait_traces(120, **{"gen_ai.request.model": model, "process.pid": front.pid,
                                                    "inferscope.role": "server"})
            self.assertEqual(len(traces), 120)
            self.assertEqual(len({trace["client.port"] for trace in traces}), 4)
            for trace in traces:
                self.assertTrue(trace["inferscope.complete"], trace)
                self.assertEqual(trace["gen_ai.usage.output_tokens"], 2, trace)


def kserve_peer():
    peer = pathlib.Path(os.environ.get("KSERVE_PEER", fixtures.ROOT / "build/release/tests/system/kserve_peer"))
    if not peer.exists():
        raise unittest.SkipTest("gRPC was not installed when this was built (packages libgrpc++-dev, protobuf-compiler-grpc)")
    return peer


class GrpcTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = ScriptServer(cls.folder, [], kserve_peer(), "serve")
        cls.agent = Agent(cls.folder, watch_only(cls.server)).wait_watching(cls.server)

    def ask(self, kind, model, tokens, count):
        done = subprocess.run([kserve_peer(), "ask", str(self.server.port), kind, model, str(tokens), str(count)],
                              check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    def test_streams_at_once(self):
        self.assertEqual(self.ask("stream", "blue", 9, 4), ["messages 9"] * 4)
        for trace in self.agent.wait_traces(4, **{"gen_ai.request.model": "blue"}):
            self.assertEqual(trace["inferscope.dialect"], "kserve")
            self.assertEqual(trace["gen_ai.operation.name"], "text_completion")
            self.assertEqual(len(trace["inferscope.token_times"]), 9)
            self.assertEqual(trace["gen_ai.request.max_tokens"], 9)
            self.assertEqual(trace["inferscope.outcome"], "ok", trace)
            self.assertTrue(trace["inferscope.complete"], trace)

    def test_unary(self):
        self.assertEqual(self.ask("unary", "green", 3, 1), ["status 0"])
        trace = self.agent.wait_traces(1, **{"gen_ai.request.model": "green"})[0]
        self.assertEqual(trace["url.path"], "/inference.GRPCInferenceService/ModelInfer")
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)

    def test_a_failure_is_that_of_the_call(self):
        self.assertEqual(self.ask("unary", "broken", 3, 1), ["status 14"])
        trace = self.agent.wait_traces(1, **{"gen_ai.request.model": "broken"})[0]
        self.assertEqual(trace["inferscope.outcome"], "error", trace)
        self.assertEqual(trace["error.type"], "UNAVAILABLE")


if __name__ == "__main__":
    fixtures.main()
