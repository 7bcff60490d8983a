#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent comes and goes, also by SIGKILL, and the server and its clients never notice."""
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
import kernel
from fixtures import SUPPORT, Agent, LlamaServer, PythonServer, SystemTest, run_cli


class Load:
    """Clients that never stop asking; what went wrong for them is in `problems`."""

    def __init__(self, server, clients=3):
        self.server, self.problems, self.done, self._stop = server, [], 0, threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _work(self, number):
        while not self._stop.is_set():
            try:
                with self.server.client() as client:
                    reply = client.chat(stream=number % 2 == 0, max_tokens=20)
                if reply.status != 200 or reply.last("usage")["completion_tokens"] != 20:
                    self.problems.append(reply)
                self.done += 1
            except OSError as problem:
                self.problems.append(problem)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


class RestartTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)

    def test_killed_in_the_middle_of_traffic(self):
        before = kernel.host_state()
        load = Load(self.server)
        self.addCleanup(load.stop)
        for _ in range(3):
            agent = Agent(self.folder).wait_watching(self.server)
            agent.wait_traces(5, **{"server.port": self.server.port, "inferscope.outcome": "ok"})
            agent.end(signal.SIGKILL)
            kernel.assert_programs_gone(agent.programs)
            kernel.assert_same_host(before)
        self.assertTrue(agent.socket.exists())  # SIGKILL leaves the socket file; the next start takes it over
        agent = Agent(self.folder).wait_watching(self.server)
        with self.server.client() as client:
            self.assertEqual(agent.trace_of(client.chat(stream=True, max_tokens=5))["inferscope.outcome"], "ok")
        done = load.done
        load.stop()
        self.assertGreater(done, 15)
        self.assertEqual(load.problems, [])
        self.assertTrue(self.server.running())
        self.assertEqual(agent.stop(), 0)
        self.assertFalse(agent.socket.exists())

    def test_connection_opened_before_the_restart(self):
        for _ in range(5):
            client = self.server.client()
            self.addCleanup(client.close)
            client.chat(max_tokens=1)
            agent = Agent(self.folder, name="again").wait_watching(self.server)
            try:
                reply = client.chat(max_tokens=6)
            except ConnectionError:  # llama-server lets go of idle connections after 5 s, and this was a slow start
                agent.stop()
                continue
            break
        trace = agent.wait_traces(1, **{"client.port": reply.client_port, "server.port": self.server.port})[-1]
        self.assertEqual(trace["gen_ai.usage.output_tokens"], 6)
        self.assertEqual(trace["inferscope.outcome"], "ok", trace)
        self.assertTrue(trace["inferscope.complete"], trace)

    def test_connection_of_an_unknown_server_opened_before_the_start(self):
        server = PythonServer(self.folder, SUPPORT / "closed_server.py")
        client = server.client()
        self.addCleanup(client.close)
        client.chat(max_tokens=1)
        agent = Agent(self.folder, name="unknown")
        time.sleep(0.5)
        # The read that waited already when the agent began is not seen; from the next one on all is.
        replies = [client.chat(max_tokens=tokens, stream=True) for tokens in (5, 6, 7)]
        agent.wait_watching(server)
        traces = agent.wait_traces(2, **{"client.port": replies[0].client_port, "inferscope.outcome": "ok"})
        self.assertEqual([trace["gen_ai.usage.output_tokens"] for trace in traces[-2:]], [6, 7])
        self.assertTrue(all(trace["inferscope.complete"] for trace in traces[-2:]), traces)

    def test_request_that_was_under_way(self):
        """Its beginning was not seen: no trace, or one that says that it is not complete; never a wrong one."""
        server = LlamaServer(self.folder, model="medium")
        client, replies = server.client(), []
        self.addCleanup(client.close)
        thread = threading.Thread(target=lambda: replies.append(client.chat(stream=True, max_tokens=200)))
        thread.start()
        time.sleep(0.5)
        agent = Agent(self.folder, name="middle").wait_watching(server)
        thread.join()
        with server.client() as other:
            agent.trace_of(other.chat(max_tokens=2))
        for trace in agent.traces(**{"client.port": replies[0].client_port}):
            self.assertFalse(trace["inferscope.complete"], trace)
            self.assertIn("before inferscope watched", trace["inferscope.lost"])
        self.assertEqual(agent.stop(), 0)

    def test_stopped_in_the_middle_of_a_request(self):
        server = LlamaServer(self.folder, model="medium")
        agent = Agent(self.folder, name="stopped").wait_watching(server)
        client, replies = server.client(), []
        self.addCleanup(client.close)
        thread = threading.Thread(target=lambda: replies.append(client.chat(stream=True, max_tokens=200)))
        thread.start()
        fixtures.wait_until(lambda: run_cli("trace", "--in-flight", "--json", "--socket", agent.socket).stdout,
                            "a request in flight")
        time.sleep(0.3)
        self.assertEqual(agent.stop(), 0)
        thread.join()
        self.assertEqual(replies[0].last("usage")["completion_tokens"], 200)
        lines = [line for line in agent.jsonl.read_text().splitlines()
                 if '"truncated"' in line and f'"server.port":{server.port},' in line]  # other tests have servers, too
        self.assertEqual(len(lines), 1, lines)
        self.assertIn('"inferscope.complete":false', lines[0])
        self.assertIn("inferscope stopped watching before the end", lines[0])

    def test_server_killed_in_the_middle_of_a_request(self):
        server = LlamaServer(self.folder, model="medium")
        agent = Agent(self.folder, name="dead").wait_watching(server)
        client = server.client()
        self.addCleanup(client.close)

        def ask():
            try:
                client.chat(stream=True, max_tokens=400)
            except OSError:
                pass

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(1)
        server.end(signal.SIGKILL)
        thread.join()
        trace = agent.wait_traces(1, **{"process.pid": server.pid, "gen_ai.operation.name": "chat"})[0]
        self.assertEqual(trace["inferscope.outcome"], "error", trace)
        self.assertEqual(trace["error.type"], "process_exited")
        again = LlamaServer(self.folder)
        agent.wait_watching(again)
        with again.client() as other:
            self.assertEqual(agent.trace_of(other.chat(max_tokens=2))["process.pid"], again.pid)


if __name__ == "__main__":
    fixtures.main()
