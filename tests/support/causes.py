# SPDX-License-Identifier: Apache-2.0
"""Causes why a request is slow, each with a llama-server that it can befall, a known begin and end, and a request that
is hit. Whatever a cause needs is gone when it is ended, and with this process at the latest: mounts are in the server's
own namespace."""
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
import types

import fixtures
from fixtures import LlamaServer, llama_root, simulated_gpu
from http_client import Client
from trouble import Cgroup, Hog, pin

SERVER_PROCESSOR, OTHER_PROCESSOR = 0, 1
WORDS = "babe cidu lofa menu rika sotu tave wizo nasha pethi".split()
MIB = 1 << 20


def words(count):
    """A prompt; another one each time, so that nothing of it is in the server's cache."""
    generator = random.Random()
    return " ".join(generator.choice(WORDS) for _ in range(count))


class Cause:
    """`kinds`: what the request's trace may call it."""
    kinds = ()
    model = "medium"
    options = ()
    niceness = -10  # so that others on this host take it little of its processor
    load = ("--streams", 2, "--tokens", 60)  # of load.py, beside it

    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cause-", dir=folder))
        self.server = self.start()
        pin(self.server.pid, SERVER_PROCESSOR)
        for thread in os.listdir(f"/proc/{self.server.pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), self.niceness)

    def start(self):
        return LlamaServer(self.folder, self.model, options=self.options)

    def wait_watching(self, agent):
        agent.wait_watching(self.server)

    @contextlib.contextmanager
    def trouble(self):
        yield

    def request(self, text, client=None, **fields):
        """A streamed chat. `reply.trace_id` is how the agent knows it."""
        trace_id = f"{random.getrandbits(128):032x}"
        fields = {"stream": True, "max_tokens": 40, **fields}
        with client or self.server.client() as connection:
            reply = connection.chat(text, {"traceparent": f"00-{trace_id}-00000000000000a1-01"}, **fields)
        if reply.status != 200:
            raise AssertionError(f"status {reply.status}: {reply.body}")
        reply.trace_id = trace_id
        return reply

    def victim(self):
        return self.request(words(20))

    def right(self, trace, reply):
        return trace.get("inferscope.cause.kind") in self.kinds

    def end(self):
        self.server.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class RunQueue(Cause):
    """Somebody else uses the processor."""
    kinds = ("run_queue",)
    niceness = 0

    @contextlib.contextmanager
    def trouble(self):
        self.hog = Hog(self.folder, SERVER_PROCESSOR)
        try:
            yield
        finally:
            self.hog.end()

    def right(self, trace, reply):
        return super().right(trace, reply) and f"(pid {self.hog.pid})" in trace["inferscope.cause.text"]


class Throttled(Cause):
    """The server's cgroup may use a third of a processor."""
    kinds = ("throttled",)

    def start(self):
        self.cgroup = Cgroup("throttled")
        self.cgroup.set(cpu__shares=10240, cpu__weight=1000)
        server = super().start()
        self.cgroup.add(server.pid)
        return server

    @contextlib.contextmanager
    def trouble(self):
        self.cgroup.set(cpu__cfs_quota_us=33000, cpu__max="33000 100000")
        try:
            yield
        finally:
            self.cgroup.set(cpu__cfs_quota_us=-1, cpu__max="max")

    def end(self):
        super().end()
        self.cgroup.remove()


class SlowReader(Cause):
    """The client has a small buffer, and reads nothing for two seconds. Probabilities make its events large."""
    kinds = ("slow_reader",)

    def victim(self):
        client = Client(self.server.host, self.server.port, receive_buffer=4096)
        return self.request(words(20), client, silence=2, logprobs=True, top_logprobs=800, max_tokens=60)


class HeadOfLine(Cause):
    """A prompt of 8,000 tokens comes just before it."""
    kinds = ("head_of_line",)
    model = "long"
    options = ("-c", 4 * 16384)

    def victim(self):
        long_one = types.SimpleNamespace()

        def ask():
            long_one.reply = self.request(words(3300), max_tokens=2)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.2)
        reply = self.request(words(20), max_tokens=20)
        thread.join()
        reply.blocker = long_one.reply
        return reply

    def right(self, trace, reply):
        blocker = getattr(reply, "blocker", None)
        return bool(blocker) and super().right(trace, reply) and \
            f"request {blocker.trace_id[:8]}" in trace["inferscope.cause.text"]


