#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What can only be checked on a machine with an NVIDIA GPU and its driver, as root: prints a report, and ends with 1 if
anything was not as it should be. Needs Python with PyTorch and transformers; with Triton and CuPy it checks more.
INFERSCOPE names the agent; a static one can be carried to where nothing can be built.

usage: check.py [--out FOLDER] [PART…]     parts: machine entries doctor client server launches"""
import argparse
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from fixtures import Agent, Process, agent_binary, run_cli, wait_until  # noqa: E402
from gpu_events import gpu_work  # noqa: E402
from http_client import Client  # noqa: E402

MEMORY = re.compile(r" has (?P<bytes>\d+) bytes of GPU memory \(CUDA\)")
CLIENT_PARTS = ("eager", "graphs", "copies", "memory", "out_of_memory", "triton", "cupy", "nccl", "illegal_address")
# What is told of a part, and what that is called in the program's own account of it.
COUNTED = {"eager": {"launches": "kernels"}, "triton": {"launches": "kernels"}, "cupy": {"launches": "kernels"},
           "graphs": {"graphs": "graphs", "launches": "launches"},
           "copies": {"copies": "copies", "bytes": "copied_bytes"}, "nccl": {"collectives": "collectives"}}
FAILURES = {"out_of_memory": "out of memory (2)", "illegal_address": "illegal address (700)"}
STREAMS, REQUESTS = 4, 16
PROMPTS = (8, 60, 400, 1500)  # words, which are tokens
problems = []


def check(right, what):
    if not right:
        problems.append(what)
    print(f"  {'right' if right else 'WRONG'}: {what}", flush=True)


def machine(options):
    for command in (["uname", "-r"], ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                    [agent_binary(), "--version"]):
        print("  " + subprocess.run([str(word) for word in command], capture_output=True, text=True).stdout.strip())


def entries(options):
    done = subprocess.run([sys.executable, HERE / "driver_entries.py"], capture_output=True, text=True, timeout=60)
    print("  " + (done.stdout or done.stderr).strip())
    told = json.loads(done.stdout)
    check(not told["not_exported_but_told"], "what cuGetProcAddress tells is what the library exports")
    check(not told["exported_and_not_probed"], "what cuGetProcAddress tells has a probe")


def doctor(options):
    done = run_cli("doctor", seconds=120)
    print(done.stdout, done.stderr)
    check(done.returncode == 0, "the probes load")


class Recorded:
    """A program that does its parts while it is recorded, and the lines of events of each part."""

    def __init__(self, options):
        self.log = options.out / "torch_client.log"
        self.recording = options.out / "torch_client.rec"
        with open(self.log, "wb") as log:
            self.client = subprocess.Popen([sys.executable, str(HERE / "torch_client.py")], text=True, bufsize=1,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        print(f"  PyTorch: {self.client.stdout.readline().strip()}", flush=True)
        config = options.out / "record.yaml"
        config.write_text(json.dumps({"watch": {"automatic": False, "include": [{"command_line": "*torch_client.py"}]},
                                      "overhead": {"budget": 1}}))
        self.recorder = Process([agent_binary(), "record", self.recording, "-c", config], options.out / "recorder.log")
        wait_until(lambda: "calls to GPUs are seen" in self.recorder.log(), self.recorder.log, 60)
        time.sleep(1)

    def ask(self, part):
        self.client.stdin.write(part + "\n")
        line = self.client.stdout.readline()
        time.sleep(1.2)  # so that no part's records are among another's, and a sample of the host is
        return json.loads(line) if line else {"part": part, "skipped": "it ended"}

    def end(self):
        self.client.kill()
        self.client.wait()
        check(self.recorder.end(signal.SIGINT) == 0, "the recorder ends well")
        return run_cli("replay", "--events", self.recording, seconds=120).stdout.splitlines()


def compare_part(truth, lines):
    """A part's own account with what was told between its begin and its end."""
    part = truth["part"]
    mine = [line for line in lines if truth["begin"] <= float(line.split()[0]) * 1e9 <= truth["end"] + 1e9]
    work = gpu_work(mine)
    for seen, really in COUNTED.get(part, {}).items():
        told = sum(one[seen] for one in work)
        check(told == truth[really], f"{part}: {told:.0f} {seen}, really {truth[really]}")
    if "waits" in truth:
        waits = len([one for one in work if one["waited"] is not None])
        check(waits >= truth["waits"], f"{part}: {waits} waits, really {truth['waits']}")
    if part in FAILURES:
        check(any(FAILURES[part] in line for line in mine), f"{part}: a failure is told, {FAILURES[part]}")
    if part == "memory":
        told = [int(match["bytes"]) for match in map(MEMORY.search, mine) if match]
        freed, really = max(told) - told[-1], truth["held_bytes"] - truth["left_bytes"]
        check(freed == really, f"memory: {freed} bytes were given back, really {really}")


def client(options):
    recorded = Recorded(options)
    truths = [recorded.ask(part) for part in CLIENT_PARTS]
    lines = recorded.end()
    (options.out / "torch_client.events").write_text("\n".join(lines) + "\n")
    (options.out / "torch_client.truths").write_text("\n".join(json.dumps(truth) for truth in truths) + "\n")
    print(recorded.recorder.log()[-3000:])
    for truth in truths:
        print("  " + json.dumps(truth))
        if "skipped" not in truth:
            compare_part(truth, lines)


