# SPDX-License-Identifier: Apache-2.0
"""What the system tests stand on: real servers, the agent, and the certainty that nothing of them stays behind.

Each test program is a process of its own with its own temporary folder, ports, configuration and API socket, so any
number of them may run at once and in any order."""
import atexit
import ctypes
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import kernel
from http_client import Client, unverified

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
CLOCK_NS = 5_000_000  # so far the agent's Unix time may be off
SKIPPED = 77  # as tests/system/CMakeLists.txt tells CTest
PYTHON = sys.executable


def agent_binary():
    binary = pathlib.Path(os.environ.get("INFERSCOPE", ROOT / "build/release/agent/cli/inferscope"))
    if not binary.exists():
        raise RuntimeError(f"there is no {binary}: build it, or name it in INFERSCOPE")
    return binary


def cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "inferscope"


def _prepare(what, parts, commands, *files):
    """Lets scripts/lib fetch what is not in the cache yet. Raises SkipTest if it cannot."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / f"{parts[-1]}.lock", "w") as lock:  # several test programs may begin at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(file.exists() for file in files):
            return
        script = f"set -e; for part in {' '.join(parts)}; do source scripts/lib/$part.sh; done; {commands}"
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode != 0 or not all(file.exists() for file in files):
            raise unittest.SkipTest(f"{what} cannot be had here: {done.stdout.strip()[-400:]}")


def llama_root(model="tiny"):
    """The folder with llama-server and this model."""
    root = pathlib.Path(os.environ.get("INFERSCOPE_LLAMA", cache() / "llama"))
    make = "" if model == "tiny" else f"; prepare_{model}_model"
    _prepare("llama-server", ("common", "packages", "llama"), f"prepare_llama{make}", root / f"models/{model}.gguf")
    return root


LIBRARIES = "usr/lib/x86_64-linux-gnu"
CUDA_BACKEND = f"cuda/{LIBRARIES}/ggml/backends0/libggml-cuda.so"
VULKAN_BACKEND = f"vulkan/{LIBRARIES}/ggml/backends0/libggml-vulkan.so"


def stand_ins():
    """The folder with the libraries of tests/support/gpu."""
    return pathlib.Path(os.environ.get("GPU_STAND_INS", ROOT / "build/release/tests/support/gpu"))


def simulated_gpu(**settings):
    """The environment in which llama-server works on a simulated GPU (tests/support/gpu), and the path of the log in
    which that tells what it did."""
    root = llama_root()
    _prepare("llama.cpp's back end for CUDA", ("common", "packages", "llama"), "prepare_llama_cuda", root / CUDA_BACKEND)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-", dir=root / "tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for library in stand_ins().glob("lib*.so.*"):
        shutil.copy(library, folder)
    inside = f"/{folder.relative_to(root)}"
    words = ",".join(f"{key}={value}" for key, value in settings.items())
    return {**os.environ, "LD_LIBRARY_PATH": inside, "GGML_BACKEND_PATH": f"/{CUDA_BACKEND}", "GPU_SIM": words,
            "GPU_SIM_LOG": f"{inside}/log", "GPU_SIM_CONTROL": f"{inside}/control"}, folder / "log"


def vulkan():
    """The environment in which llama-server works through Vulkan, on a driver that computes on the processor."""
    _prepare("llama.cpp's back end for Vulkan", ("common", "packages", "llama"), "prepare_llama_vulkan",
             llama_root() / VULKAN_BACKEND)
    return {**os.environ, "LD_LIBRARY_PATH": f"/vulkan/{LIBRARIES}", "GGML_BACKEND_PATH": f"/{VULKAN_BACKEND}",
            "VK_DRIVER_FILES": "/vulkan/usr/share/vulkan/icd.d/lvp_icd.json", "GGML_VK_VISIBLE_DEVICES": "0"}


def program(package, path):
    """A server of a package that is not installed, since that would start it."""
    file = cache() / "programs" / package / path
    _prepare(package, ("common", "packages", "programs"), f"prepare_program {package}", file)
    return file


def old_go():
    """Go's compiler of before functions were called with registers."""
    file = cache() / "programs/golang-1.15/usr/lib/go-1.15/bin/go"
    _prepare("Go 1.15", ("common", "packages", "programs"), "prepare_old_go", file)
    return file


