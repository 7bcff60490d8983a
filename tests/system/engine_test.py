#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Engines of several processes: what they say to each other over ZeroMQ becomes part of the request's trace. The
messages go through a real libzmq; what the engine did, it tells itself."""
import concurrent.futures
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import SUPPORT, Agent, PythonServer, SystemTest, free_port, run_cli, wait_until
from trouble import watch_only

CLOCK = 0.0005  # what rounding costs of the engine's own times
MOVED = 0.02  # between the engine's deed and when its message has moved, on a starved machine


class EngineTest(SystemTest):
    def start_server(self, kind, tcp=False):
        where = f"tcp:{free_port()}:{free_port()}" if tcp else tempfile.mkdtemp(prefix="engine-", dir=self.folder)
        return PythonServer(self.folder, SUPPORT / "engine_server.py", kind, where, python="/usr/bin/python3")

    def start_both(self, kind):
        """The agent sees the server from its first byte."""
        rule = {"command_line": f"*engine_server.py {kind} *{self.folder.name}*"}
        agent = Agent(self.folder, {"watch": {"automatic": False, "include": [rule]}}, name=f"agent{time.monotonic_ns()}")
        self.addCleanup(agent.stop)
        return agent, self.start_server(kind)

    def start_late(self, kind, tcp=False):
        """The server has talked before the agent comes."""
        server = self.start_server(kind, tcp)
        self.ask(server)
        agent = Agent(self.folder, watch_only(server), name=f"agent{time.monotonic_ns()}").wait_watching(server)
        self.addCleanup(agent.stop)
        return agent, server

    @staticmethod
    def ask(server, headers=None, cancel_after=None, **fields):
        body = {"model": "m", "stream": True, "max_tokens": 5, **fields}
        with server.client() as client:
            return client.post("/v1/chat/completions", body, headers, cancel_after=cancel_after)

    def ask_all(self, server, requests):
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(lambda fields: self.ask(server, **fields), requests))

    def truths(self, server, count):
        lines = []

        def enough():
            lines[:] = [line for line in server.log().splitlines() if line.startswith("truth ")]
            return len(lines) >= count

        wait_until(enough, lambda: f"{count} requests ended: {server.log()}")
        return {truth["id"]: truth for truth in (json.loads(line.removeprefix("truth ")) for line in lines)}

    def check(self, trace, truth, engine="vllm"):
        self.assertEqual(trace["inferscope.engine.name"], engine, trace)
        self.assertTrue(trace["inferscope.engine.complete"], trace)
        self.assertEqual(trace["inferscope.engine.requests"], 1)
        self.assertEqual(trace["inferscope.engine.steps"], len(truth["batches"]), truth)
        self.assertAlmostEqual(trace["inferscope.engine.batch_size.mean"], sum(truth["batches"]) / len(truth["batches"]))
        self.assertEqual(trace["inferscope.engine.batch_size.max"], max(truth["batches"]))
        self.assertEqual(trace["gen_ai.usage.output_tokens"], truth["tokens"])
        self.assertEqual(trace["inferscope.token_count_source"], "engine")
        self.assertEqual(trace["gen_ai.usage.input_tokens"], truth["prompt"])
        self.assertEqual(trace["inferscope.engine.predicted_tokens"], truth["tokens"])
        self.assertEqual(trace["inferscope.engine.prompt_tokens"], truth["prompt"])
        self.assertEqual(trace["inferscope.engine.cached_tokens"], truth["cached"])
        self.assertEqual(trace["inferscope.engine.preemptions"], len(truth["preempted"]))
        accuracy = CLOCK if engine == "vllm" else MOVED
        self.assertAlmostEqual(trace["inferscope.decode_time"], truth["last"] - truth["first"], delta=accuracy)
        if engine == "vllm":
            self.assertAlmostEqual(trace["inferscope.queue_time"], truth["scheduled"] - truth["queued"], delta=CLOCK)
            self.assertAlmostEqual(trace["inferscope.prefill_time"], truth["first"] - truth["scheduled"], delta=CLOCK)
            self.assertAlmostEqual(trace["inferscope.engine.kv_cache_usage.max"], max(truth["batches"]) / 10)
            for at, really in zip(trace.get("inferscope.engine.preempted", []), truth["preempted"], strict=True):
                self.assertAlmostEqual(at - trace["inferscope.engine.queued"], really - truth["queued"], delta=CLOCK)

    def check_all(self, agent, server, requests, engine="vllm"):
        replies = self.ask_all(server, requests)
        truths = self.truths(server, len(requests))
        traces = [agent.trace_of(reply) for reply in replies]
        for trace in traces:
            self.assertEqual(trace["inferscope.outcome"], "ok", trace)
            self.assertIn("inferscope.engine.request_id", trace)
            self.check(trace, truths[trace["inferscope.engine.request_id"]], engine)
        self.assertEqual(len({trace["inferscope.engine.request_id"] for trace in traces}), len(requests))
        return traces


class VllmTest(EngineTest):
    def test_requests_in_batches(self):
        for kind in ("vllm", "vllm-counts"):
            with self.subTest(kind):
                agent, server = self.start_both(kind)
                traces = self.check_all(agent, server, [{"max_tokens": 3 + number} for number in range(7)])
                self.assertGreater(max(trace["inferscope.queue_time"] for trace in traces), 0.02, "somebody waited")
                self.assertGreater(max(trace["inferscope.engine.waiting.max"] for trace in traces), 0)
                for trace in traces:
                    # The times of the engine lie within the request as its client saw it.
                    self.assertGreater(trace["inferscope.engine.queued"], 0)
                    self.assertLess(trace["inferscope.engine.first_token"], trace["inferscope.time_to_first_token"])

    def test_the_agent_comes_late(self):
        for tcp in (False, True):
            with self.subTest(tcp=tcp):
                agent, server = self.start_late("vllm", tcp)
                # Already the first request's messages prove what the connections are.
                for count in (2, 3):
                    trace = agent.trace_of(self.ask(server, max_tokens=6))
                    self.check(trace, self.truths(server, count)[trace["inferscope.engine.request_id"]])

    def test_preemption(self):
        agent, server = self.start_both("vllm")
        requests = [{"max_tokens": 8, "preempt_at": 3}, {"max_tokens": 8}, {"max_tokens": 9}, {"max_tokens": 5}]
        traces = self.check_all(agent, server, requests)
        self.assertEqual(sum(trace["inferscope.engine.preemptions"] for trace in traces), 1)

    def test_several_choices(self):
        agent, server = self.start_both("vllm")
        trace = agent.trace_of(self.ask(server, n=3, max_tokens=4))
        self.assertEqual(trace["inferscope.engine.requests"], 3)
        self.assertEqual(trace["inferscope.engine.predicted_tokens"], 12)
        self.assertEqual(trace["inferscope.engine.batch_size.max"], 3)

    def test_a_long_prompt_is_cut_but_counted(self):
        agent, server = self.start_both("vllm")
        trace = agent.trace_of(self.ask(server, words=20000))
        self.assertEqual(trace["inferscope.engine.prompt_tokens"], 20000)
        self.assertTrue(trace["inferscope.engine.complete"])

    def test_a_client_that_goes_away(self):
        agent, server = self.start_both("vllm")
        reply = self.ask(server, headers={"X-Request-Id": "mine-1"}, cancel_after=2, max_tokens=1000)
        trace = agent.trace_of(reply)
        truth, = self.truths(server, 1).values()
        self.assertEqual(trace["inferscope.outcome"], "client_cancelled")
        self.assertEqual(trace["inferscope.engine.request_id"], truth["id"])
        self.assertIn("mine-1", truth["id"])
        self.assertTrue(truth["aborted"])

    def test_calls_with_the_same_id(self):
        agent, server = self.start_both("vllm")
        ids = set()
        for count in (1, 2):
            trace = agent.trace_of(self.ask(server, headers={"X-Request-Id": "mine-2"}, max_tokens=2 + count))
            self.check(trace, self.truths(server, count)[trace["inferscope.engine.request_id"]])
            ids.add(trace["inferscope.engine.request_id"])
        self.assertEqual(len(ids), 2)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(self.ask, server, {"X-Request-Id": "mine-3"}, max_tokens=100) for _ in range(2)]
        for reply in asked:
            self.assertNotIn("inferscope.engine.request_id", agent.trace_of(reply.result()), "either may be meant")

    def test_is_shown(self):
        agent, server = self.start_both("vllm")
        trace = agent.trace_of(self.ask(server))
        shown = run_cli("trace", trace["trace_id"], "--socket", agent.socket).stdout
        for word in ("queue", "prefill", "decode", "engine", "batch"):
            self.assertIn(f"\n  {word}", shown)
        stages = agent.status()["stages"]
        self.assertGreater(stages["interpret (engine messages)"]["out"], 0, stages)


class SglangTest(EngineTest):
    def test_requests_in_batches(self):
        agent, server = self.start_both("sglang")
        self.check_all(agent, server, [{"max_tokens": 3 + number} for number in range(5)], "sglang")


if __name__ == "__main__":
    fixtures.main()
