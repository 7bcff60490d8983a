#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures inferscope against a real llama-server and an SSE blaster. Ratios come from runs in the order A B B A (agent
off, on, on, off) within one call; prints tables for docs/performance.md and writes every raw number as JSON.

usage: bench.py --bin FOLDER --out FILE.json [--short] [PART…]     parts: pipeline probes loss memory blaster llama https tls attach accuracy"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fixtures import PYTHON, Agent, LlamaServer, Process, wait_until  # noqa: E402

WORDS = "babe cidu lofa menu rika sotu tave wizo nasha pethi".split()
BLASTER_CONFIG = {"watch": {"automatic": False, "include": [{"executable": "sse_blaster"}]}}


def quantile(values, share):
    values = sorted(values)
    return values[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "count": len(values)}


def say(text):
    print(text, flush=True)


def run_lines(*command, environment=None):
    """The JSON lines a program prints."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def merged(lines):
    return {key: value for line in lines for key, value in line.items()}


def cpu_seconds(pid):
    """Of all its threads, from the scheduler: /proc/PID/stat counts in ticks of 10 ms, too coarse for what we measure."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


class Bench:
    def __init__(self, options, folder):
        self.bin = pathlib.Path(options.bin)
        self.short = options.short
        self.folder = folder
        self.results = {}

    def agent(self, config=None):
        return Agent(self.folder, config, name=f"agent{time.monotonic_ns()}")

    def pipeline(self):
        """Events from memory through all stages, one thread."""
        return run_lines(self.bin / "pipeline_bench")

    def probes(self):
        """Kernel nanoseconds per program run (BPF run-time statistics, whose own cost is in them), and per transfer."""
        lines = run_lines(self.bin / "live_bench", "--", self.bin / "sse_blaster", "--rate", 20000, "--seconds", 3,
                          environment={"BPF_STATS": "1"})
        programs = {one["name"]: one for one in lines[-1]["programs"]}
        return {"programs": list(programs.values()),
                "ns_per_send": programs["enter_sendto"]["ns"] + programs["exit_sendto"]["ns"],
                "ns_per_receive": programs["enter_recvfrom"]["ns"] + programs["exit_recvfrom"]["ns"],
                "agent_us_per_transfer": lines[-1]["agent_us_per_transfer"]}

    def loss(self):
        """Numbered events at several rates and ring sizes: sent = content events seen + marked as lost?"""
        out = []
        for rate, ring in ((20000, 8 << 20), (0, 8 << 20), (0, 64 << 10), (0, 4096)):
            lines = run_lines(self.bin / "live_bench", "--ring", ring, "--", self.bin / "sse_blaster", "--rate", rate,
                              "--seconds", 3)
            both = merged(lines)
            out.append({"rate": rate or "as fast as it goes", "ring_bytes": ring, "events_sent": both["sent"],
                        "events_per_second": both["events_per_second"], "transfers": both["transfers"],
                        "passed": both["passed"], "lost": both["lost"], "adds_up": both["adds_up"],
                        "content_events_seen": both["content_events"], "traces": both["traces"],
                        "traces_marked_incomplete": both["incomplete"]})
        return out

    def tls(self):
        """What probes cost a read of one byte: on entries and return addresses, and where they are put."""
        out = {}
        for line in run_lines(self.bin / "tls_bench", 40000 if self.short else 200000, 2 if self.short else 8):
            one = out.setdefault(line["library"], {"none_ns": [], "entries_ns": [], "placed_ns": [], "gain": []})
            for way in ("none", "entries", "placed"):
                one[f"{way}_ns"].append(line[way])
            one["gain"].append((line["entries"] - line["none"]) / (line["placed"] - line["none"]))
        return {library: {name: spread(values) for name, values in one.items()} for library, one in out.items()}

    def attach(self):
        """From the moment that a process has a TLS library to the probes on it: Python, which loads one, and Node.js,
        which is one. Both print when they get there."""
        mark = f"bench-attach-{os.getpid()}"
        agent = self.agent({"watch": {"automatic": False, "include": [{"command_line": f"*{mark}*"}]}})
        programs = {"python": [PYTHON, "-c", "import ssl, sys, time; print(time.time(), flush=True); time.sleep(20)"]}
        if shutil.which("node"):
            programs["node"] = ["node", "-e", "console.log(Date.now() / 1000); setTimeout(() => {}, 20000)"]
        out = {}
        for name, command in programs.items():
            delays = []
            for number in range(3 if self.short else 20):
                one = Process([*command, mark], self.folder / f"{name}-{number}.log")
                seen = re.compile(rf"^(\S+) info  TLS is seen in the clear pid={one.pid} ", re.M)
                wait_until(lambda: one.log().strip() and seen.search(agent.log()), agent.log)
                when = datetime.datetime.fromisoformat(seen.search(agent.log())[1]).timestamp()
                delays.append((when - float(one.log())) * 1000)
                one.end(signal.SIGKILL)
            out[name] = {"trials": len(delays), "ms": {"p50": quantile(delays, 0.5), "p95": quantile(delays, 0.95),
                                                       "max": max(delays)}}
        agent.stop()
        return out

    def memory(self):
        """The agent with 1,000 open streams, and its processor time at 1,000 tokens a second."""
        agent = self.agent(BLASTER_CONFIG)
        blaster = Process([self.bin / "sse_blaster", "--connections", 1000, "--rate", 4000, "--seconds", 6, "--hold", 4],
                          self.folder / "blaster.log")
        agent.wait_watching(blaster)
        wait_until(lambda: agent.get("/v1/in-flight").count(b"\n") >= 1000, "1000 streams in flight")
        time.sleep(6)
        resident = resident_kib(agent.pid)
        in_flight = agent.get("/v1/in-flight").count(b"\n")
        blaster.popen.wait()
        agent.stop()

        agent = self.agent(BLASTER_CONFIG)
        seconds = 10 if self.short else 30
        blaster = Process([self.bin / "sse_blaster", "--connections", 16, "--rate", 1000, "--seconds", seconds],
                          self.folder / "blaster.log")
        agent.wait_watching(blaster)
        time.sleep(1)
        before, begin = cpu_seconds(agent.pid), time.monotonic()
        time.sleep(seconds - 3)
        percent = (cpu_seconds(agent.pid) - before) / (time.monotonic() - begin) * 100
        blaster.popen.wait()
        before, begin = cpu_seconds(agent.pid), time.monotonic()
        time.sleep(seconds / 2)
        idle = (cpu_seconds(agent.pid) - before) / (time.monotonic() - begin) * 100
        agent.stop()
        return {"resident_kib": resident, "streams_in_flight": in_flight,
                "cpu_percent_of_a_core_at_1000_tokens_per_second": percent, "cpu_percent_idle": idle}

    def abba(self, quads, config, work):
        """work() without and with the agent: off on on off, `quads` times. Returns the measurements of both."""
        off, on = [], []
        for _ in range(quads):
            off.append(work())
            agent = self.agent(config)
            on.append(work())
            on.append(work())
            agent.stop()
            off.append(work())
        return off, on

    def ratios(self, off, on, key):
        """on/off of each quad, from its two and two runs."""
        pairs = [((on[i][key] + on[i + 1][key]) / (off[i][key] + off[i + 1][key])) for i in range(0, len(on), 2)]
        return spread(pairs)

    def blaster(self):
        quads = 2 if self.short else 6
        off, on = self.abba(quads, BLASTER_CONFIG, lambda: merged(
            run_lines(self.bin / "sse_blaster", "--rate", 20000, "--connections", 16, "--seconds", 3)))
        keys = ("events_per_second", "gap_p50_us", "gap_p99_us", "server_cpu_us_per_event")
        return {"off": off, "on": on, "ratio": {key: self.ratios(off, on, key) for key in keys}}

    def llama(self):
        """Throughput and inter-token times of llama-server, one stream after another."""
        return self.streams(LlamaServer(self.folder, "medium"))

    def https(self):
        """The same over TLS, whose plaintext the agent reads."""
        return self.streams(LlamaServer(self.folder, "medium", tls=True))

    def streams(self, server):
        generator = random.Random(1)
        requests, tokens = (6, 48) if self.short else (20, 64)

        def work():
            gaps, count, begin = [], 0, time.monotonic()
            for _ in range(requests):
                with server.client() as client:
                    reply = client.chat(" ".join(generator.choices(WORDS, k=12)), stream=True, max_tokens=tokens)
                times = [event.time for event in reply.token_events()]
                gaps += [(b - a) / 1e6 for a, b in zip(times, times[1:])]
                count += len(times)
            return {"tokens_per_second": count / (time.monotonic() - begin), "itl_p50_ms": quantile(gaps, 0.5),
                    "itl_p99_ms": quantile(gaps, 0.99)}

        work()  # warm
        off, on = self.abba(2 if self.short else 8, None, work)
        server.end()
        keys = ("tokens_per_second", "itl_p50_ms", "itl_p99_ms")
        return {"off": off, "on": on, "ratio": {key: self.ratios(off, on, key) for key in keys}}

    def accuracy(self):
        """Each request's figures against llama-server's own `timings`."""
        out = []
        sizes = {"medium": (30, 30), "large": (12, 12)} if self.short else {"medium": (180, 180), "large": (80, 80)}
        for model, counts in sizes.items():
            server = LlamaServer(self.folder, model)
            for streams, count in zip((1, 4), counts):
                agent = self.agent().wait_watching(server)
                out.append({"model": model, "streams": streams, **self.compare(server, agent, streams, count)})
                agent.stop()
            server.end()
        return out

    def compare(self, server, agent, streams, count):
        def one(number):
            generator = random.Random(number)
            with server.client() as client:
                reply = client.chat(" ".join(generator.choices(WORDS, k=generator.randint(3, 40))), stream=True,
                                    max_tokens=24, seed=number)
            return {"id": reply.last("id"), "timings": reply.last("timings"), "usage": reply.last("usage")}

        with concurrent.futures.ThreadPoolExecutor(streams) as pool:
            truths = list(pool.map(one, range(count)))
        wait_until(lambda: len(agent.jsonl.read_text().splitlines()) >= count, "all traces", 60)
        traces = {trace.get("gen_ai.response.id"): trace for trace in map(json.loads, agent.jsonl.read_text().splitlines())}
        tpot_errors, tpot_relative, first, wrong, missing, outside = [], [], [], 0, 0, 0
        for truth in truths:
            trace = traces.get(truth["id"])
            if trace is None or "inferscope.time_per_output_token" not in trace:
                missing += 1
                continue
            timings, usage = truth["timings"], truth["usage"]
            wrong += trace["gen_ai.usage.output_tokens"] != usage["completion_tokens"]
            wrong += trace["gen_ai.usage.input_tokens"] != usage["prompt_tokens"]
            # llama.cpp counts predicted_ms from its first token on, so it spans one interval less than tokens.
            own = timings["predicted_ms"] / (timings["predicted_n"] - 1)
            error = abs(trace["inferscope.time_per_output_token"] * 1e3 - own)
            tpot_errors.append(error)
            tpot_relative.append(error / own)
            outside += error > max(1.0, own * 0.01)
            first.append(trace["inferscope.time_to_first_token"] * 1e3 - timings["prompt_ms"])
        return {"requests": count, "not_traced": missing, "token_counts_wrong": wrong,
                "tpot_outside_1ms_or_1_percent": outside,
                "tpot_error_ms": {"p50": quantile(tpot_errors, 0.5), "p99": quantile(tpot_errors, 0.99),
                                  "max": max(tpot_errors)},
                "tpot_error_percent_p99": quantile(tpot_relative, 0.99) * 100,
                "ttft_minus_prompt_ms": {"min": min(first), "p50": quantile(first, 0.5), "p99": quantile(first, 0.99)}}


PARTS = ("pipeline", "probes", "loss", "memory", "blaster", "llama", "https", "tls", "attach", "accuracy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the benchmark programs")
    parser.add_argument("--out", required=True, help="where every number goes, as JSON")
    parser.add_argument("--short", action="store_true", help="fewer runs: to try it, not to publish")
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="inferscope-bench.") as folder:
        bench = Bench(options, pathlib.Path(folder))
        bench.results["short"] = options.short
        bench.results["host"] = {"kernel": os.uname().release, "processors": os.cpu_count(),
                                 "load_before": os.getloadavg()[0]}
        try:
            for part in options.parts or PARTS:
                begin = time.monotonic()
                bench.results[part] = getattr(bench, part)()
                shown = bench.results[part]
                if isinstance(shown, dict):
                    shown = {key: value for key, value in shown.items() if key not in ("off", "on")}
                say(f"== {part} ({time.monotonic() - begin:.0f} s)\n{json.dumps(shown, indent=1)}")
                pathlib.Path(options.out).write_text(json.dumps(bench.results, indent=1) + "\n")
        finally:
            Process.end_all()


if __name__ == "__main__":
    main()
