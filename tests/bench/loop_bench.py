#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon trouble is found, named and put right: faults with a known begin and end are injected into a real
llama-server under load, beside the real agent; what clients feel is measured at the clients. Prints tables for
docs/performance.md and writes every trial as JSON.

usage: loop_bench.py --bin FOLDER --out FILE.json [--trials N] [--minutes M] [PART…]     parts: stop hog clean kill"""
import argparse
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from bench import quantile, say  # noqa: E402
from fixtures import Agent, LlamaServer  # noqa: E402
from trouble import Cgroup, Hog, Load, eager_agent, pin, records, shipped_policies, state_of  # noqa: E402

SERVER_PROCESSOR, LOAD_PROCESSOR = 0, 1
LEARNING = 30  # seconds of load before the first fault, so that the agent knows what is usual
LEASE = 13  # seconds that the hog is held down
WINDOW = 8  # seconds over which inter-token times are compared
GRACE = 4  # seconds from the hog's begin to the window: by then clients should feel nothing any more
WRONG_TARGET_TRIALS = 1000
KILL_TRIALS = 300


def seconds(later, earlier):
    return None if later is None else (later - earlier) / 1e9


class Scene:
    """llama-server in a cgroup of its own on one processor, load on the other, and the agent."""

    def __init__(self, folder, mode):
        self.server = LlamaServer(folder, "medium")
        self.cgroup = Cgroup("server")
        self.cgroup.add(self.server.pid)
        self.values = self.cgroup.values()
        pin(self.server.pid, SERVER_PROCESSOR)
        self.agent = eager_agent(folder, self.server, mode, f"{LEASE}s")
        self.load = Load(folder, self.server, "--tokens", 100, processor=LOAD_PROCESSOR)

    def __enter__(self):
        time.sleep(LEARNING)
        return self

    def __exit__(self, *_):
        self.load.end(signal.SIGKILL)
        self.agent.stop()
        self.server.end()
        self.cgroup.remove()

    def quiet(self, lasting=1, limit=60):
        """Waits until for so many seconds no finding was open and tokens flow. Whether that came about."""
        deadline = time.monotonic() + limit
        since = None
        while time.monotonic() < deadline:
            if records(self.agent, "findings", open=1) or not self.load.first_after(time.time_ns(), 1):
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > lasting:
                return True
            time.sleep(0.1)
        return False

    def known(self):
        return {finding["id"] for finding in records(self.agent, "findings")}

    def watch(self, known, limit, enough):
        """The first finding of the server that is not among those known, as it was first told and as it was when it
        was `enough` or time was up, and when either was. (None, None), (None, None) if there was none."""
        first = latest = (None, None)
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            new = [one for one in records(self.agent, "findings")
                   if one["id"] not in known and one["process.pid"] == self.server.pid]
            satisfying = [one for one in new if enough(one)]
            if new and not first[0]:
                first = new[0], time.time_ns()
            if satisfying:
                return first, (satisfying[0], time.time_ns())
            time.sleep(0.02)
        return first, latest

    def story(self, known):
        """Everything that was found, decided and done since then."""
        ids = {one["id"] for one in records(self.agent, "findings")} - known
        return [record for kind in ("findings", "decisions", "effects")
                for record in records(self.agent, kind, last=100) if record["finding"] in ids]

    def untouched(self, known):
        """Nobody stopped the server, changed its cgroup or did anything to it."""
        acted_on = [one for one in self.story(known) if one["event"] == "inferscope.effect"
                    and one.get("inferscope.target.pid") == self.server.pid]
        return not acted_on and state_of(self.server.pid) not in ("T", "") and self.cgroup.values() == self.values


class LoopBench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(20261125)

    def trials(self, mode, one, lasting=1):
        """What `one` gives for each trial; one that could not be made says so, and counts as a miss."""
        out = []
        with Scene(self.folder, mode) as scene:
            for number in range(self.options.trials):
                quiet = scene.quiet(lasting)
                time.sleep(self.random.random())
                out.append({"trial": number, "quiet_before": quiet, **one(scene)})
                say(f"   {mode} {json.dumps({key: value for key, value in out[-1].items() if key != 'story'})}")
        return out

    def stop(self):
        """SIGSTOP of the server under load."""
        return {mode: self.trials(mode, lambda scene, mode=mode: self.stop_once(scene, mode == "enforce"))
                for mode in ("observe", "enforce")}

    def stop_once(self, scene, enforced):
        known = scene.known()
        begin = time.time_ns()
        os.kill(scene.server.pid, signal.SIGSTOP)
        try:
            first, named = scene.watch(known, 3, lambda one: one["inferscope.cause.kind"] == "stopped")
            # Until 100 ms after the stop the client reads what was sent before it.
            flows = scene.load.first_after(begin + 100_000_000, 5) if enforced else None
        finally:
            os.kill(scene.server.pid, signal.SIGCONT)
        return {"found": seconds(first[1], begin), "named": seconds(named[1], begin),
                "tokens_again": seconds(flows, begin), "story": scene.story(known)}

    def hog(self):
        """A processor hog beside the server, in a cgroup of its own."""
        return {mode: self.trials(mode, lambda scene, mode=mode: self.hog_once(scene, mode == "enforce"), WINDOW)
                for mode in ("observe", "enforce")}

    def hog_once(self, scene, enforced):
        known = scene.known()
        hog = Hog(self.folder, SERVER_PROCESSOR)
        out = {}
        try:
            first, named = scene.watch(known, 10, lambda one: one.get("inferscope.cause.culprit.pid") == hog.pid)
            out = {"kind": first[0] and first[0]["inferscope.finding.kind"], "found": seconds(first[1], hog.begin),
                   "named": seconds(named[1], hog.begin)}
            if enforced:
                out.update(self.hog_held_down(scene, hog))
            out["server_untouched"] = scene.untouched(known)
        finally:
            hog.end()
        return {**out, "story": scene.story(known)}

    def hog_held_down(self, scene, hog):
        def wait_for(condition, limit):
            deadline = hog.begin / 1e9 + limit
            while not condition() and time.time() < deadline:
                time.sleep(0.02)
            return time.time_ns() if condition() else None

        held = wait_for(lambda: hog.cgroup.values() != hog.earlier, GRACE)
        window = hog.begin + GRACE * 10**9
        time.sleep(max(0, (window - time.time_ns()) / 1e9 + WINDOW))
        gaps = {"normal": scene.load.gaps(hog.begin - WINDOW * 10**9, hog.begin),
                "after": scene.load.gaps(window, window + WINDOW * 10**9)}
        released = wait_for(lambda: hog.cgroup.values() == hog.earlier, GRACE + 2 * LEASE) if held else None
        return {"held_down": seconds(held, hog.begin), "released_after": seconds(released, held) if held else None,
                "ratio_p99": quantile(gaps["after"], 0.99) / quantile(gaps["normal"], 0.99), "gaps_ms": gaps}

    def clean(self):
        """Load without any fault: bursts, mixed lengths, idle gaps, cold starts. What is found then is no trouble."""
        agent = Agent(self.folder, {"policies": [str(shipped_policies(self.folder, "observe"))]}, name="clean")
        phases, findings, decisions, own = [], {}, {}, set()
        end = time.monotonic() + self.options.minutes * 60
        server = None
        while time.monotonic() < end:
            if server is None or self.random.random() < 0.08:
                if server:
                    server.end(signal.SIGTERM)
                server = LlamaServer(self.folder, "medium")
                pin(server.pid, SERVER_PROCESSOR)
                agent.wait_watching(server)
                own.add(server.pid)
                phases.append("cold start")
            phases.append(self.phase(server))
            findings.update({one["id"]: one for one in records(agent, "findings", last=1000)
                             if one["process.pid"] in own})
            decisions.update({one["id"]: one for one in records(agent, "decisions", last=1000)
                              if one["finding"] in findings})
        requests = agent.status()["traces"]
        agent.stop()
        server.end()
        actions = [one for one in decisions.values() if one["inferscope.decision.verdict"] != "refused"]
        return {"minutes": self.options.minutes, "phases": phases, "requests": requests,
                "findings": list(findings.values()), "decisions": list(decisions.values()),
                "would_have_acted": len(actions)}

    def phase(self, server):
        name, length, options = self.random.choice((
            ("steady", (20, 60), ("--streams", 2, "--tokens", 60)),
            ("burst", (5, 20), ("--streams", 12, "--tokens", 40, "--pause", 0)),
            ("long prompts", (20, 60), ("--streams", 3, "--tokens", 60, "--words", 100, 400)),
            ("mixed lengths", (20, 60), ("--streams", 4, "--tokens", 120, "--words", 3, 300)),
            ("rare", (20, 60), ("--streams", 1, "--tokens", 30, "--pause", 8)),
            ("idle", (10, 60), None)))
        load = Load(self.folder, server, *options, "--seed", time.time_ns(), processor=LOAD_PROCESSOR,
                    only_streams=False) if options else None
        time.sleep(self.random.uniform(*length))
        if load:
            load.end(signal.SIGKILL)
            time.sleep(1)  # the server notices that its clients are gone
        return name

    def kill(self):
        """The tests of actions that kill the agent and change the target at any moment, longer than usual."""
        out = {}
        for name, test in (("agent_killed", "Crash.AtAnyMoment*"), ("wrong_target", "WrongTarget.IsNeverHit")):
            counts = {"INFERSCOPE_KILL_TRIALS": str(KILL_TRIALS),
                      "INFERSCOPE_WRONG_TARGET_TRIALS": str(WRONG_TARGET_TRIALS)}
            done = subprocess.run([self.options.bin / "tests/act/act_kernel_tests", f"--gtest_filter={test}"], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **counts})
            ran = re.search(r"\[  PASSED  \] 1 test", done.stdout) is not None
            out[name] = {"passed": done.returncode == 0 and ran, "said": re.findall(r"(?m)^\d+ trials.*$", done.stdout),
                         "output": done.stdout if done.returncode else ""}
        return out


def row(name, values, unit="s"):
    """p50, p95 and the largest; what is missing is a miss."""
    there = [value for value in values if value is not None]
    figures = [f"{quantile(there, share):8.2f} {unit}" for share in (0.5, 0.95)] + [f"{max(there):8.2f} {unit}"] \
        if there else ["-"] * 3
    return f"| {name:<44} | {' | '.join(f'{figure:>10}' for figure in figures)} | {len(there)}/{len(values)} |"


def table(part, shown):
    lines = ["| | p50 | p95 | max | trials |", "|---|--:|--:|--:|--:|"]
    if part == "stop":
        for mode, trials in shown.items():
            lines += [row(f"{mode}: stop to finding", [one["found"] for one in trials]),
                      row(f"{mode}: stop to cause 'stopped'", [one["named"] for one in trials])]
        again = [one["tokens_again"] for one in shown["enforce"]]
        lines.append(row("enforce: stop to next token at the client", again))
    elif part == "hog":
        for mode, trials in shown.items():
            lines += [row(f"{mode}: begin to finding", [one["found"] for one in trials]),
                      row(f"{mode}: begin to culprit named", [one["named"] for one in trials])]
        trials = shown["enforce"]
        lines += [row("enforce: begin to hog held down", [one["held_down"] for one in trials]),
                  row("enforce: held down to released", [one["released_after"] for one in trials]),
                  row("enforce: inter-token p99 after / normal", [one["ratio_p99"] for one in trials], "")]
        pooled = {name: [gap for one in trials for gap in one["gaps_ms"][name]] for name in ("normal", "after")}
        p99 = {name: quantile(gaps, 0.99) for name, gaps in pooled.items()}
        touched = [one["trial"] for mode in shown.values() for one in mode if not one["server_untouched"]]
        lines += ["", f"inter-token p99 of all trials together: normal {p99['normal']:.1f} ms, from {GRACE} s after "
                  f"the hog's begin {p99['after']:.1f} ms: {p99['after'] / p99['normal']:.2f} times",
                  f"trials in which the server was touched: {touched or 'none'}"]
    elif part == "clean":
        lines = [f"{shown['minutes']:g} minutes, {shown['requests']} requests, {len(shown['findings'])} findings, "
                 f"{shown['would_have_acted']} decisions that would have acted"]
        lines += [f"  {one['inferscope.finding.kind']:<6} {one['text']}; {one['inferscope.cause.kind']}: "
                  f"{one.get('inferscope.cause.text', '')}"
                  for one in shown["findings"]]
        lines += [f"  {one['text']}" for one in shown["decisions"]]
    else:
        lines = [f"{name}: {'passed' if one['passed'] else 'FAILED'} {' '.join(one['said'])}"
                 for name, one in shown.items()]
    return "\n".join(lines)


PARTS = ("stop", "hog", "clean", "kill")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="the build's folder, for the tests of actions")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where every trial goes, as JSON")
    parser.add_argument("--trials", type=int, default=50, help="of each fault and mode")
    parser.add_argument("--minutes", type=float, default=60, help="of clean load")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with everything put in order
    results = {"host": {"kernel": os.uname().release, "processors": os.cpu_count(), "load_before": os.getloadavg()[0]}}
    with tempfile.TemporaryDirectory(prefix="inferscope-bench.") as folder:
        bench = LoopBench(options, pathlib.Path(folder))
        try:
            for part in options.parts or PARTS:
                begin = time.monotonic()
                results[part] = getattr(bench, part)()
                options.out.write_text(json.dumps(results, indent=1) + "\n")
                say(f"== {part} ({time.monotonic() - begin:.0f} s)\n{table(part, results[part])}")
        finally:
            Cgroup.remove_all()


if __name__ == "__main__":
    main()