def gpu_libraries():
    """Libraries of GPUs that are not here, by the beginnings of their names."""
    folder = cache() / "programs/gpu-libraries"
    _prepare("libraries of GPUs", ("common", "packages", "programs"), "prepare_gpu_libraries", folder)
    found = {file.name.split(".so")[0]: file for file in sorted(folder.glob("usr/lib/x86_64-linux-gnu/*.so.?"))}
    return {name: file.resolve() for name, file in found.items()}


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=20):
    """The first true value of condition(); fails with `what` after so long."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"within {seconds} s not seen: {what() if callable(what) else what}")
        time.sleep(0.05)


def _die_with_parent():
    # A test that CTest kills must not leave its servers behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A process of the test, with its output in a file."""
    _all = []

    def __init__(self, command, log, environment=None):
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "wb") as output:
            self.popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=subprocess.STDOUT, env=environment, preexec_fn=_die_with_parent)
        Process._all.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def running(self):
        return self.popen.poll() is None

    def end(self, how=signal.SIGTERM, seconds=60):
        """Ends it and returns its exit code. The limit is there to tell a hang: an agent ends in one to two seconds as a
        rule, but the kernel waits for a grace period at each of some forty tracepoints, one after the other for all
        agents of the host together, which takes ten times as long on a starved machine."""
        if self.running():
            self.popen.send_signal(how)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"process {self.pid} did not end within {seconds} s of signal {how}") from None

    @classmethod
    def end_all(cls):
        for process in cls._all:
            if process.running():
                process.popen.kill()
                process.popen.wait()
        cls._all.clear()


atexit.register(Process.end_all)


