#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How close the phases that the agent tells are to llama-server's own `timings`, for some streams at once with prompts of
mixed lengths."""
import argparse
import json
import pathlib
import random
import statistics
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer

WORDS = "babe cidu lofa menu rika sotu tave wizo nasha pethi".split()
PROMPTS = (4, 20, 60, 200)  # words


def load(server, streams, requests, seed):
    """Replies of `requests` requests in all, from `streams` clients that go on at once."""
    replies, lock = [], threading.Lock()

    def work(number):
        generator = random.Random(f"{seed} {number}")
        for _ in range(requests // streams):
            # Another beginning each time, so that nothing is in the server's cache.
            text = " ".join(generator.choice(WORDS) for _ in range(generator.choice(PROMPTS)))
            with server.client() as client:
                reply = client.chat(text=f"{generator.random()} {text}", stream=True,
                                    max_tokens=generator.randint(10, 60))
            with lock:
                replies.append(reply)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def errors_of(agent, replies, phase, own):
    """Per request: the error in percent, and in milliseconds."""
    percent, milliseconds, missing, far = [], [], 0, []
    for reply in replies:
        trace = agent.trace_of(reply)
        seconds = trace.get(f"inferscope.{phase}_time")
        expected = reply.last("timings")[own]
        if seconds is None:
            missing += 1
            continue
        milliseconds.append(abs(seconds * 1e3 - expected))
        percent.append(100 * milliseconds[-1] / expected)
        if percent[-1] > 1 and milliseconds[-1] > 2:
            far.append({"own_ms": expected, "told_ms": seconds * 1e3, "trace": trace})
    return {"requests": len(percent), "missing": missing,
            "median_percent": statistics.median(percent), "p99_percent": quantile(percent, 0.99),
            "median_ms": statistics.median(milliseconds), "p99_ms": quantile(milliseconds, 0.99),
            "beyond_both": sum(p > 5 and m > 2 for p, m in zip(percent, milliseconds)), "far": far}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--requests", type=int, default=100, help="for each number of streams")
    parser.add_argument("--parallel", type=int, default=8, help="places in the server's batch")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="where the numbers go, as JSON")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LlamaServer(folder, model="medium", options=("--parallel", options.parallel))
        agent = Agent(folder).wait_watching(server)
        with server.client() as client:
            client.chat(stream=True, max_tokens=4)  # touches the weights' pages
        for streams in options.streams:
            replies = load(server, streams, options.requests, f"{streams}")
            results[f"{streams} streams"] = {
                "prefill": errors_of(agent, replies, "prefill", "prompt_ms"),
                "decode": errors_of(agent, replies, "decode", "predicted_ms"),
            }
            options.out.write_text(json.dumps(results, indent=1) + "\n")
            for phase, one in results[f"{streams} streams"].items():
                numbers = ", ".join(f"{name} {value:.3g}" for name, value in one.items() if name != "far")
                print(f"{streams} streams, {phase}: {numbers}", flush=True)


if __name__ == "__main__":
    main()
