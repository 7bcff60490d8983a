# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds for the agent, and whether it is gone. Without bpftool: the bpf() system call itself."""
import ctypes
import os
import pathlib
import platform
import re
import struct
import time

_BPF_CALL = {"x86_64": 321, "aarch64": 280}.get(platform.machine())
_BPF_PROG_GET_NEXT_ID = 11
_KERNEL_FILES = ("tracefs", "debugfs", "bpf", "cgroup", "cgroup2")


def loaded_programs():
    """Ids of all BPF programs in the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    ids, last = set(), 0
    while True:
        attribute = ctypes.create_string_buffer(struct.pack("=III", last, 0, 0), 128)
        if libc.syscall(_BPF_CALL, _BPF_PROG_GET_NEXT_ID, attribute, len(attribute)) != 0:
            return ids
        last = struct.unpack_from("=II", attribute)[1]
        ids.add(last)


def programs_of(pid):
    """Ids of the BPF programs that a process holds open."""
    ids = set()
    for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            for line in entry.read_text().splitlines():
                if line.startswith("prog_id:"):
                    ids.add(int(line.split()[1]))
        except OSError:
            pass  # closed meanwhile
    return ids


def assert_programs_gone(ids, seconds=10):
    """The kernel frees programs a little after their last user is gone."""
    if not ids:
        raise AssertionError("the agent had no BPF programs")
    deadline = time.monotonic() + seconds
    while left := ids & loaded_programs():
        if time.monotonic() > deadline:
            raise AssertionError(f"BPF programs left in the kernel: {sorted(left)}")
        time.sleep(0.05)


def host_state():
    """Mounts of the kernel's own file systems, pinned BPF objects, and cgroups of ours."""
    mounts = sorted(" ".join(line.split()[:3]) for line in pathlib.Path("/proc/mounts").read_text().splitlines()
                    if line.split()[2] in _KERNEL_FILES)
    pinned = sorted(str(path) for path in pathlib.Path("/sys/fs/bpf").rglob("*")) if os.path.isdir("/sys/fs/bpf") else []
    cgroups = sorted(folder for folder, _, _ in os.walk("/sys/fs/cgroup") if "inferscope" in folder)
    return {"mounts": mounts, "pinned": pinned, "cgroups": cgroups}


def _in_use_beside_us(cgroup):
    """Tests that run at the same time name their cgroups by their pid."""
    pids = {int(number) for number in re.findall(r"\d+", os.path.basename(cgroup))}
    return any(pid != os.getpid() and os.path.exists(f"/proc/{pid}") for pid in pids)


def assert_same_host(before):
    after = host_state()
    for what, value in before.items():
        left, gone = set(after[what]) - set(value), set(value) - set(after[what])
        if what == "cgroups":
            left, gone = {one for one in left if not _in_use_beside_us(one)}, set()
        if left or gone:
            raise AssertionError(f"{what} left behind: {sorted(left)}, gone: {sorted(gone)}")
