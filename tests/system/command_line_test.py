#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line: help on every level, exit codes that mean something, mistakes that are named."""
import json
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, Process, SystemTest, agent_binary, run_cli

COMMANDS = ("run", "trace", "doctor", "record", "replay")
DONE, FAILED, USAGE, NOT_PERMITTED = range(4)


class CommandLineTest(SystemTest):
    def refused(self, *words, code=USAGE, names):
        """Refused with this exit code, and a message with each of `names`."""
        done = run_cli(*words)
        self.assertEqual(done.returncode, code, done.stderr)
        for name in names:
            self.assertIn(str(name), done.stderr)
        return done

    def test_help(self):
        top = run_cli("--help")
        self.assertEqual(top.returncode, DONE)
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", top.stdout)
            done = run_cli(command, "--help")
            self.assertEqual(done.returncode, DONE)
            self.assertIn(f"Usage: inferscope {command}", done.stdout)
        self.assertRegex(run_cli("--version").stdout, r"^\d+\.\d+\.\d+$")

    def test_wrong_usage(self):
        self.refused(names=["command"])
        self.refused("bogus", names=["bogus"])
        self.refused("--bogus", names=["--bogus"])
        for command in COMMANDS:
            self.refused(command, "--bogus", *(["file"] if command in ("record", "replay") else []), names=["--bogus"])
        self.refused("run", "-c", self.folder / "none.yaml", names=["none.yaml"])
        self.refused("record", names=["file"])
        self.refused("record", "-t", "soon", self.folder / "r", names=["soon"])
        self.refused("record", "-t", "-1", self.folder / "r", names=["-1"])
        self.refused("replay", self.folder / "none", names=["none"])
        self.refused("trace", "--last", "x", names=["--last"])
        self.refused("trace", "xyz", names=["xyz"])

    def test_wrong_configuration(self):
        for text, place, word in (("capture:\n  ring: 5\n", "2:3", "ring"),
                                  ("nonsense: 1\n", "1:1", "nonsense"),
                                  ("log:\n  level: loud\n", "2:10", "log.level"),
                                  ("capture: {event_ring_bytes: many}\n", "1:29", "event_ring_bytes"),
                                  ("export:\n  otlp:\n    timeout: 5\n", "3:14", "timeout"),
                                  ("watch:\n  exclude:\n    - {}\n", "3:7", "exclude"),
                                  ("api: [\n", "2:1", ""),
                                  ("api: 5\n", "1:6", "api")):
            path = self.folder / "wrong.yaml"
            path.write_text(text)
            for command in (("run",), ("doctor",), ("record", self.folder / "r")):
                done = self.refused(*command, "-c", path, names=[f"{path}:{place}: ", word])
                self.assertNotIn("watching", done.stdout)

    def test_not_root(self):
        program = self.folder / "inferscope"  # where anybody may run it
        shutil.copy2(agent_binary(), program)
        self.folder.chmod(0o755)
        for words in (["run"], ["record", "/dev/null"], ["doctor"]):
            process = Process(["setpriv", "--reuid", "65534", "--clear-groups", program, *words],
                              self.folder / "nobody.log")
            self.assertEqual(process.popen.wait(30), NOT_PERMITTED, process.log())
            self.assertIn("run as root", process.log())

    def test_no_agent(self):
        socket = self.folder / "none.sock"
        self.refused("trace", "--socket", socket, code=FAILED, names=[socket, "inferscope run"])
        self.refused("trace", "--socket", "/" + "x" * 200, names=["too long"])

    def test_second_agent_on_the_same_socket(self):
        agent = Agent(self.folder, name="one")
        second = run_cli("run", "-c", agent.config_path)
        self.assertEqual(second.returncode, FAILED)
        self.assertIn(f"uses {agent.state}", second.stderr)
        other = self.folder / "other.yaml"
        other.write_text(json.dumps({"api": {"socket": str(agent.socket)}, "state": {"folder": str(self.folder / "other")}}))
        second = run_cli("run", "-c", other)
        self.assertEqual(second.returncode, FAILED)
        self.assertIn(f"another agent already serves {agent.socket}", second.stderr)
        self.assertTrue(agent.status())  # the first goes on
        self.assertEqual(agent.stop(), DONE)

    def test_ends_at_signals(self):
        for number, how in enumerate((signal.SIGINT, signal.SIGTERM)):
            agent = Agent(self.folder, name=f"signal{number}")
            begin = time.monotonic()
            self.assertEqual(agent.stop(how), DONE, agent.log())
            self.assertLess(time.monotonic() - begin, 5)
            self.assertFalse(agent.socket.exists())
            self.assertIn("stopped", agent.log())

    def test_socket_is_for_its_owner(self):
        agent = Agent(self.folder, name="owner")
        self.assertEqual(agent.socket.stat().st_mode & 0o777, 0o600)

    def test_trace_views(self):
        server = LlamaServer(self.folder)
        agent = Agent(self.folder, name="views").wait_watching(server)
        with server.client() as client:
            client.get("/metrics")
            reply = client.chat(stream=True, max_tokens=6, model="shown")
        trace = agent.trace_of(reply)
        here = ("--socket", agent.socket)
        row = next(line for line in run_cli("trace", *here).stdout.splitlines() if trace["trace_id"][:8] in line)
        for word in ("llama-server", "ok", "/v1/chat/completions"):
            self.assertIn(word, row)
        self.assertNotIn("/metrics", run_cli("trace", *here).stdout)
        self.assertIn("/metrics", run_cli("trace", "--all", *here).stdout)
        waterfall = run_cli("trace", trace["trace_id"][:10], *here).stdout
        for word in (trace["trace_id"], trace["span_id"], "first token", "output tokens          6"):
            self.assertIn(word, waterfall)
        self.refused("trace", "0" * 32, *here, code=FAILED, names=["knows no trace"])
        follow = Process([agent_binary(), "trace", "--follow", "--json", "--last", 0, *here], self.folder / "follow.log")
        time.sleep(0.5)
        with server.client() as client:
            other = client.chat(max_tokens=2)
        fixtures.wait_until(lambda: f'"client.port":{other.client_port}' in follow.log(), follow.log)
        self.assertEqual(follow.end(signal.SIGINT), DONE)
        self.assertNotIn(trace["trace_id"], follow.log())


if __name__ == "__main__":
    fixtures.main()
