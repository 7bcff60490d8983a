#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector receives the spans and prints them. Built by `scripts/test --full`."""
import json
import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, Process, SystemTest, free_port, wait_until


def printed_spans(log):
    """The spans of the debug exporter's output: each a block of `Name : value` lines, then its attributes."""
    spans = []
    for block in re.split(r"^Span #\d+$", log, flags=re.M)[1:]:
        head = dict(re.findall(r"^    ([A-Z][A-Za-z ]+?) +: (.*)$", block, re.M))
        head["attributes"] = dict(re.findall(r"^     -> ([\w.]+): (.*)$", block, re.M))
        spans.append(head)
    return spans


@unittest.skipUnless(os.environ.get("INFERSCOPE_COLLECTOR"), "no collector: scripts/test --full builds one")
class CollectorTest(SystemTest):
    def start_collector(self):
        port = free_port()
        path = self.folder / "collector.yaml"
        path.write_text(json.dumps({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"debug": {"verbosity": "detailed", "sampling_initial": 10000}},
            "service": {"telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}}}}))
        collector = Process([os.environ["INFERSCOPE_COLLECTOR"], "--config", f"file:{path}"], self.folder / "collector.log")
        wait_until(lambda: "Everything is ready" in collector.log(), collector.log)
        return collector, port

    def test_the_collector_prints_the_same_spans(self):
        server = LlamaServer(self.folder)
        collector, port = self.start_collector()
        agent = Agent(self.folder, {
            "watch": {"automatic": False, "include": [{"port": server.port}]},
            "export": {"otlp": {"endpoint": f"http://127.0.0.1:{port}/v1/traces", "compression": "gzip"}}})
        agent.wait_watching(server)
        traces = []
        for number in range(5):
            with server.client() as client:
                traces.append(agent.trace_of(client.chat(stream=True, max_tokens=5 + number, model=f"m{number}")))
        with server.client() as client:
            bad = agent.trace_of(client.post("/v1/chat/completions", b"{"))
        wait_until(lambda: len(printed_spans(collector.log())) >= 22, collector.log)
        agent.stop()
        spans = printed_spans(collector.log())
        self.assertEqual(len(spans), 5 * 4 + 2)
        for number, trace in enumerate(traces):
            mine = {span["Name"]: span for span in spans if span["Trace ID"] == trace["trace_id"]}
            self.assertEqual(set(mine), {"POST", f"chat m{number}", "queue and prefill", "decode"})
            http, call = mine["POST"], mine[f"chat m{number}"]
            self.assertEqual([http["ID"], http["Kind"], http["Parent ID"]], [trace["span_id"], "Server", ""])
            self.assertEqual([call["Parent ID"], call["Kind"]], [http["ID"], "Internal"])
            self.assertEqual(call["attributes"]["gen_ai.usage.output_tokens"], f"Int({5 + number})")
            self.assertEqual(call["attributes"]["gen_ai.request.model"], f"Str(m{number})")
            self.assertEqual(http["attributes"]["http.response.status_code"], "Int(200)")
            self.assertEqual(http["Status code"], "Unset")
        failed = [span for span in spans if span["Trace ID"] == bad["trace_id"]]
        self.assertEqual([span["Status code"] for span in failed], ["Error", "Error"])
        self.assertIn(f"process.pid: Int({server.pid})", collector.log())


if __name__ == "__main__":
    fixtures.main()
