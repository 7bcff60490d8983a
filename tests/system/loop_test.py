#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From trouble to an action and back: a real server is stopped, killed or crowded out under load, and what the agent
finds, decides, does, undoes, records and tells about it."""
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from backend import Backend
from fixtures import Agent, LlamaServer, Process, SystemTest, run_cli, wait_until
from trouble import Cgroup, Hog, Load, eager_agent, pin, records, state_of, watch_only

# Holds a cgroup down when the server is stopped: a lease that needs no learning to come about.
LEASE_POLICY = """name: hold-down
mode: enforce
match: {{finding: stall, cause: stopped}}
steps:
  - {step}: {{target: {{cgroup: {cgroup}}}, {how}, hold: true}}
cooldown: 1s
"""
NOTIFY_POLICY = """name: tell
mode: enforce
match: {{finding: down}}
steps:
  - notify: {{url: "{url}", secret_file: {secret}}}
"""


class LoopTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder, "medium")
        cls.load = Load(cls.folder, cls.server)

    def setUp(self):
        self.addCleanup(os.kill, self.server.pid, signal.SIGCONT)

    def started(self, agent):
        self.addCleanup(lambda: agent.running() and agent.stop())
        agent.wait_watching(self.server)
        # A request of which the agent saw the beginning is under way.
        wait_until(lambda: agent.get("/v1/in-flight").count(b"\n") >= 2, "requests in flight")
        return agent

    def policy(self, text, **values):
        path = self.folder / f"policy.{time.monotonic_ns()}.yaml"
        path.write_text(text.format(**values))
        return path

    def stop_server(self, agent):
        """Stops it and returns the finding about that."""
        known = {one["id"] for one in records(agent, "findings")}
        os.kill(self.server.pid, signal.SIGSTOP)
        return wait_until(lambda: [one for one in records(agent, "findings")
                                   if one["id"] not in known and one["process.pid"] == self.server.pid],
                          "a finding", seconds=5)[0]

    def again(self, agent, kind, finding, **match):
        """The finding's record of that kind when it is as `match` says."""
        keys = {f"inferscope.{key.replace('__', '.')}": value for key, value in match.items()}

        def found():
            for one in records(agent, kind, **({"id": finding["id"]} if kind == "findings" else
                                               {"finding": finding["id"]})):
                if all(one.get(key) == value for key, value in keys.items()):
                    return one
            return None

        return wait_until(found, lambda: f"{kind} with {keys}: {records(agent, 'records', finding=finding['id'])}")

    def test_observed_only(self):
        agent = self.started(Agent(self.folder, name="observing"))
        finding = self.stop_server(agent)
        self.assertEqual(finding["inferscope.finding.kind"], "stall")
        self.assertEqual(finding["inferscope.cause.kind"], "stopped")
        self.assertEqual(finding["process.pid"], self.server.pid)
        decision = self.again(agent, "decisions", finding, policy__name="stalled-server")
        self.assertEqual(decision["inferscope.decision.verdict"], "would_act")
        self.assertIn("the policy observes", decision["inferscope.decision.reason"])
        self.again(agent, "effects", finding, effect__state="would_have")
        time.sleep(1)
        self.assertEqual(state_of(self.server.pid), "T")
        self.assertIn("stall", run_cli("findings", "--open", "--socket", agent.socket).stdout)
        os.kill(self.server.pid, signal.SIGCONT)
        self.again(agent, "findings", finding, finding__state="over")
        self.assertEqual(agent.stop(), 0)

    def test_server_stopped_between_two_requests(self):
        """What clients send is not read, so no request is seen; that they wait is."""
        server = LlamaServer(self.folder, "tiny")
        self.addCleanup(server.end)
        self.addCleanup(os.kill, server.pid, signal.SIGCONT)
        agent = Agent(self.folder, watch_only(server), name="between").wait_watching(server)
        self.addCleanup(lambda: agent.running() and agent.stop())
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.addCleanup(client.close)
        ask = {"method": "POST", "url": "/completion", "body": json.dumps({"prompt": "a", "n_predict": 2})}
        client.request(**ask)
        client.getresponse().read()
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(1)
        self.assertEqual(records(agent, "findings"), [], "nobody waits for anything")
        client.request(**ask)
        finding = wait_until(lambda: records(agent, "findings"), "a finding", seconds=5)[0]
        self.assertEqual(finding["inferscope.finding.kind"], "stall")
        self.assertEqual(finding["inferscope.cause.kind"], "stopped")
        self.assertIn("clients that wait: 1", finding["text"])
        os.kill(server.pid, signal.SIGCONT)
        self.again(agent, "findings", finding, finding__state="over")
        self.assertEqual(client.getresponse().status, 200)

    def test_policy_that_enforces_on_a_host_that_is_not_armed(self):
        agent = self.started(eager_agent(self.folder, self.server, "enforce", act={"armed": False}))
        decision = self.again(agent, "decisions", self.stop_server(agent), policy__name="stalled-server")
        self.assertEqual(decision["inferscope.decision.verdict"], "would_act")
        self.assertIn("the host is not armed", decision["inferscope.decision.reason"])
        self.assertEqual(state_of(self.server.pid), "T")

    def test_stopped_server_is_continued(self):
        backend = Backend()
        self.addCleanup(backend.close)
        agent = self.started(eager_agent(self.folder, self.server, "enforce",
                                         export={"otlp": {"endpoint": backend.url + "/v1/traces"}}))
        finding = self.stop_server(agent)
        wait_until(lambda: state_of(self.server.pid) not in ("T", ""), "the server continued", seconds=5)
        finding = self.again(agent, "findings", finding, finding__state="over")
        effect = self.again(agent, "effects", finding, effect__outcome="recovered")
        self.assertEqual(effect["inferscope.action.text"], "signal CONT")
        self.assertEqual(effect["inferscope.target.pid"], self.server.pid)

        story = run_cli("findings", finding["id"][:8], "--socket", agent.socket).stdout
        for words in (finding["id"], "is stopped by a signal", "act: signal CONT", "recovered"):
            self.assertIn(words, story)
        concerned = finding["inferscope.finding.trace_ids"]
        self.assertTrue(concerned)
        trace = agent.wait_traces(1, trace_id=concerned[0], **{"inferscope.role": "server"})[0]
        self.assertIn(finding["id"], trace["inferscope.finding.ids"])

        def told():
            return [one for one in backend.log_records()
                    if one["attributes"].get("inferscope.finding.id") == finding["id"]]

        events = {"inferscope.finding", "inferscope.decision", "inferscope.effect"}
        wait_until(lambda: events <= {one["event"] for one in told()}, lambda: f"{events}: {backend.log_records()}")
        log = next(one for one in told() if one["event"] == "inferscope.finding")
        self.assertEqual(log["attributes"]["inferscope.cause.kind"], "stopped")
        self.assertEqual(log["trace_id"], concerned[0])
        self.assertEqual(agent.stop(), 0)
        self.assert_audit(agent.state / "audit", finding, effect)

    def assert_audit(self, audit, finding, effect):
        """It holds what was decided and done, as it was written, and shows any change."""
        verified = run_cli("audit", "verify", audit)
        self.assertEqual(verified.returncode, 0, verified.stderr)
        text = audit.read_text()
        for id in (finding["id"], effect["id"]):
            self.assertIn(id, text)
        at = text.index(effect["id"])
        audit.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
        changed = run_cli("audit", "verify", audit)
        self.assertEqual(changed.returncode, 1, changed.stdout)
        self.assertIn(f"{audit}:{text[:at].count(chr(10)) + 1}:", changed.stderr)

    def holding(self, name, cgroup, step="throttle", how="quota: 0.5, for: 60s"):
        """An agent that holds the cgroup down, and the effect."""
        policy = self.policy(LEASE_POLICY, cgroup=cgroup.path, step=step, how=how)
        config = {"policies": [str(policy)], "act": {"armed": True}, **watch_only(self.server)}
        agent = self.started(Agent(self.folder, config, name=name))
        before = cgroup.values()
        effect = self.again(agent, "effects", self.stop_server(agent), effect__state="active")
        self.assertNotEqual(cgroup.values(), before)
        os.kill(self.server.pid, signal.SIGCONT)
        return agent, effect

    def cgroup_with_member(self, controller="cpu"):
        cgroup = Cgroup("target", controller)
        member = Process(["sleep", "1000"], self.folder / "sleep.log")
        cgroup.add(member.pid)

        def remove():
            member.end(signal.SIGKILL)
            cgroup.remove()

        self.addCleanup(remove)
        return cgroup

    def test_lease_is_taken_back_by_an_operator(self):
        cgroup = self.cgroup_with_member()
        before = cgroup.values()
        agent, effect = self.holding("lease", cgroup)
        self.assertIn(effect["id"][:8], run_cli("effects", "--open", "--socket", agent.socket).stdout)
        undone = run_cli("effects", "undo", effect["id"][:8], "--socket", agent.socket)
        self.assertEqual(undone.returncode, 0, undone.stderr)
        self.assertEqual(cgroup.values(), before)
        effect = records(agent, "effects", id=effect["id"])[0]
        self.assertEqual(effect["inferscope.effect.state"], "ended")
        self.assertEqual(effect["inferscope.effect.ended_by"], "operator")
        again = run_cli("effects", "undo", effect["id"][:8], "--socket", agent.socket)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("no effect that holds", again.stderr)

    def test_frozen_group_thaws_by_its_deadline(self):
        cgroup = self.cgroup_with_member("freezer")
        before = cgroup.values()
        agent, effect = self.holding("frozen", cgroup, "freeze", "for: 1s")
        wait_until(lambda: cgroup.values() == before, "thawed", seconds=10)
        effect = self.again(agent, "effects", {"id": effect["finding"]}, effect__state="ended")
        self.assertEqual(effect["inferscope.effect.ended_by"], "expiry")

    def test_frozen_group_thaws_when_the_agent_is_killed(self):
        cgroup = self.cgroup_with_member("freezer")
        before = cgroup.values()
        agent, _ = self.holding("frozen-killed", cgroup, "freeze", "for: 60s")
        agent.end(signal.SIGKILL)
        wait_until(lambda: cgroup.values() == before, "thawed by the guardian", seconds=10)

    def test_lease_ends_with_the_agent(self):
        cgroup = self.cgroup_with_member()
        before = cgroup.values()
        agent, _ = self.holding("ended", cgroup)
        self.assertEqual(agent.stop(), 0)
        self.assertEqual(cgroup.values(), before)

    def test_agent_killed_while_a_lease_holds(self):
        cgroup = self.cgroup_with_member()
        before = cgroup.values()
        agent, effect = self.holding("killed", cgroup)
        agent.end(signal.SIGKILL)
        wait_until(lambda: cgroup.values() == before, "the earlier value, from the guardian", seconds=5)
        again = self.started(Agent(self.folder, {"policies": []}, name="killed"))  # with the same state folder
        left = records(again, "effects", id=effect["id"])[0]
        self.assertEqual(left["inferscope.effect.state"], "ended", left)
        self.assertEqual(cgroup.values(), before)

    def test_killed_server_is_told_in_a_signed_message(self):
        backend = Backend()
        self.addCleanup(backend.close)
        secret = self.folder / "secret"
        secret.write_text("a key\n")
        secret.chmod(0o600)
        server = LlamaServer(self.folder, "medium")
        load = Load(self.folder, server)
        config = {"policies": [str(self.policy(NOTIFY_POLICY, url=backend.url + "/hook", secret=secret))],
                  "act": {"armed": True}, **watch_only(self.server, server)}
        agent = self.started(Agent(self.folder, config, name="webhook")).wait_watching(server)
        wait_until(lambda: server.pid in {json.loads(line)["process.pid"]
                                          for line in agent.get("/v1/in-flight").splitlines()}, "its requests in flight")
        server.end(signal.SIGKILL)
        _, path, headers, _, body = wait_until(lambda: backend.posts, agent.log)[0]
        load.end(signal.SIGKILL)
        self.assertEqual(path, "/hook")
        text = headers["X-Inferscope-Timestamp"].encode() + b"." + body
        signature = hmac.new(b"a key", text, hashlib.sha256).hexdigest()
        self.assertEqual(headers["X-Inferscope-Signature"], "sha256=" + signature)
        self.assertLess(abs(int(headers["X-Inferscope-Timestamp"]) - time.time()), 30)
        message = json.loads(body)
        self.assertEqual(message["finding"]["inferscope.finding.kind"], "down")
        self.assertEqual(message["finding"]["process.pid"], server.pid)
        self.assertEqual(message["decision"]["inferscope.policy.name"], "tell")

    def test_policy_with_a_mistake(self):
        path = self.policy("name: x\nmatch: {{finding: stall, cause: stopped}}\nsteps:\n  - sigal: CONT\n")
        agent = Agent(self.folder, {"policies": [str(path)]}, name="mistaken", wait=False)
        self.assertEqual(agent.popen.wait(30), 2)
        self.assertIn(f"{path}:4:5:", agent.log())
        self.assertIn("sigal", agent.log())

    def test_state_folder_of_another_agent(self):
        first = self.started(Agent(self.folder, name="first"))
        second = Agent(self.folder, {"state": {"folder": str(first.state)}}, name="second", wait=False)
        self.assertNotEqual(second.popen.wait(60), 0)
        self.assertIn(str(first.state), second.log())
        self.assertRegex(second.log(), "another|in use")
        self.assertTrue(first.status())


