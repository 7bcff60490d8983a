#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is watched, found without a name or left out because the configuration says so, and what doctor says of it."""
import pathlib
import re
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import SUPPORT, Agent, LlamaServer, Process, PythonServer, SystemTest, run_cli

CLOSED = SUPPORT / "closed_server.py"


class DiscoveryTest(SystemTest):
    def test_server_started_before_and_after_the_agent(self):
        before = LlamaServer(self.folder)
        agent = Agent(self.folder, name="order").wait_watching(before)
        after = LlamaServer(self.folder)
        agent.wait_watching(after)
        for server in (before, after):
            with server.client() as client:
                trace = agent.trace_of(client.chat(stream=True, max_tokens=3))
            self.assertEqual(trace["process.pid"], server.pid)
            self.assertEqual(trace["gen_ai.usage.output_tokens"], 3)
        before.end()
        with after.client() as client:  # the other's end changes nothing
            agent.trace_of(client.chat(max_tokens=1))

    def closed_server_is_found(self, agent, server):
        with server.client() as client:
            client.get("/")  # no inference: watched only from the request on that is
            reply = client.chat(stream=True, max_tokens=4, model="theirs")
            again = client.chat(stream=True, max_tokens=5)
        agent.wait_watching(server)
        self.assertIn('why="received an inference request (POST /v1/chat/completions', agent.log())
        first = agent.wait_traces(2, **{"client.port": reply.client_port, "gen_ai.operation.name": "chat"})
        self.assertEqual([trace["gen_ai.usage.output_tokens"] for trace in first], [4, 5])
        self.assertEqual(first[0]["gen_ai.request.model"], "theirs")
        self.assertTrue(all(trace["inferscope.complete"] for trace in first), first)
        self.assertTrue(all(trace["process.pid"] == server.pid for trace in first), first)
        self.assertEqual(again.status, 200)

    def test_closed_server_that_listens_already(self):
        server = PythonServer(self.folder, CLOSED)
        self.closed_server_is_found(Agent(self.folder, name="closed1"), server)

    def test_closed_server_that_comes_later(self):
        agent = Agent(self.folder, name="closed2")
        self.closed_server_is_found(agent, PythonServer(self.folder, CLOSED))

    def test_not_automatic(self):
        named, other = PythonServer(self.folder, CLOSED), PythonServer(self.folder, CLOSED)
        agent = Agent(self.folder, {"watch": {"automatic": False, "include": [{"port": named.port}]}}, name="named")
        agent.wait_watching(named)
        with other.client() as client:
            client.chat(max_tokens=2)
        with named.client() as client:
            agent.trace_of(client.chat(max_tokens=2))
        self.assertNotIn(f"watching pid={other.pid} ", agent.log())
        self.assertEqual(agent.traces(**{"server.port": other.port}), [])

    def excluded(self, name, rule, server):
        """A server that a rule excludes is not watched, one beside it is, and doctor says why."""
        beside = LlamaServer(self.folder, options=("--alias", "beside"))
        agent = Agent(self.folder, {"watch": {"exclude": [rule]}}, name=name).wait_watching(beside)
        with server.client() as client:
            client.chat(max_tokens=2)
        with beside.client() as client:
            agent.trace_of(client.chat(max_tokens=2))
        time.sleep(0.5)  # young processes are looked at again
        self.assertNotIn(f"watching pid={server.pid} ", agent.log())
        self.assertEqual(agent.traces(**{"process.pid": server.pid}), [])
        told = self.doctor_lines(agent)
        self.assertRegex(told[server.pid], r"ignored +excluded by the configuration: " + list(rule)[0].replace("_", " "))
        self.assertRegex(told[beside.pid], r"watched +is known as llama.cpp server")
        agent.stop()
        beside.end()

    def doctor_lines(self, agent, *options):
        done = run_cli("doctor", "-c", agent.config_path, *options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        processes = done.stdout.partition("\nProcesses\n")[2].partition("\n\n")[0]
        return {int(line.split()[0]): line for line in processes.splitlines() if re.match(r"  \d+ ", line)}

    def test_excluded_by_port(self):
        server = LlamaServer(self.folder)
        self.excluded("port", {"port": server.port}, server)

    def test_excluded_by_command_line(self):
        server = LlamaServer(self.folder, options=("--alias", "secret-project"))
        self.excluded("line", {"command_line": "*--alias secret-project*"}, server)

    def test_excluded_by_executable(self):
        # An unknown program under a name of its own, which its first inference request would make known.
        program = self.folder / "own-python"
        shutil.copy2(pathlib.Path(sys.executable).resolve(), program)
        process = Process([program, "-u", CLOSED], self.folder / "own.log")
        fixtures.wait_until(lambda: process.log().startswith("port "), process.log)
        process.port = int(process.log().split()[1])
        process.client = lambda: fixtures.Client("127.0.0.1", process.port)
        self.excluded("executable", {"executable": "own-*"}, process)

    def test_excluded_by_user(self):
        program = Process(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-u", CLOSED],
                          self.folder / "nobody.log")
        fixtures.wait_until(lambda: program.log().startswith("port "), program.log)
        program.port = int(program.log().split()[1])
        program.client = lambda: fixtures.Client("127.0.0.1", program.port)
        self.excluded("user", {"user": "nobody"}, program)

    def test_doctor_lists_candidates_with_reasons(self):
        known, unknown = LlamaServer(self.folder), PythonServer(self.folder, CLOSED)
        agent = Agent(self.folder, name="doctor")
        told = self.doctor_lines(agent)
        self.assertIn("is known as llama.cpp server", told[known.pid])
        self.assertNotIn(unknown.pid, told)
        told = self.doctor_lines(agent, "--all")
        self.assertIn(f"listens on port {unknown.port}; watched once it receives an inference request",
                      told[unknown.pid])
        done = run_cli("doctor", "-c", agent.config_path)
        for part in ("Host", "Probes", "Processes", "Not visible", "Agent", "running for"):
            self.assertIn(part, done.stdout)
        self.assertEqual(len(re.findall(r"^  (process|connection|socket) +on ", done.stdout, re.M)), 3, done.stdout)


if __name__ == "__main__":
    fixtures.main()
