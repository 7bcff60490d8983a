#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP: the spans, decoded independently; what happens when the backend is slow, gone or refuses."""
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from backend import Backend
from fixtures import Agent, LlamaServer, SystemTest, run_cli, wait_until

INTERNAL, SERVER = 1, 2  # Span.SpanKind


class OtlpTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)

    def start(self, name, otlp, environment=None, **config):
        watch = {"automatic": False, "include": [{"port": self.server.port}]}  # no other spans in the backend
        export = {"otlp": otlp} if otlp is not None else {}
        agent = Agent(self.folder, {"watch": watch, "export": export, **config}, environment, name=name)
        self.addCleanup(lambda: agent.running() and agent.stop())
        return agent.wait_watching(self.server)

    def backend(self, port=0):
        backend = Backend(port)
        self.addCleanup(backend.close)
        return backend

    def chat(self, **fields):
        with self.server.client() as client:
            return client.chat(**{"max_tokens": 3, **fields})

    def stage(self, agent):
        return agent.status()["stages"]["export otlp (traces)"]

    def assert_same_values(self, attributes, trace):
        """The span says what `inferscope trace --json` says."""
        for key, value in attributes.items():
            self.assertEqual(trace.get(key), value, key)

    def test_spans(self):
        backend = self.backend()
        agent = self.start("spans", {"endpoint": backend.url + "/v1/traces", "headers": {"X-Key": "k1"}},
                           resource={"service_name": "edge", "attributes": {"deployment.environment.name": "test"}})
        reply = self.chat(stream=True, max_tokens=9, model="m1", headers={"tracestate": "a=b",
                          "traceparent": "00-11111111111111111111111111111111-2222222222222222-01"})
        trace = agent.trace_of(reply)
        spans = wait_until(backend.spans, "spans")
        self.assertEqual(sorted(span["name"] for span in spans), ["POST", "chat m1", "decode", "queue and prefill"])
        by_name = {span["name"]: span for span in spans}
        http, call = by_name["POST"], by_name["chat m1"]
        prefill, decode = by_name["queue and prefill"], by_name["decode"]
        self.assertEqual({span["trace_id"] for span in spans}, {"1" * 32})
        self.assertEqual({span["state"] for span in spans}, {"a=b"})
        self.assertEqual(len({span["span_id"] for span in spans}), 4)
        self.assertEqual([http["parent"], call["parent"]], ["2" * 16, http["span_id"]])
        self.assertEqual([prefill["parent"], decode["parent"]], [call["span_id"]] * 2)
        self.assertEqual([http["kind"], call["kind"], prefill["kind"], decode["kind"]], [SERVER] + [INTERNAL] * 3)
        self.assertEqual({span["status"] for span in spans}, {0})
        self.assertEqual(http["span_id"], trace["span_id"])
        for span in (http, call):
            self.assertEqual([span["start"], span["end"]], [trace["start_time_unix_nano"], trace["end_time_unix_nano"]])
        first, last = (trace["start_time_unix_nano"] + trace["inferscope.token_times"][i] * 1e9 for i in (0, -1))
        self.assertEqual(prefill["start"], trace["start_time_unix_nano"])
        self.assertAlmostEqual(prefill["end"], first, delta=1000)
        self.assertAlmostEqual(decode["start"], first, delta=1000)
        self.assertAlmostEqual(decode["end"], last, delta=1000)
        for span in spans:
            self.assert_same_values(span["attributes"], trace)
            self.assertEqual(span["scope"], "inferscope")
            self.assertEqual(span["resource"]["service.name"], "edge")
            self.assertEqual(span["resource"]["deployment.environment.name"], "test")
            self.assertEqual(span["resource"]["process.pid"], self.server.pid)
        self.assertEqual(http["attributes"]["http.response.status_code"], 200)
        self.assertEqual(call["attributes"]["gen_ai.usage.output_tokens"], 9)
        self.assertEqual(call["attributes"]["gen_ai.response.finish_reasons"], ["length"])
        _, path, headers, _, _ = backend.posts[0]
        self.assertEqual(path, "/v1/traces")
        self.assertEqual(headers["Content-Type"], "application/x-protobuf")
        self.assertEqual(headers["X-Key"], "k1")
        self.assertNotIn("Content-Encoding", headers)

    def test_errors_and_what_is_not_inference(self):
        backend = self.backend()
        agent = self.start("errors", {"endpoint": backend.url + "/v1/traces"})
        with self.server.client() as client:
            client.get("/health")
            agent.trace_of(client.post("/v1/chat/completions", b"{not json"))
        spans = wait_until(lambda: len(backend.spans()) >= 3 and backend.spans(), "three spans")
        self.assertEqual(sorted((span["name"], span["status"]) for span in spans),
                         [("GET", 0), ("POST", 2), ("chat", 2)])
        self.assertTrue(all(span["attributes"]["error.type"] for span in spans if span["status"] == 2))

    def test_metrics(self):
        """What the agent tells of itself, at each interval and at its end."""
        backend = self.backend()
        agent = self.start("metrics", {"endpoint": backend.url + "/v1/traces", "metrics_interval": "200ms"})
        wait_until(lambda: backend.metrics, agent.log)
        agent.trace_of(self.chat(stream=True, max_tokens=50))
        wait_until(lambda: backend.spans(), agent.log)
        before = len(backend.metrics)
        wait_until(lambda: len(backend.metrics) >= before + 2, agent.log)
        agent.stop()
        points = backend.points()
        last = max(point["time"] for point in points)
        self.assertGreater(last, time.time_ns() - 30e9)

        def told(name, **attributes):
            """Its values in order of time, each at another one."""
            wanted = {f"inferscope.{key}".replace("__", "."): value for key, value in attributes.items()}
            found = [point for point in points if point["name"] == name and wanted.items() <= point["attributes"].items()]
            self.assertEqual(len({point["time"] for point in found}), len(found), found)
            self.assertIn(last, {point["time"] for point in found}, f"{name} is in the last ones, too")
            return found

        for of, state, value in (("gpus", "full", 1), ("gpus", "off", 0), ("threads", "on", 1), ("threads", "off", 0)):
            levels = told("inferscope.probe.level", probe__of=of, probe__state=state)
            self.assertEqual(levels[-1]["value"], value, levels[-1])
            self.assertEqual(levels[-1]["attributes"]["process.pid"], self.server.pid)
        self.assertEqual({point["value"] >= 0.01 for point in told("inferscope.probe.budget")}, {True})
        self.assertGreater(max(point["value"] for point in told("inferscope.probe.cost", probe__of="sockets")), 0)
        transfers = told("inferscope.kernel.count", kernel__counter="transfers")
        self.assertEqual([point["value"] for point in transfers], sorted(point["value"] for point in transfers))
        self.assertGreater(transfers[-1]["value"], transfers[0]["value"])
        self.assertTrue(transfers[-1]["cumulative"] and transfers[-1]["monotonic"])
        self.assertLess(transfers[-1]["begin"], transfers[0]["time"])
        self.assertEqual(told("inferscope.stage.out", stage__name="export otlp (traces)")[-1]["value"], 1)
        self.assertEqual(told("inferscope.processes")[-1]["value"], 1)

    def test_environment_and_gzip(self):
        backend = self.backend()
        agent = self.start("environment", None, {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url + "/base/", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-one=1,x-two=2", "OTEL_SERVICE_NAME": "from-environment",
            "OTEL_RESOURCE_ATTRIBUTES": "team=blue"})
        agent.trace_of(self.chat())
        span = wait_until(backend.spans, "spans")[0]
        _, path, headers, _, _ = backend.posts[0]
        self.assertEqual(path, "/base/v1/traces")
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertEqual([headers["x-one"], headers["x-two"]], ["1", "2"])
        self.assertEqual([span["resource"]["service.name"], span["resource"]["team"]], ["from-environment", "blue"])

    def test_retries_while_the_backend_is_unwell(self):
        backend = self.backend()
        backend.answers = [503, 503, 429, 200]
        agent = self.start("retry", {"endpoint": backend.url + "/v1/traces"})
        agent.trace_of(self.chat())
        wait_until(backend.spans, "the spans after four tries", seconds=20)
        times = [post[0] for post in backend.posts]
        self.assertEqual([post[3] for post in backend.posts], [503, 503, 429, 200])
        self.assertEqual(len({post[4] for post in backend.posts}), 1)
        pauses = [later - earlier for earlier, later in zip(times, times[1:])]
        for pause, least in zip(pauses, (0.25, 0.5, 1.0)):  # 0.5 s, doubled each time, less a jitter of up to a half
            self.assertGreater(pause, least * 0.99)
        wait_until(lambda: self.stage(agent)["out"] == 1, "one delivered")
        self.assertEqual(self.stage(agent)["dropped"], {})

    def test_retry_after_is_obeyed(self):
        backend = self.backend()
        backend.answers, backend.retry_after = [503], "2"
        agent = self.start("after", {"endpoint": backend.url + "/v1/traces"})
        agent.trace_of(self.chat())
        wait_until(backend.spans, "the spans", seconds=20)
        self.assertGreater(backend.posts[1][0] - backend.posts[0][0], 1.9)

    def test_backend_that_comes_later(self):
        port = fixtures.free_port()
        agent = self.start("later", {"endpoint": f"http://127.0.0.1:{port}/v1/traces"})
        agent.trace_of(self.chat())
        wait_until(lambda: "traces cannot be delivered" in agent.log(), agent.log)
        backend = self.backend(port)
        wait_until(backend.spans, "spans, once it is there", seconds=30)
        self.assertIn("traces are delivered again", wait_until(
            lambda: "again" in agent.log() and agent.log(), agent.log))

    def test_what_the_backend_refuses_is_dropped_and_counted(self):
        backend = self.backend()
        backend.answers = [400]
        agent = self.start("refused", {"endpoint": backend.url + "/v1/traces"})
        agent.trace_of(self.chat())
        wait_until(lambda: self.stage(agent)["dropped"] == {"refused by the backend": 1}, "the drop")
        agent.trace_of(self.chat())
        wait_until(backend.spans, "the next spans")
        self.assertEqual(len(backend.posts), 2)  # the first was not sent again

    def test_full_queue_is_counted(self):
        backend = self.backend()
        backend.hold.clear()
        agent = self.start("full", {"endpoint": backend.url + "/v1/traces", "queue_traces": 8})
        for _ in range(4):
            with self.server.client() as client:  # llama-server lets a connection go after 100 requests
                for _ in range(75):
                    client.get("/health")
        agent.wait_traces(300, **{"server.port": self.server.port})
        stage = self.stage(agent)
        self.assertEqual(stage["in"], 300)
        self.assertGreater(stage["dropped"]["queue full"], 0)
        self.assertEqual(stage["in"], stage["out"] + stage["held"] + sum(stage["dropped"].values()))
        doctor = run_cli("doctor", "-c", agent.config_path)
        self.assertRegex(doctor.stdout, r"queue full.{1,5}\d+")
        backend.hold.set()
        wait_until(lambda: self.stage(agent)["held"] == 0, "the rest delivered")

    def test_delivered_at_the_end(self):
        backend = self.backend()
        agent = self.start("end", {"endpoint": backend.url + "/v1/traces"})
        reply = self.chat()
        agent.trace_of(reply)
        self.assertEqual(agent.stop(), 0)  # at once: what waits for its batch to fill is sent
        self.assertEqual(len([span for span in backend.spans() if span["name"] == "POST"]), 1)

    def test_no_content_anywhere(self):
        """A word of the prompt and words of the answer are in nothing that leaves the agent."""
        backend = self.backend()
        agent = self.start("content", {"endpoint": backend.url + "/v1/traces"}, log={"level": "debug"})
        secret = "xylophoneprompt"
        headers = {"Authorization": f"Bearer {secret}"}

        def words_of(reply):
            return re.findall(r"[a-z]{5,}", "".join(message["choices"][0]["delta"].get("content") or ""
                                                    for message in reply.messages() if message["choices"]))

        for seed in range(20):  # the model says anything, and not always words
            streamed = self.chat(text=f"{secret} babe", stream=True, max_tokens=12, seed=seed, headers=headers)
            if words_of(streamed):
                break
        replies = [streamed, self.chat(text=f"{secret} babe", stream=False, max_tokens=12, headers=headers)]
        with self.server.client() as client:
            replies.append(client.post("/completion", {"prompt": secret, "n_predict": 5, "user": secret}))
            client.post(f"/v1/chat/completions?key={secret}", json.dumps({"messages": f"{secret}"}).encode())
        traces = [agent.trace_of(reply) for reply in replies]
        wait_until(lambda: len({span["trace_id"] for span in backend.spans()}) >= 4, "all spans")
        written = {"exported": backend.bytes(), "log": agent.log().encode(), "jsonl": agent.jsonl.read_bytes(),
                   "traces": agent.get("/v1/traces?last=1000&token_times=1"), "status": agent.get("/v1/status"),
                   "waterfall": run_cli("trace", traces[0]["trace_id"], "--socket", agent.socket).stdout.encode()}
        words = [secret, *words_of(streamed)]
        self.assertGreater(len(words), 1)
        for place, data in written.items():
            self.assertGreater(len(data), 100, place)
            for word in words:
                self.assertNotIn(word.encode(), data, place)


if __name__ == "__main__":
    fixtures.main()
