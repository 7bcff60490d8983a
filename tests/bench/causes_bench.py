#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often a request's trace names the right cause first: causes are injected into a real llama-server under load, and
a request that is hit is asked for. Before each, one that is not hit."""
import argparse
import collections
import json
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from causes import CAUSES, OTHER_PROCESSOR, explained  # noqa: E402
from fixtures import Agent  # noqa: E402
from trouble import Load, pin, watch_only  # noqa: E402

KIND, TEXT = "inferscope.cause.kind", "inferscope.cause.text"


def say(text):
    print(text, file=sys.stderr, flush=True)


def kept_waiting(pid):
    """Seconds that a process's main thread was ready and not on a processor, as the kernel counts them."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def ask(cause, agent, request):
    before = kept_waiting(cause.server.pid)
    reply = request()
    waited = kept_waiting(cause.server.pid) - before
    trace = explained(agent, reply)
    parts = zip(trace["inferscope.time_parts.kind"], trace["inferscope.time_parts.time"])
    out = {"kind": trace.get(KIND), "text": trace.get(TEXT), "explanation": trace["inferscope.explanation"],
           "probes": trace.get("inferscope.probe_level"), "gpu": trace.get("inferscope.gpu.time"),
           "parts": dict(parts), "waited": waited, "right": cause.right(trace, reply)}
    # Others on this machine who really kept the server from its processor longer than what was injected.
    stranger = out["kind"] == "run_queue" and not out["right"]
    out["host"] = stranger and waited >= 0.8 * out["parts"]["run_queue"]
    return out


def trials(name, options, folder):
    cause = CAUSES[name](folder)
    config = {"overhead": {"budget": options.budget}} if options.budget else {}
    agent = Agent(folder, {**watch_only(cause.server), **config}, name=f"agent-{name}")
    cause.wait_watching(agent)
    pin(agent.pid, OTHER_PROCESSOR)
    load = Load(folder, cause.server, *cause.load, processor=OTHER_PROCESSOR, only_streams=False)
    out = []
    try:
        time.sleep(options.learn)
        for number in range(options.trials):
            clean = ask(cause, agent, lambda: cause.request("one two three"))
            with cause.trouble():
                time.sleep(random.uniform(0.2, 0.4))
                hit = ask(cause, agent, cause.victim)
            out.append({"trial": number, "clean": clean, **hit})
            verdict = "ok " if hit["right"] else "host" if hit["host"] else "WRONG"
            say(f"   {name} {number} {verdict} {hit['explanation']}   [before: {clean['explanation']}]")
            time.sleep(random.uniform(0.1, 0.6))
    finally:
        load.end(signal.SIGKILL)
        agent.stop()
        cause.end()
    return out


def row(name, done):
    named = collections.Counter(str(one["kind"]) for one in done if not one["right"])
    clean = collections.Counter(str(one["clean"]["kind"]) for one in done)
    told = lambda counts: ", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "-"
    return (f"| {name} | {len(done)} | {sum(one['right'] for one in done)} | {sum(one['host'] for one in done)} | "
            f"{told(named)} | {told(clean)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("causes", nargs="*", default=list(CAUSES), help=f"of {' '.join(CAUSES)}; default: all")
    parser.add_argument("--trials", type=int, default=100, help="of each cause")
    parser.add_argument("--learn", type=float, default=20, help="seconds of load before the first")
    parser.add_argument("--budget", type=float, help="overhead.budget of the agent; default: its own")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where every trial goes, as JSON")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.causes:
            results[name] = trials(name, options, folder)
            options.out.write_text(json.dumps(results, indent=1) + "\n")
    say("| injected | trials | named first | instead truly the host's others | named instead | before it |\n"
        "|---|---|---|---|---|---|")
    for name, done in results.items():
        say(row(name, done))


if __name__ == "__main__":
    main()