class OnDisk(Cause):
    """The server's weights are on a disk of their own, an image of which only the server sees."""

    def start(self):
        image, mount = self.folder / "disk", self.folder / "mount"
        source = llama_root(self.model) / f"models/{self.model}.gguf"
        with open(image, "wb") as file:
            file.truncate(source.stat().st_size * 5 // 4 + 16 * MIB)
        files = self.folder / "files"
        files.mkdir()
        shutil.copy(source, files)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", files, image], check=True)
        shutil.rmtree(files)
        prefix = ("unshare", "-m", "sh", "-c", f'echo $$ > {self.cgroup.folder}/cgroup.procs && mount -o loop,ro "$0" "$1" '
                  '&& shift && exec "$@"', image, llama_root() / "models")
        return LlamaServer(self.folder, self.model, options=self.options, prefix=prefix)

    def end(self):
        super().end()
        self.cgroup.remove()

    def weights(self):
        """Where they are in the server's memory: begin and end of each stretch."""
        lines = pathlib.Path(f"/proc/{self.server.pid}/maps").read_text().splitlines()
        return [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines if line.endswith(".gguf")]

    def device(self):
        """major:minor of the disk."""
        lines = pathlib.Path(f"/proc/{self.server.pid}/mountinfo").read_text().splitlines()
        return next(line.split()[2] for line in lines if re.search(r" - ext4 /dev/loop", line))

    def drop_weights(self):
        """From memory: each has to be read again."""
        libc = ctypes.CDLL(None, use_errno=True)
        pidfd_open, process_madvise, pageout = 434, 440, 21
        stretches = self.weights()
        vectors = (ctypes.c_uint64 * (2 * len(stretches)))(
            *itertools.chain(*((begin, end - begin) for begin, end in stretches)))
        pidfd = libc.syscall(pidfd_open, self.server.pid, 0)
        moved = libc.syscall(process_madvise, pidfd, ctypes.byref(vectors), len(stretches), pageout, 0)
        os.close(pidfd)
        if moved <= 0:
            raise OSError(ctypes.get_errno(), "process_madvise")


class Memory(OnDisk):
    """The server's cgroup may use less memory than its weights take."""
    kinds = ("memory_reclaim", "page_fault")

    def start(self):
        self.cgroup = Cgroup("memory", "memory")
        return super().start()

    def in_use(self):
        for name in ("memory.usage_in_bytes", "memory.current"):
            if (self.cgroup.folder / name).exists():
                return int((self.cgroup.folder / name).read_text())
        raise RuntimeError("the cgroup does not tell its memory")

    @contextlib.contextmanager
    def trouble(self):
        limit = self.in_use() - 60 * MIB
        self.cgroup.set(memory__limit_in_bytes=limit, memory__max=limit)
        try:
            yield
        finally:
            self.cgroup.set(memory__limit_in_bytes=-1, memory__max="max")
            self.request(words(3), max_tokens=2)  # the weights come back


class SlowDisk(OnDisk):
    """The weights have to be read again, and the disk gives 100 MiB a second."""
    kinds = ("page_fault", "disk")

    def start(self):
        self.cgroup = Cgroup("disk", "blkio")
        return super().start()

    @contextlib.contextmanager
    def trouble(self):
        device, rate = self.device(), 100 * MIB
        self.cgroup.set(blkio__throttle__read_bps_device=f"{device} {rate}", io__max=f"{device} rbps={rate}")
        try:
            self.drop_weights()
            yield
        finally:
            self.cgroup.set(blkio__throttle__read_bps_device=f"{device} 0", io__max=f"{device} rbps=max")


class OnGpu(Cause):
    """The server computes on the stand-in for a GPU."""
    options = ("-ngl", 99)
    setting = ("", 0, 0)  # its name, and its value in trouble and else

    def start(self):
        environment, log = simulated_gpu(kernel_us=50)  # so that a token takes about as long as a real one's
        self.control = log.with_name("control")
        return LlamaServer(self.folder, self.model, options=self.options, environment=environment)

    def wait_watching(self, agent):
        super().wait_watching(agent)
        fixtures.wait_until(lambda: "calls to GPUs are seen" in agent.log(), agent.log)

    def set(self, value):
        # Read at any time, so it is replaced as a whole.
        self.control.with_suffix(".new").write_text(f"{self.setting[0]}={value}\n")
        self.control.with_suffix(".new").rename(self.control)

    @contextlib.contextmanager
    def trouble(self):
        self.set(self.setting[1])
        try:
            yield
        finally:
            self.set(self.setting[2])


class GpuStall(OnGpu):
    """Whoever waits for the GPU waits three milliseconds longer, several times for a token."""
    kinds = ("gpu_stall",)
    setting = ("stall_ms", 3, 0)


class LaunchGap(OnGpu):
    """The host hands over each kernel late."""
    kinds = ("launch_gap",)
    setting = ("gap_us", 100, 0)


CAUSES = {"run_queue": RunQueue, "throttled": Throttled, "slow_reader": SlowReader, "head_of_line": HeadOfLine,
          "memory": Memory, "slow_disk": SlowDisk, "gpu_stall": GpuStall, "launch_gap": LaunchGap}


def explained(agent, reply, seconds=20):
    """The server's trace of a request of a cause's."""
    def find():
        lines = agent.get(f"/v1/traces?id={reply.trace_id}").splitlines()
        traces = [json.loads(line) for line in lines]
        return next((one for one in traces if one["inferscope.role"] == "server"), None)

    return fixtures.wait_until(find, f"the trace {reply.trace_id}", seconds)
