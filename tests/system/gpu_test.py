#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPUs: what a real llama-server hands to one through its real back ends, and clpeak through OpenCL. The back end for
CUDA works on libraries that simulate the GPU and know what it did, the others on drivers that compute on the processor."""
import json
import os
import pathlib
import re
import shutil
import statistics
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import LlamaServer, Process, SystemTest, agent_binary, run_cli, wait_until
from gpu_events import gpu_work
from trouble import state_of

TOKENS = 24


class GpuTest(SystemTest):
    def record(self, rule):
        """With all probes, whatever they cost."""
        config = self.folder / f"{self._testMethodName}.yaml"
        config.write_text(json.dumps({"watch": {"automatic": False, "include": [rule]}, "overhead": {"budget": 1}}))
        self.recording = config.with_suffix(".rec")
        self.recorder = Process([agent_binary(), "record", self.recording, "-c", config], config.with_suffix(".log"))

    def wait_seen(self):
        wait_until(lambda: "calls to GPUs are seen" in self.recorder.log(), self.recorder.log)

    def watch(self, environment):
        """A server that the recorder has found, with the probes in."""
        self.server = LlamaServer(self.folder, options=("-ngl", 99), environment=environment)
        self.record({"port": self.server.port})
        self.wait_seen()

    def ask(self):
        with self.server.client() as client:
            reply = client.post("/completion", {"prompt": "once upon a time", "n_predict": TOKENS, "ignore_eos": True})
        self.assertEqual(reply.status, 200)
        return reply

    def events(self):
        self.assertEqual(self.recorder.end(fixtures.signal.SIGINT), 0, self.recorder.log())
        return run_cli("replay", "--events", self.recording).stdout.splitlines()

    def work_in(self, events, api, process=None):
        """What ended with a wait."""
        pid = (process or self.server).pid
        return [one for one in gpu_work(events) if one["pid"] == pid and one["api"] == api and one["waited"] is not None]

    def test_cuda(self):
        environment, log = fixtures.simulated_gpu(kernel_us=100)

        def facts():
            return [json.loads(line) for line in log.read_text().splitlines()]

        self.watch(environment)
        before = len(facts())
        self.ask()
        # What it does after the answer, if anything, is compared, too.
        wait_until(lambda: facts()[-1]["end"] < time.monotonic_ns() - 300_000_000, "the GPU is idle")
        truth = [fact for fact in facts()[before:] if fact["begin"]]
        shown = run_cli("doctor").stdout
        events = self.events()
        work = self.work_in(events, "CUDA")
        with self.subTest("each call is counted once, though the runtime and cuBLAS call the driver, too"):
            for ours, theirs in (("launches", "launches"), ("copies", "copies"), ("bytes", "copied_bytes")):
                self.assertEqual(sum(one[ours] for one in work), sum(fact[theirs] for fact in truth), ours)
            self.assertGreater(sum(one["launches"] for one in work), TOKENS * 10)
            self.assertEqual(len([one for one in work if one["launches"] + one["copies"] > 0]), len(truth))
        with self.subTest("the time between is the simulator's"):
            # Of each wait for kernels by itself, and of those the middle: what else the machine does is in some of them.
            # A copy takes this GPU next to no time, so that of copies alone is mostly the probes'.
            windows = zip([one for one in work if one["launches"] + one["copies"] > 0], truth)
            errors = [ours["ms"] * 1e6 / (theirs["end"] - theirs["begin"]) - 1 for ours, theirs in windows if theirs["launches"]]
            self.assertGreaterEqual(len(errors), TOKENS)
            self.assertLess(abs(statistics.median(errors)), 0.02, errors)
        with self.subTest("memory that it allocates for its first request is seen"):
            self.assertTrue([line for line in events if "bytes of GPU memory (CUDA)" in line])
        with self.subTest("doctor names the functions of the driver, and not the runtime's"):
            self.assertIn("GPU by libcuda.so.1 (CUDA driver): cuLaunchKernel", shown)
            self.assertNotIn("GPU by libcudart", shown)

    def test_vulkan(self):
        """Its functions are the loader's, which the back end asks the loader itself for."""
        self.watch(fixtures.vulkan())
        reply = self.ask()
        work = self.work_in(self.events(), "Vulkan")
        self.assertGreaterEqual(sum(one["launches"] for one in work), TOKENS, "buffers of commands")
        self.assertGreaterEqual(len([one for one in work if one["launches"]]), TOKENS, "it waits for each token")
        waited = sum(one["waited"] for one in work)
        self.assertGreater(waited, 0)
        self.assertLess(waited, (reply.end - reply.begin) / 1e6)

    def test_libraries_of_other_makers(self):
        """Of AMD's and Intel's GPUs none is here. Their real libraries have the functions all the same that get probes;
        Intel's has nothing to call for them, so its calls fail, and are seen to."""
        libraries = fixtures.gpu_libraries()
        table = (fixtures.ROOT / "agent/discover/gpu/gpu_functions.cpp").read_text()
        newer = {"zeCommandListHostSynchronize"}  # than these
        self.record({"command_line": "*gpu_libraries_client.py*"})
        wait_until(self.recording.exists, self.recorder.log)
        script = pathlib.Path(__file__).resolve().parents[1] / "support/gpu_libraries_client.py"
        both = [libraries["libamdhip64"], libraries["libze_loader"]]
        clients = [Process([sys.executable, script, *files], self.folder / f"{name}.log")
                   for name, files in (("hip", both), ("hsa", [libraries["libhsa-runtime64"]]))]
        for api, client in (("HIP", clients[0]), ("Level Zero", clients[0]), ("HSA", clients[1])):
            wait_until(lambda: re.search(rf"calls to GPUs are seen pid={client.pid} .*\({api}\)", self.recorder.log()),
                       self.recorder.log)
        shown = run_cli("doctor", "-c", self.recording.with_suffix(".yaml")).stdout
        for api, part in (("HIP", "hip"), ("HSA", "hsa"), ("Level Zero", "level_zero")):
            entries = re.search(rf"std::array {part}\{{(.*?)\}};", table, re.S).group(1)
            names = set(re.findall(r'GpuSymbol\{"(\w+)"', entries)) - newer
            told = set(re.search(rf"GPU by \S+ \({api}\): (.*)", shown).group(1).split(", "))
            with self.subTest(api):
                self.assertGreater(len(names), 3)
                self.assertLessEqual(names, told)
        self.assertIn("hipExtModuleLaunchKernel", shown, "whose name is C++'s")
        os.kill(clients[0].pid, fixtures.signal.SIGCONT)
        results = json.loads(wait_until(clients[0].log, "what the calls returned"))
        for client in clients:
            client.end(fixtures.signal.SIGKILL)
        self.assertNotIn(0, results.values())
        mine = [line for line in self.events() if f" of {clients[0].pid}" in line]
        for name in ("zeMemAllocDevice", "zeCommandQueueSynchronize"):
            told = f": {name} of Level Zero: failed ({results[name]})"
            self.assertTrue([line for line in mine if told in line], f"{told} in {mine}")

    def test_opencl(self):
        """clpeak measures what a device can do: 20,000 kernels, each waited for, and copies of some hundred MB. What it
        really calls is written down by a library before that of OpenCL."""
        clpeak = shutil.which("clpeak")
        if not clpeak:
            raise unittest.SkipTest("clpeak is not installed; scripts/test installs it")
        log = self.folder / "facts"
        environment = {**os.environ, "LD_PRELOAD": fixtures.stand_ins() / "opencl_facts.so", "OPENCL_FACTS": log,
                       "POCL_CACHE_DIR": self.folder}
        self.record({"executable": "clpeak"})
        wait_until(self.recording.exists, self.recorder.log)
        client = Process([clpeak, "--kernel-latency", "--transfer-bandwidth"], self.folder / "clpeak.log", environment)
        wait_until(lambda: state_of(client.pid) == "T", "clpeak has stopped before it began")
        self.wait_seen()
        os.kill(client.pid, fixtures.signal.SIGCONT)
        wait_until(lambda: not client.running(), client.log, 120)
        self.assertEqual(client.popen.returncode, 0, client.log())
        self.assertIn("Kernel launch latency", client.log())
        events = self.events()
        facts = [json.loads(line) for line in log.read_text().splitlines()]
        truth = [fact for fact in facts if "begin" in fact]
        work = [one for one in self.work_in(events, "OpenCL", client) if one["launches"] + one["copies"] > 0]
        with self.subTest("each call is counted once, and ends with clFinish or a copy that waits"):
            for ours, theirs in (("launches", "launches"), ("copies", "copies"), ("bytes", "copied_bytes")):
                self.assertEqual([one[ours] for one in work], [fact[theirs] for fact in truth], ours)
            self.assertGreater(sum(one["launches"] for one in work), 20000)
            self.assertGreater(sum(one["copies"] for one in work), 40)
        with self.subTest("the time between is the program's"):  # of which its small kernels' probes take a part
            really = sum(fact["end"] - fact["begin"] for fact in truth) / 1e6
            self.assertAlmostEqual(sum(one["ms"] for one in work), really, delta=0.02 * really + 0.02 * len(truth))
        with self.subTest("memory that it had"):
            most = max(fact["allocated"] for fact in facts if "allocated" in fact)
            self.assertGreater(most, 0)
            self.assertTrue([line for line in events if f"of GPU memory (OpenCL), {most} at most" in line], most)


if __name__ == "__main__":
    fixtures.main()