class NoisyNeighbourTest(SystemTest):
    def test_is_named_and_held_down(self):
        server = LlamaServer(self.folder, "medium")
        place = Cgroup("server")
        self.addCleanup(lambda: (server.end(), place.remove()))
        place.add(server.pid)
        pin(server.pid, 0)
        agent = eager_agent(self.folder, server, "enforce", lease="5s")
        Load(self.folder, server, "--tokens", 200, "--pause", 0, processor=1)
        time.sleep(20)  # in which the agent learns what is usual
        before = place.values()
        hog = Hog(self.folder, 0)
        self.addCleanup(hog.end)
        finding = wait_until(lambda: [one for one in records(agent, "findings")
                                      if one.get("inferscope.cause.culprit.pid") == hog.pid],
                             lambda: f"the culprit named: {records(agent, 'records')}")[0]
        self.assertEqual(finding["process.pid"], server.pid)
        effect = wait_until(lambda: [one for one in records(agent, "effects", finding=finding["id"])
                                     if one["inferscope.effect.state"] == "active"],
                            lambda: f"it held down: {agent.log()} {records(agent, 'records')}")[0]
        self.assertEqual(effect["inferscope.target.pid"], hog.pid)
        self.assertNotEqual(hog.cgroup.values(), hog.earlier)
        wait_until(lambda: records(agent, "effects", id=effect["id"])[0]["inferscope.effect.state"] == "ended",
                   "the end of the lease")
        wait_until(lambda: hog.cgroup.values() == hog.earlier, "the hog released")
        self.assertEqual(place.values(), before)
        acted_on = {one["inferscope.target.pid"] for one in records(agent, "effects")}
        self.assertEqual(acted_on, {hog.pid})
        self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    fixtures.main()
