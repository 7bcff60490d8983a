#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every kind of request to a real llama-server shows up once, with what the server itself says about it."""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, SystemTest


class RequestsTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)
        cls.agent = Agent(cls.folder).wait_watching(cls.server)

    def assert_common(self, trace, reply, path, outcome="ok", complete=True):
        self.assertEqual(trace["inferscope.outcome"], outcome, trace)
        self.assertEqual(trace["inferscope.complete"], complete, trace)
        self.assertEqual(trace["http.response.status_code"], reply.status)
        self.assertEqual(trace["url.path"], path)
        self.assertEqual(trace["process.pid"], self.server.pid)
        self.assertEqual(trace["process.executable.name"], "llama-server")
        self.assertEqual(trace["server.port"], self.server.port)
        self.assertEqual(trace["server.address"], self.server.host)
        self.assertEqual(len(trace["trace_id"]), 32)
        self.assertEqual(len(trace["span_id"]), 16)
        # The server cannot have begun before the client sent, nor the client have ended before the server sent it all.
        slack = 5_000_000
        self.assertGreater(trace["start_time_unix_nano"], reply.begin - slack)
        self.assertLess(trace["end_time_unix_nano"], reply.end + slack)
        self.assertLess(trace["start_time_unix_nano"], trace["end_time_unix_nano"])

    def assert_usage(self, trace, reply):
        usage, timings = reply.last("usage"), reply.last("timings")
        self.assertEqual(trace["gen_ai.usage.input_tokens"], usage["prompt_tokens"])
        self.assertEqual(trace["gen_ai.usage.output_tokens"], usage["completion_tokens"])
        self.assertEqual(trace["gen_ai.usage.cache_read.input_tokens"],
                         usage["prompt_tokens_details"]["cached_tokens"])
        self.assertEqual(trace["inferscope.token_count_source"], "usage")
        self.assertEqual(trace["inferscope.engine.predicted_tokens"], timings["predicted_n"])
        self.assertEqual(trace["inferscope.engine.predicted_ms"], timings["predicted_ms"])
        self.assertEqual(trace["inferscope.engine.prompt_ms"], timings["prompt_ms"])
        self.assertEqual(trace["gen_ai.response.id"], reply.last("id"))
        self.assertEqual(trace["gen_ai.response.model"], self.server.model)
        self.assertEqual(trace["gen_ai.provider.name"], "llama.cpp")

    def assert_stream_times(self, trace, reply):
        events, tokens = len(reply.token_events()), reply.last("timings")["predicted_n"]
        self.assertLess(trace["inferscope.time_to_first_byte"], trace["inferscope.time_to_first_event"])
        self.assertLessEqual(trace["inferscope.time_to_first_event"], trace["inferscope.time_to_first_token"])
        times = trace["inferscope.token_times"]
        self.assertEqual(len(times), events)
        self.assertEqual(times, sorted(times))
        self.assertAlmostEqual(times[0], trace["inferscope.time_to_first_token"])
        self.assertAlmostEqual(trace["inferscope.time_per_output_token"], (times[-1] - times[0]) / (tokens - 1), places=6)

    def test_streaming_chat(self):
        with self.server.client() as client:
            reply = client.chat(stream=True, max_tokens=12, model="some-name", temperature=0.25, seed=7, top_p=0.5,
                                top_k=3, frequency_penalty=0.5, presence_penalty=0.25)
        trace = self.agent.trace_of(reply)
        self.assert_common(trace, reply, "/v1/chat/completions")
        self.assert_usage(trace, reply)
        self.assert_stream_times(trace, reply)
        self.assertEqual(trace["gen_ai.operation.name"], "chat")
        self.assertEqual(trace["gen_ai.response.finish_reasons"], ["length"])
        self.assertEqual(trace["gen_ai.request.model"], "some-name")
        expected = {"stream": True, "max_tokens": 12, "temperature": 0.25, "seed": 7, "top_p": 0.5, "top_k": 3,
                    "frequency_penalty": 0.5, "presence_penalty": 0.25}
        for name, value in expected.items():
            self.assertEqual(trace[f"gen_ai.request.{name}"], value, name)
        self.assertEqual(trace["inferscope.request.messages"], 1)
        self.assertEqual(trace["inferscope.request.prompt_bytes"], len("one two three"))
        self.assertEqual(trace["http.response.body.size"], len(reply.body))

    def test_plain_chat(self):
        with self.server.client() as client:
            reply = client.chat(max_tokens=6)
        trace = self.agent.trace_of(reply)
        self.assert_common(trace, reply, "/v1/chat/completions")
        self.assert_usage(trace, reply)
        self.assertEqual(trace["gen_ai.response.finish_reasons"], ["length"])
        # Nobody outside sees when the tokens of one whole answer came.
        self.assertNotIn("inferscope.time_to_first_token", trace)
        self.assertNotIn("inferscope.time_per_output_token", trace)

    def test_it_ends_by_itself(self):
        with self.server.client() as client:
            reply = client.chat(stream=True, ignore_eos=False, grammar='root ::= " babe"', max_tokens=50)
        trace = self.agent.trace_of(reply)
        self.assert_common(trace, reply, "/v1/chat/completions")
        self.assert_usage(trace, reply)
        self.assertEqual(trace["gen_ai.response.finish_reasons"], ["stop"])

    def test_four_at_once(self):
        replies = [None] * 4

        def one(number):
            with self.server.client() as client:
                replies[number] = client.chat(text="four " * (number + 1), stream=True, max_tokens=20 + number)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        traces = [self.agent.trace_of(reply) for reply in replies]
        for number, (trace, reply) in enumerate(zip(traces, replies)):
            self.assert_common(trace, reply, "/v1/chat/completions")
            self.assert_usage(trace, reply)
            self.assert_stream_times(trace, reply)
            self.assertEqual(trace["inferscope.request.prompt_bytes"], 5 * (number + 1))
        self.assertEqual(len({trace["trace_id"] for trace in traces}), 4)

    def test_cancelled_in_mid_stream(self):
        with self.server.client() as client:
            reply = client.chat(stream=True, max_tokens=2000, cancel_after=5)
        trace = self.agent.trace_of(reply)
        self.assertEqual(trace["inferscope.outcome"], "client_cancelled", trace)
        self.assertEqual(trace["http.response.status_code"], 200)
        self.assertNotIn("error.type", trace)
        self.assertNotIn("gen_ai.response.finish_reasons", trace)
        self.assertNotIn("inferscope.time_per_output_token", trace)
        self.assertGreaterEqual(len(trace["inferscope.token_times"]), 3)

    def test_bad_request(self):
        with self.server.client() as client:
            reply = client.post("/v1/chat/completions", b"{not json")
        self.assertEqual(reply.status, 400)
        trace = self.agent.trace_of(reply)
        self.assert_common(trace, reply, "/v1/chat/completions", outcome="error")
        self.assertEqual(trace["error.type"], reply.json()["error"]["type"])
        self.assertEqual(trace["gen_ai.operation.name"], "chat")

    def test_completion(self):
        with self.server.client() as client:
            body = {"prompt": "one two", "n_predict": 9, "ignore_eos": True, "temperature": 0.5}
            # llama-server closes the connection after a streamed answer, so that comes last.
            replies = [client.post("/completion", {**body, "stream": stream}) for stream in (False, True)]
        for reply in replies:
            trace = self.agent.trace_of(reply)
            self.assert_common(trace, reply, "/completion")
            last = reply.messages()[-1]
            self.assertEqual(trace["gen_ai.operation.name"], "text_completion")
            self.assertEqual(trace["gen_ai.usage.output_tokens"], last["timings"]["predicted_n"])
            self.assertEqual(trace["gen_ai.usage.input_tokens"], last["tokens_evaluated"])
            self.assertEqual(trace["inferscope.engine.prompt_tokens"], last["timings"]["prompt_n"])
            self.assertEqual(trace["gen_ai.request.max_tokens"], 9)
            self.assertEqual(trace["gen_ai.request.temperature"], 0.5)
            self.assertEqual(trace["gen_ai.response.finish_reasons"], ["length"])
        self.assert_stream_times(self.agent.trace_of(replies[1]), replies[1])

    def test_what_is_not_inference(self):
        with self.server.client() as client:
            replies = [client.get("/health"), client.get("/metrics"), client.get("/no-such-page")]
        for reply, path in zip(replies, ("/health", "/metrics", "/no-such-page")):
            trace = self.agent.trace_of(reply)
            self.assert_common(trace, reply, path, outcome="ok" if reply.status == 200 else "error")
            self.assertEqual(trace["http.request.method"], "GET")
            self.assertFalse([key for key in trace if key.startswith("gen_ai.")], trace)
        self.assertEqual(replies[2].status, 404)

    def test_one_connection_for_several_requests(self):
        with self.server.client() as client:
            replies = [client.chat(max_tokens=3), client.get("/health"), client.chat(max_tokens=4),
                       client.get("/metrics"), client.chat(stream=True, max_tokens=5)]
        self.assertEqual(len({reply.client_port for reply in replies}), 1)
        traces = [self.agent.trace_of(reply) for reply in replies]
        self.assertEqual([trace.get("gen_ai.usage.output_tokens") for trace in traces], [3, None, 4, None, 5])
        self.assertEqual([trace["http.response.status_code"] for trace in traces], [reply.status for reply in replies])
        self.assertTrue(all(trace["inferscope.complete"] for trace in traces), traces)
        self.assertEqual(len({trace["span_id"] for trace in traces}), 5)

    def large_request(self, pause):
        text = "word " * 300_000  # 1.5 MB: beyond what is captured of one message
        body = json.dumps({"messages": [{"role": "user", "content": text}], "model": "far-behind", "stream": True,
                           "max_tokens": 7}).encode()
        with self.server.client() as client:
            reply = client.post("/v1/chat/completions", body, pause=pause)
        trace = self.agent.trace_of(reply)
        self.assertEqual(trace["http.response.status_code"], reply.status)
        self.assertEqual(trace["http.request.body.size"], len(body))
        self.assertEqual(trace["gen_ai.operation.name"], "chat")
        self.assertFalse(trace["inferscope.complete"])
        self.assertRegex(trace["inferscope.lost"], r"^\d+ bytes of the request were beyond the capture limit$")
        return trace

    def test_large_request_with_its_fields_after_the_messages(self):
        # The middle is left out, which is said; the end is read, as the agent asked the kernel for it meanwhile.
        trace = self.large_request(pause=0.01)
        self.assertEqual(trace.get("gen_ai.request.model"), "far-behind", trace)
        self.assertIs(trace.get("gen_ai.request.stream"), True)
        self.assertEqual(trace.get("gen_ai.request.max_tokens"), 7)

    def test_large_request_in_one_burst(self):
        # Faster than the agent can ask for the end: then the fields may be absent, and must not be wrong.
        trace = self.large_request(pause=0)
        self.assertIn(trace.get("gen_ai.request.model", "far-behind"), ["far-behind"])
        self.assertIn(trace.get("gen_ai.request.max_tokens", 7), [7])

    def test_every_request_once(self):
        """What the client, the server and the agent counted agree."""
        def served():
            with self.server.client() as client:
                text = client.get("/metrics").body.decode()
            return int(next(line.split()[1] for line in text.splitlines()
                            if line.startswith("llamacpp:tokens_predicted_total ")))

        mine = {"server.port": self.server.port, "gen_ai.request.model": "counted"}
        tokens = served()
        for number in range(60):
            with self.server.client() as client:
                client.chat(stream=number % 2 == 0, max_tokens=2 + number % 3, model="counted")
        traces = self.agent.wait_traces(60, **mine)
        self.assertEqual(len(traces), 60)
        self.assertEqual(sum(trace["gen_ai.usage.output_tokens"] for trace in traces), served() - tokens)
        status = self.agent.status()
        for name, stage in status["stages"].items():
            self.assertEqual(stage["in"], stage["out"] + stage["held"] + sum(stage["dropped"].values()), name)
        self.assertEqual(status["kernel"]["transfers_lost"], 0)
        self.assertEqual(status["kernel"]["controls_lost"], 0)


class OtherServersTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agent = Agent(cls.folder)

    def test_embeddings(self):
        server = LlamaServer(self.folder, options=("--embeddings", "--pooling", "mean"))
        self.agent.wait_watching(server)
        with server.client() as client:
            reply = client.post("/v1/embeddings", {"input": "one two three", "model": "some-embedder"})
        if reply.status != 200:
            self.skipTest(f"this llama-server offers no embeddings: HTTP {reply.status}")
        trace = self.agent.trace_of(reply)
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertTrue(trace["inferscope.complete"], trace)
        self.assertEqual(trace["gen_ai.operation.name"], "embeddings")
        self.assertEqual(trace["gen_ai.request.model"], "some-embedder")
        self.assertEqual(trace["gen_ai.usage.input_tokens"], reply.json()["usage"]["prompt_tokens"])
        self.assertNotIn("inferscope.time_to_first_token", trace)

    def test_ipv6(self):
        server = LlamaServer(self.folder, host="::1")
        self.agent.wait_watching(server)
        with server.client() as client:
            reply = client.chat(stream=True, max_tokens=4)
        trace = self.agent.trace_of(reply)
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertEqual(trace["server.address"], "::1")
        self.assertEqual(trace["client.address"], "::1")
        self.assertEqual(trace["gen_ai.usage.output_tokens"], 4)


if __name__ == "__main__":
    fixtures.main()