def certificate_in(root):
    """A key and a certificate of our own, in a folder below `root` that is gone with the test."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tls-", dir=root))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return key, certificate


class LlamaServer(Process):
    def __init__(self, folder, model="tiny", host="127.0.0.1", options=(), tls=False, prefix=(), environment=None):
        """`prefix`: words before the command that end in running it."""
        self.host, self.model, self.tls = host, f"/models/{model}.gguf", tls
        root = llama_root(model)
        if tls:
            key, certificate = (f"/{path.relative_to(root)}" for path in certificate_in(root))
            options = (*options, "--ssl-key-file", key, "--ssl-cert-file", certificate)
        for attempt in range(3):  # the free port may have been taken meanwhile
            self.port = free_port(host)
            super().__init__([*prefix, "chroot", root, "/usr/bin/llama-server", "-m", self.model, "--host", host, "--port",
                              self.port, "--parallel", 4, "-t", 1, "--metrics", *options],
                             pathlib.Path(folder) / f"llama-{self.port}.log", environment)
            if self._comes_up():
                return
        raise AssertionError(f"llama-server does not come up: {self.log()[-2000:]}")

    def _comes_up(self):
        deadline = time.monotonic() + 60
        while self.running() and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{'https' if self.tls else 'http'}://{self.address}/health", timeout=5,
                                            context=unverified() if self.tls else None):
                    return True
            except OSError:
                time.sleep(0.05)
        return False

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def client(self):
        return Client(self.host, self.port, tls=self.tls)

    def end(self, how=signal.SIGKILL, seconds=60):
        return super().end(how, seconds)  # it has nothing to put in order, and its own end takes a while


class ScriptServer(Process):
    """One of the servers in tests/support; it prints its port when it listens."""

    def __init__(self, folder, interpreter, script, *arguments):
        name = pathlib.Path(script).stem
        super().__init__([*interpreter, script, *arguments], pathlib.Path(folder) / f"{name}.{time.monotonic_ns()}.log")
        wait_until(lambda: not self.running() or self.log().startswith("port "), f"{name} listening: {self.log()}")
        self.host, self.port = "127.0.0.1", int(self.log().split()[1])

    def client(self, tls=False):
        return Client(self.host, self.port, tls=tls)


class PythonServer(ScriptServer):
    def __init__(self, folder, script, *arguments, python=PYTHON):
        super().__init__(folder, [python, "-u"], script, *arguments)


class Agent(Process):
    """`inferscope run` with a configuration of its own."""

    def __init__(self, folder, config=None, environment=None, wait=True, name="agent"):
        self.folder = pathlib.Path(folder)
        self.socket = self.folder / f"{name}.sock"
        self.jsonl = self.folder / f"{name}.jsonl"
        self.config_path = self.folder / f"{name}.yaml"
        self.state = self.folder / f"{name}.state"
        config = {"api": {"socket": str(self.socket)}, "state": {"folder": str(self.state)}, **(config or {})}
        config.setdefault("export", {}).setdefault("jsonl", {"path": str(self.jsonl)})
        self.config_path.write_text(json.dumps(config))  # JSON is YAML
        super().__init__([agent_binary(), "run", "-c", self.config_path],
                         self.folder / f"{name}.{time.monotonic_ns()}.log", clean_environment(environment))
        if wait:
            wait_until(self._answers, lambda: f"the agent's API: {self.log()}")
            self.programs = kernel.programs_of(self.pid)

    def _answers(self):
        if not self.running():
            raise AssertionError(f"the agent ended: {self.log()}")
        try:
            return self.status()
        except OSError:
            return None

    def get(self, target):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[2]

    def status(self):
        text = self.get("/v1/status")
        return json.loads(text) if text else None

    def wait_watching(self, *processes):
        for process in processes:
            wait_until(lambda: f"watching pid={process.pid} " in self.log(), lambda: f"{process.pid}: {self.log()}")
        return self

    def traces(self, **match):
        """Finished requests, oldest first, as `inferscope trace --json` prints them."""
        done = run_cli("trace", "--json", "--token-times", "--all", "--last", 100000, "--socket", self.socket)
        if done.returncode != 0:
            raise AssertionError(f"inferscope trace failed: {done.stderr}")
        return select((json.loads(line) for line in done.stdout.splitlines()), match)

    def wait_traces(self, count=1, **match):
        seen = []

        def enough():
            seen[:] = self.traces(**match)
            return len(seen) >= count

        wait_until(enough, lambda: f"{count} traces of {match}; there are {len(seen)} of {len(self.traces())}")
        return seen

    def trace_of(self, reply):
        """The server's trace of a request of http_client's: the one of its number among those of its connection. The
        client's port may have been another connection's before."""
        match = {"client.port": reply.client_port, "server.port": reply.server_port, "inferscope.role": "server"}

        def find():
            of_connection = sorted((trace for trace in self.traces(**match)
                                    if reply.connected - CLOCK_NS <= trace["start_time_unix_nano"]),
                                   key=lambda trace: trace["start_time_unix_nano"])
            return of_connection[reply.number] if len(of_connection) > reply.number else None

        return wait_until(find, lambda: f"a trace of {match} at {reply.begin}; there are {self.traces(**match)}")

    def stop(self, how=signal.SIGINT):
        """Ends it as Ctrl-C does; all that it had in the kernel must be gone then."""
        code = self.end(how)
        kernel.assert_programs_gone(self.programs)
        return code


def select(traces, match):
    keys = {key.replace("__", "."): value for key, value in match.items()}
    return [trace for trace in traces if all(trace.get(key) == value for key, value in keys.items())]


def clean_environment(more=None):
    return {**{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}, **(more or {})}


def run_cli(*words, seconds=60, environment=None, prefix=()):
    return subprocess.run([*map(str, prefix), str(agent_binary()), *map(str, words)], text=True, capture_output=True,
                          timeout=seconds, env=clean_environment(environment), stdin=subprocess.DEVNULL,
                          errors="replace")


class SystemTest(unittest.TestCase):
    """A temporary folder for the class, and at its end the proof that nothing is left."""

    @classmethod
    def setUpClass(cls):
        cls.before = kernel.host_state()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="inferscope-test."))
        cls.addClassCleanup(cls._end)

    @classmethod
    def _end(cls):
        Process.end_all()
        shutil.rmtree(cls.folder, ignore_errors=True)
        kernel.assert_same_host(cls.before)


def main():
    """Runs the tests of the program. Exit 77 if all were skipped; a line SKIPPED for each that was."""
    program = unittest.main(verbosity=2, exit=False)
    result = program.result
    for test, reason in result.skipped:
        print(f"SKIPPED {test}: {reason}", flush=True)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped and len(result.skipped) >= result.testsRun else 0)
