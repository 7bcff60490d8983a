#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times against the server's own figures and against when a client saw the bytes."""
import pathlib
import statistics
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, SystemTest

MS = 1_000_000


class TimesTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder, model="medium")
        cls.agent = Agent(cls.folder).wait_watching(cls.server)
        with cls.server.client() as client:
            client.chat(stream=True, max_tokens=4)  # the first touches the weights' pages

    def assert_close_ms(self, actual, expected, what):
        """Within 1 ms or 1 %, whichever is larger: the promise of the design."""
        self.assertLessEqual(abs(actual - expected), max(1, 0.01 * expected), f"{what}: {actual} ms, {expected} ms")

    def assert_times(self, reply, queued_ms=0):
        trace = self.agent.trace_of(reply)
        timings = reply.last("timings")
        events = reply.token_events()
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        # The server counts from the first token to the last; so do we.
        per_token = timings["predicted_ms"] / (timings["predicted_n"] - 1)
        self.assert_close_ms(trace["inferscope.time_per_output_token"] * 1e3, per_token, "time per output token")
        first_ms = trace["inferscope.time_to_first_token"] * 1e3
        if queued_ms == 0:
            # Reading the request and sampling the first token are not in the server's figure.
            self.assertGreater(first_ms, timings["prompt_ms"])
            self.assertLess(first_ms, timings["prompt_ms"] + 10)
        else:
            self.assertGreater(first_ms, timings["prompt_ms"] * 0.99)
            self.assertLess(first_ms, timings["prompt_ms"] + queued_ms)
        self.assertLess(trace["inferscope.time_to_first_byte"], trace["inferscope.time_to_first_event"])
        self.assertLessEqual(trace["inferscope.time_to_first_event"], trace["inferscope.time_to_first_token"])
        begin = trace["start_time_unix_nano"]
        later = [event.time - (begin + time * 1e9) for event, time in zip(events, trace["inferscope.token_times"])]
        self.assertEqual(len(events), len(trace["inferscope.token_times"]))
        # The client cannot have a token before the server sent it; half a millisecond is for the two clocks.
        self.assertGreater(min(later), -0.5 * MS)
        self.assertLess(statistics.median(later), 3 * MS)
        self.assertLess(begin, reply.end)
        self.assertGreater(begin, reply.begin - 0.5 * MS)
        self.assertLess(begin - reply.begin, 5 * MS)
        return trace

    def test_one_request(self):
        for tokens in (8, 60):
            with self.server.client() as client:
                self.assert_times(client.chat(text=f"{tokens} " * 10, stream=True, max_tokens=tokens))

    def test_long_prompt(self):
        with self.server.client() as client:
            reply = client.chat(text="babe cidu lofa menu " * 40, stream=True, max_tokens=10)
        trace = self.assert_times(reply)
        self.assertGreater(trace["inferscope.time_to_first_token"], 5 * trace["inferscope.time_per_output_token"])

    def test_completion(self):
        with self.server.client() as client:
            body = {"prompt": "one two three four", "n_predict": 40, "ignore_eos": True, "stream": True}
            self.assert_times(client.post("/completion", body))

    def test_three_at_once(self):
        replies = [None] * 3

        def one(number):
            with self.server.client() as client:
                replies[number] = client.chat(text=f"{number} babe cidu " * 20, stream=True, max_tokens=30)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for reply in replies:
            self.assert_times(reply, queued_ms=sum(other.last("timings")["prompt_ms"] for other in replies) + 50)

    def test_what_the_client_sees_of_a_plain_answer(self):
        with self.server.client() as client:
            reply = client.chat(max_tokens=20)
        trace = self.agent.trace_of(reply)
        seconds = (trace["end_time_unix_nano"] - trace["start_time_unix_nano"]) / 1e9
        timings = reply.last("timings")
        self.assertGreaterEqual(seconds * 1e3, timings["prompt_ms"] + timings["predicted_ms"])
        self.assert_close_ms(seconds * 1e3, (reply.end - reply.begin) / 1e6, "duration")

    def test_finished_requests_are_told_within_a_second(self):
        with self.server.client() as client:
            reply = client.chat(stream=True, max_tokens=3)
        match = {"client.port": reply.client_port, "server.port": self.server.port}
        fixtures.wait_until(lambda: self.agent.traces(**match), "the trace", seconds=1)


if __name__ == "__main__":
    fixtures.main()