class Load(threading.Thread):
    def __init__(self, port, number, name):
        super().__init__()
        self.port, self.number, self.name, self.replies = port, number, name, []

    def run(self):
        for i in range(REQUESTS // STREAMS):
            words = PROMPTS[(self.number + i) % len(PROMPTS)]
            name = f"{self.name}-{self.number}-{i}"
            connection = Client("127.0.0.1", self.port)
            reply = connection.chat(text=" ".join([name] + ["word"] * (words - 1)), stream=True, max_tokens=20 + 10 * i)
            reply.name = name
            self.replies.append(reply)


def server(options):
    log = options.out / "torch_server.log"
    process = Process([sys.executable, "-u", HERE / "torch_server.py"], log)
    wait_until(lambda: "port " in process.log() or not process.running(), process.log, 180)
    port = int(re.search(r"^port (\d+)", process.log(), re.M).group(1))
    agent = Agent(options.out, {"watch": {"automatic": False, "include": [{"port": port}]}}, name="agent-server")
    wait_until(lambda: f"calls to GPUs are seen pid={process.pid} " in agent.log(), agent.log, 60)
    time.sleep(1)
    for streams in (1, STREAMS):
        replies = ask(port, streams, f"run{streams}")
        compare(agent, process, replies, f"{streams} stream{'s' if streams > 1 else ''}")
    status = agent.status()
    (options.out / "status.json").write_text(json.dumps(status, indent=1))
    shown = run_cli("trace", agent.trace_of(replies[-1])["trace_id"], "--socket", agent.socket).stdout
    print(shown)
    (options.out / "traces.jsonl").write_text("\n".join(json.dumps(trace) for trace in agent.traces()) + "\n")
    print(run_cli("doctor", seconds=60).stdout)
    print(agent.log()[-3000:])
    check(agent.stop() == 0, "the agent ends well")
    record(options, process, port)
    process.end(signal.SIGKILL)


def record(options, process, port):
    """The same with all detail, to be looked at afterwards."""
    config = options.out / "record-server.yaml"
    config.write_text(json.dumps({"watch": {"automatic": False, "include": [{"port": port}]}, "overhead": {"budget": 1}}))
    log = options.out / "record-server.log"
    recorder = Process([agent_binary(), "record", options.out / "torch_server.rec", "-c", config], log)
    wait_until(lambda: f"calls to GPUs are seen pid={process.pid} " in recorder.log(), recorder.log, 60)
    time.sleep(1)
    for streams in (1, STREAMS):
        ask(port, streams, f"recorded{streams}")
    check(recorder.end(signal.SIGINT) == 0, "the recorder ends well")


def ask(port, streams, name):
    clients = [Load(port, number, name) for number in range(streams)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return [reply for one in clients for reply in one.replies]


def compare(agent, process, replies, what):
    """Traces with the engine's own words of its turns."""
    turns = [json.loads(line[5:]) for line in process.log().splitlines() if line.startswith("turn ")]
    errors = {"prefill": [], "decode": [], "gpu": [], "steps": []}
    far_off = 0
    parts = {"gpu_told": 0.0, "gpu_events": 0.0}
    for reply in replies:
        trace = agent.trace_of(reply)
        mine = [turn for turn in turns if any(member["request"] == reply.name for member in turn["members"])]
        own = {"prefill": (mine[0]["end"] - mine[0]["begin"]) / 1e9, "decode": (mine[-1]["end"] - mine[0]["end"]) / 1e9}
        for phase, seconds in own.items():
            told = trace.get(f"inferscope.{phase}_time")
            errors[phase].append(100 * abs(told - seconds) / seconds if told is not None else 1e9)
            if errors[phase][-1] > 5 and (told is None or abs(told - seconds) > 0.002):
                far_off += 1
                print(f"  {reply.name}: {phase} {told} s, the engine's own {seconds} s, began at {mine[0]['begin']}: "
                      f"{trace['inferscope.explanation']}")
        shares = sum(turn["gpu_ms"] / 1e3 * sum(m["tokens"] for m in turn["members"] if m["request"] == reply.name) /
                     sum(m["tokens"] for m in turn["members"]) for turn in mine)
        told = trace.get("inferscope.gpu.time", 0)
        parts["gpu_told"] += told
        parts["gpu_events"] += shares
        errors["gpu"].append(100 * (told - shares) / shares)
        errors["steps"].append(abs(trace.get("inferscope.engine.steps", 0) - len(mine)))
    summary = {key: {"median": statistics.median(values), "most": max(values)} for key, values in errors.items()}
    print(f"  {what}: {json.dumps({**summary, **parts})}")
    check(far_off == 0, f"{what}: no phase is off by more than 5 % and 2 ms")
    check(summary["decode"]["median"] < 1, f"{what}: decode within 1 % of the engine's own times")
    check(summary["prefill"]["median"] < 5, f"{what}: prefill within 5 % of the engine's own times")


def launches(options):
    words = [sys.executable, HERE.parent / "bench/launches_bench.py", "--real", "--rounds", options.rounds, "--seconds", 4,
             "--stand-ins", options.stand_ins, "--out", options.out / "launches.json"]
    done = subprocess.run([str(word) for word in words], text=True, timeout=500)
    check(done.returncode == 0, "launches are measured")


PARTS = {"machine": machine, "entries": entries, "doctor": doctor, "client": client, "server": server,
         "launches": launches}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []])
    parser.add_argument("--out", type=pathlib.Path, help="keeps recordings, logs and numbers there")
    parser.add_argument("--rounds", type=int, default=3, help="of launches")
    parser.add_argument("--stand-ins", type=pathlib.Path, default=HERE.parents[1] / "build/release/tests/support/gpu",
                        help="the folder of gpu_client")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.out = options.out or pathlib.Path(folder)
        for name in options.parts or PARTS:
            begin = time.monotonic()
            print(f"== {name}", flush=True)
            try:
                PARTS[name](options)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                problems.append(name)
            print(f"== {name}: {time.monotonic() - begin:.0f} s", flush=True)
        Process.end_all()
    for problem in problems:
        print(f"WRONG: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
