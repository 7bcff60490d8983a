#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Traces that belong together are together: through the traceparent header, and through a proxy on this host."""
import concurrent.futures
import pathlib
import secrets
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import SUPPORT, Agent, LlamaServer, PythonServer, SystemTest
from trouble import watch_only


class LinksTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)
        cls.agent = Agent(cls.folder).wait_watching(cls.server)
        # Nobody names the proxy to the agent: it becomes known by the inference request that it receives.
        cls.proxy = PythonServer(cls.folder, SUPPORT / "proxy.py", cls.server.host, cls.server.port)
        with cls.proxy.client() as client:
            client.chat(max_tokens=1)
        cls.agent.wait_watching(cls.proxy)

    def test_traceparent(self):
        trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
        with self.server.client() as client:
            with_header = client.chat(max_tokens=2, headers={"traceparent": f"00-{trace_id}-{parent}-01",
                                                             "tracestate": "vendor=1"})
            without = client.chat(max_tokens=2)
            bad = client.chat(max_tokens=2, headers={"traceparent": f"00-{'0' * 32}-{parent}-01"})
        trace = self.agent.trace_of(with_header)
        self.assertEqual(trace["trace_id"], trace_id)
        self.assertEqual(trace["parent_span_id"], parent)
        self.assertEqual(trace["trace_state"], "vendor=1")
        for reply in (without, bad):
            trace = self.agent.trace_of(reply)
            self.assertNotEqual(trace["trace_id"], trace_id)
            self.assertNotEqual(trace["trace_id"], "0" * 32)
            self.assertNotIn("parent_span_id", trace)

    def spans_through_proxy(self, reply):
        """The proxy's server span, its client span, and the server's span below it."""
        entry = self.agent.trace_of(reply)
        client = self.agent.wait_traces(**{"trace_id": entry["trace_id"], "inferscope.role": "client"})[0]
        served = self.agent.wait_traces(**{"trace_id": entry["trace_id"], "process.pid": self.server.pid})[0]
        return entry, client, served

    def assert_chain(self, entry, client, served):
        self.assertEqual(entry["process.pid"], self.proxy.pid)
        self.assertEqual(client["process.pid"], self.proxy.pid)
        self.assertEqual(client["parent_span_id"], entry["span_id"])
        self.assertEqual(served["parent_span_id"], client["span_id"])
        self.assertEqual(client["server.port"], self.server.port)
        self.assertEqual(client["client.port"], served["client.port"])
        for trace in (entry, client, served):
            self.assertEqual(trace["inferscope.outcome"], "ok", trace)
            self.assertTrue(trace["inferscope.complete"], trace)
        for outer, inner in ((entry, client), (client, served)):
            slack = 1_000_000  # the two ends of a socket are two observations
            self.assertLessEqual(outer["start_time_unix_nano"], inner["start_time_unix_nano"] + slack)
            self.assertGreaterEqual(outer["end_time_unix_nano"], inner["end_time_unix_nano"] - slack)

    def test_through_a_proxy(self):
        for stream in (False, True):
            with self.proxy.client() as client:
                reply = client.chat(text="through the proxy", stream=stream, max_tokens=5)
            self.assert_chain(*self.spans_through_proxy(reply))

    def test_through_a_proxy_with_traceparent(self):
        trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
        with self.proxy.client() as client:
            reply = client.chat(stream=True, max_tokens=5, headers={"traceparent": f"00-{trace_id}-{parent}-01"})
        traces = self.agent.wait_traces(3, trace_id=trace_id)
        self.assertEqual(len(traces), 3)
        entry = self.agent.trace_of(reply)
        self.assertEqual(entry["parent_span_id"], parent)

    def test_two_at_once_through_a_proxy(self):
        replies = {}

        def ask(tokens):
            with self.proxy.client() as client:
                replies[tokens] = client.chat(text="same text", stream=True, max_tokens=tokens)

        threads = [threading.Thread(target=ask, args=(tokens,)) for tokens in (15, 16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for tokens, reply in replies.items():
            chain = self.spans_through_proxy(reply)
            self.assert_chain(*chain)
            self.assertEqual([trace["gen_ai.usage.output_tokens"] for trace in chain], [tokens] * 3)


class OllamaTest(SystemTest):
    """A front that makes a prompt of what it is asked, all on one thread, and an engine behind it."""

    def test_eight_at_once(self):
        server = LlamaServer(self.folder)
        front = PythonServer(self.folder, SUPPORT / "ollama_front.py", server.host, server.port)
        agent = Agent(self.folder, watch_only(server, front)).wait_watching(server, front)

        def ask(number):
            with front.client() as client:
                return client.post("/api/chat", {"model": "m", "messages": [
                    {"role": "user", "content": "the same to all"}, {"role": "assistant", "content": "yes"},
                    {"role": "user", "content": f"question number {number}"}], "options": {"num_predict": 3 + number}})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(ask, range(8)))
        for number, reply in enumerate(replies):
            trace = agent.wait_traces(1, **{"client.port": reply.client_port, "process.pid": front.pid})[0]
            hops = agent.wait_traces(3, trace_id=trace["trace_id"])
            self.assertEqual({hop["process.pid"] for hop in hops}, {front.pid, server.pid}, hops)
            self.assertEqual([hop["gen_ai.usage.output_tokens"] for hop in hops], [3 + number] * 3)
            served = next(hop for hop in hops if hop["process.pid"] == server.pid)
            self.assertEqual(served["url.path"], "/completion")


if __name__ == "__main__":
    fixtures.main()
