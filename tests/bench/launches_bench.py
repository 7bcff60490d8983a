#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs a program that its launches of kernels are seen: without the agent, with it, and with it where the probes'
budget is no limit. Each round runs them in this order and back; prints medians and the spread of the ratios."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fixtures import ROOT, Agent, wait_until  # noqa: E402
from trouble import pin  # noqa: E402

PROGRAM_PROCESSOR, AGENT_PROCESSOR = 0, 1
KINDS = ("alone", "watched", "unlimited")
WATCH = {"watch": {"automatic": False, "include": [{"executable": "gpu_client"}]}}
LAUNCHES = 1000  # between two waits
PACES = {"100,000 a second": 10_000, "as quickly as it can": 0}  # microseconds from one wait to the next


def say(text):
    print(text, file=sys.stderr, flush=True)


def client(options, agent, every_us, times):
    """Seconds of processor time, and those that passed."""
    environment = dict(os.environ)
    if not options.real:
        environment |= {"LD_LIBRARY_PATH": str(options.stand_ins), "GPU_SIM": "kernel_us=0"}
    words = [options.stand_ins / "gpu_client", f"times={times}", f"every_us={every_us}", f"launch:{LAUNCHES}", "wait"]
    with subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=environment) as process:
        try:
            pin(process.pid, PROGRAM_PROCESSOR)
            if agent:
                seen = f"calls to GPUs are seen pid={process.pid} "
                wait_until(lambda: seen in agent.log(), lambda: f"{seen}in {agent.log()}")
            out, _ = process.communicate(b"x", timeout=600)
        finally:
            process.kill()
    if process.returncode != 0:
        raise AssertionError(f"gpu_client ended with {process.returncode}")
    return tuple(int(word) / 1e9 for word in out.split())


def measure(options, folder, kind, every_us, times):
    if kind == "alone":
        return client(options, None, every_us, times)
    config = WATCH | ({"overhead": {"budget": 1.0}} if kind == "unlimited" else {})
    agent = Agent(folder, config, name=kind)
    pin(agent.pid, AGENT_PROCESSOR)
    try:
        return client(options, agent, every_us, times)
    finally:
        agent.stop()


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def summary(rounds, times):
    """Against the same round's own runs without the agent."""
    out = {}
    for kind in KINDS:
        launch = [1e9 * sum(run[0] for run in one[kind]) / (2 * times * LAUNCHES) for one in rounds]
        out[kind] = {"processor_ns_a_launch": spread(launch)}
        if kind == "alone":
            continue
        more = [sum(run[0] for run in one[kind]) - sum(run[0] for run in one["alone"]) for one in rounds]
        passed = [sum(run[1] for run in one[kind]) for one in rounds]
        out[kind]["more_processor_percent"] = spread([100 * m / p for m, p in zip(more, passed)])
        out[kind]["longer_percent"] = spread([100 * (p / sum(run[1] for run in one["alone"]) - 1)
                                              for p, one in zip(passed, rounds)])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="about, of each run")
    parser.add_argument("--real", action="store_true", help="on this machine's own GPU, instead of the simulated one")
    parser.add_argument("--stand-ins", type=pathlib.Path, default=ROOT / "build/release/tests/support/gpu",
                        help="where gpu_client and the libraries that simulate a GPU are")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where the numbers go, as JSON")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for pace, every_us in PACES.items():
            with_nobody = client(options, None, every_us, 100)[1] / 100
            times = max(100, int(options.seconds / with_nobody))
            rounds = []
            for number in range(options.rounds):
                one = {kind: [] for kind in KINDS}
                for kind in (*KINDS, *reversed(KINDS)):
                    one[kind].append(measure(options, folder, kind, every_us, times))
                rounds.append(one)
                say(f"{pace}, round {number + 1}: {json.dumps(one)}")
            results[pace] = {"launches": times * LAUNCHES, "rounds": rounds, "summary": summary(rounds, times)}
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({pace: one["summary"] for pace, one in results.items()}, indent=1))


if __name__ == "__main__":
    main()
