#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where a request's time went: accounts that add up, phases against the server's own, and causes that are injected."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from causes import CAUSES, explained
from fixtures import Agent, LlamaServer, SystemTest, run_cli


class AccountTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder, model="medium")
        cls.agent = Agent(cls.folder).wait_watching(cls.server)
        for _ in range(2):  # the first touches the weights' pages, and tells which thread is the loop
            with cls.server.client() as client:
                client.chat(stream=True, max_tokens=4)

    def assert_account(self, trace):
        seconds = (trace["end_time_unix_nano"] - trace["start_time_unix_nano"]) / 1e9
        self.assertAlmostEqual(sum(trace["inferscope.time_parts.time"]), seconds, places=6, msg=trace)
        self.assertIn(trace["inferscope.time_parts.text"][0], trace["inferscope.explanation"])

    def test_phases_are_the_servers_own(self):
        with self.server.client() as client:
            reply = client.chat(text="babe cidu lofa menu " * 20, stream=True, max_tokens=30)
        trace = self.agent.trace_of(reply)
        self.assert_account(trace)
        timings = reply.last("timings")
        for phase, own in (("prefill", "prompt_ms"), ("decode", "predicted_ms")):
            told = trace[f"inferscope.{phase}_time"] * 1e3
            self.assertLess(abs(told - timings[own]), max(3, 0.05 * timings[own]), f"{phase}: {told} ms, {timings}")
        self.assertEqual(trace["inferscope.engine.steps"], timings["predicted_n"])
        self.assertGreater(trace["inferscope.cpu.time"], 0)
        self.assertNotIn("inferscope.gpu.time", trace)

    def test_a_plain_answer_has_an_account_and_no_phases(self):
        with self.server.client() as client:
            trace = self.agent.trace_of(client.chat(max_tokens=10))
        self.assert_account(trace)
        self.assertNotIn("inferscope.prefill_time", trace)

    def test_the_waterfall_says_why(self):
        with self.server.client() as client:
            trace = self.agent.trace_of(client.chat(stream=True, max_tokens=10))
        shown = run_cli("trace", trace["trace_id"], "--socket", self.agent.socket).stdout
        self.assertIn(trace["inferscope.explanation"], shown)
        for line in ("  prefill ", "  decode ", "  steps ", "  processor time "):
            self.assertIn(line, shown)


class CauseTest(SystemTest):
    """Each is named in one of a few tries: others on this machine may take more than what is injected."""
    tries = 3

    def assert_named(self, name):
        cause = CAUSES[name](self.folder)
        try:
            agent = Agent(self.folder, name=name)
            cause.wait_watching(agent)
            for _ in range(3):
                cause.request("babe cidu lofa", max_tokens=20)  # what is usual
            told = []
            for _ in range(self.tries):
                with cause.trouble():
                    reply = cause.victim()
                trace = explained(agent, reply)
                if cause.right(trace, reply):
                    agent.stop()
                    return
                told.append(trace.get("inferscope.explanation"))
            self.fail(f"{name} is not named: {told}")
        finally:
            cause.end()

    def test_processor_taken_by_others(self):
        self.assert_named("run_queue")

    def test_quota_used_up(self):
        self.assert_named("throttled")

    def test_long_prompt_of_another(self):
        self.assert_named("head_of_line")

    def test_client_that_does_not_read(self):
        self.assert_named("slow_reader")

    def test_stalled_gpu(self):
        self.assert_named("gpu_stall")


if __name__ == "__main__":
    fixtures.main()
