# SPDX-License-Identifier: Apache-2.0
"""Trouble for a server with a known begin and end, the load beside which its clients feel it, and policies that act on
it. For tests and benchmarks: all of it is for processes and cgroups that they made themselves."""
import atexit
import bisect
import json
import os
import pathlib
import re
import signal
import time

from fixtures import PYTHON, ROOT, SUPPORT, Agent, Process, wait_until

CGROUP_VALUES = ("cpu.shares", "cpu.cfs_quota_us", "cpu.weight", "cpu.idle", "cpu.max", "freezer.state", "cgroup.freeze")


def pin(pid, processor):
    """All threads of a process; those that it starts later inherit it."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {processor})


def state_of(pid):
    """The state letter of a process: R, S, T …; empty when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Cgroup:
    """A cgroup of our own with a controller ("cpu", "freezer", "memory", "blkio"), of version 1 or 2, whichever the host
    has."""
    _all = []

    def __init__(self, name, controller="cpu"):
        self.path = f"/inferscope-{name}-{os.getpid()}"
        mount = self._mount(controller)
        self.folder = mount / self.path[1:]
        self.folder.mkdir()
        Cgroup._all.append(self)

    @staticmethod
    def _mount(controller):
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            _, place, kind, options = line.split()[:4]
            place = pathlib.Path(place)
            if kind == "cgroup" and controller in options.split(","):
                return place
            if kind == "cgroup2" and controller == "freezer":  # each group can be frozen, without a controller
                return place
            second = "io" if controller == "blkio" else controller
            if kind == "cgroup2" and second in (place / "cgroup.controllers").read_text().split():
                if second not in (place / "cgroup.subtree_control").read_text().split():
                    (place / "cgroup.subtree_control").write_text(f"+{second}")
                return place
        raise RuntimeError(f"no cgroup hierarchy with the controller {controller} is mounted here")

    def add(self, pid):
        (self.folder / "cgroup.procs").write_text(str(pid))

    def set(self, **values):
        """Of files as version 1 names them, or as version 2 does: of each only those that are there."""
        for name, value in values.items():
            file = self.folder / name.replace("__", ".")
            if file.exists():
                file.write_text(f"{value}\n")

    def values(self):
        return {name: (self.folder / name).read_text().strip() for name in CGROUP_VALUES
                if (self.folder / name).exists()}

    def remove(self):
        """Its processes have ended; the kernel lets go of them a little later."""
        def removed():
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return False
            return True

        wait_until(removed, f"{self.folder} removed")

    @classmethod
    def remove_all(cls):
        Process.end_all()
        for cgroup in cls._all:
            cgroup.remove()


atexit.register(Cgroup.remove_all)


class Hog(Process):
    """Takes all it can get of one processor, in a cgroup of its own."""

    def __init__(self, folder, processor):
        self.cgroup = Cgroup("hog")
        self.earlier = self.cgroup.values()
        self.begin = time.time_ns()
        super().__init__(["sh", "-c", f"echo $$ > {self.cgroup.folder}/cgroup.procs && exec taskset -c {processor} "
                          "sh -c 'while :; do :; done'"], pathlib.Path(folder) / "hog.log")

    def end(self, how=signal.SIGKILL, seconds=60):
        super().end(how, seconds)
        self.cgroup.remove()


class Load(Process):
    """load.py, by default four streams without an end, whose tokens are timed."""

    def __init__(self, folder, server, *options, processor=None, only_streams=True):
        self._times = pathlib.Path(folder) / f"tokens.{time.monotonic_ns()}"
        self._times.touch()
        self._read = 0
        self._arrivals = []
        words = [PYTHON, "-u", SUPPORT / "load.py", "--port", server.port, "--streams", 4, "--token-times",
                 self._times, *options]
        words += ["--only-streams"] if only_streams else []
        super().__init__([*(["taskset", "-c", processor] if processor is not None else []), *words],
                         pathlib.Path(folder) / "load.log")

    def arrivals(self, since=0):
        """(Unix nanoseconds, request) of each token that arrived since then, in order."""
        with open(self._times) as file:
            file.seek(self._read)
            text = file.read()
        complete = text[:text.rfind("\n") + 1]
        self._read += len(complete)
        for line in complete.splitlines():
            request, when = line.split()
            self._arrivals.append((int(when), request))
        self._arrivals.sort()
        return self._arrivals[bisect.bisect_left(self._arrivals, (since,)):]

    def first_after(self, when, seconds):
        """Arrival of the first token after the Unix nanoseconds `when`; None if there is none for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if later := self.arrivals(when):
                return later[0][0]
            time.sleep(0.02)
        return None

    def gaps(self, begin, end):
        """Milliseconds between tokens of a request, for the tokens that arrived between these Unix nanoseconds."""
        last, gaps = {}, []
        for when, request in self.arrivals():
            if request in last and begin <= when < end:
                gaps.append((when - last[request]) / 1e6)
            last[request] = when
        return gaps


def shipped_policies(folder, mode, lease=None):
    """Copies of the shipped policies in this mode, so eager that trials can follow each other: a second's cooldown, no
    rate to speak of, and leases of another length; and they act on no culprit but ours. Returns their folder."""
    folder = pathlib.Path(folder) / f"policies.{mode}.{time.monotonic_ns()}"
    folder.mkdir()
    for source in sorted((ROOT / "policies").glob("*.yaml")):
        text = source.read_text().partition("\ncases:")[0] + "\n"
        text = re.sub(r"(?m)^mode: \w+$", f"mode: {mode}", text)
        text = re.sub(r"(?m)^cooldown: .*$", "cooldown: 1s", text)
        text = re.sub(r"(?m)^rate: .*$", "rate: {count: 1000, window: 10m}", text)
        text = text.replace("  cause: cpu_contention\n", "  cause: cpu_contention\n  culprit: {cgroup: /inferscope-*}\n")
        if lease:
            text = re.sub(r"\bfor: \w+", f"for: {lease}", text)
        (folder / source.name).write_text(text)
    return folder


def watch_only(*servers):
    """Configuration of an agent that sees no other server: whoever is armed must leave everybody else's alone."""
    return {"watch": {"automatic": False, "include": [{"port": server.port} for server in servers]}}


def eager_agent(folder, server, mode, lease=None, **config):
    """An agent for this server with such policies, on an armed host if they enforce."""
    act = {"armed": mode == "enforce", "host_rate": {"count": 10000, "window": "10m"}}
    config = {"policies": [str(shipped_policies(folder, mode, lease))], "act": act, **watch_only(server), **config}
    return Agent(folder, config, name=f"agent{time.monotonic_ns()}").wait_watching(server)


def records(agent, kind, **query):
    """Of the agent's "findings", "decisions" or "effects", oldest first; `query` as the API has it."""
    query = "&".join(f"{key}={value}" for key, value in {"last": 50, **query}.items())
    return [json.loads(line) for line in agent.get(f"/v1/{kind}?{query}").splitlines()]
